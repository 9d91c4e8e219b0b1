#include "track/takeover.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "eth/keccak.h"
#include "proc/counters.h"
#include "track/beat.h"
#include "track/lease_facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* SQLite has one writer at a time, which is not to wait for us that often. */
enum { FINGERPRINT_MAX = 32768, BEAT_MS = 500, BEAT_SLOW_MS = 4000 };

/* ---- the settings, as one text --------------------------------------------------------------- */

/* "NAME=HASH …": of each balance its terms, triggers and wallets rule. */
static char *takeover_make_fingerprint(const struct tracker *t)
{
    struct buf text = BUF_INIT(FINGERPRINT_MAX);
    for (size_t i = 0; i < t->n_balances; i++) {
        const struct store_balance *b = &t->balances[i].store;
        uint8_t both[2 * sizeof b->terms_print];
        hash32 hash;
        char hex[HASH_TEXT];
        memcpy(both, &b->terms_print, sizeof b->terms_print);
        memcpy(both + sizeof b->terms_print, &b->rules_print, sizeof b->rules_print);
        keccak256(both, sizeof both, &hash);
        hash_text(&hash, hex);
        buf_addf(&text, "%s%s=%.16s", i ? " " : "", b->name, hex + 2);
    }
    char *own = mem_strdup(buf_str(&text));
    buf_free(&text);
    return own;
}

/* Does the text hold this NAME=HASH? */
static bool takeover_has_entry(const char *text, const char *entry, size_t n)
{
    while (*text) {
        size_t len = strcspn(text, " ");
        if (len == n && memcmp(text, entry, n) == 0)
            return true;
        text += len;
        text += strspn(text, " ");
    }
    return false;
}

/* The names of entries of `ours` that are not in `theirs`. */
static void takeover_list_changed(const char *ours, const char *theirs, char ret[TAKEOVER_NAMES])
{
    size_t used = 0;
    ret[0] = '\0';
    while (*ours && used < TAKEOVER_NAMES - 1) {
        size_t len = strcspn(ours, " ");
        if (!takeover_has_entry(theirs, ours, len))
            used += (size_t)snprintf(ret + used, TAKEOVER_NAMES - used, "%s%.*s", used ? ", " : "",
                                     (int)strcspn(ours, "="), ours);
        ours += len;
        ours += strspn(ours, " ");
    }
}

void takeover_open(struct takeover *w, struct tracker *t)
{
    *w = (struct takeover){.t = t, .fingerprint = takeover_make_fingerprint(t)};
}

void takeover_close(struct takeover *w)
{
    beat_stop(w->beat);
    mem_free(w->fingerprint);
    *w = (struct takeover){0};
}

/* ---- the owner on the page ------------------------------------------------------------------- */

void takeover_owner_text(const struct lease_owner *o, char ret[COUNTERS_OWNER])
{
    snprintf(ret, COUNTERS_OWNER, "%" PRIu64 " %s", o->generation, o->holder);
}

static bool takeover_read_page(struct lease_owner *ret)
{
    char text[COUNTERS_OWNER];
    const char *s = text;
    counters_owner_get(text);
    if (!parse_u64_next(&s, &ret->generation) || !*s)
        return false;
    snprintf(ret->holder, sizeof ret->holder, "%s", s);
    return true;
}

static void takeover_write_page(const struct lease_owner *o)
{
    char text[COUNTERS_OWNER];
    takeover_owner_text(o, text);
    counters_owner_put(text);
}

/* ---- taking ---------------------------------------------------------------------------------- */

bool takeover_is_due(struct takeover_watch *w, const struct lease_view *v, int64_t now_ms)
{
    if (!v->owner.holder[0])
        return true;
    bool same = w->seen && w->beat == v->beat && w->owner.generation == v->owner.generation &&
                strcmp(w->owner.holder, v->owner.holder) == 0;
    if (!same)
        *w = (struct takeover_watch){.seen = true,
                                     .owner = v->owner,
                                     .beat = v->beat,
                                     .since_ms = now_ms,
                                     .still_ms = w->still_ms};
    return now_ms - w->since_ms >= (w->still_ms ? w->still_ms : TAKEOVER_STILL_MS);
}

/* From here on nobody else finds the lease still. */
static int takeover_begin_beat(struct takeover *w, struct err *err)
{
    bool slow = !store_has_parallel_writers(w->t->store);
    w->beat = beat_start(&(struct beat_ask){.url = w->t->conf->store,
                                            .schema = w->t->conf->schema,
                                            .every_ms = slow ? BEAT_SLOW_MS : BEAT_MS,
                                            .owner = w->owner,
                                            .beat = lease_beat},
                         err);
    return w->beat ? 0 : -1;
}

/* Enters the fence as this owner. What it committed and the row does not show is lost. */
static int takeover_enter(struct takeover *w, const char *role, const struct lease_owner *o,
                          bool *ret_entered, bool *ret_back, struct err *err)
{
    if (fence_enter(w->t->store, role, o, ret_entered, ret_back, err) < 0)
        return -1;
    if (!*ret_entered)
        return 0;
    w->owner = *o;
    return takeover_begin_beat(w, err);
}

static int takeover_take(struct takeover *w, const char *role, const struct lease_view *v,
                         struct takeover_report *ret, struct err *err)
{
    struct lease_owner o;
    bool taken = false, entered = false, back;
    /* A lease below one that we had: the database is an older one. */
    ret->went_back = v->owner.generation < w->owner.generation;
    if (tracker_check_settings(w->t, err) < 0 ||
        lease_take(w->t->store, v, w->fingerprint, &o, &taken, err) < 0)
        return -1;
    w->watch.seen = false;
    if (!taken)
        return 0;
    if (takeover_enter(w, role, &o, &entered, &back, err) < 0)
        return -1;
    if (!entered)
        return 0;
    if (tracker_migrate(w->t, &ret->adopted, err) < 0)
        return -1;
    takeover_write_page(&o);
    lease_facts_forget();
    ret->state = TAKEOVER_TAKEN;
    return 0;
}

static int takeover_look(struct takeover *w, const char *role, struct arena *arena,
                         struct takeover_report *ret, struct err *err)
{
    struct lease_view v;
    struct lease_owner o;
    bool entered = false, exclusive = !store_has_parallel_writers(w->t->store);
    if (takeover_read_page(&o)) {
        if (takeover_enter(w, role, &o, &entered, &ret->went_back, err) < 0)
            return -1;
        if (entered) {
            ret->state = TAKEOVER_RESUMED;
            return 0;
        }
        if (o.generation > w->owner.generation)
            w->owner = o;
    }
    if (lease_read(w->t->store, arena, &v, err) < 0)
        return -1;
    /* Facts of a beat that stands still may be of any age. */
    bool beats = w->watch.seen && w->watch.beat != v.beat;
    /* On SQLite the lock on the file has said which daemon runs. */
    if (exclusive || takeover_is_due(&w->watch, &v, clock_ms()))
        return takeover_take(w, role, &v, ret, err);
    takeover_list_changed(w->fingerprint, v.fingerprint, ret->changed);
    if (beats)
        lease_facts_show(v.facts);
    return 0;
}

/* ---- a command ------------------------------------------------------------------------------- */

/* The beat on SQLite comes each four seconds. */
enum { STILL_SLOW_MS = 9000, SETTINGS_LOOK_MS = 100 };

/* The entries of a command's balances; with --balance the others stay as the lease has them. */
static char *takeover_merge(const struct takeover *w, const char *theirs)
{
    struct buf all = BUF_INIT(FINGERPRINT_MAX);
    buf_adds(&all, w->fingerprint);
    while (w->t->conf->partial && *theirs) {
        size_t len = strcspn(theirs, " "), name = strcspn(theirs, "=");
        const struct conf_balance *own = w->t->balances[0].conf;
        if (strlen(own->name) != name || memcmp(own->name, theirs, name) != 0)
            buf_addf(&all, " %.*s", (int)len, theirs);
        theirs += len;
        theirs += strspn(theirs, " ");
    }
    char *text = mem_strdup(buf_str(&all));
    buf_free(&all);
    return text;
}

static int takeover_refuse_settings(const char *ours, const char *theirs, struct err *err)
{
    char names[TAKEOVER_NAMES];
    takeover_list_changed(ours, theirs, names);
    if (!names[0])
        takeover_list_changed(theirs, ours, names);
    err_set(err, ERR_USAGE,
            "a daemon with other terms, triggers or wallets writes here: \"%s\"; it runs "
            "\"%.200s\", these settings are \"%.200s\"",
            names, theirs, ours);
    return err_hint(err, "use the daemon's configuration, or stop it first");
}

/* One look; *ret_done false: look again. */
static int takeover_compare(struct takeover *w, struct arena *arena, bool *ret_done,
                            struct err *err)
{
    struct lease_view v;
    struct takeover_watch *seen = &w->watch;
    if (lease_read(w->t->store, arena, &v, err) < 0)
        return -1;
    char *all = takeover_merge(w, v.fingerprint), names[2][TAKEOVER_NAMES];
    takeover_list_changed(all, v.fingerprint, names[0]);
    takeover_list_changed(v.fingerprint, all, names[1]);
    bool moved = seen->seen && seen->owner.generation == v.owner.generation &&
                 strcmp(seen->owner.holder, v.owner.holder) == 0 && seen->beat != v.beat;
    int rc = 0;
    if (!names[0][0] && !names[1][0])
        *ret_done = true;
    else if (v.owner.holder[0] && moved)
        rc = takeover_refuse_settings(all, v.fingerprint, err);
    else if (takeover_is_due(seen, &v, clock_ms()))
        rc = lease_set_fingerprint(w->t->store, &v, all, ret_done, err);
    mem_free(all);
    return rc;
}

int takeover_check_settings(struct tracker *t, struct err *err)
{
    const struct timespec pause = {.tv_nsec = SETTINGS_LOOK_MS * 1000000};
    struct takeover w;
    bool done = false;
    int rc = 0;
    takeover_open(&w, t);
    w.watch.still_ms = store_has_parallel_writers(t->store) ? TAKEOVER_STILL_MS : STILL_SLOW_MS;
    while (rc == 0 && !done) {
        struct arena arena;
        arena_init(&arena);
        rc = takeover_compare(&w, &arena, &done, err);
        arena_free(&arena);
        if (rc == 0 && !done && t->stop && t->stop())
            rc = err_set(err, ERR_STOPPED, "stopped");
        if (rc == 0 && !done)
            nanosleep(&pause, NULL);
    }
    takeover_close(&w);
    return rc;
}

/* ---- a daemon -------------------------------------------------------------------------------- */

int takeover_try(struct takeover *w, const char *role, struct takeover_report *ret, struct err *err)
{
    struct arena arena;
    *ret = (struct takeover_report){.state = TAKEOVER_STANDBY};
    beat_stop(w->beat);
    w->beat = NULL;
    arena_init(&arena);
    int rc = takeover_look(w, role, &arena, ret, err);
    arena_free(&arena);
    return rc;
}

bool takeover_is_lost(const struct takeover *w)
{
    return beat_is_lost(w->beat);
}

int takeover_join(struct tracker *t, const char *role, bool *ret, struct err *err)
{
    struct lease_owner o;
    bool back;
    *ret = false;
    return takeover_read_page(&o) ? fence_enter(t->store, role, &o, ret, &back, err) : 0;
}

void takeover_release(struct takeover *w)
{
    struct err ignored;
    beat_stop(w->beat);
    w->beat = NULL;
    if (w->owner.generation > 0)
        lease_release(w->t->store, &w->owner, &ignored);
}
