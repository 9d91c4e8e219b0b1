/*
 * Worker listen: a WebSocket in, hints out. It believes nothing, keeps nothing and writes no store;
 * each head and each log of a trigger becomes a hint to follow, which then asks over HTTP.
 *
 * A connection goes through the stages below and lives until it ends, breaks a deadline, or falls
 * silent: an open socket that answers pings says nothing about its subscriptions (providers stall
 * for hours), so what counts is the age of the last head, held against the block time learnt from
 * the heads.
 */
#include "base/backoff.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "eth/jsonrpc.h"
#include "net/ws.h"
#include "proc/counters.h"
#include "proc/hint.h"
#include "proc/stop.h"
#include "rpc/logs.h"
#include "track/events.h"
#include "worker/block_time.h"
#include "worker/push_cost.h"
#include "worker/worker.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    MESSAGE_MAX = 8 * 1024 * 1024, /* one log may carry a megabyte and more of data, in hex */
    PARAMS_MAX = 64 * 1024,
    PING_S = 15, /* the WebSocket's own */
    ASK_EVERY_MS =
        30000,        /* some count only JSON as a sign of life (RPC folklore), and end the rest */
    ANSWER_MS = 5000, /* for whatever was asked, connecting included */
    RECONNECT_LEAST_MS = 1000,
    RECONNECT_MOST_MS = 60000,
    /* No head for three block times and this: stalled. */
    STALL_SLACK_MS = 2000,
    STALL_UNKNOWN_MS = 60000, /* while the block time is not known */
    STALL_MOST_MS = 600000,
    WORKED_MS = 5000,
    BLOCK_LEAST_MS = 1000,
    FAST_MS = 1000, /* faster blocks are not pushed: their logs are, and heads are polled */
    FAST_ASK_EVERY_MS = 20000,
    SUBSCRIPTION_TEXT = 80,
};

enum stage { STAGE_CONNECT, STAGE_CHAIN, STAGE_HEADS, STAGE_LOGS, STAGE_LIVE, STAGE_OVER };

/* What is asked on entering a stage; its answer leads to the next one. */
enum listen_request { ASK_CHAIN = 1, ASK_HEADS, ASK_LOGS, ASK_AGAIN, ASK_NO_HEADS };

struct listen {
    const struct conf *conf;
    struct tracker tracker; /* no node, no store: what the balances' triggers are */
    struct trigger_filter filter;
    struct affected_set affected; /* by one log */
    int hint_fd;
    /* the connection */
    const struct conf_endpoint *endpoint;
    struct ws *ws;
    enum stage stage;
    int64_t answer_by_ms; /* monotonic; 0: nothing is asked */
    int64_t ask_at_ms;    /* the next sign of life */
    int64_t head_at_ms;   /* the last head, or when heads were subscribed */
    int64_t began_ms;
    bool saw_head;
    bool was_live;
    bool has_heads;                   /* they are subscribed */
    bool said_up;                     /* follow was told that heads are pushed */
    char heads_id[SUBSCRIPTION_TEXT]; /* the subscription; "": not known */
    struct err why;                   /* STAGE_OVER: the end in words */
    /* over all connections */
    struct block_time block_time;
    bool fast; /* blocks come faster than FAST_MS */
    struct push_cost cost;
    unsigned quiet; /* stalls in a row without a head between: the chain itself may be quiet */
};

/* ---- the block time -------------------------------------------------------------------------- */

/* How long a head may be late. Doubles while nothing comes on fresh connections either. */
static int64_t listen_get_stall_ms(const struct listen *l)
{
    int64_t ms = STALL_UNKNOWN_MS, block = block_time_ms(&l->block_time, 2);
    if (block >= 0)
        ms = (block < BLOCK_LEAST_MS ? BLOCK_LEAST_MS : block) * 3 + STALL_SLACK_MS;
    for (unsigned i = 0; i < l->quiet && ms < STALL_MOST_MS; i++)
        ms *= 2;
    return ms < STALL_MOST_MS ? ms : STALL_MOST_MS;
}

/* Did follow ask for the head meanwhile, and find no newer one than was pushed? Then the chain
 * makes no blocks. */
static bool listen_is_chain_quiet(const struct listen *l, int64_t now)
{
    const struct block_time *b = &l->block_time;
    int64_t silent_ms = now - l->head_at_ms;
    int64_t polled_at = (int64_t)counters_get(PART_FOLLOW, CELL_POLLED_AT);
    uint64_t head = counters_get(PART_FOLLOW, CELL_HEAD);
    return b->n > 0 && head > 0 && head <= b->heads[b->n - 1].number &&
           polled_at > wall_ms() - silent_ms / 2;
}

/* ---- hints ----------------------------------------------------------------------------------- */

static void listen_send(struct listen *l, const struct hint *h)
{
    if (!hint_send(l->hint_fd, h))
        log_debug("hint not delivered", LOG_U64("block", h->block));
}

static void listen_send_hint(struct listen *l, enum hint_kind kind, uint64_t block,
                             const hash32 *hash, uint64_t index)
{
    struct hint h = {.kind = kind, .index = (uint32_t)index, .block = block};
    if (hash)
        h.hash = *hash;
    listen_send(l, &h);
}

/* The wallets of a log, before the log itself: that one may wake follow. Wallets that only a view
 * can tell are left to the look. */
static void listen_send_wallets(struct listen *l, const struct event_log *log)
{
    for (size_t i = 0; i < l->tracker.n_balances; i++) {
        affected_set_clear(&l->affected);
        events_collect(&l->tracker.balances[i], log, 1, &l->affected);
        dirty_sort_unique(&l->affected.dirty);
        for (size_t k = 0; k < l->affected.dirty.n; k++)
            listen_send(l, &(struct hint){.kind = HINT_WALLET,
                                          .index = (uint32_t)i,
                                          .block = log->no_block ? 0 : log->block,
                                          .wallet = l->affected.dirty.list[k].wallet});
    }
}

static void listen_on_head(struct listen *l, const struct json *result, size_t bytes)
{
    struct header h;
    bool found = false;
    struct err err = {0};
    push_cost_take_head(&l->cost, bytes);
    if (header_from_json(result, &h, &found, &err) < 0 || !found) {
        log_warn_err("a pushed head cannot be read", &err);
        return;
    }
    l->head_at_ms = clock_ms();
    l->saw_head = true;
    l->quiet = 0;
    block_time_learn(&l->block_time, &h.at);
    counters_add(CELL_HINTS, 1);
    listen_send_hint(l, HINT_HEAD, h.at.number, &h.at.hash, 0);
}

static void listen_on_log(struct listen *l, const struct json *result, size_t bytes)
{
    struct arena arena;
    struct event_log *logs;
    size_t n;
    struct err err = {0};
    arena_init(&arena);
    if (event_logs_from_json(result, 1, &arena, &logs, &n, &err) < 0) {
        log_warn_err("a pushed log cannot be read", &err);
    } else if (n > 0 && !logs[0].unreadable) {
        counters_add(CELL_HINTS, 1);
        push_cost_take_log(&l->cost, &logs[0], bytes);
        if (!logs[0].removed)
            listen_send_wallets(l, &logs[0]);
        if (!logs[0].no_block && !logs[0].no_hash)
            listen_send_hint(l, logs[0].removed ? HINT_REMOVED : HINT_LOG, logs[0].block,
                             &logs[0].block_hash, logs[0].index);
    }
    arena_free(&arena);
}

/* ---- the stages ------------------------------------------------------------------------------ */

static void listen_end_connection(struct listen *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void listen_end_connection(struct listen *l, const char *fmt, ...)
{
    char words[WS_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    if (l->stage != STAGE_OVER)
        err_set(&l->why, ERR_FAILED, "%s", words);
    l->stage = STAGE_OVER;
}

static void listen_send_request(struct listen *l, enum listen_request id, const char *method,
                                const char *params)
{
    struct buf text = BUF_INIT(WS_SEND_MAX);
    struct err err;
    jsonrpc_request(&text, (uint64_t)id, method, params, strlen(params));
    if (ws_send(l->ws, buf_str(&text), text.len, &err) < 0)
        listen_end_connection(l, "%s", err.text);
    buf_free(&text);
    push_cost_take_request(&l->cost, method);
    l->answer_by_ms = clock_ms() + ANSWER_MS;
    l->ask_at_ms = clock_ms() + (l->fast ? FAST_ASK_EVERY_MS : ASK_EVERY_MS);
}

/* Blocks that come faster than they could be read are not worth a push each. Their logs are. */
static void listen_drop_fast_heads(struct listen *l)
{
    char params[SUBSCRIPTION_TEXT + 8];
    int64_t block = block_time_ms(&l->block_time, BLOCK_TIME_HEADS);
    if (l->stage != STAGE_LIVE || block < 0 || block >= FAST_MS || !l->has_heads || !l->heads_id[0])
        return;
    log_info("blocks come fast: logs are pushed, heads are polled",
             LOG_STR("endpoint", l->endpoint->name), LOG_I64("block_ms", block));
    l->fast = true;
    l->has_heads = false;
    if (l->said_up)
        listen_send_hint(l, HINT_DOWN, 0, NULL, 0);
    l->said_up = false;
    snprintf(params, sizeof params, "[\"%s\"]", l->heads_id);
    listen_send_request(l, ASK_NO_HEADS, "eth_unsubscribe", params);
}

static void listen_go_live(struct listen *l)
{
    l->stage = STAGE_LIVE;
    l->was_live = true;
    log_info("subscription established", LOG_STR("endpoint", l->endpoint->name));
    counters_set(CELL_SOCKETS, 1);
    /* Without heads follow goes on polling as often as without a socket. */
    if (l->has_heads)
        listen_send_hint(l, HINT_UP, 0, NULL, 0);
    l->said_up = l->has_heads;
}

static void listen_enter_stage(struct listen *l, enum stage stage)
{
    struct buf params = BUF_INIT(PARAMS_MAX);
    l->stage = stage;
    switch (stage) {
    case STAGE_CHAIN:
        listen_send_request(l, ASK_CHAIN, "eth_chainId", "[]");
        break;
    case STAGE_HEADS:
        l->has_heads = !l->fast;
        if (l->fast) {
            listen_enter_stage(l, STAGE_LOGS);
            break;
        }
        /* exactly so: one provider refuses an empty object behind it */
        listen_send_request(l, ASK_HEADS, "eth_subscribe", "[\"newHeads\"]");
        break;
    case STAGE_LOGS:
        l->head_at_ms = clock_ms();
        if (l->filter.filter.n_topics == 0) {
            listen_go_live(l);
            break;
        }
        logs_add_subscription(&params, &l->filter.filter);
        listen_send_request(l, ASK_LOGS, "eth_subscribe", buf_str(&params));
        break;
    case STAGE_LIVE:
        listen_go_live(l);
        break;
    case STAGE_CONNECT:
    case STAGE_OVER:
        break;
    }
    buf_free(&params);
}

/* The chain must be the one we follow, on every connection and all the time: a balancer may put us
 * in front of another node at any reconnect. */
static bool listen_is_our_chain(struct listen *l, const struct json *result)
{
    uint64_t id;
    if (!json_quantity(result, &id)) {
        listen_end_connection(l, "eth_chainId answered no number");
        return false;
    }
    if (l->conf->chain.id && id != l->conf->chain.id) {
        listen_end_connection(l, "the endpoint's chain id is %" PRIu64 ", but ours is %" PRIu64, id,
                              l->conf->chain.id);
        return false;
    }
    return true;
}

static void listen_on_answer(struct listen *l, const struct json *doc, uint64_t id)
{
    const struct json *error = json_get(doc, "error"), *result = json_get(doc, "result");
    if (json_is_null(error))
        error = NULL; /* some nodes send it beside the result */
    const char *words = json_str(json_get(error, "message"));
    l->answer_by_ms = 0;
    if (error && id == ASK_LOGS) {
        /* Heads alone will do: each makes follow ask for its logs. */
        log_warn("subscribing to logs was refused", LOG_STR("endpoint", l->endpoint->name),
                 LOG_STR("reason", words ? words : "no reason given"));
        listen_enter_stage(l, STAGE_LIVE);
    } else if (error && id == ASK_NO_HEADS) {
        log_debug("unsubscribing from heads was refused", LOG_STR("endpoint", l->endpoint->name));
    } else if (error) {
        listen_end_connection(l, "the endpoint refuses: %.200s", words ? words : "no reason given");
    } else if (id == ASK_CHAIN && l->stage == STAGE_CHAIN) {
        if (listen_is_our_chain(l, result))
            listen_enter_stage(l, STAGE_HEADS);
    } else if (id == ASK_HEADS && l->stage == STAGE_HEADS) {
        const char *name = json_str(result);
        snprintf(l->heads_id, sizeof l->heads_id, "%s",
                 name && strlen(name) < sizeof l->heads_id && !strpbrk(name, "\"\\") ? name : "");
        listen_enter_stage(l, STAGE_LOGS);
    } else if (id == ASK_LOGS && l->stage == STAGE_LOGS) {
        listen_enter_stage(l, STAGE_LIVE);
    } else if (id == ASK_AGAIN) {
        listen_is_our_chain(l, result);
    }
}

/* A notification may come before the answer that names its subscription, so each is known by what
 * it holds, not by that name. */
static void listen_on_notification(struct listen *l, const struct json *result, size_t bytes)
{
    if (l->stage < STAGE_HEADS || l->stage == STAGE_OVER)
        return; /* the chain is not known to be ours */
    if (json_get(result, "topics"))
        listen_on_log(l, result, bytes);
    else
        listen_on_head(l, result, bytes);
    listen_drop_fast_heads(l);
}

static void listen_on_message(void *ctx, const char *text, size_t n)
{
    struct listen *l = ctx;
    struct err err = {0};
    uint64_t id = 0;
    int64_t number;
    struct json *doc = json_parse(text, n, MESSAGE_MAX, &err);
    if (!doc) {
        listen_end_connection(l, "a message that is no JSON: %.150s", err.text);
        return;
    }
    const struct json *result = json_get(json_get(doc, "params"), "result");
    if (result)
        listen_on_notification(l, result, n);
    else if (json_i64(json_get(doc, "id"), &number) && number > 0)
        id = (uint64_t)number;
    if (id)
        listen_on_answer(l, doc, id);
    json_free(doc);
}

/* ---- one connection -------------------------------------------------------------------------- */

static int64_t listen_get_sooner(int64_t a, int64_t b)
{
    return b > 0 && b < a ? b : a;
}

/* No head for too long, though the chain makes blocks. */
static bool listen_has_stalled(struct listen *l, int64_t now)
{
    if (l->stage != STAGE_LIVE || !l->has_heads || now < l->head_at_ms + listen_get_stall_ms(l))
        return false;
    if (!listen_is_chain_quiet(l, now))
        return true;
    l->head_at_ms = now;
    return false;
}

/* What the clock demands by now. */
static void listen_check_deadlines(struct listen *l)
{
    int64_t now = clock_ms();
    if (l->answer_by_ms > 0 && now >= l->answer_by_ms) {
        listen_end_connection(
            l, l->stage == STAGE_CONNECT ? "no connection within %d s" : "no answer within %d s",
            ANSWER_MS / 1000);
    } else if (listen_has_stalled(l, now)) {
        listen_end_connection(l, "no new block for %" PRId64 " ms", now - l->head_at_ms);
        l->quiet++;
    } else if (l->stage == STAGE_LIVE && now >= l->ask_at_ms) {
        listen_send_request(l, ASK_AGAIN, "eth_chainId", "[]");
    }
}

static int64_t listen_next_deadline(const struct listen *l)
{
    int64_t at = listen_get_sooner(clock_ms() + ASK_EVERY_MS, l->answer_by_ms);
    if (l->stage == STAGE_LIVE)
        at = listen_get_sooner(at, l->ask_at_ms);
    if (l->stage == STAGE_LIVE && l->has_heads)
        at = listen_get_sooner(at, l->head_at_ms + listen_get_stall_ms(l));
    return at;
}

/* From connecting to the end; l->why says why it ended. */
static void listen_run_connection(struct listen *l)
{
    struct ws_ask ws = {.url = l->endpoint->ws,
                        .message_max = MESSAGE_MAX,
                        .ping_s = PING_S,
                        .wake_fd = stop_fd(),
                        .on_message = listen_on_message,
                        .ctx = l};
    struct err err;
    l->stage = STAGE_CONNECT;
    l->cost.endpoint = l->endpoint;
    l->cost.number = (size_t)(l->endpoint - l->conf->chain.endpoints);
    l->saw_head = l->was_live = l->has_heads = l->said_up = false;
    l->heads_id[0] = '\0';
    l->began_ms = clock_ms();
    l->answer_by_ms = clock_ms() + ANSWER_MS;
    if (ws_open(&ws, &l->ws, &err) < 0) {
        listen_end_connection(l, "%s", err.text);
        return;
    }
    while (l->stage != STAGE_OVER && !stop_asked()) {
        ws_wait(l->ws, listen_next_deadline(l));
        if (ws_state(l->ws) == WS_CLOSED)
            listen_end_connection(l, "%s", ws_why(l->ws));
        else if (ws_state(l->ws) == WS_OPEN && l->stage == STAGE_CONNECT)
            listen_enter_stage(l, STAGE_CHAIN);
        listen_check_deadlines(l);
    }
    ws_close(l->ws);
    l->ws = NULL;
    if (counters_get(PART_LISTEN, CELL_SOCKETS) > 0) {
        counters_set(CELL_SOCKETS, 0);
        if (l->said_up)
            listen_send_hint(l, HINT_DOWN, 0, NULL, 0);
    }
}

/* ---- for ever -------------------------------------------------------------------------------- */

/* The next endpoint that has a WebSocket, after this one; NULL if none has. */
static const struct conf_endpoint *listen_next_endpoint(const struct conf *conf,
                                                        const struct conf_endpoint *at)
{
    size_t n = conf->chain.n_endpoints;
    size_t start = at ? (size_t)(at - conf->chain.endpoints) + 1 : 0;
    for (size_t i = 0; i < n; i++)
        if (conf->chain.endpoints[(start + i) % n].ws)
            return &conf->chain.endpoints[(start + i) % n];
    return NULL;
}

static void listen_run_loop(struct listen *l)
{
    struct backoff backoff;
    backoff_init(&backoff, RECONNECT_LEAST_MS, RECONNECT_MOST_MS, rng_seed_from_system());
    while (!stop_asked()) {
        listen_run_connection(l);
        if (stop_asked())
            return;
        /* One that worked for a while is replaced at once: it was dropped, or had stalled. */
        bool worked =
            (l->saw_head || (l->fast && l->was_live)) && clock_ms() - l->began_ms >= WORKED_MS;
        if (worked)
            backoff_reset(&backoff);
        int64_t pause = worked ? 0 : backoff_next(&backoff);
        log_warn("WebSocket closed", LOG_STR("endpoint", l->endpoint->name),
                 LOG_STR("reason", l->why.text), LOG_I64("again_in_ms", pause));
        if (!worked)
            l->endpoint = listen_next_endpoint(l->conf, l->endpoint);
        if (stop_wait(pause))
            return;
    }
}

int worker_listen(struct conf *conf, const struct worker_options *options, struct err *err)
{
    struct listen l = {.conf = conf, .hint_fd = options->hint_fd};
    l.endpoint = listen_next_endpoint(conf, NULL);
    if (tracker_open(conf, "trueup listen", 0, &l.tracker, err) < 0)
        return worker_exit_status(err);
    if (trigger_filter_init(&l.filter, l.tracker.balances, l.tracker.n_balances, err) < 0) {
        tracker_close(&l.tracker);
        return worker_exit_status(err);
    }
    for (size_t i = 0; i < conf->chain.n_endpoints; i++)
        counters_endpoint(i, conf->chain.endpoints[i].name);
    if (l.endpoint)
        listen_run_loop(&l);
    else
        stop_wait_until(INT64_MAX);
    affected_set_free(&l.affected);
    tracker_close(&l.tracker);
    return 0;
}
