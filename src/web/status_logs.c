#include "web/status_logs.h"
#include "base/json_write.h"

#include <stdio.h>
#include <string.h>

static bool status_layout_is_known(size_t before, const struct counters_layout *l)
{
    struct counters_layout other;
    for (size_t i = 0; i < before; i++)
        if (counters_layout_get(i, &other) && strcmp(other.event, l->event) == 0 &&
            strcmp(other.fits, l->fits) == 0)
            return true;
    return false;
}

bool status_layout_next(size_t *i, struct layout_words *ret)
{
    struct counters_layout *l = &ret->counted;
    for (; *i < (size_t)COUNTERS_LAYOUTS * PARTS; ++*i) {
        if (!counters_layout_get(*i, l) || status_layout_is_known(*i, l))
            continue;
        size_t n = strcspn(l->event, " ");
        snprintf(ret->contract, sizeof ret->contract, "%.*s", (int)n, l->event);
        snprintf(ret->declared, sizeof ret->declared, "%s", l->event + n + (l->event[n] == ' '));
        snprintf(ret->fits, sizeof ret->fits, "%s", l->fits);
        if (l->fits[0])
            snprintf(ret->hint, sizeof ret->hint, "declare it as \"%s\"", l->fits);
        else
            snprintf(ret->hint, sizeof ret->hint,
                     "compare the declaration with the contract's source");
        ++*i;
        return true;
    }
    return false;
}

static void status_layout_write(const struct layout_words *w, struct buf *out)
{
    json_begin(out, NULL, '{');
    json_add_text(out, "contract", w->contract);
    json_add_text(out, "declared", w->declared);
    json_add_text(out, "fits", w->fits[0] ? w->fits : NULL);
    json_add_text(out, "hint", w->hint);
    json_add_number(out, "topics", w->counted.topics);
    json_add_number(out, "data_bytes", w->counted.data_bytes);
    json_add_number(out, "logs", w->counted.logs);
    json_add_number(out, "lost", w->counted.lost);
    json_end(out, '}');
}

void status_logs_write(struct buf *out)
{
    struct layout_words w;
    json_begin(out, "logs", '{');
    json_begin(out, "ignored", '{');
    for (int i = 0; i < LOGS_IGNORED_REASONS; i++)
        json_add_number(out, counters_logs_ignored_names[i],
                        counters_sum((enum cell)(CELL_LOGS_IGNORED + i)));
    json_end(out, '}');
    json_begin(out, "layouts", '[');
    for (size_t i = 0; status_layout_next(&i, &w);)
        status_layout_write(&w, out);
    json_end(out, ']');
    json_end(out, '}');
}
