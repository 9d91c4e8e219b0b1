/*
 * The lens: a small EVM program, assembled from the terms of a balance, that reads them for many
 * wallets in one call and answers 16 bytes a wallet. docs/lens.md explains it line by line.
 *
 * Gas must never turn into a wrong number. A view that swallows an inner out-of-gas succeeds with a
 * wrong value, so the program calls a view only when its full limit is really available, stops when
 * it is not, and marks each wallet whose view failed, answered with other than 32 bytes, or used
 * more than half of its limit: whoever ran out inside has used nearly all of it.
 *
 * Input: a word with the nonce of the request, then 20 bytes a wallet; the call data of a call, or
 * what follows the program in the initcode of a creation. Reply:
 *
 *     9 words of 32 bytes: number, parent hash, timestamp, chain id, gas at entry, gas at exit,
 *     wallets answered, hash of the linked block, the word with the nonce
 *     16 bytes a wallet asked for: its sum; zeros to the next whole word (at least 16 bytes)
 *     2 words for each wallet whose sum is not there: which it is, and its sum of more than 128
 * bits or what went wrong
 *
 * No real token has balances of more than 128 bits; of those that pretend to, the reply still tells
 * the truth, only with more bytes.
 *
 * Pure: bytes in, values out.
 */
#ifndef ETH_LENS_H
#define ETH_LENS_H

#include "base/buf.h"
#include "eth/address.h"
#include "eth/nonce.h"
#include "num/u256.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum {
    LENS_TERMS_MAX = 16,
    LENS_WALLETS_MAX = 200000,
    LENS_CODE_MAX = 4096, /* 16 terms need about 2,000 */
    LENS_HEADER = 9 * 32,
    /* Gas kept free beyond a view's limit: what lies between the check and the call (a cold
     * account, twice where an account is delegated by EIP-7702: 5,240), and finishing the reply. */
    LENS_MARGIN = 10000,
    LENS_DEPOSIT = 200,       /* gas per byte of a creation's result */
    LENS_CREATED_MAX = 24576, /* bytes of it (EIP-170) */
};

struct lens_term {
    address contract;
    uint8_t selector[4]; /* of a view of one address */
    uint64_t gas;        /* the limit of one call */
};

enum lens_anchor {
    LENS_ANCHOR_EVM,    /* NUMBER and BLOCKHASH */
    LENS_ANCHOR_ARBSYS, /* Arbitrum: asked of the precompile at 0x64; the EVM's number is another
                           chain's */
    LENS_ANCHOR_NONE,   /* number and parent stay zero */
};

enum lens_mode {
    LENS_CALL,          /* runs at an address of its own, wallets in the call data */
    LENS_CREATE,        /* runs as initcode, the reply is the code to be stored */
    LENS_CREATE_REVERT, /* the same, the reply is revert data */
};

struct lens_shape {
    const struct lens_term *terms;
    size_t n_terms; /* 1 to LENS_TERMS_MAX */
    enum lens_anchor anchor;
    enum lens_mode mode;
    /* The limit of a call is whatever is left, and a call may use half of that: for a second look
     * at wallets that failed or needed more than their limit. Those that fail cheaply are finalized
     * many at a time; one that is still LENS_HEAVY among others may not be so by itself. */
    bool isolated;
    /* The hash of this earlier block is in the reply, too; not with LENS_ANCHOR_NONE. The EVM knows
     * 256 of them, and says zero of any other. */
    bool has_link;
    uint64_t link;
};

struct lens_code {
    uint8_t b[LENS_CODE_MAX];
    size_t len;
};

/* The program. n_wallets matters to creations only (what storing the reply will cost). */
void lens_assemble(const struct lens_shape *s, size_t n_wallets, struct lens_code *ret);

/* The reply's bytes when every wallet has a sum of at most 128 bits; and at most: a creation stops
 * before its reply gets larger than that, however many wallets have something else to say. */
static inline size_t lens_reply_size(size_t n_wallets)
{
    return LENS_HEADER + 32 * (n_wallets / 2 + 1);
}
size_t lens_reply_most(const struct lens_shape *s, size_t n_wallets);

/* Where the program stands while it is called: a hash of fixed words and `attempt`, so that nobody
 * can have put code there. The caller takes the next attempt where one is a wallet or a term. */
void lens_address(unsigned attempt, address *ret);

enum lens_status {
    LENS_OK,
    LENS_REVERTED,   /* the view failed, having used at most half of its gas */
    LENS_EMPTY,      /* success and no data */
    LENS_BAD_LENGTH, /* success and data, but not 32 bytes */
    LENS_OVERFLOW,   /* the sum does not fit 256 bits */
    LENS_HEAVY, /* used more than half of its gas: nothing it said counts. Or failed, alone, with
                   less than its limit */
};

struct lens_cell {
    enum lens_status status;
    int term;      /* which one failed; −1 for LENS_OK and LENS_OVERFLOW */
    uint64_t used; /* gas of the failed term; 0 for LENS_OK and LENS_OVERFLOW */
    uint64_t size; /* what the failed term returned, in bytes */
    u256 sum;      /* LENS_OK */
};

/* A reply that was found to be one. Points into the reply and at the shape. */
struct lens_reply {
    uint64_t number, timestamp, chain_id, gas_entry, gas_exit;
    hash32 parent, link; /* link: zero where none was asked for or known */
    size_t answered;     /* wallets from the front; the others were not tried for lack of gas */
    const uint8_t *sums, *notes;
    size_t n_notes;
    const struct lens_shape *shape;
};

/* Does the reply carry this nonce? If not, it is another request's, or no reply of the lens. */
bool lens_answers(const struct nonce *nonce, const uint8_t *reply, size_t len);
/* Everything about the reply that can be wrong is found here, so that reading cells cannot fail. */
int lens_open(const struct lens_shape *s, size_t n_wallets, const uint8_t *reply, size_t len,
              struct lens_reply *ret, struct err *err);
/* wallet < answered */
void lens_cell(const struct lens_reply *r, size_t wallet, struct lens_cell *ret);

#endif
