#include "cli/terms.h"
#include "base/mem.h"
#include "eth/abi.h"

#include <string.h>

int term_is_silent(struct rpc *node, const address *contract, const uint8_t selector[4],
                   bool *ret_silent, struct err *err)
{
    enum { WORD = 32 };
    uint8_t data[4 + WORD] = {0};
    memcpy(data, selector, 4);
    data[4 + WORD - 1] = 1; /* some tokens refuse the zero address */
    struct rpc_view view = {.to = contract, .data = data, .data_len = sizeof data, .bound = true};
    struct rpc_view_answer a;
    int rc = rpc_view(node, &view, &a, err);
    if (rc < 0 && a.fault.fault != FAULT_REVERT)
        return -1;
    *ret_silent = rc < 0 || a.len != WORD;
    mem_free(a.data);
    return 0;
}
