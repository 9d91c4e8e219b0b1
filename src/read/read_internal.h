/* What the files of the engine share: read.c (what is in flight), read_answer.c (what an answer
 * means), read_echo.c (whether it is this question's), read_store.c (values into readings),
 * read_bisect.c (the size or one wallet), read_profile.c and read_probe.c (what an endpoint can
 * do). No other file includes this. */
#ifndef READ_READ_INTERNAL_H
#define READ_READ_INTERNAL_H

#include "base/err.h"
#include "base/random.h"
#include "read/read.h"

enum { READ_WINDOW = 4, READ_NULL_RETRIES = 3, READ_MOVES = 12, READ_PROFILES = 128 };

/* What is known of an endpoint, for the terms of one balance: a wallet of another one costs another
 * amount of gas. */
struct read_profile {
    struct endpoint *endpoint;
    const struct conf_term *terms;
    size_t n_terms;
    const struct reader *reader;
    uint64_t gas;            /* what is asked for */
    uint64_t granted;        /* what was seen to be given; 0: not seen yet */
    uint64_t gas_per_wallet; /* 0: not seen yet */
    struct sentinel sentinel;
    size_t size;      /* wallets in a chunk now */
    size_t last_bad;  /* smallest size that lately failed; 0 if none */
    size_t last_good; /* largest chunk that held, as far as is known */
    unsigned blamed;  /* sizes below last_good that failed since one of blamed_size was good */
    size_t blamed_size;
    unsigned bisects;   /* under way (read_bisect.c) … */
    size_t bisect_size; /* … and no chunk is larger than this meanwhile; 0: no such limit */
    const struct chunk *probe_chunk; /* in flight and larger than last_good; NULL: none is */
    unsigned successes;              /* full chunks in a row since the size last changed */
    unsigned patience;               /* as many of them, and last_bad is forgotten; 0: the least */
    bool anchored;                   /* it has given an anchored answer through this reader */
    bool forgotten;                  /* probe again */
    unsigned lowered;                /* answers since less gas was granted than asked for */
};

enum chunk_kind {
    CHUNK_WALLETS,
    /* No wallets, but the same question: does the endpoint answer at all? Then the one wallet
     * [first] that it had no answer for is to blame, and is asked once more. */
    CHUNK_CONTROL,
    /* A block that does not exist: an answer shows that the endpoint does not look at the block. */
    CHUNK_CANARY,
};

struct read_bisect;

/* Where a reader by_echo stands with a chunk. */
enum chunk_step { CHUNK_VIEW, CHUNK_ECHO, CHUNK_VIEW_AGAIN };

/* The first answer of a view, while it is asked for the second. */
struct chunk_view {
    enum fault fault;
    uint8_t *bytes; /* the chunk's */
    size_t n;
};

/* One request's worth of a read, waiting or in flight. */
struct chunk {
    struct read *read;
    struct chunk *next;
    size_t first, n;  /* wallets [first, first + n) of the ask, unless … */
    size_t *members;  /* … these n, by number; the chunk's */
    address *wallets; /* of members, as sent; the chunk's */
    size_t first_term, n_terms;
    bool isolated;
    enum chunk_kind kind;
    struct read_bisect *bisect; /* NULL: none */
    enum chunk_step step;
    struct chunk_view view;
    unsigned misplaced;           /* times the answer was another request's */
    unsigned nulls;               /* times the answer was a JSON null */
    unsigned moves;               /* times its endpoint did not serve it, and there were others */
    struct read_profile *profile; /* as it was sent */
    struct read_chunk sent;
};

/* A wallet read term by term: what is there of it. The terms may come in any order, but what the
 * wallet's reading says must not depend on it. */
struct per_term {
    struct term_value *values; /* READ_UNANSWERED until it is there. NULL: the wallet is not read
                                  this way */
    uint8_t first, n, left;
};

struct read {
    struct reads *engine;
    struct read *next;
    struct read_ask ask;
    struct reading *readings;
    struct per_term *per_term; /* NULL until needed; n elements */
    struct chunk *waiting;     /* newest first */
    struct chunk *in_flight;
    size_t n_in_flight;
    bool ended;
    bool anchored; /* some chunk of it was answered, and from the right block */
    /* The endpoint that answered without a proof, and how often; NULL: none, or a canary was sent
     * since. */
    struct read_profile *by_hash;
    size_t n_by_hash;
    struct read_report report;
};

/* Sizes of an earlier run, for when the probe chooses the same reader again. */
struct read_saved_profile {
    const struct endpoint *endpoint;
    const struct conf_term *terms;
    const struct reader *reader;
    uint64_t gas_per_wallet;
    size_t size, last_bad;
    unsigned patience;
};

struct reads {
    struct rpc *node;
    struct rng rng;
    bool (*stop_asked)(void); /* NULL: never */
    struct read *under_way;
    struct read_profile profile[READ_PROFILES];
    size_t n_profiles;
    struct read_saved_profile *saved; /* n_saved of them */
    size_t n_saved;
};

/* read_probe.c: chooses reader and gas for an endpoint by asking it. Nothing else may be in flight.
 * again: what is known of the endpoint itself is asked again, too. */
enum { GAS_FIRST = 50000000, GAS_FLOOR = 1500000 };
int read_probe_endpoint(struct reads *r, struct endpoint *e, const struct read_shape *shape,
                        bool again, struct read_profile *ret, struct err *err);
/* The next lower amount that nodes are known to be capped at; 0: there is no less to ask for. */
uint64_t read_gas_below(uint64_t gas);

/* read_profile.c */
int read_profile_get(struct reads *r, struct endpoint *e, const struct read_shape *shape,
                     struct read_profile **ret, struct err *err);
struct read_profile *read_profile_find(struct reads *r, const struct endpoint *e,
                                       const struct read_shape *shape);
/* A chunk goes out, and it goes away. The first of an untried size is the probe chunk:
 * until it is answered the others stay at what holds, or as many as fly would fail together. */
void read_probe_chunk_sent(const struct chunk *c);
void read_probe_chunk_gone(const struct chunk *c);
/* took_ms: on the wire. */
void read_size_on_good(struct read_profile *l, size_t n, const struct read_result *res,
                       int64_t took_ms);
/* n were too many: at once, or, where that many held lately, when it was said repeatedly. */
void read_size_on_bad(struct read_profile *l, size_t n);
void read_size_on_bisected(struct read_profile *l, size_t n);
/* Wallets in a chunk now: fewer than `size` while a bisection or a probe chunk is under way. */
size_t read_profile_size(const struct read_profile *l);
/* What is granted, once that is known: the share of a view depends on what the call really has. */
uint64_t read_profile_gas(const struct read_profile *l);
bool read_profile_lower_gas(struct read_profile *l); /* false: there is no less to ask for */
/* The reader no longer works there: the next read probes again. */
void read_profile_forget(struct reads *r, const struct endpoint *e);

/* read_answer.c: what the answer means for the chunk; the chunk is freed or queued again. */
void chunk_on_answer(struct chunk *c, const struct rpc_answer *a);

/* read_echo.c: whether an answer is this question's. */
/* The answer is another request's: it is counted and the chunk queued again; the read fails after a
 * few in a row. */
void chunk_on_misplaced(struct chunk *c);
/* Reader by_echo: true when the answer is dealt with; else it is the view's, asked twice, or a
 * fault like any. */
bool chunk_echo_on_answer(struct chunk *c, const struct rpc_answer *a);
/* Reader by_echo: one request at a time, and no other's between a view and its echo. */
bool read_echo_must_wait(const struct read *read);

/* read_store.c: values into readings. */
void read_store_value(struct read *read, size_t wallet, enum reading_status status, int term,
                      const u256 *value);
/* Queues the chunk's one wallet again, each term by itself. The chunk is still the caller's. */
void chunk_split_terms(struct chunk *c);
void read_per_term_free(struct read *read);

/* read_bisect.c: too big, or is one of them bad? */
void read_bisect_begin(struct chunk *whole, struct chunk *a, struct chunk *b);
void read_bisect_good(struct chunk *half);
void read_bisect_bad(struct chunk *half);
void read_bisect_leave(struct chunk *half);

/* read.c */
/* The number in the ask of the chunk's wallet i. */
size_t chunk_wallet(const struct chunk *c, size_t i);
/* Queues wallets [from, from + n) of c, with c's terms, as a chunk of their own. */
struct chunk *chunk_part(const struct chunk *c, size_t from, size_t n);
/* Queues these wallets, all terms, to be read alone: with the whole budget. */
void chunk_isolated(struct read *read, const size_t *members, size_t n);
struct chunk *chunk_new(struct read *read, size_t first, size_t n, size_t first_term,
                        size_t n_terms, bool isolated);
/* Queues the same again. */
struct chunk *chunk_again(const struct chunk *c);
void chunk_free(struct chunk *c);
void read_stop(struct read *read, enum read_end end); /* report.why is set by the caller */

#endif
