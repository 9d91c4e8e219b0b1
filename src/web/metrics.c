#include "web/metrics.h"
#include "base/mem.h"
#include "web/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct metric {
    const char *name;
    const char *type;
    const char *labels; /* for the reference */
    const char *help;
    void (*write)(const struct metric *m, const struct health *h, struct buf *out);
    enum cell cell;       /* for those that are just one cell */
    const char *old_name; /* of the last edition: given beside the new one; NULL: none */
};

/* ---- one sample ------------------------------------------------------------------------------ */

static void metric_add_label(struct buf *out, const char *name, const char *value, bool first)
{
    buf_addf(out, "%s%s=\"", first ? "{" : ",", name);
    for (const char *s = value; *s; s++)
        if (*s == '\\' || *s == '"')
            buf_addf(out, "\\%c", *s);
        else if (*s == '\n')
            buf_adds(out, "\\n");
        else
            buf_addc(out, *s);
    buf_addc(out, '"');
}

static void metric_add_plain(const struct metric *m, uint64_t v, struct buf *out)
{
    buf_addf(out, "%s %" PRIu64 "\n", m->name, v);
}

static void one_label(const struct metric *m, const char *name, const char *value, uint64_t v,
                      struct buf *out)
{
    buf_adds(out, m->name);
    metric_add_label(out, name, value, true);
    buf_addf(out, "} %" PRIu64 "\n", v);
}

/* ---- the metrics ----------------------------------------------------------------------------- */

static void write_head(const struct metric *m, const struct health *h, struct buf *out)
{
    if (h->head)
        metric_add_plain(m, h->head, out);
}

static void write_synced(const struct metric *m, const struct health *h, struct buf *out)
{
    if (h->head)
        metric_add_plain(m, h->synced, out);
}

static void write_finalized(const struct metric *m, const struct health *h, struct buf *out)
{
    if (h->head)
        metric_add_plain(m, h->finalized, out);
}

static void write_checkpoint(const struct metric *m, const struct health *h, struct buf *out)
{
    for (size_t i = 0; i < h->facts.n_balances; i++)
        if (h->facts.balances[i].has_checkpoint)
            one_label(m, "balance", h->facts.balances[i].name, h->facts.balances[i].checkpoint,
                      out);
}

static void write_rows(const struct metric *m, const struct health *h, struct buf *out)
{
    for (size_t i = 0; i < h->facts.n_balances; i++)
        if (h->facts.balances[i].has_ages)
            one_label(m, "balance", h->facts.balances[i].name, h->facts.balances[i].ages.rows, out);
}

static void write_unanchored(const struct metric *m, const struct health *h, struct buf *out)
{
    for (size_t i = 0; i < h->facts.n_balances; i++)
        if (h->facts.balances[i].has_ages)
            one_label(m, "balance", h->facts.balances[i].name, h->facts.balances[i].ages.unanchored,
                      out);
}

static void write_quarantined(const struct metric *m, const struct health *h, struct buf *out)
{
    for (size_t i = 0; i < h->facts.n_balances; i++)
        if (h->facts.balances[i].has_ages)
            one_label(m, "balance", h->facts.balances[i].name,
                      h->facts.balances[i].ages.quarantined, out);
}

static void write_oldest(const struct metric *m, const struct health *h, struct buf *out)
{
    for (size_t i = 0; i < h->facts.n_balances; i++) {
        const struct facts_balance *b = &h->facts.balances[i];
        /* It ages on between two looks at the rows. */
        int64_t us = b->ages.now_us - b->ages.oldest_us;
        if (!b->has_ages || b->ages.rows == 0)
            continue;
        buf_adds(out, m->name);
        metric_add_label(out, "balance", b->name, true);
        buf_addf(out, "} %.3f\n", us > 0 ? (double)us / 1e6 : 0);
    }
}

static void write_age(const struct metric *m, const struct health *h, struct buf *out)
{
    static const struct {
        const char *name;
        double share;
    } shares[] = {{"0.5", 0.5}, {"0.9", 0.9}, {"0.99", 0.99}, {"1", 1}};
    for (size_t i = 0; i < h->facts.n_balances; i++) {
        const struct facts_balance *b = &h->facts.balances[i];
        for (size_t q = 0; b->has_ages && b->ages.rows && q < 4; q++) {
            buf_adds(out, m->name);
            metric_add_label(out, "balance", b->name, true);
            metric_add_label(out, "quantile", shares[q].name, false);
            buf_addf(out, "} %.3f\n", facts_quantile(&b->ages, shares[q].share));
        }
        if (!b->has_ages)
            continue;
        buf_addf(out, "%s_count", m->name);
        metric_add_label(out, "balance", b->name, true);
        buf_addf(out, "} %" PRIu64 "\n", b->ages.rows);
    }
}

static void write_refreshed(const struct metric *m, const struct health *h, struct buf *out)
{
    (void)h;
    for (int i = 0; i < COUNTERS_PATHS; i++)
        one_label(m, "path", path_names[i], counters_sum(CELL_REFRESHED + i), out);
}

static void write_drift(const struct metric *m, const struct health *h, struct buf *out)
{
    for (size_t i = 0; i < h->facts.n_drift; i++) {
        buf_adds(out, m->name);
        metric_add_label(out, "balance", h->facts.drift[i].balance, true);
        metric_add_label(out, "cause", h->facts.drift[i].cause, false);
        buf_addf(out, "} %" PRIu64 "\n", h->facts.drift[i].n);
    }
}

static void write_event_to_row(const struct metric *m, const struct health *h, struct buf *out)
{
    uint64_t n = counters_sum(CELL_EVENT_ROWS);
    (void)h;
    for (int i = 0; i < COUNTERS_BUCKETS; i++)
        buf_addf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", m->name,
                 (double)counters_bucket_ms[i] / 1000, counters_sum(CELL_EVENT_BUCKET + i));
    buf_addf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.3f\n%s_count %" PRIu64 "\n",
             m->name, n, m->name, (double)counters_sum(CELL_EVENT_MS) / 1000, m->name, n);
}

static void write_cell(const struct metric *m, const struct health *h, struct buf *out)
{
    (void)h;
    metric_add_plain(m, counters_sum(m->cell), out);
}

static void write_missed(const struct metric *m, const struct health *h, struct buf *out)
{
    struct counters_endpoint_view e;
    (void)h;
    for (size_t i = 0; i < COUNTERS_ENDPOINTS; i++)
        if (counters_endpoint_get(i, &e))
            one_label(m, "endpoint", e.name, e.missed_logs, out);
}

static void write_requests(const struct metric *m, const struct health *h, struct buf *out)
{
    struct counters_endpoint_view e;
    (void)h;
    for (size_t i = 0; i < COUNTERS_ENDPOINTS; i++) {
        if (!counters_endpoint_get(i, &e))
            continue;
        for (size_t k = 0; k < COUNTERS_METHODS * COUNTERS_OUTCOMES; k++) {
            size_t method = k / COUNTERS_OUTCOMES, outcome = k % COUNTERS_OUTCOMES;
            if (e.requests[method][outcome] == 0)
                continue;
            buf_adds(out, m->name);
            metric_add_label(out, "endpoint", e.name, true);
            metric_add_label(out, "method", counters_methods[method], false);
            metric_add_label(out, "outcome", counters_outcome_name(outcome), false);
            buf_addf(out, "} %" PRIu64 "\n", e.requests[method][outcome]);
        }
    }
}

static void write_bytes(const struct metric *m, const struct health *h, struct buf *out)
{
    struct counters_endpoint_view e;
    (void)h;
    for (size_t i = 0; i < COUNTERS_ENDPOINTS * 2; i++) {
        if (!counters_endpoint_get(i / 2, &e))
            continue;
        buf_adds(out, m->name);
        metric_add_label(out, "endpoint", e.name, true);
        metric_add_label(out, "direction", i % 2 ? "out" : "in", false);
        buf_addf(out, "} %" PRIu64 "\n", i % 2 ? e.bytes_out : e.bytes_in);
    }
}

static void write_pauses(const struct metric *m, const struct health *h, struct buf *out)
{
    struct counters_endpoint_view e;
    (void)h;
    for (size_t i = 0; i < COUNTERS_ENDPOINTS * PAUSES; i++) {
        if (!counters_endpoint_get(i / PAUSES, &e))
            continue;
        buf_adds(out, m->name);
        metric_add_label(out, "endpoint", e.name, true);
        metric_add_label(out, "reason", counters_pause_names[i % PAUSES], false);
        buf_addf(out, "} %" PRIu64 "\n", e.pauses[i % PAUSES]);
    }
}

static void write_cost(const struct metric *m, const struct health *h, struct buf *out)
{
    struct counters_endpoint_view e;
    (void)h;
    for (size_t i = 0; i < COUNTERS_ENDPOINTS; i++)
        if (counters_endpoint_get(i, &e))
            one_label(m, "endpoint", e.name, e.cost, out);
}

static void write_up(const struct metric *m, const struct health *h, struct buf *out)
{
    struct counters_endpoint_view e;
    for (size_t i = 0; i < COUNTERS_ENDPOINTS; i++)
        if (counters_endpoint_get(i, &e))
            one_label(m, "endpoint", e.name, endpoint_is_up(&e, h), out);
}

static void write_restarts(const struct metric *m, const struct health *h, struct buf *out)
{
    struct counters_worker_view w;
    (void)h;
    for (size_t i = 0; i < COUNTERS_WORKERS; i++)
        for (int d = 0; counters_worker_get(i, &w) && d < DEATHS; d++) {
            buf_adds(out, m->name);
            metric_add_label(out, "worker", w.name, true);
            metric_add_label(out, "reason", counters_death_names[d], false);
            buf_addf(out, "} %" PRIu64 "\n", w.deaths[d]);
        }
}

static void write_ticks(const struct metric *m, const struct health *h, struct buf *out)
{
    (void)h;
    one_label(m, "outcome", "done", counters_sum(CELL_TICKS_DONE), out);
    one_label(m, "outcome", "dropped", counters_sum(CELL_TICKS_DROPPED), out);
    one_label(m, "outcome", "failed", counters_sum(CELL_TICKS_FAILED), out);
}

static void write_connected(const struct metric *m, const struct health *h, struct buf *out)
{
    metric_add_plain(m, h->connected, out);
}

static void write_store_up(const struct metric *m, const struct health *h, struct buf *out)
{
    metric_add_plain(m, health_store_up(h), out);
}

static void write_build(const struct metric *m, const struct health *h, struct buf *out)
{
    (void)h;
    one_label(m, "version", TRUEUP_VERSION, 1, out);
}

static const struct metric metrics[] = {
    {"trueup_head_block", "gauge", "", "The newest block known.", write_head, 0},
    {"trueup_synced_block", "gauge", "",
     "The highest block whose logs have been answered; the least of all balances.", write_synced, 0,
     "trueup_covered_block"},
    {"trueup_finalized_block", "gauge", "", "The block the chain will not take back.",
     write_finalized, 0, "trueup_settled_block"},
    {"trueup_checkpoint_block", "gauge", "balance",
     "The durable last_block in eth_indexer_checkpoints.", write_checkpoint, 0},
    {"trueup_rows", "gauge", "balance", "Rows in the table.", write_rows, 0},
    {"trueup_unanchored_rows", "gauge", "balance", "Rows without observed_block: not anchored yet.",
     write_unanchored, 0, "trueup_unproven_rows"},
    {"trueup_oldest_row_age_seconds", "gauge", "balance",
     "Age of the row that was read longest ago (placeholders of 1970 included).", write_oldest, 0},
    {"trueup_row_age_seconds", "summary", "balance, quantile",
     "Age below which this share of the rows lies, from a histogram.", write_age, 0},
    {"trueup_refreshed_rows_total", "counter", "path",
     "Rows written with a value read from the chain, by what caused the read.", write_refreshed, 0},
    {"trueup_changed_rows_total", "counter", "",
     "Of those, rows whose balance was another one before.", write_cell, CELL_CHANGED},
    {"trueup_drift_rows_total", "counter", "balance, cause",
     "Rows found to differ from the chain, by cause.", write_drift, 0},
    {"trueup_quarantined_rows", "gauge", "balance",
     "Wallets that cannot be read and wait for their next try.", write_quarantined, 0},
    {"trueup_event_to_row_seconds", "histogram", "",
     "From a block's timestamp to the commit of the rows its events named, while at the head. "
     "Timestamps are whole seconds.",
     write_event_to_row, 0},
    {"trueup_reorgs_total", "counter", "", "Times the chain took blocks back.", write_cell,
     CELL_REORGS},
    {"trueup_missed_logs_total", "counter", "endpoint",
     "Logs an endpoint left out of an answer, found later.", write_missed, 0},
    {"trueup_rpc_requests_total", "counter", "endpoint, method, outcome",
     "Requests to a node; the outcome is ok or the fault.", write_requests, 0},
    {"trueup_rpc_bytes_total", "counter", "endpoint, direction",
     "Bytes on the wire, headers included.", write_bytes, 0},
    {"trueup_rpc_cost_total", "counter", "endpoint",
     "Cost units, by the endpoint's price list; flat: one a request.", write_cost, 0},
    {"trueup_endpoint_up", "gauge", "endpoint",
     "1 while an endpoint answers: from a good answer on, until it is paused.", write_up, 0},
    {"trueup_endpoint_pauses_total", "counter", "endpoint, reason",
     "Times an endpoint was left alone or put last, by why.", write_pauses, 0},
    {"trueup_connected", "gauge", "", "1 while any endpoint answers.", write_connected, 0},
    {"trueup_store_up", "gauge", "", "1 while the database answers.", write_store_up, 0},
    {"trueup_worker_restarts_total", "counter", "worker, reason",
     "Deaths of a worker, each followed by a restart. Reasons: exit (it ended itself), memory "
     "(there was none), signal (killed from outside), crash, hung (no sign of life).",
     write_restarts, 0},
    {"trueup_sweep_ticks_total", "counter", "outcome",
     "Ticks of the sweep: done, dropped because the last one still ran, failed.", write_ticks, 0},
    {"trueup_sweep_broken", "gauge", "",
     "Balances that cannot be swept, since a term fails for every wallet.", write_cell,
     CELL_BROKEN},
    {"trueup_http_requests_total", "counter", "", "HTTP requests handled here.", write_cell,
     CELL_HTTP_REQUESTS},
    {"trueup_http_refused_total", "counter", "",
     "HTTP connections turned away or cut off by a limit.", write_cell, CELL_HTTP_REFUSED},
    {"trueup_build_info", "gauge", "version", "Always 1.", write_build, 0},
};

static void metric_write(const struct metric *m, const struct health *h, struct buf *out)
{
    size_t before = out->len;
    buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
    size_t head = out->len;
    m->write(m, h, out);
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
