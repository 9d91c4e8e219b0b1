/* trueup read WALLET…: balances from the chain now; touches no store. */
#include "base/mem.h"
#include "cli/session.h"
#include "cli/wallet_file.h"
#include "read/prover.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct cli_option read_options[] = {
    {"at", "BLOCK", NULL, "read at this block (needs a node with its state)"},
    {"prove", NULL, NULL, "run the views here, on state proven at a block 64 back, or --at"},
    {"terms", NULL, NULL, "print each term by itself, too"},
    {"wallets", "FILE", NULL, "also the wallets of this file, as for wallets import; - is stdin"},
    {0},
};

enum {
    READ_WALLETS_MAX = 100000,
    /* A reorg that deep is rare, and nodes prune state beyond 128 blocks. */
    READ_PROVE_BACK = 64,
};

static int read_find_block(struct session *s, struct anchor *ret, struct err *err)
{
    struct header h;
    bool found;
    uint64_t number = 0;
    if (cli_number(s->cli, "at", &number, err) < 0)
        return -1;
    int rc = cli_has(s->cli, "at") ? rpc_header_number(s->t.node, number, &h, &found, err)
                                   : rpc_header_tag(s->t.node, TAG_LATEST, &h, &found, err);
    if (rc < 0)
        return -1;
    if (!found)
        return err_set(err, ERR_FAILED, "the node does not have block %" PRIu64, number);
    *ret = h.at;
    return 0;
}

/* The block that is proven: nothing else of the head's header is used than its number. */
static int read_open_prover(struct session *s, struct prover **ret, struct err *err)
{
    struct anchor at;
    uint64_t number = 0;
    if (cli_number(s->cli, "at", &number, err) < 0)
        return -1;
    if (!cli_has(s->cli, "at")) {
        if (read_find_block(s, &at, err) < 0)
            return -1;
        number = at.number > READ_PROVE_BACK ? at.number - READ_PROVE_BACK : 0;
    }
    return prover_open(s->t.node, number, s->t.chain_id, ret, err);
}

struct read_task {
    struct session *s;
    struct anchor at;
    struct wallet_list wallets; /* sorted, each once */
    struct prover *prover;      /* of --prove; else NULL */
    size_t unread;
};

/* Reads with the given shape; an end other than DONE is an error in words. */
static int read_all(const struct read_task *c, const struct read_shape *shape,
                    struct reading *readings, struct err *err)
{
    struct read_ask ask = {.shape = shape,
                           .at = c->at,
                           .chain_id = c->s->t.chain_id,
                           .wallets = c->wallets.list,
                           .n = c->wallets.n,
                           .lane = RPC_LIVE};
    struct read_report report;
    if (c->prover)
        return prover_read(c->prover, shape, ask.wallets, ask.n, readings, err);
    if (reads_run(c->s->t.reads, &ask, readings, &report, err) < 0)
        return -1;
    if (report.end == READ_END_DONE)
        return 0;
    *err = report.why;
    if (report.end == READ_END_PRUNED)
        err_hint(err, "an archive node has the state of old blocks");
    return -1;
}

static void print_failure(const struct reading *r)
{
    printf("%s", reading_status_name(r->status));
    if (r->status == READ_UNPROVEN)
        printf(": %s", r->why);
}

static void print_value(const struct reading *r, bool json)
{
    char dec[U256_DEC_ROOM];
    if (r->status == READ_OK) {
        u256_to_dec(&r->sum, dec);
        printf(json ? "\"%s\"" : "%s", dec);
    } else if (json) {
        printf("null");
    } else {
        print_failure(r);
    }
}

/* One wallet, as a line or as JSON: {"balance":…,"wallet":…,"value":"…","block":N,"terms":{…}}. */
static void print_wallet(const struct tracked *b, const struct anchor *at,
                         const struct reading *sum, struct reading *const *terms, size_t i,
                         bool json)
{
    char wallet[ADDRESS_TEXT];
    address_text(&sum[i].wallet, wallet);
    printf(json ? "{\"balance\":\"%s\",\"wallet\":\"%s\",\"value\":" : "%s %s ", b->conf->name,
           wallet);
    print_value(&sum[i], json);
    if (json)
        printf(",\"block\":%" PRIu64, at->number);
    if (json && sum[i].status != READ_OK) {
        printf(",\"error\":\"");
        print_failure(&sum[i]);
        printf("\"");
    }
    if (terms) {
        printf(json ? ",\"terms\":{" : "");
        for (size_t t = 0; t < b->shape.n_terms; t++) {
            printf(json ? "%s\"%s\":" : "%s  %s=", json && t ? "," : "", b->shape.terms[t].name);
            print_value(&terms[t][i], json);
        }
        printf(json ? "}" : "");
    }
    puts(json ? "}" : "");
}

static int read_balance(struct read_task *c, const struct tracked *b, struct err *err)
{
    struct reading *sum = mem_alloc(c->wallets.n * sizeof *sum);
    struct reading *terms[READ_TERMS_MAX] = {0};
    bool by_term = cli_has(c->s->cli, "terms");
    int rc = read_all(c, &b->shape, sum, err);
    for (size_t i = 0; rc == 0 && by_term && i < b->shape.n_terms; i++) {
        struct read_shape one = b->shape;
        one.terms += i;
        one.n_terms = 1;
        terms[i] = mem_alloc(c->wallets.n * sizeof *sum);
        rc = read_all(c, &one, terms[i], err);
    }
    for (size_t i = 0; rc == 0 && i < c->wallets.n; i++) {
        print_wallet(b, &c->at, sum, by_term ? terms : NULL, i, c->s->json);
        c->unread += sum[i].status != READ_OK;
    }
    for (size_t i = 0; i < READ_TERMS_MAX; i++)
        mem_free(terms[i]);
    mem_free(sum);
    return rc;
}

/* What the values above follow from, and what it took. */
static void print_proof(const struct read_task *c)
{
    struct prover_cost cost = prover_cost(c->prover);
    char hash[HASH_TEXT];
    hash_text(&c->at.hash, hash);
    printf(c->s->json ? "{\"proven\":{\"block\":%" PRIu64 ",\"hash\":\"%s\",\"rounds\":%zu,"
                        "\"requests\":%zu,\"bytes\":%" PRIu64 "}}\n"
                      : "proven at block %" PRIu64 ", hash %s: %zu rounds, %zu requests, %" PRIu64
                        " bytes\n",
           c->at.number, hash, cost.rounds, cost.requests, cost.bytes_in);
}

static int read_all_balances(struct session *s, void *ctx, struct err *err)
{
    struct read_task *c = ctx;
    c->s = s;
    int rc = cli_has(s->cli, "prove") ? read_open_prover(s, &c->prover, err)
                                      : read_find_block(s, &c->at, err);
    if (rc == 0 && c->prover)
        c->at = *prover_at(c->prover);
    for (size_t i = 0; rc == 0 && i < s->t.n_balances; i++)
        rc = read_balance(c, &s->t.balances[i], err);
    if (rc == 0 && c->prover)
        print_proof(c);
    prover_close(c->prover);
    if (rc == 0 && c->unread > 0)
        rc = err_set(err, ERR_FAILED, "%zu of %zu balances could not be read", c->unread,
                     c->wallets.n * s->t.n_balances);
    return rc;
}

int command_read(struct cli *cli)
{
    struct err err = {0};
    struct read_task c = {0};
    const char *file = cli_value(cli, "wallets");
    if (cli->n_args == 0 && !file)
        return cli_usage(cli, "too few arguments");
    if (cli->n_args > READ_WALLETS_MAX)
        err_set(&err, ERR_USAGE, "more than %d wallets", READ_WALLETS_MAX);
    if (err.kind || wallet_list_parse(&c.wallets, cli->args, cli->n_args, &err) < 0)
        return cli_fail(&err);
    if (file && wallet_file_load_strict(file, &c.wallets, &err) < 0) {
        wallet_list_free(&c.wallets);
        return cli_fail(&err);
    }
    wallet_list_sort_unique(&c.wallets);
    int status = session_run(cli, &(struct session_plan){.needs = NEEDS_NODE,
                                                         .steps = SESSION_IDENTIFY,
                                                         .work = read_all_balances,
                                                         .ctx = &c});
    wallet_list_free(&c.wallets);
    return status;
}
