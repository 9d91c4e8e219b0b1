/* Replies as the readers see them: the first byte chooses the reader, the second how many wallets
 * were asked for, the third the terms. What a decoder accepts must be complete. */
#include "base/err.h"
#include "fuzz.h"
#include "read/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct reader *const all[] = {&reader_override, &reader_create_revert,
                                               &reader_create, &reader_multicall3, &reader_single};
    static struct conf_term terms[READ_TERMS_MAX];
    static address wallets[256];
    static struct read_cell cells[256];
    if (n < 4)
        return 0;
    const struct reader *r = all[data[0] % 5];
    struct read_shape shape = {.terms = terms, .n_terms = 1 + data[2] % 4};
    for (size_t i = 0; i < shape.n_terms; i++)
        terms[i].gas = 2000000;
    struct read_chunk chunk = {
        .shape = &shape,
        .wallets = wallets,
        .n = r->by_terms ? 1 : data[1],
        .n_terms = r->by_terms ? 1 : shape.n_terms,
        .isolated = data[2] & 128,
        .has_link = data[3] & 2,
        .gas = 50000000,
        .sentinel = {data[3] & 1 ? SENTINEL_EIP2565 : SENTINEL_NONE, 1000000}};
    struct read_result res = {.cells = cells};
    struct err err = {0};
    if (r->decode(&chunk, data + 4, n - 4, &res, &err) < 0) {
        HOLDS(err.text[0]);
        return 0;
    }
    if (res.misplaced)
        return 0;
    HOLDS(res.answered <= chunk.n);
    for (size_t i = 0; i < res.answered; i++) {
        HOLDS(cells[i].status <= CELL_SUSPECT);
        HOLDS(cells[i].failed_term < (int)shape.n_terms);
        HOLDS((cells[i].failed_term < 0) ==
              (cells[i].status == CELL_OK || cells[i].status == CELL_OVERFLOW));
    }
    return 0;
}
