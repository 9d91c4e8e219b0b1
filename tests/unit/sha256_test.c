/* Every length over some blocks, against OpenSSL. */
#include "eth/sha256.h"
#include "vectors.h"

#include <openssl/evp.h>

static void every_length(void **state)
{
    (void)state;
    struct rng rng = vector_rng();
    uint8_t data[400];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)rng_next(&rng);
    for (size_t n = 0; n <= sizeof data; n++) {
        hash32 ours;
        uint8_t theirs[32];
        unsigned len = sizeof theirs;
        sha256(data, n, &ours);
        assert_int_equal(EVP_Digest(data, n, theirs, &len, EVP_sha256(), NULL), 1);
        assert_memory_equal(ours.b, theirs, sizeof theirs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_length)};
    return cmocka_run_group_tests_name("sha256", tests, NULL, NULL);
}
