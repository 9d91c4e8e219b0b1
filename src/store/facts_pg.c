/* PostgreSQL: what `trueup doctor` wants to know. */
#include "store/pg.h"

#include <stdio.h>

#define FACTS                                                                                      \
    "SELECT current_setting('server_version'), to_regclass({t_text}) IS NOT NULL, "                \
    "pg_is_in_recovery(), "                                                                        \
    "localtimestamp"
#define TABLE_FACTS                                                                                \
    "SELECT has_table_privilege({t_text}, 'INSERT') AND has_table_privilege({t_text}, 'UPDATE') "  \
    "AND has_table_privilege({t_text}, 'SELECT'), "                                                \
    "pg_has_role(c.relowner, 'USAGE'), pg_total_relation_size(c.oid), "                            \
    "greatest(c.reltuples, 0)::int8, EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND " \
    "attname = 'observed_block' AND NOT attisdropped), EXISTS (SELECT FROM pg_index i JOIN "       \
    "pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] WHERE i.indrelid = c.oid "    \
    "AND a.attname = 'updated_at' AND i.indisvalid) FROM pg_class c WHERE c.oid = "                \
    "{t_text}::regclass"
/* Fires on UPDATE (bit 4), limited neither by a condition nor to columns that a refresh leaves. */
#define TRIGGERS                                                                                   \
    "SELECT count(*), count(*) FILTER (WHERE careless), coalesce(min(tgname) FILTER (WHERE "       \
    "careless), '')::text FROM (SELECT tgname, tgqual IS NULL AND (tgattr = '' OR EXISTS (SELECT " \
    "FROM pg_attribute a WHERE attrelid = tgrelid AND attnum = ANY(tgattr) AND attname IN "        \
    "('updated_at', 'observed_block'))) AS careless FROM pg_trigger WHERE tgrelid = "              \
    "{t_text}::regclass "                                                                          \
    "AND NOT tgisinternal AND "                                                                    \
    "tgtype & 16 <> 0 AND tgenabled <> 'D') t"

#define RIGHTS                                                                                     \
    "SELECT current_user::text, coalesce($1, current_schema(), '')::text, "                        \
    "coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = "      \
    "coalesce($1, current_schema())), $1 IS NOT NULL AND has_database_privilege("                  \
    "current_database(), 'CREATE')), {exists trueup_state}, "                                      \
    "to_regclass('eth_indexer_checkpoints') IS NULL OR "                                           \
    "(has_table_privilege('eth_indexer_checkpoints', 'SELECT') AND "                               \
    "has_table_privilege('eth_indexer_checkpoints', 'INSERT') AND "                                \
    "has_table_privilege('eth_indexer_checkpoints', 'UPDATE'))"

static int pg_read_first(struct store *s, const struct db_query *q, struct db_rows *ret,
                         struct err *err)
{
    if (db_read(s, q, ret, err) < 0)
        return -1;
    pg_next_row(ret);
    return 0;
}

static int pg_read_rights(struct store *s, const struct store_balance *b, struct view_facts *f,
                          struct err *err)
{
    struct db_query q = {.sql = RIGHTS, .b = b, .params = {db_text(s->schema)}};
    struct db_rows rows;
    if (pg_read_first(s, &q, &rows, err) < 0)
        return -1;
    db_copy_text(&rows, 0, f->role, sizeof f->role);
    db_copy_text(&rows, 1, f->schema, sizeof f->schema);
    f->no_schema = f->schema[0] == '\0';
    f->may_create = db_get_bool(&rows, 2);
    f->made = db_get_bool(&rows, 3);
    f->may_write_checkpoints = db_get_bool(&rows, 4);
    db_end(&rows);
    return 0;
}

/* One row is given another balance, so that the application's triggers fire, and the transaction is
 * rolled back. */
static void pg_try_write(struct store *s, const struct store_balance *b, struct view_facts *f)
{
    struct db_query q = {.sql =
                             "UPDATE {t} SET balance = balance + 1 WHERE wallet = (SELECT wallet "
                             "FROM {t} LIMIT 1)",
                         .b = b};
    struct err err = {0};
    if (db_begin(s, 0, &err) == 0 && db_exec(s, "SET LOCAL lock_timeout = '1s'", &err) == 0 &&
        db_write(s, &q, 1, 0, NULL, &err) == 0)
        db_rollback(s);
    if (err.kind == ERR_STORE)
        snprintf(f->write_error, sizeof f->write_error, "%.255s", err.text);
}

static int pg_read_table_facts(struct store *s, const struct store_balance *b, struct view_facts *f,
                               struct err *err)
{
    struct db_query table = {.sql = TABLE_FACTS, .b = b};
    struct db_query triggers = {.sql = TRIGGERS, .b = b};
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
    if (f->may_write && !f->standby)
        pg_try_write(s, b, f);
    if (pg_read_first(s, &triggers, &rows, err) < 0)
        return -1;
    db_get_number(&rows, 0, &f->triggers);
    db_get_number(&rows, 1, &f->careless_triggers);
    db_copy_text(&rows, 2, f->careless_name, sizeof f->careless_name);
    db_end(&rows);
    return db_read_number(s, &odd, &f->non_canonical, NULL, err);
}

int pg_read_facts(struct store *s, const struct store_balance *b, struct view_facts *ret,
                  struct err *err)
{
    struct db_query q = {.sql = FACTS, .b = b};
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
    f.pooled = pg_of(s)->pooled;
    if (pg_read_rights(s, b, &f, err) < 0)
        return -1;
    if (f.table_exists && pg_read_table_facts(s, b, &f, err) < 0)
        return -1;
    *ret = f;
    return 0;
}
