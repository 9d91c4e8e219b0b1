/* How balances can be read from an endpoint, and what it would cost to read all of them. */
#include "base/backoff.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/doctor.h"
#include "cli/figures.h"
#include "proc/stop.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SAMPLE = 2000, SAMPLE_MOST = 6000, SAMPLE_LEAST = 2, SAMPLE_SHRINKS = 10 };
enum { SAMPLE_MS = 10 * 1000, SLOW_MS = 4 * 1000 }; /* a failure after so long is for slowness */
enum { WAL_PER_ROW = 650 }; /* bytes, measured on a table with an index on updated_at */

static bool run_read(struct tracker *t, const struct read_ask *ask, struct reading *readings,
                     struct read_report *ret, struct err *err)
{
    if (reads_run(t->reads, ask, readings, ret, err) < 0)
        return false;
    if (ret->end != READ_END_DONE)
        *err = ret->why;
    return ret->end == READ_END_DONE;
}

/* A few wallets by this reader alone. */
static bool reads_by(const struct patient *p, const struct conf_endpoint *e, enum conf_reader kind,
                     struct err *err)
{
    enum { FEW = 4 };
    struct conf conf;
    struct conf_endpoint forced = *e;
    struct tracker t;
    address wallets[FEW] = {{{1}}, {{2}}, {{3}}, {{4}}};
    struct reading readings[FEW];
    struct read_report r = {0};
    forced.reader = kind;
    if (doctor_open(&p->conf, &forced, &conf, &t, err) < 0)
        return false;
    t.balances[0].shape.anchor = p->t.balances[0].shape.anchor;
    struct read_ask ask = {.shape = &t.balances[0].shape,
                           .at = p->head.at,
                           .chain_id = p->t.chain_id,
                           .wallets = wallets,
                           .n = FEW,
                           .lane = RPC_SWEEP};
    uint64_t id;
    hash32 genesis;
    bool ok =
        rpc_identify(t.node, &id, &genesis, err) == 0 && run_read(&t, &ask, readings, &r, err);
    tracker_close(&t);
    return ok;
}

/* "endpoint … bears no reader (create: WHY)": all but WHY is said already. */
static const char *doctor_read_reason(struct err *err, const char *reader)
{
    char begin[32];
    snprintf(begin, sizeof begin, "(%s: ", reader);
    char *why = strstr(err->text, begin);
    size_t n = strlen(err->text);
    if (!why || err->text[n - 1] != ')')
        return err->text;
    err->text[n - 1] = '\0';
    return why + strlen(begin);
}

void doctor_readers(struct findings *f, struct patient *p, const struct conf_endpoint *e)
{
    static const struct {
        enum conf_reader kind;
        const char *name, *what;
    } kinds[] = {{READER_OVERRIDE, "override", "state override: a program put in place for a call"},
                 {READER_CREATE, "create", "a program run as creation code"},
                 {READER_MULTICALL3, "multicall3", "the contract at chain.multicall"},
                 {READER_SINGLE, "single", "one call a wallet and term"}};
    size_t good = 0;
    for (size_t i = 0; i < COUNT_OF(kinds) && !stop_asked(); i++) {
        struct err err = {0};
        bool ok = reads_by(p, e, kinds[i].kind, &err);
        good += ok && kinds[i].kind != READER_SINGLE;
        if (ok)
            doctor_say(f, FINE, "reader %s works (%s)", kinds[i].name, kinds[i].what);
        else
            doctor_say(f, NOTE, "reader %s does not work (%s): %.300s", kinds[i].name,
                       kinds[i].what, doctor_read_reason(&err, kinds[i].name));
    }
    if (good == 0)
        doctor_advise(
            f, "%s: no reader takes many wallets a request; another provider would be cheaper",
            p->name);
}

struct cost { /* of one read */
    size_t wallets, requests;
    int64_t ms;
    uint64_t bytes, units;
};

/* What a full pass would take, from one read of made-up wallets at the head. */
static void doctor_forecast_cost(struct findings *f, const struct patient *p, const struct cost *c)
{
    char bytes[FIGURE_TEXT], took[CLOCK_TEXT], wal[FIGURE_TEXT];
    size_t batch = reads_batch_size(p->t.reads, &p->t.balances[0].shape);
    uint64_t rows = f->rows ? f->rows : 1000000;
    uint64_t requests = (rows + batch - 1) / (batch ? batch : 1);
    double share = (double)rows / (double)c->wallets;
    bool sqlite = strncmp(p->conf.store, "sqlite:", 7) == 0;
    figure_bytes((double)c->bytes * share, bytes);
    figure_bytes((double)rows * WAL_PER_ROW, wal);
    duration_text(took, (int64_t)((double)c->ms * share));
    doctor_say(f, FINE,
               "a full pass over %s%" PRIu64 " rows costs %" PRIu64 " request%s, %" PRIu64
               " units, %s of traffic%s%s, and takes %s when asked one after the other",
               f->rows ? "" : "a table of ", rows, requests, requests == 1 ? "" : "s",
               requests * c->units / (c->requests ? c->requests : 1), bytes,
               sqlite ? "" : ", WAL of about ", sqlite ? "" : wal, took);
}

static void make_up(address *wallets, size_t n)
{
    struct rng rng = {.state = 1};
    for (size_t i = 0; i < n; i++)
        rng_fill(&rng, wallets[i].b, sizeof wallets[i].b);
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
        doctor_say(f, BAD, "term \"%s\" has no answer for any wallet: %s", term->name,
                   reading_status_name(readings[0].status));
        doctor_advise(f, "%s: is the contract of term \"%s\" on this chain, and has it that view?",
                      p->name, term->name);
        f->silent_term = true;
        return;
    }
    struct read_size size = {.reader = "?"};
    reads_size(p->t.reads, p->endpoint, &size);
    doctor_say(f, ok == cost->wallets ? FINE : NOTE,
               "the largest batch is %zu wallets a request (reader %s, %" PRIu64
               " gas); %zu of %zu wallets read in %" PRId64 " ms",
               size.wallets, size.reader, size.gas, ok, cost->wallets, cost->ms);
    doctor_forecast_cost(f, p, cost);
}

/* One read of n wallets; false with the reason in err. */
static bool read_some(struct patient *p, const address *wallets, size_t n, struct reading *readings,
                      struct cost *ret, struct err *err)
{
    struct read_report r = {0};
    struct read_ask ask = {.shape = &p->t.balances[0].shape,
                           .at = p->head.at,
                           .chain_id = p->t.chain_id,
                           .wallets = wallets,
                           .n = n,
                           .lane = RPC_SWEEP,
                           .deadline_ms = clock_ms() + SAMPLE_MS};
    const struct endpoint_counters before = *endpoint_counters(p->endpoint);
    int64_t started = clock_ms();
    if (!run_read(&p->t, &ask, readings, &r, err))
        return false;
    const struct endpoint_counters *after = endpoint_counters(p->endpoint);
    *ret = (struct cost){.wallets = n,
                         .requests = r.requests,
                         .ms = clock_ms() - started,
                         .bytes = after->bytes_in - before.bytes_in + after->bytes_out -
                                  before.bytes_out,
                         .units = after->units - before.units};
    return true;
}

/* Fewer wallets where it takes too long: a slow node serves, too. */
static bool read_slow(struct findings *f, struct patient *p, const address *wallets,
                      struct reading *readings, struct cost *ret, struct err *err)
{
    bool ok = false, slow = true;
    size_t n = SAMPLE;
    for (; !ok && slow && n >= SAMPLE_LEAST && !stop_asked(); n /= SAMPLE_SHRINKS) {
        int64_t began = clock_ms();
        ok = read_some(p, wallets, n, readings, ret, err);
        slow = clock_ms() - began >= SLOW_MS;
    }
    if (ok && ret->wallets < SAMPLE)
        doctor_say(f, NOTE, "it is slow: %d wallets take more than %d s, %zu take %" PRId64 " ms",
                   SAMPLE, SAMPLE_MS / 1000, ret->wallets, ret->ms);
    return ok;
}

/* Twice: the first read also asks what the endpoint bears, the second is one request as large as it
 * may be, and is what every request of a pass will be like. A slow node is not asked so much. */
void doctor_reading(struct findings *f, struct patient *p)
{
    address *wallets = mem_zero(SAMPLE_MOST, sizeof *wallets);
    struct reading *readings = mem_zero(SAMPLE_MOST, sizeof *readings);
    struct err err = {0}, ignored = {0};
    struct cost cost = {0}, largest;
    make_up(wallets, SAMPLE_MOST);
    bool ok = read_slow(f, p, wallets, readings, &cost, &err);
    if (ok && cost.wallets == SAMPLE && cost.ms < SLOW_MS) {
        size_t batch = reads_batch_size(p->t.reads, &p->t.balances[0].shape);
        batch = batch < 1 ? 1 : batch > SAMPLE_MOST ? SAMPLE_MOST : batch;
        if (read_some(p, wallets, batch, readings, &largest, &ignored))
            cost = largest;
        else
            doctor_say(f, NOTE, "it is slow: a request of %zu wallets fails (%s)", batch,
                       ignored.text);
    }
    if (ok) {
        tell_reading(f, p, readings, &cost);
    } else {
        doctor_say(f, BAD, "balances cannot be read: %s", err.text);
        doctor_advise(f, "%s: check chain.id and the contracts of the terms", p->name);
    }
    mem_free(wallets);
    mem_free(readings);
}
