/*
 * What the lens answered. A reply comes from a stranger: it is one only if its length fits its own
 * header exactly, nothing is marked that was not answered, and every marked wallet's reason is one
 * that the program could have given.
 */
#include "base/err.h"
#include "eth/abi.h"
#include "eth/keccak.h"
#include "eth/lens.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WORD = 32, WALLETS_A_WORD = 256, HOW_OVERFLOW = 2 };

/* The fields of a reason, by limb of the word. */
struct reason {
    unsigned term, how; /* bits 0 to 7, 8 to 15 */
    uint64_t size, used, before;
};

static size_t marks_size(size_t n_wallets)
{
    return WORD * ((n_wallets + WALLETS_A_WORD - 1) / WALLETS_A_WORD);
}

static size_t stride(const struct lens_shape *s)
{
    return WORD * (s->each ? s->n_terms + 1 : 1);
}

size_t lens_reply_size(const struct lens_shape *s, size_t n_wallets)
{
    return LENS_HEADER + marks_size(n_wallets) + n_wallets * stride(s);
}

void lens_address(unsigned attempt, address *ret)
{
    char text[64];
    int n = snprintf(text, sizeof text, "trueup lens, an address of no one: %u", attempt);
    hash32 h;
    keccak256(text, (size_t)n, &h);
    memcpy(ret->b, h.b + sizeof h.b - sizeof ret->b, sizeof ret->b);
}

static bool marked(const struct lens_reply *r, size_t i)
{
    /* Bit i % 256 of a big-endian word: its last byte holds the lowest bits. */
    const uint8_t *word = r->marks + i / WALLETS_A_WORD * WORD;
    size_t bit = i % WALLETS_A_WORD;
    return word[WORD - 1 - bit / 8] >> (bit % 8) & 1;
}

static const uint8_t *word_of(const struct lens_reply *r, size_t wallet)
{
    return r->words + wallet * stride(r->shape);
}

static struct reason reason_of(const struct lens_reply *r, size_t wallet)
{
    u256 w;
    u256_from_be32(&w, word_of(r, wallet));
    return (struct reason){(unsigned)(w.limb[0] & 0xff), (unsigned)(w.limb[0] >> 8 & 0xffffff),
                           w.limb[1], w.limb[2], w.limb[3]};
}

/* Measured a few hundred gas later than the program's own check, so never less strict than it. */
static bool heavy(const struct lens_shape *s, const struct reason *why)
{
    return why->used > (s->alone ? why->before / 2 : s->terms[why->term].gas / 2);
}

static bool reason_valid(const struct lens_reply *r, size_t wallet)
{
    u256 w;
    u256_from_be32(&w, word_of(r, wallet));
    const struct reason why = reason_of(r, wallet);
    if (why.how == HOW_OVERFLOW)
        return w.limb[0] == HOW_OVERFLOW << 8 && !why.size && !why.used && !why.before;
    if (w.limb[0] >> 9 || why.term >= r->shape->n_terms || why.used > why.before)
        return false;
    /* Success and 32 bytes are no reason, unless it took too much. */
    return !why.how || why.size != WORD || heavy(r->shape, &why);
}

static int header_read(const struct lens_shape *s, size_t n_wallets, const uint8_t *reply,
                       size_t len, struct lens_reply *ret, struct err *err)
{
    uint64_t answered = 0;
    if (len < LENS_HEADER + marks_size(n_wallets))
        return err_set(err, ERR_FAILED, "the lens answered %zu bytes, its header alone has %zu",
                       len, LENS_HEADER + marks_size(n_wallets));
    if (!abi_get_u64(reply, &ret->number) || !abi_get_u64(reply + 2 * WORD, &ret->timestamp) ||
        !abi_get_u64(reply + 3 * WORD, &ret->chain_id) ||
        !abi_get_u64(reply + 4 * WORD, &ret->gas_entry) ||
        !abi_get_u64(reply + 5 * WORD, &ret->gas_exit) ||
        !abi_get_u64(reply + 6 * WORD, &answered) || ret->gas_exit > ret->gas_entry ||
        answered > n_wallets)
        return err_set(err, ERR_FAILED, "the reply of %zu bytes is none of the lens", len);
    memcpy(ret->parent.b, reply + WORD, WORD);
    ret->answered = (size_t)answered;
    ret->marks = reply + LENS_HEADER;
    ret->words = ret->marks + marks_size(n_wallets);
    ret->shape = s;
    return 0;
}

static bool length_fits(const struct lens_reply *r, size_t n_wallets, size_t len)
{
    size_t words = len - LENS_HEADER - marks_size(n_wallets);
    size_t expected = r->answered * stride(r->shape);
    /* With single terms, room was made for the wallet at which the gas ran low. */
    return words == expected ||
           (r->shape->each && r->answered < n_wallets && words == expected + stride(r->shape));
}

static bool marks_valid(const struct lens_reply *r, size_t n_wallets)
{
    size_t bits = marks_size(n_wallets) * 8;
    for (size_t i = 0; i < bits; i++) {
        if (i % WALLETS_A_WORD == 0) {
            u256 word;
            u256_from_be32(&word, r->marks + i / 8);
            if (u256_is_zero(&word)) {
                i += WALLETS_A_WORD - 1;
                continue;
            }
        }
        if (marked(r, i) && (i >= r->answered || !reason_valid(r, i)))
            return false;
    }
    return true;
}

int lens_open(const struct lens_shape *s, size_t n_wallets, const uint8_t *reply, size_t len,
              struct lens_reply *ret, struct err *err)
{
    struct lens_reply r;
    if (len == 0)
        return err_set(err, ERR_FAILED, "the lens answered nothing: its program was not run");
    if (header_read(s, n_wallets, reply, len, &r, err) < 0)
        return -1;
    if (!length_fits(&r, n_wallets, len))
        return err_set(err, ERR_FAILED, "the lens answered %zu bytes for %zu of %zu wallets", len,
                       r.answered, n_wallets);
    if (!marks_valid(&r, n_wallets))
        return err_set(err, ERR_FAILED, "the lens marked a wallet without a reason it could have");
    *ret = r;
    return 0;
}

static enum lens_status status_of(const struct lens_shape *s, const struct reason *why)
{
    if (why->how == HOW_OVERFLOW)
        return LENS_OVERFLOW;
    if (heavy(s, why))
        return LENS_HEAVY;
    if (!why->how)
        return LENS_REVERTED;
    return why->size ? LENS_BAD_LENGTH : LENS_EMPTY;
}

void lens_cell(const struct lens_reply *r, size_t wallet, struct lens_cell *ret)
{
    *ret = (struct lens_cell){.status = LENS_OK, .term = -1};
    if (!marked(r, wallet)) {
        u256_from_be32(&ret->sum, word_of(r, wallet));
        return;
    }
    const struct reason why = reason_of(r, wallet);
    ret->status = status_of(r->shape, &why);
    if (ret->status == LENS_OVERFLOW)
        return;
    ret->term = (int)why.term;
    ret->used = why.used;
    ret->size = why.size;
}

void lens_term_value(const struct lens_reply *r, size_t wallet, size_t term, u256 *ret)
{
    u256_from_be32(ret, word_of(r, wallet) + WORD * (1 + term));
}
