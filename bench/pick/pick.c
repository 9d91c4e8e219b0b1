/*
 * How long it takes to pick the oldest rows, and to write them, in a table of the first user's
 * size.
 *
 *     pick POSTGRES-URL [ROWS [reuse]]     such as postgres://postgres@127.0.0.1:5432/postgres
 *     pick sqlite:FILE [ROWS [reuse]]      reuse: the file has rows, all at 1970
 *
 * The PostgreSQL cluster is a throw-away one: databases bench_pick_* are created and dropped. Each
 * scenario starts from a fresh copy of the loaded table (bench_pick_load, kept for `reuse`), claims
 * WANT rows and writes them back with their old values, as a sweep does, and prints the percentiles
 * of the claims alone.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/store.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { WANT = 200, TICKS = 1000, BATCH = 2400 };

static struct store_balance balance = {
    .name = "audio", .table = "eth_wallet_balances", .checkpoint = "audio_transfers"};
static const char *cluster;
static char database[512];

static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static PGconn *connection(const char *url)
{
    PGconn *c = PQconnectdb(url);
    if (PQstatus(c) != CONNECTION_OK)
        die("connect", PQerrorMessage(c));
    return c;
}

static void sql_on(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);
    ExecStatusType status = PQresultStatus(r);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        die(sql, PQerrorMessage(c));
    PQclear(r);
}

static void sql(const char *url, const char *text)
{
    PGconn *c = connection(url);
    sql_on(c, text);
    PQfinish(c);
}

static void name_database(const char *name)
{
    const char *path = strstr(cluster, "://") + 3;
    path += strcspn(path, "/?");
    const char *options = path + strcspn(path, "?");
    snprintf(database, sizeof database, "%.*s/%s%s", (int)(path - cluster), cluster, name, options);
}

static struct store *open_store(const char *url)
{
    struct store *s;
    struct err err;
    struct store_adopted adopted;
    if (store_open(url, NULL, "trueup sweep", &s, &err) != 0 ||
        store_migrate(s, &balance, 1, &adopted, &err) != 0)
        die("store", err.text);
    return s;
}

static void load(long rows)
{
    char text[700];
    sql(cluster, "DROP DATABASE IF EXISTS bench_pick_load WITH (FORCE)");
    sql(cluster, "CREATE DATABASE bench_pick_load");
    name_database("bench_pick_load");
    struct store *s = open_store(database);
    store_close(s);
    snprintf(text, sizeof text,
             "INSERT INTO eth_wallet_balances (wallet, balance, updated_at) SELECT '0x' || "
             "substr(md5(i::text) || md5((-i)::text), 1, 40), (random() * 1e9)::bigint::numeric * "
             "1000000000000, '1970-01-01' FROM generate_series(1, %ld) i",
             rows);
    int64_t start = clock_ms();
    sql(database, text);
    sql(database, "VACUUM ANALYZE eth_wallet_balances");
    printf("loaded %ld rows in %.1f s\n", rows, (double)(clock_ms() - start) / 1000);
}

static struct store *fresh_copy(void)
{
    sql(cluster, "DROP DATABASE IF EXISTS bench_pick_run WITH (FORCE)");
    sql(cluster, "CREATE DATABASE bench_pick_run TEMPLATE bench_pick_load");
    sql(cluster, "CHECKPOINT");
    name_database("bench_pick_run");
    return open_store(database);
}

static void *hold_snapshot(void)
{
    PGconn *c = connection(database);
    sql_on(c, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    sql_on(c, "SELECT count(*) FROM trueup_state");
    return c;
}

/* ---- reading and writing back ---------------------------------------------------------------- */

static uint64_t block;

static struct anchor next_block(struct store *s)
{
    struct err err;
    struct anchor at = {.number = ++block, .timestamp = block};
    memcpy(at.hash.b, &block, sizeof block);
    if (store_headers_put(s, &at, 1, &err) != 0)
        die("headers", err.text);
    return at;
}

static int by_wallet(const void *a, const void *b)
{
    return address_compare(&((const struct store_write *)a)->wallet,
                           &((const struct store_write *)b)->wallet);
}

/* Writes rows back with the value they had at the last write: most of a sweep changes nothing. */
static void write_back(struct store *s, struct anchor at, const struct store_stale *rows, size_t n,
                       const u256 *value, struct arena *arena)
{
    struct err err;
    struct store_applied done;
    struct store_write *w = arena_zero(arena, n, sizeof *w);
    for (size_t i = 0; i < n; i++) {
        w[i].wallet = rows[i].wallet;
        w[i].value = *value;
    }
    qsort(w, n, sizeof *w, by_wallet);
    struct store_batch batch = {
        .balance = &balance, .cause = CAUSE_SWEEP, .at = at, .writes = w, .n_writes = n};
    if (store_apply(s, &batch, arena, &done, &err) != 0)
        die("apply", err.text);
    if (done.refreshed + done.changed != n)
        die("apply", "a row was not written");
}

/* CPU time of our process and of the server's, in µs: on a busy machine the honest figure. The
 * server's only where it runs on this host; 0 for SQLite. */
static int64_t cpu_us(void)
{
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    int64_t us = (own.ru_utime.tv_sec + own.ru_stime.tv_sec) * INT64_C(1000000) +
                 own.ru_utime.tv_usec + own.ru_stime.tv_usec;
    if (!database[0])
        return us;
    PGconn *c = connection(database);
    PGresult *r = PQexec(c, "SELECT pid FROM pg_stat_activity WHERE application_name = 'trueup "
                            "sweep'");
    char path[64];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%s/stat", PQntuples(r) ? PQgetvalue(r, 0, 0) : "0");
    FILE *f = fopen(path, "r");
    if (f) {
        char line[1024];
        const char *at = fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
        for (int field = 3; at && field < 15; field++) {
            at = strchr(at + 1, ' ');
            if (at && field == 13)
                user = strtoul(at + 1, NULL, 10);
            if (at && field == 14)
                system = strtoul(at + 1, NULL, 10);
        }
        fclose(f);
    }
    PQclear(r);
    PQfinish(c);
    return us + (int64_t)(user + system) * (1000000 / sysconf(_SC_CLK_TCK));
}

static void pass(struct store *s, const char *name, long limit)
{
    struct arena arena;
    struct err err;
    struct store_stale *rows = NULL;
    address after;
    size_t n = 0;
    long total = 0;
    u256 value = u256_of(1);
    struct anchor at = next_block(s);
    int64_t start = clock_us(), picking = 0, cpu = cpu_us();
    arena_init(&arena);
    do {
        int64_t t = clock_us();
        if (store_next_by_key(s, &balance,
                              &(struct store_page){
                                  .after = total ? &after : NULL, .limit = BATCH, .arena = &arena},
                              &rows, &n, &err) != 0)
            die("by key", err.text);
        picking += clock_us() - t;
        if (n) {
            after = rows[n - 1].wallet;
            write_back(s, at, rows, n, &value, &arena);
        }
        total += (long)n;
        arena_clear(&arena);
    } while (n == BATCH && (limit == 0 || total < limit));
    double seconds = (double)(clock_us() - start) / 1e6;
    printf("%-52s %8.0f rows/s, %8.0f a CPU second (%ld rows; picking is %.0f %% of it)\n", name,
           (double)total / seconds, (double)total * 1e6 / (double)(cpu_us() - cpu), total,
           (double)picking / 1e4 / seconds);
    fflush(stdout);
    arena_free(&arena);
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void ticks(struct store *s, const char *name)
{
    struct arena arena;
    struct err err;
    struct store_cursor cursor = {0};
    struct store_pick pick = {
        .want = WANT, .max_observed = UINT64_MAX, .cursor = &cursor, .arena = &arena};
    static int64_t took[TICKS];
    size_t short_ticks = 0, laps = 0;
    u256 value = u256_of(1);
    struct anchor at = next_block(s);
    arena_init(&arena);
    for (int i = 0; i < TICKS; i++) {
        struct store_stale *rows = NULL;
        size_t n = 0;
        int64_t t = clock_us();
        if (store_claim_stale(s, &balance, &pick, &rows, &n, &err) != 0)
            die("claim", err.text);
        took[i] = clock_us() - t;
        short_ticks += n < WANT;
        laps += cursor.lap;
        if (n)
            write_back(s, at, rows, n, &value, &arena);
        arena_clear(&arena);
    }
    qsort(took, TICKS, sizeof *took, by_time);
    printf("%-52s p50 %6.2f  p99 %6.2f  max %7.2f ms  (short %zu, laps %zu)\n", name,
           (double)took[TICKS / 2] / 1000, (double)took[TICKS * 99 / 100] / 1000,
           (double)took[TICKS - 1] / 1000, short_ticks, laps);
    fflush(stdout);
    arena_free(&arena);
}

static void postgres(long rows, bool reuse)
{
    if (!reuse)
        load(rows);
    struct store *s = fresh_copy();
    ticks(s, "all rows at 1970");
    pass(s, "first pass by key, every value changes", rows / 5);
    pass(s, "pass by key, nothing changes", 0);
    ticks(s, "after full laps");
    void *held = hold_snapshot();
    pass(s, "pass by key under an old snapshot", 0);
    ticks(s, "after a full lap under an old snapshot");
    PQfinish(held);
    store_close(s);

    s = fresh_copy();
    held = hold_snapshot();
    ticks(s, "all rows at 1970 under an old snapshot");
    pass(s, "a third refreshed by key under it", rows / 3);
    ticks(s, "1970, old snapshot, a third of the index dead");
    PQfinish(held);
    ticks(s, "the same once the snapshot is gone");
    store_close(s);
    sql(cluster, "DROP DATABASE bench_pick_run WITH (FORCE)");
}

static void sqlite_load(struct store *s, long rows)
{
    struct arena arena;
    struct err err;
    struct store_applied done;
    struct anchor at = next_block(s);
    arena_init(&arena);
    for (long i = 0; i < rows; i += BATCH) {
        struct store_write *w = arena_zero(&arena, BATCH, sizeof *w);
        for (long k = 0; k < BATCH; k++) {
            uint64_t mixed = (uint64_t)(i + k) << 24;
            w[k].value = u256_of(1);
            w[k].insert = INSERT_ALWAYS;
            for (int b = 0; b < 8; b++)
                w[k].wallet.b[b] = (uint8_t)(mixed >> (56 - 8 * b));
        }
        struct store_batch batch = {.balance = &balance, .at = at, .writes = w, .n_writes = BATCH};
        if (store_apply(s, &batch, &arena, &done, &err) != 0)
            die("apply", err.text);
        arena_clear(&arena);
    }
    arena_free(&arena);
}

static void sqlite(long rows, bool reuse)
{
    struct store *s = open_store(cluster);
    if (reuse)
        ticks(s, "all rows at 1970");
    else
        sqlite_load(s, rows);
    pass(s, "pass by key, nothing changes", 0);
    pass(s, "pass by key again", 0);
    ticks(s, "after full laps");
    store_close(s);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        die("usage", "pick URL [ROWS [reuse]]");
    cluster = argv[1];
    long rows = argc > 2 ? strtol(argv[2], NULL, 10) : 3150000;
    if (strncmp(cluster, "sqlite:", 7) == 0)
        sqlite(rows, argc > 3);
    else
        postgres(rows, argc > 3);
    return 0;
}
