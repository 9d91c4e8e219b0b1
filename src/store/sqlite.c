/*
 * SQLite: opening the file and the few calls the other sqlite_*.c files are written in.
 *
 * WAL, so that readers never wait for a writer. A writing transaction is BEGIN IMMEDIATE: a
 * deferred one that reads first and writes later fails at once, whatever the busy timeout, when
 * another writer came in between.
 */
#include "store/sqlite.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "proc/alive.h"
#include "store/times.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUSY_MS = 5000, SIGN_OPERATIONS = 1000000 };

int64_t sq_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Which refusals go away by themselves. */
static enum err_kind kind_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_PROTOCOL:
    case SQLITE_INTERRUPT:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return ERR_STORE_LOST;
    default:
        return ERR_STORE;
    }
}

int sq_fail(struct sq *s, struct err *err, const char *doing)
{
    int code = s->db ? sqlite3_extended_errcode(s->db) : SQLITE_CANTOPEN;
    if (code == SQLITE_NOMEM || code == SQLITE_IOERR_NOMEM)
        mem_out();
    err_set(err, kind_of(code), "%s: %s%s%s", s->base.masked, doing ? doing : "", doing ? ": " : "",
            s->db ? sqlite3_errmsg(s->db) : "the file is not open");
    if ((code & 0xff) == SQLITE_NOTADB || (code & 0xff) == SQLITE_CORRUPT)
        err_hint(err, "restore the file from a backup, or move it away and start anew");
    return -1;
}

sqlite3_stmt *sq_prepare(struct sq *s, struct err *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *sql = sqlite3_vmprintf(fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < s->n_cache; i++)
        if (strcmp(s->cache[i].sql, sql) == 0) {
            sqlite3_free(sql);
            sqlite3_reset(s->cache[i].stmt);
            sqlite3_clear_bindings(s->cache[i].stmt);
            return s->cache[i].stmt;
        }
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) != SQLITE_OK ||
        !stmt) {
        sq_fail(s, err, NULL);
        sqlite3_free(sql);
        return NULL;
    }
    s->cache = mem_grow(s->cache, s->n_cache + 1, sizeof s->cache[0]);
    s->cache[s->n_cache].sql = sql;
    s->cache[s->n_cache].stmt = stmt;
    s->n_cache++;
    return stmt;
}

int sq_step(struct sq *s, sqlite3_stmt *st, struct err *err)
{
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        return 1;
    if (rc == SQLITE_DONE)
        return 0;
    sq_fail(s, err, NULL);
    sqlite3_reset(st);
    return -1;
}

int sq_run(struct sq *s, sqlite3_stmt *st, struct err *err)
{
    int rc = 1;
    if (!st)
        return -1;
    while (rc == 1)
        rc = sq_step(s, st, err);
    sqlite3_reset(st);
    return rc;
}

int sq_exec(struct sq *s, struct err *err, const char *sql)
{
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return sq_fail(s, err, NULL);
    return 0;
}

int sq_begin(struct sq *s, struct err *err)
{
    return sq_exec(s, err, "BEGIN IMMEDIATE");
}

int sq_commit(struct sq *s, struct err *err)
{
    if (sq_exec(s, err, "COMMIT") != 0)
        return sq_rollback(s);
    return 0;
}

int sq_rollback(struct sq *s)
{
    for (size_t i = 0; i < s->n_cache; i++)
        sqlite3_reset(s->cache[i].stmt);
    if (!sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return -1;
}

/* ---- values ---------------------------------------------------------------------------------- */

void sq_text(sqlite3_stmt *st, int i, const char *text)
{
    sqlite3_bind_text(st, i, text, -1, SQLITE_TRANSIENT);
}

void sq_address(sqlite3_stmt *st, int i, const address *a)
{
    char text[ADDRESS_TEXT];
    address_text(a, text);
    sqlite3_bind_text(st, i, text, ADDRESS_TEXT - 1, SQLITE_TRANSIENT);
}

void sq_after(sqlite3_stmt *st, int i, const address *after)
{
    if (after)
        sq_address(st, i, after);
    else
        sq_text(st, i, "");
}

void sq_hash(sqlite3_stmt *st, int i, const hash32 *h)
{
    char text[HASH_TEXT];
    hash_text(h, text);
    sqlite3_bind_text(st, i, text, HASH_TEXT - 1, SQLITE_TRANSIENT);
}

void sq_number(sqlite3_stmt *st, int i, bool has, uint64_t v)
{
    if (has)
        sqlite3_bind_int64(st, i, v > INT64_MAX ? INT64_MAX : (int64_t)v);
    else
        sqlite3_bind_null(st, i);
}

void sq_time(sqlite3_stmt *st, int i, int64_t us)
{
    char text[TIME_TEXT];
    time_to_text(us, text);
    sqlite3_bind_text(st, i, text, TIME_TEXT - 1, SQLITE_TRANSIENT);
}

/* Only the spelling our tables use: another one would be another key. */
bool sq_get_address(sqlite3_stmt *st, int col, address *ret)
{
    const char *text = (const char *)sqlite3_column_text(st, col);
    if (!text || sqlite3_column_bytes(st, col) != ADDRESS_TEXT - 1)
        return false;
    for (const char *p = text; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            return false;
    return address_parse_loose(text, ADDRESS_TEXT - 1, ret);
}

int sq_wallets(struct sq *s, sqlite3_stmt *st, size_t limit, struct arena *arena, address **ret,
               size_t *ret_n, struct err *err)
{
    address *out = arena_alloc(arena, limit * sizeof *out);
    size_t n = 0;
    int rc = 1;
    while (n < limit && (rc = sq_step(s, st, err)) == 1)
        n += sq_get_address(st, 0, &out[n]);
    sqlite3_reset(st);
    if (rc < 0)
        return -1;
    *ret = out;
    *ret_n = n;
    return 0;
}

bool sq_get_number(sqlite3_stmt *st, int col, uint64_t *ret)
{
    if (sqlite3_column_type(st, col) == SQLITE_NULL)
        return false;
    int64_t v = sqlite3_column_int64(st, col);
    *ret = v > 0 ? (uint64_t)v : 0;
    return true;
}

bool sq_get_balance(sqlite3_stmt *st, int col, u256 *ret)
{
    const char *text = (const char *)sqlite3_column_text(st, col);
    return text && u256_from_dec(text, (size_t)sqlite3_column_bytes(st, col), ret);
}

int64_t sq_get_time(sqlite3_stmt *st, int col)
{
    const char *text = (const char *)sqlite3_column_text(st, col);
    int64_t us = 0;
    if (!text || !time_from_text(text, (size_t)sqlite3_column_bytes(st, col), &us))
        return 0;
    return us;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int on_busy(void *arg, int count)
{
    const struct sq *s = arg;
    alive_beat();
    if ((unsigned)count * s->patience >= BUSY_MS)
        return 0;
    struct timespec wait = {0, (long)s->patience * 1000000};
    nanosleep(&wait, NULL);
    return 1;
}

/* A statement that goes through many rows is at work, not hung. */
static int on_progress(void *arg)
{
    (void)arg;
    alive_beat();
    return 0;
}

static void drop(struct sq *s)
{
    for (size_t i = 0; i < s->n_cache; i++) {
        sqlite3_finalize(s->cache[i].stmt);
        sqlite3_free(s->cache[i].sql);
    }
    mem_free(s->cache);
    s->cache = NULL;
    s->n_cache = 0;
    sqlite3_close_v2(s->db);
    s->db = NULL;
}

/* Creates the file ourselves, so that nobody else can read balances from the first byte on. A file
 * that is there is never opened here: to close it would drop every lock that the other connections
 * of this process hold on it (fcntl(2)), and then somebody's last goodbye deletes the log that they
 * still read and write. */
static int create_file(struct sq *s, const char *file, struct err *err)
{
    struct stat st;
    int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    if (errno == EEXIST && stat(file, &st) == 0 && access(file, R_OK | W_OK) == 0) {
        if (!S_ISDIR(st.st_mode))
            return 0;
        errno = EISDIR;
    }
    int e = errno;
    err_set(err, e == ENOSPC || e == EIO || e == EMFILE ? ERR_STORE_LOST : ERR_STORE,
            "%s: cannot open the file: %s", s->base.masked, strerror(e));
    return err_hint(err, "the store needs a file it may write, in a directory it may write");
}

/* SQLite tells of a lack of memory in many small ways: a parameter not bound, a column that reads
 * as NULL. Here it is told once, in the way of base/mem. */
static void *sq_malloc(int n)
{
    return mem_alloc((size_t)n);
}

static void *sq_realloc(void *p, int n)
{
    return mem_grow(p, 1, (size_t)n);
}

static int sq_size(void *p)
{
    return p ? (int)malloc_usable_size(p) : 0;
}

static int sq_roundup(int n)
{
    return (n + 7) & ~7;
}

static int sq_memory_init(void *ctx)
{
    (void)ctx;
    return SQLITE_OK;
}

static void sq_memory_shutdown(void *ctx)
{
    (void)ctx;
}

static void own_memory(void)
{
    static const sqlite3_mem_methods methods = {
        sq_malloc,  mem_free,       sq_realloc,         sq_size,
        sq_roundup, sq_memory_init, sq_memory_shutdown, NULL};
    sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

static int connect_file(struct sq *s, struct err *err)
{
    const char *file = s->base.url + strlen("sqlite:");
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, own_memory);
    if (create_file(s, file, err) != 0)
        return -1;
    if (sqlite3_open_v2(file, &s->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                        NULL) != SQLITE_OK)
        return sq_fail(s, err, "open");
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_handler(s->db, on_busy, s);
    sqlite3_progress_handler(s->db, SIGN_OPERATIONS, on_progress, NULL);
    /* The first read of the file: what is no database shows itself here. */
    if (sq_exec(s, err, "SELECT count(*) FROM sqlite_master") != 0)
        return -1;
    if (sqlite3_db_readonly(s->db, "main") == 1)
        return err_set(err, ERR_STORE, "%s: the file is read-only", s->base.masked);
    /* synchronous NORMAL in WAL: a power cut may lose the last commits, never the file's order;
     * what is lost is read again, since the checkpoint is lost with it. */
    return sq_exec(s, err,
                   "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                   "PRAGMA journal_size_limit=67108864; PRAGMA cache_size=-8192;"
                   "PRAGMA foreign_keys=OFF; PRAGMA temp_store=MEMORY");
}

static int sq_reopen(struct store *store, struct err *err)
{
    struct sq *s = sq_of(store);
    drop(s);
    if (connect_file(s, err) == 0)
        return 0;
    drop(s);
    return -1;
}

static void sq_close(struct store *store)
{
    drop(sq_of(store));
    store_base_free(store);
    mem_free(store);
}

static const struct backend sqlite_backend = {
    .reopen = sq_reopen,
    .close = sq_close,
    .migrate = sq_migrate,
    .check = sq_check,
    .reset_chain = sq_reset_chain,
    .headers_put = sq_headers_put,
    .headers_below = sq_headers_below,
    .rewind = sq_rewind,
    .headers_prune = sq_headers_prune,
    .apply = sq_apply,
    .checkpoint_get = sq_checkpoint_get,
    .claim_stale = sq_claim_stale,
    .next_by_key = sq_next_by_key,
    .quarantine_due = sq_quarantine_due,
    .tracked = sq_tracked,
    .row = sq_row,
    .count = sq_count,
    .wallets_add = sq_wallets_add,
    .wallets_remove = sq_wallets_remove,
    .wallets_list = sq_wallets_list,
    .dirty_due = sq_dirty_due,
    .dirty_drop = sq_dirty_drop,
    .state_get = sq_state_read,
    .state_set = sq_state_write,
    .lease_take = sq_lease_take,
    .lease_drop = sq_lease_drop,
    .lease_holder = sq_lease_holder,
    .learned_get = sq_learned_get,
    .learned_put = sq_learned_put,
};

int sqlite_open(const char *url, const char *who, struct store **ret, struct err *err)
{
    struct sq *s = mem_zero(1, sizeof *s);
    store_base_init(&s->base, &sqlite_backend, url, who);
    s->patience = strstr(who, "sweep") ? 7 : 1;
    if (connect_file(s, err) != 0) {
        sq_close(&s->base);
        return -1;
    }
    *ret = &s->base;
    return 0;
}
