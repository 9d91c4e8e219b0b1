#include "base/mem.h"
#include "base/url.h"
#include "conf/loaded.h"
#include "eth/keccak.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- places of problems --- */

static const struct given *check_find_given(const struct decoder *d, const char *list, size_t i,
                                            const char *name)
{
    char path[SETTING_PATH_MAX];
    snprintf(path, sizeof path, "%s[%zu].%s", list, i, name);
    return given_find(d->given, path);
}

static void check_refuse_duplicate(struct decoder *d, const struct given *second,
                                   const struct given *first, const char *text)
{
    struct buf shown = BUF_INIT(512);
    show_text(&shown, text, strlen(text));
    problem_add(d->problems, &second->node->place, second->path,
                "already taken%s%s %s; expected one of its own", first ? " by " : "",
                first ? first->path : "", buf_str(&shown));
    buf_free(&shown);
}

struct check_list {
    const char *path; /* in the file */
    const void *items;
    size_t n, size;
};

static const char *check_text(const struct check_list *l, size_t i, size_t offset)
{
    const char *text;
    memcpy(&text, (const char *)l->items + i * l->size + offset, sizeof text);
    return text;
}

/* A text that two items share: the second is refused, or the first where the second's is derived.
 * With both derived the names clash, which is refused there. */
static void check_shared(struct decoder *d, const struct check_list *l, const char *name,
                         size_t offset)
{
    for (size_t i = 0; i < l->n; i++)
        for (size_t k = 0; k < i; k++) {
            const char *a = check_text(l, k, offset), *b = check_text(l, i, offset);
            if (!a || !b || strcmp(a, b) != 0)
                continue;
            const struct given *first = check_find_given(d, l->path, k, name);
            const struct given *second = check_find_given(d, l->path, i, name);
            if (second || first)
                check_refuse_duplicate(d, second ? second : first, second ? first : NULL, a);
        }
}

/* --- balances --- */

static bool check_same_call(const struct conf_term *a, const struct conf_term *b)
{
    return a->view.name[0] && address_equal(&a->contract, &b->contract) &&
           strcmp(a->view.canonical, b->view.canonical) == 0;
}

static void check_terms(struct decoder *d, const struct conf_balance *b, size_t i)
{
    char path[48];
    snprintf(path, sizeof path, "balances[%zu].terms", i);
    check_shared(d, &(struct check_list){path, b->terms, b->n_terms, sizeof *b->terms}, "name",
                 offsetof(struct conf_term, name));
    for (size_t k = 0; k < b->n_terms; k++)
        for (size_t j = 0; j < k; j++) {
            const struct given *view = check_find_given(d, path, k, "view");
            const struct given *first = check_find_given(d, path, j, "view");
            if (view && first && check_same_call(&b->terms[j], &b->terms[k]))
                problem_add(d->problems, &view->node->place, view->path,
                            "counted already by %s \"%s\"; expected each call once", first->path,
                            b->terms[k].view.canonical);
        }
}

static void check_query(struct decoder *d, const struct conf *c, size_t i)
{
    const struct given *g = check_find_given(d, "balances", i, "wallets");
    if (!g || c->balances[i].wallets != WALLETS_QUERY || !c->store ||
        strncmp(c->store, "sqlite:", 7) != 0)
        return;
    problem_add(d->problems, &g->node->place, g->path,
                "a query needs the application's PostgreSQL, and the store is \"%.80s\"; expected "
                "seen or listed",
                c->store);
}

static void check_schema(struct decoder *d, const struct conf *c)
{
    const struct given *g = given_find(d->given, "schema");
    if (!g || !c->schema || !c->store || strncmp(c->store, "sqlite:", 7) != 0)
        return;
    problem_add(d->problems, &g->node->place, g->path,
                "\"%.63s\" is for PostgreSQL, and the store is \"%.80s\"; expected no schema",
                c->schema, c->store);
}

static void check_unnamed(struct decoder *d, const struct conf *c, size_t i)
{
    const struct given *list = given_find(d->given, "balances");
    if (c->balances[i].name || c->n_balances == 1 || !d->may_be_unnamed || !list)
        return;
    problem_add(d->problems, &list->node->members[i].value->place, "balances",
                "missing setting \"name\"; expected one, as there are several balances");
}

void conf_derive_names(struct arena *arena, struct conf_balance *b)
{
    if (b->name && !b->table)
        b->table = arena_printf(arena, "%s_balances", b->name);
    if (b->name && !b->checkpoint)
        b->checkpoint = b->name;
}

/* --- fingerprints --- */

static int check_compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Lines sorted and told once each: their order in the file means nothing. */
static void check_print_lines(char **lines, size_t n, const char *tail, hash32 *ret)
{
    struct buf text = BUF_INIT(256 * 1024);
    if (n)
        qsort(lines, n, sizeof *lines, check_compare_text);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(lines[i - 1], lines[i]) != 0)
            buf_addf(&text, "%s\n", lines[i]);
    buf_adds(&text, tail);
    keccak256(buf_str(&text), text.len, ret);
    buf_free(&text);
}

/* What makes the number: names and gas limits are not in it. */
static void check_print_terms(struct arena *arena, struct conf_balance *b)
{
    char **lines = arena_zero(arena, b->n_terms + 1, sizeof *lines);
    for (size_t i = 0; i < b->n_terms; i++) {
        char contract[ADDRESS_TEXT];
        address_text(&b->terms[i].contract, contract);
        lines[i] = arena_printf(arena, "%s %s", contract, b->terms[i].view.canonical);
    }
    check_print_lines(lines, b->n_terms, "", &b->terms_print);
}

static char *check_trigger_line(struct arena *arena, const struct conf_trigger *t)
{
    char contract[ADDRESS_TEXT];
    char **sources = arena_zero(arena, t->n_sources + 1, sizeof *sources);
    struct buf line = BUF_INIT(64 * 1024);
    address_text(&t->contract, contract);
    buf_addf(&line, "%s %s", contract, t->event.canonical);
    for (int i = 0; i < t->event.n_params; i++)
        buf_addc(&line, t->event.params[i].indexed ? 'i' : '.');
    for (size_t i = 0; i < t->n_sources; i++)
        sources[i] =
            arena_printf(arena, " %s%d", t->sources[i].is_view ? t->sources[i].view.name : "",
                         t->sources[i].param);
    if (t->n_sources)
        qsort(sources, t->n_sources, sizeof *sources, check_compare_text);
    for (size_t i = 0; i < t->n_sources; i++)
        buf_adds(&line, sources[i]);
    buf_adds(&line, t->all ? " all" : "");
    char *text = arena_strdup(arena, buf_str(&line));
    buf_free(&line);
    return text;
}

static void check_print_rules(struct arena *arena, struct conf_balance *b)
{
    static const char *const rules[] = {"seen", "listed", "query "};
    char **lines = arena_zero(arena, b->n_triggers + 1, sizeof *lines);
    for (size_t i = 0; i < b->n_triggers; i++)
        lines[i] = check_trigger_line(arena, &b->triggers[i]);
    const char *tail =
        arena_printf(arena, "wallets %s%s\n", rules[b->wallets], b->query ? b->query : "");
    check_print_lines(lines, b->n_triggers, tail, &b->rules_print);
}

/* --- endpoints --- */

static char *check_socket_url(struct arena *arena, const char *url)
{
    bool secure = strncmp(url, "https", 5) == 0;
    return arena_printf(arena, "%s%s", secure ? "wss" : "ws", url + (secure ? 5 : 4));
}

static bool check_name_taken(const struct conf_endpoint *e, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (e[i].name && strcmp(e[i].name, name) == 0)
            return true;
    return false;
}

/* The host's name; the second of a host is host-2. */
static void check_name_endpoint(struct arena *arena, struct conf_endpoint *all, size_t n, size_t i)
{
    char host[80], name[sizeof host + 8];
    const char *url = all[i].url ? all[i].url : all[i].ws;
    if (all[i].name)
        return;
    if (!url || !url_host(url, host, sizeof host - 4))
        snprintf(host, sizeof host, "endpoint");
    for (char *h = host; *h; h++)
        if (!isalnum((unsigned char)*h) && !strchr("_.:[]-", *h))
            *h = '-';
    snprintf(name, sizeof name, "%s", host);
    for (size_t k = 2; check_name_taken(all, n, name); k++)
        snprintf(name, sizeof name, "%s-%zu", host, k);
    all[i].name = arena_strdup(arena, name);
}

/* One whose URL came out empty is none: the first user's deployment without a node stays up. */
static void check_finish_endpoints(struct decoder *d, struct conf *c)
{
    struct conf_endpoint *all = (struct conf_endpoint *)c->chain.endpoints;
    size_t n = c->chain.n_endpoints, left = 0;
    check_shared(d, &(struct check_list){"chain.endpoints", all, n, sizeof *all}, "name",
                 offsetof(struct conf_endpoint, name));
    for (size_t i = 0; i < n; i++)
        if (d->whole && all[i].url && !all[i].ws &&
            !check_find_given(d, "chain.endpoints", i, "ws"))
            all[i].ws = check_socket_url(d->arena, all[i].url);
    for (size_t i = 0; i < n; i++)
        if (all[i].url || !d->whole)
            all[left++] = all[i];
    c->chain.n_endpoints = left;
    for (size_t i = 0; i < left; i++)
        check_name_endpoint(d->arena, all, left, i);
}

void conf_finish(struct decoder *d, struct conf *c)
{
    struct conf_balance *balances = (struct conf_balance *)c->balances;
    const struct check_list list = {"balances", balances, c->n_balances, sizeof *balances};
    check_finish_endpoints(d, c);
    check_schema(d, c);
    for (size_t i = 0; i < c->n_balances; i++) {
        conf_derive_names(d->arena, &balances[i]);
        check_unnamed(d, c, i);
        check_terms(d, &balances[i], i);
        check_query(d, c, i);
        check_print_terms(d->arena, &balances[i]);
        check_print_rules(d->arena, &balances[i]);
    }
    check_shared(d, &list, "name", offsetof(struct conf_balance, name));
    check_shared(d, &list, "table", offsetof(struct conf_balance, table));
    check_shared(d, &list, "checkpoint", offsetof(struct conf_balance, checkpoint));
}
