#include "contract.h"

#include "base/mem.h"

#include <dirent.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool on_postgres;
static char folder[64];
static unsigned database_no;

/* ---- a database a test ----------------------------------------------------------------------- */

static void admin(const char *sql)
{
    PGconn *conn = PQconnectdb(getenv("TRUEUP_TEST_POSTGRES"));
    PGresult *res = PQexec(conn, sql);
    if (PQresultStatus(res) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    PQclear(res);
    PQfinish(conn);
}

/* TRUEUP_TEST_POSTGRES with another database name: everything up to the path, then ours. */
static void postgres_url(char *out, size_t room, const char *name)
{
    const char *base = getenv("TRUEUP_TEST_POSTGRES");
    const char *host = strstr(base, "://");
    assert_non_null(host);
    size_t path = (size_t)(host - base) + 3;
    path += strcspn(base + path, "/?");
    const char *query = strchr(base + path, '?');
    snprintf(out, room, "%.*s/%s%s", (int)path, base, name, query ? query : "");
}

static void database_name(char *out, size_t room)
{
    snprintf(out, room, "trueup_contract_%d_%u", (int)getpid(), database_no);
}

int fresh_empty(void **state)
{
    struct contract *c = mem_zero(1, sizeof *c);
    char name[64], sql[128];
    arena_init(&c->arena);
    database_no++;
    if (on_postgres) {
        database_name(name, sizeof name);
        snprintf(sql, sizeof sql, "CREATE DATABASE %s", name);
        admin(sql);
        postgres_url(c->url, sizeof c->url, name);
    } else {
        snprintf(c->url, sizeof c->url, "sqlite:%s/%u.db", folder, database_no);
    }
    c->balance = (struct store_balance){.name = "audio",
                                        .table = "eth_wallet_balances",
                                        .checkpoint = "audio_transfers",
                                        .tracking = STORE_SEEN};
    memset(c->balance.terms_print.b, 0x11, 32);
    memset(c->balance.rules_print.b, 0x22, 32);
    *state = c;
    ok(c, store_open(c->url, NULL, "trueup test", &c->store, &c->err));
    return 0;
}

int fresh(void **state)
{
    struct store_adopted adopted;
    fresh_empty(state);
    struct contract *c = *state;
    ok(c, store_migrate(c->store, &c->balance, 1, &adopted, &c->err));
    assert_true(adopted.created);
    return 0;
}

int gone(void **state)
{
    struct contract *c = *state;
    char name[64], sql[128];
    store_close(c->store);
    arena_free(&c->arena);
    mem_free(c);
    if (on_postgres) {
        database_name(name, sizeof name);
        snprintf(sql, sizeof sql, "DROP DATABASE %s WITH (FORCE)", name);
        admin(sql);
    }
    return 0;
}

struct store *another(struct contract *c, const char *who)
{
    struct store *s;
    ok(c, store_open(c->url, NULL, who, &s, &c->err));
    return s;
}

static void remove_folder(void)
{
    DIR *d = opendir(folder);
    char path[400];
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(folder);
}

int contract_main(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t n)
{
    on_postgres = argc > 1 && strcmp(argv[1], "postgres") == 0;
    if (!on_postgres && (argc < 2 || strcmp(argv[1], "sqlite") != 0)) {
        fprintf(stderr, "usage: %s sqlite|postgres\n", argv[0]);
        return 2;
    }
    if (on_postgres && !getenv("TRUEUP_TEST_POSTGRES")) {
        printf("Bail out! TRUEUP_TEST_POSTGRES names no throw-away cluster\n");
        return 1;
    }
    snprintf(folder, sizeof folder, "/tmp/trueup-contract-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    int rc = _cmocka_run_group_tests(name, tests, n, NULL, NULL);
    remove_folder();
    return rc;
}

/* ---- the application's own SQL --------------------------------------------------------------- */

static char answer[4096];

static void run_postgres(struct contract *c, const char *sql)
{
    PGconn *conn = PQconnectdb(c->url);
    PGresult *res = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(res);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    if (status == PGRES_TUPLES_OK && PQntuples(res) > 0)
        snprintf(answer, sizeof answer, "%s", PQgetvalue(res, 0, 0));
    PQclear(res);
    PQfinish(conn);
}

static void run_sqlite(struct contract *c, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    const char *rest = sql;
    assert_int_equal(sqlite3_open(c->url + 7, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    while (*rest) {
        if (sqlite3_prepare_v2(db, rest, -1, &st, &rest) != SQLITE_OK)
            fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        if (!st)
            continue;
        int rc = sqlite3_step(st);
        if (rc == SQLITE_ROW && sqlite3_column_text(st, 0))
            snprintf(answer, sizeof answer, "%s", (const char *)sqlite3_column_text(st, 0));
        else if (rc != SQLITE_DONE && rc != SQLITE_ROW)
            fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        while (rc == SQLITE_ROW)
            rc = sqlite3_step(st);
        sqlite3_finalize(st);
    }
    sqlite3_close(db);
}

const char *app_value(struct contract *c, const char *fmt, ...)
{
    char sql[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(sql, sizeof sql, fmt, ap);
    va_end(ap);
    answer[0] = '\0';
    (on_postgres ? run_postgres : run_sqlite)(c, sql);
    return answer;
}

void app(struct contract *c, const char *fmt, ...)
{
    char sql[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(sql, sizeof sql, fmt, ap);
    va_end(ap);
    app_value(c, "%s", sql);
}

void *app_hold(struct contract *c, const char *sql)
{
    if (!on_postgres) {
        sqlite3 *db;
        assert_int_equal(sqlite3_open(c->url + 7, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        return db;
    }
    PGconn *conn = PQconnectdb(c->url);
    PGresult *res = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(res);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    PQclear(res);
    return conn;
}

void app_release(void *held)
{
    if (on_postgres)
        PQfinish(held);
    else
        sqlite3_close(held);
}

/* ---- made-up wallets and blocks -------------------------------------------------------------- */

address wallet_no(unsigned i)
{
    address a = {{0xaa}};
    a.b[16] = (uint8_t)(i >> 24);
    a.b[17] = (uint8_t)(i >> 16);
    a.b[18] = (uint8_t)(i >> 8);
    a.b[19] = (uint8_t)i;
    return a;
}

const char *wallet_text(unsigned i)
{
    static char texts[8][ADDRESS_TEXT];
    static unsigned next;
    address a = wallet_no(i);
    char *text = texts[next++ % 8];
    address_text(&a, text);
    return text;
}

static hash32 hash_no(uint64_t number, unsigned fork)
{
    hash32 h = {{(uint8_t)fork}};
    for (int i = 0; i < 8; i++)
        h.b[31 - i] = (uint8_t)(number >> (8 * i));
    return h;
}

struct anchor block_no(uint64_t number, unsigned fork)
{
    return (struct anchor){.number = number,
                           .hash = hash_no(number, fork),
                           .parent = hash_no(number - 1, fork),
                           .timestamp = 1700000000 + number};
}

void put_blocks(struct contract *c, uint64_t from, uint64_t to, unsigned fork)
{
    struct anchor blocks[256];
    size_t n = 0;
    assert_true(to - from < 256);
    for (uint64_t i = from; i <= to; i++)
        blocks[n++] = block_no(i, fork);
    ok(c, store_headers_put(c->store, blocks, n, &c->err));
}

struct store_old write_one(struct contract *c, unsigned wallet, uint64_t value, uint64_t at,
                           struct store_write extra, enum store_cause cause)
{
    struct store_write w = extra;
    struct store_applied done;
    w.wallet = wallet_no(wallet);
    w.value = u256_of(value);
    struct store_batch batch = {
        .balance = &c->balance, .cause = cause, .at = block_no(at, 0), .writes = &w, .n_writes = 1};
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    assert_false(done.anchor_gone);
    return done.olds[0];
}

bool has_row(struct contract *c, unsigned wallet)
{
    struct store_row row;
    address a = wallet_no(wallet);
    ok(c, store_rows(c->store, &c->balance, &a, 1, &row, &c->err));
    return row.found;
}

struct store_row row_of(struct contract *c, unsigned wallet)
{
    struct store_row row = {0};
    address a = wallet_no(wallet);
    ok(c, store_rows(c->store, &c->balance, &a, 1, &row, &c->err));
    assert_true(row.found);
    return row;
}
