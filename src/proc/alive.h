/*
 * Signs of life. A process that exists is not yet one that works: it may loop for ever, or hang in
 * a call that never returns. So a worker's loop, and every wait it goes through, says "here I am"
 * on the shared page, and the supervisor replaces a worker that has been silent for too long.
 *
 * Only the thread that called alive_begin() is listened to: a thread beside it that goes on must
 * not hide that the loop stands still. No wait of ours lasts longer than ALIVE_EVERY_MS without a
 * sign; a call of a library that may take longer is announced with alive_busy().
 */
#ifndef PROC_ALIVE_H
#define PROC_ALIVE_H

#include <stdint.h>

enum { ALIVE_EVERY_MS = 1000 };

void alive_begin(void);
void alive_beat(void);
/* The next sign may be this late, and no later. */
void alive_busy(int64_t ms);
/* The longest part of a wait of `ms` that may pass without a sign; gives one. */
int alive_slice(int ms);

#endif
