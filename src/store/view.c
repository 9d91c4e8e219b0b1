/* The verbs of view.h: to the backend. */
#include "store/view.h"

#define TO_BACKEND(s, verb, ...)                                                                   \
    (store_is_sqlite(s) ? sq_view_##verb(s, __VA_ARGS__) : pg_view_##verb(s, __VA_ARGS__))

int view_rows(struct store *s, const struct store_balance *b, const address *wallets, size_t n,
              struct arena *arena, struct view_row **ret, size_t *ret_n, struct err *err)
{
    return TO_BACKEND(s, rows, b, wallets, n, arena, ret, ret_n, err);
}

int view_top(struct store *s, const struct store_balance *b, size_t limit, struct arena *arena,
             struct view_row **ret, size_t *ret_n, struct err *err)
{
    return TO_BACKEND(s, top, b, limit, arena, ret, ret_n, err);
}

int view_quarantined(struct store *s, const struct store_balance *b, const address *wallet,
                     struct view_quarantine *ret, bool *ret_found, struct err *err)
{
    return TO_BACKEND(s, quarantined, b, wallet, ret, ret_found, err);
}

int view_changes_after(struct store *s, uint64_t after, size_t limit, struct arena *arena,
                       struct view_change **ret, size_t *ret_n, struct err *err)
{
    return TO_BACKEND(s, changes_after, after, limit, arena, ret, ret_n, err);
}

int view_changes_latest(struct store *s, const struct store_balance *b, const address *wallet,
                        size_t limit, struct arena *arena, struct view_change **ret, size_t *ret_n,
                        struct err *err)
{
    return TO_BACKEND(s, changes_latest, b, wallet, limit, arena, ret, ret_n, err);
}

int view_drift_latest(struct store *s, size_t limit, struct arena *arena, struct view_drift **ret,
                      size_t *ret_n, struct err *err)
{
    return TO_BACKEND(s, drift_latest, limit, arena, ret, ret_n, err);
}

int view_drift_causes(struct store *s, struct arena *arena, struct view_cause **ret, size_t *ret_n,
                      struct err *err)
{
    return TO_BACKEND(s, drift_causes, arena, ret, ret_n, err);
}

int view_ages(struct store *s, const struct store_balance *b, const uint32_t *limits, size_t n,
              int64_t max_age_ms, struct view_ages *ret, struct err *err)
{
    return TO_BACKEND(s, ages, b, limits, n, max_age_ms, ret, err);
}

int view_facts(struct store *s, const struct store_balance *b, struct view_facts *ret,
               struct err *err)
{
    return TO_BACKEND(s, facts, b, ret, err);
}
