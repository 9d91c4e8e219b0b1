/*
 * PostgreSQL: does an application's table fit to be kept by us? Asked of the catalogue, and refused
 * by the name of the column; nothing is changed here.
 */
#include "store/pg.h"

#include "base/mem.h"

#include <string.h>

/* Types by their fixed object id (pg_type.dat). */
enum {
    PG_INT8 = 20,
    PG_TEXT = 25,
    PG_TIMESTAMP = 1114,
    PG_TIMESTAMPTZ = 1184,
    PG_NUMERIC = 1700,
    VARCHAR = 1043,
    WALLET_LENGTH = 42,
    BALANCE_DIGITS = 78,
};

struct table_column {
    bool there;
    Oid type;
    int typmod;
    const char *shown; /* "numeric(78,2)" */
};

struct table_columns {
    struct table_column wallet, balance, blocknumber, updated_at, created_at, observed_block;
};

static struct table_column *pg_column_by_name(struct table_columns *c, const char *name)
{
    const struct {
        const char *name;
        struct table_column *column;
    } names[] = {
        {"wallet", &c->wallet},           {"balance", &c->balance},
        {"blocknumber", &c->blocknumber}, {"updated_at", &c->updated_at},
        {"created_at", &c->created_at},   {"observed_block", &c->observed_block},
    };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(names[i].name, name) == 0)
            return names[i].column;
    return NULL;
}

static int pg_misfit(const char *table, const char *column, const struct table_column *is,
                     const char *wanted, struct err *err)
{
    if (!is->there)
        err_set(err, ERR_STORE, "table \"%s\" has no column %s (%s)", table, column, wanted);
    else
        err_set(err, ERR_STORE, "table \"%s\": column %s is %s, not %s", table, column, is->shown,
                wanted);
    return err_hint(err, "change it, or give the balance another `table` and let trueup make it");
}

static bool pg_is_time(const struct table_column *c)
{
    return c->there && (c->type == PG_TIMESTAMP || c->type == PG_TIMESTAMPTZ);
}

/* The modifier of numeric(p,s), less 4: p in the upper half, s in the lower 11 bits. */
static bool pg_holds_balance(const struct table_column *c)
{
    if (!c->there || c->type != PG_NUMERIC)
        return false;
    if (c->typmod < 0)
        return true;
    int precision = (c->typmod - 4) >> 16, scale = (c->typmod - 4) & 0x7ff;
    return scale == 0 && precision >= BALANCE_DIGITS;
}

static bool pg_holds_wallet(const struct table_column *c)
{
    return c->there && (c->type == PG_TEXT ||
                        (c->type == VARCHAR && (c->typmod < 0 || c->typmod - 4 >= WALLET_LENGTH)));
}

static int pg_columns_fit(const char *table, const struct table_columns *c, struct err *err)
{
    if (!pg_holds_wallet(&c->wallet))
        return pg_misfit(table, "wallet", &c->wallet, "text or varchar of 42 or more", err);
    if (!pg_holds_balance(&c->balance))
        return pg_misfit(table, "balance", &c->balance,
                         "numeric, or numeric with 78 digits or more and none after the point",
                         err);
    if (!c->blocknumber.there || c->blocknumber.type != PG_INT8)
        return pg_misfit(table, "blocknumber", &c->blocknumber, "bigint", err);
    if (!pg_is_time(&c->updated_at))
        return pg_misfit(table, "updated_at", &c->updated_at, "timestamp", err);
    if (!pg_is_time(&c->created_at))
        return pg_misfit(table, "created_at", &c->created_at, "timestamp", err);
    if (c->observed_block.there && c->observed_block.type != PG_INT8)
        return pg_misfit(table, "observed_block", &c->observed_block, "bigint", err);
    return 0;
}

/* A column of the application's that an inserted row would leave empty against its will. */
static int pg_foreign_column_fits(const char *table, const struct db_rows *rows, struct err *err)
{
    if (!db_get_bool(rows, 3))
        return 0;
    return err_set(err, ERR_STORE,
                   "table \"%s\": column %s is NOT NULL without a default, and new rows would not "
                   "have it",
                   table, db_get_text(rows, 0));
}

static int pg_take_column(const char *table, const struct db_rows *rows, struct arena *arena,
                          struct table_columns *ret, struct err *err)
{
    struct table_column *column = pg_column_by_name(ret, db_get_text(rows, 0));
    uint64_t type = 0, typmod = 0;
    if (!db_get_bool(rows, 5))
        return err_set(err, ERR_STORE, "\"%s\" is not a table", table);
    if (!column)
        return pg_foreign_column_fits(table, rows, err);
    db_get_number(rows, 1, &type);
    db_get_number(rows, 2, &typmod); /* −1, none, reads as 0 */
    *column = (struct table_column){.there = true,
                                    .type = (Oid)type,
                                    .typmod = typmod > 0 ? (int)typmod : -1,
                                    .shown = db_keep_text(rows, 4, arena)};
    return 0;
}

static int pg_read_columns(struct store *s, const struct store_balance *b, struct arena *arena,
                           struct table_columns *ret, bool *ret_exists, struct err *err)
{
    struct db_query q = {
        .sql = "SELECT a.attname::text, a.atttypid::bigint, a.atttypmod::bigint, a.attnotnull AND "
               "NOT a.atthasdef AND a.attidentity = '', format_type(a.atttypid, a.atttypmod), "
               "c.relkind IN ('r', 'p') FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
               "WHERE c.oid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped",
        .params = {db_text(db_quote(s, b->table, arena))}};
    struct db_rows rows;
    int rc = db_read(s, &q, &rows, err);
    *ret_exists = rc == 0 && PQntuples(rows.at) > 0;
    while (rc == 0 && pg_next_row(&rows))
        rc = pg_take_column(b->table, &rows, arena, ret, err);
    db_end(&rows);
    return rc;
}

/* What its columns do not tell. */
struct table_rights {
    bool unique_wallet, index_on_time, owner, writable;
};

static int pg_read_rights(struct store *s, const char *quoted, struct table_rights *ret,
                          struct err *err)
{
#define ONE_KEY(column)                                                                            \
    "EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND "         \
    "a.attnum = i.indkey[0] WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND "  \
    "a.attname = '" column "'"
    struct db_query q = {
        .sql = "SELECT " ONE_KEY(
            "wallet") " AND i.indisunique AND i.indimmediate AND "
                      "i.indnkeyatts = 1), " ONE_KEY(
                          "updated_at") "), pg_has_role(c.relowner, 'USAGE'), "
                                        "has_table_privilege(c.oid, 'SELECT') AND "
                                        "has_table_privilege(c.oid, 'INSERT') AND "
                                        "has_table_privilege(c.oid, 'UPDATE') FROM pg_class c "
                                        "WHERE c.oid = to_regclass($1)",
        .params = {db_text(quoted)}};
#undef ONE_KEY
    struct db_rows rows;
    if (db_read(s, &q, &rows, err) < 0)
        return -1;
    pg_next_row(&rows);
    *ret = (struct table_rights){
        .unique_wallet = db_get_bool(&rows, 0),
        .index_on_time = db_get_bool(&rows, 1),
        .owner = db_get_bool(&rows, 2),
        .writable = db_get_bool(&rows, 3),
    };
    db_end(&rows);
    return 0;
}

static int pg_rights_fit(const struct pg *s, const char *table, const char *quoted,
                         const struct table_rights *facts, struct err *err)
{
    if (!facts->unique_wallet)
        return err_set(err, ERR_STORE, "table \"%s\": column wallet is not unique", table);
    if (facts->writable)
        return 0;
    err_set(err, ERR_STORE, "table \"%s\" may not be written by \"%s\"", table, PQuser(s->conn));
    return err_hint(err, "GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO \"%s\";", quoted,
                    PQuser(s->conn));
}

static int pg_fit_in(struct store *s, const struct store_balance *b, struct arena *arena,
                     struct db_fit *ret, struct err *err)
{
    struct table_columns columns = {0};
    struct table_rights facts;
    const char *quoted = db_quote(s, b->table, arena);
    if (pg_read_columns(s, b, arena, &columns, &ret->exists, err) != 0)
        return -1;
    if (!ret->exists)
        return 0;
    if (pg_columns_fit(b->table, &columns, err) != 0 ||
        pg_read_rights(s, quoted, &facts, err) != 0 ||
        pg_rights_fit(pg_of(s), b->table, quoted, &facts, err) != 0)
        return -1;
    ret->observed = columns.observed_block.there;
    ret->index_on_time = facts.index_on_time;
    ret->owner = facts.owner;
    return 0;
}

int pg_fit_table(struct store *s, const struct store_balance *b, struct db_fit *ret,
                 struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    int rc = pg_fit_in(s, b, &arena, ret, err);
    arena_free(&arena);
    return rc;
}
