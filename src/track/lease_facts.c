#include "track/lease_facts.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "proc/counters.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *key;
    enum cell cell;
    bool age; /* the cell is wall ms */
} lease_facts_cells[] = {
    {"head", CELL_HEAD, false},
    {"head_time", CELL_HEAD_TIME, false},
    {"synced", CELL_SYNCED, false},
    {"finalized", CELL_FINALIZED, false},
    {"poll_ms", CELL_POLL_MS, false},
    {"event_block", CELL_EVENT_BLOCK, false},
    {"rescanning", CELL_RESCANNING, false},
    {"held", CELL_HELD, false},
    {"look_age", CELL_POLLED_AT, true},
    {"head_age", CELL_HEAD_AT, true},
    {"event_age", CELL_EVENT_AT, true},
};

/* What may be wrong: the kinds of calls, then the checkpoint that is held. */
enum { LEASE_FACTS_CHECKPOINT = CALLS, LEASE_FACTS_WHATS };
static const char *const lease_facts_whats[LEASE_FACTS_WHATS] = {[CALL_LOOK] = "look",
                                                                 [CALL_WRITE] = "write",
                                                                 [CALL_SWEEP] = "sweep",
                                                                 [CALL_WORKER] = "worker",
                                                                 [LEASE_FACTS_CHECKPOINT] =
                                                                     "checkpoint"};

/* ---- the daemon that writes ------------------------------------------------------------------ */

static bool lease_facts_find_worker(struct counters_failing *ret)
{
    struct counters_worker_view w;
    *ret = (struct counters_failing){0};
    for (size_t i = 0; i < COUNTERS_WORKERS; i++)
        if (counters_worker_get(i, &w) &&
            ((w.parked_until > 0 && w.pid == 0) || w.dying_times > 2)) {
            ret->since = (uint64_t)wall_ms();
            ret->times = 1;
            snprintf(ret->words, sizeof ret->words, "%.20s: %.200s", w.name, w.exit_reason);
            return true;
        }
    return false;
}

static bool lease_facts_find_failing(size_t what, struct counters_failing *ret)
{
    if (what == CALL_WORKER)
        return lease_facts_find_worker(ret);
    if (what != LEASE_FACTS_CHECKPOINT)
        return counters_call_failing((enum counters_call)what, ret);
    ret->times = 1;
    ret->since = counters_checkpoint_held_since(ret->words);
    return ret->since > 0;
}

static uint64_t lease_facts_age(uint64_t at_ms)
{
    int64_t age = wall_ms() - (int64_t)at_ms;
    return age > 0 ? (uint64_t)age : 0;
}

static void lease_facts_add_failing(struct buf *out)
{
    struct counters_failing f;
    json_begin(out, "failing", '[');
    for (size_t i = 0; i < LEASE_FACTS_WHATS; i++) {
        if (!lease_facts_find_failing(i, &f))
            continue;
        json_begin(out, NULL, '{');
        json_add_text(out, "what", lease_facts_whats[i]);
        json_add_number(out, "age", lease_facts_age(f.since));
        json_add_number(out, "times", f.times);
        json_add_text(out, "words", f.words);
        json_end(out, '}');
    }
    json_end(out, ']');
}

void lease_facts_write(char ret[LEASE_FACTS])
{
    struct buf out = BUF_INIT(LEASE_FACTS - 1);
    json_begin(&out, NULL, '{');
    bool looked = counters_get(PART_FOLLOW, CELL_HEAD) > 0; /* else another daemon knows more */
    for (size_t i = 0; looked && i < COUNT_OF(lease_facts_cells); i++) {
        uint64_t value = counters_get(PART_FOLLOW, lease_facts_cells[i].cell);
        if (!lease_facts_cells[i].age)
            json_add_number(&out, lease_facts_cells[i].key, value);
        else if (value > 0)
            json_add_number(&out, lease_facts_cells[i].key, lease_facts_age(value));
    }
    json_add_number(&out, "broken", counters_sum(CELL_BROKEN));
    lease_facts_add_failing(&out);
    json_end(&out, '}');
    snprintf(ret, LEASE_FACTS, "%s", buf_str(&out));
    buf_free(&out);
}

/* ---- the daemon that stands by --------------------------------------------------------------- */

static bool lease_facts_get(const struct json *object, const char *key, uint64_t *ret)
{
    int64_t n;
    if (!json_i64(json_get(object, key), &n) || n < 0)
        return false;
    *ret = (uint64_t)n;
    return true;
}

static void lease_facts_show_cell(const struct json *doc, const char *key, enum cell cell, bool age)
{
    uint64_t n;
    if (lease_facts_get(doc, key, &n))
        counters_set(cell, age ? (uint64_t)wall_ms() - n : n);
}

static void lease_facts_show_failing(size_t what, const struct counters_failing *f)
{
    if (what == LEASE_FACTS_CHECKPOINT)
        counters_checkpoint_show(f);
    else
        counters_call_show((enum counters_call)what, f);
}

static void lease_facts_take_failing(const struct json *list)
{
    struct counters_failing all[LEASE_FACTS_WHATS] = {0};
    for (const struct json *one = json_first(list); one; one = json_next(one)) {
        const char *what = json_str(json_get(one, "what"));
        const char *words = json_str(json_get(one, "words"));
        for (size_t i = 0; what && i < LEASE_FACTS_WHATS; i++) {
            uint64_t age = 0;
            if (strcmp(what, lease_facts_whats[i]) != 0)
                continue;
            lease_facts_get(one, "age", &age);
            lease_facts_get(one, "times", &all[i].times);
            all[i].since = (uint64_t)wall_ms() - age;
            snprintf(all[i].words, sizeof all[i].words, "%s", words ? words : "");
        }
    }
    for (size_t i = 0; i < LEASE_FACTS_WHATS; i++)
        lease_facts_show_failing(i, &all[i]);
}

void lease_facts_show(const char *facts)
{
    struct err ignored;
    struct json *doc = json_parse(facts, strlen(facts), LEASE_FACTS, &ignored);
    for (size_t i = 0; doc && i < COUNT_OF(lease_facts_cells); i++)
        lease_facts_show_cell(doc, lease_facts_cells[i].key, lease_facts_cells[i].cell,
                              lease_facts_cells[i].age);
    lease_facts_show_cell(doc, "broken", CELL_BROKEN, false);
    if (json_is_array(json_get(doc, "failing")))
        lease_facts_take_failing(json_get(doc, "failing"));
    json_free(doc);
}

void lease_facts_forget(void)
{
    counters_set(CELL_BROKEN, 0);
    counters_set(CELL_HELD, 0);
    for (size_t i = 0; i < LEASE_FACTS_WHATS; i++)
        lease_facts_show_failing(i, &(struct counters_failing){0});
}
