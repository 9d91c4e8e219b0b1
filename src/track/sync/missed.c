#include "track/sync/missed.h"
#include "base/err.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "store/audit.h"
#include "track/sync/flush.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { KNOWN_MOST = 200000, DROPPED_LOOKED_AT = 8 };

struct missed_known {
    struct store_dirty name;
    bool seen; /* the second look has it, too */
};

void missed_free(struct missed *m)
{
    mem_free(m->known);
    affected_set_free(&m->found);
    m->known = NULL;
}

/* ---- what the first looks named -------------------------------------------------------------- */

static int missed_compare_names(const struct store_dirty *a, const struct store_dirty *b)
{
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return address_compare(&a->wallet, &b->wallet);
}

static int missed_compare_known(const void *a, const void *b)
{
    return missed_compare_names(&((const struct missed_known *)a)->name,
                                &((const struct missed_known *)b)->name);
}

static void missed_add_known(struct missed *m, const struct store_dirty *list, size_t n)
{
    m->known = mem_grow(m->known, m->n_known + n + 1, sizeof *m->known);
    for (size_t i = 0; i < n; i++)
        if (list[i].number > m->from && list[i].number <= m->to)
            m->known[m->n_known++] = (struct missed_known){.name = list[i]};
}

static int missed_load_known(struct missed *m, struct arena *arena, struct err *err)
{
    struct store_dirty *list;
    size_t n;
    struct store_page page = {.up_to = m->to, .limit = KNOWN_MOST, .arena = arena};
    if (store_dirty_due(m->f->t->store, &m->fb->b->store, &page, &list, &n, err) < 0)
        return -1;
    m->unsure = n == KNOWN_MOST;
    missed_add_known(m, list, n);
    missed_add_known(m, m->fb->first_looks.names.list, m->fb->first_looks.names.n);
    qsort(m->known, m->n_known, sizeof *m->known, missed_compare_known);
    return 0;
}

/* The same event may be known several times: of a branch that was dropped, say. */
static bool missed_is_known(struct missed *m, const struct store_dirty *name)
{
    size_t low = 0, high = m->n_known;
    bool known = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (missed_compare_names(&m->known[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < m->n_known && missed_compare_names(&m->known[low].name, name) == 0; low++)
        known = m->known[low].seen = true;
    return known;
}

/* ---- what is new ----------------------------------------------------------------------------- */

static void missed_take_log(struct missed *m, const struct event_log *log, struct affected_set *one)
{
    affected_set_clear(one);
    events_collect(m->fb->b, log, 1, one);
    for (size_t i = 0; i < one->names.n; i++) {
        const struct store_dirty *name = &one->names.list[i];
        if (missed_is_known(m, name))
            continue;
        names_add(&m->found.names, name);
        dirty_add(&m->found.dirty, &(struct affected){.wallet = name->wallet,
                                                      .has_event = true,
                                                      .event_block = name->number,
                                                      .insert = events_insert_rule(m->fb->b)});
    }
    /* Its block is not known: no first look could have a name to compare with. */
    for (size_t i = 0; log->unplaced && i < one->dirty.n; i++)
        dirty_add(&m->found.dirty, &one->dirty.list[i]);
    for (size_t i = 0; i < one->fanout.n; i++)
        if (!first_looks_have_list(&m->fb->first_looks, &one->fanout.list[i]))
            fanout_add(&m->found.fanout, &one->fanout.list[i]);
    if (one->all_block > m->found.all_block &&
        !first_looks_have_all(&m->fb->first_looks, one->all_block))
        m->found.all_block = one->all_block;
}

static void missed_take_logs(struct missed *m)
{
    struct affected_set one = {.by = endpoint_name(m->logs->by)};
    for (size_t i = 0; i < m->logs->n; i++)
        if (m->logs->list[i].block > m->from)
            missed_take_log(m, &m->logs->list[i], &one);
    affected_set_free(&one);
}

/* ---- what is lacking ------------------------------------------------------------------------- */

/* Does the block that named it still stand? *ret_asked counts the headers asked for. */
static int missed_is_ours(struct missed *m, const struct store_dirty *name, size_t *ret_asked,
                          bool *ret, struct err *err)
{
    struct anchor stored;
    struct header h;
    bool found;
    if (store_header_at(m->f->t->store, name->number, &stored, &found, err) < 0)
        return -1;
    if (!found && ++*ret_asked <= DROPPED_LOOKED_AT) {
        if (rpc_header_number(m->f->t->node, name->number, &h, &found, err) < 0)
            return -1;
        stored = h.at;
    }
    *ret = found && hash_equal(&stored.hash, &name->hash);
    return 0;
}

static int missed_find_lacking(struct missed *m, struct err *why, struct err *err)
{
    size_t asked = 0;
    for (size_t i = 0; i < m->n_known && !m->lacks; i++) {
        const struct store_dirty *name = &m->known[i].name;
        char wallet[ADDRESS_TEXT];
        if (m->known[i].seen || !name->endpoint)
            continue;
        if (missed_is_ours(m, name, &asked, &m->lacks, err) < 0)
            return -1;
        if (!m->lacks)
            continue;
        address_text(&name->wallet, wallet);
        err_set(why, ERR_FAILED,
                "endpoint \"%s\" leaves out a log of block %" PRIu64 " that names %s and that "
                "endpoint \"%s\" showed",
                endpoint_name(m->logs->by), name->number, wallet, name->endpoint);
    }
    return 0;
}

/* ---- reading and filing ---------------------------------------------------------------------- */

/* The rows of the wallets that were found, before they are read and after. */
struct missed_rows {
    struct arena arena;
    size_t n;
    address *wallets; /* in key order */
    struct store_row *before, *after;
};

static void missed_rows_open(struct missed_rows *r, const struct dirty *d)
{
    arena_init(&r->arena);
    r->n = d->n;
    r->wallets = arena_alloc(&r->arena, d->n * sizeof *r->wallets);
    r->before = arena_zero(&r->arena, d->n, sizeof *r->before);
    r->after = arena_zero(&r->arena, d->n, sizeof *r->after);
    for (size_t i = 0; i < d->n; i++)
        r->wallets[i] = d->list[i].wallet;
}

/* Where wallets are listed or asked for, one without a row, or with a younger one, may not have
 * been tracked then: no endpoint is to blame. */
static int missed_was_tracked(struct missed *m, const struct store_dirty *name,
                              const struct store_row *before, bool *ret, struct err *err)
{
    struct header h;
    *ret = m->fb->b->store.tracking == STORE_SEEN;
    if (*ret || !before->found)
        return 0;
    if (tracker_get_block(m->f->t, name->number, &h, err) < 0)
        return -1;
    *ret = before->created_us <= (int64_t)h.at.timestamp * 1000000;
    return 0;
}

/* The records of one run of blocks whose first look one endpoint gave. */
static int missed_file_run(struct missed *m, const struct store_missed *list, size_t n,
                           struct err *err)
{
    uint64_t filed = 0;
    if (n == 0)
        return 0;
    if (store_drift_file_missed(m->f->t->store, &m->fb->b->store, list, n, &filed, err) < 0)
        return -1;
    const struct endpoint *by = rpc_find_endpoint(m->f->t->node, list[0].endpoint);
    if (by)
        counters_missed_logs(endpoint_number(by), filed);
    return 0;
}

/* One event; *ret_n grows when a record of it is due. */
static int missed_plan_record(struct missed *m, const struct missed_rows *rows,
                              const struct store_dirty *name, struct store_missed *list,
                              size_t *ret_n, struct err *err)
{
    const char *endpoint = log_source_get(&m->f->log_source, name->number);
    const address *wallet = bsearch(&name->wallet, rows->wallets, rows->n, sizeof *rows->wallets,
                                    address_compare_elements);
    bool tracked = false;
    if (!endpoint || !wallet || m->unsure)
        return 0;
    size_t i = (size_t)(wallet - rows->wallets);
    if (missed_was_tracked(m, name, &rows->before[i], &tracked, err) < 0)
        return -1;
    if (!tracked)
        return 0;
    if (*ret_n > 0 && strcmp(list[*ret_n - 1].endpoint, endpoint) != 0) {
        if (missed_file_run(m, list, *ret_n, err) < 0)
            return -1;
        *ret_n = 0;
    }
    list[(*ret_n)++] = (struct store_missed){.wallet = name->wallet,
                                             .block = name->number,
                                             .endpoint = endpoint,
                                             .stored = rows->before[i].balance,
                                             .actual = rows->after[i].balance};
    return 0;
}

static int missed_compare_found(const void *a, const void *b)
{
    return missed_compare_names(a, b);
}

static int missed_file(struct missed *m, struct missed_rows *rows, struct second_look_report *ret,
                       struct err *err)
{
    struct names *names = &m->found.names;
    struct store_missed *list = arena_alloc(&rows->arena, names->n * sizeof *list);
    size_t n = 0;
    if (names->n > 1)
        qsort(names->list, names->n, sizeof *names->list, missed_compare_found);
    for (size_t i = 0; i < names->n; i++) {
        const struct store_dirty *name = &names->list[i];
        if (i > 0 && missed_compare_names(name - 1, name) == 0)
            continue; /* two logs of one block */
        if (ret->missed++ == 0) {
            ret->missed_at = name->number;
            ret->missed_by = log_source_get(&m->f->log_source, name->number);
        }
        if (missed_plan_record(m, rows, name, list, &n, err) < 0)
            return -1;
    }
    return missed_file_run(m, list, n, err);
}

static int missed_flush(struct missed *m, struct affected_set *set, enum store_cause cause,
                        struct second_look_report *ret, struct err *why, struct err *err)
{
    struct flush flush = {
        .balance = m->fb->b, .cause = cause, .at = m->f->samples.head.at, .finalized = UINT64_MAX};
    struct flush_report r;
    int rc = flush_run(m->f->t, &flush, set, &r, err);
    ret->updated += r.updated;
    if (rc == 0 && r.blocked) {
        m->blocked = true;
        *why = r.why;
    }
    return rc;
}

/* Read first, filed then: a crash between the two loses a record, never a row. */
static int missed_read_found(struct missed *m, struct second_look_report *ret, struct err *why,
                             struct err *err)
{
    struct store *store = m->f->t->store;
    const struct store_balance *b = &m->fb->b->store;
    struct missed_rows rows;
    if (events_keep_tracked(m->f->t, m->fb->b, &m->found.dirty, err) < 0)
        return -1;
    if (m->found.dirty.n == 0 && m->found.fanout.n == 0 && m->found.all_block == 0)
        return 0;
    missed_rows_open(&rows, &m->found.dirty);
    int rc = store_rows(store, b, rows.wallets, rows.n, rows.before, err);
    if (rc == 0)
        rc = missed_flush(m, &m->found, CAUSE_EVENT, ret, why, err);
    if (rc == 0 && !m->blocked)
        rc = store_rows(store, b, rows.wallets, rows.n, rows.after, err);
    if (rc == 0 && !m->blocked)
        rc = missed_file(m, &rows, ret, err);
    arena_free(&rows.arena);
    return rc;
}

/* ---- values that were not pinned ------------------------------------------------------------- */

static bool missed_has_unpinned(const struct missed *m)
{
    for (size_t i = 0; i < rpc_endpoints(m->f->t->node); i++)
        if (endpoint_pins_hash(rpc_endpoint(m->f->t->node, i)) == CAP_NO)
            return true;
    return false;
}

/* An endpoint that reads by number may have read another branch's block: the wallets of the span
 * are read once more, now that it is final. */
static int missed_reread(struct missed *m, struct second_look_report *ret, struct err *why,
                         struct err *err)
{
    struct affected_set set = {0};
    int rc = 0;
    if (!missed_has_unpinned(m))
        return 0;
    for (size_t i = 0; i < m->n_known; i++)
        dirty_add(&set.dirty,
                  &(struct affected){.wallet = m->known[i].name.wallet, .insert = INSERT_NEVER});
    if (set.dirty.n > 0)
        rc = missed_flush(m, &set, CAUSE_REREAD, ret, why, err);
    affected_set_free(&set);
    return rc;
}

int missed_read(struct missed *m, struct second_look_report *ret, struct err *why, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    int rc = missed_load_known(m, &arena, err);
    if (rc == 0)
        missed_take_logs(m);
    if (rc == 0 && m->lacking_counts && !m->unsure)
        rc = missed_find_lacking(m, why, err);
    if (rc == 0 && !m->lacks)
        rc = missed_read_found(m, ret, why, err);
    if (rc == 0 && !m->lacks && !m->blocked)
        rc = missed_reread(m, ret, why, err);
    arena_free(&arena);
    return rc;
}
