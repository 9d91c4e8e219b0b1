/*
 * A full pass over the rows, flat out, in key order: `trueup sweep`. It needs no order by age, so
 * it costs the database the least; it finds its own block to read at, so it also works beside no
 * daemon. Steps are read, checked and written several at once, in whatever order they come.
 */
#ifndef TRACK_REFRESH_PASS_H
#define TRACK_REFRESH_PASS_H

#include "track/refresh/pipeline.h"

/* like: tracker, balance, lease and progress; the rest of it is set here. max_age_ms: only rows
 * older; 0: all. ERR_STOPPED when t->stop said so: a rerun starts over, rows already read are
 * simply fresher. */
int pass_run(const struct pipeline *like, int64_t max_age_ms, struct pipeline_progress *ret,
             struct err *err);

#endif
