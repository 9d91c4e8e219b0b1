/*
 * Logs that came over the WebSocket, compared with the logs that were answered. Both identify a log
 * by its block's hash and its index. When the answer for a block lacks a pushed log, the block is
 * asked again, a few times. A log that no answer has is counted. The wallets it names are read all
 * the same (owed.h).
 *
 * Only blocks near the head and log indexes below a ceiling are compared.
 */
#ifndef TRACK_SYNC_WS_LOGS_H
#define TRACK_SYNC_WS_LOGS_H

#include "eth/address.h"
#include "rpc/logs.h"

enum { WS_LOGS_BLOCKS = 32, WS_LOGS_INDEXES = 4096, WS_LOGS_TRIES = 3 };

struct ws_logs {
    struct ws_logs_block {
        bool used, answered; /* its logs have been answered */
        uint64_t number;
        hash32 hash;
        struct endpoint *by; /* that answered */
        unsigned tries;      /* how often it was made due again */
        uint8_t heard[WS_LOGS_INDEXES / 8], given[WS_LOGS_INDEXES / 8];
    } blocks[WS_LOGS_BLOCKS];
    size_t next; /* the one to give up for a new block */
};

void ws_logs_add(struct ws_logs *p, uint64_t number, const hash32 *hash, uint64_t index);
/* The blocks of [from, to] were asked about. */
void ws_logs_on_range(struct ws_logs *p, uint64_t from, uint64_t to, const struct logs *logs);
/* Was any log of this block pushed? Then its bloom need not be asked. */
bool ws_logs_has_block(const struct ws_logs *p, const hash32 *hash);
bool ws_logs_has_missing(const struct ws_logs *p); /* would ws_logs_take_missing() tell of one? */
/* The lowest block whose answer lacks pushed logs, how many, and whether it is worth asking again;
 * each is returned once an answer. NULL: there is none. */
const struct ws_logs_block *ws_logs_take_missing(struct ws_logs *p, size_t *ret_n, bool *ret_again);

#endif
