/* The verbs of found.h: to the backend. */
#include "store/found.h"

#include "base/err.h"

#define TO_BACKEND(s, verb, ...)                                                                   \
    (store_is_sqlite(s) ? sq_##verb(s, __VA_ARGS__) : pg_##verb(s, __VA_ARGS__))

int store_found_put(struct store *s, const struct store_balance *b, const struct found *list,
                    size_t n, const char *key, const char *value, struct err *err)
{
    return TO_BACKEND(s, found_put, b, list, n, key, value, err);
}

int store_found_next(struct store *s, const struct store_balance *b, enum found_which which,
                     const address *after, size_t limit, struct arena *arena, struct found **ret,
                     size_t *ret_n, struct err *err)
{
    return TO_BACKEND(s, found_next, b, which, after, limit, arena, ret, ret_n, err);
}

int store_found_count(struct store *s, const struct store_balance *b, uint64_t *ret,
                      struct err *err)
{
    return TO_BACKEND(s, found_count, b, ret, err);
}

int store_found_clear(struct store *s, const struct store_balance *b, struct err *err)
{
    return TO_BACKEND(s, found_clear, b, err);
}

int store_keys(struct store *s, const struct store_balance *b, const address *after, size_t limit,
               struct arena *arena, address **ret, size_t *ret_n, struct err *err)
{
    return TO_BACKEND(s, keys, b, after, limit, arena, ret, ret_n, err);
}

int store_without_row(struct store *s, const struct store_balance *b, const address *wallets,
                      size_t n, bool *ret_without, struct err *err)
{
    return n ? TO_BACKEND(s, without_row, b, wallets, n, ret_without, err) : 0;
}

int store_query_all(struct store *s, const struct store_balance *b,
                    void (*take)(void *ctx, const address *wallets, size_t n), void *ctx,
                    uint64_t *ret_odd, struct err *err)
{
    if (store_is_sqlite(s))
        return err_set(err, ERR_STORE, "a wallets query needs PostgreSQL");
    return pg_query_all(s, b, take, ctx, ret_odd, err);
}
