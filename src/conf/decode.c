#include "conf/decode.h"
#include "base/mem.h"
#include "base/url.h"
#include "conf/value.h"

#include <stdio.h>
#include <string.h>

enum { PATH_MAX_TEXT = 160 };

/* --- problems of one spot --- */

bool yaml_node_has_variable(const struct yaml_node *n)
{
    return n->origin <= ORIGIN_FILE && strstr(n->text, "${") != NULL;
}

/* What is no URL may be a key that stands in the wrong place; a bare host or file is none. */
static void decode_show_secret(const struct spot *s, struct buf *out)
{
    const char *text = s->node->text;
    char shown[URL_TEXT];
    bool is_host = s->row->words && url_complete(shown, text, "", "");
    bool is_file =
        s->row->kind == &kind_store && s->node->n > 3 && strcmp(text + s->node->n - 3, ".db") == 0;
    if (is_host)
        show_text(out, shown + strlen("://"), strlen(shown) - strlen("://"));
    else if (is_file)
        show_text(out, text, s->node->n);
    else
        buf_adds(out, "(hidden)");
}

static void decode_show_node(const struct spot *s, struct buf *out)
{
    switch (s->node->kind) {
    case YAML_NODE_LIST:
        buf_adds(out, "a list");
        break;
    case YAML_NODE_MAP:
        buf_adds(out, "a map");
        break;
    case YAML_NODE_NOTHING:
        buf_adds(out, "nothing");
        break;
    case YAML_NODE_SCALAR:
        if (s->row->secret && s->node->n && !strstr(s->node->text, "://") &&
            strncmp(s->node->text, "sqlite:", 7) != 0)
            decode_show_secret(s, out);
        else
            show_text(out, s->node->text, s->node->n);
        break;
    }
}

bool spot_refuse_at(struct decoder *d, const struct spot *s, size_t column, const char *cause,
                    const char *expected)
{
    struct buf shown = BUF_INIT(1024);
    struct position at = s->node->place;
    if (column && s->node->exact && !yaml_node_has_variable(s->node))
        at.column += column - 1 + s->node->quoted;
    decode_show_node(s, &shown);
    problem_add(d->problems, &at, s->path, "%s%s %s; expected %s", cause,
                buf_str(&shown)[0] == '"' ? "" : ":", buf_str(&shown), expected);
    buf_free(&shown);
    return false;
}

bool spot_refuse(struct decoder *d, const struct spot *s, const char *cause)
{
    struct buf expected = BUF_INIT(1024);
    kind_expected(s->row, &expected);
    spot_refuse_at(d, s, 0, cause, buf_str(&expected));
    buf_free(&expected);
    return false;
}

const char *spot_text(struct decoder *d, const struct spot *s, size_t *ret_n)
{
    const struct yaml_node *n = s->node;
    if (n->kind != YAML_NODE_SCALAR) {
        spot_refuse(d, s, n->kind == YAML_NODE_NOTHING ? "empty" : "wrong type");
        return NULL;
    }
    if (n->origin <= ORIGIN_FILE)
        return expand_text(d, s, ret_n);
    if (!text_is_clean(n->text, n->n)) {
        problem_add(d->problems, &n->place, s->path,
                    "value holds a control character or no UTF-8; expected text");
        return NULL;
    }
    *ret_n = n->n;
    return n->text;
}

struct spot spot_within(const struct spot *s, const struct yaml_node *node)
{
    return (struct spot){s->row, s->path, node};
}

/* --- the walk --- */

static void decode_read_scope(struct decoder *d, const struct yaml_node *map, const char *scope,
                              const char *path, void *base);

const struct given *given_find(const struct given *list, const char *path)
{
    for (; list; list = list->next)
        if (strcmp(list->path, path) == 0)
            return list;
    return NULL;
}

static void decode_remember_given(struct decoder *d, const struct spot *s, const char *text)
{
    struct given *g = arena_zero(d->arena, 1, sizeof *g);
    *g = (struct given){s->row, s->path, s->node, text, NULL};
    *d->given_tail = g;
    d->given_tail = &g->next;
}

static void decode_read_list(struct decoder *d, const struct spot *s, void *base)
{
    const struct setting *row = s->row;
    size_t n = s->node->count;
    char scope[PATH_MAX_TEXT];
    if (s->node->kind != YAML_NODE_LIST) {
        spot_refuse(d, s, "wrong type");
        return;
    }
    if (n < row->min || n > row->max) {
        problem_add(d->problems, &s->node->place, s->path,
                    "too %s items: %zu; expected %llu to %llu", n < row->min ? "few" : "many", n,
                    (unsigned long long)row->min, (unsigned long long)row->max);
        return;
    }
    char *items = arena_zero(d->arena, n ? n : 1, row->size);
    snprintf(scope, sizeof scope, "%s[]", row->path);
    decode_remember_given(d, s, "");
    for (size_t i = 0; i < n; i++) {
        char *path = arena_printf(d->arena, "%s[%zu]", s->path, i);
        struct yaml_node *item = s->node->members[i].value;
        struct spot at = {row, path, item};
        if (item->kind == YAML_NODE_MAP)
            decode_read_scope(d, item, scope, path, items + i * row->size);
        else
            spot_refuse_at(d, &at, 0, "wrong type", "a map of settings");
    }
    memcpy((char *)base + row->offset, &(void *){items}, sizeof(void *));
    memcpy((char *)base + row->count_offset, &n, sizeof n);
}

/* False: the value is as good as absent. */
static bool decode_read_scalar(struct decoder *d, const struct spot *s, void *base)
{
    size_t n = 0;
    const char *text = spot_text(d, s, &n);
    if (!text)
        return true;
    if (n == 0 && s->row->may_be_empty)
        return true;
    if (n == 0 && s->row->required) {
        spot_refuse(d, s, "empty");
        return true;
    }
    if (n == 0)
        return false;
    if (s->row->kind->read_text(d, s, text, n, base) && s->node->origin != ORIGIN_DEFAULT)
        decode_remember_given(d, s, text);
    return true;
}

static void decode_read_composite(struct decoder *d, const struct spot *s, void *base)
{
    struct buf text = BUF_INIT(YAML_SCALAR_MAX * 2);
    if (s->row->kind->read_node(d, s, base) && s->node->origin != ORIGIN_DEFAULT) {
        s->row->kind->write(s->row, base, &text);
        decode_remember_given(d, s, arena_strdup(d->arena, buf_str(&text)));
    }
    buf_free(&text);
}

static void decode_read_default(struct decoder *d, const struct setting *row, const char *path,
                                void *base)
{
    static const struct position at = {"default", 0, 0};
    if (!row->def)
        return;
    struct spot s = {row, path, yaml_node_scalar(d->arena, row->def, ORIGIN_DEFAULT, &at)};
    if (row->kind->read_node)
        decode_read_composite(d, &s, base);
    else
        decode_read_scalar(d, &s, base);
}

/* A worker's text holds only its part; what every part holds is still required of it. */
static bool decode_is_required(const struct decoder *d, const struct setting *row)
{
    if (!row->required || d->nothing_required ||
        (d->may_be_unnamed && row->kind == &kind_name && row->derived))
        return false;
    return d->whole || (row->workers == FOR_ALL && !row->derived);
}

static void decode_report_missing(struct decoder *d, const struct setting *row,
                                  const struct yaml_node *map, const char *scope_path,
                                  const char *name)
{
    struct buf expected = BUF_INIT(1024);
    kind_expected(row, &expected);
    if (row->flag)
        buf_addf(&expected, ", or %s", row->flag);
    problem_add(d->problems, &map->place, scope_path, "missing setting \"%s\"; expected %s", name,
                buf_str(&expected));
    buf_free(&expected);
}

static void decode_read_setting(struct decoder *d, const struct setting *row,
                                const struct yaml_node *map, const char *name,
                                const char *scope_path, void *base)
{
    const struct member *m = yaml_node_member(map, name);
    char *path = arena_printf(d->arena, "%s%s%s", scope_path, *scope_path ? "." : "", name);
    static const struct yaml_node none = {.kind = YAML_NODE_MAP};
    struct yaml_node absent = none;
    absent.place = map->place;
    struct spot s = {row, path, m ? m->value : NULL};
    if (row->kind == &kind_section) {
        bool empty = !m || m->value->kind == YAML_NODE_NOTHING;
        if (empty || m->value->kind == YAML_NODE_MAP)
            decode_read_scope(d, empty ? &absent : m->value, row->path, path, base);
        else
            spot_refuse(d, &s, "wrong type");
    } else if (!m) {
        if (decode_is_required(d, row))
            decode_report_missing(d, row, map, scope_path, name);
        decode_read_default(d, row, path, base);
    } else if (row->kind == &kind_list) {
        decode_read_list(d, &s, base);
    } else if (row->kind->read_node) {
        decode_read_composite(d, &s, base);
    } else if (!decode_read_scalar(d, &s, base)) {
        decode_read_default(d, row, path, base);
    }
}

static void decode_check_name(struct decoder *d, const struct member *m, const char *scope,
                              const char *path)
{
    const struct setting *near = setting_nearest(scope, m->key);
    const struct setting *else_ = near ? NULL : setting_elsewhere(m->key);
    const char *name = near ? setting_name_in(near, scope) : "";
    if (strcmp(name, m->key) == 0 && near)
        return;
    struct buf shown = BUF_INIT(512), expected = BUF_INIT(1024);
    show_text(&shown, m->key, strlen(m->key));
    setting_names_add(scope, &expected);
    if (near)
        buf_addf(&shown, ", did you mean \"%s\"?", name);
    else if (else_)
        buf_addf(&shown, ", did you mean %s?", else_->path);
    problem_add(d->problems, &m->key_place, path, "unknown setting %s; expected one of %s",
                buf_str(&shown), buf_str(&expected));
    buf_free(&shown);
    buf_free(&expected);
}

/* Reads in the table's order, not the file's: wallets of a trigger need its event. */
static void decode_read_scope(struct decoder *d, const struct yaml_node *map, const char *scope,
                              const char *path, void *base)
{
    for (size_t i = 0; i < map->count; i++)
        decode_check_name(d, &map->members[i], scope, path);
    for (size_t i = 0; i < n_settings; i++) {
        const char *name = setting_name_in(&settings[i], scope);
        if (name)
            decode_read_setting(d, &settings[i], map, name, path, base);
    }
}

void decode_settings(struct decoder *d, const struct yaml_node *root, struct conf *ret)
{
    d->given_tail = &d->given;
    decode_read_scope(d, root, "", "", ret);
}
