/* trueup sweep: one full pass over the rows now. */
#include "base/clock.h"
#include "base/parse.h"
#include "cli/progress.h"
#include "cli/session.h"
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

static int sweep_balance(struct session *s, struct tracked *b, void *max_age_ms, struct err *err)
{
    struct progress progress;
    struct pipeline_progress done = {0};
    int64_t started = clock_ms();
    progress_start(&progress, "rows", "sweep %s", b->conf->name);
    struct pipeline pipeline = {.t = &s->t,
                                .b = b,
                                .lease = &s->lease,
                                .progress = sweep_show_progress,
                                .progress_ctx = &progress};
    int rc = pass_run(&pipeline, *(int64_t *)max_age_ms, &done, err);
    progress_end(&progress);
    if (rc == 0 || err->kind == ERR_STOPPED)
        print_result(b, &done, clock_ms() - started, s->json);
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
    int64_t max_age = 0;
    const char *text = cli_value(cli, "max-age");
    if (text && !parse_duration(text, strlen(text), &max_age))
        return cli_usage(cli, "--max-age: \"%s\" is no age; say 30s, 5m, 24h or 7d", text);
    keep_memory();
    return session_run(cli, &(struct session_plan){.needs = NEEDS_NODE | NEEDS_STORE,
                                                   .steps = SESSION_FIND_STORE | SESSION_FILL_TABLE,
                                                   .lease = "sweep",
                                                   .balance = sweep_balance,
                                                   .ctx = &max_age});
}
