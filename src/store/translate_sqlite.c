/*
 * SQLite: the SQL of the verbs as SQLite takes it. $1 becomes ?1. A set of rows, which PostgreSQL
 * gets as arrays, is taken out of FROM or USING, and its columns become parameters: the driver runs
 * the statement once a row.
 */
#include "base/parse.h"
#include "store/sqlite.h"

#include <ctype.h>
#include <string.h>

enum { SET_COLUMNS = 8 };

struct set {                 /* unnest($2, $3) WITH ORDINALITY u(w, n, i) */
    const char *begin, *end; /* what is taken out; NULL without one */
    struct {
        const char *name;
        size_t len;
        int param;
    } columns[SET_COLUMNS];
    int n;
};

/* The number of `$N`, whose digits these are. */
static int sq_param_number(const char *digits)
{
    uint64_t n = 0;
    return parse_u64(digits, strspn(digits, "0123456789"), &n) && n <= DB_PARAMS ? (int)n : 0;
}

static int sq_last_param(const char *sql)
{
    int last = 0;
    while ((sql = strchr(sql, '$'))) {
        int n = sq_param_number(++sql);
        last = n > last ? n : last;
    }
    return last;
}

/* The keyword before the set goes with it, unless another table follows after a comma. */
static void sq_set_bounds(struct set *set, const char *sql)
{
    static const char *const words[] = {" FROM ", " USING "};
    if (*set->end == ',') {
        set->end += strspn(set->end, ", ");
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(words[i]);
        if (set->begin - sql >= (ptrdiff_t)n && memcmp(set->begin - n, words[i], n) == 0)
            set->begin -= n;
    }
}

static struct set sq_find_set(const char *sql)
{
    static const char alias[] = " u(";
    struct set set = {.begin = strstr(sql, "unnest(")};
    if (!set.begin)
        return set;
    const char *param = set.begin, *args_end = strchr(param, ')');
    const char *name = strstr(args_end, alias);
    int ordinal = sq_last_param(sql) + 1;
    name += strlen(alias);
    while (set.n < SET_COLUMNS) {
        size_t len = strcspn(name, ",)");
        param += strcspn(param, "$)");
        set.columns[set.n].name = name;
        set.columns[set.n].len = len;
        set.columns[set.n++].param = param < args_end ? sq_param_number(++param) : ordinal;
        name += len;
        if (*name == ')')
            break;
        name += strspn(name, ", ");
    }
    set.end = name + 1;
    sq_set_bounds(&set, sql);
    return set;
}

/* u.name: its parameter, and how long it is; else 0. */
static int sq_set_column(const struct set *set, const char *at, size_t *ret_len)
{
    if (at[0] != 'u' || at[1] != '.')
        return 0;
    size_t len = 0;
    while (isalnum((unsigned char)at[2 + len]) || at[2 + len] == '_')
        len++;
    for (int i = 0; i < set->n; i++)
        if (set->columns[i].len == len && memcmp(set->columns[i].name, at + 2, len) == 0) {
            *ret_len = 2 + len;
            return set->columns[i].param;
        }
    return 0;
}

void sq_translate(const char *sql, struct buf *out)
{
    struct set set = sq_find_set(sql);
    bool in_word = false;
    while (*sql) {
        size_t len;
        int param;
        if (sql == set.begin) {
            sql = set.end;
            continue;
        }
        if (set.begin && !in_word && (param = sq_set_column(&set, sql, &len)) > 0) {
            buf_addf(out, "?%d", param);
            sql += len;
            continue;
        }
        in_word = isalnum((unsigned char)*sql) || *sql == '_' || *sql == '.' || *sql == '"';
        buf_addc(out, *sql == '$' ? '?' : *sql);
        sql++;
    }
}
