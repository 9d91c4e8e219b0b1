/* Instructions on accounts, storage and the block. */
#include "eth/evm_internal.h"

#include "base/mem.h"
#include "num/u256_math.h"

#include <string.h>

enum { ADDRESS_AT = EVM_WORD - sizeof(address) };

static void evm_word_from_address(u256 *ret, const address *a)
{
    uint8_t word[EVM_WORD] = {0};
    memcpy(word + ADDRESS_AT, a->b, sizeof a->b);
    u256_from_be32(ret, word);
}

void evm_word_to_address(const u256 *v, address *ret)
{
    uint8_t word[EVM_WORD];
    u256_to_be32(v, word);
    memcpy(ret->b, word + ADDRESS_AT, sizeof ret->b);
}

/* ---- the call -------------------------------------------------------------------------------- */

void evm_op_address(struct evm_frame *f, u256 *s)
{
    evm_word_from_address(s, &f->call.self);
}

void evm_op_caller(struct evm_frame *f, u256 *s)
{
    evm_word_from_address(s, &f->call.caller);
}

/* What a call without value, sender, price and blobs has none of. */
void evm_op_zero(struct evm_frame *f, u256 *s)
{
    (void)f;
    *s = U256_ZERO;
}

/* ---- accounts -------------------------------------------------------------------------------- */

static bool evm_get_account(struct evm_frame *f, const address *of, struct evm_account *ret)
{
    const struct evm_state *state = f->vm->ask->state;
    if (state->get_account(state->ctx, of, ret))
        return true;
    evm_miss(f, EVM_ACCOUNT, of, NULL);
    return false;
}

static bool evm_get_code(struct evm_frame *f, const u256 *word, struct evm_code *ret)
{
    const struct evm_state *state = f->vm->ask->state;
    address of;
    evm_word_to_address(word, &of);
    if (state->get_code(state->ctx, &of, ret))
        return true;
    evm_miss(f, EVM_CODE, &of, NULL);
    return false;
}

static void evm_put_balance(struct evm_frame *f, const address *of, u256 *s)
{
    struct evm_account account;
    if (evm_get_account(f, of, &account))
        *s = account.balance;
}

void evm_op_balance(struct evm_frame *f, u256 *s)
{
    address of;
    evm_word_to_address(s, &of);
    evm_put_balance(f, &of, s);
}

void evm_op_selfbalance(struct evm_frame *f, u256 *s)
{
    evm_put_balance(f, &f->call.self, s);
}

void evm_op_extcodehash(struct evm_frame *f, u256 *s)
{
    struct evm_account account;
    address of;
    evm_word_to_address(s, &of);
    if (!evm_get_account(f, &of, &account))
        return;
    /* The sender is there: an execution counts its nonce up. */
    if (account.exists || address_is_zero(&of))
        u256_from_be32(s, account.code_hash.b);
    else
        *s = U256_ZERO;
}

void evm_op_extcodesize(struct evm_frame *f, u256 *s)
{
    struct evm_code code;
    if (evm_get_code(f, s, &code))
        *s = u256_of(code.n);
}

void evm_op_extcodecopy(struct evm_frame *f, u256 *s)
{
    struct evm_code code;
    if (!evm_get_code(f, &s[3], &code))
        return;
    uint8_t *to = evm_memory_reach(f, &s[2], &s[0]);
    size_t n = (size_t)s[0].limb[0];
    if (to && n && evm_spend_bytes(f, n))
        evm_copy_padded(to, n, (struct evm_bytes){code.bytes, code.n}, &s[1]);
}

/* ---- storage --------------------------------------------------------------------------------- */

void evm_op_sload(struct evm_frame *f, u256 *s)
{
    const struct evm_state *state = f->vm->ask->state;
    hash32 slot;
    u256_to_be32(s, slot.b);
    if (!state->get_slot(state->ctx, &f->call.self, &slot, s))
        evm_miss(f, EVM_SLOT, &f->call.self, &slot);
}

/* A fresh call has written no transient storage, and cannot. */
void evm_op_tload(struct evm_frame *f, u256 *s)
{
    (void)f;
    *s = U256_ZERO;
}

/* ---- the block ------------------------------------------------------------------------------- */

void evm_op_unprovable(struct evm_frame *f, u256 *s)
{
    (void)s;
    evm_refuse(f, "%s", evm_ops[f->op].name);
}

/* A static call fails at a write, which its caller sees; elsewhere the view has an effect. */
void evm_op_write(struct evm_frame *f, u256 *s)
{
    if (f->call.is_static)
        evm_fail(f);
    else
        evm_op_unprovable(f, s);
}

/* A call takes what is left, and takes it all. Any other use of it is a result of the gas. */
void evm_op_gas(struct evm_frame *f, u256 *s)
{
    enum { CALL = 0xf1, CALLCODE = 0xf2, DELEGATECALL = 0xf4, STATICCALL = 0xfa };
    uint8_t next = f->pc < f->code.n ? f->code.bytes[f->pc] : 0;
    u256_not(s, &U256_ZERO);
    if (next != CALL && next != CALLCODE && next != DELEGATECALL && next != STATICCALL)
        evm_op_unprovable(f, s);
}

static void evm_put_own(struct evm_frame *f, u256 *s, u256 value)
{
    if (f->vm->ask->block->foreign)
        evm_op_unprovable(f, s);
    else
        *s = value;
}

/* Only the parent's hash is in the header. Beyond the last 256 blocks it is zero. */
void evm_op_blockhash(struct evm_frame *f, u256 *s)
{
    const struct evm_block *block = f->vm->ask->block;
    uint64_t number;
    if (block->foreign) {
        evm_op_unprovable(f, s);
        return;
    }
    if (!u256_get_u64(s, &number) || number >= block->number || block->number - number > 256)
        *s = U256_ZERO;
    else if (number + 1 == block->number)
        u256_from_be32(s, block->parent.b);
    else
        evm_op_unprovable(f, s);
}

void evm_op_coinbase(struct evm_frame *f, u256 *s)
{
    evm_word_from_address(s, &f->vm->ask->block->coinbase);
}

void evm_op_timestamp(struct evm_frame *f, u256 *s)
{
    evm_put_own(f, s, u256_of(f->vm->ask->block->timestamp));
}

void evm_op_number(struct evm_frame *f, u256 *s)
{
    evm_put_own(f, s, u256_of(f->vm->ask->block->number));
}

void evm_op_prevrandao(struct evm_frame *f, u256 *s)
{
    evm_put_own(f, s, f->vm->ask->block->prev_randao);
}

void evm_op_gaslimit(struct evm_frame *f, u256 *s)
{
    evm_put_own(f, s, u256_of(f->vm->ask->block->gas_limit));
}

void evm_op_chainid(struct evm_frame *f, u256 *s)
{
    *s = u256_of(f->vm->ask->block->chain_id);
}

void evm_op_basefee(struct evm_frame *f, u256 *s)
{
    evm_put_own(f, s, f->vm->ask->block->base_fee);
}
