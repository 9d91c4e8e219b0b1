#include "track/beat.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "track/lease_facts.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

struct beat {
    struct beat_ask ask;
    pthread_t id;
    pthread_mutex_t lock;
    pthread_cond_t ends;
    bool ending;
    atomic_bool lost;
};

/* ---- the thread ------------------------------------------------------------------------------ */

/* A beat that fails is not logged: the writes that fail with it are. Without beats the lease goes.
 */
static void beat_once(struct beat *b, struct store **store)
{
    char facts[LEASE_FACTS];
    bool held = true;
    struct err ignored;
    if (!*store && store_open(b->ask.url, b->ask.schema, "trueup beat", store, &ignored) < 0) {
        *store = NULL;
        return;
    }
    const char *text = b->ask.text;
    if (!text) {
        lease_facts_write(facts);
        text = facts;
    }
    if (b->ask.beat(*store, &b->ask.owner, text, &held, &ignored) < 0) {
        store_close(*store);
        *store = NULL;
    } else if (!held) {
        if (!b->ask.text)
            counters_role_set(ROLE_OTHER_WRITES, "");
        atomic_store(&b->lost, true);
    }
}

/* True when it is to end. */
static bool beat_wait(struct beat *b, int64_t until_ms)
{
    struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000L};
    pthread_mutex_lock(&b->lock);
    while (!b->ending && clock_ms() < until_ms)
        pthread_cond_clockwait(&b->ends, &b->lock, CLOCK_MONOTONIC, &until);
    bool ending = b->ending;
    pthread_mutex_unlock(&b->lock);
    return ending;
}

static void *beat_run(void *arg)
{
    struct beat *b = arg;
    struct store *store = NULL;
    int64_t next = clock_ms();
    do {
        beat_once(b, &store);
        next += b->ask.every_ms;
        next = next < clock_ms() ? clock_ms() : next;
    } while (!atomic_load(&b->lost) && !beat_wait(b, next));
    store_close(store);
    return NULL;
}

struct beat *beat_start(const struct beat_ask *ask, struct err *err)
{
    struct beat *b = mem_zero(1, sizeof *b);
    sigset_t all, before;
    b->ask = *ask;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->ends, NULL);
    /* Signals are for the thread that waits for them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool runs = pthread_create(&b->id, NULL, beat_run, b) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (runs)
        return b;
    mem_free(b);
    err_set(err, ERR_FAILED, "no thread is to be had");
    return NULL;
}

bool beat_is_lost(const struct beat *b)
{
    return atomic_load(&b->lost);
}

void beat_stop(struct beat *b)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    b->ending = true;
    pthread_cond_signal(&b->ends);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->id, NULL);
    pthread_cond_destroy(&b->ends);
    pthread_mutex_destroy(&b->lock);
    mem_free(b);
}
