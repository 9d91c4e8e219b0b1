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
    ERR_TOO_LARGE,   /* a ceiling was reached */
    ERR_STOPPED,     /* we were asked to stop */
};

struct err {
    enum err_kind kind;
    char text[1024];
    char hint[512];
};

/* Sets kind and text, clears the hint. Always returns -1, so that `return err_set(...)` reads well.
 * e may be NULL when the caller does not want the words. */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts context before the text: "context: text". Kind and hint stay. Always returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Sets the hint. Always returns -1. */
int err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void err_clear(struct err *e);

#endif
