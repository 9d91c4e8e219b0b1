/* trueup explain WALLET: why its row says what it says, as a story. */
#include "track/verify/explain.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/session.h"
#include "cli/wallet_file.h"
#include "store/times.h"
#include "web/json_values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct cli_option explain_options[] = {{0}};

enum { WHEN_TEXT = TIME_TEXT };

static const char *explain_time_text(int64_t us, char out[WHEN_TEXT])
{
    time_to_text(us, out);
    out[strlen("1970-01-01 00:00:00")] = '\0';
    return out;
}

static const char *explain_age_text(int64_t us, char out[CLOCK_TEXT])
{
    int64_t ms = wall_ms() - us / 1000;
    duration_text(out, ms > 0 ? ms : 0);
    return out;
}

static const char *explain_number_text(const u256 *v, char out[U256_DEC_ROOM])
{
    u256_to_dec(v, out);
    return out;
}

/* ---- in words -------------------------------------------------------------------------------- */

struct cause_words {
    const char *cause, *words; /* the last one has no cause: for any other */
};

static const char *words_for(const struct cause_words *known, const char *cause)
{
    while (known->cause && strcmp(cause, known->cause) != 0)
        known++;
    return known->words ? known->words : cause;
}

static const struct cause_words change_words[] = {
    {"event", "an event that named it"},
    {"sweep", "the sweep"},
    {"settle", "a second read when its block was finalized"},
    {"reorg", "a reorg"},
    {"audit", "trueup audit --fix"},
    {"backfill", "trueup backfill"},
    {NULL, NULL}};

static const struct cause_words drift_words[] = {
    {"no_event_change", "no event names it in between: the contract changed it in silence"},
    {"reorg", "the event is in a block that took another one's place"},
    {NULL, "why is not known"}};

static void tell_row(const struct explain *s)
{
    char dec[U256_DEC_ROOM], then[CLOCK_TEXT];
    const struct store_row *r = &s->row;
    if (!r->found) {
        puts("The table has no row for it.");
        return;
    }
    printf("The row holds %s, ",
           r->odd ? "what is no balance" : explain_number_text(&r->balance, dec));
    if (r->has_observed)
        printf("read from the chain at block %" PRIu64 ", %s ago.\n", r->observed_block,
               explain_age_text(r->updated_us, then));
    else
        puts("which is not anchored: nobody has read it from the chain yet, or the block it was "
             "read "
             "at is gone.");
    if (r->has_blocknumber)
        printf("The last event that named it and was answered is of block %" PRIu64 ".\n",
               r->blocknumber);
    else
        puts("No event that was answered has ever named it.");
    if (s->n_changes > 0)
        printf("Its value came with a read at block %" PRIu64 ", brought about by %s.\n",
               s->changes[0].block, words_for(change_words, s->changes[0].cause));
}

static void tell_reading(const struct reading *r)
{
    char dec[U256_DEC_ROOM];
    fputs(r->status == READ_OK ? explain_number_text(&r->sum, dec) : reading_status_name(r->status),
          stdout);
}

static void tell_chain(const struct tracked *b, const struct explain *s)
{
    char hash[HASH_TEXT];
    hash_text(&s->at.hash, hash);
    printf("The chain, at block %" PRIu64 " (%s), says ", s->at.number, hash);
    tell_reading(&s->sum);
    for (size_t i = 0; i < s->n_terms; i++) {
        printf(i == 0 ? ": %s " : " + %s ", b->shape.terms[i].name);
        tell_reading(&s->terms[i]);
    }
    puts(".");
}

static void tell_quarantine(const struct explain *s)
{
    char then[WHEN_TEXT];
    const struct view_quarantine *q = &s->quarantine;
    printf("It is in quarantine: %s, %" PRIu64
           " times in a row; tried again at %s UTC. The row keeps "
           "what it had.\n",
           q->reason, q->failures, explain_time_text(q->retry_us, then));
    if (q->has_event)
        printf("An event of block %" PRIu64 " waits to be answered until then.\n", q->event_block);
}

static void tell_pending(const struct explain *s)
{
    fputs("So it is out of date, and known to be. ", stdout);
    if (s->row.observed_block < s->full_refresh)
        printf("An event in block %" PRIu64 " may have changed every row: all are read again, this "
               "one among them.\n",
               s->full_refresh);
    else
        printf("An event of block %" PRIu64 " names it, and it is not read at that block yet.\n",
               s->row.blocknumber);
}

static const struct {
    const char *name, *words; /* words NULL: tell_verdict() finds them */
} verdicts[] = {
    [EXPLAIN_RIGHT] = {"right", "So it is right."},
    [EXPLAIN_NO_ROW] = {"no_row",
                        "So nothing is missing: the balance's rule does not keep this wallet."},
    [EXPLAIN_NEW] = {"new", "The rule keeps it: its row appears with the next event that names it, "
                            "or with the sweep once it is listed (trueup wallets add)."},
    [EXPLAIN_UNANCHORED] = {"unanchored", "So it is due: the sweep reads such rows first."},
    [EXPLAIN_QUARANTINED] = {"quarantined", NULL},
    [EXPLAIN_UNREADABLE] = {"unreadable", "So nothing can be said: the next read that fails puts "
                                          "it into quarantine."},
    [EXPLAIN_PENDING] = {"pending", NULL},
    [EXPLAIN_BEHIND] = {"behind", "They differ, but that block is not synced yet: an event that "
                                  "says why may be on its way."},
    [EXPLAIN_DRIFTED] = {"drifted", "So it has drifted: no event that was answered says why. The "
                                    "sweep repairs it when its turn comes; trueup audit --fix does "
                                    "now."},
};

static void tell_verdict(const struct explain *s)
{
    if (s->verdict == EXPLAIN_QUARANTINED)
        tell_quarantine(s);
    else if (s->verdict == EXPLAIN_PENDING)
        tell_pending(s);
    else if (s->verdict == EXPLAIN_RIGHT && s->row.observed_block > s->at.number)
        puts("So it is right: it was read later than that.");
    else
        puts(verdicts[s->verdict].words);
}

/* ---- what happened --------------------------------------------------------------------------- */

static const struct view_drift *drift_of(const struct explain *s, const struct view_change *c)
{
    for (size_t i = 0; i < s->n_drift; i++)
        if (s->drift[i].block == c->block && strcmp(s->drift[i].actual, c->new_) == 0)
            return &s->drift[i];
    return NULL;
}

static void tell_drift(const struct explain *s, const struct view_drift *d)
{
    char old[CLOCK_TEXT];
    duration_text(old, d->has_age ? (int64_t)d->age * 1000 : 0);
    fputs("        drift: ", stdout);
    if (strcmp(d->cause, "missed_log") == 0)
        printf("an event had named it, and endpoint \"%s\" left that log out of its answer",
               d->endpoint ? d->endpoint : "?");
    else if (strcmp(d->cause, "unknown") == 0 && d->block > s->finalized)
        fputs("why is not known yet, its block is not final", stdout);
    else
        fputs(words_for(drift_words, d->cause), stdout);
    printf("; the row had stood for %s\n", old);
}

static void tell_changes(const struct explain *s)
{
    char then[WHEN_TEXT];
    if (s->n_changes == 0) {
        puts("Nothing is on record of how its value came about.");
        return;
    }
    puts("What happened to it, the newest first:");
    for (size_t i = 0; i < s->n_changes; i++) {
        const struct view_change *c = &s->changes[i];
        const struct view_drift *d = drift_of(s, c);
        printf("  %s  block %" PRIu64 "  ", explain_time_text(c->at_us, then), c->block);
        if (c->old)
            printf("%s -> %s  (%s)\n", c->old, c->new_, c->cause);
        else
            printf("new: %s  (%s)\n", c->new_, c->cause);
        if (d)
            tell_drift(s, d);
    }
}

static void explain_print_text(const struct tracked *b, const struct explain *s)
{
    char wallet[ADDRESS_TEXT];
    address_text(&s->wallet, wallet);
    printf("%s in balance \"%s\", table %s\n", wallet, b->conf->name, b->store.table);
    tell_row(s);
    tell_chain(b, s);
    tell_verdict(s);
    tell_changes(s);
}

/* ---- as JSON --------------------------------------------------------------------------------- */

static void add_time(struct buf *out, const char *name, int64_t us)
{
    char then[WHEN_TEXT];
    json_add_text(out, name, explain_time_text(us, then));
}

static void add_reading(struct buf *out, const char *name, const struct reading *r)
{
    if (r->status == READ_OK)
        json_add_amount(out, name, &r->sum);
    else
        json_add_text(out, name, NULL);
}

static void add_row(struct buf *out, const struct store_row *r)
{
    if (!r->found) {
        json_add_text(out, "row", NULL);
        return;
    }
    json_begin(out, "row", '{');
    if (r->odd)
        json_add_text(out, "balance", NULL);
    else
        json_add_amount(out, "balance", &r->balance);
    add_time(out, "updated_at", r->updated_us);
    if (r->has_observed)
        json_add_number(out, "observed_block", r->observed_block);
    if (r->has_blocknumber)
        json_add_number(out, "blocknumber", r->blocknumber);
    json_end(out, '}');
}

static void add_chain(struct buf *out, const struct tracked *b, const struct explain *s)
{
    char hash[HASH_TEXT];
    hash_text(&s->at.hash, hash);
    json_begin(out, "chain", '{');
    json_add_number(out, "block", s->at.number);
    json_add_text(out, "hash", hash);
    add_reading(out, "balance", &s->sum);
    json_begin(out, "terms", '{');
    for (size_t i = 0; i < s->n_terms; i++)
        add_reading(out, b->shape.terms[i].name, &s->terms[i]);
    json_end(out, '}');
    json_end(out, '}');
}

static void add_waiting(struct buf *out, const struct explain *s)
{
    const struct view_quarantine *q = &s->quarantine;
    if (s->quarantined) {
        json_begin(out, "quarantine", '{');
        json_add_number(out, "failures", q->failures);
        add_time(out, "retry_at", q->retry_us);
        json_add_text(out, "reason", q->reason);
        if (q->has_event)
            json_add_number(out, "event_block", q->event_block);
        json_end(out, '}');
    }
    if (s->full_refresh > 0)
        json_add_number(out, "full_refresh", s->full_refresh);
}

static void add_change(struct buf *out, const struct view_change *c)
{
    json_begin(out, NULL, '{');
    json_add_number(out, "block", c->block);
    add_time(out, "at", c->at_us);
    json_add_text(out, "old", c->old);
    json_add_text(out, "new", c->new_);
    json_add_text(out, "cause", c->cause);
    json_end(out, '}');
}

static void add_drift(struct buf *out, const struct view_drift *d)
{
    json_begin(out, NULL, '{');
    json_add_number(out, "block", d->block);
    add_time(out, "found_at", d->found_us);
    json_add_text(out, "stored", d->stored);
    json_add_text(out, "actual", d->actual);
    json_add_text(out, "cause", d->cause);
    json_add_text(out, "endpoint", d->endpoint);
    if (d->has_age)
        json_add_number(out, "age", d->age);
    json_end(out, '}');
}

static void add_past(struct buf *out, const struct explain *s)
{
    json_begin(out, "changes", '[');
    for (size_t i = 0; i < s->n_changes; i++)
        add_change(out, &s->changes[i]);
    json_end(out, ']');
    json_begin(out, "drift", '[');
    for (size_t i = 0; i < s->n_drift; i++)
        add_drift(out, &s->drift[i]);
    json_end(out, ']');
}

static void print_json(const struct tracked *b, const struct explain *s)
{
    enum { MOST = 256 * 1024 };
    struct buf out = BUF_INIT(MOST);
    json_begin(&out, NULL, '{');
    json_add_text(&out, "balance", b->conf->name);
    json_add_address(&out, "wallet", &s->wallet);
    json_add_text(&out, "verdict", verdicts[s->verdict].name);
    add_row(&out, &s->row);
    add_chain(&out, b, s);
    add_waiting(&out, s);
    add_past(&out, s);
    json_end(&out, '}');
    puts(buf_str(&out));
    buf_free(&out);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int explain_one(struct session *s, struct tracked *b, const address *wallet, struct err *err)
{
    struct arena arena;
    struct explain e;
    arena_init(&arena);
    int rc = explain_gather(&s->t, b, wallet, &arena, &e, err);
    if (rc == 0)
        (s->json ? print_json : explain_print_text)(b, &e);
    arena_free(&arena);
    return rc;
}

static int explain_all(struct session *s, void *ctx, struct err *err)
{
    const struct wallet_list *wallets = ctx;
    for (size_t i = 0; i < wallets->n; i++)
        for (size_t k = 0; k < s->t.n_balances; k++) {
            if ((i > 0 || k > 0) && !s->json)
                putchar('\n');
            if (explain_one(s, &s->t.balances[k], &wallets->list[i], err) < 0)
                return -1;
        }
    return 0;
}

int command_explain(struct cli *cli)
{
    struct err err = {0};
    struct wallet_list wallets = {0};
    if (wallet_list_parse(&wallets, cli->args, cli->n_args, &err) < 0)
        return cli_fail(&err);
    int status =
        session_run(cli, &(struct session_plan){.needs = NEEDS_NODE | NEEDS_STORE,
                                                .steps = SESSION_CHECK_STORE | SESSION_IDENTIFY,
                                                .work = explain_all,
                                                .ctx = &wallets});
    wallet_list_free(&wallets);
    return status;
}
