#include "track/refresh/job.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/parse.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HOST_TEXT = 65 };

static const char job_key[] = "job";

static void job_read_host(char host[HOST_TEXT])
{
    if (gethostname(host, HOST_TEXT - 1) != 0)
        snprintf(host, HOST_TEXT, "?");
    host[HOST_TEXT - 1] = '\0';
}

/* holder is "sweep, process 12 on host", a text that users see. */
static bool job_is_dead_here(const char *holder)
{
    static const char process[] = ", process ", on[] = " on ";
    char host[HOST_TEXT];
    uint64_t pid;
    const char *number = strstr(holder, process);
    const char *where = number ? strstr(number, on) : NULL;
    job_read_host(host);
    if (!where || strcmp(where + strlen(on), host) != 0)
        return false;
    number += strlen(process);
    return parse_u64(number, (size_t)(where - number), &pid) && pid > 0 && pid <= INT32_MAX &&
           kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

static int job_try_take(struct job *l, struct err *err)
{
    struct arena arena;
    const char *other = NULL;
    struct store_lease ask = {.key = job_key, .holder = l->holder, .seconds = JOB_SECONDS};
    arena_init(&arena);
    int rc = store_lease_take(l->t->store, &ask, &arena, &other, err);
    if (rc == 0 && other && job_is_dead_here(other)) {
        ask.instead_of = other;
        rc = store_lease_take(l->t->store, &ask, &arena, &other, err);
    }
    l->held = rc == 0 && !other;
    l->renewed_ms = clock_ms();
    if (rc == 0 && other) {
        rc = err_set(err, ERR_FAILED, "another job is at work on this store: %s", other);
        err_hint(err, "wait for it to end; if it was killed, its lease ends within %d s",
                 JOB_SECONDS);
    }
    arena_free(&arena);
    return rc;
}

int job_take(struct job *l, struct tracker *t, const char *job, struct err *err)
{
    char host[HOST_TEXT];
    *l = (struct job){.t = t};
    job_read_host(host);
    snprintf(l->holder, sizeof l->holder, "%.40s, process %ld on %s", job, (long)getpid(), host);
    return job_try_take(l, err);
}

int job_renew(struct job *l, struct err *err)
{
    return clock_ms() - l->renewed_ms < JOB_SECONDS * 1000 / 3 ? 0 : job_try_take(l, err);
}

void job_release(struct job *l)
{
    struct err ignored;
    if (l->held)
        store_lease_drop(l->t->store, job_key, l->holder, &ignored);
    l->held = false;
}

int job_running(struct tracker *t, struct arena *arena, const char **ret, struct err *err)
{
    return store_lease_holder(t->store, job_key, arena, ret, err);
}
