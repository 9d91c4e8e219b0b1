/*
 * The command line: one table of commands, one file per command. A row says what a command is
 * called, what it takes and what it needs; help, parsing and the manual come from the same rows.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/err.h"
#include "base/log.h"
#include "conf/conf.h"
#include "track/tracker.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    CLI_FLAGS = 16,
    CLI_OPTIONS = 16,
    CLI_PATIENCE_MS = 5000, /* for an answer of the node, while a person waits */
};

/* An option: either a setting given as a flag (path set), or a word of the command's own. */
struct cli_option {
    const char *name;  /* "--store" without the dashes */
    const char *value; /* what it takes, for the help: "URL"; NULL: takes nothing */
    const char *path;  /* the setting it sets; NULL: cli_value() finds it */
    const char *help;
};

struct cli {
    const struct command *command;
    const char *file; /* -c */
    struct conf_flag flags[CLI_FLAGS];
    size_t n_flags;
    struct {
        const char *name, *value;
    } given[CLI_OPTIONS];
    size_t n_given;
    char **args; /* what is left */
    int n_args;
};

struct command {
    const char *name;
    const char *args;                 /* "WALLET…", for the help */
    const char *summary;              /* one line */
    const char *text;                 /* more, for `help NAME`; may be NULL */
    const struct cli_option *options; /* the command's own, ended by {0} */
    int min_args, max_args;           /* max −1: any number */
    int (*run)(struct cli *cli);      /* returns the exit status */
    bool hidden;
};

extern const struct command commands[];      /* ended by {0} */
extern const struct cli_option cli_common[]; /* options of every command, ended by {0} */

const struct command *command_find(const char *name);

/* argv after the program's name. Errors are printed; the exit status is returned. */
int cli_main(int argc, char **argv);

const char *cli_value(const struct cli *cli, const char *name); /* NULL if not given */
bool cli_has(const struct cli *cli, const char *name);
/* The option's number; −1 with an error if it is not one. *ret keeps its value when not given. */
int cli_number(const struct cli *cli, const char *name, uint64_t *ret, struct err *err);

/* Prints the error (and hint) on stderr, prefixed "trueup: "; returns its exit status. */
int cli_fail(const struct err *err);
/* A usage error: printed with a hint to `trueup help COMMAND`; returns 2. */
int cli_usage(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Loads the settings from file, environment and flags; NULL when refused (printed, exit status 2).
 * Sets up the log. may_be_nothing: where nothing is configured, the defaults with no balance and no
 * node. */
struct conf *cli_conf(const struct cli *cli, bool may_be_nothing);
/* Why settings were refused: lines, or records where the log is JSON. */
void cli_report_problems(const struct conf_problems *problems, const char *who);
/* One log record for each line of `lines`, as the value of `name`. */
void cli_log_lines(enum log_level level, const char *message, const char *name, const char *lines);

int command_audit(struct cli *cli);
int command_backfill(struct cli *cli);
int command_config(struct cli *cli);
int command_doctor(struct cli *cli);
int command_explain(struct cli *cli);
int command_help(struct cli *cli);
int command_migrate(struct cli *cli);
int command_read(struct cli *cli);
int command_reference(struct cli *cli);
int command_run(struct cli *cli);
int command_snapshot(struct cli *cli);
int command_status(struct cli *cli);
int command_sweep(struct cli *cli);
int command_version(struct cli *cli);
int command_wallets(struct cli *cli);
int command_worker(struct cli *cli);

extern const struct cli_option audit_options[], backfill_options[], config_options[],
    snapshot_options[], doctor_options[], explain_options[], status_options[], migrate_options[],
    read_options[], run_options[], sweep_options[], wallets_options[], worker_options_[];

#endif
