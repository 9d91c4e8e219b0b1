#include "track/refresh/job.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/parse.h"
#include "track/beat.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { HOST_TEXT = 65, BEAT_MS = 1000, LOOK_MS = 100 };

static void job_read_host(char host[HOST_TEXT])
{
    if (gethostname(host, HOST_TEXT - 1) != 0)
        snprintf(host, HOST_TEXT, "?");
    host[HOST_TEXT - 1] = '\0';
}

/* words are "sweep, process 12 on host", a text that users see. */
static bool job_is_dead_here(const char *words)
{
    static const char process[] = ", process ", on[] = " on ";
    char host[HOST_TEXT];
    uint64_t pid;
    const char *number = strstr(words, process);
    const char *where = number ? strstr(number, on) : NULL;
    job_read_host(host);
    if (!where || strcmp(where + strlen(on), host) != 0)
        return false;
    number += strlen(process);
    return parse_u64(number, (size_t)(where - number), &pid) && pid > 0 && pid <= INT32_MAX &&
           kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

static int job_refuse(const char *other, struct err *err)
{
    err_set(err, ERR_FAILED, "another job is at work on this store: %s", other);
    return err_hint(err, "wait for it to end");
}

/* One look at the fences; ERR_FAILED when another job was seen to live. *ret_taken false: look
 * again. */
static int job_try_take(struct job *l, struct takeover_watch *w, struct arena *arena,
                        bool *ret_taken, struct err *err)
{
    struct lease_view v;
    bool seen = w->seen;
    uint64_t beat = w->beat;
    if (fence_job_read(l->t->store, arena, &v, err) < 0)
        return -1;
    if (takeover_is_due(w, &v, clock_ms()) || job_is_dead_here(v.facts))
        return fence_job_take(l->t->store, &v, l->words, &l->owner, ret_taken, err);
    return seen && v.beat != beat ? job_refuse(v.facts, err) : 0;
}

static int job_wait_and_take(struct job *l, struct err *err)
{
    struct takeover_watch w = {0};
    bool taken = false;
    while (!taken) {
        struct arena arena;
        struct timespec pause = {.tv_nsec = LOOK_MS * 1000000};
        arena_init(&arena);
        int rc = job_try_take(l, &w, &arena, &taken, err);
        arena_free(&arena);
        if (rc < 0)
            return -1;
        if (!taken && l->t->stop && l->t->stop())
            return err_set(err, ERR_STOPPED, "stopped");
        if (!taken)
            nanosleep(&pause, NULL);
    }
    return 0;
}

static int job_begin(struct job *l, struct err *err)
{
    bool entered = false, back;
    if (fence_enter(l->t->store, FENCE_JOB, &l->owner, &entered, &back, err) < 0)
        return -1;
    l->beat = beat_start(&(struct beat_ask){.url = l->t->conf->store,
                                            .schema = l->t->conf->schema,
                                            .every_ms = BEAT_MS,
                                            .owner = l->owner,
                                            .beat = fence_job_beat,
                                            .text = l->words},
                         err);
    return l->beat ? 0 : -1;
}

int job_take(struct job *l, struct tracker *t, const char *job, struct err *err)
{
    char host[HOST_TEXT];
    *l = (struct job){.t = t};
    job_read_host(host);
    snprintf(l->words, sizeof l->words, "%.40s, process %ld on %s", job, (long)getpid(), host);
    if (job_wait_and_take(l, err) < 0)
        return -1;
    l->held = true;
    t->job = &l->owner;
    return job_begin(l, err);
}

int job_check(const struct job *l, struct err *err)
{
    if (!l->held || !l->beat || !beat_is_lost(l->beat))
        return 0;
    return err_set(err, ERR_FAILED, "another job or a daemon with other settings took the store");
}

void job_release(struct job *l)
{
    struct err ignored;
    beat_stop(l->beat);
    l->beat = NULL;
    if (l->held)
        fence_job_release(l->t->store, &l->owner, &ignored);
    l->held = false;
}

int job_running(struct tracker *t, struct takeover_watch *w, struct arena *arena, const char **ret,
                struct err *err)
{
    struct lease_view v;
    if (fence_job_read(t->store, arena, &v, err) < 0)
        return -1;
    *ret = takeover_is_due(w, &v, clock_ms()) ? NULL : v.facts;
    return 0;
}
