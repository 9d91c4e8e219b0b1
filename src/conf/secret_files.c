/*
 * Secrets from files: a variable NAME_FILE beside NAME, and systemd's credentials, which are called
 * as the variable is in lower case ("trueup_store").
 *
 * What a file holds joins the environment under NAME, so that whatever comes after reads one list.
 */
#include "base/mem.h"
#include "conf/loaded.h"
#include "conf/value.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char PREFIX[] = "trueup_", SUFFIX[] = "_FILE";

struct secret_file {
    const char *name;   /* TRUEUP_STORE */
    const char *source; /* "environment TRUEUP_STORE_FILE", "credential trueup_store" */
    const struct secret_file *next;
};

/* The setting that a variable without an item's number, or with one, gives; NULL: none. */
static const struct setting *secret_file_row(const char *name)
{
    char path[SETTING_PATH_MAX];
    bool old;
    const struct setting *row = setting_by_short_name(name);
    return row ? row : setting_by_env(name, path, sizeof path, &old);
}

/* "TRUEUP_STORE" of "TRUEUP_STORE_FILE=…"; NULL: the entry is no such variable, or is empty. */
static const char *secret_file_base(struct arena *arena, const char *entry)
{
    size_t n = strcspn(entry, "="), cut = sizeof SUFFIX - 1;
    if (strncmp(entry, "TRUEUP_", 7) != 0 || n <= cut || n >= SETTING_PATH_MAX ||
        memcmp(entry + n - cut, SUFFIX, cut) != 0 || entry[n] != '=' || !entry[n + 1])
        return NULL;
    return arena_printf(arena, "%.*s", (int)(n - cut), entry);
}

bool secret_files_know(struct decoder *d, const char *entry)
{
    const char *base = secret_file_base(d->arena, entry);
    return base && secret_file_row(base);
}

const char *secret_files_source(const struct decoder *d, const char *name)
{
    for (const struct secret_file *f = d->secret_files; f; f = f->next)
        if (strcmp(f->name, name) == 0)
            return f->source;
    return arena_printf(d->arena, "environment %s", name);
}

/* ---- one file -------------------------------------------------------------------------------- */

static void secret_file_refuse(struct decoder *d, const char *source, const char *path,
                               const char *words)
{
    struct position at = {source, 0, 0};
    struct buf shown = BUF_INIT(512);
    show_text(&shown, path, strlen(path));
    problem_add(d->problems, &at, "", "file %s %s", buf_str(&shown), words);
    buf_free(&shown);
}

/* Without the line's end that editors add. What is wrong with the text is told, never the text. */
static const char *secret_file_text(struct decoder *d, const char *source, const char *path,
                                    char *text, size_t n)
{
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    text[n] = '\0';
    if (n == 0)
        secret_file_refuse(d, source, path, "is empty; expected a secret");
    else if (!text_is_clean(text, n) || strpbrk(text, "\r\n"))
        secret_file_refuse(d, source, path,
                           "holds several lines, a control character or no UTF-8; expected one "
                           "line of text");
    else
        return arena_strdup(d->arena, text);
    return NULL;
}

static const char *secret_file_read(struct decoder *d, const char *source, const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f) {
        secret_file_refuse(d, source, path,
                           arena_printf(d->arena, "cannot be read: %s", strerror(errno)));
        return NULL;
    }
    char *text = mem_alloc(YAML_SCALAR_MAX + 2);
    const char *ret = NULL;
    size_t n = fread(text, 1, YAML_SCALAR_MAX + 1, f);
    if (ferror(f))
        secret_file_refuse(d, source, path,
                           arena_printf(d->arena, "cannot be read: %s", strerror(errno)));
    else if (n > YAML_SCALAR_MAX)
        secret_file_refuse(d, source, path, "is too long; expected at most 65536 bytes");
    else
        ret = secret_file_text(d, source, path, text, n);
    mem_free(text);
    fclose(f);
    return ret;
}

/* ---- all of them ----------------------------------------------------------------------------- */

struct secret_list { /* the environment that grows */
    char **entries;
    size_t n;
};

static void secret_files_add(struct decoder *d, struct secret_list *list, const char *name,
                             const char *source, const char *path)
{
    const char *text = secret_file_read(d, source, path);
    if (!text)
        return;
    struct secret_file *f = arena_alloc(d->arena, sizeof *f);
    *f = (struct secret_file){name, source, d->secret_files};
    d->secret_files = f;
    list->entries = mem_grow(list->entries, list->n + 2, sizeof *list->entries);
    list->entries[list->n++] = arena_printf(d->arena, "%s=%s", name, text);
}

static void secret_files_add_variable(struct decoder *d, struct secret_list *list,
                                      const char *entry)
{
    const char *name = secret_file_base(d->arena, entry);
    const struct setting *row = name ? secret_file_row(name) : NULL;
    if (!row)
        return;
    const char *source = arena_printf(d->arena, "environment %s%s", name, SUFFIX);
    struct position at = {source, 0, 0};
    if (!row->secret)
        problem_add(d->problems, &at, "", "only a secret may come from a file; expected %s", name);
    else if (overlay_variable(d->environ_, name))
        problem_add(d->problems, &at, "",
                    "the same setting is given as %s, too; expected one of them", name);
    else
        secret_files_add(d, list, name, source, strchr(entry, '=') + 1);
}

/* A variable of the environment, its own or its file's, holds over a credential. */
static void secret_files_add_credential(struct decoder *d, struct secret_list *list,
                                        const char *folder, const char *file)
{
    char *name = arena_strdup(d->arena, file);
    for (char *s = name; *s; s++)
        *s = (char)toupper((unsigned char)*s);
    const struct setting *row = secret_file_row(name);
    if (!row || !row->secret || overlay_variable(d->environ_, name) ||
        overlay_variable(d->environ_, arena_printf(d->arena, "%s%s", name, SUFFIX)))
        return;
    secret_files_add(d, list, name, arena_printf(d->arena, "credential %s", file),
                     arena_printf(d->arena, "%s/%s", folder, file));
}

static int secret_files_is_ours(const struct dirent *e)
{
    return strncmp(e->d_name, PREFIX, sizeof PREFIX - 1) == 0;
}

/* In the order of their names, so that the first of a list comes first. */
static void secret_files_add_credentials(struct decoder *d, struct secret_list *list)
{
    const char *folder = overlay_variable(d->environ_, "CREDENTIALS_DIRECTORY");
    struct dirent **found;
    int n = folder ? scandir(folder, &found, secret_files_is_ours, alphasort) : 0;
    if (n < 0)
        secret_file_refuse(d, "environment CREDENTIALS_DIRECTORY", folder,
                           arena_printf(d->arena, "cannot be read: %s", strerror(errno)));
    for (int i = 0; i < n; i++) {
        secret_files_add_credential(d, list, folder, found[i]->d_name);
        free(found[i]);
    }
    if (n >= 0 && folder)
        free(found);
}

void secret_files_read(struct decoder *d)
{
    struct secret_list list = {0};
    for (char *const *e = d->environ_; e && *e; e++) {
        list.entries = mem_grow(list.entries, list.n + 2, sizeof *list.entries);
        list.entries[list.n++] = *e;
    }
    secret_files_add_credentials(d, &list);
    for (char *const *e = d->environ_; e && *e; e++)
        secret_files_add_variable(d, &list, *e);
    if (list.n > 0) {
        char **all = arena_alloc(d->arena, (list.n + 1) * sizeof *all);
        memcpy(all, list.entries, list.n * sizeof *all);
        all[list.n] = NULL;
        d->environ_ = all;
    }
    mem_free(list.entries);
}
