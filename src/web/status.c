#include "web/status.h"
#include "web/json_values.h"
#include "web/status_logs.h"

#include <math.h>
#include <string.h>

enum { DAY_S = 86400, MEASURED_S = 600 };

const char *const path_names[COUNTERS_PATHS] = {"event", "sweep", "settle",
                                                "reorg", "audit", "backfill"};

/* ---- history --------------------------------------------------------------------------------- */

void history_sample(struct refresh_history *h, int64_t now_ms)
{
    struct refresh_sample *last = h->n ? &h->samples[(h->next + SAMPLES - 1) % SAMPLES] : NULL;
    if (last && now_ms - last->at_ms < SAMPLE_MS)
        return;
    struct refresh_sample *s = &h->samples[h->next];
    s->at_ms = now_ms;
    for (int i = 0; i < COUNTERS_PATHS; i++)
        s->refreshed[i] = counters_sum(CELL_REFRESHED + i);
    h->next = (h->next + 1) % SAMPLES;
    h->n += h->n < SAMPLES;
}

/* Rows a second by the sweep lately; 0 when nothing is known. */
static double history_sweep_rate(const struct refresh_history *h, int64_t now_ms)
{
    if (!h || h->n == 0)
        return 0;
    size_t back = h->n < RATE_SAMPLES ? h->n : RATE_SAMPLES;
    const struct refresh_sample *old = &h->samples[(h->next + SAMPLES - back) % SAMPLES];
    double seconds = (double)(now_ms - old->at_ms) / 1000;
    uint64_t rows = counters_sum(CELL_REFRESHED + 1) - old->refreshed[1];
    return seconds >= 1 ? (double)rows / seconds : 0;
}

static void write_history(const struct refresh_history *h, struct buf *out)
{
    json_begin(out, "history", '[');
    for (size_t i = 0; i < h->n; i++) {
        const struct refresh_sample *s = &h->samples[(h->next + SAMPLES - h->n + i) % SAMPLES];
        json_begin(out, NULL, '[');
        json_add_number(out, NULL, (uint64_t)s->at_ms);
        for (int p = 0; p < COUNTERS_PATHS; p++)
            json_add_number(out, NULL, s->refreshed[p]);
        json_end(out, ']');
    }
    json_end(out, ']');
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void write_verdict(const struct health *h, struct buf *out)
{
    struct reasons r;
    enum colour c = health_verdict(h, &r);
    char sentence[REASON_TEXT];
    health_sentence(h, c, sentence);
    json_begin(out, "verdict", '{');
    json_add_text(out, "state", colour_name(c));
    json_add_text(out, "text", sentence);
    json_begin(out, "reasons", '[');
    for (size_t i = 0; i < r.n; i++) {
        json_begin(out, NULL, '{');
        json_add_text(out, "state", colour_name(r.list[i].colour));
        json_add_text(out, "text", r.list[i].text);
        json_end(out, '}');
    }
    json_end(out, ']');
    r = (struct reasons){0};
    health_notes(h, &r);
    json_begin(out, "notes", '[');
    for (size_t i = 0; i < r.n; i++)
        json_add_text(out, NULL, r.list[i].text);
    json_end(out, ']');
    json_end(out, '}');
}

/* "": null */
static void write_words(struct buf *out, const char *key, const char *words)
{
    json_add_text(out, key, words[0] ? words : NULL);
}

static void write_chain(const struct health *h, struct buf *out)
{
    bool subscribed = counters_get(PART_LISTEN, CELL_SOCKETS) > 0;
    json_begin(out, "chain", '{');
    json_add_number_or_null(out, "id", h->facts.chain_id > 0, h->facts.chain_id);
    json_add_number_or_null(out, "head", h->head > 0, h->head);
    json_add_seconds(out, "head_time", h->head_time);
    json_add_number_or_null(out, "synced", h->head > 0, h->synced);
    json_add_number_or_null(out, "finalized", h->head > 0, h->finalized);
    write_words(out, "anchor", h->facts.anchor);
    json_add_bool(out, "connected", h->connected);
    json_add_text(out, "mode", subscribed ? "subscription" : "polling");
    json_add_number(out, "reorgs", counters_sum(CELL_REORGS));
    json_add_milliseconds(out, "last_event_at", counters_get(PART_FOLLOW, CELL_EVENT_AT));
    json_end(out, '}');
}

static void write_ages(const struct facts_balance *b, struct buf *out)
{
    const struct view_ages *a = &b->ages;
    double oldest = a->now_us > a->oldest_us ? (double)(a->now_us - a->oldest_us) / 1e6 : 0;
    json_add_number(out, "rows", a->rows);
    json_add_number(out, "unanchored", a->unanchored);
    json_add_number(out, "quarantined", a->quarantined);
    json_add_number(out, "listed", a->listed);
    json_add_decimal(out, "oldest_age_seconds", a->rows ? oldest : NAN, 1);
    json_begin(out, "age_quantiles", '{');
    json_add_decimal(out, "0.5", facts_quantile(a, 0.5), 1);
    json_add_decimal(out, "0.9", facts_quantile(a, 0.9), 1);
    json_add_decimal(out, "0.99", facts_quantile(a, 0.99), 1);
    json_end(out, '}');
    json_begin(out, "ages", '[');
    for (size_t i = 0; i <= FACTS_LIMITS; i++) {
        bool last = i == FACTS_LIMITS;
        json_begin(out, NULL, '[');
        json_add_number_or_null(out, NULL, !last, last ? 0 : facts_limits[i]);
        json_add_number(out, NULL, a->buckets[i]);
        json_end(out, ']');
    }
    json_end(out, ']');
    json_add_time(out, "as_of", a->now_us);
}

/* What the sweep has asked and moved for a row, so far: the base of the forecast. */
struct per_row {
    bool known;
    double units, bytes;
};

static struct per_row sweep_per_row(void)
{
    struct counters_endpoint_view e;
    struct per_row ret = {0};
    uint64_t rows = 0;
    for (int i = 0; i < COUNTERS_PATHS; i++)
        rows += counters_get(PART_SWEEP, (enum cell)(CELL_REFRESHED + i));
    for (size_t i = 0; i < COUNTERS_ENDPOINTS && rows > 0; i++)
        if (counters_endpoint_part(PART_SWEEP, i, &e)) {
            ret.known = true;
            ret.units += (double)e.cost / (double)rows;
            ret.bytes += (double)(e.bytes_in + e.bytes_out) / (double)rows;
        }
    return ret;
}

static void write_forecast(uint64_t rows, struct buf *out)
{
    uint64_t batch = counters_get(PART_SWEEP, CELL_BATCH);
    struct per_row cost = sweep_per_row();
    double n = (double)rows;
    json_add_number_or_null(out, "full_pass_requests", batch > 0,
                            batch ? (rows + batch - 1) / batch : 0);
    json_add_number_or_null(out, "full_pass_units", cost.known, (uint64_t)(cost.units * n + 0.5));
    json_add_number_or_null(out, "full_pass_bytes", cost.known, (uint64_t)(cost.bytes * n + 0.5));
}

/* How far the lap is, and when at this rate every row will have been read once. */
static void write_lap(const struct health *h, size_t i, const struct refresh_history *history,
                      struct buf *out)
{
    struct counters_lap_view lap;
    counters_lap_get(i, &lap);
    double rate = history_sweep_rate(history, h->now_ms);
    /* Several balances share the sweep by their rows. */
    uint64_t all = 0;
    for (size_t k = 0; k < h->facts.n_balances; k++)
        all += h->facts.balances[k].ages.rows;
    json_begin(out, "lap", '{');
    json_add_number(out, "number", lap.laps + 1);
    json_add_number(out, "rows", lap.rows);
    json_add_seconds(out, "started", lap.started);
    json_add_decimal(out, "full_pass_seconds", rate > 0 && all > 0 ? (double)all / rate : NAN, 0);
    write_forecast(h->facts.balances[i].ages.rows, out);
    json_end(out, '}');
}

static void write_balances(const struct health *h, const struct refresh_history *history,
                           struct buf *out)
{
    json_begin(out, "balances", '[');
    for (size_t i = 0; i < h->facts.n_balances; i++) {
        const struct facts_balance *b = &h->facts.balances[i];
        json_begin(out, NULL, '{');
        json_add_text(out, "name", b->name);
        json_add_text(out, "table", b->table);
        json_add_number_or_null(out, "checkpoint", b->has_checkpoint, b->checkpoint);
        json_add_bool(out, "rescanning", b->rescanning);
        if (b->has_ages)
            write_ages(b, out);
        write_lap(h, i, history, out);
        json_end(out, '}');
    }
    json_end(out, ']');
}

static void write_sweep(const struct health *h, const struct conf *conf,
                        const struct refresh_history *history, struct buf *out)
{
    json_begin(out, "sweep", '{');
    json_add_number(out, "interval_ms", (uint64_t)conf->sweep.interval_ms);
    json_add_number(out, "max_age_ms", (uint64_t)conf->sweep.max_age_ms);
    json_add_number(out, "done", counters_sum(CELL_TICKS_DONE));
    json_add_number(out, "dropped", counters_sum(CELL_TICKS_DROPPED));
    json_add_number(out, "failed", counters_sum(CELL_TICKS_FAILED));
    json_add_number(out, "batch", counters_get(PART_SWEEP, CELL_BATCH));
    json_add_number(out, "last_tick_ms", counters_get(PART_SWEEP, CELL_TICK_MS));
    json_add_number(out, "last_tick_rows", counters_get(PART_SWEEP, CELL_TICK_ROWS));
    json_add_decimal(out, "rows_per_second", history_sweep_rate(history, h->now_ms), 2);
    json_end(out, '}');
    json_begin(out, "refreshed", '{');
    for (int i = 0; i < COUNTERS_PATHS; i++)
        json_add_number(out, path_names[i], counters_sum(CELL_REFRESHED + i));
    json_end(out, '}');
    json_add_number(out, "changed", counters_sum(CELL_CHANGED));
}

/* What following costs a day, pushes included, by what it cost since the start. */
static void write_following(const struct health *h, struct buf *out)
{
    struct counters_endpoint_view e;
    uint64_t cost = 0, since = counters_started(), now = (uint64_t)h->now_ms / 1000;
    for (size_t i = 0; i < COUNTERS_ENDPOINTS; i++)
        for (enum counters_part p = PART_FOLLOW; p < PARTS; p++)
            if ((p == PART_FOLLOW || p == PART_LISTEN) && counters_endpoint_part(p, i, &e))
                cost += e.cost;
    bool known = since > 0 && now >= since + MEASURED_S;
    json_add_number_or_null(out, "following_per_day", known,
                            known ? cost * DAY_S / (now - since) : 0);
}

static void write_budget(const struct health *h, const struct conf *conf, struct buf *out)
{
    struct counters_endpoint_view e;
    uint64_t spent = 0;
    for (size_t i = 0; i < COUNTERS_ENDPOINTS; i++)
        if (counters_endpoint_get(i, &e))
            spent += e.cost;
    /* The account is written down once a minute only. */
    bool all_today = counters_started() / DAY_S == (uint64_t)h->now_ms / 1000 / DAY_S;
    uint64_t today = h->facts.spent_today;
    json_begin(out, "budget", '{');
    json_add_number(out, "per_second", conf->budget.per_second);
    json_add_number(out, "per_day", conf->budget.per_day);
    json_add_number(out, "spent_since_start", spent);
    write_following(h, out);
    json_add_number_or_null(out, "spent_today", conf->budget.per_day > 0,
                            all_today && spent > today ? spent : today);
    json_end(out, '}');
}

static void write_drift(const struct health *h, struct buf *out)
{
    uint64_t total = 0;
    for (size_t i = 0; i < h->facts.n_drift; i++)
        total += h->facts.drift[i].n;
    json_begin(out, "drift", '{');
    json_add_number(out, "total", total);
    json_begin(out, "causes", '[');
    for (size_t i = 0; i < h->facts.n_drift; i++) {
        json_begin(out, NULL, '{');
        json_add_text(out, "balance", h->facts.drift[i].balance);
        json_add_text(out, "cause", h->facts.drift[i].cause);
        json_add_number(out, "rows", h->facts.drift[i].n);
        json_end(out, '}');
    }
    json_end(out, ']');
    json_end(out, '}');
}

static void write_faults(const struct counters_endpoint_view *e, struct buf *out)
{
    uint64_t requests = 0;
    json_begin(out, "faults", '{');
    for (size_t o = 0; o < COUNTERS_OUTCOMES; o++) {
        uint64_t n = 0;
        for (size_t m = 0; m < COUNTERS_METHODS; m++)
            n += e->requests[m][o];
        requests += n;
        if (o > 0 && n > 0)
            json_add_number(out, counters_outcome_name(o), n);
    }
    json_end(out, '}');
    json_add_number(out, "requests", requests);
}

static void write_endpoint(const struct counters_endpoint_view *e, const struct health *h,
                           struct buf *out)
{
    bool up = endpoint_is_up(e, h);
    int64_t paused_ms = (int64_t)e->paused_until - h->now_ms;
    json_begin(out, NULL, '{');
    json_add_text(out, "name", e->name);
    json_add_text(out, "state", endpoint_words(e, h));
    json_add_bool(out, "up", up);
    json_add_number(out, "paused_ms", paused_ms > 0 ? (uint64_t)paused_ms : 0);
    write_words(out, "paused_why", up ? "" : e->paused_why);
    write_words(out, "reader", e->reader);
    json_add_number_or_null(out, "batch", e->batch > 0, e->batch);
    json_add_number_or_null(out, "gas", e->gas > 0, e->gas);
    json_add_number(out, "missed_logs", e->missed_logs);
    json_add_text(out, "log_forms", counters_log_forms_names[e->log_forms]);
    json_add_decimal(out, "latency_ms", (double)e->latency_us / 1000, 1);
    write_faults(e, out);
    json_add_number(out, "bytes_in", e->bytes_in);
    json_add_number(out, "bytes_out", e->bytes_out);
    json_add_number(out, "pushes", e->pushes);
    json_add_number(out, "pushed_bytes", e->pushed_bytes);
    json_add_number(out, "cost", e->cost);
    json_add_seconds(out, "answered_at", e->answered_at / 1000);
    json_end(out, '}');
}

static void write_worker(const struct counters_worker_view *w, struct buf *out)
{
    uint64_t restarts = 0;
    for (int d = 0; d < DEATHS; d++)
        restarts += w->deaths[d];
    json_begin(out, NULL, '{');
    json_add_text(out, "name", w->name);
    json_add_bool(out, "running", w->pid);
    json_add_bool(out, "parked", w->parked_until);
    json_add_number(out, "pid", (uint64_t)w->pid);
    json_add_seconds(out, "since", w->started);
    json_add_number(out, "restarts", restarts);
    write_words(out, "died_of", w->exit_reason);
    write_words(out, "last_words", w->trouble);
    json_add_seconds(out, "last_words_at", w->trouble[0] ? w->trouble_at : 0);
    json_end(out, '}');
}

static void write_processes(const struct health *h, struct buf *out)
{
    struct counters_endpoint_view e;
    struct counters_worker_view w;
    json_begin(out, "endpoints", '[');
    for (size_t i = 0; i < COUNTERS_ENDPOINTS; i++)
        if (counters_endpoint_get(i, &e))
            write_endpoint(&e, h, out);
    json_end(out, ']');
    json_begin(out, "workers", '[');
    for (size_t i = 0; i < COUNTERS_WORKERS; i++)
        if (counters_worker_get(i, &w))
            write_worker(&w, out);
    json_end(out, ']');
}

static void write_store(const struct health *h, const struct conf *conf, struct buf *out)
{
    bool sqlite = strncmp(conf->store, "sqlite:", 7) == 0, up = health_store_up(h);
    json_begin(out, "store", '{');
    json_add_text(out, "kind", sqlite ? "sqlite" : "postgres");
    json_add_bool(out, "ok", up);
    write_words(out, "error",
                h->facts.store_error[0] || up ? h->facts.store_error
                                              : "it has not answered lately");
    json_end(out, '}');
}

void status_write(const struct health *health, const struct conf *conf,
                  const struct refresh_history *history, bool with_history, struct buf *out)
{
    json_begin(out, NULL, '{');
    json_add_text(out, "version", TRUEUP_VERSION);
    json_add_bool(out, "daemon", health->has_daemon);
    json_add_text(out, "role", health_role(health));
    json_add_time(out, "time", health->now_ms * 1000);
    json_add_seconds(out, "started", counters_started());
    write_verdict(health, out);
    write_chain(health, out);
    write_store(health, conf, out);
    write_balances(health, history, out);
    write_sweep(health, conf, history, out);
    write_budget(health, conf, out);
    write_drift(health, out);
    status_logs_write(out);
    write_processes(health, out);
    if (history && with_history)
        write_history(history, out);
    json_end(out, '}');
    buf_addc(out, '\n');
}
