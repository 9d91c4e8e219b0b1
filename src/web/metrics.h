/* Prometheus text. One table defines every metric; docs/metrics.md is written from the same table.
 */
#ifndef WEB_METRICS_H
#define WEB_METRICS_H

#include "base/buf.h"
#include "web/health.h"

enum { METRICS_MAX = 1024 * 1024 };

void metrics_write(const struct health *h, struct buf *out);
/* The reference, as Markdown. */
void metrics_document(struct buf *out);

#endif
