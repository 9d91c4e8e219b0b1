/*
 * The audit: compares rows with the chain at one block, a fair sample or all rows. It only reads;
 * repairs go through the pipeline.
 *
 * A row has drifted if it was observed at or before the block, differs, and nothing explains the
 * difference: no pending event, no quarantine, no full refresh that is due. A difference counts
 * when a second read confirms it. Rows observed later are compared again, at a later block.
 */
#ifndef TRACK_VERIFY_AUDIT_H
#define TRACK_VERIFY_AUDIT_H

#include "track/refresh/pipeline.h"
#include "track/verify/drift.h"

enum {
    AUDIT_WORST = 10,
    AUDIT_ROUNDS = 4,
    AUDIT_LIST = 1000000, /* wallets that are remembered to be looked at again */
};

struct audit {
    struct tracker *t;
    struct tracked *b;
    size_t sample; /* so many rows; 0: all */
    bool fix;
    bool supply;       /* also the sum of one term against totalSupply(); wants all rows */
    struct job *lease; /* with fix */
    void (*progress)(void *ctx, uint64_t done, uint64_t total, uint64_t requests);
    void *ctx;
};

struct audit_worst {
    address wallet;
    u256 stored, actual, off; /* off: by how much */
    uint64_t observed, at;
    int64_t updated_us;
    enum drift_cause cause;
    char endpoint[96]; /* of a missed log */
    uint64_t event_block;
};

enum audit_supply {
    SUPPLY_NOT_ASKED,
    SUPPLY_EQUAL, /* every holder has a row, and no row holds too much */
    SUPPLY_SHORT, /* some of it is held by wallets without a row */
    SUPPLY_OVER,  /* more is held than exists: the token does not keep accounts */
    SUPPLY_SILENT /* it cannot be said: supply.why */
};

struct audit_report {
    struct anchor at;           /* of the first round */
    bool whole;                 /* every row was drawn: by wish, or the table has no more */
    uint64_t compared, drifted; /* drifted of those compared */
    /* Not compared: not anchored yet; awaited by an event or in quarantine; not readable; gone
     * since they were drawn; read again faster than they could be compared. */
    uint64_t unanchored, pending, unread, gone, moving;
    uint64_t causes[DRIFT_NONE + 1];       /* of the first DRIFT_AT_ONCE that drifted */
    uint64_t without_row;                  /* tracked wallets without a row */
    struct audit_worst worst[AUDIT_WORST]; /* the farthest off first */
    size_t n_worst;
    uint64_t fixed;
    struct {
        enum audit_supply end;
        const char *term; /* whose sum it is; the configuration's */
        u256 sum, supply, off;
        char why[160];
    } supply;
    struct pipeline_progress traffic; /* requests and bytes of all rounds */
};

int audit_run(const struct audit *a, struct audit_report *ret, struct err *err);

#endif
