/*
 * Settings from any text: refused in words, or read to something that writes itself down so that it
 * reads back the same, for every process, and shows no secret to the user.
 */
#include "base/buf.h"
#include "conf/conf.h"
#include "fuzz.h"

#include <string.h>

enum { WRITTEN = 8 * 1024 * 1024 };

static void check_words(const struct conf_problems *p)
{
    const char *text = buf_str(&p->text);
    size_t lines = 0;
    for (size_t i = 0; i < p->text.len; i++)
        lines += text[i] == '\n';
    HOLDS(p->count > 0 && lines == p->count);
    HOLDS(text[p->text.len - 1] == '\n');
    HOLDS(strlen(text) == p->text.len);
}

static void check_round_trip(const struct conf *c, enum conf_for who)
{
    struct buf once = BUF_INIT(WRITTEN), twice = BUF_INIT(WRITTEN);
    struct conf_problems problems;
    conf_write(c, who, &once);
    struct conf *again = conf_load_text(buf_str(&once), once.len, &problems);
    HOLDS(!once.overflow && again);
    conf_write(again, who, &twice);
    HOLDS(strcmp(buf_str(&once), buf_str(&twice)) == 0);
    HOLDS(again->n_balances == c->n_balances);
    for (size_t i = 0; i < c->n_balances; i++) {
        HOLDS(hash_equal(&c->balances[i].terms_print, &again->balances[i].terms_print));
        HOLDS(hash_equal(&c->balances[i].rules_print, &again->balances[i].rules_print));
    }
    conf_problems_free(&problems);
    conf_free(again);
    buf_free(&once);
    buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct conf_problems problems;
    struct buf shown = BUF_INIT(WRITTEN);
    struct conf *c = conf_load_text((const char *)data, n, &problems);
    if (!c) {
        check_words(&problems);
    } else {
        check_round_trip(c, (enum conf_for)(CONF_FOR_FOLLOW + n % 4)); /* one each, for speed */
        conf_write(c, CONF_FOR_USER, &shown);
        if (c->http.token && strlen(c->http.token) >= 24)
            HOLDS(!strstr(buf_str(&shown), c->http.token));
    }
    buf_free(&shown);
    conf_problems_free(&problems);
    conf_free(c);
    return 0;
}
