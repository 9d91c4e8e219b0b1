/*
 * Flags and environment, laid over the tree of the file.
 *
 * Each becomes a node at its setting's path with a place of its own, weakest first, so that the
 * strongest is what is decoded and what an error names. What it replaces is not read any more.
 *
 * A node's URL given this way (--rpc, TRUEUP_RPC_URL, the first user's name) means that node: where
 * the file says otherwise, its endpoints are set aside, since their names, prices and sockets speak
 * of other nodes.
 */
#include "base/mem.h"
#include "base/parse.h"
#include "conf/loaded.h"
#include "conf/value.h"

#include <stdio.h>
#include <string.h>

enum { PATH_TEXT = SETTING_PATH_MAX };
static const char NODE_URL[] = "chain.endpoints[0].url";
static const char TOKEN_NAME[] = "TRUEUP_TOKEN";

struct layer { /* one value to be laid over */
    const char *path, *text;
    enum origin origin;
    struct position place;
};

const char *overlay_variable(char *const *environ_, const char *name)
{
    size_t n = strlen(name);
    for (; environ_ && *environ_; environ_++)
        if (strncmp(*environ_, name, n) == 0 && (*environ_)[n] == '=' && (*environ_)[n + 1])
            return *environ_ + n + 1;
    return NULL;
}

bool overlay_has_first_user(char *const *environ_)
{
    for (size_t i = 0; i < n_settings; i++)
        if (settings[i].first && overlay_variable(environ_, settings[i].first))
            return true;
    return false;
}

/* A copy to change: an alias may share the node with another place. */
static struct yaml_node *overlay_own_map(struct arena *arena, struct member *m)
{
    struct yaml_node *n = arena_alloc(arena, sizeof *n);
    *n = *m->value;
    n->room = n->count;
    if (n->count) {
        n->members = arena_alloc(arena, n->count * sizeof *n->members);
        memcpy(n->members, m->value->members, n->count * sizeof *n->members);
    }
    m->value = n;
    return n;
}

/* The member called name of a map, made if it is not there. NULL if the node is no map. */
static struct member *overlay_enter(struct arena *arena, struct yaml_node *map, const char *name,
                                    enum yaml_node_kind kind, const struct layer *l)
{
    if (map->kind != YAML_NODE_MAP)
        return NULL;
    struct member *m = yaml_node_member(map, name);
    if (!m || m->value->kind == YAML_NODE_NOTHING) {
        struct yaml_node *made = yaml_node_new(arena, kind, l->origin, &l->place);
        if (m)
            m->value = made;
        else
            m = yaml_node_add(arena, map, arena_strdup(arena, name), made);
    }
    return m;
}

/* Item `text` ("0") of a list; one past the end is made. */
static struct member *overlay_enter_item(struct decoder *d, struct yaml_node *list,
                                         const char *text, size_t n, const struct layer *l)
{
    uint64_t i;
    if (list->kind != YAML_NODE_LIST)
        return NULL;
    if (!parse_u64(text, n, &i) || i > list->count) {
        problem_add(d->problems, &l->place, l->path,
                    "there is no such item; expected a number below %zu", list->count + 1);
        return NULL;
    }
    if (i == list->count)
        yaml_node_add(d->arena, list, NULL,
                      yaml_node_new(d->arena, YAML_NODE_MAP, l->origin, &l->place));
    return &list->members[i];
}

/* Where the tree is not as the path wants it, nothing is laid: the decoder will complain about it.
 */
static void overlay_put(struct decoder *d, struct yaml_node *root, const struct layer *l)
{
    struct yaml_node *at = root;
    const char *s = l->path;
    while (at) {
        char name[64];
        size_t n = strcspn(s, ".[");
        snprintf(name, sizeof name, "%.*s", (int)n, s);
        s += n;
        struct member *m = overlay_enter(d->arena, at, name,
                                         *s == '\0'  ? YAML_NODE_SCALAR
                                         : *s == '[' ? YAML_NODE_LIST
                                                     : YAML_NODE_MAP,
                                         l);
        if (m && *s == '\0') {
            m->value = yaml_node_scalar(d->arena, l->text, l->origin, &l->place);
            return;
        }
        at = m ? overlay_own_map(d->arena, m) : NULL;
        if (at && *s == '[') {
            n = strcspn(s + 1, "]");
            m = overlay_enter_item(d, at, s + 1, n, l);
            at = m ? overlay_own_map(d->arena, m) : NULL;
            s += n + 2;
        }
        s += *s == '.';
    }
}

/* --- the node's URL --- */

static const struct yaml_node *overlay_find_node(const struct yaml_node *root, const char *section,
                                                 const char *list, const char *name)
{
    const struct member *m = yaml_node_member(root, section);
    if (m && m->value->kind == YAML_NODE_MAP)
        m = yaml_node_member(m->value, list);
    if (!m || m->value->kind != YAML_NODE_LIST || m->value->count == 0 ||
        m->value->members[0].value->kind != YAML_NODE_MAP)
        return NULL;
    m = yaml_node_member(m->value->members[0].value, name);
    return m ? m->value : NULL;
}

/* Does the tree already say this URL, or none? One whose variable is not set is another. */
static bool overlay_same_node(struct decoder *d, const struct yaml_node *root, const char *url)
{
    struct problems unheard = {.arena = d->arena};
    struct decoder quiet = *d;
    const struct yaml_node *node = overlay_find_node(root, "chain", "endpoints", "url");
    if (!node || node->kind != YAML_NODE_SCALAR)
        return true;
    struct spot s = {setting_find("chain.endpoints[].url"), NODE_URL, node};
    size_t n = 0;
    quiet.problems = &unheard;
    const char *text = spot_text(&quiet, &s, &n);
    return text && (n == 0 || strcmp(text, url) == 0);
}

/* A value under a name of its own: as the URL of a node it means that node. */
static void overlay_put_named(struct decoder *d, struct yaml_node *root, const struct layer *l)
{
    struct member *chain = yaml_node_member(root, "chain");
    if (strcmp(l->path, NODE_URL) == 0 && !overlay_same_node(d, root, l->text) && chain &&
        chain->value->kind == YAML_NODE_MAP) {
        struct member *list = yaml_node_member(overlay_own_map(d->arena, chain), "endpoints");
        if (list)
            list->value = yaml_node_new(d->arena, YAML_NODE_LIST, l->origin, &l->place);
    }
    overlay_put(d, root, l);
}

/* --- who lays --- */

/* The first user's service takes a number that is none for its default, and a WebSocket's URL for
 * both ways to ask the node. */
static const char *overlay_first_user_text(struct decoder *d, const struct setting *row,
                                           const char *value, const struct position *place)
{
    uint64_t n;
    size_t from = strspn(value, " \t\r\n"), to = strlen(value);
    while (to > from && strchr(" \t\r\n", value[to - 1]))
        to--;
    const char *text = arena_printf(d->arena, "%.*s", (int)(to - from), value + from);
    if (row->first_def && (!parse_u64(text, to - from, &n) || n == 0)) {
        problem_add(d->warnings, place, row->path,
                    "\"%.40s\" is no whole number above 0; its default %s is taken", text,
                    row->first_def);
        text = row->first_def;
    }
    if (row->first_seconds)
        return arena_printf(d->arena, "%ss", text);
    if (strstr(row->path, ".url") && strncmp(text, "ws", 2) == 0 && strstr(text, "://"))
        return arena_printf(d->arena, "http%s", text + 2);
    return text;
}

/* A variable with a name of its own, which means the first item of a list. */
static void overlay_put_variable(struct decoder *d, struct yaml_node *root,
                                 const struct setting *row, const char *name, enum origin origin)
{
    const char *value = name ? overlay_variable(d->environ_, name) : NULL;
    const char *list = strstr(row->path, "[]");
    if (!value)
        return;
    struct layer l = {
        list ? arena_printf(d->arena, "%.*s[0]%s", (int)(list - row->path), row->path, list + 2)
             : row->path,
        value,
        origin,
        {secret_files_source(d, name), 0, 0}};
    if (origin == ORIGIN_FIRST_USER)
        l.text = overlay_first_user_text(d, row, value, &l.place);
    overlay_put_named(d, root, &l);
}

/* The known name a mistyped one is near to; NULL if none: other programs have TRUEUP_… names too.
 */
static const char *overlay_near_name(struct decoder *d, const char *name)
{
    for (size_t i = 0; i < n_settings; i++) {
        struct buf known = BUF_INIT(PATH_TEXT);
        const char *found = NULL;
        setting_env_name(settings[i].path, &known);
        if (kind_is_scalar(settings[i].kind) && !strchr(settings[i].path, '[') &&
            edit_distance(name, buf_str(&known), 2) <= 2)
            found = arena_strdup(d->arena, buf_str(&known));
        buf_adds(&known, "_FILE");
        if (!found && settings[i].secret && edit_distance(name, buf_str(&known), 2) <= 2)
            found = arena_strdup(d->arena, buf_str(&known));
        buf_free(&known);
        if (!found && settings[i].env && edit_distance(name, settings[i].env, 2) <= 2)
            found = settings[i].env;
        if (found)
            return found;
    }
    return edit_distance(name, TOKEN_NAME, 1) <= 1 ? TOKEN_NAME : NULL;
}

static bool overlay_begins_with(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strncmp(name, list[i], strlen(list[i])) == 0)
            return true;
    return false;
}

/* Names that are no settings but known: short ones, files of secrets, the supervisor's, and what
 * Kubernetes gives every pod beside a Service of our name. */
static bool overlay_is_known(struct decoder *d, const char *entry, const char *name)
{
    static const char *const others[] = {"TRUEUP_PARK_AFTER", "TRUEUP_HUNG_AFTER_MS",
                                         "TRUEUP_SETTINGS_FD", "TRUEUP_PORT", "TRUEUP_SERVICE_"};
    return strcmp(name, TOKEN_NAME) == 0 || setting_by_short_name(name) ||
           secret_files_know(d, entry) || overlay_begins_with(name, others, COUNT_OF(others));
}

static void overlay_on_unknown_name(struct decoder *d, const char *name,
                                    const struct position *place)
{
    const char *near = overlay_near_name(d, name);
    if (near)
        problem_add(d->problems, place, "", "unknown setting \"%s\"; expected %s", name, near);
    else
        problem_add(d->warnings, place, "", "no setting has this name; it is passed over");
}

static bool overlay_named_in(const char *file_text, const char *name)
{
    char reference[PATH_TEXT + 4];
    snprintf(reference, sizeof reference, "${%s", name);
    return file_text && strstr(file_text, reference);
}

static void overlay_put_regular_name(struct decoder *d, struct yaml_node *root, const char *entry,
                                     const char *file_text)
{
    char name[PATH_TEXT], path[PATH_TEXT];
    size_t n = strcspn(entry, "=");
    if (n >= sizeof name || entry[n] != '=' || !entry[n + 1])
        return;
    snprintf(name, sizeof name, "%.*s", (int)n, entry);
    struct position place = {secret_files_source(d, name), 0, 0};
    bool old;
    const struct setting *row = setting_by_env(name, path, sizeof path, &old);
    if (row && old && !old_name_take_env(d, row, name)) {
        return;
    } else if (row) {
        struct layer l = {arena_strdup(d->arena, path), entry + n + 1, ORIGIN_ENVIRONMENT, place};
        overlay_put(d, root, &l);
    } else if (!overlay_is_known(d, entry, name) && !overlay_named_in(file_text, name)) {
        overlay_on_unknown_name(d, name, &place);
    }
}

void overlay_settings(struct decoder *d, struct yaml_node *root, const struct conf_source_set *from,
                      const char *file_text)
{
    for (size_t i = 0; i < n_settings; i++)
        overlay_put_variable(d, root, &settings[i], settings[i].first, ORIGIN_FIRST_USER);
    for (char *const *e = d->environ_; e && *e; e++)
        if (strncmp(*e, "TRUEUP_", 7) == 0)
            overlay_put_regular_name(d, root, *e, file_text);
    for (size_t i = 0; i < n_settings; i++)
        overlay_put_variable(d, root, &settings[i], settings[i].env, ORIGIN_ENVIRONMENT);
    for (size_t i = 0; i < from->n_flags; i++) {
        const struct conf_flag *f = &from->flags[i];
        overlay_put_named(d, root,
                          &(struct layer){f->path, f->value, ORIGIN_FLAG, {f->flag, 0, 0}});
    }
}
