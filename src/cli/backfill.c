/* trueup backfill: holders from event history into the table. */
#include "track/history/backfill.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "track/refresh/learned.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct cli_option backfill_options[] = {
    {"from", "BLOCK", NULL, "the first block (default: 0)"},
    {"to", "BLOCK", NULL, "the last one (default: the last one that is finalized)"},
    {"yes", NULL, NULL, "go on without asking; also -y"},
    {0},
};

/* "18,000,000" */
enum { GROUPED_TEXT = 32 };
static const char *backfill_group_digits(uint64_t v, char out[GROUPED_TEXT])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, v), at = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

static void print_forecast(const struct backfill *f, const struct backfill_forecast *p)
{
    char n[6][GROUPED_TEXT], took[CLOCK_TEXT];
    const char *name = f->b->conf->name;
    if (p->next > p->to)
        fprintf(stderr,
                "%s: holders from blocks %s to %s are found; about %s requests to read up to "
                "%s wallets\n",
                name, backfill_group_digits(p->from, n[0]), backfill_group_digits(p->to, n[1]),
                backfill_group_digits(p->requests, n[2]), backfill_group_digits(p->wallets, n[3]));
    else
        fprintf(stderr, "%s: %s blocks %s to %s: about %s requests, %s units", name,
                p->next > p->from ? "going on:" : "events of", backfill_group_digits(p->next, n[0]),
                backfill_group_digits(p->to, n[1]), backfill_group_digits(p->requests, n[2]),
                backfill_group_digits(p->units, n[3]));
    if (p->sampled) {
        duration_text(took, p->ms);
        fprintf(stderr, ", %s for about %s logs and up to %s wallets", took,
                backfill_group_digits(p->logs, n[4]), backfill_group_digits(p->wallets, n[5]));
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
    char look[96], read[96];
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
        progress_start(&s->reading, s->read);
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
               ",\"ms\":%" PRId64 "}\n",
               f->b->conf->name, h->from, h->to, r->history.logs, r->rows.rows, r->rows.updated,
               r->rows.failed, r->history.requests, requests, r->history_ms, ms);
    else
        printf("%s: %" PRIu64 " logs in blocks %" PRIu64 " to %" PRIu64 ", %" PRIu64
               " wallets read, %" PRIu64 " anchored, %" PRIu64 " failed, %" PRIu64
               " requests, %s\n",
               f->b->conf->name, r->history.logs, h->from, h->to, r->rows.rows, r->rows.updated,
               r->rows.failed, requests, took);
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

static int backfill_fill_table(struct cli *cli, struct tracker *t, struct tracked *b,
                               struct lease *lease, struct err *err)
{
    struct shown s = {0};
    struct backfill_forecast forecast;
    struct backfill_report report = {0};
    struct backfill f = {.t = t,
                         .b = b,
                         .lease = lease,
                         .has_from = cli_has(cli, "from"),
                         .has_to = cli_has(cli, "to"),
                         .looked = backfill_show_progress,
                         .read = read_some,
                         .ctx = &s};
    if (cli_number(cli, "from", &f.from, err) < 0 || cli_number(cli, "to", &f.to, err) < 0 ||
        backfill_plan(&f, &forecast, err) < 0)
        return -1;
    print_forecast(&f, &forecast);
    if (backfill_confirm_cost(cli, err) < 0)
        return -1;
    s.f = &f;
    s.first = forecast.next;
    snprintf(s.look, sizeof s.look, "backfill %s: events", b->conf->name);
    snprintf(s.read, sizeof s.read, "backfill %s: read", b->conf->name);
    progress_start(&s.looking, s.look);
    s.looking.unit = "blocks";
    int64_t started = clock_ms();
    int rc = backfill_run(&f, &report, err);
    progress_end(s.reads ? &s.reading : &s.looking);
    if (rc == 0)
        print_result(&f, &report, clock_ms() - started, cli_has(cli, "json"));
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
    struct tracker t;
    struct conf *conf;
    struct err err = {0}, ignored; /* sizes are found again */
    struct store_adopted adopted;
    struct learned learned;
    struct lease lease = {0};
    give_memory_back();
    int status = cli_open(cli, NEEDS_NODE | NEEDS_STORE, &t, &conf);
    if (status)
        return status;
    int rc = tracker_migrate(&t, &adopted, &err);
    if (rc == 0)
        rc = tracker_identify(&t, &err);
    bool begun = rc == 0;
    if (begun)
        learned_load(&t, &learned, &ignored);
    if (rc == 0)
        rc = lease_take(&lease, &t, "backfill", &err);
    for (size_t i = 0; rc == 0 && i < t.n_balances; i++)
        rc = backfill_fill_table(cli, &t, &t.balances[i], &lease, &err);
    if (begun)
        learned_save(&t, &learned, true, &ignored);
    lease_release(&lease);
    cli_close(&t, conf);
    return rc < 0 ? cli_fail(&err) : 0;
}
