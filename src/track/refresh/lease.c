#include "track/refresh/lease.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/parse.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HOST_TEXT = 65 };

static const char lease_key[] = "job";

static void lease_read_host(char host[HOST_TEXT])
{
    if (gethostname(host, HOST_TEXT - 1) != 0)
        snprintf(host, HOST_TEXT, "?");
    host[HOST_TEXT - 1] = '\0';
}

/* holder is "sweep, process 12 on host", a text that users see. */
static bool lease_is_dead_here(const char *holder)
{
    static const char process[] = ", process ", on[] = " on ";
    char host[HOST_TEXT];
    uint64_t pid;
    const char *number = strstr(holder, process);
    const char *where = number ? strstr(number, on) : NULL;
    lease_read_host(host);
    if (!where || strcmp(where + strlen(on), host) != 0)
        return false;
    number += strlen(process);
    return parse_u64(number, (size_t)(where - number), &pid) && pid > 0 && pid <= INT32_MAX &&
           kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

static int lease_try_take(struct lease *l, struct err *err)
{
    struct arena arena;
    const char *other = NULL;
    struct store_lease ask = {.key = lease_key, .holder = l->holder, .seconds = LEASE_SECONDS};
    arena_init(&arena);
    int rc = store_lease_take(l->t->store, &ask, &arena, &other, err);
    if (rc == 0 && other && lease_is_dead_here(other)) {
        ask.instead_of = other;
        rc = store_lease_take(l->t->store, &ask, &arena, &other, err);
    }
    l->held = rc == 0 && !other;
    l->renewed_ms = clock_ms();
    if (rc == 0 && other) {
        rc = err_set(err, ERR_FAILED, "another job is at work on this store: %s", other);
        err_hint(err, "wait for it to end; if it was killed, its lease ends within %d s",
                 LEASE_SECONDS);
    }
    arena_free(&arena);
    return rc;
}

int lease_take(struct lease *l, struct tracker *t, const char *job, struct err *err)
{
    char host[HOST_TEXT];
    *l = (struct lease){.t = t};
    lease_read_host(host);
    snprintf(l->holder, sizeof l->holder, "%.40s, process %ld on %s", job, (long)getpid(), host);
    return lease_try_take(l, err);
}

int lease_renew(struct lease *l, struct err *err)
{
    return clock_ms() - l->renewed_ms < LEASE_SECONDS * 1000 / 3 ? 0 : lease_try_take(l, err);
}

void lease_release(struct lease *l)
{
    struct err ignored;
    if (l->held)
        store_lease_drop(l->t->store, lease_key, l->holder, &ignored);
    l->held = false;
}

int lease_running(struct tracker *t, struct arena *arena, const char **ret, struct err *err)
{
    return store_lease_holder(t->store, lease_key, arena, ret, err);
}
