/* Small texts: trueup_state and what lives in it, trueup_learned, the checkpoints. */
#include "store/driver.h"

#include "base/parse.h"
#include "store/rule.h"

#include <string.h>

int store_state_get(struct store *s, const char *key, struct arena *arena, const char **ret,
                    struct err *err)
{
    struct db_query q = {.sql = "SELECT value FROM trueup_state WHERE key = $1",
                         .hot = true,
                         .params = {db_text(key)}};
    return db_read_text(s, &q, arena, ret, err);
}

int store_state_set(struct store *s, const char *key, const char *value, struct err *err)
{
    struct db_query q = {.sql = "INSERT INTO trueup_state (key, value) VALUES ($1, $2) ON CONFLICT "
                                "(key) DO UPDATE SET value = excluded.value",
                         .hot = true,
                         .params = {db_text(key), db_text(value)}};
    if (strlen(value) > STORE_STATE_MAX)
        return err_set(err, ERR_TOO_LARGE, "state \"%s\" is longer than %d bytes", key,
                       STORE_STATE_MAX);
    return db_write(s, &q, 1, 0, NULL, err);
}

static bool state_get_block(const struct db_rows *rows, int col, uint64_t *ret)
{
    const char *text = db_get_text(rows, col);
    return text && parse_u64(text, strlen(text), ret);
}

int store_position(struct store *s, const struct store_balance *b, struct arena *arena,
                   struct store_position *ret, struct err *err)
{
#define STATE(param) "(SELECT value FROM trueup_state WHERE key = " param ")"
    char rescan[STATE_KEY], passed[STATE_KEY], all_due[STATE_KEY];
    state_key(rescan, "rescan", b->name, NULL);
    state_key(passed, "passed", b->name, NULL);
    state_key(all_due, "all_due", b->name, NULL);
    struct db_query q = {
        .sql = "SELECT (SELECT last_block FROM eth_indexer_checkpoints WHERE name = $1), " STATE(
            "$2") ", " STATE("$3") ", " STATE("$4") ", " STATE("'positions'"),
        .hot = true,
        .params = {db_text(b->checkpoint), db_text(rescan), db_text(passed), db_text(all_due)}};
#undef STATE
    struct db_rows rows;
    if (db_read(s, &q, &rows, err) < 0 || db_next(&rows, err) != 1)
        return -1;
    *ret = (struct store_position){.positions = db_keep_text(&rows, 4, arena)};
    ret->has_checkpoint = db_get_number(&rows, 0, &ret->checkpoint);
    ret->has_rescan = state_get_block(&rows, 1, &ret->rescan);
    state_get_block(&rows, 2, &ret->passed);
    state_get_block(&rows, 3, &ret->all_due);
    db_end(&rows);
    return 0;
}

static bool name_take(const struct db_rows *row, struct arena *arena, void *item)
{
    const char **name = item;
    *name = db_keep_text(row, 0, arena);
    return *name != NULL;
}

/* "NAME=HASH …" */
static size_t names_parse_fingerprint(const char *text, struct arena *arena,
                                      const char *const **ret)
{
    const char **list = NULL;
    size_t n = 0;
    while (*text) {
        list = db_grow(arena, list, n, sizeof *list);
        list[n++] = arena_printf(arena, "%.*s", (int)strcspn(text, "= "), text);
        text += strcspn(text, " ");
        text += strspn(text, " ");
    }
    *ret = list;
    return n;
}

/* The lease's fingerprint names them all, from before the first of their tables is made. Before the
 * lease was, each balance left the fingerprint of its terms. */
int store_balance_names(struct store *s, struct arena *arena, const char *const **ret,
                        size_t *ret_n, struct err *err)
{
    struct db_query q = {.sql = "SELECT substr(key, 7) FROM trueup_state WHERE key LIKE 'terms:%' "
                                "ORDER BY key"};
    struct db_query there = {.sql = "SELECT {exists trueup_lease}"};
    struct db_query lease = {.sql = "SELECT fingerprint FROM trueup_lease"};
    struct db_take take = {arena, sizeof **ret, name_take};
    const char **list, *fingerprint = "";
    uint64_t exists = 0;
    if (db_read_number(s, &there, &exists, NULL, err) < 0 ||
        (exists && db_read_text(s, &lease, arena, &fingerprint, err) < 0))
        return -1;
    if (fingerprint && *fingerprint) {
        *ret_n = names_parse_fingerprint(fingerprint, arena, ret);
        return 0;
    }
    if (db_read_list(s, &q, &take, &list, ret_n, err) < 0)
        return -1;
    *ret = list;
    return 0;
}

/* ---- what was learnt of endpoints ------------------------------------------------------------ */

int store_learned_get(struct store *s, const char *endpoint, const char *reader,
                      struct arena *arena, const char **ret, struct err *err)
{
    struct db_query q = {.sql =
                             "SELECT sizes FROM trueup_learned WHERE endpoint = $1 AND reader = $2",
                         .params = {db_text(endpoint), db_text(reader)}};
    return db_read_text(s, &q, arena, ret, err);
}

int store_learned_put(struct store *s, const char *endpoint, const char *reader, const char *sizes,
                      struct err *err)
{
    struct db_query q = {
        .sql = "INSERT INTO trueup_learned (endpoint, reader, sizes, updated_at) VALUES ($1, $2, "
               "$3, {now}) ON CONFLICT (endpoint, reader) DO UPDATE SET sizes = excluded.sizes, "
               "updated_at = excluded.updated_at",
        .params = {db_text(endpoint), db_text(reader), db_text(sizes)}};
    return db_write(s, &q, 1, 0, NULL, err);
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

int store_checkpoint_get(struct store *s, const struct store_balance *b, uint64_t *ret,
                         bool *ret_found, struct err *err)
{
    struct db_query q = {.sql = "SELECT last_block FROM eth_indexer_checkpoints WHERE name = $1",
                         .hot = true,
                         .params = {db_text(b->checkpoint)}};
    return db_read_number(s, &q, ret, ret_found, err);
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
