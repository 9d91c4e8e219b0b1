#include "base/mem.h"
#include "bench/rpcserver/rpcserver.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

/* As anvil and geth write a log; the digits are filled in. */
#define TOPIC   "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
#define EMPTY8  "00000000"
#define EMPTY64 EMPTY8 EMPTY8 EMPTY8 EMPTY8 EMPTY8 EMPTY8 EMPTY8 EMPTY8

static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static void holder_of(uint64_t i, uint8_t ret[20])
{
    for (int k = 0; k < 3; k++) {
        uint64_t v = htobe64(mixed(i * 3 + 7 + (uint64_t)k * UINT64_C(0x9e3779b97f4a7c15)));
        memcpy(ret + k * 8, &v, k < 2 ? 8 : 4);
    }
}

static void put_holder(char *topic, uint64_t number, uint64_t holders)
{
    uint8_t holder[20];
    holder_of(mixed(number) % holders, holder);
    hex_put(topic + 26, holder, sizeof holder);
}

struct template
{
    char text[1024];
    size_t len, from, to, data, index;
};

/* One log of a block, all but who, how much, and which. */
static void make_template(const struct rules *r, uint64_t block, struct template *t)
{
    hash32 hash;
    char contract[ADDRESS_TEXT], block_hash[HASH_TEXT];
    struct buf b = BUF_INIT(sizeof t->text);
    block_hash_of(block, &hash);
    hash_text(&hash, block_hash);
    address_text(&r->terms[0].contract, contract);
    buf_addf(&b, "{\"address\":\"%s\",\"topics\":[\"" TOPIC "\",\"", contract);
    t->from = b.len;
    buf_adds(&b, "0x" EMPTY64 "\",\"");
    t->to = b.len;
    buf_adds(&b, "0x" EMPTY64 "\"],\"data\":\"");
    t->data = b.len;
    buf_addf(&b,
             "0x" EMPTY64 "\",\"blockNumber\":\"0x%" PRIx64 "\",\"blockHash\":\"%s\","
             "\"transactionHash\":\"%s\",\"transactionIndex\":\"0x0\",\"logIndex\":\"0x",
             block, block_hash, block_hash);
    t->index = b.len;
    buf_adds(&b, "0000\",\"removed\":false}");
    t->len = b.len;
    memcpy(t->text, b.data, b.len);
    buf_free(&b);
}

void add_logs(const struct rules *r, uint64_t from, uint64_t to, struct buf *out)
{
    bool first = true;
    buf_adds(out, "\"result\":[");
    for (uint64_t block = from; r->logs > 0 && block <= to && block <= r->head; block++) {
        struct template t;
        make_template(r, block, &t);
        for (uint64_t i = 0; i < r->logs; i++) {
            uint64_t number = block * r->logs + i;
            uint8_t amount[2] = {(uint8_t)(i >> 8), (uint8_t)i};
            put_holder(t.text + t.from, number * 2, r->holders);
            put_holder(t.text + t.to, number * 2 + 1, r->holders);
            hex_put(t.text + t.data + 62, amount, sizeof amount);
            hex_put(t.text + t.index, amount, sizeof amount);
            if (!first)
                buf_addc(out, ',');
            buf_add(out, t.text, t.len);
            first = false;
        }
    }
    buf_addc(out, ']');
}
