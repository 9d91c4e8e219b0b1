/* trueup audit: rows against the chain. */
#include "track/verify/audit.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "num/interval.h"
#include "store/audit.h"
#include "web/json_values.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SAMPLE = 1000, FOUND_DRIFT = 3, FOUND_GAPS = 6 };

const struct cli_option audit_options[] = {
    {"sample", "N", NULL, "compare so many rows, drawn fairly (default: 1000)"},
    {"all", NULL, NULL, "compare every row"},
    {"fix", NULL, NULL, "repair what is wrong"},
    {"supply", NULL, NULL, "with --all: also a term's sum against totalSupply()"},
    {0},
};

/* ---- in words -------------------------------------------------------------------------------- */

static const double one_sided = 0.05, two_sided = 0.025;

/* Two digits that matter: "0.3 %", "0.062 %", "12 %". */
static const char *audit_percent_text(double share, char out[32])
{
    double p = share * 100, size = p > 0 ? floor(log10(p)) : 0;
    snprintf(out, 32, "%.*f %%", size >= 1 ? 0 : (int)(1 - size), p);
    char *end = strstr(out, " %"), *cut = end;
    while (strchr(out, '.') && cut > out && cut[-1] == '0')
        cut--;
    if (cut > out && cut[-1] == '.')
        cut--;
    if (cut != end)
        memmove(cut, end, strlen(end) + 1);
    return out;
}

static void print_rate(const struct audit *a, const struct audit_report *r)
{
    char low[32], high[32], share[32];
    double n = (double)r->compared;
    const char *name = a->b->conf->name;
    if (r->compared == 0)
        printf("%s: no row could be compared at block %" PRIu64 "\n", name, r->at.number);
    else if (r->whole)
        printf("%s: %" PRIu64 " of %" PRIu64 " rows wrong at block %" PRIu64 "\n", name, r->drifted,
               r->compared, r->at.number);
    else if (r->drifted == 0)
        printf("%s: 0 of %" PRIu64 " wrong at block %" PRIu64 ": at most %s of rows, 95 %%\n", name,
               r->compared, r->at.number,
               audit_percent_text(interval_upper(0, r->compared, one_sided), high));
    else
        printf("%s: %" PRIu64 " of %" PRIu64 " wrong at block %" PRIu64
               ": %s, between %s and %s of rows, 95 %%\n",
               name, r->drifted, r->compared, r->at.number,
               audit_percent_text((double)r->drifted / n, share),
               audit_percent_text(interval_lower(r->drifted, r->compared, two_sided), low),
               audit_percent_text(interval_upper(r->drifted, r->compared, two_sided), high));
}

struct audit_count {
    uint64_t n;
    const char *what;
};

/* "  causes: 3 missed_log, 1 reorg"; nothing when all are 0. */
static void print_counts(const char *title, const struct audit_count *counts, size_t n)
{
    const char *before = title;
    for (size_t i = 0; i < n; i++) {
        if (counts[i].n == 0)
            continue;
        printf("%s%" PRIu64 " %s", before, counts[i].n, counts[i].what);
        before = ", ";
    }
    if (before != title)
        putchar('\n');
}

static void print_left_out(const struct audit_report *r)
{
    const struct audit_count left[] = {{r->unanchored, "not anchored yet"},
                                       {r->pending, "awaited by an event or in quarantine"},
                                       {r->unread, "not readable"},
                                       {r->moving, "read again meanwhile"},
                                       {r->gone, "gone meanwhile"}};
    print_counts("  not compared: ", left, COUNT_OF(left));
}

static void print_causes(const struct audit_report *r)
{
    struct audit_count causes[DRIFT_REORG + 1];
    for (enum drift_cause c = DRIFT_UNKNOWN; c <= DRIFT_REORG; c++)
        causes[c] = (struct audit_count){r->causes[c], drift_cause_name(c)};
    print_counts("  causes: ", causes, COUNT_OF(causes));
}

static void print_worst(const struct audit_report *r)
{
    for (size_t i = 0; i < r->n_worst; i++) {
        const struct audit_worst *w = &r->worst[i];
        char wallet[ADDRESS_TEXT], stored[U256_DEC_ROOM], actual[U256_DEC_ROOM];
        address_text(&w->wallet, wallet);
        u256_to_dec(&w->stored, stored);
        u256_to_dec(&w->actual, actual);
        printf("  %s holds %s since block %" PRIu64 ", the chain says %s: %s", wallet, stored,
               w->observed, actual, drift_cause_name(w->cause));
        if (w->event_block > 0)
            printf(", block %" PRIu64, w->event_block);
        printf(w->endpoint[0] ? ", endpoint \"%s\"\n" : "\n", w->endpoint);
    }
    if (r->drifted > r->n_worst)
        printf("  … and %" PRIu64 " more; these are the farthest off\n", r->drifted - r->n_worst);
}

static void print_supply(const struct audit_report *r)
{
    char sum[U256_DEC_ROOM], supply[U256_DEC_ROOM], off[U256_DEC_ROOM];
    u256_to_dec(&r->supply.sum, sum);
    u256_to_dec(&r->supply.supply, supply);
    u256_to_dec(&r->supply.off, off);
    switch (r->supply.end) {
    case SUPPLY_NOT_ASKED:
        break;
    case SUPPLY_EQUAL:
        printf("  the rows' \"%s\" add up to totalSupply(), %s: every holder has a row\n",
               r->supply.term, supply);
        break;
    case SUPPLY_SHORT:
        printf("  the rows' \"%s\" add up to %s of totalSupply() %s: %s is held by wallets without "
               "a row (if the token keeps accounts; trueup backfill finds holders)\n",
               r->supply.term, sum, supply, off);
        break;
    case SUPPLY_OVER:
        printf("  the rows' \"%s\" add up to %s, more than totalSupply() %s: this token's balances "
               "do not add up to it\n",
               r->supply.term, sum, supply);
        break;
    case SUPPLY_SILENT:
        printf("  nothing can be said of totalSupply(): %s\n", r->supply.why);
        break;
    }
}

/* What the audit cannot vouch for: a row that it could not compare, a holder without a row. A row
 * that is being written meanwhile, or was deleted, is no gap. */
static uint64_t audit_count_gaps(const struct audit_report *r)
{
    return r->unanchored + r->pending + r->unread + r->without_row;
}

static void audit_print_gaps(const struct audit_report *r)
{
    uint64_t rows = audit_count_gaps(r) - r->without_row;
    if (rows > 0)
        printf("  nothing is said about %" PRIu64 " row%s that could not be compared\n", rows,
               rows == 1 ? "" : "s");
    if (r->without_row > 0)
        printf("  %" PRIu64 " tracked wallet%s without a row yet\n", r->without_row,
               r->without_row == 1 ? " is" : "s are");
}

static void print_report(const struct audit *a, const struct audit_report *r, int64_t ms)
{
    char took[CLOCK_TEXT];
    print_rate(a, r);
    print_causes(r);
    print_worst(r);
    print_left_out(r);
    print_supply(r);
    if (a->fix && r->drifted > 0)
        printf("  %" PRIu64 " repaired\n", r->fixed);
    audit_print_gaps(r);
    duration_text(took, ms);
    printf("  %" PRIu64 " requests, %s\n", r->traffic.requests, took);
}

/* ---- as JSON --------------------------------------------------------------------------------- */

static const char *supply_name(enum audit_supply end)
{
    static const char *const names[] = {"not_asked", "equal", "short", "over", "unknown"};
    return names[end];
}

static void print_worst_json(const struct audit_worst *w)
{
    struct buf out = BUF_INIT(4096);
    json_begin(&out, NULL, '{');
    json_add_address(&out, "wallet", &w->wallet);
    json_add_amount(&out, "stored", &w->stored);
    json_add_amount(&out, "actual", &w->actual);
    json_add_number(&out, "observed_block", w->observed);
    json_add_number(&out, "block", w->at);
    json_add_text(&out, "cause", drift_cause_name(w->cause));
    if (w->event_block > 0)
        json_add_number(&out, "event_block", w->event_block);
    if (w->endpoint[0])
        json_add_text(&out, "endpoint", w->endpoint);
    json_end(&out, '}');
    fputs(buf_str(&out), stdout);
    buf_free(&out);
}

static void print_json(const struct audit *a, const struct audit_report *r, int64_t ms)
{
    char hash[HASH_TEXT], sum[U256_DEC_ROOM], supply[U256_DEC_ROOM];
    bool sampled = !r->whole;
    uint64_t n = r->compared, k = r->drifted;
    double share = n ? (double)k / (double)n : 0;
    hash_text(&r->at.hash, hash);
    printf("{\"balance\":\"%s\",\"block\":%" PRIu64 ",\"hash\":\"%s\",\"sampled\":%s"
           ",\"compared\":%" PRIu64 ",\"drifted\":%" PRIu64
           ",\"share\":{\"found\":%.9f,\"low\":%.9f,\"high\":%.9f,\"confidence\":0.95}",
           a->b->conf->name, r->at.number, hash, sampled ? "true" : "false", n, k, share,
           sampled && n ? interval_lower(k, n, two_sided) : share,
           sampled && n ? interval_upper(k, n, k ? two_sided : one_sided) : share);
    printf(",\"causes\":{");
    for (enum drift_cause c = DRIFT_UNKNOWN; c <= DRIFT_REORG; c++)
        printf("%s\"%s\":%" PRIu64, c ? "," : "", drift_cause_name(c), r->causes[c]);
    printf("},\"worst\":[");
    for (size_t i = 0; i < r->n_worst; i++) {
        printf(i ? "," : "");
        print_worst_json(&r->worst[i]);
    }
    printf("],\"not_compared\":{\"unanchored\":%" PRIu64 ",\"pending\":%" PRIu64
           ",\"unread\":%" PRIu64 ",\"moving\":%" PRIu64 ",\"gone\":%" PRIu64
           "},\"without_row\":%" PRIu64,
           r->unanchored, r->pending, r->unread, r->moving, r->gone, r->without_row);
    u256_to_dec(&r->supply.sum, sum);
    u256_to_dec(&r->supply.supply, supply);
    printf(",\"supply\":{\"end\":\"%s\"", supply_name(r->supply.end));
    if (r->supply.end != SUPPLY_NOT_ASKED && r->supply.end != SUPPLY_SILENT)
        printf(",\"term\":\"%s\",\"sum\":\"%s\",\"total_supply\":\"%s\"", r->supply.term, sum,
               supply);
    printf("},\"fixed\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"bytes_out\":%" PRIu64
           ",\"bytes_in\":%" PRIu64 ",\"ms\":%" PRId64 "}\n",
           r->fixed, r->traffic.requests, r->traffic.bytes_out, r->traffic.bytes_in, ms);
}

/* ---- the command ----------------------------------------------------------------------------- */

static void audit_show_progress(void *ctx, uint64_t done, uint64_t total, uint64_t requests)
{
    progress_show(ctx, done, total, requests);
}

struct audit_task {
    struct audit a;
    bool drifted; /* a row of any balance */
    bool gaps;    /* a row that could not be compared, or a holder without one */
};

static int audit_balance(struct session *s, struct tracked *b, void *ctx, struct err *err)
{
    struct audit_task *task = ctx;
    struct audit *a = &task->a;
    struct progress progress;
    struct audit_report report;
    int64_t started = clock_ms();
    progress_start(&progress, "rows", "audit %s", b->conf->name);
    a->t = &s->t;
    a->b = b;
    a->lease = a->fix ? &s->lease : NULL;
    a->progress = audit_show_progress;
    a->ctx = &progress;
    int rc = audit_run(a, &report, err);
    progress_end(&progress);
    if (rc < 0)
        return -1;
    task->drifted |= report.drifted > 0;
    task->gaps |= audit_count_gaps(&report) > 0 || report.supply.end == SUPPLY_SHORT;
    (s->json ? print_json : print_report)(a, &report, clock_ms() - started);
    fflush(stdout);
    return 0;
}

int command_audit(struct cli *cli)
{
    struct err err = {0};
    uint64_t sample = SAMPLE;
    bool all = cli_has(cli, "all");
    if (cli_number(cli, "sample", &sample, &err) < 0)
        return cli_fail(&err);
    if (sample == 0 || sample > STORE_SAMPLE_MOST)
        return cli_usage(cli, "--sample: 1 to %d, or --all", STORE_SAMPLE_MOST);
    if (all && cli_has(cli, "sample"))
        return cli_usage(cli, "--all and --sample exclude each other");
    if (cli_has(cli, "supply") && !all)
        return cli_usage(cli, "--supply wants --all");
    struct audit_task task = {.a = {.sample = all ? 0 : (size_t)sample,
                                    .fix = cli_has(cli, "fix"),
                                    .supply = cli_has(cli, "supply")}};
    struct session_plan plan = {.needs = NEEDS_NODE | NEEDS_STORE,
                                .steps =
                                    SESSION_CHECK_STORE | SESSION_IDENTIFY | SESSION_LOAD_LEARNED,
                                .lease = task.a.fix ? "audit" : NULL,
                                .balance = audit_balance,
                                .ctx = &task};
    int status = session_run(cli, &plan);
    if (status == 0 && task.gaps)
        status = FOUND_GAPS;
    return task.drifted && (status == 0 || status == FOUND_GAPS) ? FOUND_DRIFT : status;
}
