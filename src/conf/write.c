/*
 * Settings as text: for a worker (its part, to be read back), for the user (all, secrets masked,
 * with the source of each), and the starter file.
 */
#include "base/mem.h"
#include "conf/loaded.h"
#include "conf/value.h"

#include <stdio.h>
#include <string.h>

enum { WRITTEN_MAX = 4 * 1024 * 1024, PATH_TEXT = 160 };

struct writer {
    const struct loaded *from;
    enum conf_for who;
};

/* A section of the settings, or an item of a list, and where it is written. */
struct section {
    const char *path; /* with indices */
    const void *base;
    size_t depth;
    bool item;
};

static void write_section(const struct writer *w, const char *scope, const struct section *at,
                          struct buf *out);

static void write_indent(size_t depth, struct buf *out)
{
    for (size_t i = 0; i < depth; i++)
        buf_adds(out, "  ");
}

/* The first line of a list's item stands behind its dash. */
static void write_begin_line(const struct section *at, size_t start, struct buf *out)
{
    bool first = at->item && out->len == start;
    write_indent(first ? at->depth - 1 : at->depth, out);
    if (first)
        buf_adds(out, "- ");
}

static bool write_is_for(const struct setting *row, enum conf_for who)
{
    return who == CONF_FOR_USER || (row->workers & FOR(who));
}

/* Every secret is a text: a URL keeps its host, another keeps nothing. */
static void write_masked(const struct setting *row, const void *base, struct buf *out)
{
    const char *text;
    memcpy(&text, (const char *)base + row->offset, sizeof text);
    bool file = text && strncmp(text, "sqlite:", 7) == 0 && !strstr(text, "://");
    if (!text || file) {
        row->kind->write(row, base, out);
        return;
    }
    struct buf shown = BUF_INIT(1024);
    bool url = strstr(text, "://");
    if (url)
        show_text(&shown, text, strlen(text));
    else
        buf_adds(&shown, "(hidden)");
    /* what show_text() puts in quotes is in YAML's quotes soon */
    char *bare = buf_str(&shown)[0] == '"' ? shown.data + 1 : shown.data;
    if (bare != shown.data)
        shown.data[shown.len - 1] = '\0';
    value_quote(bare, out);
    buf_free(&shown);
}

static void write_origin(const struct writer *w, const char *path, struct buf *out)
{
    const struct given *g = given_find(w->from->given, path);
    if (!g)
        buf_adds(out, "  # default");
    else if (g->node->place.line)
        buf_addf(out, "  # %s:%zu", g->node->place.source, g->node->place.line);
    else
        buf_addf(out, "  # %s", g->node->place.source);
}

/* at: the list's own path, and the section it stands in. */
static void write_list(const struct writer *w, const struct setting *row, const struct section *at,
                       struct buf *out)
{
    const char *items;
    size_t n;
    char scope[PATH_TEXT], item[2 * PATH_TEXT + 32];
    size_t shift = strcmp(row->path, "balances") == 0 ? w->from->first_balance : 0;
    memcpy(&items, (const char *)at->base + row->offset, sizeof items);
    memcpy(&n, (const char *)at->base + row->count_offset, sizeof n);
    snprintf(scope, sizeof scope, "%s[]", row->path);
    for (size_t i = 0; i < n; i++) {
        struct section one = {item, items + i * row->size, at->depth + 2, true};
        snprintf(item, sizeof item, "%s[%zu]", at->path, i + shift);
        write_section(w, scope, &one, out);
    }
}

static void write_value(const struct writer *w, const struct setting *row, const char *path,
                        const void *base, struct buf *out)
{
    struct buf value = BUF_INIT(YAML_SCALAR_MAX * 2);
    if (w->who == CONF_FOR_USER && row->secret)
        write_masked(row, base, &value);
    else
        row->kind->write(row, base, &value);
    if (value.len) {
        buf_addf(out, " %s", buf_str(&value));
        if (w->who == CONF_FOR_USER)
            write_origin(w, path, out);
        buf_addc(out, '\n');
    }
    buf_free(&value);
}

static void write_setting(const struct writer *w, const struct setting *row, const char *name,
                          const struct section *at, size_t start, struct buf *out)
{
    char path[2 * PATH_TEXT];
    struct buf body = BUF_INIT(WRITTEN_MAX);
    snprintf(path, sizeof path, "%s%s%s", at->path, *at->path ? "." : "", name);
    struct section below = {path, at->base, at->depth + 1, false};
    if (row->kind == &kind_section)
        write_section(w, row->path, &below, &body);
    else if (row->kind == &kind_list)
        write_list(w, row, &(struct section){path, at->base, at->depth, false}, &body);
    else
        write_value(w, row, path, at->base, &body);
    if (body.len) {
        write_begin_line(at, start, out);
        buf_addf(out, "%s:%s%s", name, row->kind->write ? "" : "\n", buf_str(&body));
    }
    buf_free(&body);
}

static void write_section(const struct writer *w, const char *scope, const struct section *at,
                          struct buf *out)
{
    size_t start = out->len;
    for (size_t i = 0; i < n_settings; i++) {
        const char *name = setting_name_in(&settings[i], scope);
        if (name && write_is_for(&settings[i], w->who))
            write_setting(w, &settings[i], name, at, start, out);
    }
}

void conf_write(const struct conf *c, enum conf_for who, struct buf *out)
{
    struct writer w = {(const struct loaded *)(const void *)c, who};
    write_section(&w, "", &(struct section){"", c, 0, false}, out);
}

/* --- starter file --- */

static const char STARTER_HEAD[] =
    "# Settings of trueup. What is commented out shows the default or an example.\n"
    "# ${NAME} is taken from the environment; ${NAME:-text} gives a default.\n"
    "# Check this file with: trueup config check\n";

/* A value as it may stand in YAML; an example that is YAML already is left alone. */
static void write_starter_value(const struct setting *row, struct buf *out)
{
    const char *text = row->example ? row->example : row->def;
    if (*text == '[' || strncmp(text, "${", 2) == 0)
        buf_addf(out, *text == '$' ? "'%s'" : "%s", text);
    else
        value_quote(text, out);
}

static void write_starter_help(const struct setting *row, size_t depth, struct buf *out)
{
    write_indent(depth, out);
    buf_addf(out, "# %s", row->help);
    if (row->derived && !row->required)
        buf_addf(out, "; default: %s", row->derived);
    buf_addc(out, '\n');
}

static void write_starter_scope(const char *scope, size_t depth, bool item, struct buf *out);

/* An item's first required line carries the dash; its comment stands in the dash's column. */
static void write_starter_setting(const struct setting *row, const char *name, size_t depth,
                                  bool *dash, struct buf *out)
{
    struct buf body = BUF_INIT(WRITTEN_MAX);
    bool list = row->kind == &kind_list, section = row->kind == &kind_section;
    char scope[PATH_TEXT];
    snprintf(scope, sizeof scope, "%s%s", row->path, list ? "[]" : "");
    if (depth == 0)
        buf_addc(out, '\n');
    if (list || section)
        write_starter_scope(scope, depth + (list ? 2 : 1), list, &body);
    else
        write_starter_value(row, &body);
    bool live = row->required || list || section;
    write_starter_help(row, live && *dash ? depth - 1 : depth, out);
    write_indent(live && *dash ? depth - 1 : depth, out);
    buf_addf(out, "%s%s%s:%s%s", live ? "" : "# ", live && *dash ? "- " : "", name,
             list || section ? "\n" : " ", buf_str(&body));
    buf_adds(out, list || section ? "" : "\n");
    *dash = *dash && !live;
    buf_free(&body);
}

static void write_starter_scope(const char *scope, size_t depth, bool item, struct buf *out)
{
    bool dash = item;
    for (int pass = 0; pass < 2; pass++) /* what is required stands first: it carries the dash */
        for (size_t i = 0; i < n_settings; i++) {
            const struct setting *row = &settings[i];
            const char *name = setting_name_in(row, scope);
            bool first = row->required || !item;
            if (name && first == (pass == 0) && (row->example || row->def || !row->kind->write))
                write_starter_setting(row, name, depth, &dash, out);
        }
}

void conf_write_starter(struct buf *out)
{
    buf_adds(out, STARTER_HEAD);
    write_starter_scope("", 0, false, out);
}
