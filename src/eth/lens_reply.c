/*
 * What the lens answered. A reply comes from a stranger: it is one only if its length fits what was
 * asked, places without a sum are zero, and the notes are in order, each about an answered wallet
 * and saying something that the program could have found.
 */
#include "base/err.h"
#include "eth/abi.h"
#include "eth/keccak.h"
#include "eth/lens.h"

#include <stdio.h>
#include <string.h>

enum { WORD = 32, SUM_SIZE = 16, NOTE_SIZE = 2 * WORD, HOW_OVERFLOW = 2 };

/* The fields of a note, and of its second word when that is a reason. */
struct note {
    size_t wallet;
    bool is_sum;
    u256 word;
    unsigned term, how; /* bits 0 to 7, 8 to 15 of the word */
    uint64_t size, used, before;
};

static size_t lens_sums_size(size_t n_wallets)
{
    return WORD * (n_wallets / 2 + 1);
}

size_t lens_reply_most(const struct lens_shape *s, size_t n_wallets)
{
    if (s->mode != LENS_CREATE)
        return lens_reply_size(n_wallets) + n_wallets * NOTE_SIZE;
    /* Gas for storing the reply is set aside beforehand, so room for a note each would waste much.
     */
    size_t notes = n_wallets < 16 ? n_wallets : n_wallets / 8 + 16;
    size_t most = lens_reply_size(n_wallets) + notes * NOTE_SIZE;
    return most < LENS_CREATED_MAX ? most : LENS_CREATED_MAX;
}

void lens_address(unsigned attempt, address *ret)
{
    char text[64];
    int n = snprintf(text, sizeof text, "trueup lens, an address of no one: %u", attempt);
    hash32 h;
    keccak256(text, (size_t)n, &h);
    memcpy(ret->b, h.b + sizeof h.b - sizeof ret->b, sizeof ret->b);
}

static bool lens_all_zero(const uint8_t *bytes, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= bytes[i];
    return any == 0;
}

/* False if the first word is none of a note's. */
static bool lens_note_at(const struct lens_reply *r, size_t i, struct note *ret)
{
    u256 key;
    u256_from_be32(&key, r->notes + i * NOTE_SIZE);
    u256_from_be32(&ret->word, r->notes + i * NOTE_SIZE + WORD);
    ret->wallet = (size_t)key.limb[0];
    ret->is_sum = key.limb[1];
    ret->term = (unsigned)(ret->word.limb[0] & 0xff);
    ret->how = (unsigned)(ret->word.limb[0] >> 8 & 0xff);
    ret->size = ret->word.limb[1];
    ret->used = ret->word.limb[2];
    ret->before = ret->word.limb[3];
    return key.limb[0] < r->answered && key.limb[1] <= 1 && !key.limb[2] && !key.limb[3];
}

/* Measured a few hundred gas later than the program's own check, so never less strict than it. */
static bool lens_is_heavy(const struct lens_shape *s, const struct note *why)
{
    return why->used > (s->isolated ? why->before / 2 : s->terms[why->term].gas / 2);
}

/* Alone, a call may have had less than its limit: when others before it took the budget, or where
 * the whole budget is less. That proves a value, if it was light, but not a failure. */
static bool lens_is_poor(const struct lens_shape *s, const struct note *why)
{
    return s->isolated && why->before < s->terms[why->term].gas;
}

static bool lens_note_valid(const struct lens_reply *r, const struct note *why)
{
    if (why->is_sum) /* or it would stand in its place */
        return why->word.limb[2] || why->word.limb[3];
    if (why->word.limb[0] >> 16)
        return false;
    if (why->how == HOW_OVERFLOW)
        return !why->term && !why->size && !why->used && !why->before && r->shape->n_terms > 1;
    if (why->how > 1 || why->term >= r->shape->n_terms || !why->used || why->used > why->before)
        return false;
    /* Success and 32 bytes are no reason, unless it took too much. */
    return !why->how || why->size != WORD || lens_is_heavy(r->shape, why);
}

static bool lens_notes_valid(const struct lens_reply *r)
{
    struct note n = {0};
    for (size_t i = 0; i < r->n_notes; i++) {
        size_t last = n.wallet;
        if (!lens_note_at(r, i, &n) || (i && n.wallet <= last) || !lens_note_valid(r, &n) ||
            !lens_all_zero(r->sums + n.wallet * SUM_SIZE, SUM_SIZE))
            return false;
    }
    return true;
}

static bool lens_header_read(const uint8_t *reply, size_t n_wallets, struct lens_reply *ret)
{
    uint64_t answered = 0;
    if (!abi_get_u64(reply, &ret->number) || !abi_get_u64(reply + 2 * WORD, &ret->timestamp) ||
        !abi_get_u64(reply + 3 * WORD, &ret->chain_id) ||
        !abi_get_u64(reply + 4 * WORD, &ret->gas_entry) ||
        !abi_get_u64(reply + 5 * WORD, &ret->gas_exit) ||
        !abi_get_u64(reply + 6 * WORD, &answered) || ret->gas_exit > ret->gas_entry ||
        answered > n_wallets)
        return false;
    memcpy(ret->parent.b, reply + WORD, WORD);
    memcpy(ret->link.b, reply + 7 * WORD, WORD);
    ret->answered = (size_t)answered;
    return true;
}

bool lens_answers(const struct nonce *nonce, const uint8_t *reply, size_t len)
{
    return len >= LENS_HEADER && nonce_is_word(nonce, reply + 8 * WORD);
}

int lens_open(const struct lens_shape *s, size_t n_wallets, const uint8_t *reply, size_t len,
              struct lens_reply *ret, struct err *err)
{
    struct lens_reply r = {.shape = s};
    size_t least = lens_reply_size(n_wallets);
    if (len == 0)
        return err_set(err, ERR_FAILED, "the lens answered nothing: its program was not run");
    if (len < least || (len - least) % NOTE_SIZE)
        return err_set(err, ERR_FAILED,
                       "%zu bytes are no reply of the lens for %zu wallets, which has %zu", len,
                       n_wallets, least);
    r.sums = reply + LENS_HEADER;
    r.notes = reply + least;
    r.n_notes = (len - least) / NOTE_SIZE;
    if (!lens_header_read(reply, n_wallets, &r))
        return err_set(err, ERR_FAILED, "the header of a reply of %zu bytes is none of the lens",
                       len);
    if (!lens_all_zero(r.sums + r.answered * SUM_SIZE,
                       lens_sums_size(n_wallets) - r.answered * SUM_SIZE))
        return err_set(err, ERR_FAILED, "the lens answered more wallets than it says, %zu of %zu",
                       r.answered, n_wallets);
    if (!lens_notes_valid(&r))
        return err_set(err, ERR_FAILED, "the lens noted of a wallet what it cannot have found");
    *ret = r;
    return 0;
}

static enum lens_status lens_status_of(const struct lens_shape *s, const struct note *why)
{
    if (why->how == HOW_OVERFLOW)
        return LENS_OVERFLOW;
    if (lens_is_heavy(s, why) || (!why->how && lens_is_poor(s, why)))
        return LENS_HEAVY;
    if (!why->how)
        return LENS_REVERTED;
    return why->size ? LENS_BAD_LENGTH : LENS_EMPTY;
}

static bool lens_find_note(const struct lens_reply *r, size_t wallet, struct note *ret)
{
    size_t low = 0, high = r->n_notes;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        lens_note_at(r, middle, ret);
        if (ret->wallet == wallet)
            return true;
        if (ret->wallet < wallet)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static uint64_t lens_get_be64(const uint8_t b[8])
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | b[i];
    return v;
}

void lens_cell(const struct lens_reply *r, size_t wallet, struct lens_cell *ret)
{
    const uint8_t *sum = r->sums + wallet * SUM_SIZE;
    struct note why;
    *ret = (struct lens_cell){.status = LENS_OK, .term = -1};
    ret->sum = (u256){{lens_get_be64(sum + 8), lens_get_be64(sum), 0, 0}};
    if (!u256_is_zero(&ret->sum) || !lens_find_note(r, wallet, &why))
        return;
    if (why.is_sum) {
        ret->sum = why.word;
        return;
    }
    ret->status = lens_status_of(r->shape, &why);
    if (ret->status == LENS_OVERFLOW)
        return;
    ret->term = (int)why.term;
    ret->used = why.used;
    ret->size = why.size;
}
