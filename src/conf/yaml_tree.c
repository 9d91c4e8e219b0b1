#include "conf/yaml_tree.h"
#include "base/mem.h"
#include "base/parse.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

struct yaml_anchor {
    const char *name;
    struct yaml_node *node;
    struct yaml_anchor *next;
};

struct builder {
    struct arena *arena;
    struct problems *problems;
    const char *source;
    enum origin origin;
    yaml_parser_t *parser;
    struct yaml_anchor *anchors; /* newest first: a name may be used again */
    struct yaml_node *open[YAML_DEPTH];
    const char *name[YAML_DEPTH]; /* under which the open node stands; NULL: an item */
    const char *key[YAML_DEPTH];  /* the key that waits for its value, of a map */
    struct position key_place[YAML_DEPTH];
    size_t depth, nodes;
    struct yaml_node *root;
};

struct yaml_node *yaml_node_new(struct arena *arena, enum yaml_node_kind kind, enum origin origin,
                                const struct position *at)
{
    struct yaml_node *n = arena_zero(arena, 1, sizeof *n);
    n->kind = kind;
    n->origin = origin;
    n->place = *at;
    n->text = "";
    return n;
}

struct yaml_node *yaml_node_scalar(struct arena *arena, const char *text, enum origin origin,
                                   const struct position *at)
{
    struct yaml_node *n = yaml_node_new(arena, YAML_NODE_SCALAR, origin, at);
    n->text = arena_strdup(arena, text);
    n->n = strlen(text);
    return n;
}

struct member *yaml_node_add(struct arena *arena, struct yaml_node *to, const char *key,
                             struct yaml_node *value)
{
    if (to->count == to->room) {
        size_t room = to->room ? to->room * 2 : 4;
        struct member *m = arena_zero(arena, room, sizeof *m);
        if (to->count)
            memcpy(m, to->members, to->count * sizeof *m);
        to->members = m;
        to->room = room;
    }
    struct member *m = &to->members[to->count++];
    *m = (struct member){.key = key, .key_place = value->place, .value = value};
    return m;
}

struct member *yaml_node_member(const struct yaml_node *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++)
        if (map->members[i].key && strcmp(map->members[i].key, key) == 0)
            return &map->members[i];
    return NULL;
}

bool text_is_clean(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t c;
        size_t len = parse_utf8(s + i, n - i, &c);
        if (len == 0 || (c < 0x20 && c != '\t' && c != '\n' && c != '\r') ||
            (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 || c == 0xFEFF ||
            (c & 0xFFFE) == 0xFFFE)
            return false;
        i += len;
    }
    return true;
}

static struct position yaml_position_of(const struct builder *b, const yaml_mark_t *m)
{
    return (struct position){b->source, m->line + 1, m->column + 1};
}

/* The path of what is being read: "balances[0].terms". */
static const char *yaml_path_here(const struct builder *b)
{
    const char *last = b->depth ? b->key[b->depth - 1] : NULL;
    struct buf path = BUF_INIT(1024);
    for (size_t i = 0; i < b->depth; i++) {
        if (b->name[i])
            buf_addf(&path, "%s%s", path.len ? "." : "", b->name[i]);
        else if (i > 0 && b->open[i - 1])
            buf_addf(&path, "[%zu]", b->open[i - 1]->count - 1);
    }
    if (last)
        buf_addf(&path, "%s%.80s", path.len ? "." : "", last);
    const char *text = arena_strdup(b->arena, buf_str(&path));
    buf_free(&path);
    return text;
}

static bool yaml_refuse(struct builder *b, const struct position *at, const char *words)
{
    problem_add(b->problems, at, yaml_path_here(b), "%s", words);
    return false;
}

static bool yaml_refuse_quoting(struct builder *b, const struct position *at, const char *cause,
                                const char *text, const char *expected)
{
    struct buf shown = BUF_INIT(512);
    show_text(&shown, text, strlen(text));
    problem_add(b->problems, at, yaml_path_here(b), "%s %s; expected %s", cause, buf_str(&shown),
                expected);
    buf_free(&shown);
    return false;
}

static bool yaml_expects_key(const struct builder *b)
{
    return b->depth > 0 && b->open[b->depth - 1]->kind == YAML_NODE_MAP && !b->key[b->depth - 1];
}

/* Puts a finished or just opened node where it belongs. False ends the parse. */
static bool yaml_place_node(struct builder *b, struct yaml_node *n)
{
    if (++b->nodes > YAML_NODES) {
        yaml_refuse(b, &n->place, "too many values; expected at most 100000");
        return false;
    }
    if (b->depth == 0) {
        b->root = b->root ? b->root : n;
        return true;
    }
    struct yaml_node *top = b->open[b->depth - 1];
    if (top->kind == YAML_NODE_LIST) {
        yaml_node_add(b->arena, top, NULL, n);
        return true;
    }
    const char **key = &b->key[b->depth - 1];
    if (*key) {
        struct member *m = yaml_node_add(b->arena, top, *key, n);
        m->key_place = b->key_place[b->depth - 1];
        *key = NULL;
        return true;
    }
    if (n->kind != YAML_NODE_SCALAR) {
        yaml_refuse(b, &n->place, "a list or map cannot be the name of a setting; expected a name");
        return false;
    }
    if (top->count == YAML_NAMES) {
        yaml_refuse(b, &n->place, "too many settings in one map; expected at most 1000");
        return false;
    }
    struct member *twin = yaml_node_member(top, n->text);
    if (twin) {
        char expected[80];
        snprintf(expected, sizeof expected, "it once; it stands in line %zu already",
                 twin->key_place.line);
        yaml_refuse_quoting(b, &n->place, "given twice", n->text, expected);
    }
    *key = n->text;
    b->key_place[b->depth - 1] = n->place;
    return true;
}

static void yaml_remember_anchor(struct builder *b, const yaml_char_t *name, struct yaml_node *n)
{
    if (!name)
        return;
    struct yaml_anchor *a = arena_zero(b->arena, 1, sizeof *a);
    *a = (struct yaml_anchor){arena_strdup(b->arena, (const char *)name), n, b->anchors};
    b->anchors = a;
}

/* A list or a map begins. */
static bool yaml_open_node(struct builder *b, enum yaml_node_kind kind, const yaml_char_t *anchor,
                           const struct position *at)
{
    const char *name = b->depth ? b->key[b->depth - 1] : NULL;
    struct yaml_node *n = yaml_node_new(b->arena, kind, b->origin, at);
    yaml_remember_anchor(b, anchor, n);
    if (!yaml_place_node(b, n))
        return false;
    if (b->depth == YAML_DEPTH)
        return yaml_refuse(b, at, "nested too deeply; expected at most 16 levels");
    b->name[b->depth] = name;
    b->key[b->depth] = NULL;
    b->open[b->depth++] = n;
    return true;
}

static bool yaml_on_alias(struct builder *b, const yaml_event_t *e)
{
    const char *name = (const char *)e->data.alias.anchor;
    struct position at = yaml_position_of(b, &e->start_mark);
    for (const struct yaml_anchor *a = b->anchors; a; a = a->next) {
        if (strcmp(a->name, name) != 0)
            continue;
        for (size_t i = 0; i < b->depth; i++)
            if (b->open[i] == a->node)
                return yaml_refuse_quoting(b, &at, "an alias of what it stands in", name,
                                           "a finished anchor");
        return yaml_place_node(b, a->node);
    }
    return yaml_refuse_quoting(b, &at, "an alias without an anchor", name,
                               "&name earlier in the file");
}

static bool yaml_on_scalar(struct builder *b, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    struct position at = yaml_position_of(b, &e->start_mark);
    size_t n = e->data.scalar.length;
    if (n > YAML_SCALAR_MAX) {
        yaml_refuse(b, &at, "value is too long; expected at most 65536 bytes");
        return false;
    }
    if (memchr(text, '\0', n) || !text_is_clean(text, n)) {
        yaml_refuse(b, &at, "value holds a control character; expected text");
        return false;
    }
    struct yaml_node *s = yaml_node_scalar(b->arena, text, b->origin, &at);
    yaml_scalar_style_t style = e->data.scalar.style;
    bool one_line = e->start_mark.line == e->end_mark.line;
    s->plain = style == YAML_PLAIN_SCALAR_STYLE;
    s->quoted =
        style == YAML_SINGLE_QUOTED_SCALAR_STYLE || style == YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    /* an escape or a doubled quote makes the source longer than the text */
    size_t characters = 0;
    for (size_t i = 0; i < n; i++)
        characters += ((unsigned char)text[i] & 0xC0) != 0x80;
    s->exact = one_line && e->end_mark.column - e->start_mark.column == characters + 2 * s->quoted;
    if (!yaml_expects_key(b) && s->plain &&
        (n == 0 || strcmp(text, "~") == 0 || !strcmp(text, "null")))
        s->kind = YAML_NODE_NOTHING;
    yaml_remember_anchor(b, e->data.scalar.anchor, s);
    return yaml_place_node(b, s);
}

/* False ends the parse, for good or ill. */
static bool yaml_on_event(struct builder *b, const yaml_event_t *e, bool *ret_second)
{
    struct position at = yaml_position_of(b, &e->start_mark);
    switch ((int)e->type) {
    case YAML_SCALAR_EVENT:
        return yaml_on_scalar(b, e);
    case YAML_ALIAS_EVENT:
        return yaml_on_alias(b, e);
    case YAML_SEQUENCE_START_EVENT:
        return yaml_open_node(b, YAML_NODE_LIST, e->data.sequence_start.anchor, &at);
    case YAML_MAPPING_START_EVENT:
        return yaml_open_node(b, YAML_NODE_MAP, e->data.mapping_start.anchor, &at);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return true;
    case YAML_DOCUMENT_START_EVENT:
        if (*ret_second)
            yaml_refuse(b, &at, "a second document; expected one");
        *ret_second = true;
        return true;
    default:
        return e->type != YAML_STREAM_END_EVENT;
    }
}

static void yaml_syntax_error(struct builder *b)
{
    const yaml_parser_t *p = b->parser;
    struct position at = yaml_position_of(b, &p->problem_mark);
    if (p->error == YAML_MEMORY_ERROR)
        mem_out(); /* not the text's fault: a worker that refuses its settings ends the daemon */
    if (p->error == YAML_READER_ERROR) {
        problem_add(b->problems, &(struct position){b->source, 0, 0}, "",
                    "not UTF-8 text at byte %zu; expected YAML", p->problem_offset);
        return;
    }
    problem_add(b->problems, &at, "", "not YAML: %s%s%s; expected YAML",
                p->problem ? p->problem : "cannot be read", p->context ? " " : "",
                p->context ? p->context : "");
}

static void yaml_read_events(struct builder *b)
{
    bool more = true, second = false;
    while (more) {
        yaml_event_t e;
        if (!yaml_parser_parse(b->parser, &e)) {
            yaml_syntax_error(b);
            return;
        }
        more = yaml_on_event(b, &e, &second);
        yaml_event_delete(&e);
    }
}

struct yaml_node *yaml_tree_parse(struct arena *arena, const char *source, const char *text,
                                  size_t n, enum origin origin, struct problems *problems)
{
    yaml_parser_t parser;
    struct builder b = {.arena = arena,
                        .problems = problems,
                        .source = source,
                        .origin = origin,
                        .parser = &parser};
    struct position start = {source, 1, 1};
    size_t before = problems->count;
    if (n > YAML_TEXT_MAX) {
        problem_add(problems, &start, "", "file is too long; expected at most 1 MiB");
        return NULL;
    }
    if (!yaml_parser_initialize(&parser))
        mem_out();
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_read_events(&b);
    yaml_parser_delete(&parser);
    if (problems->count > before && (!b.root || b.depth > 0))
        return NULL;
    if (!b.root || b.root->kind == YAML_NODE_NOTHING) {
        problem_add(problems, &start, "", "file is empty; expected settings");
        return NULL;
    }
    if (b.root->kind != YAML_NODE_MAP) {
        problem_add(problems, &b.root->place, "", "not a map of settings; expected chain: …");
        return NULL;
    }
    return b.root;
}
