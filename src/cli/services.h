/* The workers of `trueup run`: which are wanted, and what each gets; at the start, and again when
 * the settings are read again (SIGHUP). */
#ifndef CLI_SERVICES_H
#define CLI_SERVICES_H

#include "cli/cli.h"
#include "proc/supervisor.h"

enum { SERVICES = 4 };

/* All of them, each with its settings, or with none where it is not wanted. from: --from, or NULL.
 * Freed by services_free(). */
void services_choose(const struct conf *conf, const char *from, struct service ret[SERVICES]);
void services_free(struct service services[SERVICES]);

/* How many WebSockets are configured. */
size_t services_count_sockets(const struct conf *conf);

/* What the helper gets that reads the settings again: how we were called, and what must stay. */
void reload_ask(const struct cli *cli, const struct conf *conf, struct buf *out);
/* The helper, `trueup worker reload`: fd 3 in, fd 4 out. Returns its exit status. */
int reload_work(void);
/* In the supervisor: a part of the helper's answer that is no worker's. */
void reload_part_taken(const char *name, const char *text, size_t n);

#endif
