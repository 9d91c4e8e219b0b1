/* Frames of the interpreter, and the loop over their instructions. */
#include "eth/evm_internal.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { JUMPDEST = 0x5b, PUSH1 = 0x60, PUSH32 = 0x7f };

/* ---- ends ------------------------------------------------------------------------------------ */

void evm_fail(struct evm_frame *f)
{
    f->end = EVM_FAILED;
}

void evm_miss(struct evm_frame *f, enum evm_kind kind, const address *of, const hash32 *slot)
{
    f->vm->result->missing =
        (struct evm_missing){.kind = kind, .of = *of, .slot = slot ? *slot : (hash32){{0}}};
    f->end = EVM_MISSING;
}

void evm_refuse(struct evm_frame *f, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(f->vm->result->why, sizeof f->vm->result->why, fmt, args);
    va_end(args);
    f->end = EVM_UNPROVABLE;
}

static bool evm_spend(struct evm_frame *f, uint64_t steps)
{
    struct evm *vm = f->vm;
    if (vm->ask->steps_max - vm->steps < steps) {
        evm_refuse(f, "more than %llu steps", (unsigned long long)vm->ask->steps_max);
        return false;
    }
    vm->steps += steps;
    return true;
}

bool evm_spend_bytes(struct evm_frame *f, uint64_t bytes)
{
    return evm_spend(f, bytes / EVM_WORD);
}

/* ---- a frame --------------------------------------------------------------------------------- */

static void evm_find_jumps(struct evm_frame *f)
{
    f->jumps = mem_zero(f->code.n / 8 + 1, 1);
    for (size_t i = 0; i < f->code.n; i++) {
        uint8_t op = f->code.bytes[i];
        if (op == JUMPDEST)
            f->jumps[i / 8] |= (uint8_t)(1 << i % 8);
        else if (op >= PUSH1 && op <= PUSH32)
            i += op - PUSH1 + 1u;
    }
}

static void evm_step(struct evm_frame *f)
{
    /* Behind the end of the code stand zeros: STOP. */
    f->op = f->pc < f->code.n ? f->code.bytes[f->pc] : 0;
    const struct evm_op *op = &evm_ops[f->op];
    f->pc++;
    if (!op->run || f->height < op->in || f->height - op->in + op->out > EVM_STACK) {
        evm_fail(f);
        return;
    }
    f->height -= op->in;
    op->run(f, &f->stack[f->height]);
    f->height += op->out;
}

static void evm_loop(struct evm_frame *f)
{
    if (!evm_spend_bytes(f, f->code.n))
        return;
    evm_find_jumps(f);
    f->stack = mem_alloc(EVM_STACK * sizeof *f->stack);
    while (f->end == EVM_RUNNING && evm_spend(f, 1))
        evm_step(f);
}

/* The code that a call of this address runs: its own, or that of the account it is delegated to
 * (EIP-7702). False: f has ended. */
static bool evm_load_code(struct evm_frame *f)
{
    static const uint8_t delegation[3] = {0xef, 0x01, 0x00};
    const struct evm_state *state = f->vm->ask->state;
    address of = f->call.code_of;
    for (int i = 0; i < 2; i++) {
        if (!state->get_code(state->ctx, &of, &f->code)) {
            evm_miss(f, EVM_CODE, &of, NULL);
            return false;
        }
        if (f->code.n != sizeof delegation + sizeof of.b ||
            memcmp(f->code.bytes, delegation, sizeof delegation) != 0)
            break;
        if (i == 0)
            memcpy(of.b, f->code.bytes + sizeof delegation, sizeof of.b);
    }
    if (f->code.n > EVM_CODE_MAX)
        evm_refuse(f, "code of %zu bytes", f->code.n);
    return f->end == EVM_RUNNING;
}

static void evm_take_output(struct evm_frame *f, uint8_t **ret, size_t *n)
{
    if (f->end != EVM_RETURNED && f->end != EVM_REVERTED)
        return;
    *n = f->out_n;
    *ret = mem_alloc(f->out_n ? f->out_n : 1);
    if (f->out_n)
        memcpy(*ret, f->memory + f->out_at, f->out_n);
}

enum evm_end evm_run_call(struct evm *vm, const struct evm_call_ask *call, uint8_t **ret, size_t *n)
{
    struct evm_frame f = {.vm = vm, .call = *call};
    *ret = NULL;
    *n = 0;
    if (++vm->depth > EVM_DEPTH_MAX)
        evm_refuse(&f, "calls nested deeper than %d", EVM_DEPTH_MAX);
    else if (evm_is_precompile(&call->code_of))
        f.end = evm_run_precompile(&f, &call->code_of, call->input, ret, n);
    else if (evm_load_code(&f))
        evm_loop(&f);
    vm->depth--;
    if (!*ret)
        evm_take_output(&f, ret, n);
    vm->memory -= f.memory_room;
    mem_free(f.memory);
    mem_free(f.stack);
    mem_free(f.jumps);
    mem_free(f.returned);
    return f.end;
}

void evm_call(const struct evm_ask *ask, struct evm_result *ret)
{
    *ret = (struct evm_result){.end = EVM_RUNNING};
    struct evm vm = {.ask = ask, .result = ret};
    struct evm_call_ask call = {
        .code_of = ask->to, .self = ask->to, .input = {.at = ask->data, .n = ask->n}};
    ret->end = evm_run_call(&vm, &call, &ret->data, &ret->n);
    ret->steps = vm.steps;
}
