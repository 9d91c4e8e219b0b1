/*
 * Values into readings. A wallet whose terms are read one by one is gathered here; its terms are
 * folded in their order once all are there, as the lens does it, so that the reason of a failure is
 * the same whichever way it was read.
 */
#include "base/mem.h"
#include "read/read_internal.h"

static void set(struct reading *r, enum reading_status status, int term, const u256 *value)
{
    r->status = status;
    r->failed_term = status == READ_OK || status == READ_OVERFLOW ? -1 : term;
    r->sum = status == READ_OK ? *value : U256_ZERO;
}

/* One wallet, its terms one by one. */
void chunk_put_back_terms(struct chunk *c)
{
    struct read *read = c->read;
    size_t wallet = chunk_wallet(c, 0);
    if (!read->piecemeal)
        read->piecemeal = mem_zero(read->ask.n, sizeof *read->piecemeal);
    struct piecemeal *p = &read->piecemeal[wallet];
    mem_free(p->pieces);
    *p = (struct piecemeal){.pieces = mem_zero(c->n_terms, sizeof *p->pieces),
                            .first = (uint8_t)c->first_term,
                            .n = (uint8_t)c->n_terms,
                            .left = (uint8_t)c->n_terms};
    for (size_t t = 0; t < c->n_terms; t++) {
        p->pieces[t].status = READ_UNANSWERED;
        chunk_new(read, wallet, 1, c->first_term + t, 1, true);
    }
}

static void fold(struct reading *r, struct piecemeal *p)
{
    u256 sum = U256_ZERO;
    enum reading_status status = READ_OK;
    int term = -1;
    for (size_t t = 0; t < p->n && status == READ_OK; t++) {
        status = p->pieces[t].status;
        if (status == READ_OK && !reader_add(&sum, &p->pieces[t].value))
            status = READ_OVERFLOW;
        term = p->first + (int)t;
    }
    set(r, status, term, &sum);
    mem_free(p->pieces);
    *p = (struct piecemeal){0};
}

void read_store_value(struct read *read, size_t wallet, enum reading_status status, int term,
                      const u256 *value)
{
    struct piecemeal *p = read->piecemeal ? &read->piecemeal[wallet] : NULL;
    if (!p || !p->pieces) {
        set(&read->readings[wallet], status, term, value);
        return;
    }
    struct piece *piece = &p->pieces[term - p->first];
    if (piece->status == READ_UNANSWERED)
        p->left--;
    piece->status = status;
    piece->value = status == READ_OK ? *value : U256_ZERO;
    if (p->left == 0)
        fold(&read->readings[wallet], p);
}

void piecemeal_free(struct read *read)
{
    for (size_t i = 0; read->piecemeal && i < read->ask.n; i++)
        mem_free(read->piecemeal[i].pieces);
    mem_free(read->piecemeal);
    read->piecemeal = NULL;
}
