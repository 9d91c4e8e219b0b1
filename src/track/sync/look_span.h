/*
 * The span of a first look: which blocks it asks about. Pure: no clock, no I/O.
 *
 * A log index may be later than the head. So every look asks about a block again until it was asked
 * `overlap` after it was first seen, and one look in LOOK_WIDE_EVERY_MS goes back LOOK_WIDE_MS. A
 * log that shows up in a block asked before is late: it doubles the overlap.
 */
#ifndef TRACK_SYNC_LOOK_SPAN_H
#define TRACK_SYNC_LOOK_SPAN_H

#include "eth/block.h"
#include "eth/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOOK_OVERLAP_MS = 5000,
    LOOK_OVERLAP_MOST_MS = 60000,
    LOOK_WIDE_MS = 60000,
    LOOK_WIDE_EVERY_MS = 15000,
    LOOK_HEADS = 256,
    LOOK_BLOCKS = 1024,
};

struct look_span {
    struct look_head {
        uint64_t number; /* the head of a look; it shows every block above the head before */
        int64_t seen_ms;
    } heads[LOOK_HEADS]; /* rising */
    size_t n;
    uint64_t first; /* the first block that heads[0] shows */
    bool begun;
    uint64_t settled; /* every block up to here was asked late enough after it was first seen */
    uint64_t asked;   /* every block up to here was asked at least once */
    bool wide;        /* the look under way goes back LOOK_WIDE_MS */
    int64_t wide_ms;  /* when the last wide look was answered */
    struct look_block {
        uint64_t number;
        size_t logs;
        hash32 hash;       /* as the newest of these logs has it */
    } blocks[LOOK_BLOCKS]; /* most logs shown in a block; the place is number % LOOK_BLOCKS */
};

/* Blocks up to `synced` need no look, unless looks have asked further: the others are a catch-up's.
 */
void look_span_begin(struct look_span *s, uint64_t synced);
/* The head of a look, at or above the one before. */
void look_span_on_head(struct look_span *s, uint64_t number, int64_t now_ms);

/* The newest head turned out to be no sample. */
void look_span_drop_head(struct look_span *s, uint64_t number);

/* The first block to ask about, up to the newest head; false when no block is due. `width`: what
 * one question can span; only blocks that are due make a span longer. */
bool look_span_next(struct look_span *s, uint64_t width, int64_t now_ms, uint64_t *ret_from);

/* The lowest block asked before of which this answer about [from, to] shows another number of logs
 * than the answers before: one of them is not whole. Only number and hash of *ret are set. */
bool look_span_find_changed(const struct look_span *s, uint64_t from, uint64_t to,
                            const struct event_log *logs, size_t n, struct anchor *ret);

/* Counts the logs of an answer about [from, to]. Returns how many of them are late. */
size_t look_span_count_late(struct look_span *s, uint64_t from, uint64_t to,
                            const struct event_log *logs, size_t n);
/* [from, to] was asked at sent_ms, and what the answer named is written. overlap_ms 0: no log can
 * show up there any more. */
void look_span_on_answer(struct look_span *s, uint64_t from, uint64_t to, int64_t sent_ms,
                         int64_t overlap_ms);

/* Blocks from first_bad on are to be asked as if they had never been seen. */
void look_span_rewind(struct look_span *s, uint64_t first_bad);

/* The overlap after a late log. */
int64_t look_span_grow_overlap(int64_t overlap_ms);

#endif
