/*
 * Settings: what the user asked for, checked and typed.
 *
 * One table (conf/settings.c) owns every setting: its path, kind, range, default, environment
 * names, whether it is secret, which workers need it, whether it is active yet, and its line in the
 * starter file. The YAML walker, `config check|show|init`, the environment and the flags all read
 * that table.
 *
 * Order of precedence: flag, environment (TRUEUP_…), first user's names, file, default.
 *
 * Everything hangs in one arena: a conf and all its strings live until conf_free(). Nothing changes
 * after loading but for conf_name_balance().
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/buf.h"
#include "eth/address.h"
#include "eth/signature.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum conf_reader { READER_AUTO, READER_OVERRIDE, READER_CREATE, READER_MULTICALL3, READER_SINGLE };
/* FINALITY_AUTO is the finalized tag by another name: a depth stands in for each tag that fails. */
enum conf_finality { FINALITY_AUTO, FINALITY_FINALIZED, FINALITY_SAFE, FINALITY_DEPTH };
enum conf_anchor { ANCHOR_AUTO, ANCHOR_EVM, ANCHOR_ARBSYS, ANCHOR_NONE };
enum conf_wallets { WALLETS_SEEN, WALLETS_LISTED, WALLETS_QUERY };

struct conf_price { /* one method of a custom price table */
    const char *method;
    uint64_t units;
};

struct conf_endpoint {
    const char *name;  /* default: the URL's host, made unique */
    const char *url;   /* http or https */
    const char *ws;    /* ws or wss, derived if not given; NULL when `off` */
    const char *price; /* "alchemy", "infura", "quicknode", "flat"; NULL with a table of its own */
    const struct conf_price *prices;
    size_t n_prices;
    enum conf_reader reader;
};

struct conf_term {
    const char *name;
    address contract;
    struct signature view; /* one address argument */
    uint64_t gas;
};

/* Where a trigger's wallets come from: an argument of the event, or a view of the trigger's
 * contract that answers address[], called with an argument of the event. */
struct conf_source {
    int param; /* index into event.params */
    bool is_view;
    struct signature view;
};

struct conf_trigger {
    address contract;
    struct signature event;
    bool all; /* `wallets: all`: every row is due */
    const struct conf_source *sources;
    size_t n_sources;
};

struct conf_balance {
    const char *name; /* NULL until conf_name_balance(): only without any file */
    const char *table;
    const char *checkpoint;
    const struct conf_term *terms; /* 1 to 16 */
    size_t n_terms;
    const struct conf_trigger *triggers; /* 0 to 32 */
    size_t n_triggers;
    enum conf_wallets wallets;
    const char *query;  /* WALLETS_QUERY */
    hash32 terms_print; /* fingerprints: canonical text of terms; of triggers and wallets rule */
    hash32 rules_print;
};

struct conf {
    struct {
        uint64_t id;                           /* 0: not known yet */
        const struct conf_endpoint *endpoints; /* in order of preference; may be none (first user's
                                                  deployment without a URL): commands refuse */
        size_t n_endpoints;
        enum conf_finality finality;
        uint64_t finality_depth; /* FINALITY_DEPTH */
        int64_t freshness_ms;    /* 0: auto */
        enum conf_anchor anchor; /* ANCHOR_AUTO: asked of the node once */
        address multicall;
    } chain;
    bool partial;         /* --balance left the other balances of the file out */
    bool named_by_symbol; /* the one balance, given by --token, is named after the token */
    const char *store;    /* "postgres://…" or "sqlite:FILE" */
    const char *schema;   /* of our own tables, on PostgreSQL; NULL: the connection's own */
    const struct conf_balance *balances;
    size_t n_balances;
    struct {
        int64_t interval_ms;
        uint64_t batch;     /* 0: auto */
        int64_t max_age_ms; /* 0: off */
    } sweep;
    struct {
        uint64_t per_second, per_day; /* cost units; 0: unlimited */
    } budget;
    struct {
        const char *listen; /* "127.0.0.1:1325", "[::]:1325"; NULL when off */
        const char *token;  /* NULL when none */
        bool protect_health;
    } http;
    struct {
        int level; /* enum log_level */
        bool json;
    } log;
};

/* A flag given on the command line: a setting's path and its text. */
struct conf_flag {
    const char *path, *value; /* "store", "chain.endpoints[0].url", "log.level" … */
    const char *flag;         /* as the user wrote it, for the error: "--rpc" */
};

struct conf_source_set {
    const char *file; /* from -c; NULL: ./trueup.yaml, then /etc/trueup/trueup.yaml, then none */
    const struct conf_flag *flags;
    size_t n_flags;
    char *const *environ_;    /* the process' environment; NULL: none is looked at */
    const char *token;        /* --token ADDR: with no file, the one balance */
    const char *only_balance; /* --balance NAME: the others are left out; unknown is an error */
    bool may_be_nothing;      /* nothing configured at all: the defaults, no balance, no node */
};

/* All problems of one run, one line each: "trueup.yaml:7:12: chain.finality: …". */
struct conf_problems {
    struct buf text; /* lines, each ended by \n */
    size_t count;
    bool json; /* log.format is json, as far as the settings could be read */
};

/* NULL when there were problems. */
struct conf *conf_load(const struct conf_source_set *from, struct conf_problems *problems);
void conf_free(struct conf *c);
void conf_problems_free(struct conf_problems *p);

/* The file that was read, for messages; NULL if there was none. */
const char *conf_file(const struct conf *c);
/* Names of the last edition that were used, one line each, as problems are told; "" if none. */
const char *conf_warnings(const struct conf *c);

/* Names the one unnamed balance after the token's symbol(): lower-cased, [a-z0-9_], at most 40,
 * else "token"; its table and checkpoint follow. Does nothing when all are named. */
void conf_name_balance(struct conf *c, const char *symbol);
/* Fills chain.id once it is learnt. */
void conf_set_chain_id(struct conf *c, uint64_t id);

/* Settings that were read again while the daemon runs: what cannot change meanwhile (store
 * but for its password, chain.id, balances, and whether there is an endpoint at all) is taken from
 * old, and named in ret_kept, one a line, where it was to be another. c then needs old's memory. */
void conf_keep(struct conf *c, const struct conf *old, struct buf *ret_kept);

/* Which process a text of settings is for: it gets only what it needs (web has no node URL). */
enum conf_for { CONF_FOR_USER, CONF_FOR_FOLLOW, CONF_FOR_SWEEP, CONF_FOR_LISTEN, CONF_FOR_WEB };

/* The effective settings as a file that conf_load_text() reads back to the same conf. For
 * CONF_FOR_USER secrets are masked and each value's origin is a comment (file:line, environment
 * name, flag, default). */
void conf_write(const struct conf *c, enum conf_for who, struct buf *out);
struct conf *conf_load_text(const char *text, size_t n, struct conf_problems *problems);

/* The commented starter file of `config init`, in full. */
void conf_write_starter(struct buf *out);

#endif
