/* trueup backfill: holders from event history into the table. */
#include "track/history/backfill.h"
#include "base/clock.h"
#include "cli/figures.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "track/sync/log_forms.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct cli_option backfill_options[] = {
    {"from", "BLOCK", NULL, "the first block (default: 0)"},
    {"to", "BLOCK", NULL, "the last one (default: the last one that is finalized)"},
    {"once", NULL, NULL, "ask each range once; what that answer leaves out is not found"},
    {"yes", NULL, NULL, "go on without asking; also -y"},
    {0},
};

static void print_forecast(const struct backfill *f, const struct backfill_forecast *p)
{
    char n[6][FIGURE_TEXT], took[CLOCK_TEXT];
    const char *name = f->b->conf->name;
    if (p->next > p->to)
        fprintf(stderr,
                "%s: holders from blocks %s to %s are found; about %s requests to read up to "
                "%s wallets\n",
                name, figure_grouped(p->from, n[0]), figure_grouped(p->to, n[1]),
                figure_grouped(p->requests, n[2]), figure_grouped(p->wallets, n[3]));
    else
        fprintf(stderr, "%s: %s blocks %s to %s: about %s requests, %s units", name,
                p->next > p->from ? "going on:" : "events of", figure_grouped(p->next, n[0]),
                figure_grouped(p->to, n[1]), figure_grouped(p->requests, n[2]),
                figure_grouped(p->units, n[3]));
    if (p->sampled) {
        duration_text(took, p->ms);
        fprintf(stderr, ", %s for about %s logs and up to %s wallets", took,
                figure_grouped(p->logs, n[4]), figure_grouped(p->wallets, n[5]));
    }
    if (p->next <= p->to)
        fputc('\n', stderr);
}

/* A person is asked; a script has to have said so. */
static int backfill_confirm_cost(const struct cli *cli, struct err *err)
{
    char answer[16] = "";
    if (cli_has(cli, "yes"))
        return 0;
    if (!isatty(STDIN_FILENO)) {
        err_set(err, ERR_USAGE, "nobody is there to be asked whether to go on");
        return err_hint(err, "add -y");
    }
    fputs("go on? [y/N] ", stderr);
    if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return 0;
    return err_set(err, ERR_STOPPED, "nothing was done");
}

/* ---- one balance ----------------------------------------------------------------------------- */

struct shown {
    const struct backfill *f;
    struct progress looking, reading;
    uint64_t first; /* block of this run */
    bool reads;
};

static void backfill_show_progress(void *ctx, const struct history_progress *p)
{
    struct shown *s = ctx;
    const struct history_scan *h = &s->f->history;
    progress_show(&s->looking, p->blocks, h->to - s->first + 1, p->requests);
}

static void read_some(void *ctx, const struct pipeline_progress *p, uint64_t total)
{
    struct shown *s = ctx;
    if (!s->reads) {
        progress_end(&s->looking);
        progress_start(&s->reading, "rows", "backfill %s: read", s->f->b->conf->name);
        s->reads = true;
    }
    progress_show(&s->reading, p->rows, total, p->requests);
}

static void print_result(const struct backfill *f, const struct backfill_report *r, int64_t ms,
                         bool json)
{
    char took[CLOCK_TEXT];
    const struct history_scan *h = &f->history;
    uint64_t requests = r->history.requests + r->rows.requests;
    duration_text(took, ms);
    if (json)
        printf("{\"balance\":\"%s\",\"from\":%" PRIu64 ",\"to\":%" PRIu64 ",\"logs\":%" PRIu64
               ",\"read\":%" PRIu64 ",\"updated\":%" PRIu64 ",\"failed\":%" PRIu64
               ",\"log_requests\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"log_ms\":%" PRId64
               ",\"ms\":%" PRId64 ",\"missed\":%" PRIu64 "}\n",
               f->b->conf->name, h->from, h->to, r->history.logs, r->rows.rows, r->rows.updated,
               r->rows.failed, r->history.requests, requests, r->history_ms, ms, r->history.missed);
    else
        printf("%s: %" PRIu64 " logs in blocks %" PRIu64 " to %" PRIu64 ", %" PRIu64
               " wallets read, %" PRIu64 " anchored, %" PRIu64 " failed, %" PRIu64
               " requests, %s\n",
               f->b->conf->name, r->history.logs, h->from, h->to, r->rows.rows, r->rows.updated,
               r->rows.failed, requests, took);
    if (r->history.missed > 0 && !json)
        printf("%s: %" PRIu64 " events were only in the second answers, the first in block %" PRIu64
               ": endpoint \"%s\" had left them out\n",
               f->b->conf->name, r->history.missed, r->history.missed_at, r->history.missed_by);
    if (r->set_checkpoint && !json)
        printf("%s: the checkpoint is block %" PRIu64 ": `trueup run` goes on from there\n",
               f->b->conf->name, h->to);
}

static void hint_resume(const struct backfill *f, struct err *err)
{
    const struct history_scan *h = &f->history;
    if (h->next <= h->to)
        err_hint(err, "run it again: it goes on at block %" PRIu64, h->next);
    else
        err_hint(err, "run it again: all events were looked at, it goes on reading");
}

static int backfill_fill_table(struct session *session, struct tracked *b, void *ctx,
                               struct err *err)
{
    const struct cli *cli = session->cli;
    struct shown s = {0};
    (void)ctx;
    struct backfill_forecast forecast;
    struct backfill_report report = {0};
    struct log_forms_state forms = {0};
    struct backfill f = {.t = &session->t,
                         .b = b,
                         .lease = &session->lease,
                         .has_from = cli_has(cli, "from"),
                         .has_to = cli_has(cli, "to"),
                         .once = cli_has(cli, "once"),
                         .looked = backfill_show_progress,
                         .read = read_some,
                         .ctx = &s};
    log_forms_run(f.t, &forms, NULL);
    if (cli_number(cli, "from", &f.from, err) < 0 || cli_number(cli, "to", &f.to, err) < 0 ||
        backfill_plan(&f, &forecast, err) < 0)
        return -1;
    print_forecast(&f, &forecast);
    if (backfill_confirm_cost(cli, err) < 0)
        return -1;
    s.f = &f;
    s.first = forecast.next;
    progress_start(&s.looking, "blocks", "backfill %s: events", b->conf->name);
    int64_t started = clock_ms();
    int rc = backfill_run(&f, &report, err);
    progress_end(s.reads ? &s.reading : &s.looking);
    if (rc == 0)
        print_result(&f, &report, clock_ms() - started, session->json);
    else if (!err->hint[0])
        hint_resume(&f, err);
    return rc;
}

/* A page of logs is megabytes, taken and given back a thousand times. From the heap it would leave
 * holes of its size; mapped by itself it really goes. */
static void give_memory_back(void)
{
#ifdef __GLIBC__
    enum { MAPPED_FROM = 512 * 1024 };
    mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
#endif
}

int command_backfill(struct cli *cli)
{
    give_memory_back();
    return session_run(cli, &(struct session_plan){.needs = NEEDS_NODE | NEEDS_STORE,
                                                   .steps = SESSION_FILL_TABLE,
                                                   .lease = "backfill",
                                                   .balance = backfill_fill_table});
}
