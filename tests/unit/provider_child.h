/*
 * The scripted provider (tests/provider) as a child of a test program: one for the whole program,
 * steered over its control path, its request log read back. Calls fail the running test on trouble.
 */
#ifndef TESTS_PROVIDER_CHILD_H
#define TESTS_PROVIDER_CHILD_H

#include "base/json.h"

#include <stddef.h>

int provider_start(void); /* 0, or −1 with words on stderr */
void provider_stop(void);
int provider_port(void);
int provider_tls_port(void); /* https://localhost, certified by tests/provider/tls/ca.pem */

/* Sends one control order: {"rules":[…]} and the like. */
void provider_order(const char *json);
/* Forgets rules, answers and the log. */
void provider_reset(void);
/* provider_order() with printf and ' for ", to keep JSON in C readable. */
void provider_rules(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The log, one parsed record per request in order of arrival; *ret_n of them. Valid until the next
 * call. */
const struct json *const *provider_log(size_t *ret_n);
size_t provider_requests(void);    /* how many since the reset */
size_t provider_connections(void); /* how many since the start */

#endif
