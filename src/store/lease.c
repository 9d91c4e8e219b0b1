/* The lease and the fences. See lease.h. */
#include "store/lease.h"

#include "store/driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- the lease's row ------------------------------------------------------------------------- */

static int lease_read_row(struct store *s, const char *sql, struct arena *arena,
                          struct lease_view *ret, struct err *err)
{
    struct db_query q = {.sql = sql};
    struct db_rows rows;
    if (db_read(s, &q, &rows, err) < 0)
        return -1;
    int rc = db_next(&rows, err);
    if (rc == 0)
        rc = err_set(err, ERR_STORE, "%s: a row of trueup_lease or trueup_fence is missing",
                     s->masked);
    if (rc < 0)
        return -1;
    *ret = (struct lease_view){.fingerprint = db_keep_text(&rows, 3, arena),
                               .facts = db_keep_text(&rows, 4, arena)};
    db_get_number(&rows, 0, &ret->owner.generation);
    db_copy_text(&rows, 1, ret->owner.holder, sizeof ret->owner.holder);
    db_get_number(&rows, 2, &ret->beat);
    db_end(&rows);
    return 0;
}

int lease_read(struct store *s, struct arena *arena, struct lease_view *ret, struct err *err)
{
    return lease_read_row(s,
                          "SELECT generation, holder, beat, fingerprint, facts FROM trueup_lease",
                          arena, ret, err);
}

/* The random bits are the system's: two daemons must never draw the same ones. */
static void lease_draw(char *ret, size_t room)
{
    snprintf(ret, room, "%016" PRIx64 "%016" PRIx64, rng_seed_from_system(),
             rng_seed_from_system());
}

/* Readers of trueup_changes begin anew: an id they know may be another row's from here on. */
static int lease_draw_epoch(struct store *s, struct err *err)
{
    char epoch[LEASE_HOLDER];
    lease_draw(epoch, sizeof epoch);
    epoch[16] = '\0';
    return store_state_set(s, "epoch", epoch, err);
}

/* In the transaction of a taking. */
static int lease_write_owner(struct store *s, const struct lease_view *seen,
                             const struct lease_owner *o, const char *fingerprint, bool *ret_taken,
                             struct err *err)
{
    uint64_t changed = 0;
    struct db_query row = {
        .sql = "UPDATE trueup_lease SET generation = $1, holder = NULLIF($2, ''), fingerprint = "
               "$3, beat = "
               "beat + 1, facts = '' WHERE generation = $4 AND coalesce(holder, '') = $5 AND beat "
               "= $6",
        .params = {db_number(o->generation), db_text(o->holder), db_text(fingerprint),
                   db_number(seen->owner.generation), db_text(seen->owner.holder),
                   db_number(seen->beat)}};
    struct db_query fences = {
        .sql =
            "UPDATE trueup_fence SET generation = $1, holder = NULLIF($2, ''), seq = 0 WHERE role "
            "NOT LIKE 'job%'",
        .params = {db_number(o->generation), db_text(o->holder)}};
    /* A command goes on under a new owner of the same settings, and under no other. */
    struct db_query jobs = {.sql = "UPDATE trueup_fence SET holder = NULL WHERE role LIKE 'job%'"};
    if (db_write(s, &row, 1, 0, &changed, err) < 0)
        return -1;
    *ret_taken = changed == 1;
    if (!*ret_taken)
        return 0;
    if (strcmp(seen->fingerprint, fingerprint) != 0 && db_write(s, &jobs, 1, 0, NULL, err) < 0)
        return -1;
    return db_write(s, &fences, 1, 0, NULL, err);
}

int lease_take(struct store *s, const struct lease_view *seen, const char *fingerprint,
               struct lease_owner *ret, bool *ret_taken, struct err *err)
{
    struct lease_owner o = {.generation = seen->owner.generation + 1};
    lease_draw(o.holder, sizeof o.holder);
    s->fence.role = NULL;
    *ret_taken = false;
    if (s->driver->end_writers && s->driver->end_writers(s, seen, err) < 0)
        return -1;
    if (db_begin(s, 0, err) < 0 ||
        lease_write_owner(s, seen, &o, fingerprint, ret_taken, err) < 0 ||
        (*ret_taken && lease_draw_epoch(s, err) < 0) || db_commit(s, err) < 0) {
        *ret_taken = false;
        return -1;
    }
    *ret = o;
    return 0;
}

int lease_set_fingerprint(struct store *s, const struct lease_view *seen, const char *fingerprint,
                          bool *ret_set, struct err *err)
{
    const struct lease_owner nobody = {.generation = seen->owner.generation + 1};
    *ret_set = false;
    if (s->driver->end_writers && s->driver->end_writers(s, seen, err) < 0)
        return -1;
    if (db_begin(s, 0, err) < 0 ||
        lease_write_owner(s, seen, &nobody, fingerprint, ret_set, err) < 0 ||
        db_commit(s, err) < 0) {
        *ret_set = false;
        return -1;
    }
    return 0;
}

/* sql: raises the beat of owner ($1, $2) and leaves it the words $3. */
static int lease_write_beat(struct store *s, const char *sql, const struct lease_owner *o,
                            const char *words, bool *ret_held, struct err *err)
{
    uint64_t changed = 0;
    struct db_query q = {.sql = sql,
                         .params = {db_number(o->generation), db_text(o->holder), db_text(words)}};
    if (db_write(s, &q, 1, DB_ASYNC, &changed, err) < 0)
        return -1;
    *ret_held = changed == 1;
    return 0;
}

int lease_beat(struct store *s, const struct lease_owner *o, const char *facts, bool *ret_held,
               struct err *err)
{
    return lease_write_beat(s,
                            "UPDATE trueup_lease SET beat = beat + 1, facts = $3 WHERE generation "
                            "= $1 AND holder = $2",
                            o, facts, ret_held, err);
}

int lease_release(struct store *s, const struct lease_owner *o, struct err *err)
{
    struct db_query list[] = {
        {.sql = "UPDATE trueup_fence SET holder = NULL WHERE generation = $1 AND holder = $2",
         .params = {db_number(o->generation), db_text(o->holder)}},
        {.sql = "UPDATE trueup_lease SET holder = NULL WHERE generation = $1 AND holder = $2",
         .params = {db_number(o->generation), db_text(o->holder)}},
    };
    s->fence.role = NULL;
    return db_write(s, list, sizeof list / sizeof *list, 0, NULL, err);
}

/* ---- a command's fences ---------------------------------------------------------------------- */

int fence_job_read(struct store *s, struct arena *arena, struct lease_view *ret, struct err *err)
{
    return lease_read_row(
        s, "SELECT generation, holder, beat, '', job FROM trueup_fence WHERE role = 'job'", arena,
        ret, err);
}

/* In the transaction of a taking. */
static int fence_job_write(struct store *s, const struct lease_view *seen, const char *words,
                           struct lease_owner *o, bool *ret_taken, struct err *err)
{
    uint64_t changed = 0;
    struct db_query row = {
        .sql = "UPDATE trueup_fence SET generation = (SELECT generation FROM trueup_lease), holder "
               "= $1, seq = 0, beat = beat + 1, job = $2 WHERE role = 'job' AND generation = $3 "
               "AND coalesce(holder, '') = $4 AND beat = $5",
        .params = {db_text(o->holder), db_text(words), db_number(seen->owner.generation),
                   db_text(seen->owner.holder), db_number(seen->beat)}};
    struct db_query others = {
        .sql = "UPDATE trueup_fence SET generation = (SELECT generation FROM trueup_lease), holder "
               "= $1, seq = 0, job = $2 WHERE role IN ('job2', 'job3')",
        .params = {db_text(o->holder), db_text(words)}};
    struct db_query now = {.sql = "SELECT generation FROM trueup_lease"};
    if (db_write(s, &row, 1, 0, &changed, err) < 0)
        return -1;
    *ret_taken = changed == 1;
    if (*ret_taken && db_write(s, &others, 1, 0, NULL, err) < 0)
        return -1;
    return db_read_number(s, &now, &o->generation, NULL, err);
}

int fence_job_take(struct store *s, const struct lease_view *seen, const char *words,
                   struct lease_owner *ret, bool *ret_taken, struct err *err)
{
    struct lease_owner o = {0};
    bool taken = false;
    lease_draw(o.holder, sizeof o.holder);
    if (db_begin(s, 0, err) < 0 || fence_job_write(s, seen, words, &o, &taken, err) < 0 ||
        db_commit(s, err) < 0)
        return -1;
    *ret_taken = taken;
    *ret = o;
    return 0;
}

int fence_job_beat(struct store *s, const struct lease_owner *o, const char *words, bool *ret_held,
                   struct err *err)
{
    return lease_write_beat(s,
                            "UPDATE trueup_fence SET beat = beat + 1, job = $3 WHERE role = 'job' "
                            "AND generation = $1 AND holder = $2",
                            o, words, ret_held, err);
}

int fence_job_release(struct store *s, const struct lease_owner *o, struct err *err)
{
    struct db_query q = {.sql = "UPDATE trueup_fence SET holder = NULL WHERE role LIKE 'job%' AND "
                                "generation = $1 AND holder = $2",
                         .params = {db_number(o->generation), db_text(o->holder)}};
    s->fence.role = NULL;
    return db_write(s, &q, 1, 0, NULL, err);
}

/* ---- the fence of a connection --------------------------------------------------------------- */

static int fence_read(struct store *s, const char *role, struct lease_owner *ret, uint64_t *ret_seq,
                      struct err *err)
{
    struct db_query q = {.sql = "SELECT generation, holder, seq FROM trueup_fence WHERE role = $1",
                         .params = {db_text(role)}};
    struct db_rows rows;
    if (db_read(s, &q, &rows, err) < 0)
        return -1;
    int rc = db_next(&rows, err);
    if (rc == 0)
        rc = err_set(err, ERR_STORE, "%s: trueup_fence has no row \"%s\"", s->masked, role);
    if (rc < 0)
        return -1;
    *ret = (struct lease_owner){0};
    db_get_number(&rows, 0, &ret->generation);
    db_copy_text(&rows, 1, ret->holder, sizeof ret->holder);
    db_get_number(&rows, 2, ret_seq);
    db_end(&rows);
    return 0;
}

int fence_enter(struct store *s, const char *role, const struct lease_owner *o, bool *ret_entered,
                bool *ret_back, struct err *err)
{
    struct lease_owner is;
    uint64_t seq = 0;
    const struct db_fence was = s->fence;
    *ret_entered = *ret_back = false;
    if (fence_read(s, role, &is, &seq, err) < 0)
        return -1;
    if (is.generation != o->generation || strcmp(is.holder, o->holder) != 0)
        return 0;
    *ret_back = was.role && was.owner.generation == o->generation &&
                strcmp(was.owner.holder, o->holder) == 0 && seq < was.seq;
    s->fence = (struct db_fence){.role = role, .owner = *o, .seq = seq};
    if (s->driver->set_scanning && s->driver->set_scanning(s, s->scanning, err) < 0)
        return -1;
    *ret_entered = true;
    return *ret_back ? lease_draw_epoch(s, err) : 0;
}
