#include "track/refresh/learned.h"
#include "base/clock.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

enum { SAVE_MS = 60000, KEY = 160, TEXT = 128, PRINT_CHARS = 16 };

/* Under which a row is found: reader, balance, and the terms, since other terms cost other gas. */
static void learned_make_key(const struct tracked *b, const char *reader, char ret[KEY])
{
    char print[HASH_TEXT];
    hash_text(&b->conf->terms_print, print);
    snprintf(ret, KEY, "%s:%.80s:%.*s", reader, b->conf->name, PRINT_CHARS, print + 2);
}

static int learned_load_one(struct tracker *t, const struct endpoint *e, const struct tracked *b,
                            const char *reader, struct err *err)
{
    struct arena arena;
    char key[KEY];
    const char *text;
    learned_make_key(b, reader, key);
    arena_init(&arena);
    int rc = store_learned_get(t->store, endpoint_name(e), key, &arena, &text, err);
    if (rc == 0 && text)
        reads_profile_import(t->reads, e, &b->shape, reader, text);
    arena_free(&arena);
    return rc;
}

int learned_load(struct tracker *t, struct learned *l, struct err *err)
{
    *l = (struct learned){.looked_ms = clock_ms()};
    for (size_t e = 0; e < rpc_endpoints(t->node); e++)
        for (size_t b = 0; b < t->n_balances; b++)
            for (const struct reader *const *r = readers; *r; r++)
                if (learned_load_one(t, rpc_endpoint(t->node, e), &t->balances[b], (*r)->name,
                                     err) < 0)
                    return -1;
    return 0;
}

static uint64_t learned_mix_hash(uint64_t print, const char *text)
{
    for (; *text; text++)
        print = (print ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return print;
}

/* Puts all texts together into *ret_print, and into the store if asked. */
static int learned_export_all(struct tracker *t, bool store, uint64_t *ret_print, struct err *err)
{
    uint64_t print = 1;
    for (size_t e = 0; e < rpc_endpoints(t->node); e++) {
        for (size_t b = 0; b < t->n_balances; b++) {
            const struct endpoint *at = rpc_endpoint(t->node, e);
            struct buf text = BUF_INIT(TEXT);
            char key[KEY] = "";
            int rc = 0;
            const char *reader = reads_profile_export(t->reads, at, &t->balances[b].shape, &text);
            if (reader)
                learned_make_key(&t->balances[b], reader, key);
            if (reader && store)
                rc = store_learned_put(t->store, endpoint_name(at), key, buf_str(&text), err);
            print = learned_mix_hash(learned_mix_hash(print, key), buf_str(&text));
            buf_free(&text);
            if (rc < 0)
                return -1;
        }
    }
    *ret_print = print;
    return 0;
}

int learned_save(struct tracker *t, struct learned *l, bool last, struct err *err)
{
    uint64_t print;
    if (!last && clock_ms() - l->looked_ms < SAVE_MS)
        return 0;
    l->looked_ms = clock_ms();
    if (learned_export_all(t, false, &print, err) < 0 || print == l->print)
        return 0;
    if (learned_export_all(t, true, &print, err) < 0)
        return -1;
    l->print = print;
    return 0;
}
