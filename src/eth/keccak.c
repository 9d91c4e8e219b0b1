/*
 * The Keccak sponge with a 1088-bit rate and 256 bits of output (Keccak reference, version 3.0).
 * Plain and lane by lane: we hash signatures, addresses and bloom keys, never bulk data.
 */
#include "eth/keccak.h"

#include <string.h>

enum { RATE = 136, LANES = 25, ROUNDS = 24 };

static const uint64_t round_constant[ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000,
    0x000000000000808b, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};

/* ρ and π together walk the 24 lanes other than (0,0) in one cycle: lane_order[i] receives the lane
 * before it in the cycle, turned left by turn[i] = (i+1)(i+2)/2 mod 64. */
static const unsigned char lane_order[24] = {10, 7,  11, 17, 18, 3, 5,  16, 8,  21, 24, 4,
                                             15, 23, 19, 13, 12, 2, 20, 14, 22, 9,  6,  1};
static const unsigned char turn[24] = {1,  3,  6,  10, 15, 21, 28, 36, 45, 55, 2,  14,
                                       27, 41, 56, 8,  25, 43, 62, 18, 39, 61, 20, 44};

static uint64_t keccak_rotate_left(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

static void keccak_permute(uint64_t a[LANES])
{
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t column[7]; /* five, and the first two again to go round without a modulus */
        for (int x = 0; x < 5; x++)
            column[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        column[5] = column[0];
        column[6] = column[1];
        for (int x = 0; x < 5; x++) { /* θ on the column right of x */
            uint64_t mix = column[x] ^ keccak_rotate_left(column[x + 2], 1);
            for (int y = x == 4 ? 0 : x + 1; y < LANES; y += 5)
                a[y] ^= mix;
        }
        uint64_t carried = a[1];
        for (int i = 0; i < 24; i++) { /* ρ and π */
            uint64_t next = a[lane_order[i]];
            a[lane_order[i]] = keccak_rotate_left(carried, turn[i]);
            carried = next;
        }
        for (int y = 0; y < LANES; y += 5) { /* χ */
            uint64_t first = a[y], second = a[y + 1];
            for (int x = 0; x < 3; x++)
                a[y + x] ^= ~a[y + x + 1] & a[y + x + 2];
            a[y + 3] ^= ~a[y + 4] & first;
            a[y + 4] ^= ~first & second;
        }
        a[0] ^= round_constant[round]; /* ι */
    }
}

static void keccak_absorb(uint64_t a[LANES], const uint8_t block[RATE])
{
    for (int i = 0; i < RATE; i++)
        a[i / 8] ^= (uint64_t)block[i] << (i % 8 * 8);
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
