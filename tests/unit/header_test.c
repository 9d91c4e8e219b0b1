/* Header hashes of real blocks, one a fork and a family of chains: the hash is the oracle. */
#include "eth/header.h"
#include "vectors.h"

#include "base/buf.h"

static const struct {
    const char *file;
    size_t fields;
    bool foreign; /* the chain hashes its headers in another way */
} blocks[] = {
    {"frontier", 15, false},    {"spurious_dragon", 15, false},
    {"arbitrum", 16, false},    {"polygon", 16, false},
    {"shanghai", 17, false},    {"cancun", 20, false},
    {"hyperliquid", 20, false}, {"zora", 21, false},
    {"prague", 21, false},      {"amsterdam", 23, false},
    {"cronos", 15, true},       {"tempo", 21, true},
};

static struct json *read_block(const char *name, const struct json **ret)
{
    char path[80];
    snprintf(path, sizeof path, "blocks/%s.json", name);
    struct json *doc = vector_json(path);
    *ret = json_get(doc, "block");
    assert_non_null(*ret);
    return doc;
}

static int hash_block(const struct json *block, struct full_header *ret, struct err *err)
{
    struct buf rlp = BUF_INIT(HEADER_RLP_MAX);
    int rc = header_encode(block, &rlp, err);
    if (rc == 0)
        rc = header_decode((struct rlp_bytes){(uint8_t *)rlp.data, rlp.len}, ret, err);
    buf_free(&rlp);
    return rc;
}

static bool has_its_hash(const struct json *block, struct full_header *h)
{
    hash32 said;
    struct err err = {0};
    const char *text = json_str(json_get(block, "hash"));
    assert_true(hash_parse(text, strlen(text), &said));
    return hash_block(block, h, &err) == 0 && hash_equal(&said, &h->at.hash);
}

static void real_blocks(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        const struct json *block;
        struct json *doc = read_block(blocks[i].file, &block);
        struct full_header h;
        struct header said;
        bool found;
        if (has_its_hash(block, &h) == blocks[i].foreign)
            fail_msg("%s", blocks[i].file);
        assert_int_equal(header_from_json(block, &said, &found, NULL), 0);
        if (!blocks[i].foreign) {
            assert_memory_equal(&said.at, &h.at, sizeof h.at);
            assert_memory_equal(&said.logs, &h.logs, sizeof h.logs);
        }
        json_free(doc);
    }
}

/* The text of a block with one digit of one field changed, or one field gone. */
static struct json *change(const struct json *block, const char *field, int digit)
{
    struct buf text = BUF_INIT(16384);
    char key[64];
    json_print(block, &text);
    snprintf(key, sizeof key, "\"%s\":\"0x", field);
    char *at = strstr(text.data, key);
    assert_non_null(at);
    if (digit < 0)
        memset(at + 1, '_', 3);
    else
        at[strlen(key) + (size_t)digit] = at[strlen(key) + (size_t)digit] == '1' ? '2' : '1';
    struct json *doc = json_parse(text.data, text.len, text.len, NULL);
    buf_free(&text);
    return doc;
}

static void no_changed_field_keeps_the_hash(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        const struct json *block;
        struct json *doc = read_block(blocks[i].file, &block);
        size_t fields = 0;
        for (const struct json *v = json_first(block); v && !blocks[i].foreign; v = json_next(v)) {
            struct full_header h;
            size_t n = strlen(json_str(v)) - 2;
            fields += strcmp(json_key(v), "hash") != 0;
            for (int digit = -1; digit < (int)n; digit += digit < 8 ? 1 : 37) {
                struct json *other = change(block, json_key(v), digit);
                if (other && json_get(other, "hash") && has_its_hash(other, &h))
                    fail_msg("%s: %s, digit %d", blocks[i].file, json_key(v), digit);
                json_free(other);
            }
        }
        if (!blocks[i].foreign)
            assert_int_equal(fields, blocks[i].fields);
        json_free(doc);
    }
}

static void bad_fields_are_named(void **state)
{
    (void)state;
    static const char *const rest[] = {"parentHash", "logsBloom", "number", "extraData", "nonce"};
    for (size_t i = 0; i < COUNT_OF(rest); i++) {
        const struct json *block;
        struct json *doc = read_block("prague", &block);
        struct json *other = change(block, rest[i], -1);
        struct full_header h;
        struct err err = {0};
        assert_int_equal(hash_block(other, &h, &err), -1);
        assert_non_null(strstr(err.text, rest[i]));
        json_free(other);
        json_free(doc);
    }
}

/* Zeros in front are tolerated, and are no part of the number that is hashed. */
static void numbers_of_any_spelling(void **state)
{
    (void)state;
    const struct json *block;
    struct json *doc = read_block("prague", &block);
    struct buf text = BUF_INIT(16384);
    struct full_header h;
    json_print(block, &text);
    char *at = strstr(text.data, "\"difficulty\":\"0x0\"");
    assert_non_null(at);
    struct buf other = BUF_INIT(16384);
    buf_add(&other, text.data, (size_t)(at - text.data));
    buf_adds(&other, "\"difficulty\":\"0x0000\"");
    buf_adds(&other, at + strlen("\"difficulty\":\"0x0\""));
    struct json *spelled = json_parse(other.data, other.len, other.len, NULL);
    assert_true(has_its_hash(spelled, &h));
    json_free(spelled);
    buf_free(&other);
    buf_free(&text);
    json_free(doc);
}

static void only_a_header_is_decoded(void **state)
{
    (void)state;
    const struct json *block;
    struct json *doc = read_block("frontier", &block);
    struct buf rlp = BUF_INIT(HEADER_RLP_MAX);
    struct full_header h;
    assert_int_equal(header_encode(block, &rlp, NULL), 0);
    for (size_t n = 0; n < rlp.len; n++)
        assert_int_equal(header_decode((struct rlp_bytes){(uint8_t *)rlp.data, n}, &h, NULL), -1);
    buf_free(&rlp);
    json_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_blocks),
        cmocka_unit_test(no_changed_field_keeps_the_hash),
        cmocka_unit_test(bad_fields_are_named),
        cmocka_unit_test(numbers_of_any_spelling),
        cmocka_unit_test(only_a_header_is_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
