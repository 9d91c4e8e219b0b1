/* CALL, CALLCODE, DELEGATECALL and STATICCALL, without value. */
#include "eth/evm_internal.h"

#include "base/mem.h"
#include "num/u256_math.h"

#include <string.h>

enum { CALL = 0xf1, CALLCODE = 0xf2, DELEGATECALL = 0xf4, STATICCALL = 0xfa };

/* A limit of its own is a promise about gas, which is not counted here: a call that keeps it and
 * one that breaks it look the same. Only the whole of what is left has one meaning. */
static bool evm_call_has_all_gas(const u256 *gas)
{
    u256 all;
    u256_not(&all, &U256_ZERO);
    return u256_equal(gas, &all);
}

/* False: f has ended. */
static bool evm_call_may_run(struct evm_frame *f, const u256 *gas, const u256 *value)
{
    const char *name = evm_ops[f->op].name;
    if (value && !u256_is_zero(value)) {
        if (f->op == CALL && f->call.is_static)
            evm_fail(f);
        else
            evm_refuse(f, "%s with value", name);
    } else if (!evm_call_has_all_gas(gas)) {
        evm_refuse(f, "%s with a gas limit of its own", name);
    }
    return f->end == EVM_RUNNING;
}

static struct evm_call_ask evm_call_context(const struct evm_frame *f, const u256 *to)
{
    struct evm_call_ask call = {.self = f->call.self, .caller = f->call.self};
    evm_word_to_address(to, &call.code_of);
    if (f->op == CALL || f->op == STATICCALL)
        call.self = call.code_of;
    if (f->op == DELEGATECALL)
        call.caller = f->call.caller;
    call.is_static = f->call.is_static || f->op == STATICCALL;
    return call;
}

/* The output goes to memory as far as there is room, and is kept whole for RETURNDATACOPY. */
static void evm_call_take_output(struct evm_frame *f, const u256 *out_at, const u256 *out_n,
                                 uint8_t *output, size_t n)
{
    uint8_t *to = evm_memory_reach(f, out_at, out_n);
    size_t room = (size_t)out_n->limb[0];
    if (to && n && room)
        memcpy(to, output, n < room ? n : room);
    mem_free(f->returned);
    f->returned = output;
    f->n_returned = n;
}

/* The operands from the top: gas, address, with CALL and CALLCODE value, then offset and size of
 * the input and of the output. */
void evm_op_call(struct evm_frame *f, u256 *s)
{
    const u256 *gas = s + evm_ops[f->op].in - 1;
    const u256 *value = f->op == CALL || f->op == CALLCODE ? &s[4] : NULL;
    u256 out_n = s[0], out_at = s[1], in_n = s[2], in_at = s[3];
    uint8_t *output;
    size_t n;
    if (!evm_call_may_run(f, gas, value) || !evm_memory_reach(f, &in_at, &in_n) ||
        !evm_memory_reach(f, &out_at, &out_n))
        return;
    struct evm_call_ask call = evm_call_context(f, gas - 1);
    /* The frame's memory stays where it is until its callee has ended. */
    call.input.n = (size_t)in_n.limb[0];
    call.input.at = call.input.n ? f->memory + in_at.limb[0] : NULL;
    enum evm_end end = evm_run_call(f->vm, &call, &output, &n);
    if (end == EVM_MISSING || end == EVM_UNPROVABLE) {
        mem_free(output);
        f->end = end;
        return;
    }
    evm_call_take_output(f, &out_at, &out_n, output, n);
    *s = u256_of(end == EVM_RETURNED);
}
