/* What sample.c and sample_break.c share: a head that is being linked, and what becomes of one that
 * does not link. */
#ifndef TRACK_SYNC_SAMPLE_INTERNAL_H
#define TRACK_SYNC_SAMPLE_INTERNAL_H

#include "track/sync/sample.h"

/* A head that is being linked. */
struct sample_question {
    struct tracker *t;
    struct samples *s;
    const struct header *head;
    struct err *err;
};

enum sample_word { WORD_SAME, WORD_OTHER, WORD_NONE };

int sample_ask_headers(const struct sample_question *q, struct endpoint *of,
                       const uint64_t *numbers, size_t n, struct header *ret, bool *ret_found);
/* What an endpoint shows at a sample's number. */
int sample_ask_word(const struct sample_question *q, const struct anchor *a, struct endpoint *of,
                    enum sample_word *ret);
int sample_err_gap(const struct sample_question *q, uint64_t number);

/* The head is above `top`, the newest sample, and its chain does not hold it. */
int sample_on_denial(const struct sample_question *q, const struct anchor *top,
                     struct sample_news *ret);
/* The head is at or below the newest sample: the endpoint is behind, or its chain was cut back. */
int sample_on_low_head(const struct sample_question *q, struct sample_news *ret);

#endif
