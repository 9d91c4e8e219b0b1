/* What may not change while the daemon runs: whatever its tables, its checkpoint and its place on
 * the chain were made for. `trueup run` looks at these once, before the workers start. */
#include "conf/loaded.h"

#include <string.h>

enum { TEXT_MAX = 512 * 1024 };

/* With everything but the balances alike, the texts differ by the balances. */
static bool keep_same_balances(const struct conf *a, const struct conf *b)
{
    struct loaded probe = *(const struct loaded *)(const void *)a;
    struct buf one = BUF_INIT(TEXT_MAX), other = BUF_INIT(TEXT_MAX);
    probe.conf.balances = b->balances;
    probe.conf.n_balances = b->n_balances;
    conf_write(a, CONF_FOR_FOLLOW, &one);
    conf_write(&probe.conf, CONF_FOR_FOLLOW, &other);
    bool same = strcmp(buf_str(&one), buf_str(&other)) == 0;
    buf_free(&one);
    buf_free(&other);
    return same;
}

/* Where the password of a database's URL begins and ends; both at its end if there is none. */
static void keep_find_password(const char *url, size_t *ret_from, size_t *ret_to)
{
    const char *scheme = strstr(url, "://");
    size_t user = scheme ? (size_t)(scheme - url) + 3 : strlen(url);
    size_t end = user + strcspn(url + user, "/?"), at = end;
    while (at > user && url[at] != '@')
        at--;
    *ret_from = *ret_to = strlen(url);
    if (url[at] != '@')
        return;
    *ret_from = user + strcspn(url + user, ":@");
    *ret_to = at;
}

/* The same database by the same user: a password may change while its tables are in use. */
static bool keep_same_store(const char *a, const char *b)
{
    size_t a_from, a_to, b_from, b_to;
    keep_find_password(a, &a_from, &a_to);
    keep_find_password(b, &b_from, &b_to);
    return a_from == b_from && memcmp(a, b, a_from) == 0 && strcmp(a + a_to, b + b_to) == 0;
}

void conf_keep(struct conf *c, const struct conf *old, struct buf *ret_kept)
{
    if (old->n_balances > 0)
        conf_name_balance(c, old->balances[0].name);
    if (c->chain.id && old->chain.id && c->chain.id != old->chain.id)
        buf_adds(ret_kept, "chain.id\n");
    if (!keep_same_store(c->store, old->store)) {
        buf_adds(ret_kept, "store\n");
        c->store = old->store;
    }
    if (strcmp(c->schema ? c->schema : "", old->schema ? old->schema : "") != 0) {
        buf_adds(ret_kept, "schema\n");
        c->schema = old->schema;
    }
    if (!keep_same_balances(old, c))
        buf_adds(ret_kept, "balances\n");
    if ((c->chain.n_endpoints == 0) != (old->chain.n_endpoints == 0)) {
        buf_adds(ret_kept, "chain.endpoints\n");
        c->chain.endpoints = old->chain.endpoints;
        c->chain.n_endpoints = old->chain.n_endpoints;
    }
    c->chain.id = old->chain.id;
    c->balances = old->balances;
    c->n_balances = old->n_balances;
}
