/* SQLite: what `trueup doctor` wants to know. */
#include "store/sqlite.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A trigger without OF and WHEN fires on every refresh. */
static int sq_count_triggers(struct store *s, const struct store_balance *b, struct view_facts *f,
                             struct err *err)
{
    struct db_query q = {.sql = "SELECT name, upper(sql) FROM sqlite_master WHERE type = 'trigger' "
                                "AND tbl_name = $1 AND sql LIKE '%update%'",
                         .params = {db_text(b->table)}};
    struct db_rows rows;
    int rc;
    if (db_read(s, &q, &rows, err) < 0)
        return -1;
    while ((rc = db_next(&rows, err)) == 1) {
        const char *sql = db_get_text(&rows, 1);
        f->triggers++;
        if (!sql || strstr(sql, "UPDATE OF BALANCE") || strstr(sql, " WHEN "))
            continue;
        f->careless_triggers++;
        db_copy_text(&rows, 0, f->careless_name, sizeof f->careless_name);
    }
    return rc;
}

static int sq_read_count(struct store *s, const struct store_balance *b, const char *sql,
                         uint64_t *ret, struct err *err)
{
    struct db_query q = {.sql = sql, .b = b, .params = {db_text(b->table)}};
    return db_read_number(s, &q, ret, NULL, err);
}

int sq_read_facts(struct store *s, const struct store_balance *b, struct view_facts *ret,
                  struct err *err)
{
    struct view_facts f = {.may_write = true, .owner = true, .now_us = sq_now_us()};
    struct stat st;
    uint64_t tables = 0, observed = 0, index = 0;
    snprintf(f.version, sizeof f.version, "SQLite %s", sqlite3_libversion());
    if (stat(s->url + strlen("sqlite:"), &st) == 0)
        f.bytes = (uint64_t)st.st_size;
    if (sq_read_count(s, b, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1",
                      &tables, err) < 0)
        return -1;
    f.table_exists = tables > 0;
    if (f.table_exists &&
        (sq_read_count(s, b,
                       "SELECT count(*) FROM pragma_table_info($1) WHERE name = 'observed_block'",
                       &observed, err) < 0 ||
         sq_read_count(s, b,
                       "SELECT count(*) FROM pragma_index_list($1) l, pragma_index_info(l.name) i "
                       "WHERE i.seqno = 0 AND i.name = 'updated_at'",
                       &index, err) < 0 ||
         sq_read_count(s, b, "SELECT count(*) FROM {t}", &f.rows_estimate, err) < 0 ||
         sq_read_count(s, b, "SELECT count(*) FROM {t} WHERE NOT {canonical wallet}",
                       &f.non_canonical, err) < 0 ||
         sq_count_triggers(s, b, &f, err) < 0))
        return -1;
    f.has_observed = observed > 0;
    f.has_updated_index = index > 0;
    *ret = f;
    return 0;
}
