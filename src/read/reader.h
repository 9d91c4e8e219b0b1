/*
 * A reader is one way to read n wallets × t terms from an endpoint: it turns a chunk of wallets
 * into the parameters of one request, and the reply into readings. It is pure: no request leaves
 * from here. read/read.c drives it: packing, bisecting, suspects, several chunks in flight.
 *
 * A new reader is one new file and a row in readers[] (read/reader.c).
 *
 * What every reader promises:
 *  - A reading says READ_OK only for a sum of exactly 32-byte answers, each from a call that
 *    provably had its full gas. What cannot be anchored is SUSPECT or STARVED, never a number.
 *  - The proof is taken inside the same execution; whether it equals the asked block is judged by
 *    the caller, in one place.
 *  - The nonce of the request comes back from the same execution, or the answer is misplaced. A
 *    reader that cannot do that is `by_echo`.
 */
#ifndef READ_READER_H
#define READ_READER_H

#include "base/buf.h"
#include "conf/conf.h"
#include "eth/block.h"
#include "eth/nonce.h"
#include "num/u256.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct endpoint;

enum reading_status {
    READ_OK,
    READ_REVERTED,   /* the view reverted */
    READ_EMPTY,      /* success and no data: no code there */
    READ_BAD_LENGTH, /* data, but not 32 bytes */
    READ_OVERFLOW,   /* the sum does not fit 256 bits */
    READ_NEGATIVE,   /* its top bit is set, and no term is declared to return such a uint256 */
    READ_OUT_OF_GAS, /* even alone with the whole budget */
    READ_UNANSWERED, /* the request failed: ask again; never a failure of the wallet */
    READ_UNANCHORED, /* the answer came from another block */
    READ_UNPROVEN,   /* the view does what cannot be proven: `why` says what */
};
const char *reading_status_name(enum reading_status s); /* "reverted", "out of gas" … */

struct reading {
    address wallet;
    enum reading_status status;
    int failed_term; /* index, for a status that blames one; else −1 */
    u256 sum;        /* READ_OK */
    const char *why; /* READ_UNPROVEN */
};

enum { READ_TERMS_MAX = 16 };

/* What is read: the terms of a balance and where the chain keeps its numbers. */
struct read_shape {
    const struct conf_term *terms;
    size_t n_terms;
    enum conf_anchor anchor;
    address multicall;
};

struct term_value {
    enum reading_status status;
    u256 value;
};
/* One wallet's terms, folded in their order, as the lens does it: the first that failed says why.
 * values: of the shape's terms from `first` on. */
void reading_fold(struct reading *r, const struct read_shape *shape, size_t first,
                  const struct term_value *values, size_t n);

/* Multicall3 cannot tell how much gas was left, so a chunk of it ends with a sentinel: a call to
 * the modular-exponentiation precompile (address 5) whose price is `gas` and whose work is nothing
 * (modulus zero). Gas only declines during an execution, so a sentinel that could pay proves that
 * every call before it had at least that much. The price follows EIP-2565 or, from Osaka on,
 * EIP-7883: which of them holds is found by asking (read/read.c). */
enum sentinel_kind { SENTINEL_NONE, SENTINEL_EIP2565, SENTINEL_EIP7883 };

struct sentinel {
    enum sentinel_kind kind;
    uint64_t gas;
};

enum { SENTINEL_CALL = 96 };
/* The call data of a sentinel that costs at least s->gas, and at most 1 % more. */
void sentinel_encode(const struct sentinel *s, uint8_t ret[SENTINEL_CALL]);

/* One request's worth. `isolated`: one wallet, one or all terms, with the whole gas budget:
 * suspects.
 */
struct read_chunk {
    const struct read_shape *shape;
    const address *wallets;
    size_t n;
    size_t first_term, n_terms; /* a range of the shape's terms; all of them unless isolated */
    bool isolated;
    uint64_t gas;             /* the call's gas limit */
    struct sentinel sentinel; /* reader multicall3 */
    bool has_link;            /* the hash of the earlier block `link` is asked for, too */
    uint64_t link;
    struct nonce nonce; /* of the try that was answered: for decode */
};

/* What the execution said of itself. */
struct read_proof {
    bool present; /* false: this reader cannot (reader single, anchor none) */
    uint64_t number, timestamp, chain_id;
    hash32 parent;
};

enum cell_status {
    CELL_OK,
    CELL_REVERTED,
    CELL_EMPTY,
    CELL_BAD_LENGTH,
    CELL_OVERFLOW,
    CELL_SUSPECT, /* used more than half its limit: nothing it said counts, read again alone */
};

/* One wallet's answer over the chunk's terms. */
struct read_cell {
    enum cell_status status;
    int failed_term;   /* index into the shape's terms; −1 for CELL_OK and CELL_OVERFLOW */
    uint64_t gas_used; /* of a CELL_SUSPECT: by the term that failed */
    u256 sum;
};

struct read_result {
    bool misplaced; /* the answer is another request's: nothing else is set */
    struct read_proof proof;
    hash32 link;       /* zero: not asked for, or not known to the execution */
    size_t answered;   /* wallets from the front that were answered; the rest is asked again */
    bool starved;      /* some call may not have had its full gas: nothing of this chunk counts */
    uint64_t gas_used; /* by the whole call; 0: unknown. For the packing */
    uint64_t gas_granted;    /* what the call was really given; 0: unknown */
    struct read_cell *cells; /* the caller's array of chunk.n; the first `answered` are set */
};

struct reader {
    const char *name; /* as in the configuration: "override" */
    enum conf_reader kind;
    const char *method; /* "eth_call" */
    size_t first_guess; /* wallets in a chunk before anything is learnt */
    size_t most;        /* a structural ceiling on wallets in a chunk */
    bool needs_pin;     /* proves nothing from inside: only where block hashes are honoured */
    bool by_terms;      /* one term a request */
    bool by_revert;     /* the reply is the data of a revert */
    /* The answer carries no nonce: the caller asks the view, an echo, and the view again. */
    bool by_echo;
    /* A failure had its term's limit, not the whole budget: it is looked at again, alone. */
    bool doubts_failures;
    /* Appends the JSON array of params; `nonce` gets the places of the nonce in it. The block
     * parameter is already text. */
    void (*encode)(const struct read_chunk *chunk, const struct buf *block_param,
                   struct buf *params, struct nonce_places *nonce);
    /* reply: the bytes of the result. −1 when it is not a well-formed reply of this reader; an
     * empty reply (`0x`) is one of those, with words that say what it means here. */
    int (*decode)(const struct read_chunk *chunk, const uint8_t *reply, size_t len,
                  struct read_result *ret, struct err *err);
};

/* Best first, ended by NULL: the order in which `auto` tries them. The setting `create` stands for
 * two. */
extern const struct reader *const readers[];

extern const struct reader reader_override, reader_create_revert, reader_create, reader_multicall3,
    reader_single;

/* Sums the chunk's terms for one wallet; false on overflow. */
bool reader_add(u256 *sum, const u256 *term);

#endif
