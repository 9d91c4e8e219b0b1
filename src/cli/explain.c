/* trueup explain WALLET: why its row says what it says, as a story. */
#include "track/verify/explain.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const struct cli_option explain_options[] = {{0}};

enum { WHEN_TEXT = 32, EXPLAIN_MOST = 100 };

static const char *explain_time_text(int64_t us, char out[WHEN_TEXT])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(out, WHEN_TEXT, "%Y-%m-%d %H:%M:%S", &tm);
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

static const char *cause_words(const char *cause)
{
    static const struct {
        const char *cause, *words;
    } known[] = {{"event", "an event that named it"},
                 {"sweep", "the sweep"},
                 {"settle", "a second read when its block was finalized"},
                 {"reorg", "a reorg"},
                 {"audit", "trueup audit --fix"},
                 {"backfill", "trueup backfill"}};
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (strcmp(cause, known[i].cause) == 0)
            return known[i].words;
    return cause;
}

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
               s->changes[0].block, cause_words(s->changes[0].cause));
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
    if (s->row.observed_block < s->full_refresh)
        printf("An event in block %" PRIu64 " may have changed every row: all are read again, this "
               "one among them.\n",
               s->full_refresh);
    else
        printf("It is read again when block %" PRIu64 " has finalized.\n",
               s->n_affected ? s->affected_block : s->row.blocknumber);
}

static void tell_verdict(const struct explain *s)
{
    switch (s->verdict) {
    case EXPLAIN_RIGHT:
        puts(s->row.observed_block > s->at.number ? "So it is right: it was read later than that."
                                                  : "So it is right.");
        break;
    case EXPLAIN_NO_ROW:
        puts("So nothing is missing: the balance's rule does not keep this wallet.");
        break;
    case EXPLAIN_NEW:
        puts("The rule keeps it: its row appears with the next event that names it, or with the "
             "sweep once it is listed (trueup wallets add).");
        break;
    case EXPLAIN_UNANCHORED:
        puts("So it is due: the sweep reads such rows first.");
        break;
    case EXPLAIN_QUARANTINED:
        tell_quarantine(s);
        break;
    case EXPLAIN_UNREADABLE:
        puts("So nothing can be said: the next read that fails puts it into quarantine.");
        break;
    case EXPLAIN_PENDING:
        fputs("So it is out of date, and known to be. ", stdout);
        tell_pending(s);
        break;
    case EXPLAIN_BEHIND:
        puts("They differ, but that block is not synced yet: an event that says why may be on its "
             "way.");
        break;
    case EXPLAIN_DRIFTED:
        puts(
            "So it has drifted: no event that was answered says why. The sweep repairs it when its "
            "turn comes; trueup audit --fix does now.");
        break;
    }
}

/* ---- what happened --------------------------------------------------------------------------- */

static const struct view_drift *drift_of(const struct explain *s, const struct view_change *c)
{
    for (size_t i = 0; i < s->n_drift; i++)
        if (s->drift[i].block == c->block && strcmp(s->drift[i].actual, c->new_) == 0)
            return &s->drift[i];
    return NULL;
}

static void tell_drift(const struct view_drift *d)
{
    char old[CLOCK_TEXT];
    duration_text(old, d->has_age ? (int64_t)d->age * 1000 : 0);
    if (strcmp(d->cause, "missed_log") == 0)
        printf("        drift: an event had named it, and endpoint \"%s\" left that log out of its "
               "answer; the row had stood for %s\n",
               d->endpoint ? d->endpoint : "?", old);
    else if (strcmp(d->cause, "no_event_change") == 0)
        printf("        drift: no event names it in between: the contract changed it in silence; "
               "the row had stood for %s\n",
               old);
    else if (strcmp(d->cause, "reorg") == 0)
        printf("        drift: the event is in a block that took another one's place; the row had "
               "stood for %s\n",
               old);
    else
        printf("        drift: why is not known; the row had stood for %s\n", old);
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
            tell_drift(d);
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

static const char *verdict_name(enum explain_verdict v)
{
    static const char *const names[] = {"right",      "no_row",      "new",
                                        "unanchored", "quarantined", "unreadable",
                                        "pending",    "behind",      "drifted"};
    return names[v];
}

static void add_text(struct buf *out, const char *name, const char *text)
{
    buf_addf(out, ",\"%s\":", name);
    if (text)
        json_write_string(out, text, strlen(text));
    else
        buf_adds(out, "null");
}

static void add_reading(struct buf *out, const struct reading *r)
{
    char dec[U256_DEC_ROOM];
    if (r->status == READ_OK)
        buf_addf(out, "\"%s\"", explain_number_text(&r->sum, dec));
    else
        buf_adds(out, "null");
}

static void add_row(struct buf *out, const struct explain *s)
{
    char dec[U256_DEC_ROOM], then[WHEN_TEXT];
    const struct store_row *r = &s->row;
    if (!r->found) {
        buf_adds(out, ",\"row\":null");
        return;
    }
    buf_adds(out, ",\"row\":{\"balance\":");
    buf_addf(out, r->odd ? "null" : "\"%s\"", explain_number_text(&r->balance, dec));
    buf_addf(out, ",\"updated_at\":\"%s\"", explain_time_text(r->updated_us, then));
    if (r->has_observed)
        buf_addf(out, ",\"observed_block\":%" PRIu64, r->observed_block);
    if (r->has_blocknumber)
        buf_addf(out, ",\"blocknumber\":%" PRIu64, r->blocknumber);
    buf_adds(out, "}");
}

static void add_chain(struct buf *out, const struct tracked *b, const struct explain *s)
{
    char hash[HASH_TEXT];
    hash_text(&s->at.hash, hash);
    buf_addf(out, ",\"chain\":{\"block\":%" PRIu64 ",\"hash\":\"%s\",\"balance\":", s->at.number,
             hash);
    add_reading(out, &s->sum);
    buf_adds(out, ",\"terms\":{");
    for (size_t i = 0; i < s->n_terms; i++) {
        buf_addf(out, "%s\"%s\":", i ? "," : "", b->shape.terms[i].name);
        add_reading(out, &s->terms[i]);
    }
    buf_adds(out, "}}");
}

static void add_waiting(struct buf *out, const struct explain *s)
{
    char then[WHEN_TEXT];
    if (s->quarantined) {
        buf_addf(out, ",\"quarantine\":{\"failures\":%" PRIu64 ",\"retry_at\":\"%s\"",
                 s->quarantine.failures, explain_time_text(s->quarantine.retry_us, then));
        add_text(out, "reason", s->quarantine.reason);
        if (s->quarantine.has_event)
            buf_addf(out, ",\"event_block\":%" PRIu64, s->quarantine.event_block);
        buf_adds(out, "}");
    }
    if (s->n_affected > 0)
        buf_addf(out, ",\"reread_at\":%" PRIu64, s->affected_block);
    if (s->full_refresh > 0)
        buf_addf(out, ",\"full_refresh\":%" PRIu64, s->full_refresh);
}

static void add_past(struct buf *out, const struct explain *s)
{
    char then[WHEN_TEXT];
    buf_adds(out, ",\"changes\":[");
    for (size_t i = 0; i < s->n_changes; i++) {
        const struct view_change *c = &s->changes[i];
        buf_addf(out, "%s{\"block\":%" PRIu64 ",\"at\":\"%s\"", i ? "," : "", c->block,
                 explain_time_text(c->at_us, then));
        add_text(out, "old", c->old);
        add_text(out, "new", c->new_);
        add_text(out, "cause", c->cause);
        buf_adds(out, "}");
    }
    buf_adds(out, "],\"drift\":[");
    for (size_t i = 0; i < s->n_drift; i++) {
        const struct view_drift *d = &s->drift[i];
        buf_addf(out, "%s{\"block\":%" PRIu64 ",\"found_at\":\"%s\"", i ? "," : "", d->block,
                 explain_time_text(d->found_us, then));
        add_text(out, "stored", d->stored);
        add_text(out, "actual", d->actual);
        add_text(out, "cause", d->cause);
        add_text(out, "endpoint", d->endpoint);
        if (d->has_age)
            buf_addf(out, ",\"age\":%" PRIu64, d->age);
        buf_adds(out, "}");
    }
    buf_adds(out, "]");
}

static void print_json(const struct tracked *b, const struct explain *s)
{
    enum { MOST = 256 * 1024 };
    char wallet[ADDRESS_TEXT];
    struct buf out = BUF_INIT(MOST);
    address_text(&s->wallet, wallet);
    buf_addf(&out, "{\"balance\":\"%s\",\"wallet\":\"%s\",\"verdict\":\"%s\"", b->conf->name,
             wallet, verdict_name(s->verdict));
    add_row(&out, s);
    add_chain(&out, b, s);
    add_waiting(&out, s);
    add_past(&out, s);
    printf("%s}\n", buf_str(&out));
    buf_free(&out);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int explain_one(const struct cli *cli, struct tracker *t, struct tracked *b,
                       const address *wallet, struct err *err)
{
    struct arena arena;
    struct explain s;
    arena_init(&arena);
    int rc = explain_gather(t, b, wallet, &arena, &s, err);
    if (rc == 0 && cli_has(cli, "json"))
        print_json(b, &s);
    else if (rc == 0)
        explain_print_text(b, &s);
    arena_free(&arena);
    return rc;
}

static int check_store(struct tracker *t, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    int rc = store_check(t->store, tracker_store_balances(t, &arena), t->n_balances, err);
    arena_free(&arena);
    return rc;
}

int command_explain(struct cli *cli)
{
    struct tracker t;
    struct conf *conf;
    struct err err = {0};
    address wallets[EXPLAIN_MOST];
    for (int i = 0; i < cli->n_args; i++)
        if (address_parse(cli->args[i], strlen(cli->args[i]), &wallets[i], &err) < 0) {
            err.kind = ERR_USAGE;
            return cli_fail(&err);
        }
    int status = cli_open(cli, NEEDS_NODE | NEEDS_STORE, &t, &conf);
    if (status)
        return status;
    int rc = check_store(&t, &err);
    if (rc == 0)
        rc = tracker_identify(&t, &err);
    for (int i = 0; rc == 0 && i < cli->n_args; i++)
        for (size_t k = 0; rc == 0 && k < t.n_balances; k++) {
            if ((i > 0 || k > 0) && !cli_has(cli, "json"))
                putchar('\n');
            rc = explain_one(cli, &t, &t.balances[k], &wallets[i], &err);
        }
    cli_close(&t, conf);
    return rc < 0 ? cli_fail(&err) : 0;
}
