/*
 * What the processes of a daemon count, on one page of shared memory.
 *
 * The supervisor makes the page; every worker finds it on fd 9 and writes its own part of it, and
 * nobody else's: one writer a cell, so counting is a plain store and reading needs no lock. A part
 * outlives its worker: after a restart the new one counts on where the old one was killed, and so
 * no counter ever goes back while the daemon lives. Texts are guarded by a sequence number: a
 * reader that meets a half-written one tries again, and gives up rather than wait.
 *
 * A process without a page (a command, a test) counts on a private one; nobody sees it.
 *
 * This is for people. Decisions read the database, but for two: the budget that processes share is
 * spent from this page, and the lights of the web process are judged by it.
 */
#ifndef PROC_COUNTERS_H
#define PROC_COUNTERS_H

#include "eth/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum {
    COUNTERS_FD = 9, /* in a worker */
    COUNTERS_ENDPOINTS = 8,
    COUNTERS_BALANCES = 256,
    COUNTERS_WORKERS = 8,
    COUNTERS_NAME = 80,
    COUNTERS_TEXT = 240,
    COUNTERS_WORDS = 1024,
    COUNTERS_PATHS = 6, /* as enum store_cause */
    COUNTERS_BUCKETS = 12,
    COUNTERS_OWNER = 64,
};

enum counters_part { PART_SUPERVISOR, PART_FOLLOW, PART_SWEEP, PART_LISTEN, PART_WEB, PARTS };

/* Why a log of an answer was passed over, or names wallets without an event block. */
enum logs_ignored {
    LOGS_REMOVED,       /* marked `removed` */
    LOGS_DUPLICATE,     /* the same log once more */
    LOGS_FOREIGN,       /* of a contract or topic that was not asked for */
    LOGS_OUTSIDE_RANGE, /* its block number is; its wallets are read */
    LOGS_OTHER_BLOCK,   /* not of the block asked for by hash; near the head its wallets are read */
    LOGS_LAYOUT,        /* topics and data do not fit the declared event */
    LOGS_NO_BLOCK,      /* no block number or no block hash; its wallets are read */
    LOGS_UNREADABLE,    /* no object, or without an address */
    LOGS_IGNORED_REASONS,
};
extern const char *const counters_logs_ignored_names[LOGS_IGNORED_REASONS];

/* One number each. Gauges hold the last value, the others grow. */
enum cell {
    CELL_HEAD,        /* gauge: block */
    CELL_HEAD_TIME,   /* gauge: its timestamp */
    CELL_SYNCED,      /* gauge: the least of all balances */
    CELL_FINALIZED,   /* gauge */
    CELL_POLLED_AT,   /* gauge: wall ms of the last turn of follow in which the node answered */
    CELL_POLL_MS,     /* gauge: how often follow looks for a new block */
    CELL_ENDPOINTS,   /* gauge: how many are configured (the supervisor's) */
    CELL_BATCH,       /* gauge: wallets one request carries */
    CELL_EVENT_AT,    /* gauge: wall ms at which an event of a new block was last seen */
    CELL_EVENT_BLOCK, /* gauge: the newest block an event was seen in; 0: none yet */
    CELL_HEAD_AT,     /* gauge: wall ms at which the head was last another one */
    CELL_WS_WANTED,   /* gauge: endpoints with a WebSocket in the settings (the supervisor's) */
    CELL_RESCANNING,  /* gauge: balances whose logs are being read again after a reorg */
    CELL_HELD,        /* gauge: 1 while event sync is blocked */
    CELL_BROKEN,      /* gauge: balances that cannot be swept: a term fails for every wallet */
    CELL_REORGS,
    CELL_DB_WARNINGS,
    CELL_TAKEN_BACK, /* reorgs that began at or below a block called final */
    CELL_TICKS_DONE,
    CELL_TICKS_DROPPED,
    CELL_TICKS_FAILED,
    CELL_TICK_MS,                                   /* gauge: how long the last tick took */
    CELL_TICK_ROWS,                                 /* gauge: rows it asked for */
    CELL_REFRESHED,                                 /* COUNTERS_PATHS of them */
    CELL_CHANGED = CELL_REFRESHED + COUNTERS_PATHS, /* of those, with another balance than before */
    CELL_ROLE,                                      /* gauge: enum counters_role (worker follow) */
    CELL_STOPPING, /* gauge: 1 from when the daemon stops (the supervisor's) */
    CELL_SOCKETS,  /* gauge: subscriptions that are up (worker listen) */
    CELL_HINTS,    /* pushes received */
    CELL_HTTP_REQUESTS,
    CELL_HTTP_REFUSED, /* connections turned away or cut off */
    CELL_LOGS_IGNORED, /* LOGS_IGNORED_REASONS of them */
    CELL_EVENT_ROWS =
        CELL_LOGS_IGNORED + LOGS_IGNORED_REASONS, /* the histogram of event to row: how many, their
                                                     seconds in ms, buckets */
    CELL_EVENT_MS,
    CELL_EVENT_BUCKET,
    CELLS = CELL_EVENT_BUCKET + COUNTERS_BUCKETS,
};

extern const int64_t counters_bucket_ms[COUNTERS_BUCKETS]; /* upper bounds */

/* ---- counting -------------------------------------------------------------------------------- */

void counters_add(enum cell c, uint64_t n);
void counters_set(enum cell c, uint64_t value);
/* n rows were written this long after the block that named them. */
void counters_event_to_row(int64_t ms, uint64_t n);

/* Where the sweep stands in its lap over a balance. */
void counters_lap(size_t balance, bool fresh, uint64_t rows);

/* Endpoints are numbered as in the settings. Names are taken once. */
void counters_endpoint(size_t endpoint, const char *name);
size_t counters_method(const char *method);
/* A request is sent. */
void counters_asked(size_t endpoint);
void counters_request(size_t endpoint, size_t method, enum fault outcome, int64_t took_ms,
                      uint64_t bytes_out, uint64_t bytes_in);
/* An event whose logs have another layout than declared. Texts are cut at COUNTERS_TEXT. */
struct counters_layout {
    char event[COUNTERS_TEXT]; /* "CONTRACT DECLARATION" */
    char fits[COUNTERS_TEXT];  /* the declaration that fits; "": none does */
    uint64_t topics, data_bytes, logs;
    uint64_t lost; /* of those logs, how many do not tell every wallet; 0 or 1 when counted */
};
enum { COUNTERS_LAYOUTS = 4 };
/* Counts one log; true when it is the first of its event and layout that this part counts. */
bool counters_layout(const struct counters_layout *l);
void counters_missed_logs(size_t endpoint, uint64_t n); /* left out of an answer */
void counters_misplaced(size_t endpoint);               /* an answer of another request */
/* It gave both looks at a span of blocks. */
void counters_second_look_alone(size_t endpoint);
/* Why the checkpoint cannot move; NULL: it can. */
void counters_checkpoint_held(const char *why);
/* A call that looks or writes need failed, or succeeded; words: of the failure; began_ms: wall ms
 * at which the call that failed first began. */
enum counters_call { CALL_LOOK, CALL_WRITE, CALL_SWEEP, CALL_WORKER, CALLS };
void counters_call_failed(enum counters_call call, const char *words, int64_t began_ms);
void counters_call_succeeded(enum counters_call call);
/* A worker follow that stands by shows what fails in the daemon that writes, CALL_WORKER included:
 * a worker that died too often. */
struct counters_failing {
    uint64_t since, times;     /* wall ms of the first failure, and how many since; 0: none */
    char words[COUNTERS_TEXT]; /* of the last one */
};
void counters_call_show(enum counters_call call, const struct counters_failing *f);
void counters_checkpoint_show(const struct counters_failing *f);
/* Which daemon writes. OTHER_WRITES: terms are the balances whose settings are not the writer's. */
enum counters_role { ROLE_UNKNOWN, ROLE_WRITES, ROLE_OTHER_WRITES };
void counters_role_set(enum counters_role role, const char *terms);
/* What it was charged for that, in the endpoint's units. */
void counters_cost(size_t endpoint, uint64_t units);
/* Which forms of eth_getLogs leave no log out (rpc/logs.h). */
enum { COUNTERS_LOG_FORMS = 5 };
extern const char *const counters_log_forms_names[COUNTERS_LOG_FORMS];
void counters_endpoint_log_forms(size_t endpoint, size_t forms);
/* It pushed a message of so many bytes. */
void counters_pushed(size_t endpoint, uint64_t bytes);
/* It is asked less, or not at all, from now on. */
enum counters_pause { PAUSE_TOLD, PAUSE_SILENT, PAUSE_WRONG, PAUSE_LAGS, PAUSE_FOREIGN, PAUSES };
extern const char *const counters_pause_names[PAUSES];
void counters_endpoint_pause(size_t endpoint, enum counters_pause why);
void counters_endpoint_paused(size_t endpoint, int64_t wall_ms_until, const char *why);
/* How it is read from; batch: wallets a call. */
void counters_endpoint_reader(size_t endpoint, const char *reader, uint64_t batch, uint64_t gas);

/* ---- the page -------------------------------------------------------------------------------- */

/* The supervisor: makes the page. fd −1 when there is none: then nothing is shared, and all goes
 * on. */
int counters_create(struct err *err);
int counters_fd(void);
/* A worker: finds the page on COUNTERS_FD, if there is one, and takes its part. */
void counters_attach(const char *worker);
bool counters_shared(void);

/* The owner of the lease that this daemon has or had, "GENERATION HOLDER"; "": none so far. Written
 * by the supervisor before it starts workers, then by the worker that takes the lease. */
void counters_owner_put(const char *text);
void counters_owner_get(char ret[COUNTERS_OWNER]);
/* A worker: the monotonic ms by which it gives its next sign of life (proc/alive.h). */
void counters_alive(int64_t until_ms);
/* A worker: COUNTERS_WORDS bytes for what it says when it dies; a text at any moment. NULL without
 * a page. */
char *counters_crash_report(void);

/* The supervisor's own records of its workers. slot: as in its table of services. */
enum counters_death {
    DEATH_EXIT,   /* it ended, with a status */
    DEATH_MEMORY, /* it ended because there was no memory to be had */
    DEATH_SIGNAL, /* killed from outside */
    DEATH_CRASH,  /* killed by what it did itself */
    DEATH_HUNG,   /* it gave no sign of life, and was killed for it */
    DEATHS,
};
extern const char *const counters_death_names[DEATHS];
/* Before the fork: a worker may be dead, with last words said, before its supervisor runs again. */
void counters_worker_starting(const char *name);
void counters_worker_started(size_t slot, const char *name, int pid);
void counters_worker_died(size_t slot, enum counters_death how, const char *words);
/* Ended because it was asked to; gone: it is not wanted any more. */
void counters_worker_stopped(size_t slot, bool gone);
/* It died too often and waits until then (wall s) for its next try; 0: that is over. */
void counters_worker_parked(size_t slot, int64_t until_s);
/* What the worker of this name left behind. 0 and "" if there is none. */
int64_t counters_alive_of(const char *worker);
void counters_crash_report_of(const char *worker, char ret[COUNTERS_WORDS]);

/* ---- reading --------------------------------------------------------------------------------- */

uint64_t counters_get(enum counters_part p, enum cell c);
uint64_t counters_sum(enum cell c); /* over all parts */
/* The balances with other settings than the writer's; "": none. */
void counters_role_terms(char ret[COUNTERS_TEXT]);
/* Of the part that makes such calls, or of the daemon that writes; false when the last one
 * succeeded. */
bool counters_call_failing(enum counters_call call, struct counters_failing *ret);
/* The wall ms since when the checkpoint is held, and why; 0: it is not. */
uint64_t counters_checkpoint_held_since(char ret[COUNTERS_TEXT]);

struct counters_lap_view {
    uint64_t started; /* wall s; 0: no lap yet */
    uint64_t rows;    /* read in it so far */
    uint64_t laps;    /* ended */
};
void counters_lap_get(size_t balance, struct counters_lap_view *ret);

enum { COUNTERS_METHODS = 8, COUNTERS_OUTCOMES = FAULT_UNKNOWN + 1 };
extern const char *const counters_methods[COUNTERS_METHODS];
const char *counters_outcome_name(size_t outcome); /* "ok", or the fault's name */

struct counters_endpoint_view {
    char name[COUNTERS_NAME]; /* "" : no such endpoint */
    uint64_t requests[COUNTERS_METHODS][COUNTERS_OUTCOMES];
    uint64_t bytes_in, bytes_out, cost, missed_logs, misplaced, looks_alone, took_ms, answers;
    uint64_t pushes, pushed_bytes; /* over its WebSocket */
    uint64_t log_forms;            /* index of counters_log_forms_names */
    uint64_t pauses[PAUSES];
    uint64_t latency_us;    /* a moving average over the last answers */
    uint64_t paused_until;  /* wall ms; 0: no pause since its last good answer */
    uint64_t answered_at;   /* wall ms of the last good answer; 0: none yet */
    uint64_t failing_since; /* wall ms of the first request without an answer; 0: one came since */
    uint64_t asked_since;   /* wall ms of the first request since its last good answer; 0: none */
    char paused_why[COUNTERS_TEXT];
    char reader[COUNTERS_TEXT]; /* "": not asked yet */
    uint64_t batch, gas;        /* of a call by that reader */
};
/* Summed over all parts; false when there is no such endpoint. */
bool counters_endpoint_get(size_t endpoint, struct counters_endpoint_view *ret);
/* One part's share alone. */
bool counters_endpoint_part(enum counters_part p, size_t endpoint,
                            struct counters_endpoint_view *ret);

/* Of all parts, i below COUNTERS_LAYOUTS * PARTS; false when there is none. */
bool counters_layout_get(size_t i, struct counters_layout *ret);

struct counters_worker_view {
    char name[COUNTERS_NAME];
    int pid;               /* 0: not running */
    uint64_t started;      /* wall s */
    uint64_t parked_until; /* wall s; 0: not parked */
    uint64_t deaths[DEATHS];
    /* It dies again and again: wall ms since when, and how often; 0 once it has lived for 5 s. */
    uint64_t dying_since, dying_times;
    char exit_reason[COUNTERS_TEXT]; /* of its last exit */
    char trouble[COUNTERS_TEXT];     /* its last warning or error */
    uint64_t trouble_at;             /* wall s */
};
bool counters_worker_get(size_t slot, struct counters_worker_view *ret);
uint64_t counters_started(void); /* wall s at which the page was made; 0 without one */

#endif
