#include "web/db_thread.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

enum { CLOSE_MS = 800, RETRY_FLOOR_MS = 200, RETRY_CEILING_MS = 5000, AT_ONCE_MS = 500 };

struct db_thread {
    char *url, *schema, *who;
    struct db_thread_round round;
    void (*wake)(void *ctx);
    void *ctx;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news;
    bool stop;
    struct db_thread_job *waiting[DB_THREAD_QUEUE]; /* a ring */
    size_t first, n;
    struct db_thread_job *finished[DB_THREAD_QUEUE * 2];
    size_t n_finished;
    /* the thread's own */
    struct store *store;
    struct backoff backoff;
    int64_t retry_at_ms, round_at_ms;
    struct err why; /* it cannot be reached */
};

/* ---- the thread ------------------------------------------------------------------------------ */

static bool db_thread_connect(struct db_thread *c)
{
    if (c->store)
        return true;
    if (clock_ms() < c->retry_at_ms)
        return false;
    err_clear(&c->why);
    if (store_open(c->url, c->schema, c->who, &c->store, &c->why) == 0) {
        backoff_reset(&c->backoff);
        return true;
    }
    c->store = NULL;
    c->retry_at_ms = clock_ms() + backoff_next(&c->backoff);
    return false;
}

/* The next one is opened at once: only what cannot be opened is waited for. */
static void drop_connection(struct db_thread *c)
{
    store_close(c->store);
    c->store = NULL;
}

static void try_job(struct db_thread *c, struct db_thread_job *job)
{
    err_clear(&job->err);
    if (db_thread_connect(c)) {
        job->rc = job->work(c->store, job, &job->err);
        if (job->rc < 0 && (job->err.kind == ERR_STORE_LOST || job->err.kind == ERR_STORE))
            drop_connection(c);
    } else {
        job->rc = -1;
        job->err = c->why;
    }
}

/* A connection that was cut while nobody used it (the database was restarted) is found out by the
 * next job, which should not have to pay for it. One that failed slowly has: its client was
 * answered without it. */
static void run_job(struct db_thread *c, struct db_thread_job *job)
{
    bool idle_before = c->store != NULL;
    int64_t began = clock_ms();
    try_job(c, job);
    if (job->rc < 0 && job->err.kind == ERR_STORE_LOST && idle_before &&
        clock_ms() - began < AT_ONCE_MS)
        try_job(c, job);
}

static void run_round(struct db_thread *c)
{
    int64_t next = RETRY_FLOOR_MS;
    if (db_thread_connect(c))
        next = c->round.work(c->round.ctx, c->store);
    else
        c->round.failed(c->round.ctx, &c->why);
    if (next < 0) {
        drop_connection(c);
        next = RETRY_FLOOR_MS;
    }
    c->round_at_ms = clock_ms() + next;
}

static struct timespec db_thread_time_in(clockid_t clock, int64_t ms)
{
    struct timespec ret;
    clock_gettime(clock, &ret);
    ret.tv_nsec += ms % 1000 * 1000000;
    ret.tv_sec += ms / 1000 + ret.tv_nsec / 1000000000;
    ret.tv_nsec %= 1000000000;
    return ret;
}

/* With the lock held: until there is something to do. */
static void wait_for_news(struct db_thread *c)
{
    while (!c->stop && c->n == 0 && clock_ms() < c->round_at_ms) {
        struct timespec until = db_thread_time_in(CLOCK_MONOTONIC, ms_until(c->round_at_ms));
        pthread_cond_timedwait(&c->news, &c->lock, &until);
    }
}

static void *db_thread_run(void *arg)
{
    struct db_thread *c = arg;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        wait_for_news(c);
        if (c->stop)
            break;
        struct db_thread_job *job = NULL;
        /* The round has its turn even when jobs never end. */
        bool round = clock_ms() >= c->round_at_ms;
        if (!round && c->n > 0) {
            job = c->waiting[c->first];
            c->first = (c->first + 1) % DB_THREAD_QUEUE;
            c->n--;
        }
        pthread_mutex_unlock(&c->lock);
        if (job)
            run_job(c, job);
        else
            run_round(c);
        pthread_mutex_lock(&c->lock);
        if (job) {
            c->finished[c->n_finished++] = job;
            c->wake(c->ctx);
        }
    }
    pthread_mutex_unlock(&c->lock);
    store_close(c->store);
    return NULL;
}

/* ---- its owner ------------------------------------------------------------------------------- */

int db_thread_open(const struct db_thread_owner *owner, const struct db_thread_round *round,
                   struct db_thread **ret, struct err *err)
{
    struct db_thread *c = mem_zero(1, sizeof *c);
    pthread_condattr_t attr;
    sigset_t all, before;
    c->url = mem_strdup(owner->url);
    c->schema = owner->schema ? mem_strdup(owner->schema) : NULL;
    c->who = mem_strdup(owner->who);
    c->round = *round;
    c->wake = owner->wake;
    c->ctx = owner->ctx;
    backoff_init(&c->backoff, RETRY_FLOOR_MS, RETRY_CEILING_MS, rng_seed_from_system());
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->news, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&all); /* signals are the server thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&c->thread, NULL, db_thread_run, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        mem_free(c->url);
        mem_free(c->schema);
        mem_free(c->who);
        mem_free(c);
        return err_set(err, ERR_FAILED, "a thread cannot be started: %s", strerror(rc));
    }
    *ret = c;
    return 0;
}

bool db_thread_close(struct db_thread *c)
{
    if (!c)
        return true;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_signal(&c->news);
    pthread_mutex_unlock(&c->lock);
    struct timespec until = db_thread_time_in(CLOCK_REALTIME, CLOSE_MS);
    if (pthread_timedjoin_np(c->thread, NULL, &until) != 0)
        return false;
    for (size_t i = 0; i < c->n; i++)
        c->finished[c->n_finished++] = c->waiting[(c->first + i) % DB_THREAD_QUEUE];
    for (size_t i = 0; i < c->n_finished; i++) {
        c->finished[i]->rc = -1;
        c->finished[i]->done(c->finished[i]);
    }
    pthread_cond_destroy(&c->news);
    pthread_mutex_destroy(&c->lock);
    mem_free(c->url);
    mem_free(c->schema);
    mem_free(c->who);
    mem_free(c);
    return true;
}

bool db_thread_submit(struct db_thread *c, struct db_thread_job *job)
{
    pthread_mutex_lock(&c->lock);
    /* What is finished must find a place, too. */
    bool room = c->n + c->n_finished + 1 < DB_THREAD_QUEUE;
    if (room) {
        c->waiting[(c->first + c->n++) % DB_THREAD_QUEUE] = job;
        pthread_cond_signal(&c->news);
    }
    pthread_mutex_unlock(&c->lock);
    return room;
}

void db_thread_collect(struct db_thread *c)
{
    struct db_thread_job *list[DB_THREAD_QUEUE * 2];
    pthread_mutex_lock(&c->lock);
    size_t n = c->n_finished;
    for (size_t i = 0; i < n; i++)
        list[i] = c->finished[i];
    c->n_finished = 0;
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < n; i++)
        list[i]->done(list[i]);
}
