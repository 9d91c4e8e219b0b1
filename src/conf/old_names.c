/* Settings under the names that they had in the last edition. */
#include "conf/loaded.h"

#include <stdio.h>
#include <string.h>

static const char RENAMED[] =
    "this setting is called %s now; the old name is taken in this edition";
static const char BOTH[] = "the same setting is given as %s, too; expected one of them";

/* The map that a path's last name stands in; NULL where the tree has none. */
static struct yaml_node *old_name_find_map(struct yaml_node *root, const char *path)
{
    const char *dot = strchr(path, '.');
    char section[SETTING_PATH_MAX];
    snprintf(section, sizeof section, "%.*s", dot ? (int)(dot - path) : 0, path);
    const struct member *m = yaml_node_member(root, section);
    return m && m->value->kind == YAML_NODE_MAP ? m->value : NULL;
}

static void old_name_replace(struct decoder *d, const struct setting *row, struct yaml_node *map)
{
    struct member *old = map ? yaml_node_member(map, strchr(row->old_path, '.') + 1) : NULL;
    const char *name = strchr(row->path, '.') + 1;
    if (!old)
        return;
    if (yaml_node_member(map, name)) {
        problem_add(d->problems, &old->key_place, row->old_path, BOTH, row->path);
        *old = map->members[--map->count]; /* told once: it is no unknown setting as well */
        return;
    }
    problem_add(d->warnings, &old->key_place, row->old_path, RENAMED, row->path);
    old->key = name;
}

void old_names_replace(struct decoder *d, struct yaml_node *root)
{
    for (size_t i = 0; root->kind == YAML_NODE_MAP && i < n_settings; i++)
        if (settings[i].old_path)
            old_name_replace(d, &settings[i], old_name_find_map(root, settings[i].old_path));
}

bool old_name_take_env(struct decoder *d, const struct setting *row, const char *name)
{
    struct buf now = BUF_INIT(SETTING_PATH_MAX);
    struct position place = {arena_printf(d->arena, "environment %s", name), 0, 0};
    setting_env_name(row->path, &now);
    bool alone = !overlay_variable(d->environ_, buf_str(&now));
    problem_add(alone ? d->warnings : d->problems, &place, "", alone ? RENAMED : BOTH,
                buf_str(&now));
    buf_free(&now);
    return alone;
}
