#include "web/metrics.h"
#include "base/mem.h"
#include "web/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct metric;

struct scrape { /* a metric that is being written */
    const struct metric *m;
    const struct health *h;
    struct buf *out;
};

/* A metric is written by one function: once, or for each balance or endpoint. */
struct metric {
    const char *name;
    const char *type;
    const char *labels; /* "endpoint, method" */
    const char *help;
    void (*once)(const struct scrape *s);
    void (*balance)(const struct scrape *s, const struct facts_balance *b);
    void (*endpoint)(const struct scrape *s, const struct counters_endpoint_view *e);
    size_t at;                 /* the number's offset: in the health, the balance, the endpoint */
    enum cell cell;            /* the first of metric_write_cells() */
    const char *const *values; /* the label's value for each of them; NULL: it is one, no label */
    size_t n_values;
    const char *old_name; /* of the last edition: given beside the new one; NULL: none */
};

/* ---- one sample ------------------------------------------------------------------------------ */

static void metric_add_escaped(const char *text, struct buf *out)
{
    for (; *text; text++)
        if (*text == '\n')
            buf_adds(out, "\\n");
        else
            buf_addf(out, *text == '\\' || *text == '"' ? "\\%c" : "%c", *text);
}

/* The sample's name and labels; its number is the caller's. values: one for each label, or NULL
 * behind the last one. */
static void metric_begin(const struct scrape *s, const char *suffix, const char *const *values)
{
    buf_addf(s->out, "%s%s", s->m->name, suffix);
    char before = '{';
    for (const char *name = s->m->labels; *name && values[0]; values++) {
        size_t n = strcspn(name, ",");
        buf_addf(s->out, "%c%.*s=\"", before, (int)n, name);
        metric_add_escaped(*values, s->out);
        buf_addc(s->out, '"');
        name += n + strspn(name + n, ", ");
        before = ',';
    }
    buf_adds(s->out, before == ',' ? "} " : " ");
}

static void metric_add(const struct scrape *s, const char *const *values, uint64_t n)
{
    metric_begin(s, "", values);
    buf_addf(s->out, "%" PRIu64 "\n", n);
}

static void metric_add_seconds(const struct scrape *s, const char *const *values, double seconds)
{
    metric_begin(s, "", values);
    buf_addf(s->out, "%.3f\n", seconds);
}

static uint64_t metric_number(const struct scrape *s, const void *from)
{
    return *(const uint64_t *)(const void *)((const char *)from + s->m->at);
}

/* ---- written once ---------------------------------------------------------------------------- */

static void metric_write_block(const struct scrape *s)
{
    if (s->h->head)
        metric_add(s, NULL, metric_number(s, s->h));
}

static void metric_write_cells(const struct scrape *s)
{
    const struct metric *m = s->m;
    if (!m->values)
        metric_add(s, NULL, counters_sum(m->cell));
    for (size_t i = 0; i < m->n_values; i++)
        metric_add(s, &m->values[i], counters_sum(m->cell + (enum cell)i));
}

static void metric_write_connected(const struct scrape *s)
{
    metric_add(s, NULL, s->h->connected);
}

static void metric_write_store_up(const struct scrape *s)
{
    metric_add(s, NULL, health_store_up(s->h));
}

static void metric_write_role(const struct scrape *s)
{
    static const char *const roles[] = {"writer", "standby"};
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        metric_add(s, &roles[i], strcmp(roles[i], health_role(s->h)) == 0);
}

static void metric_write_ready(const struct scrape *s)
{
    struct reasons r = {0};
    health_ready(s->h, &r);
    metric_add(s, NULL, reasons_against(&r) == 0);
}

static void metric_write_fresh(const struct scrape *s)
{
    struct reasons r = {0};
    health_fresh(s->h, &r);
    metric_add(s, NULL, reasons_against(&r) == 0);
}

static void metric_write_light(const struct scrape *s)
{
    struct reasons r;
    enum colour is = health_verdict(s->h, &r);
    for (int c = GREEN; c <= RED; c++) {
        const char *name = colour_name((enum colour)c);
        metric_add(s, &name, (enum colour)c == is);
    }
}

static void metric_write_build(const struct scrape *s)
{
    metric_add(s, (const char *[]){TRUEUP_VERSION, NULL}, 1);
}

static void metric_write_drift(const struct scrape *s)
{
    const struct facts *f = &s->h->facts;
    for (size_t i = 0; i < f->n_drift; i++)
        metric_add(s, (const char *[]){f->drift[i].balance, f->drift[i].cause, NULL},
                   f->drift[i].n);
}

static void metric_write_delay(const struct scrape *s)
{
    uint64_t n = counters_sum(CELL_EVENT_ROWS);
    const char *name = s->m->name;
    for (int i = 0; i < COUNTERS_BUCKETS; i++)
        buf_addf(s->out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
                 (double)counters_bucket_ms[i] / 1000, counters_sum(CELL_EVENT_BUCKET + i));
    buf_addf(s->out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.3f\n%s_count %" PRIu64 "\n",
             name, n, name, (double)counters_sum(CELL_EVENT_MS) / 1000, name, n);
}

static void metric_write_restarts(const struct scrape *s)
{
    struct counters_worker_view w;
    for (size_t i = 0; i < COUNTERS_WORKERS; i++)
        for (int d = 0; counters_worker_get(i, &w) && d < DEATHS; d++)
            metric_add(s, (const char *[]){w.name, counters_death_names[d], NULL}, w.deaths[d]);
}

/* ---- written for a balance ------------------------------------------------------------------- */

static void metric_write_checkpoint(const struct scrape *s, const struct facts_balance *b)
{
    if (b->has_checkpoint)
        metric_add(s, &b->name, b->checkpoint);
}

/* A figure over all rows. */
static void metric_write_rows(const struct scrape *s, const struct facts_balance *b)
{
    if (b->has_ages)
        metric_add(s, &b->name, metric_number(s, b));
}

/* Wallets in quarantine are told apart. */
static void metric_write_late(const struct scrape *s, const struct facts_balance *b)
{
    const struct view_ages *a = &b->ages;
    const struct {
        const char *name;
        uint64_t n, excused;
    } reasons[] = {{"unanchored", a->unanchored, a->excused_unanchored},
                   {"old", a->old, a->excused_old}};
    for (size_t i = 0; b->has_ages && i < COUNT_OF(reasons); i++)
        metric_add(s, (const char *[]){b->name, reasons[i].name, NULL},
                   reasons[i].n > reasons[i].excused ? reasons[i].n - reasons[i].excused : 0);
}

static void metric_write_oldest(const struct scrape *s, const struct facts_balance *b)
{
    /* It ages on between two looks at the rows. */
    int64_t us = b->ages.now_us - b->ages.oldest_us;
    if (b->has_ages && b->ages.rows > 0)
        metric_add_seconds(s, &b->name, us > 0 ? (double)us / 1e6 : 0);
}

static void metric_write_age(const struct scrape *s, const struct facts_balance *b)
{
    static const struct {
        const char *name;
        double share;
    } shares[] = {{"0.5", 0.5}, {"0.9", 0.9}, {"0.99", 0.99}, {"1", 1}};
    if (!b->has_ages)
        return;
    for (size_t q = 0; b->ages.rows && q < COUNT_OF(shares); q++)
        metric_add_seconds(s, (const char *[]){b->name, shares[q].name, NULL},
                           facts_quantile(&b->ages, shares[q].share));
    metric_begin(s, "_count", (const char *[]){b->name, NULL});
    buf_addf(s->out, "%" PRIu64 "\n", b->ages.rows);
}

/* ---- written for an endpoint ----------------------------------------------------------------- */

static void metric_write_endpoint(const struct scrape *s, const struct counters_endpoint_view *e)
{
    metric_add(s, (const char *[]){e->name, NULL}, metric_number(s, e));
}

static void metric_write_up(const struct scrape *s, const struct counters_endpoint_view *e)
{
    metric_add(s, (const char *[]){e->name, NULL}, endpoint_is_up(e, s->h));
}

static void metric_write_requests(const struct scrape *s, const struct counters_endpoint_view *e)
{
    for (size_t m = 0; m < COUNTERS_METHODS; m++)
        for (size_t o = 0; o < COUNTERS_OUTCOMES; o++) {
            const char *values[] = {e->name, counters_methods[m], counters_outcome_name(o), NULL};
            if (e->requests[m][o] > 0)
                metric_add(s, values, e->requests[m][o]);
        }
}

static void metric_write_bytes(const struct scrape *s, const struct counters_endpoint_view *e)
{
    metric_add(s, (const char *[]){e->name, "in", NULL}, e->bytes_in);
    metric_add(s, (const char *[]){e->name, "out", NULL}, e->bytes_out);
}

static void metric_write_log_forms(const struct scrape *s, const struct counters_endpoint_view *e)
{
    for (size_t i = 0; i < COUNTERS_LOG_FORMS; i++)
        metric_add(s, (const char *[]){e->name, counters_log_forms_names[i], NULL},
                   e->log_forms == i);
}

static void metric_write_pauses(const struct scrape *s, const struct counters_endpoint_view *e)
{
    for (size_t i = 0; i < PAUSES; i++)
        metric_add(s, (const char *[]){e->name, counters_pause_names[i], NULL}, e->pauses[i]);
}

/* ---- the table ------------------------------------------------------------------------------- */

static const char *const tick_outcomes[] = {"done", "dropped", "failed"};

static const struct metric metrics[] = {
    {"trueup_head_block", "gauge", "", "The newest block known.", .once = metric_write_block,
     .at = offsetof(struct health, head)},
    {"trueup_synced_block", "gauge", "",
     "The highest block whose logs have been answered; the least of all balances.",
     .once = metric_write_block, .at = offsetof(struct health, synced),
     .old_name = "trueup_covered_block"},
    {"trueup_finalized_block", "gauge", "", "The block the chain will not take back.",
     .once = metric_write_block, .at = offsetof(struct health, finalized),
     .old_name = "trueup_settled_block"},
    {"trueup_checkpoint_block", "gauge", "balance",
     "The durable last_block in eth_indexer_checkpoints.", .balance = metric_write_checkpoint},
    {"trueup_rows", "gauge", "balance", "Rows in the table.", .balance = metric_write_rows,
     .at = offsetof(struct facts_balance, ages.rows)},
    {"trueup_unanchored_rows", "gauge", "balance", "Rows without observed_block: not anchored yet.",
     .balance = metric_write_rows, .at = offsetof(struct facts_balance, ages.unanchored),
     .old_name = "trueup_unproven_rows"},
    {"trueup_late_rows", "gauge", "balance, reason",
     "Rows without an anchor, and rows older than sweep.max_age (two days where it is off). "
     "Wallets "
     "in quarantine are not counted.",
     .balance = metric_write_late},
    {"trueup_oldest_row_age_seconds", "gauge", "balance",
     "Age of the row that was read longest ago (placeholders of 1970 included).",
     .balance = metric_write_oldest},
    {"trueup_row_age_seconds", "summary", "balance, quantile",
     "Age below which this share of the rows lies, from a histogram.", .balance = metric_write_age},
    {"trueup_refreshed_rows_total", "counter", "path",
     "Rows written with a value read from the chain, by what caused the read.",
     .once = metric_write_cells, .cell = CELL_REFRESHED, .values = path_names,
     .n_values = COUNTERS_PATHS},
    {"trueup_changed_rows_total", "counter", "",
     "Of those, rows whose balance was another one before.", .once = metric_write_cells,
     .cell = CELL_CHANGED},
    {"trueup_drift_rows_total", "counter", "balance, cause",
     "Rows found to differ from the chain, by cause.", .once = metric_write_drift},
    {"trueup_quarantined_rows", "gauge", "balance",
     "Wallets that cannot be read and wait for their next try.", .balance = metric_write_rows,
     .at = offsetof(struct facts_balance, ages.quarantined)},
    {"trueup_event_to_row_seconds", "histogram", "",
     "From a block's timestamp to the commit of the rows its events named, while at the head. "
     "Timestamps are whole seconds.",
     .once = metric_write_delay},
    {"trueup_reorgs_total", "counter", "", "Times the chain took blocks back.",
     .once = metric_write_cells, .cell = CELL_REORGS},
    {"trueup_db_warnings_total", "counter", "",
     "Warnings of the database, but for those that a repeated write answered.",
     .once = metric_write_cells, .cell = CELL_DB_WARNINGS},
    {"trueup_final_blocks_taken_back_total", "counter", "",
     "Times the chain took back a block that it had called final.", .once = metric_write_cells,
     .cell = CELL_TAKEN_BACK},
    {"trueup_missed_logs_total", "counter", "endpoint",
     "Logs an endpoint left out of an answer, found later.", .endpoint = metric_write_endpoint,
     .at = offsetof(struct counters_endpoint_view, missed_logs)},
    {"trueup_logs_ignored_total", "counter", "reason",
     "Logs in answers that were passed over, or that name wallets without an event block.",
     .once = metric_write_cells, .cell = CELL_LOGS_IGNORED, .values = counters_logs_ignored_names,
     .n_values = LOGS_IGNORED_REASONS},
    {"trueup_answers_misplaced_total", "counter", "endpoint",
     "Answers that belonged to another request and were discarded.",
     .endpoint = metric_write_endpoint, .at = offsetof(struct counters_endpoint_view, misplaced)},
    {"trueup_second_look_alone_total", "counter", "endpoint",
     "Second looks at a span of blocks given by the endpoint that had given the first.",
     .endpoint = metric_write_endpoint, .at = offsetof(struct counters_endpoint_view, looks_alone)},
    {"trueup_rpc_requests_total", "counter", "endpoint, method, outcome",
     "Requests to a node; the outcome is ok or the fault.", .endpoint = metric_write_requests},
    {"trueup_rpc_bytes_total", "counter", "endpoint, direction",
     "Bytes on the wire, headers included.", .endpoint = metric_write_bytes},
    {"trueup_rpc_cost_total", "counter", "endpoint",
     "Cost units, by the endpoint's price list; flat: one a request.",
     .endpoint = metric_write_endpoint, .at = offsetof(struct counters_endpoint_view, cost)},
    {"trueup_pushed_bytes_total", "counter", "endpoint",
     "Bytes of the messages that an endpoint pushed over its WebSocket.",
     .endpoint = metric_write_endpoint,
     .at = offsetof(struct counters_endpoint_view, pushed_bytes)},
    {"trueup_endpoint_log_forms", "gauge", "endpoint, forms",
     "1 for the forms of eth_getLogs that leave no log out: untried, all, by range, by block hash, "
     "none.",
     .endpoint = metric_write_log_forms},
    {"trueup_endpoint_up", "gauge", "endpoint",
     "1 while an endpoint answers: from a good answer on, until it is paused.",
     .endpoint = metric_write_up},
    {"trueup_endpoint_pauses_total", "counter", "endpoint, reason",
     "Times an endpoint was left alone or put last, by why.", .endpoint = metric_write_pauses},
    {"trueup_role", "gauge", "role",
     "1 for this daemon's role: writer, or standby while another daemon writes.",
     .once = metric_write_role},
    {"trueup_ready", "gauge", "", "1 while /readyz answers 200.", .once = metric_write_ready},
    {"trueup_fresh", "gauge", "", "1 while /freshz answers 200.", .once = metric_write_fresh},
    {"trueup_light", "gauge", "colour", "1 for the colour of the light: green, amber or red.",
     .once = metric_write_light},
    {"trueup_connected", "gauge", "", "1 while any endpoint answers.",
     .once = metric_write_connected},
    {"trueup_store_up", "gauge", "", "1 while the database answers.",
     .once = metric_write_store_up},
    {"trueup_worker_restarts_total", "counter", "worker, reason",
     "Deaths of a worker, each followed by a restart. Reasons: exit (it ended itself), memory "
     "(there was none), signal (killed from outside), crash, hung (no sign of life).",
     .once = metric_write_restarts},
    {"trueup_sweep_ticks_total", "counter", "outcome",
     "Ticks of the sweep: done, dropped because the last one still ran, failed.",
     .once = metric_write_cells, .cell = CELL_TICKS_DONE, .values = tick_outcomes,
     .n_values = COUNT_OF(tick_outcomes)},
    {"trueup_sweep_broken", "gauge", "",
     "Balances that cannot be swept, since a term fails for every wallet.",
     .once = metric_write_cells, .cell = CELL_BROKEN},
    {"trueup_http_requests_total", "counter", "", "HTTP requests handled here.",
     .once = metric_write_cells, .cell = CELL_HTTP_REQUESTS},
    {"trueup_http_refused_total", "counter", "",
     "HTTP connections turned away or cut off by a limit.", .once = metric_write_cells,
     .cell = CELL_HTTP_REFUSED},
    {"trueup_build_info", "gauge", "version", "Always 1.", .once = metric_write_build},
};

static void metric_write(const struct metric *m, const struct health *h, struct buf *out)
{
    struct scrape s = {m, h, out};
    struct counters_endpoint_view e;
    size_t before = out->len;
    buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
    size_t head = out->len;
    if (m->once)
        m->once(&s);
    for (size_t i = 0; m->balance && i < h->facts.n_balances; i++)
        m->balance(&s, &h->facts.balances[i]);
    for (size_t i = 0; m->endpoint && i < COUNTERS_ENDPOINTS; i++)
        if (counters_endpoint_get(i, &e))
            m->endpoint(&s, &e);
    if (out->len == head && out->data) { /* nothing to say yet */
        out->len = before;
        out->data[before] = '\0';
    }
}

/* The same samples under the name of the last edition, for dashboards that still ask for it. */
static void metric_write_old(const struct metric *m, const struct health *h, struct buf *out)
{
    char help[128];
    struct metric old = *m;
    snprintf(help, sizeof help, "Deprecated: use %s.", m->name);
    old.name = m->old_name;
    old.help = help;
    metric_write(&old, h, out);
}

void metrics_write(const struct health *h, struct buf *out)
{
    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        metric_write(&metrics[i], h, out);
        if (metrics[i].old_name)
            metric_write_old(&metrics[i], h, out);
    }
}

void metrics_document(struct buf *out)
{
    buf_adds(out, "# Metrics\n\n"
                  "`GET /metrics` in Prometheus' text format. This page is written by\n"
                  "`trueup reference metrics` from the definition in the program.\n\n"
                  "Figures over all rows are taken at most once a minute on a large table.\n"
                  "Alerts that use these: `contrib/prometheus/alerts.yml`; a dashboard:\n"
                  "`contrib/grafana/trueup.json`.\n\n"
                  "| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        const struct metric *m = &metrics[i];
        buf_addf(out, "| `%s` | %s | %s | %s", m->name, m->type, m->labels, m->help);
        if (m->old_name)
            buf_addf(out, " In this edition also given as `%s`, which is deprecated.", m->old_name);
        buf_adds(out, " |\n");
    }
}
