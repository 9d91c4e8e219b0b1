#include "eth/address.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/parse.h"
#include "eth/keccak.h"

#include <string.h>

enum { ADDRESS_CHARS = ADDRESS_TEXT - 1 };

static void address_hex_text(const uint8_t *bytes, size_t n, char *ret)
{
    ret[0] = '0';
    ret[1] = 'x';
    hex_put(ret + 2, bytes, n);
    ret[2 + 2 * n] = '\0';
}

void address_text(const address *a, char ret[ADDRESS_TEXT])
{
    address_hex_text(a->b, sizeof a->b, ret);
}

/* EIP-55: a letter is upper case where the hash of the lower-case hex text has a nibble above 7. */
void address_checksum(const address *a, char ret[ADDRESS_TEXT])
{
    hash32 h;
    address_text(a, ret);
    keccak256(ret + 2, ADDRESS_CHARS - 2, &h);
    for (int i = 0; i < ADDRESS_CHARS - 2; i++) {
        unsigned nibble = i % 2 ? h.b[i / 2] & 15u : h.b[i / 2] >> 4u;
        char *c = &ret[2 + i];
        if (nibble >= 8 && *c >= 'a')
            *c = (char)(*c - 'a' + 'A');
    }
}

static bool address_mixed_case(const char *s, size_t n)
{
    bool lower = false, upper = false;
    for (size_t i = 0; i < n; i++) {
        lower |= s[i] >= 'a' && s[i] <= 'f';
        upper |= s[i] >= 'A' && s[i] <= 'F';
    }
    return lower && upper;
}

int address_parse(const char *s, size_t n, address *ret, struct err *err)
{
    address a;
    int shown = (int)(n > 80 ? 80 : n);
    if (n < 2 || s[0] != '0' || s[1] != 'x')
        return err_set(err, ERR_USAGE, "address \"%.*s\" does not start with 0x", shown, s);
    if (n != ADDRESS_CHARS)
        return err_set(err, ERR_USAGE, "address \"%.*s\" has %zu digits after 0x, expected 40",
                       shown, s, n - 2);
    if (!parse_0x(s, n, a.b, sizeof a.b))
        return err_set(err, ERR_USAGE, "address \"%.*s\" has a character that is not a hex digit",
                       shown, s);
    if (address_mixed_case(s + 2, n - 2)) {
        char right[ADDRESS_TEXT];
        address_checksum(&a, right);
        if (memcmp(s, right, n) != 0) {
            err_set(err, ERR_USAGE, "address \"%.*s\" has a bad checksum, expected %s", shown, s,
                    right);
            return err_hint(err, "a digit may be mistyped; compare with the source of the address");
        }
    }
    *ret = a;
    return 0;
}

bool address_parse_loose(const char *s, size_t n, address *ret)
{
    return parse_0x(s, n, ret->b, sizeof ret->b);
}

bool address_is_zero(const address *a)
{
    static const address zero;
    return address_equal(a, &zero);
}

int address_compare(const address *a, const address *b)
{
    return memcmp(a->b, b->b, sizeof a->b);
}

int address_compare_elements(const void *a, const void *b)
{
    return address_compare(a, b);
}

bool address_equal(const address *a, const address *b)
{
    return address_compare(a, b) == 0;
}

bool hash_parse(const char *s, size_t n, hash32 *ret)
{
    return parse_0x(s, n, ret->b, sizeof ret->b);
}

void hash_text(const hash32 *h, char ret[HASH_TEXT])
{
    address_hex_text(h->b, sizeof h->b, ret);
}

bool hash_equal(const hash32 *a, const hash32 *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}
