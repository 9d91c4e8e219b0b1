#include "base/log.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json_write.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_CEILING = 8192, REPEAT_SLOTS = 64, REPEAT_MS = 10000, READER_MS = 500 };

static struct {
    enum log_level level;
    bool json;
    const char *who;
} setup = {LOG_INFO, false, NULL};

/* Lines seen lately, by hash; the one that is free the soonest makes room for another. */
static struct {
    uint64_t hash;
    int64_t until_ms;
    uint64_t held;
} repeats[REPEAT_SLOTS];

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};

void log_setup(enum log_level level, bool json, const char *who)
{
    setup.level = level;
    setup.json = json;
    setup.who = who;
}

bool log_is_json(void)
{
    return setup.json;
}

bool log_enabled(enum log_level level)
{
    return level <= setup.level;
}

/* Text form: bare where it can be read back, quoted otherwise. */
static void log_add_text_value(struct buf *b, const char *s)
{
    bool bare = *s != '\0';
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == '"' || *p == '=' || *p == '\x7f')
            bare = false;
    if (bare)
        buf_adds(b, s);
    else
        json_write_string(b, s, strlen(s));
}

static void log_add_field(struct buf *b, const struct log_field *f)
{
    if (!f->name)
        return;
    if (setup.json) {
        buf_addc(b, ',');
        json_write_string(b, f->name, strlen(f->name));
        buf_addc(b, ':');
    } else {
        buf_addf(b, " %s=", f->name);
    }
    switch (f->type) {
    case LOG_FIELD_U64:
        buf_addf(b, "%" PRIu64, f->u64);
        break;
    case LOG_FIELD_I64:
        buf_addf(b, "%" PRId64, f->i64);
        break;
    case LOG_FIELD_STR:
        if (!f->str)
            buf_adds(b, "null");
        else if (setup.json)
            json_write_string(b, f->str, strlen(f->str));
        else
            log_add_text_value(b, f->str);
        break;
    }
}

static uint64_t log_hash_line(enum log_level level, const char *message, const struct log_field *f,
                              int n)
{
    uint64_t h = 1469598103934665603u + (uint64_t)level; /* FNV-1a */
    for (const char *p = message; *p; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211u;
    for (int i = 0; i < n; i++)
        if (f[i].name && f[i].type == LOG_FIELD_STR && f[i].str)
            for (const char *p = f[i].str; *p; p++)
                h = (h ^ (unsigned char)*p) * 1099511628211u;
        else if (f[i].name && f[i].type != LOG_FIELD_STR)
            h = (h ^ f[i].u64 ^ (uint64_t)f[i].i64) * 1099511628211u;
    return h;
}

/* Only trouble is held back: information lines are rare by design and wanted one by one. */
static bool log_hold_back(uint64_t hash, uint64_t *ret_held)
{
    int64_t now = clock_ms();
    size_t slot = 0;
    for (size_t i = 0; i < REPEAT_SLOTS && repeats[slot].hash != hash; i++)
        if (repeats[i].hash == hash || repeats[i].until_ms < repeats[slot].until_ms)
            slot = i;
    if (repeats[slot].hash == hash && now < repeats[slot].until_ms) {
        repeats[slot].held++;
        return true;
    }
    *ret_held = repeats[slot].hash == hash ? repeats[slot].held : 0;
    repeats[slot].hash = hash;
    repeats[slot].held = 0;
    repeats[slot].until_ms = now + REPEAT_MS;
    return false;
}

static void (*watcher)(enum log_level level, const char *message, const char *error);

void log_watch(void (*heard)(enum log_level level, const char *message, const char *error))
{
    watcher = heard;
}

static void log_notify_watcher(enum log_level level, const char *message, const struct log_field *f,
                               int n)
{
    const char *error = NULL;
    for (int i = 0; i < n; i++)
        if (f[i].name && f[i].type == LOG_FIELD_STR &&
            (strcmp(f[i].name, "error") == 0 || strcmp(f[i].name, "why") == 0))
            error = f[i].str;
    if (watcher && level <= LOG_WARN)
        watcher(level, message, error);
}

static uint64_t lost; /* lines that nobody took; told with the next one */
static int to = -1;

/* Whoever reads our log may have stopped reading, and waiting for it would stop us, too. A pipe is
 * opened anew, so that it does not block for us alone: others hold the same end. */
static int log_destination(void)
{
    struct stat st;
    if (to < 0 && fstat(STDERR_FILENO, &st) == 0 && S_ISFIFO(st.st_mode))
        to = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (to < 0)
        to = STDERR_FILENO;
    return to;
}

static void log_write_line(const struct buf *b)
{
    struct pollfd p = {.fd = log_destination(), .events = POLLOUT};
    if (poll(&p, 1, lost ? 0 : READER_MS) == 0 ||
        (write(to, b->data, b->len) < 0 && errno == EAGAIN))
        lost++;
    else
        lost = 0;
}

static void log_write_alone(enum log_level level, const char *message,
                            const struct log_field *fields, int n)
{
    uint64_t held = 0;
    if (level <= LOG_WARN && log_hold_back(log_hash_line(level, message, fields, n), &held))
        return;
    log_notify_watcher(level, message, fields, n);
    char now[CLOCK_TEXT];
    struct buf b = BUF_INIT(LINE_CEILING);
    wall_text(now);
    if (setup.json) {
        buf_addf(&b, "{\"time\":\"%s\",\"level\":\"%s\",\"worker\":\"%s\",\"msg\":", now,
                 level_names[level], setup.who ? setup.who : "");
        json_write_string(&b, message, strlen(message));
    } else {
        buf_addf(&b, "%s %-5s %s%s%s", now, level_names[level], setup.who ? setup.who : "",
                 setup.who ? ": " : "", message);
    }
    for (int i = 0; i < n; i++)
        log_add_field(&b, &fields[i]);
    if (held)
        log_add_field(&b, &LOG_U64("repeated", held));
    if (lost)
        log_add_field(&b, &LOG_U64("lost_lines", lost));
    /* An overlong line loses its last fields, not its end. */
    b.overflow = false;
    b.ceiling += 2;
    buf_adds(&b, setup.json ? "}\n" : "\n");
    log_write_line(&b);
    buf_free(&b);
}

/* Threads that write to a store hear its warnings. */
void log_write(enum log_level level, const char *message, const struct log_field *fields, int n)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    if (!log_enabled(level))
        return;
    pthread_mutex_lock(&lock);
    log_write_alone(level, message, fields, n);
    pthread_mutex_unlock(&lock);
}

static void log_write_err(enum log_level level, const char *message, const struct err *e)
{
    struct log_field fields[] = {LOG_STR("error", e->text), LOG_STR("hint", e->hint)};
    log_write(level, message, fields, e->hint[0] ? 2 : 1);
}

void log_error_err(const char *message, const struct err *e)
{
    log_write_err(LOG_ERROR, message, e);
}

void log_warn_err(const char *message, const struct err *e)
{
    log_write_err(LOG_WARN, message, e);
}
