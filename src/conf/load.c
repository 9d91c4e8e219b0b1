#include "base/mem.h"
#include "conf/loaded.h"
#include "conf/value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The one balance of `--token ADDRESS`; its name is the token's symbol, learnt from the chain. */
static const char TOKEN_YAML[] =
    "store: sqlite:trueup.db\n"
    "balances:\n"
    "  - terms: [{name: held, contract: '%s', view: balanceOf(address)}]\n"
    "    triggers:\n"
    "      - contract: '%s'\n"
    "        event: Transfer(address indexed from, address indexed to, uint256 value)\n"
    "        wallets: [from, to]\n";

static const char *const standard_files[] = {"./trueup.yaml", "/etc/trueup/trueup.yaml"};

/* One run of conf_load(). */
struct load {
    const struct conf_source_set *from;
    struct loaded *out;
    struct problems problems, warnings;
    struct decoder decoder;
    struct yaml_node *root;
    char *text; /* of the file */
    const char *token, *token_place;
};

static void load_add_problem(struct load *r, const char *source, const char *words)
{
    struct position at = {source, 0, 0};
    problem_add(&r->problems, &at, "", "%s", words);
}

/* --- reading the file --- */

/* 1: read; 0: there is none; -1: a problem was added. */
static int load_read_file(struct load *r, const char *name, size_t *ret_n)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && !r->from->file)
        return 0;
    char *text = mem_alloc(YAML_TEXT_MAX + 2);
    size_t n = 0;
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && n <= YAML_TEXT_MAX) {
        got = read(fd, text + n, YAML_TEXT_MAX + 1 - n);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            n += (size_t)got;
    }
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (got < 0) {
        char words[256];
        snprintf(words, sizeof words, "cannot be read: %s", strerror(why));
        load_add_problem(r, name, words);
        mem_free(text);
        return -1;
    }
    text[n] = '\0';
    r->text = text;
    *ret_n = n;
    return 1;
}

/* False: a problem was added. r->root stays NULL when there is no file. */
static bool load_find_file(struct load *r)
{
    size_t n = 0;
    const char *name = r->from->file;
    int got = name ? load_read_file(r, name, &n) : 0;
    for (size_t i = 0; !name && got == 0 && i < COUNT_OF(standard_files); i++) {
        got = load_read_file(r, standard_files[i], &n);
        if (got != 0) {
            name = standard_files[i];
            name += strncmp(name, "./", 2) == 0 ? 2 : 0;
        }
    }
    if (got <= 0)
        return got == 0;
    r->out->file = arena_strdup(&r->out->arena, name);
    r->root = yaml_tree_parse(&r->out->arena, r->out->file, r->text, n, ORIGIN_FILE, &r->problems);
    return r->root != NULL;
}

/* --- without a file --- */

static struct yaml_node *load_parse_built_in(struct load *r, const char *source, const char *text,
                                             enum origin origin)
{
    return yaml_tree_parse(&r->out->arena, source, text, strlen(text), origin, &r->problems);
}

/* The values that came from the flag say so. */
static void load_mark_token(struct yaml_node *n, const char *text, const struct position *at)
{
    if (n->kind == YAML_NODE_SCALAR && strcmp(n->text, text) == 0) {
        n->place = *at;
        n->origin = ORIGIN_FLAG;
    }
    for (size_t i = 0; i < n->count; i++)
        load_mark_token(n->members[i].value, text, at);
}

/* --token stands for the list of balances: alone, or with a file that has none. */
static void load_apply_token(struct load *r)
{
    char text[ADDRESS_TEXT];
    address a;
    struct position at = {r->token_place, 0, 0};
    struct setting row = *setting_find("chain.multicall"); /* any address */
    struct arena *arena = &r->out->arena;
    row.offset = 0;
    row.secret = false;
    struct spot s = {&row, "token", yaml_node_scalar(arena, r->token, ORIGIN_FLAG, &at)};
    if (r->root && yaml_node_member(r->root, "balances")) {
        spot_refuse_at(&r->decoder, &s, 0, "the file says which balances to keep, not",
                       "either the file's balances or a token");
        return;
    }
    if (!kind_address.read_text(&r->decoder, &s, r->token, strlen(r->token), &a))
        return;
    address_checksum(&a, text);
    const char *yaml = arena_printf(arena, TOKEN_YAML, text, text);
    struct yaml_node *built_in = load_parse_built_in(r, "built in", yaml, ORIGIN_DEFAULT);
    if (!built_in)
        return;
    load_mark_token(built_in, text, &at);
    built_in->place = (struct position){"no file", 0, 0};
    r->decoder.may_be_unnamed = true;
    if (!r->root)
        r->root = built_in;
    else
        yaml_node_add(arena, r->root, "balances", yaml_node_member(built_in, "balances")->value);
}

static void load_without_file(struct load *r)
{
    if (r->token)
        return;
    if (overlay_has_first_user(r->from->environ_)) {
        r->root =
            load_parse_built_in(r, "etc/audius.yaml (built in)", conf_audius_yaml, ORIGIN_FILE);
        return;
    }
    if (r->from->may_be_nothing) {
        r->decoder.nothing_required = true;
        r->root = load_parse_built_in(r, "no file", "store: sqlite:trueup.db\n", ORIGIN_DEFAULT);
        return;
    }
    load_add_problem(
        r, "no configuration",
        "neither ./trueup.yaml nor /etc/trueup/trueup.yaml is there\n"
        "hint: --rpc URL and --token ADDRESS are enough; `trueup config init` writes a "
        "file to begin with; -c FILE names one");
}

/* --- both --- */

/* Leaves the balance asked for alone. */
static void load_select_balance(struct load *r)
{
    struct conf *c = &r->out->conf;
    const char *wanted = r->from->only_balance;
    struct conf_balance *all = (struct conf_balance *)c->balances;
    if (!wanted || c->n_balances == 0)
        return;
    if (!all[0].name && !r->problems.count)
        conf_name_balance(c, wanted); /* instead of the token's symbol */
    c->named_by_symbol = false;
    for (size_t i = 0; i < c->n_balances; i++) {
        if (!all[i].name || strcmp(all[i].name, wanted) != 0)
            continue;
        c->partial = true;
        c->balances = &all[i];
        c->n_balances = 1;
        r->out->first_balance = i;
        return;
    }
    struct buf shown = BUF_INIT(512), known = BUF_INIT(2048);
    show_text(&shown, wanted, strlen(wanted));
    for (size_t i = 0; i < c->n_balances; i++)
        buf_addf(&known, "%s%s", i ? ", " : "", all[i].name ? all[i].name : "?");
    problem_add(&r->problems, &(struct position){"--balance", 0, 0}, "",
                "no balance of the name %s; expected one of %s", buf_str(&shown), buf_str(&known));
    buf_free(&shown);
    buf_free(&known);
}

/* A relative file in a configuration file lies beside it, wherever the command is started. */
static void load_place_store(struct load *r)
{
    struct conf *c = &r->out->conf;
    const struct given *g = given_find(r->decoder.given, "store");
    const char *slash = r->out->file ? strrchr(r->out->file, '/') : NULL;
    if (!g || g->node->origin != ORIGIN_FILE || !slash || !c->store ||
        strncmp(c->store, "sqlite:", 7) != 0 || c->store[7] == '/' || c->store[7] == ':')
        return;
    const char *here = c->store + 7;
    const char *placed =
        arena_printf(&r->out->arena, "%.*s/%s", (int)(slash - r->out->file), r->out->file, here);
    if (access(here, F_OK) == 0 && access(placed, F_OK) < 0)
        problem_add(&r->problems, &g->node->place, "store",
                    "\"%.80s\" is taken from this file's folder, and the one in the current folder "
                    "is another; expected its whole path",
                    c->store);
    c->store = arena_printf(&r->out->arena, "sqlite:%s", placed);
}

static void load_decode(struct load *r)
{
    struct conf *c = &r->out->conf;
    decode_settings(&r->decoder, r->root, c);
    r->out->given = r->decoder.given;
    conf_finish(&r->decoder, c);
    load_select_balance(r);
    load_place_store(r);
}

static struct load *load_start(struct load *r, const struct conf_source_set *from)
{
    struct loaded *out = mem_zero(1, sizeof *out);
    arena_init(&out->arena);
    *r = (struct load){.from = from,
                       .out = out,
                       .problems = {.arena = &out->arena},
                       .warnings = {.arena = &out->arena}};
    r->decoder =
        (struct decoder){.arena = &out->arena, .problems = &r->problems, .warnings = &r->warnings};
    return r;
}

/* Also where the file could not be parsed: then the environment alone speaks. */
static bool load_wants_json(const struct load *r)
{
    const char *format = overlay_variable(r->from->environ_, "TRUEUP_LOG_FORMAT");
    return r->root ? r->out->conf.log.json : format && strcmp(format, "json") == 0;
}

static struct conf *load_finish(struct load *r, struct conf_problems *problems)
{
    bool ok = r->problems.count == 0;
    struct conf_problems warnings;
    problems_write(&r->problems, problems);
    problems->json = load_wants_json(r);
    problems_write(&r->warnings, &warnings);
    r->out->warnings = arena_strdup(&r->out->arena, buf_str(&warnings.text));
    conf_problems_free(&warnings);
    mem_free(r->text);
    if (ok)
        return &r->out->conf;
    conf_free(&r->out->conf);
    return NULL;
}

struct conf *conf_load(const struct conf_source_set *from, struct conf_problems *problems)
{
    struct load run, *r = load_start(&run, from);
    r->decoder.whole = true;
    r->decoder.environ_ = from->environ_;
    secret_files_read(&r->decoder);
    r->token = from->token ? from->token : overlay_variable(from->environ_, "TRUEUP_TOKEN");
    r->token_place = from->token ? "--token" : "environment TRUEUP_TOKEN";
    if (load_find_file(r)) {
        if (!r->root)
            load_without_file(r);
        if (r->token)
            load_apply_token(r);
        if (r->root) {
            old_names_replace(&r->decoder, r->root);
            overlay_settings(&r->decoder, r->root, from, r->text);
            load_decode(r);
        }
    }
    return load_finish(r, problems);
}

struct conf *conf_load_text(const char *text, size_t n, struct conf_problems *problems)
{
    static const struct conf_source_set none;
    struct load run, *r = load_start(&run, &none);
    r->decoder.may_be_unnamed = true;
    r->root = yaml_tree_parse(&r->out->arena, "settings", text, n, ORIGIN_FILE, &r->problems);
    if (r->root)
        load_decode(r);
    return load_finish(r, problems);
}

void conf_free(struct conf *c)
{
    struct loaded *l = (struct loaded *)(void *)c;
    if (!l)
        return;
    arena_free(&l->arena);
    mem_free(l);
}

const char *conf_file(const struct conf *c)
{
    return ((const struct loaded *)(const void *)c)->file;
}

const char *conf_warnings(const struct conf *c)
{
    return ((const struct loaded *)(const void *)c)->warnings;
}

void conf_set_chain_id(struct conf *c, uint64_t id)
{
    c->chain.id = id;
}

/* The symbol comes from the chain: only what a name may hold is kept of it. */
void conf_name_balance(struct conf *c, const char *symbol)
{
    enum { LONGEST = 40 };
    struct loaded *l = (struct loaded *)(void *)c;
    struct conf_balance *b = (struct conf_balance *)c->balances;
    char name[LONGEST + 1];
    size_t n = 0;
    if (c->n_balances != 1 || b->name)
        return;
    for (const char *s = symbol ? symbol : ""; *s && n < LONGEST; s++) {
        char ch = *s >= 'A' && *s <= 'Z' ? (char)(*s - 'A' + 'a') : *s;
        if ((ch >= 'a' && ch <= 'z') || (n > 0 && ((ch >= '0' && ch <= '9') || ch == '_')))
            name[n++] = ch;
    }
    name[n] = '\0';
    b->name = arena_strdup(&l->arena, n ? name : "token");
    c->named_by_symbol = true;
    conf_derive_names(&l->arena, b);
}
