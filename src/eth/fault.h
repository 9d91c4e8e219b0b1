/*
 * What a provider's error means, and so what to do about it.
 *
 * The code number is no classifier (-32005 alone means results, range, timeout, batch size or rate,
 * by vendor), so the serialised error (its first 8 KiB) is matched, ignoring case, against an
 * ordered table of phrases, whatever the HTTP status; the first hit wins. The table and its order
 * follow what clients and providers are known to say; its fixtures are
 * tests/vectors/provider_errors.
 */
#ifndef ETH_FAULT_H
#define ETH_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault {
    FAULT_NONE,
    FAULT_RATE,          /* R: slow down; never shrink a range for it */
    FAULT_BILLING,       /* R, but paid capacity is gone: long pause, alarm */
    FAULT_WINDOW,        /* 1, 2: the server suggests a window of blocks */
    FAULT_RANGE,         /* 3 to 6: too many blocks; limit holds the cap if it was named */
    FAULT_DENSITY,       /* 7: too many logs or bytes in this window */
    FAULT_TIME,          /* 8: it took too long there */
    FAULT_FILTER,        /* 9: too many addresses or topics, or body too large */
    FAULT_BEHIND,        /* 10: the backend does not have the block (yet) */
    FAULT_PRUNED,        /* 11: the history or state is gone */
    FAULT_DOWN,          /* 12: upstream down, reset, EOF, 5xx */
    FAULT_BATCH,         /* 13: too many calls in one JSON-RPC batch */
    FAULT_INVALID,       /* 14: our mistake or an unsupported field */
    FAULT_REVERT,        /* eth_call: deterministic revert */
    FAULT_GAS,           /* eth_call: out of gas, or gas asked for refused */
    FAULT_NOT_CANONICAL, /* eth_call by hash: the block was reorged away */
    FAULT_UNSUPPORTED,   /* method or parameter not known */
    FAULT_GARBLED,       /* the answer could not be read */
    FAULT_UNKNOWN,       /* 15 */
};

struct fault_info {
    enum fault fault;
    const char *rule;  /* which row hit: "R", "1" … "15", or "revert", "gas", "canonical",
                          "feature", "garbled" */
    uint64_t limit;    /* blocks the server allows as `to − from`, already minus one; 0 unknown */
    bool has_window;   /* FAULT_WINDOW */
    uint64_t from, to; /* the suggested window, as given (may be inverted) */
    int64_t retry_after_ms; /* asked for in the text; −1 if not */
    uint64_t per_second;    /* a rate the text names; 0 if none */
};

static inline struct fault_info fault_make(enum fault fault, const char *rule)
{
    return (struct fault_info){.fault = fault, .rule = rule, .retry_after_ms = -1};
}

enum fault_method { FAULT_ANY, FAULT_GETLOGS, FAULT_CALL };

/* http_status 0 when there was none (WebSocket, transport failure). text need not be
 * NUL-terminated. method tells which rules apply: gas and revert only for eth_call, windows only
 * for eth_getLogs. */
void fault_classify(enum fault_method method, int http_status, int64_t code, const char *text,
                    size_t n, struct fault_info *ret);

const char *fault_name(enum fault f); /* "rate", "range" …: for logs and metrics */

/* What the words of an error say, for who must tell cases of one fault apart: a contract's own
 * refusal, not a machine that stopped; gas that ran out, not gas that may not be asked for. */
bool fault_text_reverted(const char *text);
bool fault_text_ran_out(const char *text);

#endif
