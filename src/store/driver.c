/* The driver's functions as verbs use them: words of the SQL, nested transactions, columns. */
#include "store/driver.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the text of a statement ----------------------------------------------------------------- */

static void db_quote_part(struct buf *out, const char *name, size_t n, char quote)
{
    buf_addc(out, quote);
    for (size_t i = 0; i < n; i++) {
        if (name[i] == quote)
            buf_addc(out, quote);
        buf_addc(out, name[i]);
    }
    buf_addc(out, quote);
}

static void db_quote_table(const struct store *s, const char *table, struct buf *out)
{
    const char *dot = s->driver->has_schemas ? strchr(table, '.') : NULL;
    if (dot) {
        db_quote_part(out, table, (size_t)(dot - table), '"');
        buf_addc(out, '.');
        table = dot + 1;
    }
    db_quote_part(out, table, strlen(table), '"');
}

const char *db_quote(const struct store *s, const char *table, struct arena *arena)
{
    struct buf out = BUF_INIT(1024);
    db_quote_table(s, table, &out);
    const char *text = arena_strdup(arena, buf_str(&out));
    buf_free(&out);
    return text;
}

static const char *db_word(const struct store *s, const char *name, size_t n)
{
    for (const char *const(*w)[2] = s->driver->words; (*w)[0]; w++)
        if (strlen((*w)[0]) == n && memcmp((*w)[0], name, n) == 0)
            return (*w)[1];
    return "";
}

/* ---- our own tables -------------------------------------------------------------------------- */

static bool db_is_letter(char c)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* "schema". or nothing. */
static void db_add_schema(const struct store *s, struct buf *out)
{
    if (!s->schema)
        return;
    db_quote_part(out, s->schema, strlen(s->schema), '"');
    buf_addc(out, '.');
}

/* An index is in the schema of its table, and CREATE INDEX takes no other one. */
static bool db_is_own_table(const char *word, size_t n)
{
    static const char own[] = "trueup_", index[] = "_idx";
    const size_t tail = sizeof index - 1;
    return n >= sizeof own && memcmp(word, own, sizeof own - 1) == 0 &&
           memcmp(word + n - tail, index, tail) != 0;
}

/* The schema goes with each name: a search_path is the session's, and a pooler hands the session to
 * other clients. */
static void db_add_sql(const struct store *s, const char *sql, size_t n, struct buf *out)
{
    char before = out->len > 0 ? buf_str(out)[out->len - 1] : ' ';
    for (size_t i = 0, len; s->schema && i < n; i += len) {
        len = 1;
        while (i + len < n && db_is_letter(sql[i]) && db_is_letter(sql[i + len]))
            len++;
        if (!strchr("'\".", before) && db_is_own_table(sql + i, len))
            db_add_schema(s, out);
        buf_add(out, sql + i, len);
        before = sql[i + len - 1];
    }
    if (!s->schema)
        buf_add(out, sql, n);
}

static void db_expand_into(const struct store *s, const struct db_query *q, const char *sql,
                           struct buf *out);

/* What stands for a word in braces, with its argument in place of each @. */
static void db_expand_word(const struct store *s, const struct db_query *q, const char *word,
                           size_t n, struct buf *out)
{
    size_t name = strcspn(word, " }");
    const char *arg = word + name + 1, *text = db_word(s, word, name);
    const char *table = q->b ? q->b->table : "";
    struct buf filled = BUF_INIT(1 << 16);
    if (name == 1 && *word == 't') {
        db_quote_table(s, table, out);
        return;
    }
    if (name == strlen("schema") && memcmp(word, "schema", name) == 0) {
        db_add_schema(s, out);
        return;
    }
    if (name == strlen("t_text") && memcmp(word, "t_text", name) == 0) {
        db_quote_table(s, table, &filled);
        db_quote_part(out, buf_str(&filled), filled.len, '\'');
        buf_free(&filled);
        return;
    }
    for (; *text; text++)
        if (*text != '@')
            buf_addc(&filled, *text);
        else if (name < n)
            buf_add(&filled, arg, n - name - 1);
    db_expand_into(s, q, buf_str(&filled), out);
    buf_free(&filled);
}

static void db_expand_into(const struct store *s, const struct db_query *q, const char *sql,
                           struct buf *out)
{
    for (;;) {
        size_t plain = strcspn(sql, "{"), n;
        db_add_sql(s, sql, plain, out);
        sql += plain;
        if (!*sql++)
            return;
        n = strcspn(sql, "}");
        db_expand_word(s, q, sql, n, out);
        sql += n + 1;
    }
}

const char *db_expand(const struct store *s, const struct db_query *q, struct arena *arena)
{
    if (q->raw || (!s->schema && !strchr(q->sql, '{')))
        return q->sql;
    struct buf out = BUF_INIT(1 << 20);
    db_expand_into(s, q, q->sql, &out);
    const char *text = arena_strdup(arena, buf_str(&out));
    buf_free(&out);
    return text;
}

/* ---- transactions ---------------------------------------------------------------------------- */

int db_rollback(struct store *s)
{
    s->depth = 0;
    s->driver->rollback(s);
    return -1;
}

static int db_checked(struct store *s, int rc)
{
    return rc < 0 ? db_rollback(s) : rc;
}

/* A verb that failed may leave the longer deadlines: harmless, and the next scan ends it. */
int db_set_scanning(struct store *s, bool on, struct err *err)
{
    if (on == s->scanning || !s->driver->set_scanning)
        return 0;
    if (s->driver->set_scanning(s, on, err) < 0)
        return db_rollback(s);
    s->scanning = on;
    return 0;
}

int db_exec(struct store *s, const char *sql, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    const struct db_query q = {.sql = sql, .raw = !strstr(sql, "trueup_")};
    int rc = db_checked(s, s->driver->exec(s, db_expand(s, &q, &arena), err));
    arena_free(&arena);
    return rc;
}

/* ---- the fence of a transaction -------------------------------------------------------------- */

struct db_query db_fence_query(const struct store *s)
{
    const struct db_fence *f = &s->fence;
    return (struct db_query){.sql = DB_FENCE,
                             .hot = true,
                             .params = {db_text(f->role), db_number(f->owner.generation),
                                        db_text(f->owner.holder), db_number(f->seq)}};
}

int db_fence_missed(struct store *s, struct err *err)
{
    s->fence.lost = true;
    return err_set(err, ERR_FENCED,
                   "%s: another writer took the store, or the database came back at an older state",
                   s->masked);
}

/* The first statement of a transaction of several calls. */
static int db_pass_fence(struct store *s, struct err *err)
{
    struct db_query q = db_fence_query(s);
    uint64_t changed = 0;
    if (!s->fence.role)
        return 0;
    if (db_checked(s, s->driver->write(s, &q, 1, 0, &changed, err)) < 0)
        return -1;
    if (changed == 1)
        return 0;
    db_fence_missed(s, err);
    return db_rollback(s);
}

int db_begin(struct store *s, int how, struct err *err)
{
    if (s->depth > 0) {
        s->depth++;
        return 0;
    }
    if (s->fence.role && s->fence.lost)
        return db_fence_missed(s, err);
    if (((how & DB_SCAN) && db_set_scanning(s, true, err) < 0) ||
        db_exec(s, s->driver->begin, err) < 0)
        return -1;
    s->depth = 1;
    return db_pass_fence(s, err);
}

int db_commit(struct store *s, struct err *err)
{
    if (s->depth > 1) {
        s->depth--;
        return 0;
    }
    s->fence.lost = true; /* until the commit is known */
    if (db_exec(s, "COMMIT", err) < 0) {
        s->fence.lost = s->refusal.kind == REFUSAL_OF_DATABASE; /* else it was answered: refused */
        return -1;
    }
    s->fence.lost = false;
    s->fence.seq++;
    s->depth = 0;
    return db_set_scanning(s, false, err);
}

int db_write(struct store *s, const struct db_query *list, size_t n, int how, uint64_t *ret_changed,
             struct err *err)
{
    bool scan = (how & DB_SCAN) && s->depth == 0;
    if (scan && db_set_scanning(s, true, err) < 0)
        return -1;
    if (db_checked(s, s->driver->write(s, list, n, how, ret_changed, err)) < 0)
        return -1;
    return scan ? db_set_scanning(s, false, err) : 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

int db_read(struct store *s, const struct db_query *q, struct db_rows *ret, struct err *err)
{
    bool scan = q->scan && s->depth == 0;
    *ret = (struct db_rows){.s = s, .q = q, .row = -1};
    if (scan && db_set_scanning(s, true, err) < 0)
        return -1;
    if (db_checked(s, s->driver->read(s, q, ret, err)) < 0)
        return -1;
    if (!scan || db_set_scanning(s, false, err) == 0)
        return 0;
    db_end(ret);
    return -1;
}

int db_next(struct db_rows *rows, struct err *err)
{
    int rc = rows->at ? rows->s->driver->next(rows, err) : 0;
    if (rc != 1)
        db_end(rows);
    return db_checked(rows->s, rc);
}

void db_end(struct db_rows *rows)
{
    if (rows->at)
        rows->s->driver->end(rows);
    rows->at = NULL;
}

/* The first row of an answer, which stays open when it is there: 1, 0 or −1. */
static int db_first(struct store *s, const struct db_query *q, struct db_rows *ret, struct err *err)
{
    return db_read(s, q, ret, err) < 0 ? -1 : db_next(ret, err);
}

int db_read_text(struct store *s, const struct db_query *q, struct arena *arena, const char **ret,
                 struct err *err)
{
    struct db_rows rows;
    int rc = db_first(s, q, &rows, err);
    if (rc < 0)
        return -1;
    *ret = rc == 1 ? db_keep_text(&rows, 0, arena) : NULL;
    db_end(&rows);
    return 0;
}

int db_read_number(struct store *s, const struct db_query *q, uint64_t *ret, bool *ret_found,
                   struct err *err)
{
    struct db_rows rows;
    int rc = db_first(s, q, &rows, err);
    if (rc < 0)
        return -1;
    bool found = rc == 1 && db_get_number(&rows, 0, ret);
    if (ret_found)
        *ret_found = found;
    db_end(&rows);
    return 0;
}

bool db_take_address(const struct db_rows *row, struct arena *arena, void *item)
{
    (void)arena;
    return db_get_address(row, 0, item);
}

int db_read_addresses(struct store *s, const struct db_query *q, struct arena *arena, address **ret,
                      size_t *ret_n, struct err *err)
{
    struct db_take take = {arena, sizeof **ret, db_take_address};
    return db_read_list(s, q, &take, ret, ret_n, err);
}

int db_mark_ordinals(struct store *s, const struct db_query *q, bool *ret, struct err *err)
{
    struct db_rows rows;
    uint64_t at;
    int rc;
    if (db_read(s, q, &rows, err) < 0)
        return -1;
    memset(ret, 0, q->set * sizeof *ret);
    while ((rc = db_next(&rows, err)) == 1)
        if (db_get_number(&rows, 0, &at) && at >= 1 && at <= q->set)
            ret[at - 1] = true;
    return rc;
}

void *db_grow(struct arena *arena, void *list, size_t n, size_t size)
{
    const size_t least = 16;
    if (n > 0 && (n < least || (n & (n - 1))))
        return list;
    void *more = arena_zero(arena, n < least ? least : n * 2, size);
    if (n > 0)
        memcpy(more, list, n * size);
    return more;
}

int db_read_list(struct store *s, const struct db_query *q, const struct db_take *take, void *ret,
                 size_t *ret_n, struct err *err)
{
    struct db_rows rows;
    void *list = NULL;
    size_t n = 0;
    int rc;
    if (db_read(s, q, &rows, err) < 0)
        return -1;
    while ((rc = db_next(&rows, err)) == 1) {
        list = db_grow(take->arena, list, n, take->size);
        void *item = (uint8_t *)list + n * take->size;
        memset(item, 0, take->size);
        n += take->row(&rows, take->arena, item);
    }
    if (rc < 0)
        return -1;
    memcpy(ret, &list, sizeof list);
    *ret_n = n;
    return 0;
}

/* ---- columns --------------------------------------------------------------------------------- */

const char *db_get_text(const struct db_rows *r, int col)
{
    size_t n;
    return r->s->driver->get_text(r, col, &n);
}

const char *db_keep_text(const struct db_rows *r, int col, struct arena *arena)
{
    const char *text = db_get_text(r, col);
    return text ? arena_strdup(arena, text) : NULL;
}

void db_copy_text(const struct db_rows *r, int col, char *ret, size_t room)
{
    size_t n;
    const char *text = r->s->driver->get_text(r, col, &n);
    n = !text ? 0 : n < room ? n : room - 1;
    if (n > 0)
        memcpy(ret, text, n);
    ret[n] = '\0';
}

/* Only the spelling our tables use: another one would be another key. */
bool db_get_address(const struct db_rows *r, int col, address *ret)
{
    size_t n;
    const char *text = r->s->driver->get_text(r, col, &n);
    if (!text || n != ADDRESS_TEXT - 1)
        return false;
    for (size_t i = 0; i < n; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            return false;
    return address_parse_loose(text, n, ret);
}

bool db_get_hash(const struct db_rows *r, int col, hash32 *ret)
{
    size_t n;
    const char *text = r->s->driver->get_text(r, col, &n);
    return text && hash_parse(text, n, ret);
}

bool db_get_number(const struct db_rows *r, int col, uint64_t *ret)
{
    int64_t v;
    if (!r->s->driver->get_number(r, col, &v))
        return false;
    *ret = v > 0 ? (uint64_t)v : 0;
    return true;
}

bool db_get_bool(const struct db_rows *r, int col)
{
    int64_t v;
    return r->s->driver->get_number(r, col, &v) && v != 0;
}

bool db_get_balance(const struct db_rows *r, int col, u256 *ret)
{
    return r->s->driver->get_balance(r, col, ret);
}

int64_t db_get_time(const struct db_rows *r, int col)
{
    return r->s->driver->get_time(r, col);
}

/* ---- lists of wallets ------------------------------------------------------------------------ */

size_t addresses_sort_unique(address *list, size_t n)
{
    size_t kept = 0;
    if (n > 1)
        qsort(list, n, sizeof *list, address_compare_elements);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !address_equal(&list[kept - 1], &list[i]))
            list[kept++] = list[i];
    return kept;
}
