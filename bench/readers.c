/*
 * Reading alone, with no store: what a node, the wire and our own reading take.
 *
 *     readers CONF N              N made-up wallets, once
 *     readers CONF FILE           the wallets of a file, one a line, once for each line on stdin
 *
 * Several reads of one request's wallets each are under way at once, as in a pass. Prints a line of
 * JSON for each round.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/random.h"
#include "conf/conf.h"
#include "read/read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { WINDOW = 8 };

struct bench {
    struct rpc *node;
    struct reads *reads;
    struct read_shape shape;
    uint64_t chain_id;
    address *wallets;
    struct reading *readings;
    size_t n;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void load_wallets(struct bench *b, const char *what)
{
    uint64_t n;
    if (parse_u64(what, strlen(what), &n)) {
        struct rng rng = {.state = 1};
        b->n = (size_t)n;
        b->wallets = mem_alloc(b->n * sizeof *b->wallets);
        for (size_t i = 0; i < b->n * sizeof *b->wallets; i++)
            ((uint8_t *)b->wallets)[i] = (uint8_t)(rng_next(&rng) >> 32);
        return;
    }
    char line[128];
    size_t room = 0;
    FILE *f = fopen(what, "r");
    if (!f)
        die(what, "cannot be read");
    while (fgets(line, sizeof line, f)) {
        if (b->n == room)
            b->wallets = mem_grow(b->wallets, room = room * 2 + 1024, sizeof *b->wallets);
        line[strcspn(line, "\r\n")] = '\0';
        if (!address_parse_loose(line, strlen(line), &b->wallets[b->n++]))
            die(what, line);
    }
    fclose(f);
}

static void counts(const struct bench *b, uint64_t *requests, uint64_t *out, uint64_t *in)
{
    const struct endpoint_counters *c = endpoint_counters(rpc_endpoint(b->node, 0));
    *requests = c->requests;
    *out = c->bytes_out;
    *in = c->bytes_in;
}

static int64_t cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
           u.ru_stime.tv_usec;
}

static size_t begin(struct bench *b, const struct anchor *at, size_t first)
{
    struct err err;
    struct read *read;
    size_t n = reads_batch_size(b->reads, &b->shape);
    n = n < b->n - first ? n : b->n - first;
    struct read_ask ask = {.shape = &b->shape,
                           .at = *at,
                           .chain_id = b->chain_id,
                           .wallets = b->wallets + first,
                           .n = n,
                           .lane = RPC_SWEEP};
    if (reads_begin(b->reads, &ask, b->readings + first, &read, &err) < 0)
        die("read", err.text);
    return first + n;
}

static void end_one(struct bench *b)
{
    struct err err;
    struct read *read;
    struct read_report report;
    int rc;
    while ((rc = reads_next(b->reads, 1000, &read, &err)) == 0)
        ;
    if (rc < 0)
        die("read", err.text);
    read_end(read, &report);
    if (report.end != READ_END_DONE)
        die("read", report.why.text);
}

static void run_round(struct bench *b)
{
    struct err err;
    struct header head;
    bool found;
    uint64_t r0, o0, i0, r1, o1, i1;
    size_t next = 0, good = 0, under_way = 0;
    int64_t started = clock_us(), cpu = cpu_us();
    u256 sum = U256_ZERO;
    counts(b, &r0, &o0, &i0);
    if (rpc_header_tag(b->node, TAG_LATEST, &head, &found, &err) < 0 || !found)
        die("head", err.text);
    while (next < b->n || under_way > 0) {
        for (; next < b->n && under_way < WINDOW; under_way++)
            next = begin(b, &head.at, next);
        end_one(b);
        under_way--;
    }
    int64_t took = clock_us() - started;
    cpu = cpu_us() - cpu;
    for (size_t i = 0; i < b->n; i++) {
        good += b->readings[i].status == READ_OK;
        u256_add(&sum, &sum, &b->readings[i].sum);
    }
    char total[U256_DEC_ROOM];
    u256_to_dec(&sum, total);
    counts(b, &r1, &o1, &i1);
    printf("{\"wallets\":%zu,\"good\":%zu,\"sum\":\"%s\",\"us\":%" PRId64 ",\"cpu_us\":%" PRId64
           ",\"requests\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"bytes_in\":%" PRIu64 "}\n",
           b->n, good, total, took, cpu, r1 - r0, o1 - o0, i1 - i0);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    struct err err;
    struct conf_problems problems = {0};
    hash32 genesis;
    char line[16];
    uint64_t n;
    if (argc != 3)
        die("usage", "readers CONF N|FILE");
    struct conf_source_set from = {.file = argv[1]};
    struct conf *conf = conf_load(&from, &problems);
    if (!conf)
        die("conf", buf_str(&problems.text));
    b.shape = (struct read_shape){.terms = conf->balances[0].terms,
                                  .n_terms = conf->balances[0].n_terms,
                                  .anchor = conf->chain.anchor,
                                  .multicall = conf->chain.multicall};
    load_wallets(&b, argv[2]);
    b.readings = mem_alloc(b.n * sizeof *b.readings);
    if (rpc_open(conf, &b.node, &err) < 0 || reads_open(b.node, &b.reads, &err) < 0 ||
        rpc_identify(b.node, &b.chain_id, &genesis, &err) < 0)
        die("node", err.text);
    if (parse_u64(argv[2], strlen(argv[2]), &n))
        run_round(&b);
    else
        while (fgets(line, sizeof line, stdin))
            run_round(&b);
    reads_close(b.reads);
    rpc_close(b.node);
    conf_free(conf);
    mem_free(b.wallets);
    mem_free(b.readings);
    return 0;
}
