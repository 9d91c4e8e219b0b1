#include "track/writer.h"
#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

enum slot_state { SLOT_FREE, SLOT_GIVEN, SLOT_BEING_WRITTEN, SLOT_DONE };

/* A step that was given. Each thread has one to write and one to go on with, so that it does not
 * wait for who gives them. */
struct writer_slot {
    enum slot_state state;
    struct step_work *work;
    int rc;
    struct err err;
};

struct writer_thread {
    struct writers *all;
    struct store *store;
    pthread_t id;
    bool running;
};

struct writers {
    pthread_mutex_t lock; /* over the slots' states */
    pthread_cond_t given, done;
    bool closing;
    struct store *own; /* with no threads: the tracker's */
    size_t n_threads, n_slots;
    struct writer_thread threads[WRITERS_MAX];
    struct writer_slot slots[WRITERS_SLOTS(WRITERS_MAX)];
};

static void writers_write_now(struct writer_slot *s, struct store *store)
{
    s->err = (struct err){0};
    s->rc = step_write(s->work, store, &s->err);
}

static struct writer_slot *writers_find_slot(struct writers *w, enum slot_state state)
{
    for (size_t i = 0; i < w->n_slots; i++)
        if (w->slots[i].state == state)
            return &w->slots[i];
    return NULL;
}

/* What is being written is finished when the end has come; nothing more is begun. */
static void *writers_run_thread(void *arg)
{
    struct writer_thread *t = arg;
    struct writers *w = t->all;
    struct writer_slot *s;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!(s = writers_find_slot(w, SLOT_GIVEN)) && !w->closing)
            pthread_cond_wait(&w->given, &w->lock);
        if (w->closing)
            break;
        s->state = SLOT_BEING_WRITTEN;
        pthread_mutex_unlock(&w->lock);
        writers_write_now(s, t->store);
        pthread_mutex_lock(&w->lock);
        s->state = SLOT_DONE;
        pthread_cond_signal(&w->done);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static int writers_start_thread(struct writer_thread *s, const struct tracker *t, const char *who,
                                size_t number, struct err *err)
{
    const char *fence = number == 0 ? FENCE_JOB2 : FENCE_JOB3;
    char name[64];
    bool entered = true, back;
    snprintf(name, sizeof name, "%.40s %zu", who, number + 1);
    if (store_open(t->conf->store, t->conf->schema, name, &s->store, err) < 0 ||
        (t->job && fence_enter(s->store, fence, t->job, &entered, &back, err) < 0))
        return -1;
    if (!entered)
        return err_set(err, ERR_FENCED, "another job took the store");
    /* Signals are for the thread that waits for them. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->running = pthread_create(&s->id, NULL, writers_run_thread, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->running ? 0 : err_set(err, ERR_FAILED, "no thread is to be had");
}

int writers_open(struct tracker *t, const char *who, size_t n, struct writers **ret,
                 struct err *err)
{
    struct writers *w = mem_zero(1, sizeof *w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->given, NULL);
    pthread_cond_init(&w->done, NULL);
    w->own = t->store;
    w->n_threads = n > WRITERS_MAX ? WRITERS_MAX : n;
    w->n_slots = WRITERS_SLOTS(w->n_threads);
    for (size_t i = 0; i < w->n_threads; i++) {
        w->threads[i].all = w;
        if (writers_start_thread(&w->threads[i], t, who, i, err) < 0) {
            writers_close(w);
            return -1;
        }
    }
    *ret = w;
    return 0;
}

void writers_close(struct writers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_broadcast(&w->given);
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i < w->n_threads; i++) {
        if (w->threads[i].running)
            pthread_join(w->threads[i].id, NULL);
        store_close(w->threads[i].store);
    }
    pthread_cond_destroy(&w->given);
    pthread_cond_destroy(&w->done);
    pthread_mutex_destroy(&w->lock);
    mem_free(w);
}

/* Only the giver makes a slot free or given, so it may look at those two without the lock. */
/* How many steps are out. */
static size_t writers_count_busy(const struct writers *w)
{
    size_t busy = 0;
    for (size_t i = 0; i < w->n_slots; i++)
        busy += w->slots[i].work != NULL;
    return busy;
}

size_t writers_free(const struct writers *w)
{
    return w->n_slots - writers_count_busy(w);
}

void writers_give(struct writers *w, struct step_work *work)
{
    struct writer_slot *s = w->slots;
    while (s->work)
        s++;
    s->work = work;
    if (w->n_threads == 0) {
        writers_write_now(s, w->own);
        s->state = SLOT_DONE;
        return;
    }
    pthread_mutex_lock(&w->lock);
    s->state = SLOT_GIVEN;
    pthread_cond_broadcast(&w->given);
    pthread_mutex_unlock(&w->lock);
}

struct step_work *writers_take(struct writers *w, int timeout_ms, int *ret_rc, struct err *err)
{
    struct step_work *work = NULL;
    struct writer_slot *s;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&w->lock);
    int rc = 0;
    while (!(s = writers_find_slot(w, SLOT_DONE)) && rc == 0 && timeout_ms > 0 &&
           writers_count_busy(w) > 0)
        rc = pthread_cond_clockwait(&w->done, &w->lock, CLOCK_MONOTONIC, &until);
    if (s) {
        work = s->work;
        *ret_rc = s->rc;
        if (s->rc < 0)
            *err = s->err;
        s->work = NULL;
        s->state = SLOT_FREE;
    }
    pthread_mutex_unlock(&w->lock);
    return work;
}
