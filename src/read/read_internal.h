/* What the files of the engine share: read.c (what flies), read_answer.c (what an answer means),
 * read_store.c (values into readings), read_trial.c (who is to blame), read_learn.c and
 * read_probe.c (what an endpoint can do). Nobody else includes this. */
#ifndef READ_READ_INTERNAL_H
#define READ_READ_INTERNAL_H

#include "base/err.h"
#include "base/random.h"
#include "read/read.h"

enum { READ_WINDOW = 4, READ_NULL_RETRIES = 3, READ_MOVES = 12, READ_LEARNT = 128 };

/* What is known of an endpoint, for the terms of one balance: a wallet of another one costs another
 * amount of gas. */
struct read_learnt {
    struct endpoint *endpoint;
    const struct conf_term *terms;
    size_t n_terms;
    const struct reader *reader;
    uint64_t gas;            /* what is asked for */
    uint64_t granted;        /* what was seen to be given; 0: not seen yet */
    uint64_t gas_per_wallet; /* 0: not seen yet */
    struct sentinel sentinel;
    size_t size;        /* wallets in a chunk now */
    size_t size_failed; /* smallest size that lately failed; 0 if none */
    size_t held;        /* largest chunk that held, as far as is known */
    unsigned strikes;   /* sizes below `held` that failed since one of `struck` held */
    size_t struck;
    unsigned trials; /* under way (read_trial.c) … */
    size_t caution;  /* … and no chunk is larger than this meanwhile; 0: no such limit */
    const struct chunk *scout; /* in flight and larger than what is known to hold; NULL: none is */
    unsigned successes;        /* full chunks in a row since the size last changed */
    unsigned patience;         /* as many of them, and size_failed is forgotten; 0: the least */
    bool anchored;             /* it has given an anchored answer through this reader */
    bool forgotten;            /* probe again */
    unsigned lowered;          /* answers since less gas was granted than asked for */
};

enum chunk_kind {
    CHUNK_WALLETS,
    /* No wallets, but the same question: does the endpoint answer at all? Then the one wallet
     * [first] that it had no answer for is to blame, and is asked once more. */
    CHUNK_CONTROL,
    /* A block that nobody has: an answer shows that the endpoint does not look at the block. */
    CHUNK_CANARY,
};

struct trial;

/* One request's worth of a read, waiting or in flight. */
struct chunk {
    struct read *read;
    struct chunk *next;
    size_t first, n;  /* wallets [first, first + n) of the ask, unless … */
    size_t *members;  /* … these n, by number; the chunk's */
    address *wallets; /* of members, as sent; the chunk's */
    size_t first_term, n_terms;
    bool alone;
    bool in_flight;
    enum chunk_kind kind;
    struct trial *half_of;      /* NULL: of no trial */
    unsigned nulls;             /* times the answer was a JSON null */
    unsigned moves;             /* times its endpoint did not serve it, and there were others */
    struct read_learnt *learnt; /* as it was sent */
    struct read_chunk sent;
};

/* A wallet read term by term: what is there of it. The terms may come in any order, but what the
 * wallet's reading says must not depend on it. */
struct piece {
    enum reading_status status; /* READ_UNANSWERED until it is there */
    u256 value;
};
struct piecemeal {
    struct piece *pieces; /* NULL: the wallet is not read this way */
    uint8_t first, n, left;
};

struct read {
    struct reads *engine;
    struct read *next;
    struct read_ask ask;
    struct reading *readings;
    struct piecemeal *piecemeal; /* NULL until needed; n elements */
    struct chunk *waiting;       /* newest first */
    struct chunk *flying;
    size_t n_flying;
    bool ended;
    bool anchored; /* some chunk of it was answered, and from the right block */
    /* Who answered without a proof, and how often; NULL: nobody, or it was tried since. */
    struct read_learnt *by_hash;
    size_t n_by_hash;
    struct read_report report;
};

/* Sizes of an earlier run, for when the probe chooses the same reader again. */
struct read_kept {
    const struct endpoint *endpoint;
    const struct conf_term *terms;
    const struct reader *reader;
    uint64_t gas_per_wallet;
    size_t size, size_failed;
    unsigned patience;
};

struct reads {
    struct rpc *node;
    struct rng rng;
    bool (*stop_asked)(void); /* NULL: never */
    struct read *under_way;
    struct read_learnt learnt[READ_LEARNT];
    size_t n_learnt;
    struct read_kept *kept; /* n_kept of them, at most READ_LEARNT */
    size_t n_kept;
};

/* read_probe.c: chooses reader and gas for an endpoint by asking it. Nothing else may be in flight.
 * again: what is known of the endpoint itself is asked again, too. */
enum { GAS_FIRST = 50000000, GAS_FLOOR = 1500000 };
int probe_endpoint(struct reads *r, struct endpoint *e, const struct read_shape *shape, bool again,
                   struct read_learnt *ret, struct err *err);
/* The next lower amount that nodes are known to be capped at; 0: there is no less to ask for. */
uint64_t gas_below(uint64_t gas);

/* read_learn.c */
int learn_endpoint(struct reads *r, struct endpoint *e, const struct read_shape *shape,
                   struct read_learnt **ret, struct err *err);
struct read_learnt *learnt_of(struct reads *r, const struct endpoint *e,
                              const struct read_shape *shape);
/* A chunk goes out, and it goes away. The first of a size that nothing vouches for goes as a scout:
 * until it is answered the others stay at what holds, or as many as fly would fail together. */
void scout_sent(const struct chunk *c);
void scout_gone(const struct chunk *c);
/* took_ms: on the wire. */
void learn_size_held(struct read_learnt *l, size_t n, const struct read_result *res,
                     int64_t took_ms);
/* n were too many: at once, or, where that many held lately, when it was said repeatedly. */
void learn_size_failed(struct read_learnt *l, size_t n);
void learn_size_blamed(struct read_learnt *l, size_t n);
/* Wallets in a chunk now: fewer than `size` while a trial or a scout is under way. */
size_t learnt_size(const struct read_learnt *l);
/* What is granted, once that is known: the share of a view depends on what the call really has. */
uint64_t learnt_gas(const struct read_learnt *l);
bool learn_less_gas(struct read_learnt *l); /* false: there is no less to ask for */
/* The reader no longer works there: the next read probes again. */
void learn_forget(struct reads *r, const struct endpoint *e);

/* read_answer.c: what the answer means for the chunk; the chunk is freed or queued again. */
void chunk_answered(struct chunk *c, const struct rpc_answer *a);

/* read_store.c: values into readings. */
void read_store_value(struct read *read, size_t wallet, enum reading_status status, int term,
                      const u256 *value);
/* Queues the chunk's one wallet again, each term by itself. The chunk is still the caller's. */
void chunk_put_back_terms(struct chunk *c);
void piecemeal_free(struct read *read);

/* read_trial.c: too big, or is one of them bad? */
void trial_begin(struct chunk *whole, struct chunk *a, struct chunk *b);
void trial_held(struct chunk *half);
void trial_failed(struct chunk *half);
void trial_leave(struct chunk *half);

/* read.c */
/* The number in the ask of the chunk's wallet i. */
size_t chunk_wallet(const struct chunk *c, size_t i);
/* Queues wallets [from, from + n) of c, with c's terms, as a chunk of their own. */
struct chunk *chunk_part(const struct chunk *c, size_t from, size_t n);
/* Queues these wallets, all terms, to be read alone: with the whole budget. */
void chunk_alone(struct read *read, const size_t *members, size_t n);
struct chunk *chunk_new(struct read *read, size_t first, size_t n, size_t first_term,
                        size_t n_terms, bool alone);
/* Queues the same again. */
struct chunk *chunk_again(const struct chunk *c);
void chunk_free(struct chunk *c);
void read_stop(struct read *read, enum read_end end); /* report.why is set by the caller */

#endif
