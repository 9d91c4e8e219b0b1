/*
 * PostgreSQL: does an application's table fit to be kept by us? Asked of the catalogue, and refused
 * by the name of the column; nothing is changed here.
 */
#include "store/pg.h"

#include "base/mem.h"

#include <string.h>

enum {
    VARCHAR = 1043,
    WALLET_LENGTH = 42,
    BALANCE_DIGITS = 78,
};

struct column {
    bool there;
    Oid type;
    int typmod;
    const char *shown; /* "numeric(78,2)" */
};

struct columns {
    struct column wallet, balance, blocknumber, updated_at, created_at, observed_block;
};

static struct column *column_by_name(struct columns *c, const char *name)
{
    const struct {
        const char *name;
        struct column *column;
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

static int misfit(const char *table, const char *column, const struct column *is,
                  const char *wanted, struct err *err)
{
    if (!is->there)
        err_set(err, ERR_STORE, "table \"%s\" has no column %s (%s)", table, column, wanted);
    else
        err_set(err, ERR_STORE, "table \"%s\": column %s is %s, not %s", table, column, is->shown,
                wanted);
    return err_hint(err, "change it, or give the balance another `table` and let trueup make it");
}

static bool is_time(const struct column *c)
{
    return c->there && (c->type == PG_TIMESTAMP || c->type == PG_TIMESTAMPTZ);
}

/* The modifier of numeric(p,s), less 4: p in the upper half, s in the lower 11 bits. */
static bool holds_balance(const struct column *c)
{
    if (!c->there || c->type != PG_NUMERIC)
        return false;
    if (c->typmod < 0)
        return true;
    int precision = (c->typmod - 4) >> 16, scale = (c->typmod - 4) & 0x7ff;
    return scale == 0 && precision >= BALANCE_DIGITS;
}

static bool holds_wallet(const struct column *c)
{
    return c->there && (c->type == PG_TEXT ||
                        (c->type == VARCHAR && (c->typmod < 0 || c->typmod - 4 >= WALLET_LENGTH)));
}

static int columns_fit(const char *table, const struct columns *c, struct err *err)
{
    if (!holds_wallet(&c->wallet))
        return misfit(table, "wallet", &c->wallet, "text or varchar of 42 or more", err);
    if (!holds_balance(&c->balance))
        return misfit(table, "balance", &c->balance,
                      "numeric, or numeric with 78 digits or more and none after the point", err);
    if (!c->blocknumber.there || c->blocknumber.type != PG_INT8)
        return misfit(table, "blocknumber", &c->blocknumber, "bigint", err);
    if (!is_time(&c->updated_at))
        return misfit(table, "updated_at", &c->updated_at, "timestamp", err);
    if (!is_time(&c->created_at))
        return misfit(table, "created_at", &c->created_at, "timestamp", err);
    if (c->observed_block.there && c->observed_block.type != PG_INT8)
        return misfit(table, "observed_block", &c->observed_block, "bigint", err);
    return 0;
}

/* A column of the application's that an inserted row would leave empty against its will. */
static int foreign_column_fits(const char *table, const PGresult *res, int row, struct err *err)
{
    if (!pg_get_bool(res, row, 3))
        return 0;
    return err_set(err, ERR_STORE,
                   "table \"%s\": column %s is NOT NULL without a default, and new rows would not "
                   "have it",
                   table, pg_get_text(res, row, 0));
}

static int read_columns(struct pg *s, const char *table, const char *quoted, struct arena *arena,
                        struct columns *ret, bool *ret_exists, struct err *err)
{
    struct pg_command c = {
        .sql = "SELECT a.attname::text, a.atttypid::bigint, a.atttypmod::bigint, a.attnotnull AND "
               "NOT a.atthasdef AND a.attidentity = '', format_type(a.atttypid, a.atttypmod), "
               "c.relkind IN ('r', 'p') FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
               "WHERE c.oid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped",
        .params.arena = arena};
    pg_p_text(&c.params, quoted);
    PGresult *res = pg_query(s, &c, err);
    if (!res)
        return -1;
    int rc = 0;
    *ret_exists = PQntuples(res) > 0;
    if (*ret_exists && !pg_get_bool(res, 0, 5))
        rc = err_set(err, ERR_STORE, "\"%s\" is not a table", table);
    for (int i = 0; i < PQntuples(res) && rc == 0; i++) {
        struct column *column = column_by_name(ret, pg_get_text(res, i, 0));
        uint64_t type = 0, typmod = 0;
        if (!column) {
            rc = foreign_column_fits(table, res, i, err);
            continue;
        }
        pg_get_int(res, i, 1, &type);
        bool modified = pg_get_int(res, i, 2, &typmod) && typmod > 0; /* −1 is none */
        *column = (struct column){.there = true,
                                  .type = (Oid)type,
                                  .typmod = modified ? (int)typmod : -1,
                                  .shown = arena_strdup(arena, pg_get_text(res, i, 4))};
    }
    PQclear(res);
    return rc;
}

/* What its columns do not tell. */
struct facts {
    bool unique_wallet, index_on_time, owner, writable;
};

static int read_facts(struct pg *s, const char *quoted, struct arena *arena, struct facts *ret,
                      struct err *err)
{
#define ONE_KEY(column)                                                                            \
    "EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND "         \
    "a.attnum = i.indkey[0] WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND "  \
    "a.attname = '" column "'"
    struct pg_command c = {
        .sql = "SELECT " ONE_KEY(
            "wallet") " AND i.indisunique AND i.indimmediate AND "
                      "i.indnkeyatts = 1), " ONE_KEY(
                          "updated_at") "), pg_has_role(c.relowner, 'USAGE'), "
                                        "has_table_privilege(c.oid, 'SELECT') AND "
                                        "has_table_privilege(c.oid, 'INSERT') AND "
                                        "has_table_privilege(c.oid, 'UPDATE') FROM pg_class c "
                                        "WHERE c.oid = to_regclass($1)",
        .params.arena = arena};
#undef ONE_KEY
    pg_p_text(&c.params, quoted);
    PGresult *res = pg_query(s, &c, err);
    if (!res)
        return -1;
    *ret = (struct facts){
        .unique_wallet = pg_get_bool(res, 0, 0),
        .index_on_time = pg_get_bool(res, 0, 1),
        .owner = pg_get_bool(res, 0, 2),
        .writable = pg_get_bool(res, 0, 3),
    };
    PQclear(res);
    return 0;
}

static int facts_fit(const struct pg *s, const char *table, const char *quoted,
                     const struct facts *facts, struct err *err)
{
    if (!facts->unique_wallet)
        return err_set(err, ERR_STORE, "table \"%s\": column wallet is not unique", table);
    if (facts->writable)
        return 0;
    err_set(err, ERR_STORE, "table \"%s\" may not be written by \"%s\"", table, PQuser(s->conn));
    return err_hint(err, "GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO \"%s\";", quoted,
                    PQuser(s->conn));
}

int pg_fit(struct pg *s, const struct store_balance *b, struct arena *arena, struct pg_fit *ret,
           struct err *err)
{
    struct columns columns = {0};
    struct facts facts;
    const char *quoted = pg_table(s, b->table, arena);
    *ret = (struct pg_fit){0};
    if (read_columns(s, b->table, quoted, arena, &columns, &ret->exists, err) != 0)
        return -1;
    if (!ret->exists)
        return 0;
    if (columns_fit(b->table, &columns, err) != 0 ||
        read_facts(s, quoted, arena, &facts, err) != 0 ||
        facts_fit(s, b->table, quoted, &facts, err) != 0)
        return -1;
    ret->observed = columns.observed_block.there;
    ret->index_on_time = facts.index_on_time;
    ret->owner = facts.owner;
    return 0;
}
