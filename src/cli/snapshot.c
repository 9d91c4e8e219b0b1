/* trueup snapshot: balances of all rows at a past block, into a file or to stdout. */
#include "track/history/snapshot.h"
#include "base/clock.h"
#include "cli/outfile.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "cli/wallet_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const struct cli_option snapshot_options[] = {
    {"at", "BLOCK", NULL, "the block (needs a node with its state)"},
    {"wallets", "FILE", NULL, "only the wallets of this file; - is stdin"},
    {"out", "FILE", NULL, "FILE.csv or FILE.jsonl; - is stdout (CSV, or JSONL with --json)"},
    {0},
};

enum { FAILURES_TOLD = 10 };

struct snapshot_task {
    uint64_t number;
    struct wallet_list wallets; /* of the file, if there is one */
};

struct out {
    struct tracker *t;
    struct outfile file;
    bool jsonl;
    struct progress progress;
    uint64_t failed;
    const struct snapshot_task *task;
};

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n > k && strcmp(text + n - k, end) == 0;
}

/* ---- what is written ------------------------------------------------------------------------- */

static int write_header(struct out *o, const struct tracked *b, const struct anchor *at,
                        struct err *err)
{
    char hash[HASH_TEXT], when[32];
    time_t seconds = (time_t)at->timestamp;
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    hash_text(&at->hash, hash);
    return outfile_printf(&o->file, err,
                          o->jsonl ? "{\"snapshot\":\"%s\",\"chain\":%" PRIu64 ",\"block\":%" PRIu64
                                     ",\"hash\":\"%s\",\"time\":\"%s\"}\n"
                                   : "# snapshot: %s\n# chain: %" PRIu64 "\n# block: %" PRIu64
                                     "\n# hash: %s\n# time: %s\nwallet,balance,error\n",
                          b->conf->name, o->t->chain_id, at->number, hash, when);
}

/* A reason is made of a term's name, which is a word, and our own words: nothing to escape. */
static int write_row(void *ctx, const struct reading *r, const char *reason, struct err *err)
{
    struct out *o = ctx;
    char wallet[ADDRESS_TEXT], dec[U256_DEC_ROOM];
    address_text(&r->wallet, wallet);
    if (reason) {
        if (o->failed++ < FAILURES_TOLD)
            fprintf(stderr, "trueup: %s has no balance there (%s)\n", wallet, reason);
        return outfile_printf(&o->file, err,
                              o->jsonl ? "{\"wallet\":\"%s\",\"balance\":null,\"error\":\"%s\"}\n"
                                       : "%s,,%s\n",
                              wallet, reason);
    }
    u256_to_dec(&r->sum, dec);
    return outfile_printf(&o->file, err,
                          o->jsonl ? "{\"wallet\":\"%s\",\"balance\":\"%s\"}\n" : "%s,%s,\n",
                          wallet, dec);
}

static void snapshot_show_progress(void *ctx, const struct pipeline_progress *p, uint64_t total)
{
    struct out *o = ctx;
    progress_show(&o->progress, p->rows, total, p->requests);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int find_block(struct tracker *t, uint64_t number, struct anchor *ret, struct err *err)
{
    struct header h, finalized;
    bool found, has_finalized;
    if (rpc_header_number(t->node, number, &h, &found, err) < 0 ||
        rpc_header_tag(t->node, TAG_FINALIZED, &finalized, &has_finalized, err) < 0)
        return -1;
    if (!found)
        return err_set(err, ERR_FAILED, "the node does not have block %" PRIu64, number);
    if (has_finalized && finalized.at.number < number)
        fprintf(stderr,
                "trueup: block %" PRIu64 " is not finalized: the chain may still take it back\n",
                number);
    *ret = h.at;
    return 0;
}

static int write_all(struct out *o, struct tracked *b, const struct anchor *at,
                     struct pipeline_progress *ret, struct err *err)
{
    struct snapshot s = {.t = o->t,
                         .b = b,
                         .at = *at,
                         .wallets = o->task->wallets.list,
                         .n_wallets = o->task->wallets.n,
                         .row = write_row,
                         .progress = snapshot_show_progress,
                         .ctx = o};
    progress_start(&o->progress, "rows", "snapshot %s", b->conf->name);
    int rc = write_header(o, b, at, err);
    if (rc == 0)
        rc = snapshot_run(&s, ret, err);
    progress_end(&o->progress);
    return rc;
}

static int snapshot_write_all(struct session *s, void *ctx, struct err *err)
{
    struct tracker *t = &s->t;
    const char *name = cli_value(s->cli, "out");
    const struct snapshot_task *task = ctx;
    struct out o = {.t = t, .jsonl = ends_in(name, ".jsonl") || s->json, .task = task};
    struct pipeline_progress done = {0};
    struct anchor at;
    char took[CLOCK_TEXT];
    int64_t started = clock_ms();
    if (t->n_balances != 1) {
        err_set(err, ERR_USAGE, "the file has %zu balances; a snapshot is of one", t->n_balances);
        return err_hint(err, "say --balance NAME");
    }
    if (tracker_identify(t, CHAIN_LIKELY, err) < 0 || find_block(t, task->number, &at, err) < 0 ||
        outfile_open(&o.file, name, err) < 0)
        return -1;
    if (write_all(&o, &t->balances[0], &at, &done, err) < 0 || outfile_keep(&o.file, err) < 0) {
        outfile_drop(&o.file);
        return -1;
    }
    duration_text(took, clock_ms() - started);
    fprintf(stderr,
            "%s: %" PRIu64 " rows at block %" PRIu64 ", %" PRIu64 " without a balance, %" PRIu64
            " requests, %s\n",
            t->balances[0].conf->name, done.rows, at.number, done.failed, done.requests, took);
    return 0;
}

int command_snapshot(struct cli *cli)
{
    struct err err = {0};
    struct snapshot_task task = {0};
    const char *out = cli_value(cli, "out"), *file = cli_value(cli, "wallets");
    if (!cli_has(cli, "at") || !out)
        return cli_usage(cli, "snapshot wants --at BLOCK and --out FILE");
    if (strcmp(out, "-") != 0 && !ends_in(out, ".csv") && !ends_in(out, ".jsonl"))
        return cli_usage(cli, "--out \"%s\" ends in neither .csv nor .jsonl", out);
    if (cli_number(cli, "at", &task.number, &err) < 0)
        return cli_fail(&err);
    if (file && wallet_file_load_strict(file, &task.wallets, &err) < 0) {
        wallet_list_free(&task.wallets);
        return cli_fail(&err);
    }
    wallet_list_sort_unique(&task.wallets);
    int status = session_run(cli, &(struct session_plan){.needs = NEEDS_NODE | NEEDS_STORE,
                                                         .steps = SESSION_CHECK_STORE,
                                                         .work = snapshot_write_all,
                                                         .ctx = &task});
    wallet_list_free(&task.wallets);
    return status;
}
