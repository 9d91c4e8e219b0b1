#include "cli/terms.h"
#include "base/mem.h"
#include "eth/abi.h"

#include <string.h>

int term_is_silent(struct rpc *node, const address *contract, const uint8_t selector[4],
                   bool *ret_silent, struct err *err)
{
    enum { WORD = 32 };
    uint8_t data[4 + WORD] = {0};
    uint8_t *reply = NULL;
    size_t n = 0;
    struct fault_info fault;
    memcpy(data, selector, 4);
    data[4 + WORD - 1] = 1; /* some tokens refuse the zero address */
    int rc = rpc_view(node, contract, data, sizeof data, NULL, &reply, &n, &fault, err);
    if (rc < 0 && fault.fault != FAULT_REVERT)
        return -1;
    *ret_silent = rc < 0 || n != WORD;
    mem_free(reply);
    return 0;
}
