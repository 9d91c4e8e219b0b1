/*
 * Threads that write steps while the next requests are under way, each with its own connection.
 * PostgreSQL runs one process a connection, so two of them use two cores. With one connection a
 * full pass would wait for the database.
 *
 * Only steps without a checkpoint may be written here: their order is not kept. A step and its
 * arena belong to the thread from writers_give() until writers_take() returns it.
 *
 * SQLite has one writer at a time. With no threads, writers_give() writes at once, in the tracker's
 * own store.
 */
#ifndef TRACK_WRITER_H
#define TRACK_WRITER_H

#include "track/step.h"

enum { WRITERS_MAX = 2 };
/* Steps that so many threads have at once. */
#define WRITERS_SLOTS(threads) ((threads) ? 2 * (threads) : 1)

struct writers;

/* who: the connections' name, to which a number is added. */
int writers_open(struct tracker *t, const char *who, size_t n, struct writers **ret,
                 struct err *err);
void writers_close(struct writers *w); /* waits for what is being written; NULL is fine */

/* How many steps could be given now without a wait. */
size_t writers_free(const struct writers *w);

/* Only while writers_free() says so. */
void writers_give(struct writers *w, struct step_work *work);

/* A step that was given and is done: *ret_rc as step_write() said, with its err. NULL if none is
 * within the time, or none is out. */
struct step_work *writers_take(struct writers *w, int timeout_ms, int *ret_rc, struct err *err);

#endif
