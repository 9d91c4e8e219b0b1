/*
 * An error carries its words from where it happens.
 *
 * A function that can fail takes a `struct err *` as its last parameter, returns 0 or -1 (or a
 * pointer or NULL), and leaves its outputs untouched on failure. Callers add context by wrapping.
 * Only workers and commands print: library code never logs an error it also returns.
 *
 * Text is lower case, cause first, with the offending value quoted and no full stop. A hint is a
 * second line for a person, there only when something can be done.
 *
 * The text may come from outside (a node's reply); err_set() makes it printable and one line.
 * Whoever puts a URL into an error masks it first: see base/url.h.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/* The kind decides what the caller does next; for a command also its exit status (cli/exit.h). */
enum err_kind {
    ERR_NONE = 0,
    ERR_FAILED,      /* anything without a kind of its own */
    ERR_USAGE,       /* bad command line or configuration */
    ERR_UNREACHABLE, /* no endpoint answers */
    ERR_CHAIN,       /* another chain, another genesis, or a chain that was reset */
    ERR_STORE,       /* the store refuses: schema, rights, version, another daemon */
    ERR_STORE_LOST,  /* the store went away or is busy: reconnect and try again */
    ERR_FENCED,      /* another writer took the store, or it came back older: load all anew */
    ERR_TOO_LARGE,   /* a ceiling was reached */
    ERR_STOPPED,     /* we were asked to stop */
};

struct err {
    enum err_kind kind;
    char text[1024];
    char hint[512];
};

/* Each always returns -1, so that `return err_set(...)` reads well; they are macros over functions
 * so that the compiler sees it, too, and can tell which outputs are set. */
static inline int err_failed(void)
{
    return -1;
}

/* Sets kind and text, clears the hint. e may be NULL when the caller does not want the words. */
#define err_set(e, kind, ...) (err_put(e, kind, __VA_ARGS__), err_failed())
/* Puts context before the text: "context: text". Kind and hint stay. */
#define err_wrap(e, ...) (err_put_before(e, __VA_ARGS__), err_failed())
/* Sets the hint. */
#define err_hint(e, ...) (err_put_hint(e, __VA_ARGS__), err_failed())

void err_put(struct err *e, enum err_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void err_put_before(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void err_put_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void err_clear(struct err *e);

#endif
