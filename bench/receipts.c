/*
 * The receipts of one block, from the text of a reply to their root: what a proof costs.
 *
 *     receipts [ROUNDS]
 *
 * The block is made up and as large as one of Ethereum's: 215 receipts, 560 logs, 570 kB. Prints a
 * line of JSON with the least CPU of all rounds, parsing and all.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/parse.h"
#include "base/random.h"
#include "eth/receipt.h"
#include "rpc/json_fast.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { RECEIPTS = 215, LOGS = 560, TOPICS = 3, DATA = 96, TEXT_MAX = 4 * 1024 * 1024 };

static void add_random(struct buf *out, struct rng *rng, const char *name, size_t n)
{
    uint8_t bytes[256];
    rng_fill(rng, bytes, n);
    buf_addf(out, "\"%s\":\"0x", name);
    buf_addhex(out, bytes, n);
    buf_adds(out, "\",");
}

static void add_log(struct buf *out, struct rng *rng)
{
    buf_adds(out, "{");
    add_random(out, rng, "address", 20);
    add_random(out, rng, "blockHash", 32);
    add_random(out, rng, "transactionHash", 32);
    add_random(out, rng, "data", DATA);
    buf_adds(out, "\"topics\":[");
    for (int i = 0; i < TOPICS; i++)
        buf_addf(out, "%s\"0x%064llx\"", i ? "," : "", (unsigned long long)rng_next(rng));
    buf_adds(out, "],\"logIndex\":\"0x1\",\"removed\":false}");
}

static void add_receipt(struct buf *out, struct rng *rng, size_t logs)
{
    buf_adds(out, "{\"type\":\"0x2\",\"status\":\"0x1\",\"cumulativeGasUsed\":\"0x5208\",");
    add_random(out, rng, "blockHash", 32);
    add_random(out, rng, "transactionHash", 32);
    add_random(out, rng, "from", 20);
    add_random(out, rng, "to", 20);
    add_random(out, rng, "logsBloom", 256);
    buf_adds(out, "\"contractAddress\":null,\"logs\":[");
    for (size_t i = 0; i < logs; i++) {
        buf_adds(out, i ? "," : "");
        add_log(out, rng);
    }
    buf_adds(out, "]}");
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    uint64_t rounds = 100;
    struct rng rng = {1};
    struct buf text = BUF_INIT(TEXT_MAX);
    double parse = 1e9, all = 1e9;
    if (argc > 1 && !parse_u64(argv[1], strlen(argv[1]), &rounds))
        return 2;
    buf_adds(&text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[");
    for (size_t i = 0; i < RECEIPTS; i++) {
        buf_adds(&text, i ? "," : "");
        add_receipt(&text, &rng, (i + 1) * LOGS / RECEIPTS - i * LOGS / RECEIPTS);
    }
    buf_adds(&text, "]}");
    for (uint64_t i = 0; i < rounds; i++) {
        struct arena arena;
        struct receipt *list;
        size_t n;
        hash32 root;
        double began = now_ms();
        arena_init(&arena);
        if (!json_fast_receipts(text.data, text.len, 1, &arena, &list, &n) || n != RECEIPTS)
            return 1;
        double parsed = now_ms() - began;
        receipts_root(list, n, &root);
        double done = now_ms() - began;
        parse = parsed < parse ? parsed : parse;
        all = done < all ? done : all;
        arena_free(&arena);
    }
    printf("{\"receipts\":%d,\"logs\":%d,\"bytes\":%zu,\"parse_ms\":%.3f,\"all_ms\":%.3f}\n",
           RECEIPTS, LOGS, text.len, parse, all);
    buf_free(&text);
    return 0;
}
