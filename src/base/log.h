/*
 * One event a line, on stderr, as text or JSON. Only workers and commands log; library code returns
 * an error instead. Fields are typed, so that both formats come from the same call:
 *
 *     log_info("stale refresh: tick complete", LOG_U64("requested", n), LOG_STR("balance", name));
 *
 * A line is written with one write(2), so lines of several processes do not mix. Where nobody reads
 * them (a pipe that is full), lines are lost and counted ("lost_lines": n on the next one), rather
 * than that a process waits. The same message
 * repeated within ten seconds is held back and counted ("repeated": n on the next one), warnings
 * and errors included, unless it carries other words or numbers.
 *
 * Operators grep for messages: those listed in docs/logs.md do not change.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

struct err;

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

struct log_field {
    const char *name;
    enum { LOG_FIELD_STR, LOG_FIELD_U64, LOG_FIELD_I64 } type;
    const char *str; /* NULL is printed as null */
    uint64_t u64;
    int64_t i64;
};

#define LOG_STR(name_, value_)                                                                     \
    ((struct log_field){.name = (name_), .type = LOG_FIELD_STR, .str = (value_)})
#define LOG_U64(name_, value_)                                                                     \
    ((struct log_field){.name = (name_), .type = LOG_FIELD_U64, .u64 = (value_)})
#define LOG_I64(name_, value_)                                                                     \
    ((struct log_field){.name = (name_), .type = LOG_FIELD_I64, .i64 = (value_)})

/* who: the process' role, on every line ("follow"); kept by pointer. */
void log_setup(enum log_level level, bool json, const char *who);
bool log_enabled(enum log_level level);
/* Are lines JSON? */
bool log_is_json(void);

void log_write(enum log_level level, const char *message, const struct log_field *fields, int n);

/* heard is told of every warning and error that is written, with its field "error" or "why"
 * (or NULL): so the last words of a process can be kept where others see them. NULL ends it. */
void log_watch(void (*heard)(enum log_level level, const char *message, const char *error));

/* The error's words as field "error", its hint as "hint". */
void log_error_err(const char *message, const struct err *e);
void log_warn_err(const char *message, const struct err *e);

#define LOG_AT(level, message, ...)                                                                \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            const struct log_field log_fields_[] = {{0}, __VA_ARGS__};                             \
            log_write(level, message, log_fields_ + 1,                                             \
                      (int)(sizeof log_fields_ / sizeof log_fields_[0]) - 1);                      \
        }                                                                                          \
    } while (0)
#define log_error(...) LOG_AT_(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  LOG_AT_(LOG_WARN, __VA_ARGS__)
#define log_info(...)  LOG_AT_(LOG_INFO, __VA_ARGS__)
#define log_debug(...) LOG_AT_(LOG_DEBUG, __VA_ARGS__)
/* {0} as last element keeps an empty list legal; it has no name and is skipped. */
#define LOG_AT_(level, ...)           LOG_AT__(level, __VA_ARGS__, {0})
#define LOG_AT__(level, message, ...) LOG_AT(level, message, __VA_ARGS__)

#endif
