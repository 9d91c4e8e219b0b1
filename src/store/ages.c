/* How old the rows are, all of them in one scan. */
#include "store/driver.h"
#include "store/parts.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A max_age that is off: a thousand years, which a timestamp bears. */
#define NEVER_MS UINT64_C(31536000000000)

/* The table's own reasons in quarantine: it refused the row, or wrote another one. */
#define IS_OF_TABLE   "(q.reason LIKE '" REASON_REFUSED "%' OR q.reason LIKE '" REASON_CHANGED "%')"
#define IN_QUARANTINE "FROM trueup_quarantine q WHERE q.balance = $1"

static int ages_count_few(struct store *s, const struct store_balance *b, uint64_t max_age_ms,
                          struct view_ages *a, struct err *err)
{
    struct db_query q = {
        .sql = "SELECT (SELECT count(*) " IN_QUARANTINE "), "
               "(SELECT count(*) FROM trueup_wallets WHERE balance = $1), "
               "count(*) FILTER (WHERE t.observed_block IS NULL), "
               "count(*) FILTER (WHERE t.updated_at < {after -$2}), {now}, count(*), "
               "count(*) FILTER (WHERE " IS_OF_TABLE "), "
               "(SELECT count(*) " IN_QUARANTINE " AND " IS_OF_TABLE "), "
               "(SELECT max(q.reason) " IN_QUARANTINE " AND " IS_OF_TABLE ") "
               "FROM trueup_quarantine q JOIN {t} t ON t.wallet = q.wallet WHERE q.balance = $1",
        .b = b,
        .params = {db_text(b->name), db_number(max_age_ms)}};
    struct db_rows rows;
    if (db_read(s, &q, &rows, err) < 0 || db_next(&rows, err) != 1)
        return -1;
    db_get_number(&rows, 0, &a->quarantined);
    db_get_number(&rows, 1, &a->listed);
    db_get_number(&rows, 2, &a->excused_unanchored);
    db_get_number(&rows, 3, &a->excused_old);
    a->now_us = db_get_time(&rows, 4);
    db_get_number(&rows, 5, &a->unreadable);
    db_get_number(&rows, 6, &a->refused);
    db_get_number(&rows, 7, &a->refused_new);
    a->refused_new -= a->refused < a->refused_new ? a->refused : a->refused_new;
    char why[sizeof a->refused_why + sizeof REASON_REFUSED];
    db_copy_text(&rows, 8, why, sizeof why);
    size_t known = strncmp(why, REASON_REFUSED, sizeof REASON_REFUSED - 1) == 0
                       ? sizeof REASON_REFUSED - 1
                       : 0;
    snprintf(a->refused_why, sizeof a->refused_why, "%.127s", why + known);
    db_end(&rows);
    return 0;
}

static size_t ages_bucket(const struct db_rows *rows, const struct view_ages *a,
                          const uint32_t *limits, size_t n)
{
    uint64_t bucket = 0;
    if (db_get_number(rows, 0, &bucket))
        return bucket <= n ? (size_t)bucket : n;
    int64_t age = a->now_us - db_get_time(rows, 3);
    while (bucket < n && age >= (int64_t)limits[bucket] * 1000000)
        bucket++;
    return (size_t)bucket;
}

static void ages_add(const struct db_rows *rows, size_t bucket, struct view_ages *a)
{
    uint64_t n = 0, anchored = 0, old = 0;
    int64_t oldest = db_get_time(rows, 3), newest = db_get_time(rows, 4);
    db_get_number(rows, 1, &n);
    db_get_number(rows, 2, &anchored);
    db_get_number(rows, 5, &old);
    a->buckets[bucket] += n;
    a->oldest_us = a->rows == 0 || oldest < a->oldest_us ? oldest : a->oldest_us;
    a->newest_us = newest > a->newest_us ? newest : a->newest_us;
    a->rows += n;
    a->unanchored += n - anchored;
    a->old += old;
}

int view_ages(struct store *s, const struct store_balance *b, const struct view_scale *scale,
              struct view_ages *ret, struct err *err)
{
    const uint32_t *limits = scale->limits_s;
    const size_t n = scale->n_limits;
    const int64_t max_age_ms = scale->max_age_ms;
    struct view_ages a = {0};
    struct buf sql = BUF_INIT(4096);
    struct db_rows rows;
    int rc;
    if (ages_count_few(s, b, max_age_ms > 0 ? (uint64_t)max_age_ms : NEVER_MS, &a, err) < 0)
        return -1;
    buf_adds(&sql, "{ages ");
    for (size_t i = 0; i < n; i++)
        buf_addf(&sql, "%s%" PRIu32, i ? "," : "", limits[i]);
    buf_adds(&sql, "}");
    int64_t never_us = INT64_C(-62135596800000000); /* year 1 */
    struct db_query q = {
        .sql = buf_str(&sql),
        .b = b,
        .scan = true,
        .params = {db_time(max_age_ms > 0 ? a.now_us - max_age_ms * 1000 : never_us)}};
    rc = db_read(s, &q, &rows, err);
    while (rc == 0 && (rc = db_next(&rows, err)) == 1) {
        ages_add(&rows, ages_bucket(&rows, &a, limits, n), &a);
        rc = 0;
    }
    buf_free(&sql);
    if (rc < 0)
        return -1;
    *ret = a;
    return 0;
}

int view_facts(struct store *s, const struct store_balance *b, struct view_facts *ret,
               struct err *err)
{
    return s->driver->read_facts(s, b, ret, err);
}
