/* A node whose endpoints are the scripted provider under several URLs, for the tests of node/. */
#ifndef TESTS_RPC_SETUP_H
#define TESTS_RPC_SETUP_H

#include "rpc/rpc.h"

#include <stdint.h>

/* The key and its parts that must never be seen in any text. */
#define KEY      "KeyKeyKey0123456789"
#define PASSWORD "pass-word-9"

struct setup {
    struct rpc *node;
    struct conf conf;
    struct conf_endpoint endpoints[3];
    char urls[3][200];
};

/* Group fixtures: the provider. Test fixtures: a fresh node with one endpoint, the provider reset.
 */
int start_provider(void **state);
int stop_provider(void **state);
int open_one(void **state);
int open_two(void **state); /* /a/… and /b/… of the same provider */
int close_node(void **state);

/* A node with these URLs in place of the one there is. */
void reopen(struct setup *s, const char *const *urls, size_t n);

/* Submits and waits. deadline_ms 0: ten seconds from now. */
struct rpc_answer ask(struct setup *s, const char *method, const char *params, int deadline_ms);
struct rpc_answer ask_with(struct setup *s, struct rpc_request q);
#define ASK(s, method) ask(s, method, "[]", 0)

void assert_no_secret(const char *text);
/* The answer is this fault, its text without secrets. */
void assert_fault(const struct rpc_answer *a, enum fault fault);
/* The answer is a result: the text `wanted`, or any if NULL. Frees it. */
void assert_result(struct rpc_answer *a, const char *wanted);

#endif
