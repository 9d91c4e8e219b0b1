/*
 * Values into readings. A wallet whose terms are read one by one is gathered here; its terms are
 * folded in their order once all are there, as the lens does it, so that the reason of a failure is
 * the same whichever way it was read.
 */
#include "base/mem.h"
#include "read/read_internal.h"

/* Is every term declared to return a number that is never negative? */
static bool read_is_unsigned(const struct read_shape *shape)
{
    for (size_t i = 0; i < shape->n_terms; i++)
        if (shape->terms[i].view.returns[0] != 'u' && shape->terms[i].view.returns[0] != 'b')
            return false;
    return true;
}

/* 2^256 − 5 is what a view says for −5: no number as long as its type is not known. */
static void reading_set(const struct read_shape *shape, struct reading *r,
                        enum reading_status status, int term, const u256 *value)
{
    if (status == READ_OK && value->limb[3] >> 63 && !read_is_unsigned(shape)) {
        status = READ_NEGATIVE;
        term = shape->n_terms == 1 ? 0 : -1;
    }
    r->status = status;
    r->failed_term = status == READ_OK || status == READ_OVERFLOW ? -1 : term;
    r->sum = status == READ_OK ? *value : U256_ZERO;
}

/* One wallet, its terms one by one. */
void chunk_split_terms(struct chunk *c)
{
    struct read *read = c->read;
    size_t wallet = chunk_wallet(c, 0);
    if (!read->per_term)
        read->per_term = mem_zero(read->ask.n, sizeof *read->per_term);
    struct per_term *p = &read->per_term[wallet];
    mem_free(p->values);
    *p = (struct per_term){.values = mem_zero(c->n_terms, sizeof *p->values),
                           .first = (uint8_t)c->first_term,
                           .n = (uint8_t)c->n_terms,
                           .left = (uint8_t)c->n_terms};
    for (size_t t = 0; t < c->n_terms; t++) {
        p->values[t].status = READ_UNANSWERED;
        chunk_new(read, wallet, 1, c->first_term + t, 1, true);
    }
}

void reading_fold(struct reading *r, const struct read_shape *shape, size_t first,
                  const struct term_value *values, size_t n)
{
    u256 sum = U256_ZERO;
    enum reading_status status = READ_OK;
    int term = -1;
    for (size_t t = 0; t < n && status == READ_OK; t++) {
        status = values[t].status;
        if (status == READ_OK && !reader_add(&sum, &values[t].value))
            status = READ_OVERFLOW;
        term = (int)(first + t);
    }
    reading_set(shape, r, status, term, &sum);
}

void read_store_value(struct read *read, size_t wallet, enum reading_status status, int term,
                      const u256 *value)
{
    struct per_term *p = read->per_term ? &read->per_term[wallet] : NULL;
    if (!p || !p->values) {
        reading_set(read->ask.shape, &read->readings[wallet], status, term, value);
        return;
    }
    struct term_value *term_value = &p->values[term - p->first];
    if (term_value->status == READ_UNANSWERED)
        p->left--;
    term_value->status = status;
    term_value->value = status == READ_OK ? *value : U256_ZERO;
    if (p->left == 0) {
        reading_fold(&read->readings[wallet], read->ask.shape, p->first, p->values, p->n);
        mem_free(p->values);
        *p = (struct per_term){0};
    }
}

void read_per_term_free(struct read *read)
{
    for (size_t i = 0; read->per_term && i < read->ask.n; i++)
        mem_free(read->per_term[i].values);
    mem_free(read->per_term);
    read->per_term = NULL;
}
