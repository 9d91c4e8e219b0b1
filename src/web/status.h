/* What `trueup status --json` and GET /v1/status say: one JSON object, from what is known. */
#ifndef WEB_STATUS_H
#define WEB_STATUS_H

#include "base/buf.h"
#include "web/health.h"

enum { STATUS_MAX = 512 * 1024, SAMPLE_MS = 10000, SAMPLES = 360, RATE_SAMPLES = 30 };

/* Rows refreshed by path over the last hour: for the chart, and for the rate behind the forecast.
 */
struct refresh_history {
    size_t n, next; /* a ring */
    struct refresh_sample {
        int64_t at_ms; /* wall */
        uint64_t refreshed[COUNTERS_PATHS];
    } samples[SAMPLES];
};

void history_sample(struct refresh_history *h, int64_t now_ms);

extern const char *const path_names[COUNTERS_PATHS]; /* "event", "sweep" … */

/* conf: for names of settings shown. h may be NULL: without history. */
void status_write(const struct health *health, const struct conf *conf,
                  const struct refresh_history *h, bool with_history, struct buf *out);

#endif
