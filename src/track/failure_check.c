#include "track/failure_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 8, ROWS_LOOKED_AT = 64 };

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

static bool failure_check_has_failed(const struct step *s, const struct reading *readings,
                                     const address *w)
{
    for (size_t i = 0; i < s->n; i++)
        if (address_equal(&readings[i].wallet, w))
            return readings[i].status != READ_OK;
    return false;
}

/* Anchored rows of the table from a key on. */
static int failure_check_add_rows(struct tracker *t, const struct step *s,
                                  const struct reading *readings, const address *after,
                                  struct arena *arena, struct control_wallets *found,
                                  struct err *err)
{
    struct store_stale *rows;
    size_t n;
    if (store_next_by_key(
            t->store, &s->balance->store,
            &(struct store_page){.after = after, .limit = ROWS_LOOKED_AT, .arena = arena}, &rows,
            &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n && found->n < CONTROL_WALLETS; i++)
        if (!rows[i].unanchored && !failure_check_has_failed(s, readings, &rows[i].wallet))
            control_wallets_add(found, &rows[i].wallet);
    return 0;
}

/* Witnesses: wallets that were read well in this very step, then some of those remembered, then
 * anchored rows of the table, first those behind the step's own. None of them is one of the
 * failing. Those remembered are half of them at most: they may be few, and may have gone bad
 * together. */
static int failure_check_find_controls(struct tracker *t, const struct step *s,
                                       const struct reading *readings, struct arena *arena,
                                       address *ret, size_t *ret_n, struct err *err)
{
    struct control_wallets found = {0};
    for (size_t i = 0; i < s->n && found.n < CONTROL_WALLETS; i++)
        if (readings[i].status == READ_OK)
            control_wallets_add(&found, &readings[i].wallet);
    const struct control_wallets *known = &s->balance->control_wallets;
    for (size_t i = 0; i < known->n && found.n < CONTROL_WALLETS / 2; i++)
        if (!failure_check_has_failed(s, readings, &known->wallets[i]))
            control_wallets_add(&found, &known->wallets[i]);
    if (found.n < CONTROL_WALLETS && t->store &&
        (failure_check_add_rows(t, s, readings, &readings[0].wallet, arena, &found, err) < 0 ||
         (found.n < CONTROL_WALLETS &&
          failure_check_add_rows(t, s, readings, NULL, arena, &found, err) < 0)))
        return -1;
    memcpy(ret, found.wallets, found.n * sizeof *ret);
    *ret_n = found.n;
    return 0;
}

static int failure_check_compare(const void *a, const void *b)
{
    return address_compare(a, b);
}

/* Reads the failing wallets and the controls in one go. */
static int failure_check_read_again(struct tracker *t, const struct step *s, const address *wallets,
                                    size_t n, struct reading *readings, struct step_report *report,
                                    struct err *err)
{
    struct read_ask ask = {.shape = &s->balance->shape,
                           .at = s->at,
                           .chain_id = t->chain_id,
                           .wallets = wallets,
                           .n = n,
                           .lane = s->lane};
    struct read_report read;
    if (reads_run(t->reads, &ask, readings, &read, err) < 0)
        return -1;
    report->requests += read.requests;
    if (read.end == READ_END_FAILED) {
        *err = read.why;
        return -1;
    }
    if (read.end != READ_END_DONE) {
        report->end = STEP_MOVED;
        report->why = read.why;
    }
    return 0;
}

static const struct reading *failure_check_find_reading(const struct reading *list, size_t n,
                                                        const address *w)
{
    for (size_t i = 0; i < n; i++)
        if (address_equal(&list[i].wallet, w))
            return &list[i];
    return NULL;
}

static void failure_check_set_broken(const struct step *s, int term, const char *because,
                                     struct step_report *report)
{
    report->end = STEP_BROKEN;
    err_set(&report->why, ERR_FAILED, "term \"%s\" of balance \"%s\" fails for every wallet (%s)",
            s->balance->shape.terms[term].name, s->balance->conf->name, because);
    err_hint(&report->why, "is the contract paused, upgraded, or not deployed at this address on "
                           "this chain? nothing is written meanwhile");
}

/* The verdict: how many controls still answer on their term. Takes over what was read again. */
static void failure_check_weigh(const struct step *s, int term, const struct reading *again,
                                size_t n, const address *controls, size_t n_controls,
                                struct reading *readings, struct step_report *report)
{
    size_t answered = 0;
    for (size_t i = 0; i < n_controls; i++) {
        const struct reading *r = failure_check_find_reading(again, n, &controls[i]);
        answered += r && r->status == READ_OK;
    }
    if (answered == 0) {
        const struct reading *one = failure_check_find_reading(again, n, &controls[0]);
        char wallet[ADDRESS_TEXT], because[160];
        address_text(&controls[0], wallet);
        snprintf(because, sizeof because, "wallets that were read well lately fail too, %s: %s",
                 wallet, one ? reading_status_name(one->status) : "not read");
        failure_check_set_broken(s, term, because, report);
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        const struct reading *r = readings[i].status == READ_OK
                                      ? NULL
                                      : failure_check_find_reading(again, n, &readings[i].wallet);
        if (r)
            readings[i] = *r;
    }
}

int failure_check_run(struct tracker *t, const struct step *s, struct reading *readings,
                      struct arena *arena, struct step_report *report, struct err *err)
{
    int term = failure_check_suspicious_term(s, readings);
    if (term < 0)
        return 0;
    address controls[CONTROL_WALLETS];
    size_t n_controls;
    if (failure_check_find_controls(t, s, readings, arena, controls, &n_controls, err) < 0)
        return -1;
    if (n_controls == 0) {
        failure_check_set_broken(s, term, "and no wallet is known that was read well before",
                                 report);
        return 0;
    }
    address *wallets = arena_alloc(arena, (s->n + n_controls) * sizeof *wallets);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (readings[i].status != READ_OK)
            wallets[n++] = readings[i].wallet;
    memcpy(wallets + n, controls, n_controls * sizeof *wallets);
    n += n_controls;
    qsort(wallets, n, sizeof *wallets, failure_check_compare);
    struct reading *again = arena_alloc(arena, n * sizeof *again);
    if (failure_check_read_again(t, s, wallets, n, again, report, err) < 0)
        return -1;
    if (report->end == STEP_DONE)
        failure_check_weigh(s, term, again, n, controls, n_controls, readings, report);
    return 0;
}
