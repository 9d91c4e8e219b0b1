#include "rpc/cost.h"
#include "base/mem.h"
#include "rpc/price.h"

#include <inttypes.h>

enum {
    DAY_MS = 24 * 3600 * 1000,
    LOOK_LEAST_MS = 2000,
    LOOK_MOST_MS = 12000,
    FINALIZED_MS = 30 * 1000,
    SECOND_MS = 60 * 1000,
    SECOND_HEADERS = 3, /* before and after the logs, and the head */
    HEADS_PUSHED_MS = 1000,
    HEAD_BYTES = 1500, /* a pushed head, mostly its bloom … */
    LOG_BYTES = 700,   /* … and a pushed log */
    PASS_ROWS = 1000000,
    PASS_BATCH = 5000,
};

static uint64_t cost_times_a_day(int64_t every_ms)
{
    return (uint64_t)(DAY_MS / (every_ms > 0 ? every_ms : 1));
}

static int64_t cost_choose_look(const struct cost_shape *s)
{
    if (s->look_ms > 0)
        return s->look_ms;
    return s->block_ms < LOOK_LEAST_MS  ? LOOK_LEAST_MS
           : s->block_ms > LOOK_MOST_MS ? LOOK_MOST_MS
                                        : s->block_ms;
}

struct cost_day cost_of_following(const struct conf_endpoint *e, const struct cost_shape *s)
{
    int64_t look_ms = cost_choose_look(s);
    uint64_t header = price_of(e, "eth_getBlockByNumber"), logs = price_of(e, "eth_getLogs"),
             call = price_of(e, "eth_call");
    uint64_t looks = cost_times_a_day(look_ms), blocks = cost_times_a_day(s->block_ms);
    uint64_t asks = s->by_hash ? blocks * (header + logs) : looks * logs;
    uint64_t steady = looks * header + cost_times_a_day(FINALIZED_MS) * header +
                      cost_times_a_day(SECOND_MS) * (logs + SECOND_HEADERS * header);
    /* Several blocks a look: the sample is linked by a call, which a read brings along. */
    uint64_t links = s->block_ms < look_ms ? looks * call : 0;
    bool heads = s->has_ws && s->block_ms >= HEADS_PUSHED_MS;
    uint64_t pushed_heads =
        heads ? blocks * price_of_push(e, PRICE_PUSH_HEAD, HEAD_BYTES) / 1000 : 0;
    uint64_t pushed_logs =
        s->has_ws ? blocks * price_of_push(e, PRICE_PUSH_LOG, LOG_BYTES) / 1000 : 0;
    return (struct cost_day){
        .idle = steady + asks + links + pushed_heads,
        .idle_bloom =
            steady + (s->block_ms < look_ms || s->by_hash ? asks : 0) + links + pushed_heads,
        .busy = steady + asks + looks * call + pushed_heads + pushed_logs,
    };
}

/* ---- the page -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int64_t block_ms;
} cost_chains[] = {
    {"Ethereum", 12000}, {"Base", 2000}, {"Polygon", 2000}, {"BSC", 750}, {"Arbitrum", 250}};

static const char *const cost_lists[] = {"alchemy", "infura", "quicknode", "flat"};

static void cost_add_number(struct buf *out, uint64_t n)
{
    if (n >= 1000000)
        buf_addf(out, " %" PRIu64 ".%02" PRIu64 " M |", n / 1000000, n % 1000000 / 10000);
    else
        buf_addf(out, " %" PRIu64 " |", n);
}

static void cost_document_table(struct buf *out, bool has_ws)
{
    buf_adds(out, "| chain | block | price list | idle | idle, blooms proven | an event in every "
                  "block |\n|---|---|---|---|---|---|\n");
    for (size_t c = 0; c < COUNT_OF(cost_chains); c++)
        for (size_t l = 0; l < COUNT_OF(cost_lists); l++) {
            struct conf_endpoint e = {.price = cost_lists[l]};
            struct cost_shape s = {.block_ms = cost_chains[c].block_ms, .has_ws = has_ws};
            struct cost_day d = cost_of_following(&e, &s);
            buf_addf(out, "| %s | %g s | %s |", cost_chains[c].name,
                     (double)cost_chains[c].block_ms / 1000, cost_lists[l]);
            cost_add_number(out, d.idle);
            cost_add_number(out, d.idle_bloom);
            cost_add_number(out, d.busy);
            buf_addc(out, '\n');
        }
}

void cost_document(struct buf *out)
{
    buf_adds(out,
             "# Cost\n\n"
             "Use this page to choose a plan and a `budget`. It is written by\n"
             "`trueup reference cost` from the program's own forecast. `trueup doctor` gives the\n"
             "same for your endpoints; `trueup status` gives what was measured.\n\n"
             "The figures are units of a price list (`chain.endpoints[].price`) a day, with\n"
             "`chain.freshness: auto`: one look a block, at least every 12 s, at most every 2 s.\n"
             "They are computed, not measured. Retries, catch-up, identity checks and the sweep\n"
             "come on top. `flat` counts requests and pushes.\n\n"
             "A look asks for the head and for the logs of new blocks. An event adds one\n"
             "`eth_call`. The finalized block is asked for twice a minute, and a second look\n"
             "takes four requests a minute. Where several blocks pass between two looks, one\n"
             "`eth_call` more links them.\n\n"
             "`budget` covers all of it, pushed messages included.\n\n"
             "## By polling (`ws: off`)\n\n");
    cost_document_table(out, false);
    buf_adds(out, "\n## With a WebSocket\n\n"
                  "Each new block is pushed where blocks take a second or more. Faster blocks are\n"
                  "polled, and only logs are pushed. A pushed head counts as 1,500 bytes, a log\n"
                  "as 700.\n\n");
    cost_document_table(out, true);
    buf_addf(out,
             "\n## A full pass\n\n"
             "One `eth_call` carries as many wallets as the endpoint bears; `trueup doctor`\n"
             "measures how many. With %d wallets a request, %d rows cost:\n\n"
             "| price list | requests | units |\n|---|---|---|\n",
             PASS_BATCH, PASS_ROWS);
    for (size_t l = 0; l < COUNT_OF(cost_lists); l++) {
        struct conf_endpoint e = {.price = cost_lists[l]};
        buf_addf(out, "| %s | %d | %" PRIu64 " |\n", cost_lists[l], PASS_ROWS / PASS_BATCH,
                 PASS_ROWS / PASS_BATCH * price_of(&e, "eth_call"));
    }
    buf_adds(out, "\n## An endpoint whose ranges leave logs out\n\n"
                  "It is asked block by block: a header and a question for logs each, in the\n"
                  "first look and in the second. On a chain of 2 s blocks that is 86,400 requests\n"
                  "a day for each look. Another endpoint is cheaper.\n");
}
