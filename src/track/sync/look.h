/*
 * The first look, for freshness: what the blocks near the head name is read and written at the
 * head. Blocks are asked about again while a log index may be late (look_span.h). What was answered
 * before is not read again (events_drop_answered()), so a repeated question costs no read.
 */
#ifndef TRACK_SYNC_LOOK_H
#define TRACK_SYNC_LOOK_H

#include "rpc/logs.h"
#include "track/sync/bloom.h"
#include "track/sync/look_span.h"

enum { LOOK_ENDPOINTS = 8 };

struct first_look {
    struct look_span span;
    struct bloom_trust bloom;
    struct endpoint *by;   /* it answered the last question about logs */
    struct header doubted; /* this block's answer may not be whole; number 0: none is doubted */
    /* The question of the look at hand, asked beside the link of its head. */
    struct logs_window *window;
    uint64_t window_from, window_to;
    int64_t window_ms; /* when it was asked */
    struct arena window_arena;
    /* How long after a block was first seen its logs may still show up, for each endpoint. */
    int64_t overlap_ms[LOOK_ENDPOINTS];
};

struct follow;
struct follow_report;

int look_load(struct tracker *t, struct first_look *ret, struct err *err);
void look_close(struct first_look *l);

/* Asks about the span that is due up to this head, which is not linked yet. NULL: no question is
 * due, or it is asked later. */
struct logs_window *look_open_window(struct follow *f, const struct header *head);
/* The head is a sample: waits for the answer and keeps it for look_take(). w may be NULL. */
int look_keep_window(struct follow *f, struct logs_window *w, struct err *err);
/* The head is no sample. */
void look_drop_window(struct follow *f, struct logs_window *w, const struct header *head);
/* The answer for this range, if it was asked beside the link: *ret_rc and the rest are as of
 * rpc_logs_range(). The logs live until the next look. */
bool look_take_window(struct first_look *l, uint64_t from, uint64_t to, struct logs *ret,
                      int *ret_rc, struct err *err);

/* Asks about the span that is due, and writes what it names. ret->why says what holds it. −1: a
 * request or the store failed; what was written stays. */
int look_take(struct follow *f, struct follow_report *ret, struct err *err);

#endif
