/*
 * Logs: the sole judge of which wallets an event names. One place, because two answers to the same
 * question drift apart (see the pitfalls of others).
 */
#ifndef ETH_EVENT_H
#define ETH_EVENT_H

#include "base/arena.h"
#include "eth/address.h"
#include "eth/signature.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json;
struct err;

enum { EVENT_TOPICS = 4, EVENT_DATA_MAX = 1024 * 1024 };

struct event_log {
    address contract;
    hash32 topics[EVENT_TOPICS];
    int n_topics;
    const uint8_t *data; /* in the arena */
    size_t data_len;
    uint64_t block;
    hash32 block_hash;
    uint64_t index; /* logIndex */
    bool removed;   /* absent means false */
};

/* The result of eth_getLogs, or one log of a subscription when it is an object. Array and data are
 * in the arena. A null result, a pending log (null block number or hash), or a malformed field is
 * an error: an answer that cannot be read is not an empty answer. Ceiling: max_logs. */
int event_logs_from_json(const struct json *result, size_t max_logs, struct arena *arena,
                         struct event_log **ret_logs, size_t *ret_n, struct err *err);

/* Is this log that event of that contract, by topic0? Counts of topics and data length are not
 * demanded: an odd Transfer (ERC-721's four topics, or unindexed arguments) still marks its wallets
 * when they can be decoded. */
bool event_matches(const struct event_log *log, const address *contract,
                   const struct signature *event);

/* The address argument number `param` of the event. Indexed arguments come from topics, others from
 * data; when a log has all of its static arguments in data or all in topics against the
 * declaration, those are tried too. False when the log does not carry it or the upper 12 bytes are
 * not zero. */
bool event_address(const struct event_log *log, const struct signature *event, int param,
                   address *ret);

#endif
