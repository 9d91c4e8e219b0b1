#include "web/facts.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/parse.h"
#include "rpc/budget.h"
#include "track/anchor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    LOOK_MS = 500,
    SCAN_MS = 60000, /* and never more than a twentieth of the time */
    SCAN_SHARE = 20,
    SMALL_MS = 2000, /* where all rows are as quickly read as a few */
    SMALL_ROWS = 10000,
    OLD_MS = 172800000, /* two days: where no sweep.max_age is set, a row is old by then */
};

const uint32_t facts_limits[FACTS_LIMITS] = {
    1,      2,       5,       10,      20,      30,      60,       120,     300,    600,
    900,    1800,    3600,    7200,    14400,   21600,   43200,    86400,   172800, 345600,
    604800, 1209600, 1814400, 2592000, 5184000, 7776000, 15552000, 31536000};

void facts_init(struct facts_store *k, const struct conf *conf)
{
    *k = (struct facts_store){.conf = conf, .n_balances = conf->n_balances};
    pthread_mutex_init(&k->lock, NULL);
    if (k->n_balances > FACTS_BALANCES)
        k->n_balances = FACTS_BALANCES;
    k->now.n_balances = k->n_balances;
    snprintf(k->now.store_error, sizeof k->now.store_error, "the store was not asked yet");
    for (size_t i = 0; i < k->n_balances; i++) {
        const struct conf_balance *c = &conf->balances[i];
        k->balances[i] = (struct store_balance){.name = c->name,
                                                .table = c->table,
                                                .checkpoint = c->checkpoint,
                                                .tracking = STORE_SEEN,
                                                .terms_print = c->terms_print,
                                                .rules_print = c->rules_print};
        k->tracked[i] = (struct tracked){.conf = c, .store = k->balances[i]};
        k->now.balances[i].name = c->name;
        k->now.balances[i].table = c->table;
        k->now.balances[i].wallets = c->wallets;
    }
}

void facts_copy(struct facts_store *k, struct facts *ret)
{
    pthread_mutex_lock(&k->lock);
    *ret = k->now;
    pthread_mutex_unlock(&k->lock);
}

int facts_balance(const struct facts_store *k, const char *name, size_t n)
{
    for (size_t i = 0; i < k->n_balances; i++)
        if (strlen(k->balances[i].name) == n && strncmp(k->balances[i].name, name, n) == 0)
            return (int)i;
    return -1;
}

/* ---- positions ------------------------------------------------------------------------------- */

static int look_at_positions(struct facts_store *k, struct store *s, struct facts *ret,
                             struct arena *arena, struct err *err)
{
    struct tracker t = {.store = s, .balances = k->tracked, .n_balances = k->n_balances};
    struct positions p;
    const char *id, *anchor = NULL;
    enum conf_anchor wanted = k->conf->chain.anchor;
    if (positions_load(&t, &p, err) < 0 || store_state_get(s, "chain.id", arena, &id, err) < 0 ||
        store_state_get(s, anchor_key, arena, &anchor, err) < 0)
        return -1;
    if (wanted != ANCHOR_AUTO)
        anchor = anchor_name(wanted);
    snprintf(ret->anchor, sizeof ret->anchor, "%s", anchor ? anchor : "");
    ret->has_positions = p.known;
    ret->head = p.head;
    ret->finalized = p.finalized;
    for (size_t i = 0; i < k->n_balances && i < POSITIONS_BALANCES; i++)
        ret->balances[i].synced = p.synced[i];
    if (!id || !parse_u64(id, strlen(id), &ret->chain_id))
        ret->chain_id = 0;
    return 0;
}

static int look_at_budget(const struct conf *conf, struct store *s, struct facts *ret,
                          struct arena *arena, struct err *err)
{
    struct budget account;
    budget_init(&account, 0, conf->budget.per_day, clock_ms(), wall_seconds());
    for (size_t i = 0; conf->budget.per_day > 0 && i < BUDGET_SPENDERS; i++) {
        const char *text;
        if (store_state_get(s, arena_printf(arena, BUDGET_KEY "%s", budget_spenders[i]), arena,
                            &text, err) < 0)
            return -1;
        if (text)
            budget_import(&account, text, false);
    }
    ret->spent_today = account.others;
    return 0;
}

static int look_at_balance(struct store *s, const struct store_balance *b, struct facts_balance *k,
                           struct arena *arena, struct err *err)
{
    const char *rescan;
    uint64_t at;
    if (store_checkpoint_get(s, b, &k->checkpoint, &k->has_checkpoint, err) < 0 ||
        store_state_get(s, arena_printf(arena, "rescan:%s", b->name), arena, &rescan, err) < 0)
        return -1;
    k->rescanning = rescan && parse_u64(rescan, strlen(rescan), &at) && at < k->checkpoint;
    return 0;
}

static int facts_load_all(struct facts_store *k, struct store *s, struct facts *ret,
                          struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    int rc = look_at_positions(k, s, ret, &arena, err);
    if (rc == 0)
        rc = look_at_budget(k->conf, s, ret, &arena, err);
    for (size_t i = 0; i < k->n_balances && rc == 0; i++)
        rc = look_at_balance(s, &k->balances[i], &ret->balances[i], &arena, err);
    arena_free(&arena);
    return rc;
}

void facts_failed(void *ctx, const struct err *err)
{
    struct facts_store *k = ctx;
    pthread_mutex_lock(&k->lock);
    k->now.store_ok = false;
    snprintf(k->now.store_error, sizeof k->now.store_error, "%.255s", err->text);
    pthread_mutex_unlock(&k->lock);
}

int64_t facts_look(void *ctx, struct store *s)
{
    struct facts_store *k = ctx;
    struct facts fresh = {0};
    struct err err = {0};
    if (facts_load_all(k, s, &fresh, &err) < 0) {
        facts_failed(k, &err);
        return -1;
    }
    pthread_mutex_lock(&k->lock);
    struct facts *now = &k->now;
    now->store_ok = now->store_seen = true;
    now->store_error[0] = '\0';
    now->store_at_ms = clock_ms();
    now->has_positions = fresh.has_positions;
    now->head = fresh.head;
    now->finalized = fresh.finalized;
    now->chain_id = fresh.chain_id;
    memcpy(now->anchor, fresh.anchor, sizeof now->anchor);
    now->spent_today = fresh.spent_today;
    for (size_t i = 0; i < k->n_balances; i++) {
        now->balances[i].has_checkpoint = fresh.balances[i].has_checkpoint;
        now->balances[i].checkpoint = fresh.balances[i].checkpoint;
        now->balances[i].synced = fresh.balances[i].synced;
        now->balances[i].rescanning = fresh.balances[i].rescanning;
    }
    pthread_mutex_unlock(&k->lock);
    return LOOK_MS;
}

/* ---- figures over all rows ------------------------------------------------------------------- */

void facts_scan_failed(void *ctx, const struct err *err)
{
    struct facts_store *k = ctx;
    pthread_mutex_lock(&k->lock);
    snprintf(k->now.scan_error, sizeof k->now.scan_error, "%.255s", err->text);
    pthread_mutex_unlock(&k->lock);
}

static int scan_drift(struct facts_store *k, struct store *s, struct err *err)
{
    struct arena arena;
    struct view_cause *causes;
    size_t n;
    arena_init(&arena);
    int rc = view_drift_causes(s, &arena, &causes, &n, err);
    pthread_mutex_lock(&k->lock);
    if (rc == 0)
        k->now.n_drift = n < FACTS_CAUSES ? n : FACTS_CAUSES;
    for (size_t i = 0; rc == 0 && i < k->now.n_drift; i++) {
        snprintf(k->now.drift[i].balance, sizeof k->now.drift[i].balance, "%s", causes[i].balance);
        snprintf(k->now.drift[i].cause, sizeof k->now.drift[i].cause, "%s", causes[i].cause);
        k->now.drift[i].n = causes[i].n;
    }
    pthread_mutex_unlock(&k->lock);
    arena_free(&arena);
    return rc;
}

static int scan_silence(struct store *s, const char *balance, char *ret, size_t room,
                        struct err *err)
{
    struct arena arena;
    const char *text = NULL;
    arena_init(&arena);
    int rc = store_state_get(s, arena_printf(&arena, "silent:%s", balance), &arena, &text, err);
    snprintf(ret, room, "%s", text ? text : "");
    arena_free(&arena);
    return rc;
}

int64_t facts_scan(void *ctx, struct store *s)
{
    struct facts_store *k = ctx;
    struct err err = {0};
    int64_t started = clock_us(), max_age_ms = k->conf->sweep.max_age_ms;
    uint64_t rows = 0;
    for (size_t i = 0; i < k->n_balances; i++) {
        struct view_ages ages;
        if (view_ages(s, &k->balances[i],
                      &(struct view_scale){facts_limits, FACTS_LIMITS,
                                           max_age_ms > 0 ? max_age_ms : OLD_MS},
                      &ages, &err) < 0) {
            facts_scan_failed(k, &err);
            return -1;
        }
        rows += ages.rows;
        char silent[sizeof k->now.balances[i].silent];
        if (scan_silence(s, k->balances[i].name, silent, sizeof silent, &err) < 0) {
            facts_scan_failed(k, &err);
            return -1;
        }
        pthread_mutex_lock(&k->lock);
        memcpy(k->now.balances[i].silent, silent, sizeof silent);
        k->now.balances[i].has_ages = true;
        k->now.balances[i].ages = ages;
        k->now.balances[i].ages_at_ms = clock_ms();
        pthread_mutex_unlock(&k->lock);
    }
    if (scan_drift(k, s, &err) < 0) {
        facts_scan_failed(k, &err);
        return -1;
    }
    pthread_mutex_lock(&k->lock);
    k->now.scan_error[0] = '\0';
    pthread_mutex_unlock(&k->lock);
    int64_t took_ms = (clock_us() - started) / 1000;
    if (rows <= SMALL_ROWS)
        return SMALL_MS;
    return took_ms * SCAN_SHARE > SCAN_MS ? took_ms * SCAN_SHARE : SCAN_MS;
}

double facts_quantile(const struct view_ages *a, double share)
{
    double wanted = share * (double)a->rows, below = 0;
    double oldest = a->now_us > a->oldest_us ? (double)(a->now_us - a->oldest_us) / 1e6 : 0;
    for (size_t i = 0; i <= FACTS_LIMITS && a->rows > 0; i++) {
        double n = (double)a->buckets[i], from = i ? facts_limits[i - 1] : 0;
        double to = i < FACTS_LIMITS && facts_limits[i] < oldest ? facts_limits[i] : oldest;
        if (n > 0 && below + n >= wanted)
            return to > from ? from + (to - from) * (wanted - below) / n : from;
        below += n;
    }
    return 0;
}
