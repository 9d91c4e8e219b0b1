/*
 * The Keccak sponge with a 1088-bit rate and 256 bits of output (Keccak reference, version 3.0).
 * The lanes of a round are written out: a block's receipts are thousands of permutations.
 */
#include "eth/keccak.h"

#include <endian.h>
#include <string.h>

enum { RATE = 136, LANES = 25, ROUNDS = 24 };

static const uint64_t round_constant[ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000,
    0x000000000000808b, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};

static inline uint64_t keccak_rotate_left(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

/* One round from a to b. θ adds to each lane of column x what stands in mix[x]. ρ turns it, and π
 * moves it: the lane (x, y) goes to (y, 2x + 3y). Written out, so that no lane is looked up. */
static inline void keccak_mix(const uint64_t a[LANES], uint64_t b[LANES])
{
    uint64_t column[5], mix[5];
#define COLUMN(x)            (column[x] = a[x] ^ a[(x) + 5] ^ a[(x) + 10] ^ a[(x) + 15] ^ a[(x) + 20])
#define MIX(x, l, r)         (mix[x] = column[l] ^ keccak_rotate_left(column[r], 1))
#define LANE(to, from, turn) (b[to] = keccak_rotate_left(a[from] ^ mix[(from) % 5], turn))
    COLUMN(0), COLUMN(1), COLUMN(2), COLUMN(3), COLUMN(4);
    MIX(0, 4, 1), MIX(1, 0, 2), MIX(2, 1, 3), MIX(3, 2, 4), MIX(4, 3, 0);
    b[0] = a[0] ^ mix[0];
    LANE(1, 6, 44), LANE(2, 12, 43), LANE(3, 18, 21), LANE(4, 24, 14);
    LANE(5, 3, 28), LANE(6, 9, 20), LANE(7, 10, 3), LANE(8, 16, 45), LANE(9, 22, 61);
    LANE(10, 1, 1), LANE(11, 7, 6), LANE(12, 13, 25), LANE(13, 19, 8), LANE(14, 20, 18);
    LANE(15, 4, 27), LANE(16, 5, 36), LANE(17, 11, 10), LANE(18, 17, 15), LANE(19, 23, 56);
    LANE(20, 2, 62), LANE(21, 8, 55), LANE(22, 14, 39), LANE(23, 15, 41), LANE(24, 21, 2);
#undef COLUMN
#undef MIX
#undef LANE
}

/* χ: each row by itself. */
static inline void keccak_fold(const uint64_t b[LANES], uint64_t a[LANES])
{
#define ROW(y)                                                                                     \
    (a[y] = b[y] ^ (~b[(y) + 1] & b[(y) + 2]),                                                     \
     a[(y) + 1] = b[(y) + 1] ^ (~b[(y) + 2] & b[(y) + 3]),                                         \
     a[(y) + 2] = b[(y) + 2] ^ (~b[(y) + 3] & b[(y) + 4]),                                         \
     a[(y) + 3] = b[(y) + 3] ^ (~b[(y) + 4] & b[y]),                                               \
     a[(y) + 4] = b[(y) + 4] ^ (~b[y] & b[(y) + 1]))
    ROW(0), ROW(5), ROW(10), ROW(15), ROW(20);
#undef ROW
}

static void keccak_permute(uint64_t a[LANES])
{
    uint64_t b[LANES];
    for (int round = 0; round < ROUNDS; round++) {
        keccak_mix(a, b);
        keccak_fold(b, a);
        a[0] ^= round_constant[round]; /* ι */
    }
}

static void keccak_absorb(uint64_t a[LANES], const uint8_t block[RATE])
{
    for (int i = 0; i < RATE / 8; i++) {
        uint64_t lane;
        memcpy(&lane, block + (ptrdiff_t)8 * i, sizeof lane);
        a[i] ^= le64toh(lane);
    }
    keccak_permute(a);
}

/* The sponge with the pad byte chosen: 0x01 is Keccak-256, 0x06 is SHA3-256. For the test. */
static void keccak_padded(const void *data, size_t n, uint8_t pad, hash32 *ret)
{
    const uint8_t *p = data;
    uint64_t a[LANES] = {0};
    for (; n >= RATE; p += RATE, n -= RATE)
        keccak_absorb(a, p);
    uint8_t last[RATE] = {0};
    if (n)
        memcpy(last, p, n);
    last[n] = pad;
    last[RATE - 1] |= 0x80;
    keccak_absorb(a, last);
    for (size_t i = 0; i < sizeof ret->b; i++)
        ret->b[i] = (uint8_t)(a[i / 8] >> (i % 8 * 8));
}

void keccak256(const void *data, size_t n, hash32 *ret)
{
    keccak_padded(data, n, 0x01, ret);
}
