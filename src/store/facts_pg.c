/* PostgreSQL: what `trueup doctor` wants to know. */
#include "store/pg.h"

#include <stdio.h>

#define FACTS                                                                                      \
    "SELECT current_setting('server_version'), to_regclass($1) IS NOT NULL, pg_is_in_recovery(), " \
    "localtimestamp"
#define TABLE_FACTS                                                                                \
    "SELECT has_table_privilege($1, 'INSERT') AND has_table_privilege($1, 'UPDATE') AND "          \
    "has_table_privilege($1, 'DELETE') AND has_table_privilege($1, 'SELECT'), "                    \
    "pg_has_role(c.relowner, 'USAGE'), pg_total_relation_size(c.oid), "                            \
    "greatest(c.reltuples, 0)::int8, EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND " \
    "attname = 'observed_block' AND NOT attisdropped), EXISTS (SELECT FROM pg_index i JOIN "       \
    "pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] WHERE i.indrelid = c.oid "    \
    "AND a.attname = 'updated_at' AND i.indisvalid) FROM pg_class c WHERE c.oid = $1::regclass"
/* Fires on UPDATE (bit 4), limited neither by a condition nor to columns that a refresh leaves. */
#define TRIGGERS                                                                                   \
    "SELECT count(*), count(*) FILTER (WHERE careless), coalesce(min(tgname) FILTER (WHERE "       \
    "careless), '')::text FROM (SELECT tgname, tgqual IS NULL AND (tgattr = '' OR EXISTS (SELECT " \
    "FROM pg_attribute a WHERE attrelid = tgrelid AND attnum = ANY(tgattr) AND attname IN "        \
    "('updated_at', 'observed_block'))) AS careless FROM pg_trigger WHERE tgrelid = $1::regclass " \
    "AND NOT tgisinternal AND "                                                                    \
    "tgtype & 16 <> 0 AND tgenabled <> 'D') t"

static int pg_read_first(struct store *s, const struct db_query *q, struct db_rows *ret,
                         struct err *err)
{
    if (db_read(s, q, ret, err) < 0)
        return -1;
    pg_next_row(ret);
    return 0;
}

static int pg_read_table_facts(struct store *s, const struct store_balance *b, const char *quoted,
                               struct view_facts *f, struct err *err)
{
    struct db_query table = {.sql = TABLE_FACTS, .raw = true, .params = {db_text(quoted)}};
    struct db_query triggers = {.sql = TRIGGERS, .params = {db_text(quoted)}};
    struct db_query odd = {
        .sql = "SELECT count(*) FROM {t} WHERE NOT {canonical wallet}", .b = b, .scan = true};
    struct db_rows rows;
    if (pg_read_first(s, &table, &rows, err) < 0)
        return -1;
    f->may_write = db_get_bool(&rows, 0);
    f->owner = db_get_bool(&rows, 1);
    db_get_number(&rows, 2, &f->bytes);
    db_get_number(&rows, 3, &f->rows_estimate);
    f->has_observed = db_get_bool(&rows, 4);
    f->has_updated_index = db_get_bool(&rows, 5);
    db_end(&rows);
    if (pg_read_first(s, &triggers, &rows, err) < 0)
        return -1;
    db_get_number(&rows, 0, &f->triggers);
    db_get_number(&rows, 1, &f->careless_triggers);
    db_copy_text(&rows, 2, f->careless_name, sizeof f->careless_name);
    db_end(&rows);
    return db_read_number(s, &odd, &f->non_canonical, NULL, err);
}

static int pg_read_facts_in(struct store *s, const struct store_balance *b, const char *quoted,
                            struct view_facts *ret, struct err *err)
{
    const PGconn *conn = pg_of(s)->conn;
    struct db_query q = {.sql = FACTS, .params = {db_text(quoted)}};
    struct view_facts f = {0};
    struct db_rows rows;
    if (pg_read_first(s, &q, &rows, err) < 0)
        return -1;
    const char *version = db_get_text(&rows, 0);
    snprintf(f.version, sizeof f.version, "PostgreSQL %.60s", version ? version : "");
    f.table_exists = db_get_bool(&rows, 1);
    f.standby = db_get_bool(&rows, 2);
    f.now_us = db_get_time(&rows, 3);
    db_end(&rows);
    /* A pooler in between reports its own idea of the session, without the server's process id. */
    f.pooled = PQbackendPID(conn) == 0 || !PQparameterStatus(conn, "is_superuser");
    if (f.table_exists && pg_read_table_facts(s, b, quoted, &f, err) < 0)
        return -1;
    *ret = f;
    return 0;
}

int pg_read_facts(struct store *s, const struct store_balance *b, struct view_facts *ret,
                  struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    int rc = pg_read_facts_in(s, b, db_quote(s, b->table, &arena), ret, err);
    arena_free(&arena);
    return rc;
}
