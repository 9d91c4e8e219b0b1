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
enum { CONNECT_MS = 120000 };
#define SESSION                                                                                    \
    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET statement_timeout = '30s';"                  \
    "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s';"                   \
    "SET client_min_messages = 'warning'; SET enable_hashjoin = off; SET enable_mergejoin = off;"  \
    "SET jit = off; SET plan_cache_mode = 'force_generic_plan'"

static int answer_ms(const struct pg *s)
{
    return s->scanning ? SCAN_ANSWER_MS : ANSWER_MS;
}

int pg_scanning(struct pg *s, bool on, struct err *err)
{
    if (pg_exec(s, on ? "SET statement_timeout = '10min'" : "SET statement_timeout = '30s'", err) !=
        0)
        return -1;
    s->scanning = on;
    return 0;
}

const char *pg_last_state(const struct pg *s)
{
    return s->last_state;
}

/* Which refusals go away by themselves: PostgreSQL's classes of SQLSTATE. */
static enum err_kind kind_of(const char *state)
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

/* libpq goes on without memory, and may wait for an answer that it had and could not keep. Its own
 * words begin so; a server's have a level. */
static void end_without_memory(const struct pg *s)
{
    static const char *const words[] = {"out of memory", "cannot allocate memory"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strncmp(PQerrorMessage(s->conn), words[i], strlen(words[i])) == 0)
            mem_out();
}

static int lost(struct pg *s, struct err *err)
{
    char text[600];
    s->broken = true;
    end_without_memory(s);
    url_scrub(text, sizeof text, PQerrorMessage(s->conn), s->base.url);
    text[strcspn(text, "\n")] = '\0';
    return err_set(err, ERR_STORE_LOST, "%s: %s", s->base.masked,
                   text[0] ? text : "the connection was lost");
}

static int refused(struct pg *s, const PGresult *res, struct err *err)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
    if (!state || !text || PQstatus(s->conn) == CONNECTION_BAD)
        return lost(s, err);
    snprintf(s->last_state, sizeof s->last_state, "%s", state);
    err_set(err, kind_of(state), "%s: %s%s%s", s->base.masked, text, detail ? "; " : "",
            detail ? detail : "");
    return -1;
}

/* Sends what is left to send and waits until PQgetResult() will not block. */
static int await(struct pg *s, int64_t deadline, struct err *err)
{
    for (;;) {
        int flushing = PQflush(s->conn);
        if (flushing < 0)
            return lost(s, err);
        if (flushing == 0 && !PQisBusy(s->conn))
            return 0;
        end_without_memory(s);
        struct pollfd p = {.fd = PQsocket(s->conn),
                           .events = (short)(POLLIN | (flushing ? POLLOUT : 0))};
        int left = ms_until(deadline);
        int rc = left > 0 ? poll(&p, 1, alive_slice(left)) : 0;
        if (rc < 0 && errno != EINTR)
            return lost(s, err);
        if (left == 0) {
            s->broken = true;
            return err_set(err, ERR_STORE_LOST, "%s: no answer in %d s", s->base.masked,
                           answer_ms(s) / 1000);
        }
        if (rc > 0 && (p.revents & (POLLIN | POLLERR | POLLHUP)) && !PQconsumeInput(s->conn))
            return lost(s, err);
    }
}

/* ---- prepared statements --------------------------------------------------------------------- */

/* Those from the n-th on. */
static void forget_prepared(struct pg *s, size_t n)
{
    while (s->n_prepared > n)
        mem_free(s->prepared[--s->n_prepared].sql);
}

/* The name of a prepared statement; *ret_new: it must be sent first. */
static const char *prepared_name(struct pg *s, const char *sql, bool *ret_new)
{
    for (size_t i = 0; i < s->n_prepared; i++)
        if (strcmp(s->prepared[i].sql, sql) == 0) {
            *ret_new = false;
            return s->prepared[i].name;
        }
    size_t i = s->n_prepared++;
    s->prepared[i].sql = mem_strdup(sql);
    snprintf(s->prepared[i].name, sizeof s->prepared[i].name, "s%u", ++s->statement_no);
    *ret_new = true;
    return s->prepared[i].name;
}

static bool send_one(struct pg *s, const struct pg_command *c, unsigned *ret_answers)
{
    const struct pg_params *p = &c->params;
    *ret_answers = 1;
    if (!c->prepare)
        return PQsendQueryParams(s->conn, c->sql, p->n, p->types, p->values, p->lengths, p->formats,
                                 1);
    bool fresh;
    const char *name = prepared_name(s, c->sql, &fresh);
    if (fresh) {
        *ret_answers = 2;
        if (!PQsendPrepare(s->conn, name, c->sql, p->n, p->types))
            return false;
    }
    return PQsendQueryPrepared(s->conn, name, p->n, p->values, p->lengths, p->formats, 1);
}

/* ---- the pipeline ---------------------------------------------------------------------------- */

/* The next answer; NULL in *ret at the end of one statement's answers. */
static int next_result(struct pg *s, int64_t deadline, PGresult **ret, struct err *err)
{
    if (await(s, deadline, err) != 0)
        return -1;
    *ret = PQgetResult(s->conn);
    return 0;
}

/* Reads all answers of a pipeline. The first refusal is reported; the rest is read nevertheless, or
 * the connection would be out of step. */
static int collect(struct pg *s, const unsigned *answers, size_t n, PGresult **ret,
                   int64_t deadline, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < n; i++)
        for (unsigned a = 0; a < answers[i]; a++) {
            PGresult *res = NULL, *end = NULL;
            if (next_result(s, deadline, &res, err) != 0)
                return -1;
            ExecStatusType status = PQresultStatus(res);
            if (rc == 0 && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
                rc = refused(s, res, err);
            if (ret && a + 1 == answers[i] && rc == 0)
                ret[i] = res;
            else
                PQclear(res);
            if (s->broken)
                return -1;
            if (next_result(s, deadline, &end, err) != 0)
                return -1;
            PQclear(end);
        }
    PGresult *sync = NULL;
    if (next_result(s, deadline, &sync, err) != 0)
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

enum { PIPELINE_MAX = 24 };

static int run_once(struct pg *s, const struct pg_command *commands, size_t n, PGresult **ret,
                    struct err *err)
{
    unsigned answers[PIPELINE_MAX];
    int64_t deadline = clock_ms() + answer_ms(s);
    size_t before = s->n_prepared;
    s->last_state[0] = '\0';
    if (s->broken || PQstatus(s->conn) != CONNECTION_OK)
        return lost(s, err);
    if (ret)
        memset(ret, 0, n * sizeof(PGresult *));
    if (n > PIPELINE_MAX)
        return err_set(err, ERR_FAILED, "a pipeline of more than %d statements", PIPELINE_MAX);
    if (!PQenterPipelineMode(s->conn))
        return lost(s, err);
    bool sent = true;
    for (size_t i = 0; i < n && sent; i++)
        sent = send_one(s, &commands[i], &answers[i]);
    if (!sent || !PQpipelineSync(s->conn))
        return lost(s, err);
    int rc = collect(s, answers, n, ret, deadline, err);
    if (!s->broken && !PQexitPipelineMode(s->conn))
        rc = lost(s, err);
    if (rc != 0) {
        if (ret)
            pg_clear(ret, n);
        forget_prepared(s, before); /* those after the refusal were never compiled */
        return pg_rollback(s);
    }
    return 0;
}

static int compile_anew(struct pg *s, struct err *err)
{
    forget_prepared(s, 0);
    return pg_exec(s, "DEALLOCATE ALL", err);
}

/* Prepared statements can go stale under us: the application altered a column's type, or a pooler
 * gave us another session. Sent again they are compiled anew, if no transaction was open before. */
int pg_run(struct pg *s, const struct pg_command *commands, size_t n, PGresult **ret,
           struct err *err)
{
    bool idle = PQtransactionStatus(s->conn) == PQTRANS_IDLE, compiled = s->n_prepared > 0;
    if (s->n_prepared + n > PG_PREPARED && compile_anew(s, err) != 0) /* many balances */
        return -1;
    int rc = run_once(s, commands, n, ret, err);
    bool stale = strcmp(s->last_state, "0A000") == 0 || strcmp(s->last_state, "26000") == 0;
    if (rc == 0 || !idle || !compiled || !stale || s->broken)
        return rc;
    if (err)
        err_clear(err);
    if (compile_anew(s, err) != 0)
        return -1;
    return run_once(s, commands, n, ret, err);
}

PGresult *pg_query(struct pg *s, const struct pg_command *command, struct err *err)
{
    PGresult *res = NULL;
    return pg_run(s, command, 1, &res, err) == 0 ? res : NULL;
}

int pg_wallets(struct pg *s, const struct pg_command *command, struct arena *arena, address **ret,
               size_t *ret_n, struct err *err)
{
    PGresult *res = pg_query(s, command, err);
    if (!res)
        return -1;
    address *out = arena_alloc(arena, (size_t)PQntuples(res) * sizeof *out);
    size_t n = 0;
    for (int i = 0; i < PQntuples(res); i++)
        n += pg_get_address(res, i, 0, &out[n]);
    PQclear(res);
    *ret = out;
    *ret_n = n;
    return 0;
}

static int simple(struct pg *s, const char *sql, struct err *err)
{
    int64_t deadline = clock_ms() + answer_ms(s);
    int rc = 0;
    if (s->broken || !PQsendQuery(s->conn, sql))
        return lost(s, err);
    for (;;) {
        PGresult *res = NULL;
        if (next_result(s, deadline, &res, err) != 0)
            return -1;
        if (!res)
            return rc;
        ExecStatusType status = PQresultStatus(res);
        if (rc == 0 && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
            rc = refused(s, res, err);
        PQclear(res);
        if (s->broken)
            return -1;
    }
}

int pg_exec(struct pg *s, const char *sql, struct err *err)
{
    s->last_state[0] = '\0';
    if (simple(s, sql, err) == 0)
        return 0;
    return pg_rollback(s);
}

int pg_rollback(struct pg *s)
{
    PGTransactionStatusType t = PQtransactionStatus(s->conn);
    if (!s->broken && (t == PQTRANS_INTRANS || t == PQTRANS_INERROR))
        simple(s, "ROLLBACK", NULL);
    return -1;
}

static char *quoted(struct pg *s, const char *name, size_t n)
{
    char *text = PQescapeIdentifier(s->conn, name, n);
    if (!text)
        end_without_memory(s);
    return text;
}

/* "table" or "schema.table", each part quoted on its own. */
const char *pg_table(struct pg *s, const char *table, struct arena *arena)
{
    const char *dot = strchr(table, '.');
    const char *name = dot ? dot + 1 : table;
    char *schema = dot ? quoted(s, table, (size_t)(dot - table)) : NULL;
    char *last = quoted(s, name, strlen(name));
    const char *both = arena_printf(arena, "%s%s%s", schema ? schema : "", schema ? "." : "",
                                    last ? last : "\"\"");
    PQfreemem(schema);
    PQfreemem(last);
    return both;
}

/* ---- connecting ------------------------------------------------------------------------------ */

static int connect_server(struct pg *s, struct err *err)
{
    const char *const keys[] = {"connect_timeout",           "keepalives",
                                "keepalives_idle",           "keepalives_interval",
                                "keepalives_count",          "tcp_user_timeout",
                                "fallback_application_name", "dbname",
                                "client_encoding",           NULL};
    /* what stands before dbname, the URL may override */
    const char *const values[] = {"10",    "1",         "30",        "10",   "3",
                                  "30000", s->base.who, s->base.url, "UTF8", NULL};
    s->broken = s->scanning = false;
    alive_busy(CONNECT_MS);
    s->conn = PQconnectdbParams(keys, values, 1);
    alive_beat();
    if (PQstatus(s->conn) != CONNECTION_OK) {
        const char *why = PQerrorMessage(s->conn);
        bool for_good = strstr(why, "authentication failed") || strstr(why, "does not exist") ||
                        strstr(why, "pg_hba.conf") || strstr(why, "invalid");
        lost(s, err);
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
    return pg_exec(s, SESSION, err);
}

static void drop(struct pg *s)
{
    forget_prepared(s, 0);
    PQfinish(s->conn);
    s->conn = NULL;
}

static int reopen(struct store *store, struct err *err)
{
    struct pg *s = pg_of(store);
    drop(s);
    return connect_server(s, err);
}

static void close_store(struct store *store)
{
    drop(pg_of(store));
    store_base_free(store);
    mem_free(store);
}

static const struct backend pg_backend = {
    .reopen = reopen,
    .close = close_store,
    .migrate = pg_migrate,
    .check = pg_check,
    .reset_chain = pg_reset_chain,
    .headers_put = pg_headers_put,
    .headers_below = pg_headers_below,
    .rewind = pg_rewind,
    .headers_prune = pg_headers_prune,
    .apply = pg_apply,
    .checkpoint_get = pg_checkpoint_get,
    .claim_stale = pg_claim_stale,
    .next_by_key = pg_next_by_key,
    .quarantine_due = pg_quarantine_due,
    .tracked = pg_tracked,
    .row = pg_row,
    .count = pg_count,
    .wallets_add = pg_wallets_add,
    .wallets_remove = pg_wallets_remove,
    .wallets_list = pg_wallets_list,
    .dirty_due = pg_dirty_due,
    .dirty_drop = pg_dirty_drop,
    .state_get = pg_state_read,
    .state_set = pg_state_write,
    .lease_take = pg_lease_take,
    .lease_drop = pg_lease_drop,
    .lease_holder = pg_lease_holder,
    .learned_get = pg_learned_get,
    .learned_put = pg_learned_put,
};

int pg_open(const char *url, const char *who, struct store **ret, struct err *err)
{
    struct pg *s = mem_zero(1, sizeof *s);
    store_base_init(&s->base, &pg_backend, url, who);
    if (connect_server(s, err) != 0) {
        close_store(&s->base);
        return -1;
    }
    *ret = &s->base;
    return 0;
}
