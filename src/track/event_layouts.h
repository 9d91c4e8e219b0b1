/*
 * Events whose logs do not fit their declaration: each log is counted, and each kind is logged once
 * and shown in the status, with the declaration that would fit.
 */
#ifndef TRACK_EVENT_LAYOUTS_H
#define TRACK_EVENT_LAYOUTS_H

#include "conf/conf.h"
#include "eth/event.h"

/* layout: of this log, and not EVENT_AS_DECLARED. lost: a wallet of it could not be read. */
void event_layouts_report(const struct conf_trigger *trigger, const struct event_log *log,
                          const struct event_layout *layout, bool lost);

#endif
