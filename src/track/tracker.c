#include "track/tracker.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "proc/stop.h"
#include "track/anchor.h"
#include "track/sync/rescan.h"
#include "track/verify/drift.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const enum store_tracking tracking[] = {
    [WALLETS_SEEN] = STORE_SEEN, [WALLETS_LISTED] = STORE_LISTED, [WALLETS_QUERY] = STORE_QUERY};

static void tracker_describe_balance(const struct conf *conf, const struct conf_balance *b,
                                     struct tracked *ret)
{
    *ret = (struct tracked){
        .conf = b,
        .store = {.name = b->name,
                  .table = b->table,
                  .checkpoint = b->checkpoint,
                  .tracking = tracking[b->wallets],
                  .query = b->query,
                  .terms_print = b->terms_print,
                  .rules_print = b->rules_print},
        .shape = {.terms = b->terms,
                  .n_terms = b->n_terms,
                  .anchor = conf->chain.anchor,
                  .multicall = conf->chain.multicall},
    };
}

int tracker_open(struct conf *conf, const char *who, int needs, struct tracker *ret,
                 struct err *err)
{
    struct tracker t = {.conf = conf, .n_balances = conf->n_balances};
    t.balances = mem_zero(conf->n_balances, sizeof *t.balances);
    for (size_t i = 0; i < conf->n_balances; i++) {
        tracker_describe_balance(conf, &conf->balances[i], &t.balances[i]);
        if (needs & NEEDS_FINALITY)
            t.balances[i].waiting_drifts = mem_zero(1, sizeof *t.balances[i].waiting_drifts);
    }
    if ((needs & NEEDS_NODE) &&
        (rpc_open(conf, &t.node, err) < 0 || reads_open(t.node, &t.reads, err) < 0)) {
        tracker_close(&t);
        return -1;
    }
    if ((needs & NEEDS_STORE) && store_open(conf->store, conf->schema, who, &t.store, err) < 0) {
        tracker_close(&t);
        return -1;
    }
    *ret = t;
    return 0;
}

void tracker_close(struct tracker *t)
{
    reads_close(t->reads);
    if (t->node)
        rpc_close(t->node);
    store_close(t->store);
    for (size_t i = 0; i < t->n_balances; i++) {
        if (t->balances[i].waiting_drifts)
            drifts_free(t->balances[i].waiting_drifts);
        mem_free(t->balances[i].waiting_drifts);
    }
    mem_free(t->balances);
    *t = (struct tracker){0};
}

struct store_balance *tracker_store_balances(const struct tracker *t, struct arena *arena)
{
    struct store_balance *b = arena_zero(arena, t->n_balances, sizeof *b);
    for (size_t i = 0; i < t->n_balances; i++)
        b[i] = t->balances[i].store;
    return b;
}

enum { STATE_KEY = 128 };

static void tracker_make_key(const char *what, const struct tracked *b, char ret[STATE_KEY])
{
    snprintf(ret, STATE_KEY, "%s:%.100s", what, b->conf->name);
}

/* Symbols are no names: two tokens may share one. What the table was made for stands in the state,
 * once a start without a file has named it. */
static int tracker_check_token(struct tracker *t, bool keep, struct err *err)
{
    static const char token_key[] = "token";
    char key[STATE_KEY], now[ADDRESS_TEXT];
    const char *before = NULL;
    struct arena arena;
    if (!t->conf->named_by_symbol)
        return 0;
    arena_init(&arena);
    address_checksum(&t->conf->balances[0].terms[0].contract, now);
    tracker_make_key(token_key, &t->balances[0], key);
    int rc = store_state_get(t->store, key, &arena, &before, err);
    if (rc == 0 && before && strcmp(before, now) != 0) {
        err_set(err, ERR_USAGE,
                "\"%s\" is the symbol of two tokens: this database keeps %s, and "
                "--token is %s",
                t->conf->balances[0].name, before, now);
        rc = err_hint(err, "give the other token a --store or a folder of its own");
    } else if (rc == 0 && !before && keep) {
        rc = store_state_set(t->store, key, now, err);
    }
    arena_free(&arena);
    return rc;
}

/* The names that are not among the others', separated by commas. */
static size_t tracker_list_unknown(const char *const *names, size_t n, const char *const *others,
                                   size_t n_others, struct buf *ret)
{
    size_t unknown = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < n_others && strcmp(names[i], others[k]) != 0)
            k++;
        if (k == n_others)
            buf_addf(ret, "%s%s", unknown++ ? ", " : "", names[i]);
    }
    return unknown;
}

static int tracker_refuse_balances(size_t n_missing, const char *missing, const char *unknown,
                                   struct err *err)
{
    if (n_missing == 0) {
        err_set(err, ERR_USAGE,
                "this database keeps no balance \"%.300s\", which the settings name", unknown);
        return err_hint(err, "stop the daemon, then `trueup migrate` adds it; or keep it in "
                             "another database, or under another `schema:`");
    }
    if (!*unknown)
        err_set(err, ERR_USAGE, "this database keeps \"%.300s\", which the settings do not name",
                missing);
    else
        err_set(err, ERR_USAGE,
                "this database keeps other balances: \"%.300s\"; the settings name \"%.300s\"",
                missing, unknown);
    return err_hint(err, "name all of them in one file, keep these in another database or under "
                         "another `schema:`, or `trueup migrate --forget NAME`");
}

/* Two files with balances of their own would each move the chain's place in one schema. */
static int tracker_check_balances(struct tracker *t, struct err *err)
{
    struct arena arena;
    struct buf missing = BUF_INIT(16384), unknown = BUF_INIT(16384);
    const char *const *stored;
    size_t n = 0;
    arena_init(&arena);
    const char **named = arena_alloc(&arena, t->n_balances * sizeof *named);
    for (size_t i = 0; i < t->n_balances; i++)
        named[i] = t->balances[i].conf->name;
    int rc = store_balance_names(t->store, &arena, &stored, &n, err);
    if (rc == 0 && n > 0) {
        size_t n_unknown = tracker_list_unknown(named, t->n_balances, stored, n, &unknown);
        size_t n_missing =
            t->conf->partial ? 0 : tracker_list_unknown(stored, n, named, t->n_balances, &missing);
        if (n_missing > 0 || (n_unknown > 0 && !t->adds_balances))
            rc = tracker_refuse_balances(n_missing, buf_str(&missing), buf_str(&unknown), err);
    }
    buf_free(&missing);
    buf_free(&unknown);
    arena_free(&arena);
    return rc;
}

static int tracker_check_chain(struct tracker *t, struct err *err)
{
    struct arena arena;
    const char *text = NULL;
    uint64_t id;
    if (!t->conf->chain.id || t->resets_chain)
        return 0;
    arena_init(&arena);
    int rc = store_state_get(t->store, "chain.id", &arena, &text, err);
    if (rc == 0 && text && parse_u64(text, strlen(text), &id) && id != t->conf->chain.id) {
        err_set(err, ERR_USAGE, "this database keeps chain %s, but chain.id is %" PRIu64, text,
                t->conf->chain.id);
        rc = err_hint(err, "one schema holds one chain: correct chain.id, or give this chain a "
                           "`schema:` of its own");
    }
    arena_free(&arena);
    return rc;
}

int tracker_check_settings(struct tracker *t, struct err *err)
{
    struct err unmade;
    if (store_check_made(t->store, &unmade) < 0)
        return 0;
    if (tracker_check_chain(t, err) < 0 || tracker_check_token(t, false, err) < 0)
        return -1;
    return tracker_check_balances(t, err);
}

int tracker_migrate(struct tracker *t, struct store_adopted *ret, struct err *err)
{
    struct arena arena;
    if (tracker_check_settings(t, err) < 0)
        return -1;
    arena_init(&arena);
    int rc = store_migrate(t->store, tracker_store_balances(t, &arena), t->n_balances, ret, err);
    if (rc == 0)
        rc = tracker_check_token(t, true, err);
    if (rc == 0)
        rc = rescan_check_others(t, err);
    arena_free(&arena);
    return rc;
}

int tracker_get_block(struct tracker *t, uint64_t number, struct header *ret, struct err *err)
{
    bool found;
    if (rpc_header_number(t->node, number, ret, &found, err) < 0)
        return -1;
    return found ? 0 : err_set(err, ERR_FAILED, "the node does not have block %" PRIu64, number);
}

int tracker_get_head(struct tracker *t, struct header *ret, struct err *err)
{
    bool found;
    if (rpc_header_tag(t->node, TAG_LATEST, ret, &found, err) < 0)
        return -1;
    return found ? 0 : err_set(err, ERR_FAILED, "the node has no latest block");
}

int tracker_load_block(struct tracker *t, const char *what, const struct tracked *b, uint64_t *ret,
                       bool *ret_found, struct err *err)
{
    char key[STATE_KEY];
    const char *text;
    struct arena arena;
    arena_init(&arena);
    tracker_make_key(what, b, key);
    int rc = store_state_get(t->store, key, &arena, &text, err);
    *ret_found = rc == 0 && text && parse_u64(text, strlen(text), ret);
    arena_free(&arena);
    return rc;
}

int tracker_save_block(struct tracker *t, const char *what, const struct tracked *b, uint64_t block,
                       struct err *err)
{
    char key[STATE_KEY], text[24];
    tracker_make_key(what, b, key);
    snprintf(text, sizeof text, "%" PRIu64, block);
    return store_state_set(t->store, key, text, err);
}

void control_wallets_add(struct control_wallets *c, const address *wallet)
{
    for (size_t i = 0; i < c->n; i++)
        if (address_equal(&c->wallets[i], wallet))
            return;
    c->wallets[c->next] = *wallet;
    c->next = (c->next + 1) % CONTROL_WALLETS;
    if (c->n < CONTROL_WALLETS)
        c->n++;
}

/* The error and the hint of promise 9. */
__attribute__((format(printf, 2, 3))) static int tracker_err_other_chain(struct err *err,
                                                                         const char *fmt, ...)
{
    char words[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    err_set(err, ERR_CHAIN, "%s", words);
    return err_hint(err,
                    "this is another chain than the one in the store, or it was reset; point "
                    "chain.endpoints at the right chain, or run `trueup migrate --reset-chain` "
                    "to forget the old one");
}

/* Compares one fact with what the store remembers; remembers it when there is nothing yet. */
static int tracker_check_stored(struct tracker *t, const char *key, const char *name,
                                const char *now, struct err *err)
{
    struct arena arena;
    const char *before;
    arena_init(&arena);
    int rc = store_state_get(t->store, key, &arena, &before, err);
    if (rc == 0 && !before)
        rc = store_state_set(t->store, key, now, err);
    else if (rc == 0 && strcmp(before, now) != 0)
        rc = tracker_err_other_chain(err, "%s is %s, but the store holds rows of %s", name, now,
                                     before);
    if (rc < 0 && err && err->kind == ERR_CHAIN && strcmp(key, "chain.id") == 0)
        err_hint(err,
                 "one schema holds one chain: point chain.endpoints at chain %s, or give this "
                 "chain a `schema:` of its own, or another database",
                 before);
    arena_free(&arena);
    return rc;
}

/* What the store remembers, so that an endpoint on another chain is recognised. */
static int tracker_load_expected(struct tracker *t, bool *ret_known, struct err *err)
{
    struct arena arena;
    const char *id_text = NULL, *genesis_text = NULL;
    uint64_t id;
    hash32 genesis;
    arena_init(&arena);
    int rc = store_state_get(t->store, "chain.id", &arena, &id_text, err);
    if (rc == 0)
        rc = store_state_get(t->store, "chain.genesis", &arena, &genesis_text, err);
    if (rc == 0)
        rpc_expect(t->node, id_text && parse_u64(id_text, strlen(id_text), &id) ? &id : NULL,
                   genesis_text && hash_parse(genesis_text, strlen(genesis_text), &genesis)
                       ? &genesis
                       : NULL);
    *ret_known = rc == 0 && id_text && genesis_text;
    arena_free(&arena);
    return rc;
}

enum { CONFIRM_LOOKS = 5 };

/* Nothing is remembered yet: what one answer says is not believed, two in a row are. */
static int tracker_confirm_identity(struct tracker *t, uint64_t *id, hash32 *genesis,
                                    struct err *err)
{
    for (int i = 0; i < CONFIRM_LOOKS; i++) {
        uint64_t id_before = *id;
        hash32 genesis_before = *genesis;
        if (rpc_identify(t->node, id, genesis, err) < 0)
            return -1;
        if (*id == id_before && hash_equal(genesis, &genesis_before))
            return 0;
    }
    return err_set(err, ERR_UNREACHABLE,
                   "the endpoints give another chain id or block 0 with each answer");
}

static int tracker_identify_once(struct tracker *t, struct err *err)
{
    uint64_t id;
    hash32 genesis;
    bool known = true;
    char id_text[24], genesis_text[HASH_TEXT];
    if (t->store && tracker_load_expected(t, &known, err) < 0)
        return -1;
    if (rpc_identify(t->node, &id, &genesis, err) < 0)
        return -1;
    if (!known &&
        (tracker_confirm_identity(t, &id, &genesis, err) < 0 || anchor_check_gaps(t, err) < 0))
        return -1;
    if (t->conf->chain.id && t->conf->chain.id != id) {
        err_set(err, ERR_CHAIN, "the endpoint's chain id is %" PRIu64 ", but chain.id is %" PRIu64,
                id, t->conf->chain.id);
        return err_hint(err, "point chain.endpoints at chain %" PRIu64 " or correct chain.id",
                        t->conf->chain.id);
    }
    snprintf(id_text, sizeof id_text, "%" PRIu64, id);
    hash_text(&genesis, genesis_text);
    if (t->store &&
        (tracker_check_stored(t, "chain.id", "the chain id", id_text, err) < 0 ||
         tracker_check_stored(t, "chain.genesis", "the genesis block", genesis_text, err) < 0))
        return -1;
    t->chain_id = id;
    t->genesis = genesis;
    return anchor_learn(t, err);
}

enum { LIKELY_LOOKS = 3, LIKELY_PAUSE_MS = 300 };

int tracker_identify(struct tracker *t, enum tracker_certainty certainty, struct err *err)
{
    int64_t began = clock_ms();
    for (unsigned looks = 1;; looks++) {
        struct err why = {0};
        int rc = tracker_identify_once(t, &why);
        bool sure = certainty == CHAIN_SURE
                        ? looks >= RPC_WRONG_LOOKS && clock_ms() - began >= RPC_WRONG_MS
                        : looks >= LIKELY_LOOKS;
        if (rc == 0 || why.kind != ERR_CHAIN || sure) {
            if (rc < 0)
                *err = why;
            return rc;
        }
        if (certainty == CHAIN_SURE)
            log_warn("the endpoints seem to be on another chain, asking again",
                     LOG_STR("error", why.text), LOG_U64("look", looks));
        int64_t pause = certainty == CHAIN_LIKELY ? LIKELY_PAUSE_MS
                        : looks == 1              ? RPC_WRONG_SOON_MS
                                                  : RPC_WRONG_EVERY_MS;
        if (stop_wait(pause))
            return err_set(err, ERR_STOPPED, "asked to stop while asking for the chain again");
    }
}
