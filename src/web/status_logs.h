/* Logs that were passed over or do not fit their event, for status, page and lights. */
#ifndef WEB_STATUS_LOGS_H
#define WEB_STATUS_LOGS_H

#include "base/buf.h"
#include "proc/counters.h"

/* The member "logs" of GET /v1/status. */
void status_logs_write(struct buf *out);

/* The event of number i that does not fit its declaration, each event and layout once; false when
 * there is none. It is cut at room. */
struct layout_words {
    char contract[44], declared[COUNTERS_TEXT], fits[COUNTERS_TEXT], hint[COUNTERS_TEXT + 32];
    struct counters_layout counted;
};
bool status_layout_next(size_t *i, struct layout_words *ret);

#endif
