/*
 * Worker web: the HTTP server beside the other processes. It reads the store and the counters,
 * knows no node, and writes nothing.
 *
 * Three threads: the server, which never waits for SQL, and two database threads who do.
 */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include "conf/conf.h"

struct err;

/* Until asked to stop. −1 when it cannot begin. */
int web_run(const struct conf *conf, struct err *err);

#endif
