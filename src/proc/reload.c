#include "proc/reload.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/parse.h"
#include "proc/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_MAX = 5 * CHILD_TEXT_MAX };

void reload_begin(struct reload *r)
{
    struct child_ask ask = {.role = "reload", .text = r->text, .n = r->n};
    struct err err = {0};
    if (r->pid) {
        r->once_more = true;
        return;
    }
    r->attempt++;
    log_info("reading the settings again");
    buf_init(&r->answer, ANSWER_MAX);
    if (child_start(&ask, &r->fd, &r->pid, &err) < 0) {
        r->pid = 0;
        r->fd = -1;
        log_error_err("the settings cannot be read again, the old ones stay", &err);
        return;
    }
    fcntl(r->fd, F_SETFL, O_NONBLOCK);
    r->deadline_ms = clock_ms() + r->patience_ms;
}

static void reload_close_pipe(struct reload *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

void reload_read(struct reload *r)
{
    enum { PIECE = 16384 };
    while (r->fd >= 0) {
        char *to = buf_reserve(&r->answer, PIECE);
        ssize_t n = to ? read(r->fd, to, PIECE) : -1;
        if (n > 0) {
            r->answer.len += (size_t)n;
        } else {
            if (!to || n == 0 || (errno != EAGAIN && errno != EINTR))
                reload_close_pipe(r);
            return;
        }
    }
}

void reload_tick(struct reload *r)
{
    if (r->pid && clock_ms() >= r->deadline_ms) {
        kill(r->pid, SIGKILL);
        r->deadline_ms = INT64_MAX;
    }
}

int64_t reload_due(const struct reload *r)
{
    return r->pid ? r->deadline_ms : INT64_MAX;
}

bool reload_ended(struct reload *r, int status)
{
    reload_read(r);
    reload_close_pipe(r);
    r->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !r->answer.overflow)
        return true;
    char words[80];
    int ignored;
    child_status_text(status, words, sizeof words, &ignored);
    log_error("the settings cannot be read again, the old ones stay", LOG_STR("reason", words),
              LOG_U64("attempt", r->attempt));
    return false;
}

bool reload_part(struct reload *r, size_t *at, const char **name, const char **text, size_t *n)
{
    char *start = r->answer.data + *at;
    size_t left = r->answer.len - *at;
    uint64_t length;
    char *end = left ? memchr(start, '\n', left) : NULL;
    char *space = end ? memchr(start, ' ', (size_t)(end - start)) : NULL;
    if (!space || !parse_u64(space + 1, (size_t)(end - space - 1), &length) ||
        length > left - (size_t)(end + 1 - start))
        return false;
    *space = '\0';
    *name = start;
    *text = end + 1;
    *n = (size_t)length;
    *at += (size_t)(end + 1 - start) + *n;
    return true;
}

void reload_done(struct reload *r)
{
    bool again = r->once_more;
    r->once_more = false;
    buf_free(&r->answer);
    if (again)
        reload_begin(r);
}

void reload_text_part(struct buf *out, const char *name, const char *text, size_t n)
{
    buf_addf(out, "%s %zu\n", name, n);
    buf_add(out, text, n);
}
