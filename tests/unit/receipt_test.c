/* Receipts roots of real blocks, from JSON to root: the header's root is the oracle. And receipts
 * that were tampered with, of which none has it. */
#include "eth/header.h"
#include "eth/receipt.h"
#include "rpc/json_fast.h"
#include "vectors.h"

#include "base/arena.h"
#include "base/buf.h"
#include "eth/keccak.h"

struct block {
    struct json *doc;
    hash32 root, hash;
    struct buf reply; /* as it comes over the wire */
    struct receipt *list;
    size_t n;
    struct arena arena;
};

static void get_hash(const struct json *block, const char *name, hash32 *ret)
{
    const char *text = json_str(json_get(block, name));
    assert_true(text && hash_parse(text, strlen(text), ret));
}

static void block_open(const char *name, struct block *b)
{
    char path[80];
    snprintf(path, sizeof path, "blocks/%s.json", name);
    *b = (struct block){.doc = vector_json(path), .reply = BUF_INIT(1024 * 1024)};
    const struct json *block = json_get(b->doc, "block");
    get_hash(block, "receiptsRoot", &b->root);
    get_hash(block, "hash", &b->hash);
    buf_adds(&b->reply, "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":");
    json_print(json_get(b->doc, "receipts"), &b->reply);
    buf_addc(&b->reply, '}');
    arena_init(&b->arena);
    if (!json_fast_receipts(b->reply.data, b->reply.len, 7, &b->arena, &b->list, &b->n))
        fail_msg("the receipts of %s are not taken", name);
}

static void block_close(struct block *b)
{
    arena_free(&b->arena);
    buf_free(&b->reply);
    json_free(b->doc);
}

static bool has_root(const struct block *b, const struct receipt *list, size_t n)
{
    hash32 root;
    receipts_root(list, n, &root);
    return hash_equal(&root, &b->root);
}

static const char *const proving[] = {
    "frontier", "spurious_dragon", "shanghai", "arbitrum", "hyperliquid",
    "zora",     "amsterdam",       "tempo"};

static void real_blocks(void **state)
{
    (void)state;
    struct block b;
    for (size_t i = 0; i < COUNT_OF(proving); i++) {
        block_open(proving[i], &b);
        if (!has_root(&b, b.list, b.n))
            fail_msg("%s", proving[i]);
        block_close(&b);
    }
    block_open("cronos", &b);
    assert_false(has_root(&b, b.list, b.n)); /* an Ethermint chain has none */
    block_close(&b);
}

/* ---- tampering with what was read ------------------------------------------------------------ */

struct forged {
    struct receipt list[128];
    struct event_log logs[512];
    uint8_t data[4096];
    size_t n;
};

/* A receipt of chance that has logs gets its own copy of them. */
static struct receipt *forge_with_logs(struct forged *f, struct rng *rng)
{
    for (int i = 0; i < 10000; i++) {
        struct receipt *r = &f->list[rng_below(rng, f->n)];
        if (r->n_logs == 0 || r->n_logs + 1 > COUNT_OF(f->logs))
            continue;
        memcpy(f->logs, r->logs, r->n_logs * sizeof *f->logs);
        r->logs = f->logs;
        return r;
    }
    fail_msg("no receipt has logs");
    return NULL;
}

static void forge_log(struct forged *f, struct rng *rng)
{
    struct receipt *r = forge_with_logs(f, rng);
    size_t at = rng_below(rng, r->n_logs);
    struct event_log *log = &f->logs[at];
    switch (rng_below(rng, 6)) {
    case 0:
        memmove(log, log + 1, (r->n_logs - at - 1) * sizeof *log);
        r->n_logs--;
        break;
    case 1:
        memmove(log + 1, log, (r->n_logs - at) * sizeof *log);
        r->n_logs++;
        break;
    case 2:
        log->contract.b[rng_below(rng, 20)] ^= (uint8_t)(1u << rng_below(rng, 8));
        break;
    case 3:
        log->n_topics = log->n_topics > 0 ? log->n_topics - 1 : 1;
        break;
    case 4:
        log->topics[log->n_topics > 1].b[rng_below(rng, 32)] ^= 1;
        log->n_topics = log->n_topics ? log->n_topics : 1;
        break;
    default:
        log->data_len = log->data_len < sizeof f->data - 1 ? log->data_len : sizeof f->data - 1;
        if (log->data_len > 0)
            memcpy(f->data, log->data, log->data_len);
        f->data[log->data_len] = 0;
        log->data = f->data;
        if (log->data_len > 0 && rng_below(rng, 2))
            f->data[rng_below(rng, log->data_len)] ^= 4;
        else
            log->data_len++;
    }
}

static void forge_receipt(struct forged *f, struct rng *rng)
{
    size_t at = rng_below(rng, f->n);
    struct receipt *r = &f->list[at];
    switch (rng_below(rng, 6)) {
    case 0:
        memmove(r, r + 1, (f->n - at - 1) * sizeof *r);
        f->n--;
        break;
    case 1:
        memmove(r + 1, r, (f->n - at) * sizeof *r);
        f->n++;
        break;
    case 2:
        r->type = (uint8_t)(r->type + 1) & 3;
        break;
    case 3:
        if (r->has_state)
            r->state.b[rng_below(rng, 32)] ^= 1;
        else
            r->failed = !r->failed;
        break;
    case 4:
        r->gas += 1 + rng_below(rng, 1000);
        break;
    default: /* two of them change places: their gas is not the same */
        if (f->n < 2) {
            f->n = 0;
            return;
        }
        at = rng_below(rng, f->n - 1);
        f->list[f->n] = f->list[at];
        f->list[at] = f->list[at + 1];
        f->list[at + 1] = f->list[f->n];
    }
}

static void no_tampered_receipt_has_the_root(void **state)
{
    (void)state;
    struct rng rng = vector_rng();
    static struct forged f;
    for (size_t i = 0; i < COUNT_OF(proving); i++) {
        struct block b;
        block_open(proving[i], &b);
        size_t logs = 0;
        for (size_t k = 0; k < b.n; k++)
            logs += b.list[k].n_logs;
        for (int k = 0; k < (b.n > 50 ? 100 : 600) && b.n > 0; k++) {
            f.n = b.n;
            memcpy(f.list, b.list, b.n * sizeof *f.list);
            if (logs > 0 && k % 2)
                forge_log(&f, &rng);
            else
                forge_receipt(&f, &rng);
            if (has_root(&b, f.list, f.n))
                fail_msg("%s: tampered receipts %d have the root", proving[i], k);
        }
        block_close(&b);
    }
}

/* ---- tampering with the text ----------------------------------------------------------------- */

static bool same_log(const struct event_log *a, const struct event_log *b)
{
    return address_equal(&a->contract, &b->contract) && a->n_topics == b->n_topics &&
           memcmp(a->topics, b->topics, (size_t)a->n_topics * sizeof *a->topics) == 0 &&
           a->data_len == b->data_len && memcmp(a->data, b->data, a->data_len) == 0;
}

static bool same_receipt(const struct receipt *a, const struct receipt *b)
{
    if (a->type != b->type || a->has_state != b->has_state || a->gas != b->gas ||
        a->n_logs != b->n_logs)
        return false;
    if (a->has_state ? !hash_equal(&a->state, &b->state) : a->failed != b->failed)
        return false;
    for (size_t i = 0; i < a->n_logs; i++)
        if (!same_log(&a->logs[i], &b->logs[i]))
            return false;
    return true;
}

/* What still has the root says the same: only a member outside the root was hit. */
static void check_text(const struct block *b, const struct buf *text, const char *name)
{
    struct receipt *list;
    struct arena arena;
    size_t n;
    arena_init(&arena);
    if (json_fast_receipts(text->data, text->len, 7, &arena, &list, &n) && has_root(b, list, n)) {
        assert_int_equal(n, b->n);
        for (size_t i = 0; i < n; i++)
            if (!same_receipt(&list[i], &b->list[i]))
                fail_msg("%s: tampered text has the root", name);
    }
    arena_free(&arena);
}

static void no_tampered_text_has_the_root(void **state)
{
    (void)state;
    static const char bytes[] = "0123456789abcdefABCDEF\"\\,:[]{} nullx";
    struct rng rng = vector_rng();
    for (size_t i = 0; i < COUNT_OF(proving); i++) {
        struct block b;
        block_open(proving[i], &b);
        for (int k = 0; k < (b.n > 10 ? 200 : 1500); k++) {
            struct buf text = BUF_INIT(b.reply.ceiling);
            size_t at = rng_below(&rng, b.reply.len), cut = rng_below(&rng, 4) ? 0 : 1;
            buf_add(&text, b.reply.data, at);
            if (rng_below(&rng, 4))
                buf_addc(&text, bytes[rng_below(&rng, sizeof bytes - 1)]);
            if (at + cut < b.reply.len)
                buf_add(&text, b.reply.data + at + cut, b.reply.len - at - cut);
            check_text(&b, &text, proving[i]);
            buf_free(&text);
        }
        block_close(&b);
    }
}

/* ---- what a receipt must have ---------------------------------------------------------------- */

#define LOG                                                                                        \
    "{\"address\":\"0x00000000000000000000000000000000000000aa\",\"topics\":[],\"data\":\"0x\"}"
#define GAS "\"cumulativeGasUsed\":\"0x5208\""

static bool taken(const char *receipts, size_t *ret_n, struct receipt *ret_first)
{
    struct arena arena;
    struct receipt *list;
    arena_init(&arena);
    bool good = json_fast_receipt_list(receipts, strlen(receipts), &arena, &list, ret_n);
    if (good && *ret_n > 0)
        *ret_first = list[0];
    arena_free(&arena);
    return good;
}

static void members(void **state)
{
    (void)state;
    static const char *const good[] = {
        "[]",
        " [ ] ",
        "[{\"status\":\"0x1\"," GAS ",\"logs\":[]}]",
        "[{\"status\":null,\"root\":"
        "\"0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
        "\"," GAS ",\"logs\":[]}]",
        "[{\"root\":\"0x\",\"status\":\"0x1\",\"type\":null," GAS ",\"logs\":[" LOG "," LOG "]}]",
        "[{\"status\":\"0x1\"," GAS
        ",\"logs\":[],\"odd\":{\"a\":[{\"b\":\"]}\\\"\"}],\"c\":-1.5e3}}]",
        "[{\"status\":\"0x1\"," GAS ",\"logs\":[],\"odd\":\"\\\\\",\"more\":true}]",
    };
    static const char *const bad[] = {
        "",
        "null",
        "{}",
        "[",
        "[{}]",
        "[null]",
        "[{" GAS ",\"logs\":[]}]", /* no status */
        "[{\"status\":null," GAS ",\"logs\":[]}]",
        "[{\"status\":\"0x2\"," GAS ",\"logs\":[]}]",
        "[{\"status\":\"0x1\",\"logs\":[]}]", /* no gas */
        "[{\"status\":\"0x1\"," GAS "}]",     /* no logs */
        "[{\"status\":\"0x1\"," GAS ",\"logs\":null}]",
        "[{\"status\":\"0x1\"," GAS ",\"logs\":[{}]}]",
        "[{\"status\":\"0x1\"," GAS
        ",\"logs\":[{\"address\":\"0x00\",\"topics\":[],\"data\":\"0x\"}]}]",
        "[{\"status\":\"0x1\"," GAS ",\"logs\":[],\"type\":\"0x80\"}]", /* no type of EIP-2718 */
        "[{\"status\":\"0x1\",\"status\":\"0x0\"," GAS ",\"logs\":[]}]",
        "[{\"status\":\"0x1\"," GAS ",\"logs\":[],\"odd\":[}]",
        "[{\"status\":\"0x1\"," GAS ",\"logs\":[],\"odd\":\"\\\"}]",
    };
    struct receipt r = {0};
    size_t n;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        if (!taken(good[i], &n, &r))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (taken(bad[i], &n, &r))
            fail_msg("taken: %s", bad[i]);
    assert_true(taken(good[3], &n, &r) && r.has_state);
    assert_true(taken(good[4], &n, &r) && !r.has_state && r.type == 0 && r.n_logs == 2);
}

/* Polygon: the hash of its transaction tells a state sync. */
static void state_sync(void **state)
{
    (void)state;
    uint8_t key[18 + 8 + 32];
    struct receipt r = {0};
    struct block b;
    block_open("arbitrum", &b);
    memcpy(key, "matic-bor-receipt-", 18);
    memcpy(key + 18, "\0\0\0\0\x02\xfa\xf0\x80", 8); /* 50,000,000 */
    memcpy(key + 26, b.hash.b, 32);
    keccak256(key, sizeof key, &r.transaction);
    assert_true(receipt_is_state_sync(&r, 50000000, &b.hash));
    assert_false(receipt_is_state_sync(&r, 50000001, &b.hash));
    assert_false(receipt_is_state_sync(&r, 50000000, &b.root));
    assert_false(receipt_is_state_sync(&b.list[0], 50000000, &b.hash));
    block_close(&b);
}

/* The OP stack before Canyon: a nonce without a version is not in the root. */
static void deposits(void **state)
{
    (void)state;
    struct receipt r = {.type = RECEIPT_DEPOSIT, .gas = 1}, with = r, version = r, other = r;
    hash32 a, b;
    with.deposit_nonce = 5;
    receipts_root(&r, 1, &a);
    receipts_root(&with, 1, &b);
    assert_true(hash_equal(&a, &b));
    version.has_version = true;
    version.deposit_version = 1;
    receipts_root(&version, 1, &b);
    assert_false(hash_equal(&a, &b));
    other = version;
    other.deposit_nonce = 5;
    receipts_root(&other, 1, &a);
    assert_false(hash_equal(&a, &b));
    r.type = version.type = 2; /* of another type neither is */
    receipts_root(&r, 1, &a);
    receipts_root(&version, 1, &b);
    assert_true(hash_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_blocks),
        cmocka_unit_test(no_tampered_receipt_has_the_root),
        cmocka_unit_test(no_tampered_text_has_the_root),
        cmocka_unit_test(members),
        cmocka_unit_test(state_sync),
        cmocka_unit_test(deposits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
