#include "track/failure_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 8, ROWS_LOOKED_AT = 64 };

/* The rule of proportion alone: are `failed` of `read` so many that witnesses are wanted? */
static bool judge_wants_witnesses(size_t failed, size_t read)
{
    if (failed == 0)
        return false;
    return read < MANY ? failed == read : failed * 2 >= read;
}

/* The term on which the most wallets fail, if that is suspiciously many; else −1. */
static int suspicious_term(const struct step *s, const struct reading *readings)
{
    size_t failed[READ_TERMS_MAX] = {0};
    int worst = -1;
    for (size_t i = 0; i < s->n; i++)
        if (readings[i].status != READ_OK && readings[i].failed_term >= 0)
            failed[readings[i].failed_term]++;
    for (size_t t = 0; t < s->balance->shape.n_terms; t++)
        if (judge_wants_witnesses(failed[t], s->n) && (worst < 0 || failed[t] > failed[worst]))
            worst = (int)t;
    return worst;
}

static bool among_failing(const struct step *s, const struct reading *readings, const address *w)
{
    for (size_t i = 0; i < s->n; i++)
        if (address_equal(&readings[i].wallet, w))
            return readings[i].status != READ_OK;
    return false;
}

/* Anchored rows of the table from a key on. */
static int add_rows(struct tracker *t, const struct step *s, const struct reading *readings,
                    const address *after, struct arena *arena, struct controls *found,
                    struct err *err)
{
    struct store_stale *rows;
    size_t n;
    if (store_next_by_key(t->store, &s->balance->store, after, 0, ROWS_LOOKED_AT, arena, &rows, &n,
                          err) < 0)
        return -1;
    for (size_t i = 0; i < n && found->n < CONTROLS; i++)
        if (!rows[i].unanchored && !among_failing(s, readings, &rows[i].wallet))
            controls_remember(found, &rows[i].wallet);
    return 0;
}

/* Witnesses: wallets that were read well in this very step, then some of those remembered, then
 * anchored rows of the table, first those behind the step's own. None of them is one of the
 * failing. Those remembered are half of them at most: they may be few, and may have gone bad
 * together. */
static int find_witnesses(struct tracker *t, const struct step *s, const struct reading *readings,
                          struct arena *arena, address *ret, size_t *ret_n, struct err *err)
{
    struct controls found = {0};
    for (size_t i = 0; i < s->n && found.n < CONTROLS; i++)
        if (readings[i].status == READ_OK)
            controls_remember(&found, &readings[i].wallet);
    const struct controls *known = &s->balance->controls;
    for (size_t i = 0; i < known->n && found.n < CONTROLS / 2; i++)
        if (!among_failing(s, readings, &known->wallets[i]))
            controls_remember(&found, &known->wallets[i]);
    if (found.n < CONTROLS && t->store &&
        (add_rows(t, s, readings, &readings[0].wallet, arena, &found, err) < 0 ||
         (found.n < CONTROLS && add_rows(t, s, readings, NULL, arena, &found, err) < 0)))
        return -1;
    memcpy(ret, found.wallets, found.n * sizeof *ret);
    *ret_n = found.n;
    return 0;
}

static int by_wallet(const void *a, const void *b)
{
    return address_compare(a, b);
}

/* Reads the failing wallets and the witnesses in one go. */
static int read_again(struct tracker *t, const struct step *s, const address *wallets, size_t n,
                      struct reading *readings, struct step_report *report, struct err *err)
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

static const struct reading *find_reading(const struct reading *list, size_t n, const address *w)
{
    for (size_t i = 0; i < n; i++)
        if (address_equal(&list[i].wallet, w))
            return &list[i];
    return NULL;
}

static void broken(const struct step *s, int term, const char *because, struct step_report *report)
{
    report->end = STEP_BROKEN;
    err_set(&report->why, ERR_FAILED, "term \"%s\" of balance \"%s\" fails for everybody (%s)",
            s->balance->shape.terms[term].name, s->balance->conf->name, because);
    err_hint(&report->why, "is the contract paused, upgraded, or not deployed at this address on "
                           "this chain? nothing is written meanwhile");
}

/* The verdict: how many witnesses still answer on their term. Takes over what was read again. */
static void weigh(const struct step *s, int term, const struct reading *again, size_t n,
                  const address *witnesses, size_t n_witnesses, struct reading *readings,
                  struct step_report *report)
{
    size_t answered = 0;
    for (size_t i = 0; i < n_witnesses; i++) {
        const struct reading *r = find_reading(again, n, &witnesses[i]);
        answered += r && r->status == READ_OK;
    }
    if (answered == 0) {
        const struct reading *one = find_reading(again, n, &witnesses[0]);
        char wallet[ADDRESS_TEXT], because[160];
        address_text(&witnesses[0], wallet);
        snprintf(because, sizeof because, "wallets that were read well lately fail too, %s: %s",
                 wallet, one ? reading_status_name(one->status) : "not read");
        broken(s, term, because, report);
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        const struct reading *r =
            readings[i].status == READ_OK ? NULL : find_reading(again, n, &readings[i].wallet);
        if (r)
            readings[i] = *r;
    }
}

int judge(struct tracker *t, const struct step *s, struct reading *readings, struct arena *arena,
          struct step_report *report, struct err *err)
{
    int term = suspicious_term(s, readings);
    if (term < 0)
        return 0;
    address witnesses[CONTROLS];
    size_t n_witnesses;
    if (find_witnesses(t, s, readings, arena, witnesses, &n_witnesses, err) < 0)
        return -1;
    if (n_witnesses == 0) {
        broken(s, term, "and no wallet is known that was read well before", report);
        return 0;
    }
    address *wallets = arena_alloc(arena, (s->n + n_witnesses) * sizeof *wallets);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (readings[i].status != READ_OK)
            wallets[n++] = readings[i].wallet;
    memcpy(wallets + n, witnesses, n_witnesses * sizeof *wallets);
    n += n_witnesses;
    qsort(wallets, n, sizeof *wallets, by_wallet);
    struct reading *again = arena_alloc(arena, n * sizeof *again);
    if (read_again(t, s, wallets, n, again, report, err) < 0)
        return -1;
    if (report->end == STEP_DONE)
        weigh(s, term, again, n, witnesses, n_witnesses, readings, report);
    return 0;
}
