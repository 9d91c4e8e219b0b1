/*
 * trueup doctor: can `run` work here, and how well? Each endpoint is asked by itself what it can
 * do, the store is looked at, and what to change is said last, in plain words. Nothing is written.
 */
#include "base/backoff.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/url.h"
#include "cli/cli.h"
#include "cli/naming.h"
#include "net/ws.h"
#include "proc/stop.h"
#include "store/view.h"
#include "track/events.h"
#include "worker/worker.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct cli_option doctor_options[] = {{0}};

enum { ADVICE = 32, LINE = 400, WS_MS = 3000, SAMPLE = 2000, CLOCK_SKEW_S = 30, LAG_BLOCKS = 5 };
enum { WAL_PER_ROW = 650 }; /* bytes, measured on a table with an index on updated_at */
enum grade { OK, NOTE, BAD };

struct findings {
    bool json, colour, bad_store;
    bool silent_term; /* one has no answer for anybody */
    bool any_node;    /* one endpoint at least can serve */
    size_t n_lines;
    char advice[ADVICE][LINE];
    size_t n_advice;
    uint64_t rows; /* of the first balance, for the forecast */
};

/* ---- saying ---------------------------------------------------------------------------------- */

static void say_json(struct findings *f, const char *about, const char *state, const char *text)
{
    struct buf out = BUF_INIT(8192);
    buf_addf(&out, "{\"about\":");
    json_write_string(&out, about, strlen(about));
    buf_addf(&out, ",\"state\":\"%s\",\"text\":", state);
    json_write_string(&out, text, strlen(text));
    buf_addc(&out, '}');
    puts(buf_str(&out));
    buf_free(&out);
    f->n_lines++;
}

__attribute__((format(printf, 4, 5))) static void say(struct findings *f, const char *about,
                                                      enum grade grade, const char *fmt, ...)
{
    static const char *const names[] = {"ok", "note", "bad"};
    static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m"};
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (f->json)
        say_json(f, about, names[grade], text);
    else
        printf("  %s%-5s%s %s\n", f->colour ? colours[grade] : "", names[grade],
               f->colour ? "\033[0m" : "", text);
}

__attribute__((format(printf, 2, 3))) static void advise(struct findings *f, const char *fmt, ...)
{
    va_list ap;
    if (f->n_advice == ADVICE)
        return;
    va_start(ap, fmt);
    vsnprintf(f->advice[f->n_advice++], LINE, fmt, ap);
    va_end(ap);
}

static void title(const struct findings *f, const char *what, const char *detail)
{
    if (!f->json)
        printf("%s  %s\n", what, detail);
}

static void size_text(char out[32], double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t i = 0;
    while (bytes >= 1000 && i < 4) {
        bytes /= 1000;
        i++;
    }
    snprintf(out, 32, "%.*f %s", i && bytes < 10 ? 1 : 0, bytes, units[i]);
}

/* ---- the store ------------------------------------------------------------------------------- */

static void look_at_clock(struct findings *f, const char *name, const struct view_facts *v)
{
    int64_t skew = v->now_us / 1000000 - wall_seconds();
    if (skew > CLOCK_SKEW_S || skew < -CLOCK_SKEW_S) {
        say(f, name, NOTE, "the database's clock is %" PRId64 " s away from this machine's", skew);
        advise(f, "set the clocks of both machines (NTP): ages are shown by the database's");
    } else {
        say(f, name, OK, "its clock agrees with this machine's");
    }
}

static void look_at_table(struct findings *f, const char *name, const struct store_balance *b,
                          const struct view_facts *v)
{
    char size[32];
    size_text(size, (double)v->bytes);
    if (!v->table_exists) {
        say(f, name, NOTE, "table %s is not there yet: `trueup run` creates it", b->table);
        return;
    }
    say(f, name, OK, "table %s: about %" PRIu64 " rows, %s", b->table, v->rows_estimate, size);
    if (!v->may_write) {
        f->bad_store = true;
        say(f, name, BAD, "this user may not write %s", b->table);
        advise(f, "GRANT SELECT, INSERT, UPDATE, DELETE ON %s to the user in the store URL",
               b->table);
    }
    if (!v->has_observed && !v->owner) {
        f->bad_store = true;
        say(f, name, BAD,
            "column observed_block is missing, and only the table's owner can add it");
        advise(f, "as the table's owner: ALTER TABLE %s ADD COLUMN observed_block BIGINT",
               b->table);
    } else if (!v->has_observed) {
        say(f, name, NOTE, "column observed_block is missing: `trueup run` adds it");
    }
    if (v->has_updated_index) {
        say(f, name, OK, "updated_at has an index");
    } else {
        say(f, name, NOTE,
            "updated_at has no index: the oldest rows are found by reading them all");
        advise(f, "CREATE INDEX CONCURRENTLY ON %s (updated_at)", b->table);
    }
    if (v->careless_triggers) {
        say(f, name, NOTE,
            "trigger %s fires on every refresh, also when the balance stays the same",
            v->careless_name);
        advise(f,
               "limit trigger %s: AFTER UPDATE OF balance, or WHEN (OLD.balance IS DISTINCT FROM "
               "NEW.balance)",
               v->careless_name);
    } else {
        say(f, name, OK,
            "no trigger fires on a refresh that changes nothing (%" PRIu64 " looked at)",
            v->triggers);
    }
    if (v->non_canonical)
        say(f, name, NOTE,
            "%" PRIu64
            " rows have a wallet that is not 0x + 40 lower-case hex: they are left alone",
            v->non_canonical);
}

static void look_at_store(struct findings *f, struct conf *conf)
{
    struct store *s;
    struct err err = {0};
    char masked[URL_TEXT];
    const char *file = strncmp(conf->store, "sqlite:", 7) == 0 ? conf->store + 7 : NULL;
    url_masked(masked, conf->store);
    title(f, "store", masked);
    if (file && access(file, F_OK) < 0) {
        say(f, "store", NOTE, "the file is not there yet: `trueup run` creates it");
        return;
    }
    if (store_open(conf->store, "trueup doctor", &s, &err) < 0) {
        f->bad_store = true;
        say(f, "store", BAD, "%s", err.text);
        advise(f, "store: %s", err.hint[0] ? err.hint : "make it reachable, then run doctor again");
        return;
    }
    for (size_t i = 0; i < conf->n_balances; i++) {
        const struct conf_balance *c = &conf->balances[i];
        struct store_balance b = {.name = c->name, .table = c->table, .checkpoint = c->checkpoint};
        struct view_facts v;
        if (!c->name)
            continue; /* without a file and without a node: nameless */
        if (view_facts(s, &b, &v, &err) < 0) {
            f->bad_store = true;
            say(f, "store", BAD, "%s", err.text);
            break;
        }
        if (i == 0) {
            f->rows = v.rows_estimate;
            say(f, "store", OK, "%s", v.version);
            look_at_clock(f, "store", &v);
            if (v.standby) {
                f->bad_store = true;
                say(f, "store", BAD, "this server is a read-only standby");
                advise(f, "store: name the primary server");
            }
            if (v.pooled) {
                say(f, "store", NOTE, "a connection pooler seems to stand in between");
                advise(f, "store: connect to PostgreSQL itself, or pool by session");
            }
        }
        look_at_table(f, "store", &b, &v);
    }
    store_close(s);
}

/* ---- an endpoint ----------------------------------------------------------------------------- */

struct patient { /* one endpoint, alone */
    struct tracker t;
    struct conf conf;
    const char *name;
    struct endpoint *endpoint;
    struct header head;
};

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
        say(f, e->name, NOTE, "no WebSocket is configured: new blocks are found by polling");
        return;
    }
    if (ws_open(&ask, &w, &err) < 0) {
        say(f, e->name, NOTE, "WebSocket: %s", err.text);
        return;
    }
    while (ws_state(w) == WS_CONNECTING && clock_ms() < deadline)
        ws_wait(w, deadline);
    if (ws_state(w) == WS_OPEN) {
        say(f, e->name, OK, "WebSocket connects");
    } else {
        say(f, e->name, NOTE, "WebSocket does not connect (%s): new blocks are found by polling",
            ws_state(w) == WS_CLOSED ? ws_why(w) : "no answer in 3 s");
        advise(f, "%s: correct `ws`, or set it to off", e->name);
    }
    ws_close(w);
}

/* The text a method without parameters answers, e.g. web3_clientVersion. */
static void look_at_client(struct findings *f, struct patient *p)
{
    struct node_request ask = {.method = "web3_clientVersion", .params = "[]", .params_len = 2};
    struct json *doc = NULL;
    const struct json *result = NULL;
    struct err err = {0};
    if (node_call(p->t.node, &ask, &doc, &result, NULL, &err) == 0 && json_str(result))
        say(f, p->name, OK, "client %.90s", json_str(result));
    else
        say(f, p->name, NOTE, "does not say which client it is");
    json_free(doc);
}

static void look_at_tags(struct findings *f, struct patient *p)
{
    struct header h;
    struct err err = {0};
    bool found = false;
    if (node_header_tag(p->t.node, TAG_FINALIZED, &h, &found, &err) == 0 && found)
        say(f, p->name, OK, "knows the finalized block: %" PRIu64, h.at.number);
    else
        say(f, p->name, NOTE, "does not know the finalized block: a depth of 64 stands in");
    if (endpoint_probe(p->t.node, p->endpoint, &err) == 0 &&
        endpoint_pins_hash(p->endpoint) == CAP_YES)
        say(f, p->name, OK, "pins reads to a block's hash");
    else
        say(f, p->name, NOTE,
            "does not pin reads to a block's hash: each read proves its block from inside");
}

/* A few wallets by this reader alone. */
static bool reads_by(const struct patient *p, const struct conf_endpoint *e, enum conf_reader kind,
                     struct err *err)
{
    enum { FEW = 4 };
    struct conf conf = p->conf;
    struct conf_endpoint forced = *e;
    struct tracker t;
    address wallets[FEW] = {{{1}}, {{2}}, {{3}}, {{4}}};
    struct reading readings[FEW];
    struct read_report r = {0};
    forced.reader = kind;
    conf.chain.endpoints = &forced;
    conf.chain.n_endpoints = 1;
    if (tracker_open(&conf, "trueup doctor", NEEDS_NODE, &t, err) < 0)
        return false;
    reads_stop_when(t.reads, stop_asked);
    node_stop_on(t.node, stop_fd());
    struct read_ask ask = {.shape = &t.balances[0].shape,
                           .at = p->head.at,
                           .chain_id = p->t.chain_id,
                           .wallets = wallets,
                           .n = FEW,
                           .lane = NODE_SWEEP};
    uint64_t id;
    hash32 genesis;
    bool ok = node_identify(t.node, &id, &genesis, err) == 0 &&
              reads_run(t.reads, &ask, readings, &r, err) == 0;
    if (ok && r.end != READ_END_DONE) {
        *err = r.why;
        ok = false;
    }
    tracker_close(&t);
    return ok;
}

static void look_at_readers(struct findings *f, struct patient *p, const struct conf_endpoint *e)
{
    static const struct {
        enum conf_reader kind;
        const char *name, *what;
    } kinds[] = {{READER_OVERRIDE, "override", "a program put in place by state override"},
                 {READER_CREATE, "create", "a program run as creation code"},
                 {READER_MULTICALL3, "multicall3", "the contract at chain.multicall"},
                 {READER_SINGLE, "single", "one call a wallet and term"}};
    size_t good = 0;
    for (size_t i = 0; i < COUNT_OF(kinds) && !stop_asked(); i++) {
        struct err err = {0};
        bool ok = reads_by(p, e, kinds[i].kind, &err);
        good += ok && kinds[i].kind != READER_SINGLE;
        say(f, p->name, ok ? OK : NOTE, "reader %s (%s)%s%.300s", kinds[i].name, kinds[i].what,
            ok ? " works" : ": ", ok ? "" : err.text);
    }
    if (good == 0)
        advise(f, "%s: no reader takes many wallets a request; another provider would be cheaper",
               p->name);
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
        int rc =
            node_logs_range(p->t.node, &filter.filter, from, to, NODE_CATCHUP, &arena, &logs, &err);
        size_t n = rc == 0 ? logs.n : 0;
        arena_free(&arena);
        if (rc == 0) {
            say(f, p->name, widths[i] < 99 && from > 0 ? NOTE : OK,
                "eth_getLogs over %" PRIu64 " blocks works (%zu logs)", to - from + 1, n);
            return;
        }
    }
    say(f, p->name, BAD, "eth_getLogs is refused: %s", err.text);
    advise(f, "%s: without eth_getLogs no event is seen; choose another plan or provider", p->name);
}

struct cost { /* of one read */
    size_t wallets, requests;
    int64_t ms;
    uint64_t bytes, units;
};

/* What a full pass would take, from one read of made-up wallets at the head. */
static void forecast(struct findings *f, const struct patient *p, const struct cost *c)
{
    char bytes[32], took[CLOCK_TEXT], wal[32];
    size_t batch = reads_batch_size(p->t.reads, &p->t.balances[0].shape);
    uint64_t rows = f->rows ? f->rows : 1000000;
    uint64_t requests = (rows + batch - 1) / (batch ? batch : 1);
    double share = (double)rows / (double)c->wallets;
    bool sqlite = strncmp(p->conf.store, "sqlite:", 7) == 0;
    size_text(bytes, (double)c->bytes * share);
    size_text(wal, (double)rows * WAL_PER_ROW);
    duration_text(took, (int64_t)((double)c->ms * share));
    say(f, p->name, OK,
        "a full pass over %s%" PRIu64 " rows: %" PRIu64 " request%s, %" PRIu64
        " units, %s, %s at one request at a time%s%s",
        f->rows ? "" : "a table of ", rows, requests, requests == 1 ? "" : "s",
        requests * c->units / (c->requests ? c->requests : 1), bytes, took,
        sqlite ? "" : ", WAL about ", sqlite ? "" : wal);
}

static void make_up(address *wallets, size_t n)
{
    struct rng rng = {.state = 1};
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof wallets[i].b; k++)
            wallets[i].b[k] = (uint8_t)rng_next(&rng);
}

static void tell_reading(struct findings *f, struct patient *p, const struct reading *readings,
                         const struct cost *cost)
{
    size_t ok = 0;
    for (size_t i = 0; i < cost->wallets; i++)
        ok += readings[i].status == READ_OK;
    f->any_node = true;
    if (ok == 0 && readings[0].failed_term >= 0) {
        const struct conf_term *term = &p->conf.balances[0].terms[(size_t)readings[0].failed_term];
        say(f, p->name, BAD, "term \"%s\" has no answer for any wallet: %s", term->name,
            reading_status_name(readings[0].status));
        advise(f, "%s: is the contract of term \"%s\" on this chain, and has it that view?",
               p->name, term->name);
        f->silent_term = true;
        return;
    }
    struct buf how = BUF_INIT(256);
    reads_describe(p->t.reads, p->endpoint, &how);
    say(f, p->name, ok == cost->wallets ? OK : NOTE,
        "read %zu wallets in %" PRId64 " ms with %zu request%s: %s", ok, cost->ms, cost->requests,
        cost->requests == 1 ? "" : "s", buf_str(&how));
    buf_free(&how);
    forecast(f, p, cost);
}

static void look_at_reading(struct findings *f, struct patient *p)
{
    address *wallets = mem_zero(SAMPLE, sizeof *wallets);
    struct reading *readings = mem_zero(SAMPLE, sizeof *readings);
    struct read_report r = {0};
    struct err err = {0};
    make_up(wallets, SAMPLE);
    struct read_ask ask = {.shape = &p->t.balances[0].shape,
                           .at = p->head.at,
                           .chain_id = p->t.chain_id,
                           .wallets = wallets,
                           .n = SAMPLE,
                           .lane = NODE_SWEEP};
    const struct endpoint_counters before = *endpoint_counters(p->endpoint);
    int64_t started = clock_ms();
    int rc = reads_run(p->t.reads, &ask, readings, &r, &err);
    const struct endpoint_counters *after = endpoint_counters(p->endpoint);
    if (rc < 0 || r.end != READ_END_DONE) {
        say(f, p->name, BAD, "balances cannot be read: %s", rc < 0 ? err.text : r.why.text);
        advise(f, "%s: check chain.id and the contracts of the terms", p->name);
    } else {
        struct cost cost = {.wallets = SAMPLE,
                            .requests = r.requests,
                            .ms = clock_ms() - started,
                            .bytes = after->bytes_in - before.bytes_in + after->bytes_out -
                                     before.bytes_out,
                            .units = after->units - before.units};
        tell_reading(f, p, readings, &cost);
    }
    mem_free(wallets);
    mem_free(readings);
}

static bool look_at_identity(struct findings *f, struct patient *p, const struct conf *conf)
{
    struct err err = {0};
    uint64_t id = 0;
    bool found = false;
    char age[CLOCK_TEXT];
    int64_t started = clock_ms();
    if (node_identify(p->t.node, &id, &p->t.genesis, &err) < 0 ||
        node_header_tag(p->t.node, TAG_LATEST, &p->head, &found, &err) < 0 || !found) {
        say(f, p->name, BAD, "%s", found || err.text[0] ? err.text : "it knows no newest block");
        advise(f, "%s: check the URL, the key and the network", p->name);
        return false;
    }
    p->t.chain_id = id;
    if (conf->chain.has_id && conf->chain.id != id) {
        say(f, p->name, BAD, "it serves chain %" PRIu64 ", but chain.id is %" PRIu64, id,
            conf->chain.id);
        advise(f, "%s: use an endpoint of chain %" PRIu64, p->name, conf->chain.id);
        return false;
    }
    say(f, p->name, OK, "answers in %" PRId64 " ms; chain %" PRIu64, (clock_ms() - started) / 3,
        id);
    duration_text(age, (wall_seconds() - (int64_t)p->head.at.timestamp) * 1000);
    say(f, p->name, OK, "head %" PRIu64 ", mined %s ago", p->head.at.number, age);
    return true;
}

/* *ret_head: 0 when it cannot serve. */
static void look_at_endpoint(struct findings *f, const struct conf *conf, size_t i,
                             uint64_t *ret_head)
{
    struct patient p = {.conf = *conf, .name = conf->chain.endpoints[i].name};
    struct err err = {0};
    char masked[URL_TEXT];
    url_masked(masked, conf->chain.endpoints[i].url);
    title(f, p.name, masked);
    p.conf.chain.endpoints = &conf->chain.endpoints[i];
    p.conf.chain.n_endpoints = 1;
    if (tracker_open(&p.conf, "trueup doctor", NEEDS_NODE, &p.t, &err) < 0) {
        say(f, p.name, BAD, "%s", err.text);
        return;
    }
    reads_stop_when(p.t.reads, stop_asked);
    node_stop_on(p.t.node, stop_fd());
    p.endpoint = node_endpoint(p.t.node, 0);
    if (look_at_identity(f, &p, conf)) {
        *ret_head = p.head.at.number;
        look_at_socket(f, &conf->chain.endpoints[i]);
        look_at_client(f, &p);
        look_at_tags(f, &p);
        look_at_readers(f, &p, &conf->chain.endpoints[i]);
        look_at_logs(f, &p);
        look_at_reading(f, &p);
    }
    tracker_close(&p.t);
}

static void compare_heads(struct findings *f, const struct conf *conf, const uint64_t *heads)
{
    uint64_t highest = 0;
    for (size_t i = 0; i < conf->chain.n_endpoints; i++)
        highest = heads[i] > highest ? heads[i] : highest;
    for (size_t i = 0; i < conf->chain.n_endpoints; i++)
        if (heads[i] > 0 && highest - heads[i] > LAG_BLOCKS) {
            say(f, conf->chain.endpoints[i].name, NOTE,
                "%s is %" PRIu64 " blocks behind the best of the others",
                conf->chain.endpoints[i].name, highest - heads[i]);
            advise(f, "%s lags: put it last in chain.endpoints, or replace it",
                   conf->chain.endpoints[i].name);
        }
}

/* ---- the end --------------------------------------------------------------------------------- */

static int conclude(struct findings *f)
{
    int status = !f->any_node ? 4 : f->bad_store ? 5 : f->silent_term ? 1 : 0;
    static const char *const ends[] = {[0] = "`trueup run` can work here",
                                       [1] =
                                           "`trueup run` would find nothing: a term has no answer",
                                       [4] = "`trueup run` cannot work: no endpoint serves",
                                       [5] = "`trueup run` cannot work: the store refuses"};
    const char *end = ends[status];
    if (f->json) {
        for (size_t i = 0; i < f->n_advice; i++)
            say_json(f, "advice", "note", f->advice[i]);
        say_json(f, "run", status ? "bad" : "ok", end);
        return status;
    }
    if (f->n_advice)
        puts("what to change");
    for (size_t i = 0; i < f->n_advice; i++)
        printf("  %zu. %s\n", i + 1, f->advice[i]);
    puts(end);
    return status;
}

int command_doctor(struct cli *cli)
{
    static struct findings f;
    struct err err = {0};
    uint64_t heads[32] = {0};
    struct conf *conf = cli_conf(cli);
    if (!conf)
        return 2;
    stop_install();
    f.json = cli_has(cli, "json");
    f.colour = isatty(STDOUT_FILENO) && !f.json;
    if (conf->chain.n_endpoints == 0)
        advise(&f, "no endpoint is configured: give --rpc URL, or chain.endpoints in a file");
    else if (name_balances(conf, &err) < 0)
        say(&f, "config", NOTE, "%s", err.text);
    look_at_store(&f, conf);
    for (size_t i = 0; i < conf->chain.n_endpoints && i < COUNT_OF(heads) && !stop_asked(); i++)
        look_at_endpoint(&f, conf, i, &heads[i]);
    compare_heads(&f, conf, heads);
    conf_free(conf);
    return conclude(&f);
}
