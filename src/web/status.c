#include "web/status.h"
#include "base/json_write.h"
#include "store/times.h"

#include <inttypes.h>
#include <string.h>

enum { DAY_S = 86400 };

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
    size_t back = h->n < RATE_SAMPLES ? h->n : RATE_SAMPLES;
    if (back == 0)
        return 0;
    const struct refresh_sample *old = &h->samples[(h->next + SAMPLES - back) % SAMPLES];
    double seconds = (double)(now_ms - old->at_ms) / 1000;
    uint64_t rows = counters_sum(CELL_REFRESHED + 1) - old->refreshed[1];
    return seconds >= 1 ? (double)rows / seconds : 0;
}

static void write_history(const struct refresh_history *h, struct buf *out)
{
    buf_adds(out, ",\"history\":[");
    for (size_t i = 0; i < h->n; i++) {
        const struct refresh_sample *s = &h->samples[(h->next + SAMPLES - h->n + i) % SAMPLES];
        buf_addf(out, "%s[%" PRId64, i ? "," : "", s->at_ms);
        for (int p = 0; p < COUNTERS_PATHS; p++)
            buf_addf(out, ",%" PRIu64, s->refreshed[p]);
        buf_addc(out, ']');
    }
    buf_addc(out, ']');
}

/* ---- small things ---------------------------------------------------------------------------- */

void json_write_text(struct buf *out, const char *text)
{
    if (text)
        json_write_string(out, text, strlen(text));
    else
        buf_adds(out, "null");
}

void json_write_time(struct buf *out, int64_t us)
{
    char text[TIME_TEXT];
    if (us <= 0) {
        buf_adds(out, us == 0 ? "\"1970-01-01T00:00:00Z\"" : "null");
        return;
    }
    time_to_text(us, text);
    text[10] = 'T';
    buf_addf(out, "\"%sZ\"", text);
}

static void write_wall(struct buf *out, const char *name, uint64_t seconds)
{
    buf_addf(out, "\"%s\":", name);
    if (seconds)
        json_write_time(out, (int64_t)seconds * 1000000);
    else
        buf_adds(out, "null");
}

static void write_number(struct buf *out, const char *name, bool has, uint64_t n)
{
    if (has)
        buf_addf(out, "\"%s\":%" PRIu64, name, n);
    else
        buf_addf(out, "\"%s\":null", name);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void write_verdict(const struct health *h, struct buf *out)
{
    struct reasons r;
    enum colour c = health_verdict(h, &r);
    char sentence[REASON_TEXT];
    health_sentence(h, c, sentence);
    buf_addf(out, "\"verdict\":{\"state\":\"%s\",\"text\":", colour_name(c));
    json_write_text(out, sentence);
    buf_adds(out, ",\"reasons\":[");
    for (size_t i = 0; i < r.n; i++) {
        buf_adds(out, i ? ",{\"state\":" : "{\"state\":");
        json_write_text(out, colour_name(r.list[i].colour));
        buf_adds(out, ",\"text\":");
        json_write_text(out, r.list[i].text);
        buf_addc(out, '}');
    }
    r = (struct reasons){0};
    health_notes(h, &r);
    buf_adds(out, "],\"notes\":[");
    for (size_t i = 0; i < r.n; i++) {
        buf_adds(out, i ? "," : "");
        json_write_text(out, r.list[i].text);
    }
    buf_adds(out, "]}");
}

static void write_chain(const struct health *h, struct buf *out)
{
    uint64_t event = counters_get(PART_FOLLOW, CELL_EVENT_AT);
    buf_adds(out, ",\"chain\":{");
    write_number(out, "id", h->facts.chain_id > 0, h->facts.chain_id);
    buf_addc(out, ',');
    write_number(out, "head", h->head > 0, h->head);
    buf_addc(out, ',');
    write_wall(out, "head_time", h->head_time);
    buf_addc(out, ',');
    write_number(out, "synced", h->head > 0, h->synced);
    buf_addc(out, ',');
    write_number(out, "finalized", h->head > 0, h->finalized);
    buf_addf(out, ",\"connected\":%s,\"mode\":\"%s\",\"reorgs\":%" PRIu64 ",",
             h->connected ? "true" : "false",
             counters_get(PART_LISTEN, CELL_SOCKETS) ? "subscription" : "polling",
             counters_sum(CELL_REORGS));
    write_wall(out, "last_event_at", event);
    buf_addc(out, '}');
}

static void write_ages(const struct facts_balance *b, struct buf *out)
{
    const struct view_ages *a = &b->ages;
    double oldest = a->now_us > a->oldest_us ? (double)(a->now_us - a->oldest_us) / 1e6 : 0;
    buf_addf(out,
             ",\"rows\":%" PRIu64 ",\"unanchored\":%" PRIu64 ",\"quarantined\":%" PRIu64
             ",\"listed\":%" PRIu64 ",\"oldest_age_seconds\":",
             a->rows, a->unanchored, a->quarantined, a->listed);
    if (a->rows)
        buf_addf(out, "%.1f", oldest);
    else
        buf_adds(out, "null");
    buf_addf(out,
             ",\"age_quantiles\":{\"0.5\":%.1f,\"0.9\":%.1f,\"0.99\":%.1f},"
             "\"ages\":[",
             facts_quantile(a, 0.5), facts_quantile(a, 0.9), facts_quantile(a, 0.99));
    for (size_t i = 0; i <= FACTS_LIMITS; i++)
        if (i < FACTS_LIMITS)
            buf_addf(out, "%s[%" PRIu32 ",%" PRIu64 "]", i ? "," : "", facts_limits[i],
                     a->buckets[i]);
        else
            buf_addf(out, ",[null,%" PRIu64 "]", a->buckets[i]);
    buf_adds(out, "],\"as_of\":");
    json_write_time(out, a->now_us);
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
    write_number(out, "full_pass_requests", batch > 0, batch ? (rows + batch - 1) / batch : 0);
    buf_addc(out, ',');
    write_number(out, "full_pass_units", cost.known, (uint64_t)(cost.units * (double)rows + 0.5));
    buf_addc(out, ',');
    write_number(out, "full_pass_bytes", cost.known, (uint64_t)(cost.bytes * (double)rows + 0.5));
}

/* How far the lap is, and when at this rate every row will have been read once. */
static void write_lap(const struct health *h, size_t i, const struct refresh_history *history,
                      struct buf *out)
{
    const struct view_ages *a = &h->facts.balances[i].ages;
    struct counters_lap_view lap;
    counters_lap_get(i, &lap);
    double rate = history ? history_sweep_rate(history, h->now_ms) : 0;
    /* Several balances share the sweep by their rows. */
    uint64_t all = 0;
    for (size_t k = 0; k < h->facts.n_balances; k++)
        all += h->facts.balances[k].ages.rows;
    buf_addf(out, ",\"lap\":{\"number\":%" PRIu64 ",\"rows\":%" PRIu64 ",", lap.laps + 1, lap.rows);
    write_wall(out, "started", lap.started);
    if (rate > 0 && all > 0)
        buf_addf(out, ",\"full_pass_seconds\":%.0f,", (double)all / rate);
    else
        buf_adds(out, ",\"full_pass_seconds\":null,");
    write_forecast(a->rows, out);
    buf_addc(out, '}');
}

static void write_balances(const struct health *h, const struct refresh_history *history,
                           struct buf *out)
{
    buf_adds(out, ",\"balances\":[");
    for (size_t i = 0; i < h->facts.n_balances; i++) {
        const struct facts_balance *b = &h->facts.balances[i];
        buf_adds(out, i ? ",{\"name\":" : "{\"name\":");
        json_write_text(out, b->name);
        buf_adds(out, ",\"table\":");
        json_write_text(out, b->table);
        buf_addc(out, ',');
        write_number(out, "checkpoint", b->has_checkpoint, b->checkpoint);
        buf_addf(out, ",\"rescanning\":%s", b->rescanning ? "true" : "false");
        if (b->has_ages)
            write_ages(b, out);
        write_lap(h, i, history, out);
        buf_addc(out, '}');
    }
    buf_addc(out, ']');
}

static void write_sweep(const struct health *h, const struct conf *conf,
                        const struct refresh_history *history, struct buf *out)
{
    buf_addf(out,
             ",\"sweep\":{\"interval_ms\":%" PRId64 ",\"max_age_ms\":%" PRId64 ",\"done\":%" PRIu64
             ",\"dropped\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"batch\":%" PRIu64
             ",\"last_tick_ms\":%" PRIu64 ",\"last_tick_rows\":%" PRIu64
             ",\"rows_per_second\":%.2f}",
             conf->sweep.interval_ms, conf->sweep.max_age_ms, counters_sum(CELL_TICKS_DONE),
             counters_sum(CELL_TICKS_DROPPED), counters_sum(CELL_TICKS_FAILED),
             counters_get(PART_SWEEP, CELL_BATCH), counters_get(PART_SWEEP, CELL_TICK_MS),
             counters_get(PART_SWEEP, CELL_TICK_ROWS),
             history ? history_sweep_rate(history, h->now_ms) : 0);
    buf_adds(out, ",\"refreshed\":{");
    for (int i = 0; i < COUNTERS_PATHS; i++)
        buf_addf(out, "%s\"%s\":%" PRIu64, i ? "," : "", path_names[i],
                 counters_sum(CELL_REFRESHED + i));
    buf_addf(out, "},\"changed\":%" PRIu64, counters_sum(CELL_CHANGED));
}

static void write_budget(const struct health *h, const struct conf *conf, struct buf *out)
{
    struct counters_endpoint_view e;
    uint64_t spent = 0;
    for (size_t i = 0; i < COUNTERS_ENDPOINTS; i++)
        if (counters_endpoint_get(i, &e))
            spent += e.cost;
    buf_addf(out,
             ",\"budget\":{\"per_second\":%" PRIu64 ",\"per_day\":%" PRIu64
             ",\"spent_since_start\":%" PRIu64 ",",
             conf->budget.per_second, conf->budget.per_day, spent);
    /* The account is written down once a minute only. */
    bool all_today = counters_started() / DAY_S == (uint64_t)h->now_ms / 1000 / DAY_S;
    uint64_t today = h->facts.spent_today;
    write_number(out, "spent_today", conf->budget.per_day > 0,
                 all_today && spent > today ? spent : today);
    buf_addc(out, '}');
}

static void write_drift(const struct health *h, struct buf *out)
{
    uint64_t total = 0;
    for (size_t i = 0; i < h->facts.n_drift; i++)
        total += h->facts.drift[i].n;
    buf_addf(out, ",\"drift\":{\"total\":%" PRIu64 ",\"causes\":[", total);
    for (size_t i = 0; i < h->facts.n_drift; i++) {
        buf_adds(out, i ? ",{\"balance\":" : "{\"balance\":");
        json_write_text(out, h->facts.drift[i].balance);
        buf_adds(out, ",\"cause\":");
        json_write_text(out, h->facts.drift[i].cause);
        buf_addf(out, ",\"rows\":%" PRIu64 "}", h->facts.drift[i].n);
    }
    buf_adds(out, "]}");
}

static void write_faults(const struct counters_endpoint_view *e, struct buf *out)
{
    uint64_t requests = 0;
    bool any = false;
    buf_adds(out, ",\"faults\":{");
    for (size_t o = 0; o < COUNTERS_OUTCOMES; o++) {
        uint64_t n = 0;
        for (size_t m = 0; m < COUNTERS_METHODS; m++)
            n += e->requests[m][o];
        requests += n;
        if (o == 0 || n == 0)
            continue;
        buf_addf(out, "%s\"%s\":%" PRIu64, any ? "," : "", counters_outcome_name(o), n);
        any = true;
    }
    buf_addf(out, "},\"requests\":%" PRIu64, requests);
}

static void write_endpoints(const struct health *h, struct buf *out)
{
    struct counters_endpoint_view e;
    bool any = false;
    buf_adds(out, ",\"endpoints\":[");
    for (size_t i = 0; i < COUNTERS_ENDPOINTS; i++) {
        if (!counters_endpoint_get(i, &e))
            continue;
        bool up = endpoint_is_up(&e, h);
        buf_adds(out, any ? ",{\"name\":" : "{\"name\":");
        json_write_text(out, e.name);
        buf_addf(out, ",\"state\":\"%s\",\"up\":%s,\"paused_ms\":%" PRId64 ",\"paused_why\":",
                 endpoint_words(&e, h), up ? "true" : "false",
                 (int64_t)e.paused_until > h->now_ms ? (int64_t)e.paused_until - h->now_ms : 0);
        json_write_text(out, up ? NULL : e.paused_why[0] ? e.paused_why : NULL);
        buf_adds(out, ",\"reader\":");
        json_write_text(out, e.reader[0] ? e.reader : NULL);
        buf_addc(out, ',');
        write_number(out, "batch", e.batch > 0, e.batch);
        buf_addc(out, ',');
        write_number(out, "gas", e.gas > 0, e.gas);
        buf_addf(out, ",\"missed_logs\":%" PRIu64 ",\"latency_ms\":%.1f", e.missed_logs,
                 (double)e.latency_us / 1000);
        write_faults(&e, out);
        buf_addf(out, ",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"cost\":%" PRIu64 ",",
                 e.bytes_in, e.bytes_out, e.cost);
        write_wall(out, "answered_at", e.answered_at / 1000);
        buf_addc(out, '}');
        any = true;
    }
    buf_addc(out, ']');
}

static void write_workers(struct buf *out)
{
    struct counters_worker_view w;
    bool any = false;
    buf_adds(out, ",\"workers\":[");
    for (size_t i = 0; i < COUNTERS_WORKERS; i++) {
        if (!counters_worker_get(i, &w))
            continue;
        uint64_t restarts = 0;
        buf_adds(out, any ? ",{\"name\":" : "{\"name\":");
        json_write_text(out, w.name);
        buf_addf(out, ",\"running\":%s,\"parked\":%s,\"pid\":%d,", w.pid ? "true" : "false",
                 w.parked_until ? "true" : "false", w.pid);
        write_wall(out, "since", w.started);
        for (int d = 0; d < DEATHS; d++)
            restarts += w.deaths[d];
        buf_addf(out, ",\"restarts\":%" PRIu64 ",\"died_of\":", restarts);
        json_write_text(out, w.exit_reason[0] ? w.exit_reason : NULL);
        buf_adds(out, ",\"last_words\":");
        json_write_text(out, w.trouble[0] ? w.trouble : NULL);
        buf_addc(out, ',');
        write_wall(out, "last_words_at", w.trouble[0] ? w.trouble_at : 0);
        buf_addc(out, '}');
        any = true;
    }
    buf_addc(out, ']');
}

void status_write(const struct health *health, const struct conf *conf,
                  const struct refresh_history *history, bool with_history, struct buf *out)
{
    uint64_t started = counters_started();
    bool sqlite = strncmp(conf->store, "sqlite:", 7) == 0, up = health_store_up(health);
    buf_addf(out, "{\"version\":\"%s\",\"daemon\":%s,\"time\":", TRUEUP_VERSION,
             health->has_daemon ? "true" : "false");
    json_write_time(out, health->now_ms * 1000);
    buf_addc(out, ',');
    write_wall(out, "started", started);
    buf_addc(out, ',');
    write_verdict(health, out);
    write_chain(health, out);
    buf_addf(out,
             ",\"store\":{\"kind\":\"%s\",\"ok\":%s,\"error\":", sqlite ? "sqlite" : "postgres",
             up ? "true" : "false");
    json_write_text(out, health->facts.store_error[0] ? health->facts.store_error
                         : up                         ? NULL
                                                      : "it has not answered lately");
    buf_addc(out, '}');
    write_balances(health, history, out);
    write_sweep(health, conf, history, out);
    write_budget(health, conf, out);
    write_drift(health, out);
    write_endpoints(health, out);
    write_workers(out);
    if (history && with_history)
        write_history(history, out);
    buf_adds(out, "}\n");
}
