/*
 * PostgreSQL: the connection, and statements with a deadline.
 *
 * The connection is non-blocking and every wait is a poll() with an end: a server that was stopped,
 * or a firewall that forgot us, costs a reconnect, never a worker. Joins by hash or merge are off
 * in our sessions: a batch is joined to a table row by row in the batch's own order, and so two
 * writers lock rows in the same order; a planner that once prefers a hash would bring deadlocks.
 */
#include "store/pg.h"

#include "base/clock.h"
#include "base/mem.h"
#include "proc/alive.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* Ours ends after the server's own, so that the server says why. */
enum { ANSWER_MS = 40000, SCAN_ANSWER_MS = 660000 };
/* Ten seconds for each of several hosts with several addresses, and for their names. */
enum { CONNECT_MS = 120000, CONNECT_STEP_MS = 5000 };
/* What our statements want of the server: for the session, or for the transaction at hand. Of
 * synchronous_commit only what loses commits is changed. */
#define SETTINGS(timeout, lock, local)                                                             \
    "SELECT set_config('TimeZone', 'UTC', " local "), set_config('DateStyle', 'ISO', " local "), " \
    "set_config('statement_timeout', '" timeout "', " local "), "                                  \
    "set_config('lock_timeout', '" lock "', " local "), "                                          \
    "set_config('idle_in_transaction_session_timeout', '60s', " local "), "                        \
    "set_config('client_min_messages', 'warning', " local "), "                                    \
    "set_config('enable_hashjoin', 'off', " local "), "                                            \
    "set_config('enable_mergejoin', 'off', " local "), set_config('jit', 'off', " local "), "      \
    "set_config('plan_cache_mode', 'force_generic_plan', " local "), "                             \
    "set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN "         \
    "('off', 'local') THEN 'on' ELSE current_setting('synchronous_commit') END, " local ")"
#define SESSION          SETTINGS("30s", "10s", "false")
#define TRANSACTION      SETTINGS("30s", "10s", "true")
#define SCAN_TRANSACTION SETTINGS("10min", "10s", "true")
/* A writer that waits longer than this is told of the lock, and writes the other rows. */
#define WRITE_TRANSACTION SETTINGS("8s", "2s", "true")

static const char *pg_settings(const struct pg *s)
{
    if (s->base.scanning)
        return SCAN_TRANSACTION;
    return s->base.fence.role ? WRITE_TRANSACTION : TRANSACTION;
}

static int pg_answer_ms(const struct pg *s)
{
    return s->base.scanning ? SCAN_ANSWER_MS : ANSWER_MS;
}

/* Which refusals go away by themselves: PostgreSQL's classes of SQLSTATE. */
static enum err_kind pg_kind_of(const char *state)
{
    static const char *const lost[] = {
        "08",    /* connection */
        "40",    /* serialization failure, deadlock */
        "53",    /* disk full, out of memory, too many connections */
        "55P03", /* a lock was not to be had */
        "57",    /* shut down, starting up, cancelled by a timeout */
        "58",    /* I/O */
        "25006", /* read-only: a standby, for now */
        "25P03", /* idle too long in a transaction */
        "23505", /* two writers inserted the same wallet: the second sees it now */
    };
    for (size_t i = 0; i < COUNT_OF(lost); i++)
        if (strncmp(state, lost[i], strlen(lost[i])) == 0)
            return ERR_STORE_LOST;
    return ERR_STORE;
}

/* What was refused: the rows of the batch, the batch for now, or any batch. */
/* inside: a trigger or a rule raised it. Else what is undefined or used up is so for every row. */
static enum db_refusal_kind pg_refusal_of(const char *state, bool inside)
{
    static const struct {
        const char *state;
        enum db_refusal_kind kind;
    } kinds[] = {
        {"40", REFUSAL_FOR_NOW},      {"55P03", REFUSAL_FOR_NOW},  {"57014", REFUSAL_FOR_NOW},
        {"08", REFUSAL_OF_DATABASE},  {"25", REFUSAL_OF_DATABASE}, {"53", REFUSAL_OF_DATABASE},
        {"57", REFUSAL_OF_DATABASE},  {"58", REFUSAL_OF_DATABASE}, {"XX", REFUSAL_OF_DATABASE},
        {"42501", REFUSAL_OF_RIGHTS},
    };
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (strncmp(state, kinds[i].state, strlen(kinds[i].state)) == 0)
            return kinds[i].kind;
    bool of_all = strncmp(state, "42", 2) == 0 || strcmp(state, "2200H") == 0;
    return of_all && !inside ? REFUSAL_OF_DATABASE : REFUSAL_OF_ROW;
}

/* libpq goes on without memory, and may wait for an answer that it had and could not keep. Its own
 * words begin so; a server's have a level. */
static void pg_end_without_memory(const struct pg *s)
{
    static const char *const words[] = {"out of memory", "cannot allocate memory"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strncmp(PQerrorMessage(s->conn), words[i], strlen(words[i])) == 0)
            mem_out();
}

static int pg_lost(struct pg *s, struct err *err)
{
    char text[600];
    s->broken = true;
    s->base.refusal = (struct db_refusal){.kind = REFUSAL_OF_DATABASE};
    pg_end_without_memory(s);
    url_scrub(text, sizeof text, PQerrorMessage(s->conn), s->base.url);
    text[strcspn(text, "\n")] = '\0';
    return err_set(err, ERR_STORE_LOST, "%s: %s", s->base.masked,
                   text[0] ? text : "the connection was lost");
}

static int pg_refused(struct pg *s, const PGresult *res, struct err *err)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
    if (!state || !text || PQstatus(s->conn) == CONNECTION_BAD)
        return pg_lost(s, err);
    struct db_refusal *r = &s->base.refusal;
    snprintf(s->last_state, sizeof s->last_state, "%s", state);
    r->kind = pg_refusal_of(state, PQresultErrorField(res, PG_DIAG_CONTEXT) != NULL);
    snprintf(r->code, sizeof r->code, "%s", state);
    snprintf(r->words, sizeof r->words, "%s%s%s", text, detail ? "; " : "", detail ? detail : "");
    err_set(err, pg_kind_of(state), "%s: %s%s%s", s->base.masked, text, detail ? "; " : "",
            detail ? detail : "");
    if (strcmp(state, "25006") == 0)
        err_hint(err, "this server is read-only: with several hosts in the URL, add "
                      "?target_session_attrs=read-write");
    return -1;
}

/* Sends what is left to send and waits until PQgetResult() will not block. */
static int pg_await(struct pg *s, int64_t deadline, struct err *err)
{
    for (;;) {
        int flushing = PQflush(s->conn);
        if (flushing < 0)
            return pg_lost(s, err);
        if (flushing == 0 && !PQisBusy(s->conn))
            return 0;
        pg_end_without_memory(s);
        struct pollfd p = {.fd = PQsocket(s->conn),
                           .events = (short)(POLLIN | (flushing ? POLLOUT : 0))};
        int left = ms_until(deadline);
        int rc = left > 0 ? poll(&p, 1, alive_slice(left)) : 0;
        if (rc < 0 && errno != EINTR)
            return pg_lost(s, err);
        if (left == 0) {
            s->broken = true;
            s->base.refusal = (struct db_refusal){.kind = REFUSAL_OF_DATABASE};
            return err_set(err, ERR_STORE_LOST, "%s: no answer in %d s", s->base.masked,
                           pg_answer_ms(s) / 1000);
        }
        if (rc > 0 && (p.revents & (POLLIN | POLLERR | POLLHUP)) && !PQconsumeInput(s->conn))
            return pg_lost(s, err);
    }
}

/* ---- prepared statements --------------------------------------------------------------------- */

/* Those from the n-th on. */
static void pg_forget_prepared(struct pg *s, size_t n)
{
    while (s->n_prepared > n)
        mem_free(s->prepared[--s->n_prepared].table);
}

/* The name of a prepared statement; *ret_new: it must be sent first. Found without its text, for
 * that costs more than all else that is done for a statement. */
static const char *pg_prepared_name(struct pg *s, const struct db_query *q, bool *ret_new)
{
    const char *table = q->b ? q->b->table : "";
    size_t i = 0;
    while (i < s->n_prepared &&
           (s->prepared[i].sql != q->sql || strcmp(s->prepared[i].table, table) != 0))
        i++;
    *ret_new = i == s->n_prepared;
    if (*ret_new) {
        s->n_prepared++;
        s->prepared[i].sql = q->sql;
        s->prepared[i].table = mem_strdup(table);
        snprintf(s->prepared[i].name, sizeof s->prepared[i].name, "s%u", ++s->statement_no);
    }
    return s->prepared[i].name;
}

static bool pg_send(struct pg *s, const struct db_query *q, struct arena *arena,
                    unsigned *ret_answers)
{
    struct pg_params p;
    bool fresh = true;
    const char *name = q->hot && !s->pooled ? pg_prepared_name(s, q, &fresh) : NULL;
    const char *sql = fresh ? db_expand(&s->base, q, arena) : NULL;
    pg_bind(&p, q, arena);
    *ret_answers = name && fresh ? 2 : 1;
    if (!name)
        return PQsendQueryParams(s->conn, sql, p.n, p.types, p.values, p.lengths, p.formats, 1);
    if (fresh && !PQsendPrepare(s->conn, name, sql, p.n, p.types))
        return false;
    return PQsendQueryPrepared(s->conn, name, p.n, p.values, p.lengths, p.formats, 1);
}

/* ---- the pipeline ---------------------------------------------------------------------------- */

/* The next answer; NULL in *ret at the end of one statement's answers. */
static int pg_next_result(struct pg *s, int64_t deadline, PGresult **ret, struct err *err)
{
    if (pg_await(s, deadline, err) != 0)
        return -1;
    *ret = PQgetResult(s->conn);
    return 0;
}

static int pg_run_script(struct pg *s, const char *sql, struct err *err)
{
    int64_t deadline = clock_ms() + pg_answer_ms(s);
    int rc = 0;
    if (s->broken || !PQsendQuery(s->conn, sql))
        return pg_lost(s, err);
    for (;;) {
        PGresult *res = NULL;
        if (pg_next_result(s, deadline, &res, err) != 0)
            return -1;
        if (!res)
            return rc;
        ExecStatusType status = PQresultStatus(res);
        if (rc == 0 && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
            rc = pg_refused(s, res, err);
        PQclear(res);
        if (s->broken)
            return -1;
    }
}

void pg_rollback(struct store *store)
{
    struct pg *s = pg_of(store);
    PGTransactionStatusType t = PQtransactionStatus(s->conn);
    if (!s->broken && (t == PQTRANS_INTRANS || t == PQTRANS_INERROR))
        pg_run_script(s, "ROLLBACK", NULL);
}

int pg_exec(struct store *store, const char *sql, struct err *err)
{
    struct pg *s = pg_of(store);
    s->last_state[0] = '\0';
    bool begins = s->pooled && strcmp(sql, PG_BEGIN) == 0;
    struct arena arena;
    arena_init(&arena);
    int rc = pg_run_script(
        s, begins ? arena_printf(&arena, "%s; %s", PG_BEGIN, pg_settings(s)) : sql, err);
    arena_free(&arena);
    if (rc != 0)
        pg_rollback(store);
    return rc;
}

/* Reads all answers of a pipeline. The first refusal is reported; the rest is read nevertheless, or
 * the connection would be out of step. */
static int pg_collect(struct pg *s, const unsigned *answers, size_t n, PGresult **ret,
                      int64_t deadline, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < n; i++)
        for (unsigned a = 0; a < answers[i]; a++) {
            PGresult *res = NULL, *end = NULL;
            if (pg_next_result(s, deadline, &res, err) != 0)
                return -1;
            ExecStatusType status = PQresultStatus(res);
            if (rc == 0 && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
                rc = pg_refused(s, res, err);
                s->failed_at = i;
            }
            if (ret && a + 1 == answers[i] && rc == 0)
                ret[i] = res;
            else
                PQclear(res);
            if (s->broken)
                return -1;
            if (pg_next_result(s, deadline, &end, err) != 0)
                return -1;
            PQclear(end);
        }
    PGresult *sync = NULL;
    if (pg_next_result(s, deadline, &sync, err) != 0)
        return -1;
    PQclear(sync);
    return rc;
}

void pg_clear(PGresult **results, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        PQclear(results[i]);
        results[i] = NULL;
    }
}

/* Behind a pooler a session may be another one after each transaction, and is another client's
 * next: the settings go with each transaction, and with its end. */
static bool pg_send_all(struct pg *s, const struct db_query *list, size_t n, unsigned *ret_answers)
{
    struct arena arena;
    bool sent = true;
    arena_init(&arena);
    bool settings = s->pooled && PQtransactionStatus(s->conn) == PQTRANS_IDLE;
    size_t settings_at = strncmp(list[0].sql, "BEGIN", strlen("BEGIN")) == 0;
    for (size_t i = 0; i < n && sent; i++) {
        bool first = settings && i == settings_at;
        ret_answers[i] = 0;
        if (first)
            sent = PQsendQueryParams(s->conn, pg_settings(s), 0, NULL, NULL, NULL, NULL, 1);
        sent = sent && pg_send(s, &list[i], &arena, &ret_answers[i]);
        ret_answers[i] += first;
        arena_clear(&arena); /* libpq has its own copy */
    }
    arena_free(&arena);
    return sent && PQpipelineSync(s->conn);
}

static int pg_run_once(struct pg *s, const struct db_query *list, size_t n, PGresult **ret,
                       struct err *err)
{
    unsigned answers[PG_PIPELINE_MAX];
    int64_t deadline = clock_ms() + pg_answer_ms(s);
    size_t before = s->n_prepared;
    s->last_state[0] = '\0';
    if (s->broken || PQstatus(s->conn) != CONNECTION_OK)
        return pg_lost(s, err);
    if (ret)
        memset(ret, 0, n * sizeof(PGresult *));
    if (n > PG_PIPELINE_MAX)
        return err_set(err, ERR_FAILED, "a pipeline of more than %d statements", PG_PIPELINE_MAX);
    if (!PQenterPipelineMode(s->conn) || !pg_send_all(s, list, n, answers))
        return pg_lost(s, err);
    int rc = pg_collect(s, answers, n, ret, deadline, err);
    if (!s->broken && !PQexitPipelineMode(s->conn))
        rc = pg_lost(s, err);
    if (rc != 0) {
        if (ret)
            pg_clear(ret, n);
        pg_forget_prepared(s, before); /* those after the refusal were never compiled */
        pg_rollback(&s->base);
    }
    return rc;
}

static int pg_compile_anew(struct pg *s, struct err *err)
{
    pg_forget_prepared(s, 0);
    return pg_exec(&s->base, "DEALLOCATE ALL", err);
}

/* Prepared statements can go stale under us: the application altered a column's type, or a pooler
 * gave us another session. Sent again they are compiled anew, if no transaction was open before. */
int pg_run(struct pg *s, const struct db_query *list, size_t n, PGresult **ret, struct err *err)
{
    bool idle = PQtransactionStatus(s->conn) == PQTRANS_IDLE, compiled = s->n_prepared > 0;
    if (s->n_prepared + n > PG_PREPARED && pg_compile_anew(s, err) != 0) /* many balances */
        return -1;
    int rc = pg_run_once(s, list, n, ret, err);
    bool stale = strcmp(s->last_state, "0A000") == 0 || strcmp(s->last_state, "26000") == 0;
    if (rc == 0 || !idle || !compiled || !stale || s->broken)
        return rc;
    if (err)
        err_clear(err);
    if (pg_compile_anew(s, err) != 0)
        return -1;
    return pg_run_once(s, list, n, ret, err);
}

/* ---- fences ---------------------------------------------------------------------------------- */

/* A division by zero, and nothing after it runs: the server need not wait for our answer. */
struct db_query pg_fence(const struct pg *s)
{
    struct db_query q = db_fence_query(&s->base);
    q.sql = "WITH f AS (" DB_FENCE " RETURNING 1) SELECT 1 / count(*) FROM f";
    return q;
}

int pg_run_fenced(struct pg *s, const struct db_query *list, size_t n, size_t fence, PGresult **ret,
                  struct err *err)
{
    const struct db_fence *f = &s->base.fence;
    if (f->role && f->lost)
        return db_fence_missed(&s->base, err);
    if (pg_run(s, list, n, ret, err) == 0)
        return 0;
    bool missed = f->role && strcmp(s->last_state, "22012") == 0 && s->failed_at == fence;
    return missed ? db_fence_missed(&s->base, err) : -1;
}

int pg_run_commit(struct pg *s, const struct db_query *list, size_t n, size_t fence, PGresult **ret,
                  struct err *err)
{
    struct db_fence *f = &s->base.fence;
    if (pg_run_fenced(s, list, n, fence, ret, err) == 0) {
        f->seq++;
        return 0;
    }
    f->lost |= s->broken; /* the commit may have happened */
    return -1;
}

/* ---- connecting ------------------------------------------------------------------------------ */

/* A pooler hands out a key of its own in place of the server's process. Then nothing may be left
 * in the session, neither a setting nor a prepared statement. */
static int pg_begin_session(struct pg *s, struct err *err)
{
    struct db_query q = {.sql = "SELECT pg_backend_pid()::bigint"};
    uint64_t pid = 0;
    s->pooled = true;
    if (db_read_number(&s->base, &q, &pid, NULL, err) < 0)
        return -1;
    s->pooled = pid != (uint64_t)PQbackendPID(s->conn);
    return s->pooled ? 0 : pg_exec(&s->base, SESSION, err);
}

/* Connects in steps, so that what the server says meanwhile is heard. False when a host keeps
 * silent: libpq's own connect goes on to the next one, which no step can. */
static bool pg_connect_heard(struct pg *s, const char *const *keys, const char *const *values)
{
    int64_t deadline = clock_ms() + CONNECT_STEP_MS;
    PostgresPollingStatusType step = PGRES_POLLING_WRITING;
    s->conn = PQconnectStartParams(keys, values, 1);
    if (!s->conn || PQstatus(s->conn) == CONNECTION_BAD)
        return s->conn != NULL;
    PQsetNoticeReceiver(s->conn, pg_on_notice, s);
    while (step != PGRES_POLLING_OK && step != PGRES_POLLING_FAILED) {
        struct pollfd p = {.fd = PQsocket(s->conn),
                           .events = step == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        int left = ms_until(deadline);
        int rc = left > 0 ? poll(&p, 1, left) : 0;
        if (left == 0)
            return false;
        if (rc > 0)
            step = PQconnectPoll(s->conn);
    }
    return true;
}

static int pg_connect_server(struct pg *s, struct err *err)
{
    const char *const keys[] = {"connect_timeout",           "keepalives",
                                "keepalives_idle",           "keepalives_interval",
                                "keepalives_count",          "tcp_user_timeout",
                                "fallback_application_name", "dbname",
                                "client_encoding",           NULL};
    /* what stands before dbname, the URL may override */
    const char *const values[] = {"3",    "1",         "2",         "2",    "2",
                                  "5000", s->base.who, s->base.url, "UTF8", NULL};
    s->broken = s->base.scanning = false;
    s->base.depth = 0;
    alive_busy(CONNECT_MS);
    if (!pg_connect_heard(s, keys, values)) {
        PQfinish(s->conn);
        s->conn = PQconnectdbParams(keys, values, 1);
        PQsetNoticeReceiver(s->conn, pg_on_notice, s);
    }
    alive_beat();
    if (PQstatus(s->conn) != CONNECTION_OK) {
        const char *why = PQerrorMessage(s->conn);
        bool for_good = strstr(why, "authentication failed") || strstr(why, "does not exist") ||
                        strstr(why, "no password supplied") || strstr(why, "pg_hba.conf") ||
                        strstr(why, "invalid");
        pg_lost(s, err);
        if (err)
            err->kind = for_good ? ERR_STORE : ERR_STORE_LOST;
        return err_hint(err, "is the server up, and may this user connect to this database?");
    }
    PQsetnonblocking(s->conn, 1);
    if (PQserverVersion(s->conn) < 110000) {
        s->broken = true;
        return err_set(err, ERR_STORE, "%s: PostgreSQL %d is older than 11", s->base.masked,
                       PQserverVersion(s->conn) / 10000);
    }
    return pg_begin_session(s, err);
}

void pg_disconnect(struct store *store)
{
    struct pg *s = pg_of(store);
    pg_forget_prepared(s, 0);
    PQfinish(s->conn);
    s->conn = NULL;
}

int pg_connect(struct store *store, struct err *err)
{
    pg_disconnect(store);
    return pg_connect_server(pg_of(store), err);
}
