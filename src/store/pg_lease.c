/* PostgreSQL: leases, as rows of trueup_state: "2026-11-22 10:29:35.123456 HOLDER". Texts of times
 * sort as the times do. */
#include "store/pg.h"

#include "base/arena.h"

#include <string.h>

#define TIME_AS_TEXT(time) "to_char(" time ", 'YYYY-MM-DD HH24:MI:SS.US')"
#define NOW_AS_TEXT        TIME_AS_TEXT("CURRENT_TIMESTAMP AT TIME ZONE 'UTC'")

static int run_lease(struct pg *s, struct pg_command *c, struct err *err)
{
    PGresult *res = pg_query(s, c, err);
    PQclear(res);
    return res ? 0 : -1;
}

int pg_lease_take(struct store *store, const char *key, const char *holder, const char *instead_of,
                  unsigned seconds, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {
        .sql = "INSERT INTO trueup_state AS s (key, value) VALUES "
               "($1, " TIME_AS_TEXT("(CURRENT_TIMESTAMP + $3 * interval '1 second') AT TIME ZONE "
                                    "'UTC'") " || ' ' || $2) "
                                             "ON CONFLICT (key) DO UPDATE SET value = "
                                             "excluded.value WHERE substr(s.value, 1, "
                                             "26) <= " NOW_AS_TEXT
                                             " OR substr(s.value, 28) IN ($2, $4)",
        .params.arena = &arena};
    pg_p_text(&c.params, key);
    pg_p_text(&c.params, holder);
    pg_p_int(&c.params, true, seconds);
    pg_p_text(&c.params, instead_of ? instead_of : holder);
    int rc = run_lease(pg_of(store), &c, err);
    arena_free(&arena);
    return rc;
}

int pg_lease_drop(struct store *store, const char *key, const char *holder, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {.sql = "DELETE FROM trueup_state WHERE key = $1 AND substr(value, 28) "
                                  "= $2",
                           .params.arena = &arena};
    pg_p_text(&c.params, key);
    pg_p_text(&c.params, holder);
    int rc = run_lease(pg_of(store), &c, err);
    arena_free(&arena);
    return rc;
}

int pg_lease_holder(struct store *store, const char *key, struct arena *arena, const char **ret,
                    struct err *err)
{
    struct pg_command c = {.sql = "SELECT substr(value, 28) FROM trueup_state WHERE key = $1 AND "
                                  "substr(value, 1, 26) > " NOW_AS_TEXT,
                           .params.arena = arena};
    pg_p_text(&c.params, key);
    PGresult *res = pg_query(pg_of(store), &c, err);
    if (!res)
        return -1;
    *ret = PQntuples(res) > 0 ? arena_strdup(arena, pg_get_text(res, 0, 0)) : NULL;
    PQclear(res);
    return 0;
}
