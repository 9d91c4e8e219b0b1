/*
 * The replies that matter for speed: a result that is one long hex string, thousands of logs, or
 * the receipts of a block. Each is read in a single pass from text to values, without a document.
 * Everything that is not exactly such a reply, to exactly this request, is left to the careful way
 * (eth/jsonrpc.h, eth/event.h), which has the words for what is wrong; what is taken here, it would
 * have read the same.
 *
 * For 300 KB of hex this is 0.1 ms; building a document and decoding its string is 0.9 ms.
 */
#ifndef RPC_JSON_FAST_H
#define RPC_JSON_FAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True, and *ret the caller's to mem_free(), for an object of just "jsonrpc", "id" and "result",
 * each once, in any order, with this id and a result "0x…" of whole bytes. */
bool json_fast_bytes(const char *text, size_t n, uint64_t id, uint8_t **ret, size_t *ret_len);

struct arena;
struct event_log;
/* True, and *ret in the arena, for such an object whose result is an array of at most max_logs
 * logs, in the order of the reply. */
bool json_fast_logs(const char *text, size_t n, uint64_t id, size_t max_logs, struct arena *arena,
                    struct event_log **ret, size_t *ret_n);

struct receipt;
/* True, and *ret with its logs in the arena, for such an object whose result is an array of
 * receipts that have what a receipts root needs. Other members are skipped, whatever they are. */
bool json_fast_receipts(const char *text, size_t n, uint64_t id, struct arena *arena,
                        struct receipt **ret, size_t *ret_n);
/* The same of the array alone, as it stands in an object that only the careful way can read. */
bool json_fast_receipt_list(const char *text, size_t n, struct arena *arena, struct receipt **ret,
                            size_t *ret_n);

#endif
