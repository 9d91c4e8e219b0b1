/*
 * The verbs: checks that need no database, then the backend's. Kept thin on purpose, so that what a
 * verb does is read in one place per database.
 */
#include "store/store.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "store/backend.h"
#include "store/rule.h"

#include <inttypes.h>
#include <string.h>

void store_base_init(struct store *s, const struct backend *ops, const char *url, const char *who)
{
    s->ops = ops;
    s->url = mem_strdup(url);
    s->who = mem_strdup(who);
    url_masked(s->masked, url);
    s->rng.state = rng_seed_from_system();
}

void store_base_free(struct store *s)
{
    mem_free(s->url);
    mem_free(s->who);
}

int store_open(const char *url, const char *who, struct store **ret, struct err *err)
{
    if (strncmp(url, "sqlite:", 7) == 0)
        return sqlite_open(url, who, ret, err);
    if (strncmp(url, "postgres://", 11) == 0 || strncmp(url, "postgresql://", 13) == 0 ||
        strstr(url, "host=") || strstr(url, "dbname="))
        return pg_open(url, who, ret, err);
    char masked[URL_TEXT];
    url_masked(masked, url);
    err_set(err, ERR_STORE, "store \"%s\" is neither PostgreSQL nor SQLite", masked);
    return err_hint(err, "write postgres://user@host/database or sqlite:FILE");
}

int store_reopen(struct store *s, struct err *err)
{
    return s->ops->reopen(s, err);
}

void store_close(struct store *s)
{
    if (s)
        s->ops->close(s);
}

bool store_is_sqlite(const struct store *s)
{
    return strncmp(s->url, "sqlite:", 7) == 0;
}

/* ---- schema ---------------------------------------------------------------------------------- */

int store_migrate(struct store *s, const struct store_balance *b, size_t n,
                  struct store_adopted *ret, struct err *err)
{
    return s->ops->migrate(s, b, n, ret, err);
}

int store_check(struct store *s, const struct store_balance *b, size_t n, struct err *err)
{
    return s->ops->check(s, b, n, err);
}

int store_reset_chain(struct store *s, const struct store_balance *b, size_t n, struct err *err)
{
    return s->ops->reset_chain(s, b, n, err);
}

/* ---- headers --------------------------------------------------------------------------------- */

int store_headers_put(struct store *s, const struct anchor *headers, size_t n, struct err *err)
{
    return n ? s->ops->headers_put(s, headers, n, err) : 0;
}

int store_header_at(struct store *s, uint64_t number, struct anchor *ret, bool *ret_found,
                    struct err *err)
{
    struct arena arena;
    struct anchor *found = NULL;
    size_t n = 0;
    arena_init(&arena);
    int rc = s->ops->headers_below(s, number, 1, &arena, &found, &n, err);
    if (rc == 0) {
        *ret_found = n == 1 && found[0].number == number;
        if (*ret_found)
            *ret = found[0];
    }
    arena_free(&arena);
    return rc;
}

int store_headers_below(struct store *s, uint64_t max_number, size_t limit, struct arena *arena,
                        struct anchor **ret, size_t *ret_n, struct err *err)
{
    return s->ops->headers_below(s, max_number, limit, arena, ret, ret_n, err);
}

int store_rewind(struct store *s, const struct store_balance *b, size_t n, uint64_t first_bad,
                 uint64_t *ret_rows, struct err *err)
{
    return s->ops->rewind(s, b, n, first_bad, ret_rows, err);
}

int store_headers_prune(struct store *s, uint64_t below, struct err *err)
{
    return s->ops->headers_prune(s, below, err);
}

/* ---- the batch ------------------------------------------------------------------------------- */

/* What would deadlock two writers or vouch for what was not read is the caller's mistake. */
static int check_batch(const struct store_batch *b, struct err *err)
{
    char text[ADDRESS_TEXT];
    if (b->n_writes > STORE_BATCH_MAX || b->n_failures > STORE_BATCH_MAX ||
        b->n_dirty > STORE_BATCH_MAX)
        return err_set(err, ERR_TOO_LARGE, "a batch of more than %d wallets", STORE_BATCH_MAX);
    for (size_t i = 0; i < b->n_writes; i++) {
        const struct store_write *w = &b->writes[i];
        address_text(&w->wallet, text);
        if (i > 0 && address_compare(&w[-1].wallet, &w->wallet) >= 0)
            return err_set(err, ERR_FAILED, "wallets of a batch are not sorted and unique at %s",
                           text);
        if (w->has_event && w->event_block > b->at.number)
            return err_set(err, ERR_FAILED,
                           "%s read at block %" PRIu64 " cannot answer an event at block %" PRIu64,
                           text, b->at.number, w->event_block);
    }
    for (size_t i = 0, j = 0; i < b->n_failures; i++) {
        const address *wallet = &b->failures[i].wallet;
        address_text(wallet, text);
        if (i > 0 && address_compare(&b->failures[i - 1].wallet, wallet) >= 0)
            return err_set(err, ERR_FAILED, "failures of a batch are not sorted and unique at %s",
                           text);
        while (j < b->n_writes && address_compare(&b->writes[j].wallet, wallet) < 0)
            j++;
        if (j < b->n_writes && address_equal(&b->writes[j].wallet, wallet))
            return err_set(err, ERR_FAILED, "%s is both read and failed in a batch", text);
    }
    return 0;
}

int store_apply(struct store *s, const struct store_batch *batch, struct arena *arena,
                struct store_applied *ret, struct err *err)
{
    if (check_batch(batch, err) != 0)
        return -1;
    return s->ops->apply(s, batch, arena, ret, err);
}

int store_checkpoint_advance(struct store *s, const struct store_balance *b,
                             const struct anchor *at, bool *ret_anchor_gone, struct err *err)
{
    struct store_batch batch = {.balance = b,
                                .cause = CAUSE_EVENT,
                                .at = *at,
                                .has_checkpoint = true,
                                .checkpoint = at->number};
    struct store_applied applied;
    struct arena arena;
    arena_init(&arena);
    int rc = s->ops->apply(s, &batch, &arena, &applied, err);
    if (rc == 0)
        *ret_anchor_gone = applied.anchor_gone;
    arena_free(&arena);
    return rc;
}

int store_checkpoint_get(struct store *s, const struct store_balance *b, uint64_t *ret,
                         bool *ret_found, struct err *err)
{
    return s->ops->checkpoint_get(s, b, ret, ret_found, err);
}

int store_checkpoint_ours(struct store *s, const struct store_balance *b, uint64_t *ret,
                          bool *ret_found, struct err *err)
{
    char key[STATE_KEY];
    const char *text;
    struct arena arena;
    arena_init(&arena);
    state_key(key, "checkpoint", b->name, NULL);
    int rc = store_state_get(s, key, &arena, &text, err);
    if (rc == 0)
        *ret_found = text && parse_u64(text, strlen(text), ret);
    arena_free(&arena);
    return rc;
}

/* ---- picking --------------------------------------------------------------------------------- */

int store_claim_stale(struct store *s, const struct store_balance *b, const struct store_pick *pick,
                      struct store_cursor *cursor, struct arena *arena, struct store_stale **ret,
                      size_t *ret_n, bool *ret_lap, struct err *err)
{
    return s->ops->claim_stale(s, b, pick, cursor, arena, ret, ret_n, ret_lap, err);
}

int store_next_by_key(struct store *s, const struct store_balance *b, const address *after,
                      int64_t before_us, size_t limit, struct arena *arena,
                      struct store_stale **ret, size_t *ret_n, struct err *err)
{
    return s->ops->next_by_key(s, b, after, before_us, limit, arena, ret, ret_n, err);
}

int store_quarantine_due(struct store *s, const struct store_balance *b, size_t limit,
                         struct arena *arena, address **ret, size_t *ret_n, struct err *err)
{
    return s->ops->quarantine_due(s, b, limit, arena, ret, ret_n, err);
}

int store_tracked(struct store *s, const struct store_balance *b, const address *wallets, size_t n,
                  bool *ret_tracked, struct err *err)
{
    if (b->tracking != STORE_SEEN)
        return n ? s->ops->tracked(s, b, wallets, n, ret_tracked, err) : 0;
    for (size_t i = 0; i < n; i++)
        ret_tracked[i] = !address_is_zero(&wallets[i]); /* minting and burning is no wallet's */
    return 0;
}

/* ---- rows, lists, small state ---------------------------------------------------------------- */

int store_row(struct store *s, const struct store_balance *b, const address *wallet,
              struct store_row *ret, bool *ret_found, struct err *err)
{
    return s->ops->row(s, b, wallet, ret, ret_found, err);
}

int store_count(struct store *s, const struct store_balance *b, struct store_counts *ret,
                struct err *err)
{
    return s->ops->count(s, b, ret, err);
}

int store_wallets_add(struct store *s, const struct store_balance *b, const address *wallets,
                      size_t n, size_t *ret_added, struct err *err)
{
    if (n)
        return s->ops->wallets_add(s, b, wallets, n, ret_added, err);
    *ret_added = 0;
    return 0;
}

int store_wallets_remove(struct store *s, const struct store_balance *b, const address *wallets,
                         size_t n, size_t *ret_removed, struct err *err)
{
    if (n)
        return s->ops->wallets_remove(s, b, wallets, n, ret_removed, err);
    *ret_removed = 0;
    return 0;
}

int store_wallets_list(struct store *s, const struct store_balance *b, const address *after,
                       size_t limit, struct arena *arena, address **ret, size_t *ret_n,
                       struct err *err)
{
    return s->ops->wallets_list(s, b, after, limit, arena, ret, ret_n, err);
}

int store_dirty_due(struct store *s, const struct store_balance *b, uint64_t number, size_t limit,
                    struct arena *arena, struct store_dirty **ret, size_t *ret_n, struct err *err)
{
    return s->ops->dirty_due(s, b, number, limit, arena, ret, ret_n, err);
}

int store_dirty_drop(struct store *s, const struct store_balance *b,
                     const struct store_dirty *marks, size_t n, struct err *err)
{
    return n ? s->ops->dirty_drop(s, b, marks, n, err) : 0;
}

int store_state_get(struct store *s, const char *key, struct arena *arena, const char **ret,
                    struct err *err)
{
    return s->ops->state_get(s, key, arena, ret, err);
}

int store_state_set(struct store *s, const char *key, const char *value, struct err *err)
{
    if (strlen(value) > STORE_STATE_MAX)
        return err_set(err, ERR_TOO_LARGE, "state \"%s\" is longer than %d bytes", key,
                       STORE_STATE_MAX);
    return s->ops->state_set(s, key, value, err);
}

int store_lease_take(struct store *s, const char *key, const char *holder, const char *instead_of,
                     unsigned seconds, struct arena *arena, const char **ret_other, struct err *err)
{
    const char *has = NULL;
    if (s->ops->lease_take(s, key, holder, instead_of, seconds, err) < 0 ||
        s->ops->lease_holder(s, key, arena, &has, err) < 0)
        return -1;
    *ret_other = !has ? "nobody" : strcmp(has, holder) == 0 ? NULL : has;
    return 0;
}

int store_lease_drop(struct store *s, const char *key, const char *holder, struct err *err)
{
    return s->ops->lease_drop(s, key, holder, err);
}

int store_lease_holder(struct store *s, const char *key, struct arena *arena, const char **ret,
                       struct err *err)
{
    return s->ops->lease_holder(s, key, arena, ret, err);
}

int store_learned_get(struct store *s, const char *endpoint, const char *reader,
                      struct arena *arena, const char **ret, struct err *err)
{
    return s->ops->learned_get(s, endpoint, reader, arena, ret, err);
}

int store_learned_put(struct store *s, const char *endpoint, const char *reader, const char *sizes,
                      struct err *err)
{
    return s->ops->learned_put(s, endpoint, reader, sizes, err);
}
