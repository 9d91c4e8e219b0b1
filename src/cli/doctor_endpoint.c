/* One endpoint: who it is, how far it is, and what it can do. */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/url.h"
#include "cli/doctor.h"
#include "net/ws.h"
#include "proc/stop.h"
#include "rpc/cost.h"
#include "rpc/logs.h"
#include "track/anchor.h"
#include "track/event_silence.h"
#include "track/events.h"

#include <inttypes.h>

enum { WS_MS = 3000, LAG_BLOCKS = 5, QUESTIONS = 3, IDENTITY_LOOKS = 3, IDENTITY_PAUSE_MS = 300 };
enum { COST_BLOCKS = 64 };

/* ---- meeting it ------------------------------------------------------------------------------ */

static void doctor_identify_endpoint(struct patient *p)
{
    uint64_t id = 0;
    bool found = false;
    int64_t started = clock_ms();
    for (int look = 1; look <= IDENTITY_LOOKS; look++) {
        started = clock_ms();
        if (rpc_identify(p->t.node, &id, &p->t.genesis, &p->why) < 0)
            return;
        /* One answer may be wrong. */
        if (!p->conf.chain.id || id == p->conf.chain.id || stop_wait(IDENTITY_PAUSE_MS))
            break;
    }
    if (rpc_header_tag(p->t.node, TAG_LATEST, &p->head, &found, &p->why) < 0)
        return;
    if (!found) {
        err_set(&p->why, ERR_FAILED, "it knows no newest block");
        return;
    }
    p->t.chain_id = id;
    anchor_learn(&p->t, &p->why); /* what is not learnt is said by doctor_family() */
    p->took_ms = (clock_ms() - started) / QUESTIONS;
    p->answers = true;
}

int doctor_open(const struct conf *conf, const struct conf_endpoint *e, struct conf *ret_conf,
                struct tracker *ret, struct err *err)
{
    *ret_conf = *conf;
    ret_conf->chain.endpoints = e;
    ret_conf->chain.n_endpoints = 1;
    if (tracker_open(ret_conf, "trueup doctor", NEEDS_NODE, ret, err) < 0)
        return -1;
    reads_stop_when(ret->reads, stop_asked);
    rpc_stop_on(ret->node, stop_fd());
    return 0;
}

void doctor_meet(const struct conf *conf, size_t i, struct patient *p)
{
    const struct conf_endpoint *e = &conf->chain.endpoints[i];
    *p = (struct patient){.name = e->name};
    p->is_open = doctor_open(conf, e, &p->conf, &p->t, &p->why) == 0;
    if (!p->is_open)
        return;
    p->endpoint = rpc_endpoint(p->t.node, 0);
    doctor_identify_endpoint(p);
}

void doctor_ask_head(struct patient *p)
{
    struct header head;
    struct err ignored = {0};
    bool found = false;
    if (p->answers && rpc_header_tag(p->t.node, TAG_LATEST, &head, &found, &ignored) == 0 && found)
        p->head = head;
}

void doctor_leave(struct patient *p)
{
    if (p->is_open)
        tracker_close(&p->t);
    p->is_open = false;
}

/* ---- looking --------------------------------------------------------------------------------- */

static bool look_at_identity(struct findings *f, struct patient *p, const struct conf *conf)
{
    if (!p->answers) {
        doctor_say(f, BAD, "%s", p->why.text);
        doctor_advise(f, "%s: check the URL, the key and the network", p->name);
        return false;
    }
    if (conf->chain.id && conf->chain.id != p->t.chain_id) {
        doctor_say(f, BAD, "it serves chain %" PRIu64 ", but chain.id is %" PRIu64, p->t.chain_id,
                   conf->chain.id);
        doctor_advise(f, "%s: use an endpoint of chain %" PRIu64, p->name, conf->chain.id);
        return false;
    }
    doctor_say(f, FINE, "answers in %" PRId64 " ms; chain %" PRIu64, p->took_ms, p->t.chain_id);
    return true;
}

static void look_at_head(struct findings *f, struct patient *p, uint64_t best, size_t endpoints)
{
    char age[CLOCK_TEXT];
    uint64_t lag = best - p->head.at.number;
    duration_text(age, (wall_seconds() - (int64_t)p->head.at.timestamp) * 1000);
    if (lag > LAG_BLOCKS) {
        doctor_say(f, NOTE,
                   "head %" PRIu64 ", mined %s ago: %" PRIu64
                   " blocks behind the best of the others",
                   p->head.at.number, age, lag);
        doctor_advise(f, "%s lags: put it last in chain.endpoints, or replace it", p->name);
    } else {
        doctor_say(f, FINE, "head %" PRIu64 ", mined %s ago%s", p->head.at.number, age,
                   endpoints > 1 ? ", level with the others" : "");
    }
}

static void no_message(void *ctx, const char *text, size_t n)
{
    (void)ctx;
    (void)text;
    (void)n;
}

static void look_at_socket(struct findings *f, const struct conf_endpoint *e)
{
    struct ws *w;
    struct err err = {0};
    struct ws_ask ask = {
        .url = e->ws, .message_max = 65536, .wake_fd = -1, .on_message = no_message};
    int64_t deadline = clock_ms() + WS_MS;
    if (!e->ws) {
        doctor_say(f, NOTE, "no WebSocket is configured: new blocks are found by polling");
        return;
    }
    if (ws_open(&ask, &w, &err) < 0) {
        doctor_say(f, NOTE, "WebSocket: %s", err.text);
        return;
    }
    while (ws_state(w) == WS_CONNECTING && clock_ms() < deadline)
        ws_wait(w, deadline);
    if (ws_state(w) == WS_OPEN) {
        doctor_say(f, FINE, "WebSocket connects");
    } else {
        doctor_say(f, NOTE, "WebSocket does not connect (%s): new blocks are found by polling",
                   ws_state(w) == WS_CLOSED ? ws_why(w) : "no answer in 3 s");
        doctor_advise(f, "%s: correct `ws`, or set it to off", e->name);
    }
    ws_close(w);
}

static void look_at_tags(struct findings *f, struct patient *p)
{
    struct header h;
    struct err err = {0};
    bool found = false;
    if (rpc_header_tag(p->t.node, TAG_FINALIZED, &h, &found, &err) == 0 && found)
        doctor_say(f, FINE, "finalized block %" PRIu64 ", %" PRIu64 " behind its head", h.at.number,
                   p->head.at.number > h.at.number ? p->head.at.number - h.at.number : 0);
    else
        doctor_say(f, NOTE,
                   "does not know the finalized block: what is 64 blocks deep counts as finalized");
    if (endpoint_probe(p->t.node, p->endpoint, &err) == 0 &&
        endpoint_pins_hash(p->endpoint) == CAP_YES)
        doctor_say(f, FINE, "reads can be pinned to a block's hash");
    else
        doctor_say(
            f, NOTE,
            "a made-up block hash is not refused: reads are pinned by number, and each proves its "
            "block from inside");
}

/* After the readers, whose probe sees both. */
static void look_at_time(struct findings *f, struct patient *p)
{
    if (endpoint_has_evm_time(p->endpoint) == CAP_NO)
        doctor_say(f, NOTE,
                   "the timestamps of its headers are not the EVM's: a read proves its block "
                   "without them");
}

/* The widest window that is answered; providers differ from 1 to no limit. */
static void look_at_logs(struct findings *f, struct patient *p)
{
    static const uint64_t widths[] = {9999, 1999, 499, 99, 9, 0};
    struct trigger_filter filter;
    struct arena arena;
    struct err err = {0};
    if (trigger_filter_init(&filter, p->t.balances, p->t.n_balances, &err) < 0 ||
        filter.filter.n_topics == 0)
        return;
    for (size_t i = 0; i < COUNT_OF(widths); i++) {
        struct logs logs;
        uint64_t to = p->head.at.number, from = to > widths[i] ? to - widths[i] : 0;
        arena_init(&arena);
        struct logs_ask ask = {
            .filter = &filter.filter, .from = from, .to = to, .lane = RPC_CATCHUP, .arena = &arena};
        int rc = rpc_logs_range(p->t.node, &ask, &logs, &err);
        size_t n = rc == 0 ? logs.n : 0;
        arena_free(&arena);
        if (rc == 0) {
            doctor_say(f, widths[i] < 99 && from > 0 ? NOTE : FINE,
                       "eth_getLogs over %" PRIu64 " blocks works (%zu logs)", to - from + 1, n);
            return;
        }
    }
    doctor_say(f, BAD, "eth_getLogs is refused: %s", err.text);
    doctor_advise(f, "%s: without eth_getLogs no event is seen; choose another plan or provider",
                  p->name);
}

/* A mistyped event is a valid one that the contract never emits. */
static void look_at_events(struct findings *f, struct patient *p)
{
    struct err err = {0};
    for (size_t i = 0; i < p->t.n_balances; i++) {
        const struct tracked *b = &p->t.balances[i];
        struct event_silence s;
        if (event_silence_find(&p->t, b, p->head.at.number, &s, &err) < 0) {
            doctor_say(f, NOTE, "the events of the triggers could not be asked for: %s", err.text);
            return;
        }
        for (size_t k = 0; k < s.n; k++) {
            doctor_say(f, NOTE, "%s: %s", b->conf->name ? b->conf->name : "", s.list[k].text);
            if (s.list[k].doubted)
                doctor_advise(f, "balances: compare the event with the contract's source: %.200s",
                              s.list[k].text);
        }
        if (s.rare[0])
            doctor_say(f, FINE, "%s: %s", b->conf->name ? b->conf->name : "", s.rare);
        else if (s.n == 0 && b->conf->n_triggers > 0)
            doctor_say(f, FINE, "%s: each trigger's event was seen in the last %" PRIu64 " blocks",
                       b->conf->name ? b->conf->name : "", s.blocks);
    }
}

/* Blocks near the head are asked for by hash under doubt. */
static void look_at_logs_by_hash(struct findings *f, struct patient *p)
{
    struct trigger_filter filter;
    struct arena arena;
    struct logs logs;
    struct err err = {0};
    if (trigger_filter_init(&filter, p->t.balances, p->t.n_balances, &err) < 0 ||
        filter.filter.n_topics == 0)
        return;
    arena_init(&arena);
    struct logs_ask ask = {.filter = &filter.filter, .lane = RPC_LIVE, .arena = &arena};
    int rc = rpc_logs_block(p->t.node, &ask, &p->head, &logs, &err);
    arena_free(&arena);
    if (endpoint_logs_by_hash(p->endpoint) == CAP_NO)
        doctor_say(
            f, NOTE,
            "eth_getLogs refuses blockHash: a block is asked for by number, with its header");
    else if (rc < 0)
        doctor_say(f, NOTE, "eth_getLogs of the newest block by its hash failed: %s", err.text);
    else
        doctor_say(f, FINE, "eth_getLogs by block hash works");
}

/* What following costs, by the block time of the newest blocks. */
static void look_at_cost(struct findings *f, struct patient *p, const struct conf_endpoint *e)
{
    struct header old;
    struct err err = {0};
    bool found = false;
    uint64_t head = p->head.at.number, back = head < COST_BLOCKS ? head : COST_BLOCKS;
    if (back == 0 || rpc_header_number(p->t.node, head - back, &old, &found, &err) < 0 || !found)
        return;
    uint64_t seconds = p->head.at.timestamp - old.at.timestamp;
    struct cost_shape s = {.block_ms = (int64_t)(seconds * 1000 / back),
                           .look_ms = p->conf.chain.freshness_ms,
                           .has_ws = e->ws != NULL,
                           .by_hash = endpoint_log_forms(p->endpoint) == LOG_FORMS_HASH};
    s.block_ms = s.block_ms > 0 ? s.block_ms : 1;
    struct cost_day day = cost_of_following(e, &s);
    doctor_say(f, FINE,
               "following costs about %" PRIu64 " units a day idle, %" PRIu64
               " with an event in every block (price %s, blocks of %g s)",
               day.idle, day.busy, e->price ? e->price : "of the table", (double)s.block_ms / 1000);
}

/* A form that leaves out what another shows loses events in silence. */
static void look_at_log_forms(struct findings *f, struct patient *p)
{
    struct logs_probe r;
    struct err err = {0};
    char text[LOGS_PROBE_TEXT];
    if (endpoint_probe_logs(p->t.node, p->endpoint, &r, &err) < 0) {
        doctor_say(f, NOTE, "the forms of eth_getLogs could not be compared: %s", err.text);
        return;
    }
    logs_probe_describe(&r, text);
    endpoint_set_log_forms(p->endpoint, &r);
    switch (logs_probe_judge(&r)) {
    case LOG_FORMS_UNTRIED:
        doctor_say(f, NOTE,
                   "the forms of eth_getLogs: untried, none of the last 1000 blocks "
                   "holds a log");
        return;
    case LOG_FORMS_ALL:
        doctor_say(f, FINE, "eth_getLogs names the same logs in every form (%s)", text);
        return;
    case LOG_FORMS_RANGE:
        doctor_say(f, NOTE, "eth_getLogs is asked by range alone (%s)", text);
        return;
    case LOG_FORMS_HASH:
        doctor_say(f, BAD,
                   "eth_getLogs by range leaves logs out (%s): it is asked block by "
                   "block, two requests each",
                   text);
        break;
    case LOG_FORMS_NONE:
        doctor_say(f, BAD, "eth_getLogs leaves logs out in every form (%s): it gives no looks",
                   text);
        break;
    }
    doctor_advise(f, "%s: its index leaves logs out; put another endpoint first", p->name);
}

void doctor_endpoint(struct findings *f, struct patient *p, const struct conf *conf, size_t i,
                     uint64_t best)
{
    const struct conf_endpoint *e = &conf->chain.endpoints[i];
    char masked[URL_TEXT];
    url_masked(masked, e->url);
    doctor_title(f, p->name, masked);
    if (!look_at_identity(f, p, conf))
        return;
    look_at_head(f, p, best, conf->chain.n_endpoints);
    look_at_socket(f, e);
    doctor_family(f, p);
    look_at_tags(f, p);
    doctor_readers(f, p, e);
    look_at_logs(f, p);
    look_at_events(f, p);
    look_at_logs_by_hash(f, p);
    look_at_log_forms(f, p);
    doctor_proof(f, p, e);
    doctor_reading(f, p);
    look_at_time(f, p);
    look_at_cost(f, p, e);
}
