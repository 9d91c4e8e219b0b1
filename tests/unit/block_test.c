#include "eth/block.h"
#include "vectors.h"

#define HASH_A "0x77d14e10470b5850332524f8cd6f69ad21f070ce92dca33ab2858300242ef2f1"
#define HASH_B "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
#define REST   "\"parentHash\":\"" HASH_B "\",\"timestamp\":\"0x5f\",\"miner\":\"0x00\""

static int read(const char *text, struct header *ret, bool *ret_found, struct err *err)
{
    struct json *doc = json_parse(text, strlen(text), 65536, err);
    if (!doc)
        fail_msg("%s", err->text);
    int rc = header_from_json(doc, ret, ret_found, err);
    json_free(doc);
    return rc;
}

static void fields(void **state)
{
    (void)state;
    struct header h;
    bool found = false;
    struct err err = {0};
    const char *text = "{\"number\":\"0x10\",\"hash\":\"" HASH_A "\"," REST "}";
    assert_int_equal(read(text, &h, &found, &err), 0);
    assert_true(found);
    assert_int_equal(h.at.number, 16);
    assert_int_equal(h.at.timestamp, 95);
    char hash[HASH_TEXT];
    hash_text(&h.at.hash, hash);
    assert_string_equal(hash, HASH_A);
    hash_text(&h.at.parent, hash);
    assert_string_equal(hash, HASH_B);
    assert_false(h.has_bloom);
    address any = {{1}};
    assert_true(header_may_hold(&h, &any, &h.at.hash));
    text = "{\"logsBloom\":null,\"number\":\"0x10\",\"hash\":\"" HASH_A "\"," REST "}";
    assert_int_equal(read(text, &h, &found, &err), 0);
    assert_false(h.has_bloom);
}

static void null_is_not_found(void **state)
{
    (void)state;
    struct header h = {.at.number = 7};
    bool found = true;
    struct err err = {0};
    assert_int_equal(read("null", &h, &found, &err), 0);
    assert_false(found);
    assert_int_equal(h.at.number, 7);
}

static void bad_headers_name_the_field(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } bad[] = {
        {"{}", "no \"number\""},
        {"[]", "not an object"},
        {"\"0x1\"", "not an object"},
        {"{\"number\":null,\"hash\":null," REST "}", "no \"number\""}, /* the pending block */
        {"{\"number\":16,\"hash\":\"" HASH_A "\"," REST "}", "malformed \"number\""},
        {"{\"number\":\"16\",\"hash\":\"" HASH_A "\"," REST "}", "malformed \"number\""},
        {"{\"number\":\"0x10000000000000000\",\"hash\":\"" HASH_A "\"," REST "}",
         "malformed \"number\""},
        {"{\"number\":\"0x1\",\"hash\":\"0x12\"," REST "}", "malformed \"hash\""},
        {"{\"number\":\"0x1\"," REST "}", "no \"hash\""},
        {"{\"number\":\"0x1\",\"hash\":\"" HASH_A "\",\"timestamp\":\"0x1\"}", "no \"parentHash\""},
        {"{\"number\":\"0x1\",\"hash\":\"" HASH_A "\",\"parentHash\":\"" HASH_A "\"}",
         "no \"timestamp\""},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct header h = {.at.number = 7};
        bool found = true;
        struct err err = {0};
        assert_int_equal(read(bad[i].text, &h, &found, &err), -1);
        if (!strstr(err.text, bad[i].expected))
            fail_msg("%s: %s", bad[i].text, err.text);
        assert_int_equal(h.at.number, 7);
    }
}

static void read_pair(const struct json *pair, address *ret_contract, hash32 *ret_topic)
{
    const char *contract = json_str(vector_at(pair, 0)), *topic = json_str(vector_at(pair, 1));
    assert_true(address_parse_loose(contract, strlen(contract), ret_contract));
    assert_true(hash_parse(topic, strlen(topic), ret_topic));
}

static void bloom_like_ethereumjs(void **state)
{
    (void)state;
    struct json *doc = vector_json("bloom.json");
    int cases = 0, absent = 0;
    for (const struct json *c = json_first(doc); c; c = json_next(c), cases++) {
        char text[2048];
        struct header h;
        bool found;
        struct err err = {0};
        address contract;
        hash32 topic;
        snprintf(text, sizeof text,
                 "{\"number\":\"0x10\",\"hash\":\"" HASH_A "\"," REST ",\"logsBloom\":\"%s\"}",
                 json_str(json_get(c, "logsBloom")));
        assert_int_equal(read(text, &h, &found, &err), 0);
        assert_true(h.has_bloom);
        for (const struct json *p = json_first(json_get(c, "added")); p; p = json_next(p)) {
            read_pair(p, &contract, &topic);
            assert_true(header_may_hold(&h, &contract, &topic));
            hash32 other = topic; /* both keys count */
            other.b[0] ^= 1;
            contract.b[0] ^= 1;
            absent += !header_may_hold(&h, &contract, &topic);
            contract.b[0] ^= 1;
            absent += !header_may_hold(&h, &contract, &other);
        }
        for (const struct json *p = json_first(json_get(c, "others")); p; p = json_next(p)) {
            read_pair(p, &contract, &topic);
            assert_int_equal(header_may_hold(&h, &contract, &topic),
                             json_bool(vector_at(p, 2), false));
        }
    }
    assert_int_equal(cases, 4);
    assert_true(absent >= 2 * 20);
    json_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),
        cmocka_unit_test(null_is_not_found),
        cmocka_unit_test(bad_headers_name_the_field),
        cmocka_unit_test(bloom_like_ethereumjs),
    };
    return cmocka_run_group_tests_name("block", tests, NULL, NULL);
}
