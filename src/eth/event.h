/*
 * Logs: the sole judge of which wallets an event names. One place, because two answers to the same
 * question drift apart (see the pitfalls of others).
 *
 * A log is a reason to read a wallet and nothing more. So a field that cannot be read costs what
 * needs that field, never the log, and never the other logs of an answer.
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
    int n_topics;        /* those before the first that cannot be read */
    const uint8_t *data; /* in the arena; the first EVENT_DATA_MAX bytes */
    size_t data_len;     /* 0 also for null, missing or malformed data */
    uint64_t block;
    hash32 block_hash;
    uint64_t index;  /* logIndex; 0 where there is none. Some nodes count from 0 in each transaction
                        or give all logs the same one: it identifies no log */
    bool removed;    /* the literal true */
    bool no_block;   /* blockNumber is null, missing or malformed */
    bool no_hash;    /* blockHash is */
    bool unreadable; /* it is no object, or has no address: nothing else is set */
    bool unplaced;   /* block is not the log's own word: it raises no blocknumber (rpc/logs.h) */
};

/* The result of eth_getLogs, or one log of a subscription when it is an object. Array and data are
 * in the arena. Only a result that is no list is an error: null, say. Ceiling: max_logs. */
int event_logs_from_json(const struct json *result, size_t max_logs, struct arena *arena,
                         struct event_log **ret_logs, size_t *ret_n, struct err *err);

/* Is this log that event of that contract, by topic0? Its layout is not looked at. */
bool event_matches(const struct event_log *log, const address *contract,
                   const struct signature *event);

/* ---- layout: which arguments are topics ------------------------------------------------------
 * topic0 is made of the types alone. So a contract may index other arguments than the declaration
 * says, and its logs have the same topic0: ERC-721's Transfer has four topics, older tokens have
 * one. */

enum event_fit {
    EVENT_AS_DECLARED,
    EVENT_AS_OTHER, /* another choice of indexed arguments fits, and is read */
    EVENT_AS_NONE,  /* none fits: topics and data are too short, or hold what the types cannot */
};

struct event_layout {
    enum event_fit fit;
    unsigned indexed; /* bit i: argument i is a topic */
};

/* Finds the layout that fits count and values of topics and data. The declared one wins, unless it
 * puts a small number where an address belongs and an address where a number belongs, and another
 * layout does not. */
struct event_layout event_layout_of(const struct event_log *log, const struct signature *event);

/* The address argument number `param` of the event under a layout of event_layout_of(). Under
 * EVENT_AS_NONE only what its declared place holds and what is surely an address: no small number.
 */
bool event_address(const struct event_log *log, const struct signature *event,
                   const struct event_layout *layout, int param, address *ret);

enum { EVENT_TEXT = SIG_TEXT + SIG_PARAMS * (SIG_NAME + sizeof " indexed ") };
/* The declaration with these arguments indexed: "Transfer(address indexed from, …)". */
void event_declaration(const struct signature *event, unsigned indexed, char out[EVENT_TEXT]);
/* The arguments that the event declares as indexed. */
unsigned event_indexed(const struct signature *event);

#endif
