/*
 * A node that is none, for load tests: it answers the requests of all readers from a made-up state,
 * at the speed of memory, and keeps the gas rules of a real node. What it costs beside trueup is
 * small, so what a pass takes against it is trueup's own time, and the database's.
 *
 * answer.c knows JSON-RPC, logs.c made-up history, call.c the EVM (or rather: what our own programs
 * would have done in it), main.c sockets. It is lenient and trusts its caller: never to be used for
 * anything else.
 */
#ifndef BENCH_RPCSERVER_H
#define BENCH_RPCSERVER_H

#include "base/buf.h"
#include "eth/lens.h"

enum { REPLY_MAX = 256 * 1024 * 1024 };

struct rules {
    uint64_t chain_id;
    uint64_t head;       /* blocks 0 to head, 12 s apart; all of them final but the last two */
    uint64_t gas_cap;    /* a call that asks for more gets this much, silently */
    uint64_t wallet_gas; /* a wallet's terms, with what the lens itself uses on them */
    uint64_t salt;       /* another one is another state */
    uint64_t logs;       /* Transfer logs of the first term's contract in each block */
    uint64_t holders;    /* that they name */
    struct lens_term terms[LENS_TERMS_MAX];
    size_t n_terms;
};

/* The state: what a view of this selector answers for a wallet. Eighteen decimals, an eighth of all
 * wallets hold nothing, one in sixteen has staked, another delegated. */
unsigned __int128 state_of(const struct rules *r, const uint8_t wallet[20], size_t term);

void block_hash_of(uint64_t number, hash32 *ret);
uint64_t block_time_of(uint64_t number);
/* False if no block has this hash. */
bool block_by_hash(const struct rules *r, const hash32 *hash, uint64_t *ret);

struct call {
    bool has_to, has_override;
    address to;
    uint64_t gas;            /* asked for; 0: nothing said */
    const char *data, *code; /* hex digits, without 0x; code: of the state override */
    size_t data_len, code_len;
    uint64_t block;
};

/* Appends the result as hex digits. False with words: the call failed, as a node would say it. */
bool call_answer(const struct rules *r, const struct call *c, struct buf *hex, const char **words);

/* Appends "result" of eth_getLogs: all logs of the blocks, whatever the filter; logs.c. */
void add_logs(const struct rules *r, uint64_t from, uint64_t to, struct buf *out);

/* Appends the JSON-RPC reply to a request. The text is NUL-terminated. */
void answer(const struct rules *r, const char *request, size_t len, struct buf *reply);

#endif
