/*
 * Kinds that speak of contracts: views, events, whom an event touches, whose balances are kept, and
 * what a request costs. The last three may be more than one scalar.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "conf/value.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* --- signatures --- */

/* eth/signature says "column N: WORDS"; the column becomes the place's. */
static bool value_refuse_signature(struct decoder *d, const struct spot *s, const struct err *e)
{
    static const char lead[] = "column ";
    const char *words = e->text;
    uint64_t column = 0;
    size_t digits = strspn(words + sizeof lead - 1, "0123456789");
    if (strncmp(words, lead, sizeof lead - 1) == 0 &&
        parse_u64(words + sizeof lead - 1, digits, &column)) {
        words += sizeof lead - 1 + digits;
        words += strspn(words, ": ");
    }
    struct position at = s->node->place;
    bool variable = yaml_node_has_variable(s->node);
    struct buf shown = BUF_INIT(512), expected = BUF_INIT(512);
    show_text(&shown, s->node->text, s->node->n);
    kind_expected(s->row, &expected);
    if (s->node->exact && !variable && column)
        at.column += (size_t)column - 1 + s->node->quoted;
    problem_add(d->problems, &at, s->path, "does not parse: %s in %s; expected %s",
                variable ? "bad signature" : words, buf_str(&shown), buf_str(&expected));
    buf_free(&shown);
    buf_free(&expected);
    return false;
}

static bool value_sums_up(const char *type)
{
    bool number = strncmp(type, "uint", 4) == 0 || strncmp(type, "int", 3) == 0;
    return !*type || strcmp(type, "bool") == 0 || (number && !strchr(type, '['));
}

static bool value_view_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                            void *base)
{
    struct err err = {0};
    struct signature sig;
    if (view_parse(text, n, &sig, &err) < 0)
        return value_refuse_signature(d, s, &err);
    if (sig.n_params != 1 || strcmp(sig.params[0].type, "address") != 0)
        return spot_refuse(d, s, "a view that does not take exactly one address");
    if (!value_sums_up(sig.returns))
        return spot_refuse_at(d, s, 0, "a view that does not return a number",
                              "returns (uint256), returns (int256), or no return type");
    memcpy((char *)base + s->row->offset, &sig, sizeof sig);
    return true;
}

/* uint and int for the 256-bit types keep the text no longer than what was read. */
static void value_type_add(const char *type, bool compact, struct buf *out)
{
    size_t stem = strncmp(type, "uint256", 7) == 0 ? 4 : strncmp(type, "int256", 6) == 0 ? 3 : 0;
    if (compact && stem) {
        buf_add(out, type, stem);
        type += stem + 3;
    }
    buf_adds(out, type);
}

static void value_signature_add(const struct signature *sig, bool compact, struct buf *out)
{
    buf_addf(out, "%s(", sig->name);
    for (int i = 0; i < sig->n_params; i++) {
        const struct sig_param *p = &sig->params[i];
        buf_adds(out, i == 0 ? "" : compact ? "," : ", ");
        value_type_add(p->type, compact, out);
        buf_addf(out, "%s%s%s", p->indexed ? " indexed" : "", *p->name ? " " : "", p->name);
    }
    buf_addc(out, ')');
    if (*sig->returns) {
        buf_adds(out, compact ? "returns(" : " returns (");
        value_type_add(sig->returns, compact, out);
        buf_addc(out, ')');
    }
}

static void value_signature_write(const struct setting *row, const void *base, struct buf *out)
{
    struct signature sig;
    struct buf text = BUF_INIT(8 * SIG_TEXT);
    memcpy(&sig, (const char *)base + row->offset, sizeof sig);
    value_signature_add(&sig, false, &text);
    if (text.len >= SIG_TEXT) {
        buf_clear(&text);
        value_signature_add(&sig, true, &text);
    }
    value_quote(buf_str(&text), out);
    buf_free(&text);
}

const struct kind kind_view = {.name = "view",
                               .read_text = value_view_read,
                               .write = value_signature_write,
                               .expects = "a view of one address such as balanceOf(address)"};

static bool value_event_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                             void *base)
{
    struct err err = {0};
    struct signature sig;
    if (event_parse(text, n, &sig, &err) < 0)
        return value_refuse_signature(d, s, &err);
    memcpy((char *)base + s->row->offset, &sig, sizeof sig);
    return true;
}

const struct kind kind_event = {
    .name = "event",
    .read_text = value_event_read,
    .write = value_signature_write,
    .expects =
        "an event such as Transfer(address indexed from, address indexed to, uint256 value)"};

/* --- whom an event touches --- */

static void value_addresses_of(const struct signature *event, struct buf *out)
{
    for (int i = 0; i < event->n_params; i++)
        if (strcmp(event->params[i].type, "address") == 0 && *event->params[i].name)
            buf_addf(out, "%s%s", out->len ? ", " : "", event->params[i].name);
    if (!out->len)
        buf_adds(out, "an address argument that the event gives a name");
}

struct argument {
    const char *name;
    size_t n, column; /* inside the scalar; 0: its start */
};

/* The number of the event's argument, which must be an address. */
static bool value_find_argument(struct decoder *d, const struct spot *item,
                                const struct argument *a, const struct signature *event, int *ret)
{
    char copy[SIG_NAME];
    int param = -1;
    if (a->n < sizeof copy) {
        memcpy(copy, a->name, a->n);
        copy[a->n] = '\0';
        param = a->n ? signature_find(event, copy) : -1;
    }
    if (param >= 0 && strcmp(event->params[param].type, "address") == 0) {
        *ret = param;
        return true;
    }
    struct buf known = BUF_INIT(2048), cause = BUF_INIT(256);
    value_addresses_of(event, &known);
    if (param >= 0)
        buf_addf(&cause, "argument is %s, not an address", event->params[param].type);
    else
        buf_addf(&cause, "event %s has no argument", event->name);
    spot_refuse_at(d, item, a->column, buf_str(&cause), buf_str(&known));
    buf_free(&known);
    buf_free(&cause);
    return false;
}

/* VIEW(argument), the return type may follow: read as VIEW(address) with the argument put aside. */
static bool value_read_fan_out(struct decoder *d, const struct spot *item, const char *text,
                               size_t n, const struct signature *event, struct conf_source *ret)
{
    char view[2 * SIG_TEXT];
    const char *open = memchr(text, '(', n), *close = memchr(text, ')', n);
    if (!close || close < open || n >= SIG_TEXT)
        return spot_refuse_at(d, item, 0, "does not parse", "VIEW(argument)");
    const char *name = open + 1, *end = close;
    while (name < end && *name == ' ')
        name++;
    while (end > name && end[-1] == ' ')
        end--;
    struct argument a = {name, (size_t)(end - name), (size_t)(name - text) + 1};
    if (!value_find_argument(d, item, &a, event, &ret->param))
        return false;
    snprintf(view, sizeof view, "%.*s(address)%s", (int)(open - text), text, close + 1);
    if (view_parse(view, strlen(view), &ret->view, NULL) < 0)
        return spot_refuse_at(d, item, 0, "does not parse", "VIEW(argument)");
    if (!*ret->view.returns)
        snprintf(ret->view.returns, SIG_TYPE, "address[]");
    if (strcmp(ret->view.returns, "address[]") != 0)
        return spot_refuse_at(d, item, 0, "a view that does not return address[]",
                              "returns (address[]), or no return type");
    ret->is_view = true;
    return true;
}

static bool value_same_source(const struct conf_source *a, const struct conf_source *b)
{
    return a->param == b->param && a->is_view == b->is_view &&
           (!a->is_view || strcmp(a->view.canonical, b->view.canonical) == 0);
}

static bool value_read_source(struct decoder *d, const struct spot *item,
                              const struct conf_trigger *t, struct conf_source *sources, size_t i)
{
    size_t n = 0;
    const char *text = spot_text(d, item, &n);
    if (!text)
        return false;
    if (memchr(text, '(', n) ? !value_read_fan_out(d, item, text, n, &t->event, &sources[i])
                             : !value_find_argument(d, item, &(struct argument){text, n, 0},
                                                    &t->event, &sources[i].param))
        return false;
    for (size_t k = 0; k < i; k++)
        if (value_same_source(&sources[k], &sources[i]))
            return spot_refuse_at(d, item, 0, "named twice", "each once");
    return true;
}

static bool value_sources_read(struct decoder *d, const struct spot *s, void *base)
{
    struct conf_trigger *t = base;
    size_t n = 0;
    if (s->node->kind == YAML_NODE_SCALAR) {
        const char *text = spot_text(d, s, &n);
        if (text && strcmp(text, "all") != 0)
            spot_refuse(d, s, "not a list");
        t->all = text && strcmp(text, "all") == 0;
        return t->all;
    }
    if (s->node->kind != YAML_NODE_LIST)
        return spot_refuse(d, s, "wrong type");
    if (s->node->count == 0 || s->node->count > s->row->max)
        return spot_refuse(d, s, s->node->count ? "more than 8 items" : "empty");
    if (!t->event.name[0]) /* the event did not parse, which was said */
        return false;
    struct conf_source *sources = arena_zero(d->arena, s->node->count, sizeof *sources);
    bool ok = true;
    for (size_t i = 0; i < s->node->count; i++) {
        struct spot item = spot_within(s, s->node->members[i].value);
        ok &= value_read_source(d, &item, t, sources, i);
    }
    t->sources = sources;
    t->n_sources = ok ? s->node->count : 0;
    return ok;
}

static void value_sources_write(const struct setting *row, const void *base, struct buf *out)
{
    const struct conf_trigger *t = base;
    struct buf item = BUF_INIT(SIG_TEXT * 2);
    (void)row;
    if (t->all) {
        buf_adds(out, "all");
        return;
    }
    buf_addc(out, '[');
    for (size_t i = 0; i < t->n_sources; i++) {
        const struct conf_source *src = &t->sources[i];
        const char *argument = t->event.params[src->param].name;
        buf_clear(&item);
        if (src->is_view)
            buf_addf(&item, "%s(%s)", src->view.name, argument);
        else
            buf_adds(&item, argument);
        buf_adds(out, i ? ", " : "");
        value_quote(buf_str(&item), out);
    }
    buf_addc(out, ']');
    buf_free(&item);
}

const struct kind kind_sources = {
    .name = "list or all",
    .read_node = value_sources_read,
    .write = value_sources_write,
    .expects = "a list of the event's address arguments or VIEW(argument), or all"};

/* --- whose balances are kept --- */

/* The spot of a name in a composite value. */
static struct spot value_key_spot(struct decoder *d, const struct spot *s, const struct member *m)
{
    return spot_within(s, yaml_node_scalar(d->arena, m->key, m->value->origin, &m->key_place));
}

static bool value_read_query(struct decoder *d, const struct spot *s, const struct yaml_node *node,
                             struct conf_balance *b)
{
    struct spot query = spot_within(s, node);
    size_t n = 0;
    const char *text = spot_text(d, &query, &n);
    if (!text)
        return false;
    if (n == 0 || n > s->row->max)
        return spot_refuse_at(d, &query, 0,
                              n ? "too long" : "empty:", "a SELECT of at most 8192 bytes");
    const char *at = text;
    while ((at = strstr(at, "$1")) && isdigit((unsigned char)at[2]))
        at += 2;
    if (!at)
        return spot_refuse_at(d, &query, 0, "a query that does not look at the candidates",
                              "$1 in it, such as … WHERE lower(wallet) = ANY($1)");
    b->wallets = WALLETS_QUERY;
    b->query = text;
    return true;
}

static bool value_wallets_read(struct decoder *d, const struct spot *s, void *base)
{
    struct conf_balance *b = base;
    if (s->node->kind == YAML_NODE_MAP) {
        const struct member *query = yaml_node_member(s->node, "query");
        for (size_t i = 0; i < s->node->count; i++) {
            const struct member *m = &s->node->members[i];
            struct spot key = value_key_spot(d, s, m);
            if (m->value != (query ? query->value : NULL) && strcmp(m->key, "query") != 0)
                spot_refuse_at(d, &key, 0, "unknown setting", "query");
        }
        if (!query)
            return s->node->count == 0 && spot_refuse(d, s, "empty");
        return value_read_query(d, s, query->value, b);
    }
    size_t n = 0;
    const char *text = spot_text(d, s, &n);
    if (!text)
        return false;
    int word = value_word(s->row->words, text, n);
    if (word < 0)
        return spot_refuse(d, s, "unknown word");
    b->wallets = (enum conf_wallets)word;
    return true;
}

static void value_wallets_write(const struct setting *row, const void *base, struct buf *out)
{
    const struct conf_balance *b = base;
    (void)row;
    if (b->wallets != WALLETS_QUERY) {
        buf_adds(out, b->wallets == WALLETS_SEEN ? "seen" : "listed");
        return;
    }
    buf_adds(out, "{query: ");
    value_quote(b->query, out);
    buf_addc(out, '}');
}

const struct kind kind_wallets = {.name = "word or query",
                                  .or_text = true,
                                  .read_node = value_wallets_read,
                                  .write = value_wallets_write,
                                  .expects = "{words}, or {query: SQL}"};

/* --- what a request costs --- */

static bool value_read_price(struct decoder *d, const struct spot *s, const struct member *m,
                             struct conf_price *ret)
{
    struct spot item = spot_within(s, m->value);
    size_t n = 0, key = strlen(m->key);
    const char *text = spot_text(d, &item, &n);
    if (!text)
        return false;
    for (size_t i = 0; i < key; i++)
        if (key > 64 || (!isalnum((unsigned char)m->key[i]) && m->key[i] != '_')) {
            struct spot name = value_key_spot(d, s, m);
            return spot_refuse_at(d, &name, 0, "not a method", "a name such as eth_call");
        }
    ret->method = m->key;
    if (key > 0 && parse_u64(text, n, &ret->units) && ret->units <= 1000000)
        return true;
    return spot_refuse_at(d, &item, 0, "not a cost", "a number from 0 to 1000000");
}

static bool value_price_read(struct decoder *d, const struct spot *s, void *base)
{
    struct conf_endpoint *e = base;
    size_t n = 0;
    if (s->node->kind != YAML_NODE_MAP) {
        const char *text = spot_text(d, s, &n);
        if (!text)
            return false;
        if (value_word(s->row->words, text, n) < 0)
            return spot_refuse(d, s, "unknown price list");
        e->price = arena_strdup(d->arena, text);
        return true;
    }
    if (s->node->count == 0 || s->node->count > s->row->max)
        return spot_refuse(d, s, s->node->count ? "more than 64 methods" : "empty");
    struct conf_price *prices = arena_zero(d->arena, s->node->count, sizeof *prices);
    bool ok = true;
    for (size_t i = 0; i < s->node->count; i++)
        ok &= value_read_price(d, s, &s->node->members[i], &prices[i]);
    e->prices = prices;
    e->n_prices = ok ? s->node->count : 0;
    return ok;
}

static void value_price_write(const struct setting *row, const void *base, struct buf *out)
{
    const struct conf_endpoint *e = base;
    (void)row;
    if (e->price) {
        buf_adds(out, e->price);
        return;
    }
    for (size_t i = 0; i < e->n_prices; i++)
        buf_addf(out, "%s%s: %llu", i ? ", " : "{", e->prices[i].method,
                 (unsigned long long)e->prices[i].units);
    buf_adds(out, e->n_prices ? "}" : "");
}

const struct kind kind_price = {.name = "word or map",
                                .or_text = true,
                                .read_node = value_price_read,
                                .write = value_price_write,
                                .expects = "{words}, or {METHOD: UNITS}"};
