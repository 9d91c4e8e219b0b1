/* Addresses and hashes as bytes; text only at the edges. EIP-55 for checksums. */
#ifndef ETH_ADDRESS_H
#define ETH_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

typedef struct address {
    uint8_t b[20];
} address;

typedef struct hash32 { /* a block hash, a topic, a storage word */
    uint8_t b[32];
} hash32;

enum { ADDRESS_TEXT = 2 + 40 + 1, HASH_TEXT = 2 + 64 + 1 };

/* "0x" and 40 hex digits. All lower or all upper case is taken as it is; mixed case must be the
 * EIP-55 checksum. err says which of these failed and, for a bad checksum, the right spelling. */
int address_parse(const char *s, size_t n, address *ret, struct err *err);
/* The same text, without looking at case: for what nodes and our own tables say. */
bool address_parse_loose(const char *s, size_t n, address *ret);
void address_text(const address *a, char ret[ADDRESS_TEXT]);     /* lower case, as in tables */
void address_checksum(const address *a, char ret[ADDRESS_TEXT]); /* EIP-55 */
bool address_is_zero(const address *a);
int address_compare(const address *a, const address *b); /* byte order = text order */
/* The same for qsort() and bsearch() over elements that begin with their address. */
int address_compare_elements(const void *a, const void *b);
bool address_equal(const address *a, const address *b);

/* "0x" and exactly 64 hex digits. */
bool hash_parse(const char *s, size_t n, hash32 *ret);
void hash_text(const hash32 *h, char ret[HASH_TEXT]);
bool hash_equal(const hash32 *a, const hash32 *b);

#endif
