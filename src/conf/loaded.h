/* What stands behind a struct conf: the arena all of it hangs in, and where each value came from.
 */
#ifndef CONF_LOADED_H
#define CONF_LOADED_H

#include "base/arena.h"
#include "conf/conf.h"
#include "conf/decode.h"

struct loaded {
    struct conf conf; /* first: a conf is a loaded */
    struct arena arena;
    struct given *given;
    const char *file;     /* NULL: none */
    const char *warnings; /* "" if none */
    size_t first_balance; /* its number in the file, where --balance left one alone */
};

/* check.c: what rows cannot say one by one: names given twice, a query without PostgreSQL … Then
 * what follows from other settings (names, tables, ws) and the fingerprints. */
void conf_finish(struct decoder *d, struct conf *c);
/* Table and checkpoint after the name, where they are not given. */
void conf_derive_names(struct arena *arena, struct conf_balance *b);

/* old_names.c: settings under their names of the last edition get the new ones, with a warning; a
 * setting that is given under both is refused. */
void old_names_replace(struct decoder *d, struct yaml_node *root);
/* May the environment's `name`, an old one of row, be taken? Refused beside the new one. */
bool old_name_take_env(struct decoder *d, const struct setting *row, const char *name);

/* overlay.c: the first user's names, TRUEUP_… names, flags, in that order, over the tree. file_text
 * may be NULL. */
void overlay_settings(struct decoder *d, struct yaml_node *root, const struct conf_source_set *from,
                      const char *file_text);
/* Is one of the first user's names set? */
bool overlay_has_first_user(char *const *environ_);
/* The variable's value; NULL when it is not set or empty. */
const char *overlay_variable(char *const *environ_, const char *name);

/* secret_files.c: what TRUEUP_…_FILE and $CREDENTIALS_DIRECTORY name joins d->environ_. */
void secret_files_read(struct decoder *d);
/* Where a variable's text came from: "environment NAME", or its file. In the arena. */
const char *secret_files_source(const struct decoder *d, const char *name);
/* Is NAME_FILE=… the file of a setting? */
bool secret_files_know(struct decoder *d, const char *entry);

/* etc/audius.yaml, built in. */
extern const char conf_audius_yaml[];

#endif
