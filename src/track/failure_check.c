#include "track/failure_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 8, ROWS_LOOKED_AT = 64 };

struct failure_check {
    struct tracker *t;
    const struct step *s;
    struct reading *readings; /* of the step */
    struct arena *arena;
    struct step_report *report;
    int term; /* that fails for suspiciously many */
    struct control_wallets controls;
    struct reading *again; /* the failing wallets and the controls, read once more */
    size_t n_again;
};

/* The rule of proportion alone: are `failed` of `read` so many that controls are wanted? */
static bool failure_check_is_wanted(size_t failed, size_t read)
{
    if (failed == 0)
        return false;
    return read < MANY ? failed == read : failed * 2 >= read;
}

/* The term on which the most wallets fail, if that is suspiciously many; else −1. */
static int failure_check_suspicious_term(const struct step *s, const struct reading *readings)
{
    size_t failed[READ_TERMS_MAX] = {0};
    int worst = -1;
    for (size_t i = 0; i < s->n; i++)
        if (readings[i].status != READ_OK && readings[i].failed_term >= 0)
            failed[readings[i].failed_term]++;
    for (size_t t = 0; t < s->balance->shape.n_terms; t++)
        if (failure_check_is_wanted(failed[t], s->n) && (worst < 0 || failed[t] > failed[worst]))
            worst = (int)t;
    return worst;
}

static const struct reading *failure_check_find_reading(const struct reading *list, size_t n,
                                                        const address *w)
{
    for (size_t i = 0; i < n; i++)
        if (address_equal(&list[i].wallet, w))
            return &list[i];
    return NULL;
}

/* Adds the wallet, unless it is one of the failing. */
static void failure_check_add_control(struct failure_check *c, const address *wallet, size_t most)
{
    if (c->controls.n >= most)
        return;
    const struct reading *r = failure_check_find_reading(c->readings, c->s->n, wallet);
    if (!r || r->status == READ_OK)
        control_wallets_add(&c->controls, wallet);
}

/* Anchored rows of the table from a key on. */
static int failure_check_add_rows(struct failure_check *c, const address *after, struct err *err)
{
    struct store_stale *rows;
    size_t n;
    if (store_next_by_key(
            c->t->store, &c->s->balance->store,
            &(struct store_page){.after = after, .limit = ROWS_LOOKED_AT, .arena = c->arena}, &rows,
            &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (!rows[i].unanchored)
            failure_check_add_control(c, &rows[i].wallet, CONTROL_WALLETS);
    return 0;
}

/* Control wallets: those that were read well in this very step, then some of those remembered, then
 * anchored rows of the table, first those behind the step's own. Those remembered are half of them
 * at most: they may be few, and may have gone bad together. */
static int failure_check_find_controls(struct failure_check *c, struct err *err)
{
    const struct control_wallets *known = &c->s->balance->control_wallets;
    for (size_t i = 0; i < c->s->n; i++)
        if (c->readings[i].status == READ_OK)
            failure_check_add_control(c, &c->readings[i].wallet, CONTROL_WALLETS);
    for (size_t i = 0; i < known->n; i++)
        failure_check_add_control(c, &known->wallets[i], CONTROL_WALLETS / 2);
    if (c->controls.n < CONTROL_WALLETS && c->t->store &&
        (failure_check_add_rows(c, &c->readings[0].wallet, err) < 0 ||
         (c->controls.n < CONTROL_WALLETS && failure_check_add_rows(c, NULL, err) < 0)))
        return -1;
    return 0;
}

/* Reads the failing wallets and the control wallets in one go. */
static int failure_check_read_again(struct failure_check *c, struct err *err)
{
    const struct step *s = c->s;
    struct read_report read;
    size_t n = 0;
    address *wallets = arena_alloc(c->arena, (s->n + c->controls.n) * sizeof *wallets);
    for (size_t i = 0; i < s->n; i++)
        if (c->readings[i].status != READ_OK)
            wallets[n++] = c->readings[i].wallet;
    memcpy(wallets + n, c->controls.wallets, c->controls.n * sizeof *wallets);
    n += c->controls.n;
    qsort(wallets, n, sizeof *wallets, address_compare_elements);
    c->again = arena_alloc(c->arena, n * sizeof *c->again);
    c->n_again = n;
    struct read_ask ask = {.shape = &s->balance->shape,
                           .at = s->at,
                           .chain_id = c->t->chain_id,
                           .wallets = wallets,
                           .n = n,
                           .lane = s->lane};
    if (reads_run(c->t->reads, &ask, c->again, &read, err) < 0)
        return -1;
    c->report->requests += read.requests;
    if (read.end == READ_END_FAILED) {
        *err = read.why;
        return -1;
    }
    if (read.end != READ_END_DONE) {
        c->report->end = STEP_MOVED;
        c->report->why = read.why;
    }
    return 0;
}

static void failure_check_set_broken(const struct failure_check *c, const char *because)
{
    struct err *why = &c->report->why;
    c->report->end = STEP_BROKEN;
    err_set(why, ERR_FAILED, "term \"%s\" of balance \"%s\" fails for every wallet (%s)",
            c->s->balance->shape.terms[c->term].name, c->s->balance->conf->name, because);
    err_hint(why, "is the contract paused, upgraded, or not deployed at this address on this "
                  "chain? nothing is written meanwhile");
}

/* If a control wallet still answers, the failing wallets are bad: takes over what was read again.
 */
static void failure_check_weigh(struct failure_check *c)
{
    const address *first = &c->controls.wallets[0];
    size_t answered = 0;
    for (size_t i = 0; i < c->controls.n; i++) {
        const struct reading *r =
            failure_check_find_reading(c->again, c->n_again, &c->controls.wallets[i]);
        answered += r && r->status == READ_OK;
    }
    if (answered == 0) {
        const struct reading *one = failure_check_find_reading(c->again, c->n_again, first);
        char wallet[ADDRESS_TEXT], because[160];
        address_text(first, wallet);
        snprintf(because, sizeof because, "wallets that were read well lately fail too, %s: %s",
                 wallet, one ? reading_status_name(one->status) : "not read");
        failure_check_set_broken(c, because);
        return;
    }
    for (size_t i = 0; i < c->s->n; i++) {
        struct reading *was = &c->readings[i];
        const struct reading *r = failure_check_find_reading(c->again, c->n_again, &was->wallet);
        if (was->status != READ_OK && r)
            *was = *r;
    }
}

int failure_check_run(struct tracker *t, const struct step *s, struct reading *readings,
                      struct arena *arena, struct step_report *report, struct err *err)
{
    struct failure_check c = {
        .t = t, .s = s, .readings = readings, .arena = arena, .report = report};
    c.term = failure_check_suspicious_term(s, readings);
    if (c.term < 0)
        return 0;
    if (failure_check_find_controls(&c, err) < 0)
        return -1;
    if (c.controls.n == 0) {
        failure_check_set_broken(&c, "and no wallet is known that was read well before");
        return 0;
    }
    if (failure_check_read_again(&c, err) < 0)
        return -1;
    if (report->end == STEP_DONE)
        failure_check_weigh(&c);
    return 0;
}
