/* Instructions on memory, call data, code of the frame itself, and returned data. */
#include "eth/evm_internal.h"

#include "base/mem.h"
#include "eth/keccak.h"
#include "num/u256_math.h"

#include <string.h>

static bool evm_memory_grow(struct evm_frame *f, size_t size)
{
    struct evm *vm = f->vm;
    size_t room = f->memory_room ? f->memory_room : 1024;
    while (room < size)
        room *= 2;
    if (room - f->memory_room > EVM_MEMORY_MAX - vm->memory) {
        evm_refuse(f, "more than %d MiB of memory", EVM_MEMORY_MAX >> 20);
        return false;
    }
    if (!evm_spend_bytes(f, room - f->memory_room))
        return false;
    if (room > f->memory_room) {
        f->memory = mem_grow(f->memory, room, 1);
        memset(f->memory + f->memory_room, 0, room - f->memory_room);
    }
    vm->memory += room - f->memory_room;
    f->memory_room = room;
    return true;
}

uint8_t *evm_memory_reach(struct evm_frame *f, const u256 *at, const u256 *n)
{
    static uint8_t none[1];
    uint64_t from, count;
    if (u256_is_zero(n))
        return f->memory ? f->memory : none;
    if (!u256_get_u64(at, &from) || !u256_get_u64(n, &count) || from > EVM_MEMORY_MAX ||
        count > EVM_MEMORY_MAX) {
        evm_refuse(f, "more than %d MiB of memory", EVM_MEMORY_MAX >> 20);
        return NULL;
    }
    size_t size = (size_t)(from + count + EVM_WORD - 1) / EVM_WORD * EVM_WORD;
    if (size > f->memory_room && !evm_memory_grow(f, size))
        return NULL;
    if (size > f->memory_size)
        f->memory_size = size;
    return f->memory + from;
}

void evm_copy_padded(uint8_t *to, size_t n, struct evm_bytes from, const u256 *at)
{
    uint64_t start;
    size_t have = 0;
    if (u256_get_u64(at, &start) && start < from.n)
        have = from.n - start < n ? from.n - (size_t)start : n;
    if (have)
        memcpy(to, from.at + start, have);
    if (n > have)
        memset(to + have, 0, n - have);
}

/* Memory from s[2], from offset s[1], s[0] bytes: the operands of every COPY. */
static void evm_copy_to_memory(struct evm_frame *f, const u256 *s, struct evm_bytes from)
{
    uint8_t *to = evm_memory_reach(f, &s[2], &s[0]);
    size_t n = (size_t)s[0].limb[0];
    if (to && n && evm_spend_bytes(f, n))
        evm_copy_padded(to, n, from, &s[1]);
}

void evm_op_calldataload(struct evm_frame *f, u256 *s)
{
    uint8_t word[EVM_WORD];
    evm_copy_padded(word, sizeof word, f->call.input, s);
    u256_from_be32(s, word);
}

void evm_op_calldatasize(struct evm_frame *f, u256 *s)
{
    *s = u256_of(f->call.input.n);
}

void evm_op_calldatacopy(struct evm_frame *f, u256 *s)
{
    evm_copy_to_memory(f, s, f->call.input);
}

void evm_op_codesize(struct evm_frame *f, u256 *s)
{
    *s = u256_of(f->code.n);
}

void evm_op_codecopy(struct evm_frame *f, u256 *s)
{
    evm_copy_to_memory(f, s, (struct evm_bytes){f->code.bytes, f->code.n});
}

void evm_op_returndatasize(struct evm_frame *f, u256 *s)
{
    *s = u256_of(f->n_returned);
}

/* The one COPY that fails beyond the end (EIP-211). */
void evm_op_returndatacopy(struct evm_frame *f, u256 *s)
{
    u256 end;
    u256 have = u256_of(f->n_returned);
    if (u256_add(&end, &s[1], &s[0]) || u256_compare(&end, &have) > 0)
        evm_fail(f);
    else
        evm_copy_to_memory(f, s, (struct evm_bytes){f->returned, f->n_returned});
}

static uint8_t *evm_memory_word(struct evm_frame *f, const u256 *at)
{
    const u256 size = u256_of(EVM_WORD);
    return evm_memory_reach(f, at, &size);
}

void evm_op_mload(struct evm_frame *f, u256 *s)
{
    const uint8_t *word = evm_memory_word(f, s);
    if (word)
        u256_from_be32(s, word);
}

void evm_op_mstore(struct evm_frame *f, u256 *s)
{
    uint8_t *word = evm_memory_word(f, &s[1]);
    if (word)
        u256_to_be32(&s[0], word);
}

void evm_op_mstore8(struct evm_frame *f, u256 *s)
{
    const u256 size = u256_of(1);
    uint8_t *byte = evm_memory_reach(f, &s[1], &size);
    if (byte)
        *byte = (uint8_t)s[0].limb[0];
}

void evm_op_msize(struct evm_frame *f, u256 *s)
{
    *s = u256_of(f->memory_size);
}

void evm_op_mcopy(struct evm_frame *f, u256 *s)
{
    /* The first reach may be moved by the second. */
    if (!evm_memory_reach(f, &s[1], &s[0]) || !evm_memory_reach(f, &s[2], &s[0]))
        return;
    size_t n = (size_t)s[0].limb[0];
    if (n && evm_spend_bytes(f, n))
        memmove(f->memory + s[2].limb[0], f->memory + s[1].limb[0], n);
}

void evm_op_keccak256(struct evm_frame *f, u256 *s)
{
    hash32 hash;
    const uint8_t *data = evm_memory_reach(f, &s[1], &s[0]);
    /* A hash costs about as much as copying ten times the bytes. */
    if (!data || !evm_spend_bytes(f, s[0].limb[0] * 10))
        return;
    keccak256(data, (size_t)s[0].limb[0], &hash);
    u256_from_be32(s, hash.b);
}

static void evm_end_with_output(struct evm_frame *f, const u256 *s, enum evm_end end)
{
    if (!evm_memory_reach(f, &s[1], &s[0]))
        return;
    f->out_n = (size_t)s[0].limb[0];
    f->out_at = f->out_n ? (size_t)s[1].limb[0] : 0;
    f->end = end;
}

void evm_op_return(struct evm_frame *f, u256 *s)
{
    evm_end_with_output(f, s, EVM_RETURNED);
}

void evm_op_revert(struct evm_frame *f, u256 *s)
{
    evm_end_with_output(f, s, EVM_REVERTED);
}
