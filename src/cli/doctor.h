/*
 * What the files of `trueup doctor` share. Each looks at one thing and says what it found; what to
 * change is gathered and said last. Nothing is written anywhere.
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "track/tracker.h"

enum { ADVICE = 32, LINE = 400 };
enum grade { FINE, NOTE, BAD };

struct findings {
    const char *about; /* "store", or an endpoint's name */
    bool json, colour, bad_store;
    size_t n_bad;           /* findings of grade BAD */
    bool silent_term;       /* one has no answer for anybody */
    bool any_node;          /* one endpoint at least can serve */
    bool numbers_have_gaps; /* the chain's */
    char advice[ADVICE][LINE];
    size_t n_advice;
    uint64_t rows; /* of the first balance, for the forecast */
};

/* An endpoint, alone. */
struct patient {
    const char *name;
    bool answers; /* else why */
    struct err why;
    struct conf conf; /* with this one only */
    struct tracker t;
    bool is_open;
    struct endpoint *endpoint;
    struct header head;
    int64_t took_ms; /* an answer, roughly */
};

/* ---- doctor_report.c ------------------------------------------------------------------------- */

/* Begins with the store or an endpoint: what is said from now on is about it. */
void doctor_title(struct findings *f, const char *about, const char *detail);
void doctor_say(struct findings *f, enum grade grade, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void doctor_advise(struct findings *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What to change, and whether `run` can work: the exit status. */
int doctor_conclude(struct findings *f);

/* ---- doctor_store.c -------------------------------------------------------------------------- */

void doctor_store(struct findings *f, struct conf *conf);

/* ---- doctor_endpoint.c ----------------------------------------------------------------------- */

/* Connects, and asks who it is. Closed by doctor_leave(). */
void doctor_meet(const struct conf *conf, size_t i, struct patient *p);
/* Its head, asked anew: so that heads asked one after the other can be compared. */
void doctor_ask_head(struct patient *p);
/* best: the highest head of all. */
void doctor_endpoint(struct findings *f, struct patient *p, const struct conf *conf, size_t i,
                     uint64_t best);
void doctor_leave(struct patient *p);
/* The endpoint alone: with a copy of the settings, which the tracker keeps by pointer. */
int doctor_open(const struct conf *conf, const struct conf_endpoint *e, struct conf *ret_conf,
                struct tracker *ret, struct err *err);

/* ---- doctor_family.c ------------------------------------------------------------------------- */

/* Which kind of chain and node it is, and how its blocks are numbered. */
void doctor_family(struct findings *f, struct patient *p);

/* ---- doctor_read.c --------------------------------------------------------------------------- */

void doctor_readers(struct findings *f, struct patient *p, const struct conf_endpoint *e);
void doctor_reading(struct findings *f, struct patient *p);

/* ---- doctor_proof.c -------------------------------------------------------------------------- */

/* What of its answers follows from a block's hash. */
void doctor_proof(struct findings *f, struct patient *p, const struct conf_endpoint *e);

#endif
