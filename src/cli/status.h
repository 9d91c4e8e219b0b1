/* The status on a terminal. */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include "base/buf.h"
#include "base/json.h"

#include <stdbool.h>

/* doc: what GET /v1/status answers. */
void status_draw(const struct json *doc, bool colour, struct buf *out);

#endif
