/* Replies of the lens. The first two bytes choose the shape and how many wallets were asked for; a
 * reply that is accepted must be readable to its last cell. */
#include "eth/lens.h"
#include "fuzz.h"

static void read_all(const struct lens_reply *r)
{
    for (size_t i = 0; i < r->answered; i++) {
        struct lens_cell cell;
        lens_cell(r, i, &cell);
        HOLDS(cell.term < (int)r->shape->n_terms);
        HOLDS((cell.term >= 0) == (cell.status != LENS_OK && cell.status != LENS_OVERFLOW));
        HOLDS(cell.status == LENS_OK || u256_is_zero(&cell.sum));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct lens_term terms[LENS_TERMS_MAX] = {
        {.gas = 2000000}, {.gas = 0}, {.gas = UINT64_MAX}, {.gas = 1}};
    if (n < 2)
        return 0;
    struct lens_shape s = {
        .terms = terms,
        .n_terms = 1 + (data[0] & 15),
        .mode = data[0] & 32 ? LENS_CREATE : LENS_CALL,
        .isolated = data[0] & 16,
    };
    size_t wallets = data[1] < 200 ? data[1] : 300;
    struct lens_reply r;
    static const struct nonce nonce;
    bool ours = lens_answers(&nonce, data + 2, n - 2);
    HOLDS(!ours || n - 2 >= LENS_HEADER);
    if (lens_open(&s, wallets, data + 2, n - 2, &r, NULL) < 0)
        return 0;
    HOLDS(r.answered <= wallets && r.gas_exit <= r.gas_entry);
    read_all(&r);
    return 0;
}
