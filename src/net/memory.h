/*
 * Libraries that would go on without memory get theirs from base/mem, which ends the process.
 *
 * OpenSSL bears that it gets none while it starts, and does without a cipher or a certificate from
 * then on. A fresh process has them all.
 */
#ifndef NET_MEMORY_H
#define NET_MEMORY_H

/* OpenSSL; whoever uses it, libpq, too. To be called before anybody does: after its first
 * allocation it goes on as it began. curl is told by http_open(). */
void net_memory_init(void);

#endif
