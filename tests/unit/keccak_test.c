/* Known answers, and the permutation against OpenSSL's SHA3-256, which differs by one pad byte. */
#include "eth/keccak.c"
#include "vectors.h"

#include <openssl/evp.h>

static void known_answers(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hash;
    } known[] = {
        {"", "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"},
        {"abc", "0x4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"},
        {"Transfer(address,address,uint256)",
         "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        hash32 h;
        char text[HASH_TEXT];
        keccak256(known[i].text, strlen(known[i].text), &h);
        hash_text(&h, text);
        assert_string_equal(text, known[i].hash);
    }
    hash32 h;
    const char *aggregate3 = "aggregate3((address,bool,bytes)[])";
    keccak256(aggregate3, strlen(aggregate3), &h);
    assert_memory_equal(h.b, "\x82\xad\x56\xcb", 4);
}

static void every_length_like_sha3(void **state)
{
    (void)state;
    struct rng rng = vector_rng();
    uint8_t data[1001];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)rng_next(&rng);
    for (size_t n = 0; n < sizeof data; n++) {
        hash32 ours;
        uint8_t theirs[32];
        unsigned len = sizeof theirs;
        keccak_padded(data, n, 0x06, &ours);
        assert_int_equal(EVP_Digest(data, n, theirs, &len, EVP_sha3_256(), NULL), 1);
        assert_memory_equal(ours.b, theirs, sizeof theirs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(every_length_like_sha3),
    };
    return cmocka_run_group_tests_name("keccak", tests, NULL, NULL);
}
