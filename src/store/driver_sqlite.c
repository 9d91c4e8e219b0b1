/*
 * SQLite: opening the file and the few calls the other *_sqlite.c files are written in.
 *
 * WAL, so that readers never wait for a writer. A writing transaction is BEGIN IMMEDIATE: a
 * deferred one that reads first and writes later fails at once, whatever the busy timeout, when
 * another writer came in between.
 */
#include "store/sqlite.h"

#include "base/mem.h"
#include "proc/alive.h"
#include "store/times.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A writer from the start. */
#define SQ_BEGIN "BEGIN IMMEDIATE"

enum { BUSY_MS = 5000, SIGN_OPERATIONS = 1000000 };

int64_t sq_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static const char *sq_path(const struct sq *s)
{
    return s->base.url + strlen("sqlite:");
}

/* Which refusals go away by themselves. */
static enum err_kind sq_kind_of(int code)
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

/* What was refused: the row at hand, or any. A locked file has been waited for. */
static enum db_refusal_kind sq_refusal_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
    case SQLITE_ERROR:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
        return REFUSAL_OF_ROW;
    default:
        return REFUSAL_OF_DATABASE;
    }
}

static int sq_fail(struct sq *s, struct err *err, const char *doing)
{
    int code = s->db ? sqlite3_extended_errcode(s->db) : SQLITE_CANTOPEN;
    if (code == SQLITE_NOMEM || code == SQLITE_IOERR_NOMEM)
        mem_out();
    struct db_refusal *r = &s->base.refusal;
    r->kind = sq_refusal_of(code);
    snprintf(r->code, sizeof r->code, "%d", code);
    snprintf(r->words, sizeof r->words, "%s", s->db ? sqlite3_errmsg(s->db) : "");
    err_set(err, sq_kind_of(code), "%s: %s%s%s", s->base.masked, doing ? doing : "",
            doing ? ": " : "", s->db ? sqlite3_errmsg(s->db) : "the file is not open");
    if ((code & 0xff) == SQLITE_NOTADB || (code & 0xff) == SQLITE_CORRUPT)
        err_hint(err, "restore the file from a backup, or move it away and start anew");
    return -1;
}

/* ---- statements ------------------------------------------------------------------------------ */

sqlite3_stmt *sq_prepare(struct sq *s, const char *sql, struct err *err)
{
    for (size_t i = 0; i < s->n_cache; i++)
        if (strcmp(s->cache[i].sql, sql) == 0) {
            sqlite3_reset(s->cache[i].stmt);
            sqlite3_clear_bindings(s->cache[i].stmt);
            return s->cache[i].stmt;
        }
    struct buf own = BUF_INIT(1 << 20);
    sqlite3_stmt *stmt = NULL;
    sq_translate(sql, &own);
    int rc = sqlite3_prepare_v3(s->db, buf_str(&own), -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
    buf_free(&own);
    if (rc != SQLITE_OK || !stmt) {
        sq_fail(s, err, NULL);
        return NULL;
    }
    s->cache = mem_grow(s->cache, s->n_cache + 1, sizeof s->cache[0]);
    s->cache[s->n_cache].sql = mem_strdup(sql);
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

/* The path must still lead to the file that is open: an older copy may have been put in its place,
 * and what is written to the old one is lost. */
static int sq_check_file(struct sq *s, struct err *err)
{
    struct stat st;
    if (!s->db || (stat(sq_path(s), &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino))
        return 0;
    return err_set(err, ERR_STORE_LOST, "%s: the file was moved away or replaced", s->base.masked);
}

static int sq_exec(struct store *store, const char *sql, struct err *err)
{
    struct sq *s = sq_of(store);
    if (strcmp(sql, SQ_BEGIN) == 0 && sq_check_file(s, err) != 0)
        return -1;
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return sq_fail(s, err, NULL);
    return 0;
}

static void sq_rollback(struct store *store)
{
    struct sq *s = sq_of(store);
    for (size_t i = 0; i < s->n_cache; i++)
        sqlite3_reset(s->cache[i].stmt);
    if (s->db && !sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

static void sq_bind_one(sqlite3_stmt *st, int i, const struct db_param *p, size_t element)
{
    const void *at = p->at ? (const uint8_t *)p->at + element * p->stride : NULL;
    const uint8_t *has = (const uint8_t *)p->has;
    char text[U256_DEC_ROOM];
    if ((has && !*(const bool *)(has + element * p->stride)) ||
        (!at && p->kind != DB_NUMBER && p->kind != DB_TIME)) {
        sqlite3_bind_null(st, i);
        return;
    }
    switch (p->kind) {
    case DB_TEXT:
        sqlite3_bind_text(st, i, p->stride ? *(const char *const *)at : at, -1, SQLITE_TRANSIENT);
        return;
    case DB_NUMBER: {
        uint64_t v = at ? *(const uint64_t *)at : p->number;
        sqlite3_bind_int64(st, i, v > INT64_MAX ? INT64_MAX : (int64_t)v);
        return;
    }
    case DB_TIME:
        time_to_text(at ? *(const int64_t *)at : (int64_t)p->number, text);
        break;
    case DB_ADDRESS:
        address_text(at, text);
        break;
    case DB_HASH:
        hash_text(at, text);
        break;
    case DB_BALANCE:
        u256_to_dec(at, text);
        break;
    case DB_TID:
    case DB_XID:
    case DB_NONE:
        return;
    }
    sqlite3_bind_text(st, i, text, -1, SQLITE_TRANSIENT);
}

/* The parameters for one row of the set; those without a stride stay bound. */
static void sq_bind(sqlite3_stmt *st, const struct db_query *q, size_t element)
{
    int i = 0;
    for (; i < DB_PARAMS && q->params[i].kind != DB_NONE; i++)
        if (element == 0 || q->params[i].stride)
            sq_bind_one(st, i + 1, &q->params[i], element);
    if (q->set && sqlite3_bind_parameter_count(st) > i) /* WITH ORDINALITY */
        sqlite3_bind_int64(st, i + 1, (int64_t)element + 1);
}

static sqlite3_stmt *sq_statement(struct sq *s, const struct db_query *q, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    sqlite3_stmt *st = sq_prepare(s, db_expand(&s->base, q, &arena), err);
    if (st)
        sq_bind(st, q, 0);
    arena_free(&arena);
    return st;
}

static int sq_read(struct store *store, const struct db_query *q, struct db_rows *ret,
                   struct err *err)
{
    ret->at = sq_statement(sq_of(store), q, err);
    return ret->at ? 0 : -1;
}

static int sq_next(struct db_rows *rows, struct err *err)
{
    int rc;
    while ((rc = sq_step(sq_of(rows->s), rows->at, err)) == 0 && ++rows->element < rows->q->set) {
        sqlite3_reset(rows->at);
        sq_bind(rows->at, rows->q, rows->element);
    }
    return rc;
}

static void sq_end(struct db_rows *rows)
{
    sqlite3_reset(rows->at);
}

static int sq_write_one(struct store *store, const struct db_query *q, uint64_t *ret_changed,
                        struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st = sq_statement(s, q, err);
    *ret_changed = 0;
    for (size_t i = 0; i == 0 || i < q->set; i++) {
        if (i > 0)
            sq_bind(st, q, i);
        if (sq_run(s, st, err) != 0)
            return -1;
        *ret_changed += (uint64_t)sqlite3_changes64(s->db);
    }
    return 0;
}

static int sq_write(struct store *store, const struct db_query *list, size_t n, int how,
                    uint64_t *ret_changed, struct err *err)
{
    uint64_t changed = 0;
    bool whole = store->depth == 0;
    (void)how;
    if (whole && db_begin(store, 0, err) != 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (sq_write_one(store, &list[i], &changed, err) != 0)
            return -1;
    if (whole && db_commit(store, err) != 0)
        return -1;
    if (ret_changed)
        *ret_changed = changed;
    return 0;
}

/* ---- columns --------------------------------------------------------------------------------- */

static const char *sq_get_text(const struct db_rows *r, int col, size_t *ret_n)
{
    const char *text = (const char *)sqlite3_column_text(r->at, col);
    *ret_n = (size_t)sqlite3_column_bytes(r->at, col);
    return text;
}

static bool sq_get_number(const struct db_rows *r, int col, int64_t *ret)
{
    *ret = sqlite3_column_int64(r->at, col); /* of NULL: 0, so only a 0 is looked at twice */
    return *ret != 0 || sqlite3_column_type(r->at, col) != SQLITE_NULL;
}

static bool sq_get_balance(const struct db_rows *r, int col, u256 *ret)
{
    size_t n;
    const char *text = sq_get_text(r, col, &n);
    return text && u256_from_dec(text, n, ret);
}

static int64_t sq_get_time(const struct db_rows *r, int col)
{
    size_t n;
    const char *text = sq_get_text(r, col, &n);
    int64_t us = 0;
    return text && time_from_text(text, n, &us) ? us : 0;
}

/* ---- functions of ours, in SQL --------------------------------------------------------------- */

/* trueup_now(MILLISECONDS): the time, so much later, as the tables spell it. In a batch it is the
 * batch's. */
static void sq_sql_now(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    const struct sq *s = sqlite3_user_data(ctx);
    char text[TIME_TEXT];
    time_to_text((s->now_us ? s->now_us : sq_now_us()) +
                     (n > 0 ? sqlite3_value_int64(args[0]) * 1000 : 0),
                 text);
    sqlite3_result_text(ctx, text, -1, SQLITE_TRANSIENT);
}

/* ---- opening --------------------------------------------------------------------------------- */

static int sq_on_busy(void *arg, int count)
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
static int sq_on_progress(void *arg)
{
    (void)arg;
    alive_beat();
    return 0;
}

static void sq_disconnect(struct store *store)
{
    struct sq *s = sq_of(store);
    for (size_t i = 0; i < s->n_cache; i++) {
        sqlite3_finalize(s->cache[i].stmt);
        mem_free(s->cache[i].sql);
    }
    mem_free(s->cache);
    s->cache = NULL;
    s->n_cache = 0;
    sqlite3_close_v2(s->db);
    s->db = NULL;
}

/* A worker's file was there when the daemon began: a new one in its place would be an empty one. */
static bool sq_is_worker(const struct sq *s)
{
    static const char *const workers[] = {"trueup follow", "trueup sweep", "trueup beat",
                                          "trueup web"};
    for (size_t i = 0; i < COUNT_OF(workers); i++)
        if (strcmp(s->base.who, workers[i]) == 0)
            return true;
    return false;
}

/* Creates the file ourselves, so that nobody else can read balances from the first byte on. A file
 * that is there is never opened here: to close it would drop every lock that the other connections
 * of this process hold on it (fcntl(2)), and then somebody's last goodbye deletes the log that they
 * still read and write. */
static int sq_create_file(struct sq *s, const char *file, struct err *err)
{
    struct stat st;
    if (sq_is_worker(s) && stat(file, &st) < 0 && errno == ENOENT)
        return err_set(err, ERR_STORE_LOST, "%s: the file is not there", s->base.masked);
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

static void sq_own_memory(void)
{
    static const sqlite3_mem_methods methods = {sq_malloc,  mem_free,       sq_realloc, sq_size,
                                                sq_roundup, sq_memory_init, NULL,       NULL};
    sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

static int sq_connect_file(struct sq *s, struct err *err)
{
    const char *file = sq_path(s);
    struct stat st = {0};
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, sq_own_memory);
    if (sq_create_file(s, file, err) != 0)
        return -1;
    if (sqlite3_open_v2(file, &s->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                        NULL) != SQLITE_OK)
        return sq_fail(s, err, "open");
    if (stat(file, &st) == 0) {
        s->dev = st.st_dev;
        s->ino = st.st_ino;
    }
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_handler(s->db, sq_on_busy, s);
    sqlite3_progress_handler(s->db, SIGN_OPERATIONS, sq_on_progress, NULL);
    sqlite3_create_function(s->db, "trueup_now", -1, SQLITE_UTF8, s, sq_sql_now, NULL, NULL);
    /* The first read of the file: what is no database shows itself here. */
    if (sq_exec(&s->base, "SELECT count(*) FROM sqlite_master", err) != 0)
        return -1;
    if (sqlite3_db_readonly(s->db, "main") == 1)
        return err_set(err, ERR_STORE, "%s: the file is read-only", s->base.masked);
    /* synchronous NORMAL in WAL: a power cut may lose the last commits, never the file's order;
     * what is lost is read again, since the checkpoint is lost with it. */
    return sq_exec(&s->base,
                   "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                   "PRAGMA journal_size_limit=67108864; PRAGMA cache_size=-8192;"
                   "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY",
                   err);
}

static int sq_connect(struct store *store, struct err *err)
{
    struct sq *s = sq_of(store);
    sq_disconnect(store);
    s->patience = strstr(store->who, "sweep") ? 7 : 1;
    if (sq_connect_file(s, err) == 0)
        return 0;
    sq_disconnect(store);
    return -1;
}

static const char *const sq_words[][2] = {
    {"now", "trueup_now()"},
    {"after", "trueup_now(@)"},
    {"now_text", "trueup_now()"},
    {"after_text", "trueup_now(@)"},
    {"1970", "'1970-01-01 00:00:00.000000'"},
    {"for", ""}, /* a writer is alone */
    {"larger", "max(@)"},
    {"exists", "EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '@')"},
    {"canonical",
     "(length(@) = 42 AND substr(@, 1, 2) = '0x' AND substr(@, 3) NOT GLOB '*[^0-9a-f]*')"},
    /* decimal text without leading zeros: the longer one is the larger number */
    {"kept", "true"},
    {"kept_all", "true"},
    {"largest_first", "length(t.balance) DESC, t.balance DESC"},
    /* a row a row: the library has no array to search in, and a column less to sort */
    {"ages",
     "SELECT NULL, 1, observed_block IS NOT NULL, updated_at, updated_at, updated_at < ?1 FROM "
     "{t}"},
    {"unanchored_rows", "SELECT count(*) FROM {t} WHERE observed_block IS NULL"},
    {"check_constraints", "SELECT 1"},
    {"traits",
     "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = "
     "lower(?1) AND substr(name, 1, 7) <> 'trueup_'), 0, EXISTS (SELECT 1 FROM trueup_state WHERE "
     "key = ?2 AND value = ?1)"},
    {"create_table",
     "CREATE TABLE {t} (wallet TEXT NOT NULL PRIMARY KEY, balance TEXT NOT NULL DEFAULT '0', "
     "blocknumber BIGINT, updated_at TEXT NOT NULL DEFAULT " SQ_NOW ", created_at TEXT NOT NULL "
     "DEFAULT " SQ_NOW ", observed_block BIGINT) WITHOUT ROWID"},
    {NULL, NULL},
};

const struct store_driver sq_driver = {
    .size = sizeof(struct sq),
    .words = sq_words,
    .begin = SQ_BEGIN,
    .migrations = sq_migrations,
    .open_schema = "CREATE TABLE IF NOT EXISTS trueup_state (key TEXT NOT NULL PRIMARY KEY, value "
                   "TEXT NOT NULL) WITHOUT ROWID",
    .one_migration = true,
    .connect = sq_connect,
    .disconnect = sq_disconnect,
    .exec = sq_exec,
    .rollback = sq_rollback,
    .write = sq_write,
    .read = sq_read,
    .next = sq_next,
    .end = sq_end,
    .get_text = sq_get_text,
    .get_number = sq_get_number,
    .get_balance = sq_get_balance,
    .get_time = sq_get_time,
    .apply = sq_apply,
    .claim = sq_claim,
    .fit_table = sq_fit_table,
    .add_column = sq_add_column,
    .add_index = sq_add_index,
    .read_facts = sq_read_facts,
};
