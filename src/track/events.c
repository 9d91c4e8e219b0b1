#include "track/events.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "track/event_layouts.h"

#include <string.h>

static int events_add_contract(struct trigger_filter *f, const address *a, struct err *err)
{
    size_t n = f->filter.n_contracts;
    for (size_t i = 0; i < n; i++)
        if (address_equal(&f->contracts[i], a))
            return 0;
    if (n == FILTER_CONTRACTS)
        return err_set(err, ERR_USAGE, "triggers name more than %d contracts", FILTER_CONTRACTS);
    f->contracts[n] = *a;
    f->filter.n_contracts = n + 1;
    return 0;
}

static int events_add_topic(struct trigger_filter *f, const hash32 *topic, struct err *err)
{
    size_t n = f->filter.n_topics;
    for (size_t i = 0; i < n; i++)
        if (hash_equal(&f->topics[i], topic))
            return 0;
    if (n == FILTER_TOPICS)
        return err_set(err, ERR_USAGE, "triggers name more than %d events", FILTER_TOPICS);
    f->topics[n] = *topic;
    f->filter.n_topics = n + 1;
    return 0;
}

int trigger_filter_init(struct trigger_filter *f, const struct tracked *b, size_t n,
                        struct err *err)
{
    memset(f, 0, sizeof *f);
    f->filter.contracts = f->contracts;
    f->filter.topics = f->topics;
    for (size_t k = 0; k < n; k++) {
        const struct conf_balance *conf = b[k].conf;
        for (size_t i = 0; i < conf->n_triggers; i++)
            if (events_add_contract(f, &conf->triggers[i].contract, err) < 0 ||
                events_add_topic(f, &conf->triggers[i].event.hash, err) < 0)
                return -1;
    }
    return 0;
}

void names_add(struct names *n, const struct store_dirty *name)
{
    if (n->n == n->room) {
        n->room = n->room ? n->room * 2 : 64;
        n->list = mem_grow(n->list, n->room, sizeof *n->list);
    }
    n->list[n->n++] = *name;
}

static void names_clear(struct names *n)
{
    n->n = 0;
}

void names_free(struct names *n)
{
    mem_free(n->list);
    *n = (struct names){0};
}

void affected_set_clear(struct affected_set *n)
{
    names_clear(&n->names);
    dirty_clear(&n->dirty);
    fanout_clear(&n->fanout);
    n->all_block = 0;
}

void affected_set_free(struct affected_set *n)
{
    names_free(&n->names);
    dirty_free(&n->dirty);
    fanout_free(&n->fanout);
}

enum store_insert events_insert_rule(const struct tracked *b)
{
    return b->store.tracking == STORE_LISTED ? INSERT_IF_LISTED : INSERT_ALWAYS;
}

static void events_add_list(const struct conf_trigger *trigger, const struct conf_source *source,
                            const struct event_log *log, const address *argument,
                            struct affected_set *affected)
{
    bool known = !log->unplaced && !log->no_hash;
    struct fanout_ask ask = {.contract = trigger->contract,
                             .argument = *argument,
                             .block = log->block,
                             .unplaced = !known};
    if (known)
        ask.block_hash = log->block_hash;
    memcpy(ask.selector, source->view.selector, sizeof ask.selector);
    fanout_add(&affected->fanout, &ask);
}

static void events_add_wallet(const struct tracked *b, const struct event_log *log,
                              const address *wallet, struct affected_set *affected)
{
    dirty_add(&affected->dirty, &(struct affected){.wallet = *wallet,
                                                   .has_event = !log->unplaced,
                                                   .event_block = log->block,
                                                   .insert = events_insert_rule(b)});
    if (!affected->by || log->unplaced)
        return;
    struct store_dirty name = {.wallet = *wallet, .number = log->block, .endpoint = affected->by};
    if (!log->no_hash)
        name.hash = log->block_hash;
    names_add(&affected->names, &name);
}

/* False when the log does not carry the source's address. */
static bool events_add_source(const struct tracked *b, const struct conf_trigger *trigger,
                              const struct conf_source *source, const struct event_log *log,
                              const struct event_layout *layout, struct affected_set *affected)
{
    address wallet;
    if (!event_address(log, &trigger->event, layout, source->param, &wallet))
        return false;
    if (source->is_view)
        events_add_list(trigger, source, log, &wallet, affected);
    else if (!address_is_zero(&wallet)) /* which stands for minting and burning, and is no wallet */
        events_add_wallet(b, log, &wallet, affected);
    return true;
}

/* A log that is looked at again is no news. */
static void events_note_seen(const struct event_log *log)
{
    if (log->unplaced || log->block <= counters_get(PART_FOLLOW, CELL_EVENT_BLOCK))
        return;
    counters_set(CELL_EVENT_BLOCK, log->block);
    counters_set(CELL_EVENT_AT, (uint64_t)wall_ms());
}

static void events_collect_log(const struct tracked *b, const struct conf_trigger *trigger,
                               const struct event_log *log, struct affected_set *affected)
{
    affected->seen |= 1u << (trigger - b->conf->triggers);
    struct event_layout layout = event_layout_of(log, &trigger->event);
    bool lost = false;
    events_note_seen(log);
    for (size_t k = 0; k < trigger->n_sources; k++)
        lost |= !events_add_source(b, trigger, &trigger->sources[k], log, &layout, affected);
    if (layout.fit != EVENT_AS_DECLARED)
        event_layouts_report(trigger, log, &layout, lost);
    if (trigger->all && log->block > affected->all_block)
        affected->all_block = log->block;
}

void events_collect(const struct tracked *b, const struct event_log *logs, size_t n,
                    struct affected_set *affected)
{
    for (size_t l = 0; l < n; l++)
        for (size_t i = 0; i < b->conf->n_triggers; i++)
            if (event_matches(&logs[l], &b->conf->triggers[i].contract,
                              &b->conf->triggers[i].event))
                events_collect_log(b, &b->conf->triggers[i], &logs[l], affected);
}

int events_keep_tracked(struct tracker *t, const struct tracked *b, struct dirty *dirty,
                        struct err *err)
{
    dirty_sort_unique(dirty);
    if (b->store.tracking == STORE_SEEN || dirty->n == 0)
        return 0;
    address *wallets = mem_alloc(dirty->n * sizeof *wallets);
    bool *tracked = mem_alloc(dirty->n * sizeof *tracked);
    for (size_t i = 0; i < dirty->n; i++)
        wallets[i] = dirty->list[i].wallet;
    int rc = store_tracked(t->store, &b->store, wallets, dirty->n, tracked, err);
    size_t kept = 0;
    for (size_t i = 0; rc == 0 && i < dirty->n; i++)
        if (tracked[i])
            dirty->list[kept++] = dirty->list[i];
    if (rc == 0)
        dirty->n = kept;
    mem_free(wallets);
    mem_free(tracked);
    return rc;
}

int events_drop_answered(struct tracker *t, const struct tracked *b, struct dirty *dirty,
                         struct err *err)
{
    if (dirty->n == 0)
        return 0;
    struct store_event *events = mem_alloc(dirty->n * sizeof *events);
    bool *answered = mem_zero(dirty->n, sizeof *answered);
    for (size_t i = 0; i < dirty->n; i++)
        events[i] = (struct store_event){dirty->list[i].wallet, dirty->list[i].event_block};
    int rc = store_answered(t->store, &b->store, events, dirty->n, answered, err);
    size_t kept = 0;
    for (size_t i = 0; rc == 0 && i < dirty->n; i++)
        if (!dirty->list[i].has_event || !answered[i])
            dirty->list[kept++] = dirty->list[i];
    if (rc == 0)
        dirty->n = kept;
    mem_free(events);
    mem_free(answered);
    return rc;
}
