/*
 * What the commands that work on node or store share: settings are loaded, node and store opened
 * and checked, the command does its work, and everything is closed again.
 */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "cli/cli.h"
#include "track/refresh/job.h"

struct session {
    const struct cli *cli;
    struct tracker t;
    struct job lease; /* released at the end, if the command took it */
    struct store_adopted adopted;
    bool json;
};

/* Before the work, in this order. */
enum session_step {
    SESSION_MIGRATE = 1,
    SESSION_CHECK_STORE = 2, /* the schema, without writing */
    SESSION_IDENTIFY = 4,
    SESSION_LOAD_LEARNED = 8,
    SESSION_SAVE_LEARNED = 16, /* after the work, done or not */
    SESSION_FIND_STORE = 32, /* before all: a database that is not there is no reason to make one */
    SESSION_ADD_BALANCES = 64, /* those that the store lacks */
    SESSION_RESET_CHAIN = 128,
    SESSION_FILL_TABLE =
        SESSION_MIGRATE | SESSION_IDENTIFY | SESSION_LOAD_LEARNED | SESSION_SAVE_LEARNED,
};

struct session_plan {
    int needs, steps;  /* enum tracker_needs, enum session_step */
    const char *lease; /* the job it is taken for; NULL: not taken here */
    /* The work: as a whole, then for each balance. Each may be NULL. */
    int (*work)(struct session *s, void *ctx, struct err *err);
    int (*balance)(struct session *s, struct tracked *b, void *ctx, struct err *err);
    void *ctx;
};

/* The exit status, after printing the error. */
int session_run(const struct cli *cli, const struct session_plan *plan);

#endif
