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
    char shown[200]; /* "numeric(78,2)" */
};

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
    return c->type == PG_TIMESTAMP || c->type == PG_TIMESTAMPTZ;
}

static bool pg_is_block(const struct table_column *c)
{
    return c->type == PG_INT8;
}

/* The modifier of numeric(p,s), less 4: p in the upper half, s in the lower 11 bits. */
static bool pg_is_balance(const struct table_column *c)
{
    if (c->type != PG_NUMERIC || c->typmod < 0)
        return c->type == PG_NUMERIC;
    int precision = (c->typmod - 4) >> 16, scale = (c->typmod - 4) & 0x7ff;
    return scale == 0 && precision >= BALANCE_DIGITS;
}

static bool pg_is_wallet(const struct table_column *c)
{
    return c->type == PG_TEXT ||
           (c->type == VARCHAR && (c->typmod < 0 || c->typmod - 4 >= WALLET_LENGTH));
}

enum { OBSERVED = 5, COLUMNS = 6 };
static const struct {
    const char *name;
    bool (*fits)(const struct table_column *c);
    const char *wanted;
} pg_columns[COLUMNS] = {
    {"wallet", pg_is_wallet, "text or varchar of 42 or more"},
    {"balance", pg_is_balance,
     "numeric, or numeric with 78 digits or more and none after the point"},
    {"blocknumber", pg_is_block, "bigint"},
    {"updated_at", pg_is_time, "timestamp"},
    {"created_at", pg_is_time, "timestamp"},
    [OBSERVED] = {"observed_block", pg_is_block, "bigint"}, /* added where it is missing */
};

static int pg_columns_fit(const char *table, const struct table_column c[COLUMNS], struct err *err)
{
    for (int i = 0; i < COLUMNS; i++)
        if (c[i].there ? !pg_columns[i].fits(&c[i]) : i != OBSERVED)
            return pg_misfit(table, pg_columns[i].name, &c[i], pg_columns[i].wanted, err);
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

static int pg_take_column(const char *table, const struct db_rows *rows,
                          struct table_column ret[COLUMNS], struct err *err)
{
    const char *name = db_get_text(rows, 0);
    uint64_t type = 0, typmod = 0;
    int i = 0;
    if (!db_get_bool(rows, 5))
        return err_set(err, ERR_STORE, "\"%s\" is not a table", table);
    while (i < COLUMNS && strcmp(pg_columns[i].name, name) != 0)
        i++;
    if (i == COLUMNS)
        return pg_foreign_column_fits(table, rows, err);
    db_get_number(rows, 1, &type);
    db_get_number(rows, 2, &typmod); /* −1, none, reads as 0 */
    ret[i] = (struct table_column){
        .there = true, .type = (Oid)type, .typmod = typmod > 0 ? (int)typmod : -1};
    db_copy_text(rows, 4, ret[i].shown, sizeof ret[i].shown);
    return 0;
}

static int pg_read_columns(struct store *s, const struct store_balance *b,
                           struct table_column ret[COLUMNS], bool *ret_exists, struct err *err)
{
    struct db_query q = {
        .sql = "SELECT a.attname::text, a.atttypid::bigint, a.atttypmod::bigint, a.attnotnull AND "
               "NOT a.atthasdef AND a.attidentity = '', format_type(a.atttypid, a.atttypmod), "
               "c.relkind IN ('r', 'p') FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
               "WHERE c.oid = to_regclass({t_text}) AND a.attnum > 0 AND NOT a.attisdropped",
        .b = b};
    struct db_rows rows;
    int rc = db_read(s, &q, &rows, err);
    *ret_exists = rc == 0 && PQntuples(rows.at) > 0;
    while (rc == 0 && pg_next_row(&rows))
        rc = pg_take_column(b->table, &rows, ret, err);
    db_end(&rows);
    return rc;
}

/* What its columns do not tell. */
struct table_rights {
    bool unique_wallet, index_on_time, owner, writable, partitioned;
};

static int pg_read_rights(struct store *s, const struct store_balance *b, struct table_rights *ret,
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
                                        "has_table_privilege(c.oid, 'UPDATE'), c.relkind = "
                                        "'p' FROM pg_class c "
                                        "WHERE c.oid = to_regclass({t_text})",
        .b = b};
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
        .partitioned = db_get_bool(&rows, 4),
    };
    db_end(&rows);
    return 0;
}

static int pg_rights_fit(struct store *s, const char *table, const struct table_rights *rights,
                         struct err *err)
{
    if (!rights->unique_wallet)
        return err_set(err, ERR_STORE, "table \"%s\": column wallet is not unique", table);
    if (rights->writable)
        return 0;
    const char *user = PQuser(pg_of(s)->conn);
    struct arena arena;
    arena_init(&arena);
    err_set(err, ERR_STORE, "table \"%s\" may not be written by \"%s\"", table, user);
    err_hint(err, "GRANT SELECT, INSERT, UPDATE ON %s TO \"%s\";", db_quote(s, table, &arena),
             user);
    arena_free(&arena);
    return -1;
}

/* Row security may hide rows, which would be inserted again and swept never. Policies that say
 * `true` hide none; those WITH CHECK refuse a row by its name. */
static int pg_rows_are_visible(struct store *s, const struct store_balance *b, struct err *err)
{
#define POLICIES(commands)                                                                         \
    "SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polcmd IN (" commands                \
    ", '*') AND (0 = ANY (p.polroles) OR EXISTS (SELECT 1 FROM unnest(p.polroles) r(oid) WHERE "   \
    "r.oid <> 0 AND pg_has_role(r.oid, 'USAGE'))) AND "
#define SHOWS_ALL "coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') = 'true'"
#define HIDES(commands)                                                                            \
    "(NOT EXISTS (" POLICIES(commands) "p.polpermissive AND " SHOWS_ALL ") OR EXISTS (" POLICIES(  \
        commands) "NOT p.polpermissive AND NOT (" SHOWS_ALL ")))"
    struct db_query q = {
        .sql = "SELECT count(*) FROM pg_class c WHERE c.oid = to_regclass({t_text}) AND "
               "row_security_active(c.oid) AND (" HIDES("'r'") " OR " HIDES("'w'") ")",
        .b = b};
#undef HIDES
#undef SHOWS_ALL
#undef POLICIES
    uint64_t hidden = 0;
    struct arena arena;
    const char *user = PQuser(pg_of(s)->conn);
    if (db_read_number(s, &q, &hidden, NULL, err) < 0)
        return -1;
    if (hidden == 0)
        return 0;
    arena_init(&arena);
    err_set(err, ERR_STORE, "table \"%s\": row-level security may hide rows from \"%s\"", b->table,
            user);
    err_hint(err,
             "as its owner: CREATE POLICY trueup ON %s TO \"%s\" USING (true) WITH CHECK "
             "(true); or as a superuser: ALTER ROLE \"%s\" BYPASSRLS;",
             db_quote(s, b->table, &arena), user, user);
    arena_free(&arena);
    return -1;
}

int pg_fit_table(struct store *s, const struct store_balance *b, struct db_fit *ret,
                 struct err *err)
{
    struct table_column columns[COLUMNS] = {0};
    struct table_rights rights;
    if (pg_read_columns(s, b, columns, &ret->exists, err) != 0)
        return -1;
    if (!ret->exists)
        return 0;
    if (pg_columns_fit(b->table, columns, err) != 0 || pg_read_rights(s, b, &rights, err) != 0 ||
        pg_rights_fit(s, b->table, &rights, err) != 0 || pg_rows_are_visible(s, b, err) != 0)
        return -1;
    ret->observed = columns[OBSERVED].there;
    ret->index_on_time = rights.index_on_time;
    ret->owner = rights.owner;
    ret->partitioned = rights.partitioned;
    return 0;
}
