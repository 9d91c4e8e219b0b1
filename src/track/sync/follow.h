/*
 * Follow: keeps every block synced. Live head, catch-up and reorg are one loop, because they
 * differ only in how far the synced block is behind the head:
 *
 *     far behind        eth_getLogs by range, up to the finalized block
 *     near the head     a look (look.h)
 *     chain broke       rewind to the newest sample that it holds, sync again from there
 *
 * These are first looks. Only the second look (second_look.h) moves the checkpoint.
 */
#ifndef TRACK_SYNC_FOLLOW_H
#define TRACK_SYNC_FOLLOW_H

#include "track/events.h"
#include "track/sync/first_looks.h"
#include "track/sync/legs.h"
#include "track/sync/log_source.h"
#include "track/sync/look.h"
#include "track/sync/owed.h"
#include "track/sync/positions.h"
#include "track/sync/range.h"
#include "track/sync/sample.h"
#include "track/sync/second_look.h"
#include "track/sync/ws_logs.h"

struct follow {
    struct tracker *t;
    struct samples samples;
    struct range range;
    struct trigger_filter filter;
    struct first_look look;
    struct ws_logs ws_logs;
    struct owed owed; /* wallets that pushed logs named */
    struct log_source log_source;
    struct follow_balance {
        struct tracked *b;
        bool started;
        bool stored;         /* a checkpoint is */
        bool rescanning;     /* verified lies below the checkpoint, see rescan.h */
        bool looks_again;    /* the pieces of the second look under way are for this one, too */
        uint32_t silent;     /* triggers without an event so far, see event_silence.h */
        uint64_t synced;     /* every block up to here had its first look … */
        uint64_t verified;   /* … and its second: the checkpoint, or less in a rescan */
        uint64_t looked;     /* first looks were here when the wait for the second began */
        uint64_t passed;     /* another program passed over the blocks up to here */
        uint64_t checkpoint; /* as stored */
        struct first_looks first_looks;
        struct affected_set affected; /* since synced */
        struct fanout asked;          /* lists that were asked for, so that a look does not again */
        uint64_t all_block;           /* every row is due since an event of this block */
        struct dirty reorg_affected;  /* by blocks that a reorg dropped: to be read again */
    } * balances;
    uint64_t first; /* block at which this store began */
    bool has_from;  /* --from, for a first start */
    uint64_t from;
    uint64_t pruned_at; /* head when old headers were dropped last */
    bool announced;     /* the catch-up under way was logged */
    bool loaded;        /* what the store keeps of the chain and the looks is here */
    bool begun;         /* first is known */
    bool moved;         /* positions have, since they were saved */
    struct legs legs;
    struct second_look second_look;
};

enum follow_end {
    FOLLOW_IDLE,  /* synced the head */
    FOLLOW_AGAIN, /* progress was made, there is more to do at once */
    FOLLOW_HELD,  /* something fails (report.why): pause, then again */
};

struct follow_report {
    enum follow_end end;
    size_t updated; /* rows written from events */
    size_t pushed;  /* rows written because pushed logs named them, and no look */
    struct second_look_report second;
    size_t unanswered; /* views of triggers that answered no list: left to the sweep */
    size_t missed;     /* logs that were pushed, and left out of the answer for missed_at */
    uint64_t missed_at;
    bool missed_again;   /* that block is asked again */
    size_t late;         /* logs in blocks asked before … */
    const char *late_by; /* … that this endpoint's answer lacked … */
    int64_t overlap_ms;  /* … so its blocks are asked again for so long */
    uint64_t taken_back; /* the chain took back this block, which it had called final; 0: none */
    bool reorg;          /* the chain broke at reorg_at; unanchored rows were made due */
    uint64_t reorg_at, reorg_rows;
    bool catching_up; /* a catch-up over [from, to] begins */
    uint64_t from, to;
    struct err why;
};

/* Reads nothing of the store yet. −1: the triggers do not make a filter. */
int follow_open(struct tracker *t, bool has_from, uint64_t from, struct follow *ret,
                struct err *err);
void follow_close(struct follow *f);

/* Was a block answered without logs that were pushed? Then another turn is due. */
bool follow_has_missing(const struct follow *f);
/* A log was pushed: this one, of this block. Answers as follow_has_missing(). */
bool follow_add_ws_log(struct follow *f, uint64_t block, const hash32 *hash, uint64_t index);

/* A pushed log of this block names this wallet. */
void follow_add_pushed(struct follow *f, size_t balance, const address *wallet, uint64_t block);
/* Can one of them be read at the head known now? */
bool follow_has_pushed(const struct follow *f);
/* Reads the pushed wallets that are due at the head known now; *ret: rows written. −1: they stay
 * owed. */
int follow_read_pushed(struct follow *f, size_t *ret, struct err *err);

/* One turn, in at most three round trips near the head: the head; its link, and beside it the logs;
 * the read of what they name. −1: a request or the store failed; try again later. */
int follow_once(struct follow *f, struct follow_report *ret, struct err *err);

#endif
