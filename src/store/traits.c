#include "store/traits.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/rule.h"

#include <string.h>

enum { TRAITS_MS = 5000 };

struct traits_entry {
    char *table;
    struct traits traits;
    int64_t until_ms; /* monotonic */
};

static struct traits_entry *traits_find_entry(struct store *s, const char *table)
{
    for (size_t i = 0; i < s->n_traits; i++)
        if (strcmp(s->traits[i].table, table) == 0)
            return &s->traits[i];
    s->traits = mem_grow(s->traits, s->n_traits + 1, sizeof *s->traits);
    s->traits[s->n_traits] = (struct traits_entry){.table = mem_strdup(table)};
    return &s->traits[s->n_traits++];
}

static int traits_read(struct store *s, const struct store_balance *b, struct traits *ret,
                       struct err *err)
{
    char key[STATE_KEY];
    state_key(key, "made", b->name, NULL);
    struct db_query q = {.sql = "{traits}", .b = b, .params = {db_text(b->table), db_text(key)}};
    struct db_rows rows;
    if (db_read(s, &q, &rows, err) < 0)
        return -1;
    int rc = db_next(&rows, err);
    if (rc == 1)
        *ret = (struct traits){.row_triggers = db_get_bool(&rows, 0),
                               .row_security = db_get_bool(&rows, 1),
                               .made = db_get_bool(&rows, 2)};
    db_end(&rows);
    return rc < 0 ? -1 : 0;
}

int traits_get(struct store *s, const struct store_balance *b, struct traits *ret, struct err *err)
{
    struct traits_entry *e = traits_find_entry(s, b->table);
    if (clock_ms() >= e->until_ms) {
        if (traits_read(s, b, &e->traits, err) < 0)
            return -1;
        e->until_ms = clock_ms() + TRAITS_MS;
    }
    *ret = e->traits;
    return 0;
}

int traits_keep_made(struct store *s, const struct store_balance *b, struct err *err)
{
    char key[STATE_KEY];
    state_key(key, "made", b->name, NULL);
    return store_state_set(s, key, b->table, err);
}

void traits_free(struct store *s)
{
    for (size_t i = 0; i < s->n_traits; i++)
        mem_free(s->traits[i].table);
    mem_free(s->traits);
    s->traits = NULL;
    s->n_traits = 0;
}
