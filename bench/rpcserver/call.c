#include "base/mem.h"
#include "base/parse.h"
#include "bench/rpcserver/rpcserver.h"
#include "eth/abi.h"

#include <endian.h>
#include <string.h>

enum {
    WORD = 32,
    GAS_CALL = 21000,
    GAS_CREATE = 53000,
    GAS_BYTE = 16,
    VIEW_DATA = 36,
    WORD_DIGITS = 2 * WORD,
    HASHES_KNOWN = 256,
    TIMESTAMP = 0x42, /* the instruction */
    MODULUS_MAX = 1024
};

static const address multicall = {.b = {0xca, 0x11, 0xbd, 0xe0, 0x59, 0x77, 0xb3,
                                        0x63, 0x11, 0x67, 0x02, 0x88, 0x62, 0xbe,
                                        0x2a, 0x17, 0x39, 0x76, 0xca, 0x11}};
static const address identity = {.b = {[19] = 4}}, modexp = {.b = {[19] = 5}};

/* ---- the state ------------------------------------------------------------------------------- */

static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

unsigned __int128 state_of(const struct rules *r, const uint8_t wallet[20], size_t term)
{
    uint64_t front, back;
    memcpy(&front, wallet, sizeof front);
    memcpy(&back, wallet + 12, sizeof back);
    uint64_t x = mixed(be64toh(front) ^ mixed(be64toh(back) + r->salt * 977 + term));
    bool has = term == 0 ? x % 8 != 0 : x % 16 == 0;
    /* 20 million tokens of 18 decimals at most */
    return has ? (unsigned __int128)(x >> 40) * UINT64_C(1000000000000000000) + (x & 0xffffffff)
               : 0;
}

/* ---- the lens -------------------------------------------------------------------------------- */

static uint64_t start_gas(const struct rules *r, const struct call *c)
{
    uint64_t gas = c->gas && c->gas < r->gas_cap ? c->gas : r->gas_cap;
    uint64_t bytes = c->data_len / 2;
    uint64_t cost = c->has_to ? GAS_CALL : GAS_CREATE + 2 * ((bytes + 31) / 32);
    cost += GAS_BYTE * bytes;
    return gas > cost ? gas - cost : 0;
}

/* Is this our program, for so many wallets? It must be, byte for byte: what is not the lens of the
 * configured terms would get an answer that means nothing. */
static bool is_lens(const struct lens_shape *s, size_t n, const char *hex, size_t len)
{
    struct lens_code code;
    struct buf b = BUF_INIT(2 * LENS_CODE_MAX);
    lens_assemble(s, n, &code);
    buf_addhex(&b, code.b, code.len);
    bool same = b.len <= len && memcmp(b.data, hex, b.len) == 0;
    buf_free(&b);
    return same;
}

static bool parse_digits(const char *hex, size_t n, uint64_t *ret)
{
    char text[20] = "0x";
    memcpy(text + 2, hex, n);
    return parse_hex_u64(text, n + 2, ret);
}

static size_t code_digits(const struct lens_shape *s, size_t n)
{
    struct lens_code code;
    lens_assemble(s, n, &code);
    return 2 * code.len;
}

/* The limits of the terms stand in the program, each after its contract: PUSHn limit. */
static bool read_limits(const struct rules *r, const char *hex, size_t len, struct lens_term *ret)
{
    memcpy(ret, r->terms, sizeof r->terms);
    for (size_t t = 0; t < r->n_terms; t++) {
        char contract[ADDRESS_TEXT];
        uint8_t push;
        address_text(&r->terms[t].contract, contract);
        const char *at = memmem(hex, len, contract + 2, 40);
        if (!at || at + 42 + 16 > hex + len || !parse_hex(at + 40, 2, &push, 1))
            return false;
        if (push < 0x60 || push > 0x67) /* alone: whatever is left */
            continue;
        if (!parse_digits(at + 42, 2 * (push - 0x5fU), &ret[t].gas))
            return false;
    }
    return true;
}

/* A program with a linked block pushes its number where others go on with the timestamp. */
static void read_link(struct lens_shape *s, const char *hex, size_t len)
{
    struct lens_code code;
    uint8_t push = 0;
    size_t i = 0;
    lens_assemble(s, 0, &code);
    while (i < code.len && 2 * i + 2 <= len && parse_hex(hex + 2 * i, 2, &push, 1) &&
           push == code.b[i])
        i++;
    if (i == code.len || code.b[i] != TIMESTAMP || push < 0x60 || push > 0x67 ||
        2 * i + 2 + 16 > len)
        return;
    s->has_link = parse_digits(hex + 2 * i + 2, 2 * (push - 0x5fU), &s->link);
}

/* Which of the lens' shapes the call is; the digits of its input, a word and the wallets. */
static bool find_lens(const struct rules *r, const struct call *c, struct lens_term *terms,
                      struct lens_shape *ret, const char **ret_input, size_t *ret_n)
{
    if (!read_limits(r, c->has_to ? c->code : c->data, c->has_to ? c->code_len : c->data_len,
                     terms))
        return false;
    static const enum lens_mode creations[] = {LENS_CREATE, LENS_CREATE_REVERT};
    for (int alone = 0; alone < 2; alone++) {
        struct lens_shape s = {.terms = terms, .n_terms = r->n_terms, .isolated = alone};
        if (c->has_to) {
            read_link(&s, c->code, c->code_len);
            *ret = s;
            *ret_input = c->data;
            if (c->data_len < WORD_DIGITS)
                return false;
            *ret_n = (c->data_len - WORD_DIGITS) / 40;
            if ((c->data_len - WORD_DIGITS) % 40 == 0 && is_lens(ret, *ret_n, c->code, c->code_len))
                return true;
            continue;
        }
        for (size_t m = 0; m < COUNT_OF(creations); m++) {
            s.mode = creations[m];
            s.has_link = false;
            read_link(&s, c->data, c->data_len);
            /* The program's length depends on the number a little: what storing the reply costs. */
            size_t digits = code_digits(&s, 0) + WORD_DIGITS;
            for (int i = 0; i < 3 && digits <= c->data_len; i++)
                digits = code_digits(&s, (c->data_len - digits) / 40) + WORD_DIGITS;
            if (digits > c->data_len || (c->data_len - digits) % 40)
                continue;
            *ret = s;
            *ret_input = c->data + digits - WORD_DIGITS;
            *ret_n = (c->data_len - digits) / 40;
            if (is_lens(&s, *ret_n, c->data, c->data_len))
                return true;
        }
    }
    return false;
}

static void put_sum(uint8_t *to, unsigned __int128 v)
{
    uint64_t high = htobe64((uint64_t)(v >> 64)), low = htobe64((uint64_t)v);
    memcpy(to, &high, sizeof high);
    memcpy(to + sizeof high, &low, sizeof low);
}

static void put_header(const struct rules *r, const struct call *c, uint8_t *reply)
{
    hash32 parent = {0};
    if (c->block > 0)
        block_hash_of(c->block - 1, &parent);
    abi_put_u64(reply, c->block);
    memcpy(reply + WORD, parent.b, WORD);
    abi_put_u64(reply + 2 * WORD, block_time_of(c->block));
    abi_put_u64(reply + 3 * WORD, r->chain_id);
}

/* BLOCKHASH: zero beyond the last 256. */
static void put_hash(const struct call *c, uint64_t number, uint8_t *to)
{
    hash32 hash = {0};
    if (number < c->block && c->block - number <= HASHES_KNOWN)
        block_hash_of(number, &hash);
    memcpy(to, hash.b, WORD);
}

/* The full limit before each view, or the end. */
static bool lens_answer(const struct rules *r, const struct call *c, const struct lens_shape *s,
                        const char *input, size_t n, struct buf *hex)
{
    const char *wallets = input + WORD_DIGITS;
    size_t size = lens_reply_size(n), done = 0;
    uint8_t *reply = mem_zero(size, 1);
    uint64_t entry = start_gas(r, c), gas = entry;
    uint64_t each = r->wallet_gas / r->n_terms;
    uint64_t deposit = s->mode == LENS_CREATE ? LENS_DEPOSIT * lens_reply_most(s, n) : 0;
    uint64_t need = s->isolated ? LENS_MARGIN : (s->terms[0].gas * 64 + 62) / 63 + LENS_MARGIN;
    for (bool stop = false; done < n && !stop;) {
        uint8_t wallet[20];
        unsigned __int128 sum = 0;
        parse_hex(wallets + 40 * done, 40, wallet, sizeof wallet);
        for (size_t t = 0; t < r->n_terms && !stop; t++) {
            stop = gas < need + deposit + each;
            gas -= stop ? 0 : each;
            sum += state_of(r, wallet, t);
        }
        if (!stop)
            put_sum(reply + LENS_HEADER + 16 * done++, sum);
    }
    put_header(r, c, reply);
    abi_put_u64(reply + 4 * WORD, entry);
    abi_put_u64(reply + 5 * WORD, gas);
    abi_put_u64(reply + 6 * WORD, done);
    if (s->has_link)
        put_hash(c, s->link, reply + 7 * WORD);
    parse_hex(input, WORD_DIGITS, reply + 8 * WORD, WORD);
    buf_addhex(hex, reply, size);
    mem_free(reply);
    return true;
}

/* ---- plain views and Multicall3 -------------------------------------------------------------- */

static bool view_word(const struct rules *r, const struct call *c, const address *to,
                      const uint8_t *data, size_t len, uint8_t word[WORD])
{
    static const uint8_t number[4] = {0x42, 0xcb, 0xb1, 0x5c}, parent[4] = {0x27, 0xe8, 0x6d, 0x6e},
                         time[4] = {0x0f, 0x28, 0xc9, 0x7d}, chain[4] = {0x34, 0x08, 0xe4, 0x70},
                         hash[4] = {0xee, 0x82, 0xac, 0x5e};
    memset(word, 0, WORD);
    if (address_equal(to, &identity) && len == WORD) {
        memcpy(word, data, WORD);
        return true;
    }
    if (address_equal(to, &multicall) && len == VIEW_DATA && memcmp(data, hash, 4) == 0) {
        uint64_t n;
        if (abi_get_u64(data + 4, &n))
            put_hash(c, n, word);
        return true;
    }
    if (address_equal(to, &multicall) && len == 4) {
        uint8_t header[4 * WORD];
        put_header(r, c, header);
        static const uint8_t *const selectors[] = {number, parent, time, chain};
        for (size_t i = 0; i < COUNT_OF(selectors); i++)
            if (memcmp(data, selectors[i], 4) == 0)
                memcpy(word, header + i * WORD, WORD);
        return true;
    }
    for (size_t t = 0; t < r->n_terms && len == VIEW_DATA; t++) {
        if (!address_equal(to, &r->terms[t].contract) || memcmp(data, r->terms[t].selector, 4) != 0)
            continue;
        put_sum(word + 16, state_of(r, data + 16, t));
        return true;
    }
    return false;
}

/* As many zero bytes does it answer. */
static size_t modulus_size(const uint8_t *data, size_t len)
{
    uint64_t n;
    return len >= 3 * WORD && abi_get_u64(data + 2 * WORD, &n) && n <= MODULUS_MAX && n % WORD == 0
               ? (size_t)n
               : 0;
}

/* The price of the sentinel, by EIP-2565: modulus of 1024 bytes, exponent zero. */
static uint64_t modexp_price(const uint8_t *data, size_t len)
{
    uint64_t exponent = 0;
    if (len < 3 * WORD || !abi_get_u64(data + WORD, &exponent) || exponent < 32)
        return 200;
    return 16384 * 8 * (exponent - 32) / 3;
}

struct element {
    address to;
    const uint8_t *data;
    size_t len;
};

/* Trusts the encoding up to not leaving the buffer. */
static bool element_at(const uint8_t *b, size_t len, size_t i, struct element *ret)
{
    uint64_t offset, data, n;
    size_t base = 4 + 2 * WORD;
    if (base + (i + 1) * WORD > len || !abi_get_u64(b + base + i * WORD, &offset))
        return false;
    size_t at = base + (size_t)offset;
    if (at + 4 * WORD > len || !abi_get_u64(b + at + 2 * WORD, &data) || data != 3 * WORD ||
        !abi_get_u64(b + at + 3 * WORD, &n) || at + 4 * WORD + n > len)
        return false;
    memcpy(ret->to.b, b + at + 12, sizeof ret->to.b);
    ret->data = b + at + 4 * WORD;
    ret->len = (size_t)n;
    return true;
}

/* Elements answered in turn; a view costs its part of a wallet and 1,300 gas of Multicall3's. */
static bool aggregate3(const struct rules *r, const struct call *c, const uint8_t *b, size_t len,
                       struct buf *hex, const char **words)
{
    uint64_t n, gas = start_gas(r, c), each = r->wallet_gas / r->n_terms + 1300;
    size_t at = 0;
    if (len < 4 + 2 * WORD || !abi_get_u64(b + 4 + WORD, &n) || n > len / WORD)
        return *words = "execution reverted", false;
    uint8_t *reply = mem_zero((size_t)n * 5 + 2 + MODULUS_MAX / WORD, WORD),
            *body = reply + (2 + n) * WORD;
    abi_put_u64(reply, WORD);
    abi_put_u64(reply + WORD, n);
    for (size_t i = 0; i < n; i++) {
        struct element e;
        uint8_t word[WORD];
        if (!element_at(b, len, i, &e)) {
            mem_free(reply);
            return *words = "execution reverted", false;
        }
        bool is_sentinel = address_equal(&e.to, &modexp);
        uint64_t price = is_sentinel ? modexp_price(e.data, e.len) : each;
        bool paid = gas - gas / 64 >= price;
        bool has = paid && !is_sentinel && view_word(r, c, &e.to, e.data, e.len, word);
        size_t size = has ? WORD : paid && is_sentinel ? modulus_size(e.data, e.len) : 0;
        gas -= paid ? price : gas - gas / 64;
        abi_put_u64(reply + (2 + i) * WORD, n * WORD + at);
        abi_put_u64(body + at, paid);
        abi_put_u64(body + at + WORD, 2 * WORD);
        abi_put_u64(body + at + 2 * WORD, size);
        if (has)
            memcpy(body + at + 3 * WORD, word, WORD);
        at += 3 * WORD + size;
    }
    buf_addhex(hex, reply, (2 + (size_t)n) * WORD + at);
    mem_free(reply);
    return true;
}

static bool plain(const struct rules *r, const struct call *c, struct buf *hex, const char **words)
{
    static const uint8_t selector[4] = {0x82, 0xad, 0x56, 0xcb};
    size_t len = c->data_len / 2;
    uint8_t *b = mem_alloc(len + 1), word[WORD];
    bool good = parse_hex(c->data, c->data_len, b, len);
    if (good && address_equal(&c->to, &multicall) && len > 4 && memcmp(b, selector, 4) == 0) {
        good = aggregate3(r, c, b, len, hex, words);
    } else if (good && address_equal(&c->to, &modexp)) {
        good = start_gas(r, c) >= modexp_price(b, len);
        *words = "out of gas";
        for (size_t i = modulus_size(b, len); good && i > 0; i -= WORD)
            buf_addhex(hex, (const uint8_t[WORD]){0}, WORD);
    } else if (good && view_word(r, c, &c->to, b, len, word)) {
        buf_addhex(hex, word, WORD);
    } /* anything else has no code: success without data */
    mem_free(b);
    return good;
}

bool call_answer(const struct rules *r, const struct call *c, struct buf *hex, const char **words)
{
    struct lens_shape s;
    struct lens_term terms[LENS_TERMS_MAX];
    const char *input;
    size_t n;
    *words = "execution reverted";
    if (c->has_to && !c->has_override)
        return plain(r, c, hex, words);
    if (!find_lens(r, c, terms, &s, &input, &n))
        return *words = "execution reverted: not the lens of these terms", false;
    return lens_answer(r, c, &s, input, n, hex);
}
