/* The status as one screen of text, from the JSON the daemon tells it in. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cli/figures.h"
#include "cli/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BAR = 30, WORDS_MAX = 1024 };

struct screen {
    struct buf *out;
    bool colour;
};

/* ---- small things ---------------------------------------------------------------------------- */

/* In the colour of a state, or as named; plain where the screen has no colours. */
__attribute__((format(printf, 3, 4))) static void add_painted(struct screen *s, const char *colour,
                                                              const char *fmt, ...)
{
    static const struct {
        const char *name, *code;
    } known[] = {{"green", "\033[32m"}, {"amber", "\033[33m"}, {"red", "\033[31m"},
                 {"bold", "\033[1m"},   {"dim", "\033[2m"},    {"", "\033[0m"}};
    char text[WORDS_MAX];
    size_t i = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    while (known[i].name[0] && strcmp(known[i].name, colour) != 0)
        i++;
    buf_addf(s->out, s->colour ? "%s%s\033[0m" : "%s%s", s->colour ? known[i].code : "", text);
}

static const char *text_of(const struct json *object, const char *key)
{
    const char *text = json_str(json_get(object, key));
    return text ? text : "";
}

/* A number without its fraction; −1 when there is none. */
static int64_t number_of(const struct json *object, const char *key)
{
    struct buf text = BUF_INIT(64);
    int64_t ret = -1;
    uint64_t whole;
    json_print(json_get(object, key), &text);
    const char *s = buf_str(&text);
    if (parse_u64(s, strcspn(s, "."), &whole) && whole <= INT64_MAX)
        ret = (int64_t)whole;
    buf_free(&text);
    return ret;
}

/* "18,000,000", or "-" where there is none. Returns out. */
static const char *number_text(int64_t n, char out[FIGURE_TEXT])
{
    return n < 0 ? "-" : figure_grouped((uint64_t)n, out);
}

static const char *age_text(int64_t seconds, char out[CLOCK_TEXT])
{
    duration_text(out, seconds * 1000);
    return seconds < 0 ? "-" : out;
}

static void add_number(struct screen *s, int64_t n)
{
    char text[FIGURE_TEXT];
    buf_adds(s->out, number_text(n, text));
}

static void add_pair(struct screen *s, const char *name, int64_t n)
{
    buf_adds(s->out, "  ");
    add_painted(s, "dim", "%s", name);
    buf_addc(s->out, ' ');
    add_number(s, n);
}

static void add_name(struct screen *s, const char *name)
{
    add_painted(s, "dim", "%-11s", name);
}

/* ---- the verdict ----------------------------------------------------------------------------- */

static void draw_verdict(struct screen *s, const struct json *doc)
{
    const struct json *v = json_get(doc, "verdict"), *chain = json_get(doc, "chain");
    const char *state = text_of(v, "state");
    int64_t id = number_of(chain, "id");
    add_painted(s, "bold", "trueup %s", text_of(doc, "version"));
    if (id < 0)
        buf_adds(s->out, "  chain not known yet");
    else
        buf_addf(s->out, "  chain %" PRId64 "%s", id,
                 strcmp(text_of(chain, "anchor"), "arbsys") == 0 ? " (blocks numbered by ArbSys)"
                                                                 : "");
    buf_addf(s->out, ", %s, %s", text_of(json_get(doc, "store"), "kind"), text_of(chain, "mode"));
    if (strcmp(text_of(doc, "role"), "standby") == 0)
        buf_adds(s->out, ", standby");
    buf_adds(s->out, "\n\n");
    add_painted(s, state,
                strcmp(state, "green") == 0   ? "CAN BE TRUSTED"
                : strcmp(state, "amber") == 0 ? "NOT EVERY ROW"
                                              : "NOT TO BE TRUSTED");
    buf_addf(s->out, "  %s\n", text_of(v, "text"));
    for (const struct json *r = json_first(json_get(v, "reasons")); r; r = json_next(r))
        buf_addf(s->out, "  - %s\n", text_of(r, "text"));
    for (const struct json *n = json_first(json_get(v, "notes")); n; n = json_next(n)) {
        buf_adds(s->out, "  ");
        add_painted(s, "dim", ". %s", json_str(n) ? json_str(n) : "");
        buf_addc(s->out, '\n');
    }
    buf_addc(s->out, '\n');
}

static void draw_chain(struct screen *s, const struct json *doc)
{
    static const char *const names[] = {"head", "synced", "finalized"};
    const struct json *c = json_get(doc, "chain");
    int64_t head = number_of(c, "head");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        int64_t n = number_of(c, names[i]);
        add_name(s, names[i]);
        add_number(s, n);
        if (i && n >= 0 && head > n)
            buf_addf(s->out, "  (%" PRId64 " behind the head)", head - n);
        buf_addc(s->out, '\n');
    }
    buf_addc(s->out, '\n');
}

/* ---- balances -------------------------------------------------------------------------------- */

static void draw_lap(struct screen *s, const struct json *lap, int64_t rows)
{
    int64_t done = number_of(lap, "rows"), full = number_of(lap, "full_pass_seconds");
    char traffic[FIGURE_TEXT], left[CLOCK_TEXT], all[CLOCK_TEXT];
    if (text_of(lap, "started")[0] == '\0')
        return;
    done = done > rows ? rows : done;
    buf_adds(s->out, "  ");
    add_name(s, "sweep");
    buf_addc(s->out, '[');
    for (int64_t i = 0; i < BAR; i++)
        buf_addc(s->out, i < done * BAR / rows ? '#' : '.');
    buf_addf(s->out, "] %" PRId64 " %% of lap %" PRId64, done * 100 / rows,
             number_of(lap, "number"));
    if (full >= 0)
        buf_addf(s->out, ", %s to go, every row once in %s",
                 age_text(full * (rows - done) / rows, left), age_text(full, all));
    buf_addc(s->out, '\n');
    if (number_of(lap, "full_pass_units") < 0)
        return;
    buf_adds(s->out, "  ");
    add_name(s, "a full pass");
    add_pair(s, "requests", number_of(lap, "full_pass_requests"));
    add_pair(s, "units", number_of(lap, "full_pass_units"));
    buf_adds(s->out, "  ");
    add_painted(s, "dim", "traffic");
    buf_addf(s->out, " %s\n", figure_bytes((double)number_of(lap, "full_pass_bytes"), traffic));
}

static void draw_balance(struct screen *s, const struct json *b)
{
    int64_t rows = number_of(b, "rows");
    char oldest[CLOCK_TEXT], half[CLOCK_TEXT];
    add_painted(s, "bold", "%s", text_of(b, "name"));
    buf_addf(s->out, " (table %s)\n  ", text_of(b, "table"));
    add_name(s, "checkpoint");
    add_number(s, number_of(b, "checkpoint"));
    add_pair(s, "rows", rows);
    add_pair(s, "not anchored", number_of(b, "unanchored"));
    add_pair(s, "quarantined", number_of(b, "quarantined"));
    buf_addc(s->out, '\n');
    if (rows <= 0)
        return;
    buf_adds(s->out, "  ");
    add_name(s, "age");
    buf_addf(s->out, "oldest %s, half below %s\n",
             age_text(number_of(b, "oldest_age_seconds"), oldest),
             age_text(number_of(json_get(b, "age_quantiles"), "0.5") + 1, half));
    draw_lap(s, json_get(b, "lap"), rows);
}

/* ---- work ------------------------------------------------------------------------------------ */

/* The numbers of an object that are not 0. */
static void add_counts(struct screen *s, const struct json *object)
{
    bool any = false;
    for (const struct json *p = json_first(object); p; p = json_next(p)) {
        int64_t n = number_of(object, json_key(p));
        if (n > 0)
            add_pair(s, json_key(p), n);
        any |= n > 0;
    }
    buf_adds(s->out, any ? "\n" : "  none yet\n");
}

static void draw_budget(struct screen *s, const struct json *budget)
{
    int64_t day = number_of(budget, "per_day"), second = number_of(budget, "per_second");
    char spent[FIGURE_TEXT], most[FIGURE_TEXT];
    add_name(s, "budget");
    buf_adds(s->out, "  ");
    if (day > 0)
        buf_addf(s->out, "%s of %s units today (UTC)",
                 number_text(number_of(budget, "spent_today"), spent), number_text(day, most));
    else
        buf_addf(s->out, "%s units since the start",
                 number_text(number_of(budget, "spent_since_start"), spent));
    if (number_of(budget, "following_per_day") >= 0)
        buf_addf(s->out, ", following costs about %s a day",
                 number_text(number_of(budget, "following_per_day"), most));
    if (second > 0)
        buf_addf(s->out, ", at most %s a second", number_text(second, most));
    buf_adds(s->out, day > 0 || second > 0 ? "\n" : "; no budget is set\n");
}

/* Events that do not fit their declaration stand in the verdict. */
static void draw_logs(struct screen *s, const struct json *logs)
{
    add_name(s, "logs");
    buf_adds(s->out, "  passed over");
    add_counts(s, json_get(logs, "ignored"));
}

static void draw_work(struct screen *s, const struct json *doc)
{
    const struct json *sweep = json_get(doc, "sweep"), *drift = json_get(doc, "drift");
    add_name(s, "rows read");
    add_counts(s, json_get(doc, "refreshed"));
    add_name(s, "ticks");
    add_pair(s, "done", number_of(sweep, "done"));
    add_pair(s, "dropped", number_of(sweep, "dropped"));
    add_pair(s, "failed", number_of(sweep, "failed"));
    buf_addc(s->out, '\n');
    draw_budget(s, json_get(doc, "budget"));
    add_name(s, "drift");
    add_pair(s, "rows", number_of(drift, "total"));
    for (const struct json *c = json_first(json_get(drift, "causes")); c; c = json_next(c))
        add_pair(s, text_of(c, "cause"), number_of(c, "rows"));
    buf_addc(s->out, '\n');
    draw_logs(s, json_get(doc, "logs"));
    buf_addc(s->out, '\n');
}

/* ---- endpoints and workers ------------------------------------------------------------------- */

static void draw_endpoint(struct screen *s, const struct json *e)
{
    const struct json *faults = json_get(e, "faults");
    const char *state = text_of(e, "state"), *why = text_of(e, "paused_why");
    bool up = json_bool(json_get(e, "up"), false);
    int64_t batch = number_of(e, "batch");
    char latency[24] = "-";
    if (text_of(e, "answered_at")[0])
        snprintf(latency, sizeof latency, "%" PRId64 " ms", number_of(e, "latency_ms"));
    buf_addf(s->out, "%-16.16s ", text_of(e, "name"));
    add_painted(s,
                up                                ? "green"
                : strcmp(state, "set aside") == 0 ? "amber"
                                                  : "red",
                "%-15s", state);
    buf_addf(s->out, " %9s %9" PRId64 "  %s", latency, number_of(e, "requests"),
             text_of(e, "reader"));
    if (batch > 0)
        buf_addf(s->out, ", %" PRId64 " wallets a request", batch);
    buf_addc(s->out, '\n');
    if (!up && why[0])
        buf_addf(s->out, "  - %s\n", why);
    if (json_first(faults)) {
        buf_adds(s->out, "  faults");
        add_counts(s, faults);
    }
}

static void draw_worker(struct screen *s, const struct json *w)
{
    bool runs = json_bool(json_get(w, "running"), false);
    bool parked = json_bool(json_get(w, "parked"), false);
    const char *words = text_of(w, "last_words");
    buf_addf(s->out, "%-16.16s ", text_of(w, "name"));
    add_painted(s, runs && !parked ? "green" : "red", "%-15s",
                parked ? (runs ? "on trial" : "is parked")
                : runs ? "runs"
                       : "is down");
    buf_addf(s->out, " %9" PRId64 "  %.90s\n", number_of(w, "restarts"),
             words[0] ? words : text_of(w, "died_of"));
}

static void draw_machinery(struct screen *s, const struct json *doc)
{
    const struct json *e = json_first(json_get(doc, "endpoints"));
    const struct json *w = json_first(json_get(doc, "workers"));
    if (e)
        add_painted(s, "dim", "%-16s %-15s %9s %9s  reader", "endpoint", "state", "latency",
                    "requests");
    buf_adds(s->out, e ? "\n" : "");
    for (; e; e = json_next(e))
        draw_endpoint(s, e);
    buf_adds(s->out, w ? "\n" : "");
    if (w)
        add_painted(s, "dim", "%-16s %-15s %9s  last words", "worker", "state", "restarts");
    buf_adds(s->out, w ? "\n" : "");
    for (; w; w = json_next(w))
        draw_worker(s, w);
}

void status_draw(const struct json *doc, bool colour, struct buf *out)
{
    struct screen s = {out, colour};
    draw_verdict(&s, doc);
    draw_chain(&s, doc);
    for (const struct json *b = json_first(json_get(doc, "balances")); b; b = json_next(b))
        draw_balance(&s, b);
    buf_addc(out, '\n');
    if (!json_bool(json_get(doc, "daemon"), false))
        return;
    draw_work(&s, doc);
    draw_machinery(&s, doc);
}
