/* Completion for shells: the names of commands, the first words they take, their options, and the
 * words of settings that are given as options. */
#include "cli/reference.h"
#include "conf/settings.h"
#include "conf/value.h"

#include <string.h>

/* Each command in turn that is not hidden. */
static const struct command *next_shown(const struct command *c)
{
    for (c = c ? c + 1 : commands; c->name && c->hidden; c++)
        ;
    return c->name ? c : NULL;
}

/* The words to choose from for a command's first argument: "check|show|init", or the commands
 * themselves; nothing where it is to be filled in. */
static void add_choices(const struct command *c, struct buf *out)
{
    size_t n = strcspn(c->args, " [");
    if (strcmp(c->args, "[COMMAND]") == 0)
        for (const struct command *other = NULL; (other = next_shown(other));)
            buf_addf(out, "%s ", other->name);
    else if (memchr(c->args, '|', n))
        for (size_t i = 0; i < n; i++)
            buf_addc(out, c->args[i] == '|' ? ' ' : c->args[i]);
}

static bool has_choices(const struct command *c)
{
    return strchr(c->args, '|') || strcmp(c->args, "[COMMAND]") == 0;
}

/* The words an option's setting knows; NULL where there is nothing to choose from. */
static const char *words_of(const struct cli_option *o)
{
    const struct setting *row = o->path ? setting_find(o->path) : NULL;
    return row && row->kind == &kind_word ? row->words : NULL;
}

static bool takes_file(const struct cli_option *o)
{
    return o->value && strcmp(o->value, "FILE") == 0;
}

/* With a backslash before each of `special`, and quotes closed around a quote where that is how. */
static void completion_escape_text(const char *s, const char *special, const char *quote,
                                   struct buf *out)
{
    for (; *s; s++) {
        if (*s == '\'') {
            buf_adds(out, quote);
            continue;
        }
        if (strchr(special, *s))
            buf_addc(out, '\\');
        buf_addc(out, *s);
    }
}

/* ---- bash ------------------------------------------------------------------------------------ */

static void bash_names(const struct cli_option *o, struct buf *out)
{
    for (; o->name; o++)
        buf_addf(out, " --%s", o->name);
}

static void bash_words(const struct cli_option *o, struct buf *out)
{
    for (; o->name; o++)
        if (words_of(o))
            buf_addf(out, "        --%s) words='%s' ;;\n", o->name, words_of(o));
}

/* As a pattern of case: "--at | --from". */
static void bash_values(const struct cli_option *o, bool files, struct buf *pattern)
{
    for (; o->name; o++)
        if (o->value && !words_of(o) && takes_file(o) == files)
            buf_addf(pattern, "%s--%s", pattern->len ? " | " : "", o->name);
}

/* After an option that takes a value: its words, a file's name (which bash falls back to), or
 * nothing that could be guessed. */
static void bash_after(struct buf *out)
{
    struct buf files = BUF_INIT(REFERENCE_MAX), others = BUF_INIT(REFERENCE_MAX);
    buf_adds(&files, "-c");
    bash_values(cli_common, false, &others);
    buf_adds(out, "        case $prev in\n");
    bash_words(cli_common, out);
    for (const struct command *c = NULL; (c = next_shown(c));) {
        bash_words(c->options, out);
        bash_values(c->options, true, &files);
        bash_values(c->options, false, &others);
    }
    buf_addf(out,
             "        %s) return ;;\n        %s)\n            compopt +o default 2>/dev/null\n"
             "            return ;;\n        *) words+=' -c",
             buf_str(&files), buf_str(&others));
    bash_names(cli_common, out);
    buf_adds(out, "' ;;\n        esac\n");
    buf_free(&files);
    buf_free(&others);
}

static void completion_write_bash(struct buf *out)
{
    buf_adds(out,
             "# bash completion for trueup, made from its own table of commands.\n"
             "_trueup() {\n"
             "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words=\n"
             "    COMPREPLY=()\n"
             "    if ((COMP_CWORD == 1)); then\n"
             "        words='--help --version");
    for (const struct command *c = NULL; (c = next_shown(c));)
        buf_addf(out, " %s", c->name);
    buf_adds(out, "'\n    else\n        case ${COMP_WORDS[1]} in\n");
    for (const struct command *c = NULL; (c = next_shown(c));) {
        buf_addf(out, "        %s) words='", c->name);
        add_choices(c, out);
        bash_names(c->options, out);
        buf_adds(out, "' ;;\n");
    }
    buf_adds(out, "        esac\n");
    bash_after(out);
    buf_adds(out, "    fi\n"
                  "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
                  "}\n"
                  "complete -o default -F _trueup trueup\n");
}

/* ---- zsh ------------------------------------------------------------------------------------- */

static void zsh_options(const struct cli_option *o, struct buf *out)
{
    for (; o->name; o++) {
        buf_addf(out, "            '--%s[", o->name);
        completion_escape_text(o->help, "[]:\\", "'\\''", out);
        buf_addc(out, ']');
        if (words_of(o))
            buf_addf(out, ":%s:(%s)", o->value, words_of(o));
        else if (o->value)
            buf_addf(out, ":%s:%s", o->value, takes_file(o) ? "_files" : "");
        buf_adds(out, "'\n");
    }
}

static void completion_write_zsh(struct buf *out)
{
    buf_adds(out, "#compdef trueup\n"
                  "# zsh completion for trueup, made from its own table of commands.\n"
                  "_trueup() {\n"
                  "    local -a commands options\n"
                  "    if (( CURRENT == 2 )); then\n"
                  "        commands=(\n");
    for (const struct command *c = NULL; (c = next_shown(c));) {
        buf_addf(out, "            '%s:", c->name);
        completion_escape_text(c->summary, ":\\", "'\\''", out);
        buf_adds(out, "'\n");
    }
    buf_adds(out, "        )\n"
                  "        _describe command commands\n"
                  "        return\n"
                  "    fi\n"
                  "    shift words\n"
                  "    (( CURRENT-- ))\n"
                  "    options=(\n"
                  "            '-c[settings]:FILE:_files'\n");
    zsh_options(cli_common, out);
    buf_adds(out, "    )\n    case $words[1] in\n");
    for (const struct command *c = NULL; (c = next_shown(c));) {
        buf_addf(out, "    %s)\n        options+=(\n", c->name);
        zsh_options(c->options, out);
        if (has_choices(c)) {
            buf_adds(out, "            '1:what:(");
            add_choices(c, out);
            buf_adds(out, ")'\n");
        }
        buf_adds(out, "            '*:argument:_files'\n        ) ;;\n");
    }
    buf_adds(out, "    esac\n    _arguments $options\n}\n_trueup \"$@\"\n");
}

/* ---- fish ------------------------------------------------------------------------------------ */

static void fish_options(const char *command, const struct cli_option *o, struct buf *out)
{
    for (; o->name; o++) {
        buf_adds(out, "complete -c trueup");
        if (command)
            buf_addf(out, " -n '__fish_seen_subcommand_from %s'", command);
        buf_addf(out, " -l %s", o->name);
        if (words_of(o))
            buf_addf(out, " -x -a '%s'", words_of(o));
        else if (o->value)
            buf_adds(out, takes_file(o) ? " -r -F" : " -x");
        buf_adds(out, " -d '");
        completion_escape_text(o->help, "\\", "\\'", out);
        buf_adds(out, "'\n");
    }
}

static void completion_write_fish(struct buf *out)
{
    buf_adds(out, "# fish completion for trueup, made from its own table of commands.\n"
                  "complete -c trueup -f\n"
                  "complete -c trueup -s c -r -F -d settings\n");
    fish_options(NULL, cli_common, out);
    for (const struct command *c = NULL; (c = next_shown(c));) {
        buf_addf(out, "complete -c trueup -n __fish_use_subcommand -a %s -d '", c->name);
        completion_escape_text(c->summary, "\\", "\\'", out);
        buf_adds(out, "'\n");
        if (has_choices(c)) {
            buf_addf(out, "complete -c trueup -n '__fish_seen_subcommand_from %s' -a '", c->name);
            add_choices(c, out);
            buf_adds(out, "'\n");
        }
        fish_options(c->name, c->options, out);
    }
}

bool completion_write_shell(const char *shell, struct buf *out)
{
    static const struct {
        const char *name;
        void (*write)(struct buf *out);
    } shells[] = {{"bash", completion_write_bash},
                  {"zsh", completion_write_zsh},
                  {"fish", completion_write_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++)
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].write(out);
            return true;
        }
    return false;
}
