/*
 * Wallets that pushed logs named, owed a read: each is kept until a read at a head at or above its
 * log's block is written, whatever eth_getLogs answers meanwhile. A push is a hint: it raises no
 * `blocknumber`, which is left to a look that shows the log.
 *
 * How it is called: owed_add() for each wallet of a push; owed_read() once a turn, after the head
 * is known and after that turn's look, and between turns while owed_has_due() holds. A wallet whose
 * row the look has already read at or above the block costs one query of the store and no request.
 *
 * In memory only, bounded in number and time: what is lost here is found by the looks.
 */
#ifndef TRACK_SYNC_OWED_H
#define TRACK_SYNC_OWED_H

#include "track/tracker.h"

enum { OWED_MOST = 4096, OWED_MS = 60000 };

struct owed {
    struct owed_wallet {
        address wallet;
        uint32_t balance; /* as the tracker numbers them */
        uint64_t block;   /* of the log; 0: it names none */
        int64_t until_ms; /* monotonic */
    } * list;
    size_t n, room;
};

void owed_add(struct owed *o, size_t balance, const address *wallet, uint64_t block);
void owed_free(struct owed *o);
/* Is a wallet owed that can be read at this head? */
bool owed_has_due(const struct owed *o, uint64_t head);

/* Reads and writes what is due at this head, which is stored. *ret_updated: rows written. −1: a
 * request or the store failed, the wallets stay owed. */
int owed_read(struct tracker *t, struct owed *o, const struct anchor *at, size_t *ret_updated,
              struct err *err);

#endif
