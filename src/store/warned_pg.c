/*
 * PostgreSQL: wallets whose row was written though a trigger of the application warned at each try.
 * What the trigger keeps for such a wallet may be wrong, so the row's next write has the balance in
 * its SET list, changed or not, and the trigger has its turn. The list stands in trueup_state.
 */
#include "store/pg.h"
#include "store/write.h"

#include <stdio.h>
#include <string.h>

enum { WARNED_MOST = 90 }; /* wallets, of 43 bytes each in a text of STORE_STATE_MAX */

static const char *pg_warned_key(const struct write_batch *a)
{
    char *key = arena_alloc(a->scratch, STATE_KEY);
    state_key(key, "warned", a->batch->balance->name, NULL);
    return key;
}

static bool pg_is_warned(const struct write_batch *a, size_t i)
{
    char text[ADDRESS_TEXT];
    address_text(&a->batch->writes[i].wallet, text);
    return a->warned && strstr(a->warned, text);
}

int pg_plan_rewrites(struct write_batch *a)
{
    struct db_query q = {.sql = "SELECT value FROM trueup_state WHERE key = $1",
                         .hot = true,
                         .params = {db_text(pg_warned_key(a))}};
    if (db_read_text(a->s, &q, a->scratch, &a->warned, a->err) < 0)
        return -1;
    for (size_t i = 0; a->warned && i < a->batch->n_writes; i++)
        a->rows[i].plan.rewrites =
            a->rows[i].plan.outcome == OUTCOME_REFRESHED && pg_is_warned(a, i);
    return 0;
}

/* The balance was in its SET list, and no trigger warned. */
static bool pg_is_settled(const struct write_batch *a, const char *word)
{
    const struct store_batch *b = a->batch;
    address wallet;
    if (!address_parse_loose(word, ADDRESS_TEXT - 1, &wallet))
        return true;
    size_t i = pg_find_write(b, &wallet);
    if (i == b->n_writes)
        return false;
    const struct write_plan *plan = &a->rows[i].plan;
    if (a->rows[i].missed)
        return false;
    return plan->rewrites || plan->outcome == OUTCOME_CHANGED || plan->outcome == OUTCOME_INSERTED;
}

/* The list less what was written now; and the wallet that was warned of. The oldest gives way. */
void pg_add_warned(struct write_batch *a, struct write_list *out, const address *warned)
{
    const size_t word = ADDRESS_TEXT;
    const char *old = a->warned ? a->warned : "";
    char *list = arena_zero(a->scratch, strlen(old) + word + 1, 1);
    size_t n = 0;
    for (; strlen(old) >= word; old += word) /* each ends with a blank */
        if (!pg_is_settled(a, old)) {
            memcpy(list + n, old, word);
            n += word;
        }
    if (warned) {
        address_text(warned, list + n);
        n += word;
        list[n - 1] = ' ';
    }
    const char *from = n > WARNED_MOST * word ? list + word : list;
    if (strcmp(from, a->warned ? a->warned : "") == 0)
        return;
    struct db_query *q = write_add_statement(
        a, out,
        "INSERT INTO trueup_state (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET "
        "value = excluded.value",
        0);
    q->params[0] = db_text(pg_warned_key(a));
    q->params[1] = db_text(from);
}
