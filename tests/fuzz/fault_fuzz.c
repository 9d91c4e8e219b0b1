/* Error texts. The first byte chooses the method, the second a status, the third a code. */
#include "eth/fault.h"
#include "fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const int statuses[] = {0, 200, 400, 403, 413, 429, 500, 503};
    static const int64_t codes[] = {0, 3, 429, 4444, -32000, -32005, -32602, INT64_MIN};
    struct fault_info info = {0};
    if (n < 3)
        return 0;
    fault_classify((enum fault_method)(data[0] % 3), statuses[data[1] % 8], codes[data[2] % 8],
                   (const char *)data + 3, n - 3, &info);
    HOLDS(info.fault > FAULT_NONE && info.fault <= FAULT_UNKNOWN);
    HOLDS(info.rule != NULL && strlen(fault_name(info.fault)) > 0);
    HOLDS(info.limit < 10000000 && (info.limit == 0 || info.fault == FAULT_RANGE));
    HOLDS(info.has_window == (info.fault == FAULT_WINDOW));
    HOLDS(info.retry_after_ms >= -1 && info.retry_after_ms <= 24 * 3600 * 1000);
    HOLDS(info.per_second <= 1000000);
    if (data[0] % 3 != FAULT_GETLOGS)
        HOLDS(info.fault != FAULT_RANGE && info.fault != FAULT_WINDOW);
    if (data[0] % 3 != FAULT_CALL)
        HOLDS(info.fault != FAULT_REVERT && info.fault != FAULT_GAS);
    return 0;
}
