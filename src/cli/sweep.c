/* trueup sweep: one full pass over the rows now. */
#include "base/clock.h"
#include "base/parse.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "track/refresh/learned.h"
#include "track/refresh/pass.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

const struct cli_option sweep_options[] = {
    {"max-age", "AGE", NULL, "only rows read longer ago than this: 24h, 7d"},
    {0},
};

static void sweep_show_progress(void *ctx, const struct pipeline_progress *p, uint64_t total)
{
    progress_show(ctx, p->rows, total, p->requests);
}

static void print_result(const struct tracked *b, const struct pipeline_progress *p, int64_t ms,
                         bool json)
{
    char took[CLOCK_TEXT];
    duration_text(took, ms);
    if (json)
        printf("{\"balance\":\"%s\",\"rows\":%" PRIu64 ",\"updated\":%" PRIu64
               ",\"changed\":%" PRIu64 ",\"drifted\":%" PRIu64 ",\"failed\":%" PRIu64
               ",\"requests\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"bytes_in\":%" PRIu64
               ",\"ms\":%" PRId64 "}\n",
               b->conf->name, p->rows, p->updated, p->changed, p->drifted, p->failed, p->requests,
               p->bytes_out, p->bytes_in, ms);
    else
        printf("%s: %" PRIu64 " rows read, %" PRIu64 " anchored, %" PRIu64 " had changed, %" PRIu64
               " failed, %" PRIu64 " requests, %s\n",
               b->conf->name, p->rows, p->updated, p->changed, p->failed, p->requests, took);
    if (!json && p->drifted > 0)
        printf("  %" PRIu64 " of them had drifted: no event said why (trueup explain WALLET; "
               "/v1/drift)\n",
               p->drifted);
}

static int sweep_balance(struct tracker *t, struct tracked *b, struct lease *lease,
                         int64_t max_age_ms, bool json, struct err *err)
{
    struct progress progress;
    struct pipeline_progress done = {0};
    char what[80];
    int64_t started = clock_ms();
    snprintf(what, sizeof what, "sweep %s", b->conf->name);
    progress_start(&progress, what);
    struct pipeline pipeline = {
        .t = t, .b = b, .lease = lease, .progress = sweep_show_progress, .progress_ctx = &progress};
    int rc = pass_run(&pipeline, max_age_ms, &done, err);
    progress_end(&progress);
    if (rc == 0 || err->kind == ERR_STOPPED)
        print_result(b, &done, clock_ms() - started, json);
    if (rc < 0 && err->kind == ERR_STOPPED)
        err_hint(err, "run it again: rows already read are anchored and fresh");
    return rc;
}

/* A pass frees what the next batch takes again; to give it back to the system in between costs a
 * page fault for every 4 KB. */
static void keep_memory(void)
{
#ifdef __GLIBC__
    enum { KEPT = 16 * 1024 * 1024 };
    mallopt(M_MMAP_THRESHOLD, KEPT);
    mallopt(M_TRIM_THRESHOLD, KEPT);
#endif
}

int command_sweep(struct cli *cli)
{
    struct tracker t;
    struct conf *conf;
    struct err err = {0};
    struct store_adopted adopted;
    struct learned learned;
    struct lease lease = {0};
    struct err ignored; /* sizes are found again */
    int64_t max_age = 0;
    const char *text = cli_value(cli, "max-age");
    if (text && !parse_duration(text, strlen(text), &max_age))
        return cli_usage(cli, "--max-age: \"%s\" is no age; say 30s, 5m, 24h or 7d", text);
    keep_memory();
    int status = cli_open(cli, NEEDS_NODE | NEEDS_STORE, &t, &conf);
    if (status)
        return status;
    int rc = tracker_migrate(&t, &adopted, &err);
    if (rc == 0)
        rc = tracker_identify(&t, &err);
    if (rc == 0)
        learned_load(&t, &learned, &ignored);
    bool begun = rc == 0;
    if (rc == 0)
        rc = lease_take(&lease, &t, "sweep", &err);
    for (size_t i = 0; rc == 0 && i < t.n_balances; i++)
        rc = sweep_balance(&t, &t.balances[i], &lease, max_age, cli_has(cli, "json"), &err);
    if (begun)
        learned_save(&t, &learned, true, &ignored);
    lease_release(&lease);
    cli_close(&t, conf);
    return rc < 0 ? cli_fail(&err) : 0;
}
