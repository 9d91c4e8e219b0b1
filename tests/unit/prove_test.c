/* One block of Arbitrum and one account of Ethereum, proven through an endpoint that tells the
 * truth, that bends it, and that says nothing. */
#include "provider_child.h"
#include "read/prove.h"
#include "rpc_setup.h"
#include "vectors.h"

#include "base/buf.h"
#include "base/clock.h"

enum { DEADLINE_MS = 20 * 1000 };

static void script_answer(struct buf *order, const char *method, const struct json *result)
{
    if (!result)
        return;
    buf_addf(order, "{\"method\":\"%s\",\"result\":", method);
    json_print(result, order);
    buf_adds(order, "},");
}

/* The block's header and receipts, and the proof of an account without storage. */
static void script_block(const char *name)
{
    char path[80];
    struct buf order = BUF_INIT(1024 * 1024);
    snprintf(path, sizeof path, "blocks/%s.json", name);
    struct json *doc = vector_json(path), *proofs = vector_json("proofs.json");
    buf_adds(&order, "{\"answers\":[");
    script_answer(&order, "eth_getBlockByNumber", json_get(doc, "block"));
    script_answer(&order, "eth_getBlockReceipts", json_get(doc, "receipts"));
    buf_adds(&order, "{\"method\":\"eth_getProof\",\"result\":{\"accountProof\":");
    json_print(json_get(vector_at(proofs, 1), "accountProof"), &order);
    buf_adds(&order, ",\"storageProof\":[{\"proof\":[]}]}}]}");
    provider_order(order.data);
    buf_free(&order);
    json_free(doc);
    json_free(proofs);
}

static struct prove_ask asks(struct setup *s, int ms)
{
    return (struct prove_ask){
        .rpc = s->node, .endpoint = rpc_endpoint(s->node, 0), .deadline_ms = clock_ms() + ms};
}

enum { ARBITRUM = 150000000, CANCUN = 21925176 };

static void expect(enum prove_outcome outcome, enum prove_outcome expected, const struct err *why,
                   const char *words)
{
    if (outcome != expected || (words && !strstr(why->text, words)))
        fail_msg("outcome %d instead of %d: \"%s\" instead of \"%s\"", (int)outcome, (int)expected,
                 why->text, words ? words : "");
}

static void check_header(struct setup *s, const char *rule, enum prove_outcome expected,
                         const char *words)
{
    struct full_header h;
    struct err why = {0};
    struct prove_ask ask = asks(s, DEADLINE_MS);
    provider_rules("%s", rule);
    expect(prove_header(&ask, ARBITRUM, &h, &why), expected, &why, words);
}

static void headers(void **state)
{
    struct setup *s = *state;
    script_block("arbitrum");
    check_header(s, "", PROVE_PROVEN, NULL);
    check_header(s, "{'fault':'zero-bloom'}", PROVE_FOREIGN, "by computation");
    check_header(s, "{'fault':'bend-header','args':{'set':{'timestamp':'0x1'}}}", PROVE_FOREIGN,
                 "header of block 150000000: its hash is 0x");
    check_header(s, "{'fault':'bend-header','args':{'set':{'hash':'0x12'}}}", PROVE_FOREIGN,
                 "and 0x12 by the endpoint");
    check_header(s, "{'fault':'bend-header','args':{'set':{'hash':null}}}", PROVE_FOREIGN,
                 "and nothing by the endpoint");
    check_header(s,
                 "{'fault':'bend-header','args':{'set':{'withdrawalsRoot':'0x"
                 "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421'}}}",
                 PROVE_FOREIGN, "by computation");
    check_header(s, "{'fault':'bend-header','args':{'set':{'mixHash':null}}}", PROVE_FOREIGN,
                 "no \"mixHash\"");
    check_header(s, "{'fault':'null-result'}", PROVE_CANNOT, "answers null");
}

static void header_of_another_block(void **state)
{
    struct full_header h;
    struct err why = {0};
    struct prove_ask ask = asks(*state, DEADLINE_MS);
    script_block("arbitrum");
    expect(prove_header(&ask, ARBITRUM + 1, &h, &why), PROVE_FOREIGN, &why, "it is block 15000000");
}

/* ---- receipts -------------------------------------------------------------------------------- */

static void check_receipts(struct setup *s, const char *rule, enum prove_outcome expected,
                           const char *words)
{
    struct full_header h;
    struct err why = {0};
    struct prove_receipts r = {0};
    struct prove_ask ask = asks(s, DEADLINE_MS);
    provider_rules("%s", "");
    expect(prove_header(&ask, ARBITRUM, &h, &why), PROVE_PROVEN, &why, NULL);
    provider_rules("%s", rule);
    expect(prove_receipts(&ask, &h, &r, &why), expected, &why, words);
    if (expected == PROVE_PROVEN)
        assert_true(r.n_receipts == 5 && r.n_logs == 18 && !r.left_out_sync);
}

static void true_receipts(void **state)
{
    script_block("arbitrum");
    check_receipts(*state, "", PROVE_PROVEN, NULL);
    /* What no root holds may say anything. */
    check_receipts(*state,
                   "{'fault':'bend-receipts','args':{'set':{'blockHash':'0x1','logsBloom':'0x00'},"
                   "'set-log':{'logIndex':'0x99','blockNumber':'0x1','transactionHash':null}}}",
                   PROVE_PROVEN, NULL);
    /* An envelope that only the careful way reads. */
    check_receipts(*state, "{'fault':'array'}", PROVE_PROVEN, NULL);
}

static void false_receipts(void **state)
{
    static const char *const bent[] = {
        "'drop':'log'",
        "'drop':'receipt'",
        "'twice':'log'",
        "'twice':'receipt'",
        "'swap':true",
        "'empty':true",
        "'set':{'type':null}",
        "'set':{'type':'0x2'}",
        "'set':{'status':'0x0'}",
        "'set':{'cumulativeGasUsed':'0x1'}",
        "'set-log':{'data':'0x'}",
        "'set-log':{'topics':[]}",
        "'set-log':{'address':'0x00000000000000000000000000000000000000aa'}",
    };
    char rule[300];
    script_block("arbitrum");
    for (size_t i = 0; i < COUNT_OF(bent); i++) {
        snprintf(rule, sizeof rule, "{'fault':'bend-receipts','args':{%s}}", bent[i]);
        check_receipts(*state, rule, PROVE_FOREIGN, "receipts of block 150000000: their root is");
    }
    check_receipts(*state, "{'fault':'bend-receipts','args':{'set':{'status':null}}}",
                   PROVE_FOREIGN, "lacks type, status, gas or logs");
    check_receipts(*state, "{'fault':'result','args':{'result':{}}}", PROVE_FOREIGN, "lacks");
}

static void no_receipts(void **state)
{
    script_block("arbitrum");
    check_receipts(*state, "{'fault':'null-result'}", PROVE_CANNOT,
                   "eth_getBlockReceipts answers null");
    check_receipts(*state,
                   "{'fault':'error','args':{'code':-32601,'text':'the method "
                   "eth_getBlockReceipts does not exist/is not available'}}",
                   PROVE_CANNOT, "does not exist");
    check_receipts(*state, "{'fault':'oversize','args':{'mb':17,'declared':true}}", PROVE_CANNOT,
                   "receipts of block");
}

/* ---- state ----------------------------------------------------------------------------------- */

static void check_state(struct setup *s, const char *rule, enum prove_outcome expected,
                        const char *words)
{
    address account;
    struct full_header h;
    struct err why = {0};
    struct prove_ask ask = asks(s, DEADLINE_MS);
    const char *miner = "0x4838b106fce9647bdf1e7877bf73ce8b0bad5f97";
    assert_true(address_parse_loose(miner, strlen(miner), &account));
    provider_rules("%s", "");
    expect(prove_header(&ask, CANCUN, &h, &why), PROVE_PROVEN, &why, NULL);
    provider_rules("%s", rule);
    expect(prove_state(&ask, &h, &account, &why), expected, &why, words);
}

static void true_proofs(void **state)
{
    script_block("cancun");
    check_state(*state, "", PROVE_PROVEN, NULL);
}

static void false_proofs(void **state)
{
    script_block("cancun");
    check_state(*state, "{'fault':'bend-proof','args':{'list':'accountProof','drop':true}}",
                PROVE_FOREIGN, "above its leaf");
    check_state(*state, "{'fault':'bend-proof','args':{'list':'accountProof','twice':true}}",
                PROVE_FOREIGN, "left over");
    check_state(*state, "{'fault':'bend-proof','args':{'list':'accountProof','flip':true}}",
                PROVE_FOREIGN, "node 1 of the proof");
    check_state(*state, "{'fault':'result','args':{'result':{'accountProof':[]}}}", PROVE_FOREIGN,
                "instead of 1");
    check_state(*state, "{'fault':'error','args':{'code':-32601,'text':'method not found'}}",
                PROVE_CANNOT, "method not found");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, open_one, close_node)
    const struct CMUnitTest tests[] = {
        CASE(headers),       CASE(header_of_another_block),
        CASE(true_receipts), CASE(false_receipts),
        CASE(no_receipts),   CASE(true_proofs),
        CASE(false_proofs),
    };
    return cmocka_run_group_tests(tests, start_provider, stop_provider);
}
