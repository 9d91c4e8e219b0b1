#include "conf/settings.h"
#include "base/mem.h"
#include "conf/value.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define IN(type, field)          .offset = offsetof(struct type, field)
#define LIST(type, field, count) IN(type, field), .count_offset = offsetof(struct type, count)

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
#define DAY (24 * (uint64_t)HOUR)

/* Ceilings of lists that the layers above count on stand in conf.h too. */
/* clang-format off */
const struct setting settings[] = {
    {.path = "chain", .kind = &kind_section, .workers = FOR_ALL,
     .help = "the chain and the nodes to ask"},
    {.path = "chain.id", .kind = &kind_number, IN(conf, chain.id), .min = 1, .max = INT64_MAX,
     .derived = "learnt at the first start, then fixed in the store", .workers = FOR_ALL,
     .help = "chain id the nodes must answer with", .example = "1"},
    {.path = "chain.endpoints", .kind = &kind_list, LIST(conf, chain.endpoints, chain.n_endpoints),
     .min = 1, .max = 8, .size = sizeof(struct conf_endpoint), .required = true,
     .workers = FOR_FOLLOW | FOR_SWEEP | FOR_LISTEN,
     .flag = "--rpc URL",
     .help = "nodes, in order of preference"},
    {.path = "chain.endpoints[].name", .kind = &kind_label, IN(conf_endpoint, name), .max = 80,
     .derived = "the host of url", .workers = FOR_FOLLOW | FOR_SWEEP | FOR_LISTEN,
     .help = "its name in logs and metrics", .example = "main"},
    {.path = "chain.endpoints[].url", .kind = &kind_url, IN(conf_endpoint, url), .max = 2048,
     .words = "http https", .env = "TRUEUP_RPC_URL", .first = "ethRpcUrl", .required = true,
     .may_be_empty = true, .secret = true, .workers = FOR_FOLLOW | FOR_SWEEP,
     .help = "JSON-RPC over HTTP", .example = "${RPC_URL}"},
    {.path = "chain.endpoints[].ws", .kind = &kind_socket_url, IN(conf_endpoint, ws), .max = 2048,
     .words = "ws wss", .env = "TRUEUP_WS_URL", .first = "ethWsUrl", .secret = true,
     .derived = "url with its scheme changed", .workers = FOR_LISTEN,
     .help = "WebSocket for new blocks and events; off: poll", .example = "off"},
    {.path = "chain.endpoints[].price", .kind = &kind_price, IN(conf_endpoint, price), .max = 64,
     .words = "alchemy infura quicknode flat", .def = "flat",
     .workers = FOR_FOLLOW | FOR_SWEEP | FOR_LISTEN,
     .help = "what a request costs: a provider's price list, or {method: units}"},
    {.path = "chain.endpoints[].reader", .kind = &kind_word, IN(conf_endpoint, reader),
     .size = sizeof(enum conf_reader), .words = "auto override create multicall3 single",
     .def = "auto", .workers = FOR_FOLLOW | FOR_SWEEP,
     .help = "how balances are read; auto: the best one the node can do"},
    {.path = "chain.finality", .old_path = "chain.settle", .kind = &kind_finality, IN(conf, chain), .min = 0, .max = 100000,
     .words = "auto finalized safe", .def = "auto", .workers = FOR_FOLLOW | FOR_SWEEP | FOR_WEB,
     .help = "when a block counts as finalized: auto (the node's finalized tag), finalized, safe, or "
             "this many blocks deep"},
    {.path = "chain.freshness", .old_path = "chain.poll", .kind = &kind_duration,
     IN(conf, chain.freshness_ms), .min = 100, .max = HOUR,
     .zero = "auto", .def = "auto", .workers = FOR_FOLLOW | FOR_SWEEP | FOR_LISTEN,
     .help = "how often to look for a new block; auto: the block time, 2 s to 12 s"},
    {.path = "chain.anchor", .kind = &kind_word, IN(conf, chain.anchor),
     .size = sizeof(enum conf_anchor), .words = "auto evm arbsys none", .def = "auto",
     .workers = FOR_FOLLOW | FOR_SWEEP | FOR_WEB,
     .help = "where a read learns its block number: the EVM, ArbSys, or nowhere; auto: asked once"},
    {.path = "chain.multicall", .kind = &kind_address, IN(conf, chain.multicall),
     .def = "0xcA11bde05977b3631167028862bE2a173976CA11", .workers = FOR_FOLLOW | FOR_SWEEP,
     .help = "the Multicall3 contract"},

    {.path = "store", .kind = &kind_store, IN(conf, store), .max = 2048, .required = true,
     .secret = true, .first = "writeDbUrl", .workers = FOR_FOLLOW | FOR_SWEEP | FOR_WEB,
     .derived = "without a file: sqlite:trueup.db", .flag = "--store URL",
     .help = "where the tables are: postgres://USER@HOST/DATABASE or sqlite:FILE",
     .example = "sqlite:trueup.db"},

    {.path = "schema", .kind = &kind_schema, IN(conf, schema), .max = 63,
     .workers = FOR_FOLLOW | FOR_SWEEP | FOR_WEB, .derived = "the connection's own",
     .help = "PostgreSQL schema of the tables that are trueup's own; trueup migrate creates it",
     .example = "trueup"},

    {.path = "balances", .kind = &kind_list, LIST(conf, balances, n_balances), .min = 1, .max = 256,
     .size = sizeof(struct conf_balance), .required = true, .workers = FOR_ALL,
     .flag = "--token ADDRESS",
     .help = "the balances to keep, each in its own table"},
    {.path = "balances[].name", .kind = &kind_name, IN(conf_balance, name), .max = 40,
     .required = true, .workers = FOR_ALL, .derived = "without a file: the token's symbol",
     .help = "its name in commands, paths and metrics", .example = "token"},
    {.path = "balances[].table", .kind = &kind_table, IN(conf_balance, table), .max = 49,
     .derived = "<name>_balances", .workers = FOR_ALL,
     .help = "its table", .example = "token_balances"},
    {.path = "balances[].checkpoint", .kind = &kind_label, IN(conf_balance, checkpoint), .max = 63,
     .derived = "<name>", .workers = FOR_ALL,
     .help = "its row in eth_indexer_checkpoints", .example = "token"},
    {.path = "balances[].terms", .kind = &kind_list, LIST(conf_balance, terms, n_terms), .min = 1,
     .max = 16, .size = sizeof(struct conf_term), .required = true, .workers = FOR_ALL,
     .help = "the view calls whose sum is the balance"},
    {.path = "balances[].terms[].name", .kind = &kind_name, IN(conf_term, name), .max = 40,
     .required = true, .workers = FOR_ALL,
     .help = "its name in reports", .example = "held"},
    {.path = "balances[].terms[].contract", .kind = &kind_address, IN(conf_term, contract),
     .required = true, .workers = FOR_ALL,
     .help = "the contract that answers", .example = "${TOKEN_ADDRESS}"},
    {.path = "balances[].terms[].view", .kind = &kind_view, IN(conf_term, view), .required = true,
     .workers = FOR_ALL,
     .help = "the view to call with the wallet as its one argument",
     .example = "balanceOf(address)"},
    {.path = "balances[].terms[].gas", .kind = &kind_number, IN(conf_term, gas), .min = 30000,
     .max = 50000000, .def = "2000000", .workers = FOR_ALL,
     .help = "gas limit of one call"},
    {.path = "balances[].triggers", .kind = &kind_list, LIST(conf_balance, triggers, n_triggers),
     .max = 32, .size = sizeof(struct conf_trigger), .workers = FOR_ALL, .derived = "none",
     .help = "the events after which wallets are read again"},
    {.path = "balances[].triggers[].contract", .kind = &kind_address, IN(conf_trigger, contract),
     .required = true, .workers = FOR_ALL,
     .help = "the contract that emits it", .example = "${TOKEN_ADDRESS}"},
    {.path = "balances[].triggers[].event", .kind = &kind_event, IN(conf_trigger, event),
     .required = true, .workers = FOR_ALL,
     .help = "the event, with the names of its arguments",
     .example = "Transfer(address indexed from, address indexed to, uint256 value)"},
    {.path = "balances[].triggers[].wallets", .kind = &kind_sources, .max = 8, .required = true,
     .workers = FOR_ALL,
     .help = "whom it touches: arguments, VIEW(argument) returning address[], or all",
     .example = "[from, to]"},
    {.path = "balances[].wallets", .kind = &kind_wallets, .max = 8192, .words = "seen listed",
     .def = "seen", .workers = FOR_ALL,
     .help = "whose balances are kept: every wallet seen, those listed, or {query: SQL}"},

    {.path = "sweep", .kind = &kind_section, .workers = FOR_SWEEP | FOR_WEB,
     .help = "reading the oldest rows again, for ever"},
    {.path = "sweep.interval", .kind = &kind_duration, IN(conf, sweep.interval_ms), .min = 100,
     .max = 3650 * DAY, .def = "30s", .first = "ethStaleRefreshIntervalSecs", .first_seconds = true,
     .first_def = "30",
     .workers = FOR_SWEEP | FOR_WEB,
     .help = "time from tick to tick"},
    {.path = "sweep.batch", .kind = &kind_number, IN(conf, sweep.batch), .min = 1, .max = 100000,
     .zero = "auto", .def = "auto", .first = "ethStaleRefreshBatchSize",
     .first_def = "50",
     .workers = FOR_SWEEP | FOR_WEB,
     .help = "rows read per tick; auto: as many as one request carries"},
    {.path = "sweep.max_age", .kind = &kind_duration, IN(conf, sweep.max_age_ms), .min = MINUTE,
     .max = 3650 * DAY, .zero = "off", .def = "off", .workers = FOR_SWEEP | FOR_WEB,
     .help = "the promise that no row is older; the sweep speeds up to hold it"},

    {.path = "budget", .kind = &kind_section, .workers = FOR_FOLLOW | FOR_SWEEP | FOR_WEB,
     .help = "a limit on what the nodes are asked, in cost units; 0: none"},
    {.path = "budget.per_second", .kind = &kind_number, IN(conf, budget.per_second),
     .max = 1000000000, .def = "0", .workers = FOR_FOLLOW | FOR_SWEEP | FOR_WEB,
     .help = "units in a second"},
    {.path = "budget.per_day", .kind = &kind_number, IN(conf, budget.per_day),
     .max = 1000000000000000, .def = "0", .workers = FOR_FOLLOW | FOR_SWEEP | FOR_WEB,
     .help = "units in a day (UTC)"},

    {.path = "http", .kind = &kind_section, .workers = FOR_WEB, .help = "the HTTP server"},
    {.path = "http.listen", .kind = &kind_listen, IN(conf, http.listen), .max = 255,
     .def = "127.0.0.1:1325", .workers = FOR_WEB,
     .help = "address and port, or off"},
    {.path = "http.token", .kind = &kind_text, IN(conf, http.token), .max = 256, .secret = true,
     .derived = "none", .workers = FOR_WEB,
     .help = "what clients must send as Authorization: Bearer", .example = "${HTTP_TOKEN:-}"},
    {.path = "http.protect_health", .kind = &kind_yes_no, IN(conf, http.protect_health),
     .def = "no", .workers = FOR_WEB,
     .help = "want the token for the health paths too"},

    {.path = "log", .kind = &kind_section, .workers = FOR_ALL, .help = "what is said on stderr"},
    {.path = "log.level", .kind = &kind_word, IN(conf, log.level), .size = sizeof(int),
     .words = "error warn info debug trace", .def = "info", .workers = FOR_ALL,
     .help = "from which importance on"},
    {.path = "log.format", .kind = &kind_word, IN(conf, log.json), .size = sizeof(bool),
     .words = "text json", .def = "text", .workers = FOR_ALL,
     .help = "lines for people or machines"},
};
/* clang-format on */
const size_t n_settings = COUNT_OF(settings);

const char *setting_name_in(const struct setting *row, const char *scope)
{
    size_t n = strlen(scope);
    const char *name = row->path;
    if (n > 0) {
        if (strncmp(row->path, scope, n) != 0 || row->path[n] != '.')
            return NULL;
        name += n + 1;
    }
    return strpbrk(name, ".[") ? NULL : name;
}

void setting_names_add(const char *scope, struct buf *out)
{
    const char *between = "";
    for (size_t i = 0; i < n_settings; i++) {
        const char *name = setting_name_in(&settings[i], scope);
        if (name)
            buf_addf(out, "%s%s", between, name);
        between = name ? ", " : between;
    }
}

const struct setting *setting_find(const char *path)
{
    for (size_t i = 0; i < n_settings; i++)
        if (strcmp(settings[i].path, path) == 0)
            return &settings[i];
    return NULL;
}

void setting_env_name(const char *path, struct buf *out)
{
    buf_adds(out, "TRUEUP_");
    for (const char *s = path; *s; s++)
        if (*s != ']')
            buf_addc(out, *s == '.' || *s == '[' ? '_' : (char)toupper((unsigned char)*s));
}

/* Does name spell the pattern, a row's path, as an environment name? Digits of the name fill its
 * []. */
static bool setting_env_fits(const char *pattern, const char *name, struct buf *path)
{
    const char *s = name;
    for (const char *p = pattern; *p; p++) {
        char wanted = *p == '.' || *p == '[' ? '_' : (char)toupper((unsigned char)*p);
        buf_addc(path, *p);
        if (*p == ']')
            continue;
        if (*s != wanted)
            return false;
        s++;
        if (*p == '[' && !isdigit((unsigned char)*s))
            return false;
        while (*p == '[' && isdigit((unsigned char)*s))
            buf_addc(path, *s++);
    }
    return *s == '\0' && !path->overflow;
}

/* Renamed settings are single ones, never items of a list, so the new path needs no digits. */
static bool setting_old_env_fits(const struct setting *row, const char *name)
{
    struct buf path = BUF_INIT(SETTING_PATH_MAX);
    bool fits = row->old_path && setting_env_fits(row->old_path, name, &path);
    buf_free(&path);
    return fits;
}

const struct setting *setting_by_env(const char *name, char *ret_path, size_t room, bool *ret_old)
{
    static const char prefix[] = "TRUEUP_";
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return NULL;
    const char *rest = name + sizeof prefix - 1;
    for (size_t i = 0; i < n_settings; i++) {
        const struct setting *row = &settings[i];
        struct buf path = BUF_INIT(room - 1);
        *ret_old = setting_old_env_fits(row, rest);
        bool fits = kind_is_scalar(row->kind) && setting_env_fits(row->path, rest, &path);
        if (fits || *ret_old)
            snprintf(ret_path, room, "%s", fits ? buf_str(&path) : row->path);
        buf_free(&path);
        if (fits || *ret_old)
            return row;
    }
    return NULL;
}

const struct setting *setting_by_short_name(const char *name)
{
    for (size_t i = 0; i < n_settings; i++)
        if (settings[i].env && strcmp(settings[i].env, name) == 0)
            return &settings[i];
    return NULL;
}

/* Damerau's distance without transposing across edits, over three rows of the table. */
size_t edit_distance(const char *a, const char *b, size_t limit)
{
    enum { LONGEST = 64 };
    size_t n = strlen(a), m = strlen(b);
    size_t row[3][LONGEST + 1];
    if (n > LONGEST || m > LONGEST)
        return limit + 1;
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3], *last = row[(i + 2) % 3];
        const size_t *before = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[n % 3][m] > limit ? limit + 1 : row[n % 3][m];
}

const struct setting *setting_nearest(const char *scope, const char *name)
{
    const struct setting *nearest = NULL;
    size_t limit = strlen(name) < 4 ? 1 : 2;
    for (size_t i = 0; i < n_settings; i++) {
        const char *known = setting_name_in(&settings[i], scope);
        size_t d = known ? edit_distance(name, known, limit) : limit + 1;
        if (d <= limit && d < strlen(known)) {
            nearest = &settings[i];
            limit = d ? d - 1 : 0; /* the next one must be nearer */
        }
    }
    return nearest;
}

const struct setting *setting_elsewhere(const char *name)
{
    for (size_t i = 0; i < n_settings; i++) {
        const char *last = strrchr(settings[i].path, '.');
        if (strcmp(last ? last + 1 : settings[i].path, name) == 0)
            return &settings[i];
    }
    return NULL;
}
