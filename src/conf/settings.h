/*
 * The one table of settings. Everything that reads, checks, prints or documents settings walks
 * these rows: the decoder, the environment and the flags, `config check|show|init`, the docs.
 *
 * A row's path names where it stands: "sweep.interval", "balances[].terms[].gas". Rows stand in the
 * order in which they are decoded, written and documented; a section or list comes before what is
 * in it, and a setting before those that need it.
 */
#ifndef CONF_SETTINGS_H
#define CONF_SETTINGS_H

#include "base/buf.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kind; /* value.h */

/* Who a setting is for: bit of enum conf_for. The user sees all. */
#define FOR(who)   (1u << (who))
#define FOR_FOLLOW FOR(CONF_FOR_FOLLOW)
#define FOR_SWEEP  FOR(CONF_FOR_SWEEP)
#define FOR_LISTEN FOR(CONF_FOR_LISTEN)
#define FOR_WEB    FOR(CONF_FOR_WEB)
#define FOR_ALL    (FOR_FOLLOW | FOR_SWEEP | FOR_LISTEN | FOR_WEB)

struct setting {
    const char *path;
    const char
        *old_path; /* its name in the last edition, still taken, with a warning; NULL: none */
    const struct kind *kind;
    size_t offset;         /* in struct conf, or in the item of the innermost list */
    size_t count_offset;   /* of a list: where its length goes */
    size_t size;           /* of a list's item; of a word's field */
    uint64_t min, max;     /* of a number, of milliseconds, of a text's length, of a list's items */
    const char *words;     /* the words allowed, in the order of their enum, a blank between */
    const char *zero;      /* a word that means 0: "auto", "off" */
    const char *def;       /* default as one would write it; NULL: none, or derived */
    const char *flag;      /* the flag that gives it too, for when it is missing */
    const char *derived;   /* how a missing value comes about, for people */
    const char *env;       /* a short environment name beside the regular one */
    const char *first;     /* the first user's name */
    const char *first_def; /* … and what its service takes for a number that is none */
    bool first_seconds;    /* … where it is a bare number of seconds */
    bool required, secret;
    bool may_be_empty; /* though required: present and empty is "none" */
    unsigned workers;
    const char *help;
    const char *example; /* in the starter file; written out, not as a comment, if required */
};

enum { SETTING_PATH_MAX = 160 };

extern const struct setting settings[];
extern const size_t n_settings;

/* Is this row directly in that scope ("", "chain", "balances[]")? Then its last name, else NULL. */
const char *setting_name_in(const struct setting *row, const char *scope);
/* The names in a scope, with commas between them. */
void setting_names_add(const char *scope, struct buf *out);
const struct setting *setting_find(const char *path);

/* The environment name of a path: TRUEUP_SWEEP_INTERVAL, TRUEUP_BALANCES_0_TABLE. */
void setting_env_name(const char *path, struct buf *out);
/* The row a name of that form means, and its path with indices; *ret_old: it is the name of the
 * last edition. NULL if none. */
const struct setting *setting_by_env(const char *name, char *ret_path, size_t room, bool *ret_old);

/* The row of a short name, such as TRUEUP_RPC_URL; NULL if none. */
const struct setting *setting_by_short_name(const char *name);

/* The nearest of the rows in a scope, by edits; NULL if none is near. */
const struct setting *setting_nearest(const char *scope, const char *name);
/* A row of that last name in another scope; NULL if none. */
const struct setting *setting_elsewhere(const char *name);
/* Edits (insert, delete, replace, swap) from a to b, at most limit + 1. */
size_t edit_distance(const char *a, const char *b, size_t limit);

#endif
