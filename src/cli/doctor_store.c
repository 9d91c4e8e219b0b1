/* The database, and each balance's table in it, as the user in the store's URL finds them. */
#include "base/clock.h"
#include "base/url.h"
#include "cli/doctor.h"
#include "cli/figures.h"
#include "store/view.h"
#include "track/sync/bloom.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { CLOCK_SKEW_S = 30 };

static void look_at_clock(struct findings *f, const struct view_facts *v)
{
    int64_t skew = v->now_us / 1000000 - wall_seconds();
    if (skew > CLOCK_SKEW_S || skew < -CLOCK_SKEW_S) {
        doctor_say(f, NOTE, "the database's clock is %" PRId64 " s away from this machine's", skew);
        doctor_advise(f, "set the clocks of both machines (NTP): ages are shown by the database's");
    } else {
        doctor_say(f, FINE, "its clock agrees with this machine's");
    }
}

/* Once for the database: where our own tables go, and the checkpoints. */
static void look_at_rights(struct findings *f, const struct view_facts *v)
{
    if (!v->role[0])
        return; /* SQLite */
    if (v->no_schema) {
        doctor_say(f, BAD, "role \"%s\" may use no schema of its search_path", v->role);
        doctor_advise(f, "GRANT USAGE, CREATE ON SCHEMA public TO \"%s\";", v->role);
    } else if (!v->made && !v->may_create) {
        doctor_say(f, BAD, "role \"%s\" may not create tables in schema %s", v->role, v->schema);
        doctor_advise(f, "GRANT USAGE, CREATE ON SCHEMA %s TO \"%s\";", v->schema, v->role);
    }
    if (!v->may_write_checkpoints) {
        doctor_say(f, BAD, "role \"%s\" may not write eth_indexer_checkpoints", v->role);
        doctor_advise(f, "GRANT SELECT, INSERT, UPDATE ON eth_indexer_checkpoints TO \"%s\";",
                      v->role);
    }
}

static void look_at_table(struct findings *f, const struct store_balance *b,
                          const struct view_facts *v)
{
    char size[FIGURE_TEXT];
    if (!v->table_exists) {
        doctor_say(f, NOTE, "table %s is not there yet: `trueup run` creates it", b->table);
        return;
    }
    doctor_say(f, FINE, "table %s: about %" PRIu64 " rows, %s", b->table, v->rows_estimate,
               figure_bytes((double)v->bytes, size));
    if (!v->may_write) {
        doctor_say(f, BAD, "the user in the store URL may not write %s", b->table);
        doctor_advise(f, "GRANT SELECT, INSERT, UPDATE ON %s TO \"%s\";", b->table, v->role);
    } else {
        doctor_say(f, FINE, "the user in the store URL may write it%s",
                   v->owner ? " and owns it" : "");
    }
    if (v->write_error[0]) {
        doctor_say(f, BAD, "an UPDATE of one row, rolled back, was refused: %s", v->write_error);
        doctor_advise(f,
                      "%s: grant what its triggers write with (eth_user_balances, say), or make "
                      "their functions SECURITY DEFINER",
                      b->table);
    }
    if (!v->has_observed && !v->owner) {
        doctor_say(f, BAD,
                   "column observed_block is missing, and only the table's owner can add it");
        doctor_advise(f, "as the table's owner: ALTER TABLE %s ADD COLUMN observed_block BIGINT",
                      b->table);
    } else if (!v->has_observed) {
        doctor_say(f, NOTE, "column observed_block is missing: `trueup run` adds it");
    }
    if (v->has_updated_index) {
        doctor_say(f, FINE, "updated_at has an index");
    } else {
        doctor_say(f, NOTE,
                   "updated_at has no index: the oldest rows are found by reading them all");
        doctor_advise(f, "CREATE INDEX CONCURRENTLY ON %s (updated_at)", b->table);
    }
    if (v->careless_triggers) {
        doctor_say(f, NOTE,
                   "trigger %s fires on every refresh, also when the balance stays the same",
                   v->careless_name);
        doctor_advise(
            f,
            "limit trigger %s: AFTER UPDATE OF balance, or WHEN (OLD.balance IS DISTINCT FROM "
            "NEW.balance)",
            v->careless_name);
    } else {
        doctor_say(f, FINE,
                   "no trigger fires on a refresh that changes nothing (%" PRIu64 " looked at)",
                   v->triggers);
    }
    if (v->non_canonical)
        doctor_say(f, NOTE,
                   "%" PRIu64
                   " rows have a wallet that is not 0x + 40 lower-case hex: they are left alone",
                   v->non_canonical);
}

/* What following has learnt of the chain's blooms. A store that is not migrated knows nothing. */
static void look_at_blooms(struct findings *f, struct store *s)
{
    struct tracker t = {.store = s};
    struct bloom_trust b;
    struct err ignored = {0};
    if (bloom_load(&t, &b, &ignored) < 0)
        return;
    if (b.state == BLOOM_PROVEN)
        doctor_say(f, FINE, "the headers' blooms hold their logs: they save questions");
    else if (b.state == BLOOM_REFUTED)
        doctor_say(f, NOTE,
                   "the bloom of block %" PRIu64 " does not hold its logs: blooms save no question",
                   b.block);
    else if (b.held > 0)
        doctor_say(f, FINE, "the blooms of %" PRIu64 " blocks hold their logs: %d are enough",
                   b.held, BLOOM_ENOUGH);
}

void doctor_store(struct findings *f, struct conf *conf)
{
    struct store *s;
    struct err err = {0};
    char masked[URL_TEXT];
    const char *file = strncmp(conf->store, "sqlite:", 7) == 0 ? conf->store + 7 : NULL;
    url_masked(masked, conf->store);
    doctor_title(f, "store", masked);
    if (file && access(file, F_OK) < 0) {
        doctor_say(f, NOTE, "the file is not there yet: `trueup run` creates it");
        return;
    }
    if (store_open(conf->store, conf->schema, "trueup doctor", &s, &err) < 0) {
        doctor_say(f, BAD, "%s", err.text);
        doctor_advise(f, "store: %s",
                      err.hint[0] ? err.hint : "make it reachable, then run doctor again");
        return;
    }
    for (size_t i = 0; i < conf->n_balances; i++) {
        const struct conf_balance *c = &conf->balances[i];
        struct store_balance b = {.name = c->name, .table = c->table, .checkpoint = c->checkpoint};
        struct view_facts v;
        if (!c->name)
            continue; /* without a file and without a node: nameless */
        if (view_facts(s, &b, &v, &err) < 0) {
            doctor_say(f, BAD, "%s", err.text);
            break;
        }
        if (i == 0) {
            f->rows = v.rows_estimate;
            doctor_say(f, FINE, "%s", v.version);
            look_at_clock(f, &v);
            look_at_rights(f, &v);
            if (v.standby) {
                doctor_say(f, BAD, "this server is a read-only standby");
                doctor_advise(f,
                              "store: name the primary server; with several hosts in the URL add "
                              "?target_session_attrs=read-write");
            }
            if (v.pooled) {
                doctor_say(f, NOTE,
                           "a connection pooler stands in between: statements are not prepared");
            }
        }
        look_at_table(f, &b, &v);
    }
    look_at_blooms(f, s);
    store_close(s);
}
