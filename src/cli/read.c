/* trueup read WALLET…: balances from the chain now; touches no store. */
#include "base/mem.h"
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct cli_option read_options[] = {
    {"at", "BLOCK", NULL, "read at this block (needs a node with its state)"},
    {"terms", NULL, NULL, "print each term by itself, too"},
    {0},
};

enum { READ_WALLETS_MAX = 100000 };

static int by_address(const void *a, const void *b)
{
    return address_compare(a, b);
}

/* The wallets as given: checked, sorted, each once. */
static int parse_wallets(const struct cli *cli, address **ret, size_t *ret_n, struct err *err)
{
    if (cli->n_args > READ_WALLETS_MAX)
        return err_set(err, ERR_USAGE, "more than %d wallets", READ_WALLETS_MAX);
    address *list = mem_alloc((size_t)cli->n_args * sizeof *list);
    for (int i = 0; i < cli->n_args; i++) {
        if (address_parse(cli->args[i], strlen(cli->args[i]), &list[i], err) < 0) {
            mem_free(list);
            err->kind = ERR_USAGE;
            return -1;
        }
    }
    qsort(list, (size_t)cli->n_args, sizeof *list, by_address);
    size_t n = 0;
    for (int i = 0; i < cli->n_args; i++)
        if (n == 0 || !address_equal(&list[n - 1], &list[i]))
            list[n++] = list[i];
    *ret = list;
    *ret_n = n;
    return 0;
}

static int find_block(struct tracker *t, const struct cli *cli, struct anchor *ret, struct err *err)
{
    struct header h;
    bool found;
    uint64_t number = 0;
    if (cli_number(cli, "at", &number, err) < 0)
        return -1;
    int rc = cli_has(cli, "at") ? rpc_header_number(t->node, number, &h, &found, err)
                                : rpc_header_tag(t->node, TAG_LATEST, &h, &found, err);
    if (rc < 0)
        return -1;
    if (!found)
        return err_set(err, ERR_FAILED, "the node does not have block %" PRIu64, number);
    *ret = h.at;
    return 0;
}

struct read_task { /* what the command line asked for */
    const struct cli *cli;
    struct tracker *t;
    struct anchor at;
    address *wallets;
    size_t n, unread;
};

/* Reads with the given shape; an end other than DONE is an error in words. */
static int read_all(const struct read_task *c, const struct read_shape *shape,
                    struct reading *readings, struct err *err)
{
    struct read_ask ask = {.shape = shape,
                           .at = c->at,
                           .chain_id = c->t->chain_id,
                           .wallets = c->wallets,
                           .n = c->n,
                           .lane = RPC_LIVE};
    struct read_report report;
    if (reads_run(c->t->reads, &ask, readings, &report, err) < 0)
        return -1;
    if (report.end == READ_END_DONE)
        return 0;
    *err = report.why;
    if (report.end == READ_END_PRUNED)
        err_hint(err, "an archive node has the state of old blocks");
    return -1;
}

static void print_value(const struct reading *r, bool json)
{
    char dec[U256_DEC_ROOM];
    if (r->status == READ_OK) {
        u256_to_dec(&r->sum, dec);
        printf(json ? "\"%s\"" : "%s", dec);
    } else {
        printf(json ? "null" : "%s", reading_status_name(r->status));
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
    if (json && sum[i].status != READ_OK)
        printf(",\"error\":\"%s\"", reading_status_name(sum[i].status));
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
    struct reading *sum = mem_alloc(c->n * sizeof *sum);
    struct reading *terms[READ_TERMS_MAX] = {0};
    bool by_term = cli_has(c->cli, "terms");
    int rc = read_all(c, &b->shape, sum, err);
    for (size_t i = 0; rc == 0 && by_term && i < b->shape.n_terms; i++) {
        struct read_shape one = b->shape;
        one.terms += i;
        one.n_terms = 1;
        terms[i] = mem_alloc(c->n * sizeof *sum);
        rc = read_all(c, &one, terms[i], err);
    }
    for (size_t i = 0; rc == 0 && i < c->n; i++) {
        print_wallet(b, &c->at, sum, by_term ? terms : NULL, i, cli_has(c->cli, "json"));
        c->unread += sum[i].status != READ_OK;
    }
    for (size_t i = 0; i < READ_TERMS_MAX; i++)
        mem_free(terms[i]);
    mem_free(sum);
    return rc;
}

int command_read(struct cli *cli)
{
    struct tracker t;
    struct conf *conf;
    struct err err = {0};
    struct read_task c = {.cli = cli, .t = &t};
    if (parse_wallets(cli, &c.wallets, &c.n, &err) < 0)
        return cli_fail(&err);
    int status = cli_open(cli, NEEDS_NODE, &t, &conf);
    if (status) {
        mem_free(c.wallets);
        return status;
    }
    int rc = tracker_identify(&t, &err);
    if (rc == 0)
        rc = find_block(&t, cli, &c.at, &err);
    for (size_t i = 0; rc == 0 && i < t.n_balances; i++)
        rc = read_balance(&c, &t.balances[i], &err);
    if (rc == 0 && c.unread > 0)
        rc = err_set(&err, ERR_FAILED, "%zu of %zu balances could not be read", c.unread,
                     c.n * t.n_balances);
    mem_free(c.wallets);
    cli_close(&t, conf);
    return rc < 0 ? cli_fail(&err) : 0;
}
