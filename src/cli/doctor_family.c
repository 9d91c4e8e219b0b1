/* Which kind of chain and node it is, and how its blocks are numbered. */
#include "base/mem.h"
#include "cli/doctor.h"
#include "track/anchor.h"

#include <inttypes.h>
#include <string.h>

static const struct {
    uint64_t id;
    const char *chain, *family;
} chains[] = {
    {1, "Ethereum", "Ethereum"},
    {11155111, "Sepolia", "Ethereum"},
    {17000, "Holesky", "Ethereum"},
    {560048, "Hoodi", "Ethereum"},
    {100, "Gnosis", "Ethereum"},
    {10, "OP Mainnet", "OP stack"},
    {8453, "Base", "OP stack"},
    {84532, "Base Sepolia", "OP stack"},
    {130, "Unichain", "OP stack"},
    {204, "opBNB", "OP stack"},
    {480, "World Chain", "OP stack"},
    {34443, "Mode", "OP stack"},
    {42220, "Celo", "OP stack"},
    {81457, "Blast", "OP stack"},
    {7777777, "Zora", "OP stack"},
    {42161, "Arbitrum One", "Arbitrum"},
    {42170, "Arbitrum Nova", "Arbitrum"},
    {421614, "Arbitrum Sepolia", "Arbitrum"},
    {137, "Polygon PoS", "Polygon"},
    {80002, "Polygon Amoy", "Polygon"},
    {56, "BNB Smart Chain", "BSC"},
    {97, "BSC testnet", "BSC"},
    {324, "zkSync Era", "zk rollup (ZK stack)"},
    {300, "zkSync Sepolia", "zk rollup (ZK stack)"},
    {2741, "Abstract", "zk rollup (ZK stack)"},
    {1101, "Polygon zkEVM", "zk rollup (CDK)"},
    {59144, "Linea", "zk rollup (Linea)"},
    {534352, "Scroll", "zk rollup (Scroll)"},
    {43114, "Avalanche C-Chain", "Avalanche"},
    {295, "Hedera", "Hedera"},
    {314, "Filecoin", "Filecoin"},
    {30, "Rootstock", "Rootstock"},
};

/* How a client's version begins, lower-case letters or not. */
static const struct {
    const char *begins, *node;
} nodes[] = {
    {"anvil/", "anvil, a development chain"},
    {"HardhatNetwork/", "Hardhat, a development chain"},
    {"EthereumJS TestRPC", "ganache, a development chain"},
    {"Ganache/", "ganache, a development chain"},
    {"Geth/", "go-ethereum or its kin"},
    {"reth/", "reth"},
    {"erigon/", "erigon"},
    {"Nethermind/", "Nethermind"},
    {"besu/", "Besu"},
    {"nitro/", "Arbitrum Nitro"},
    {"op-", "an OP stack client"},
    {"bor/", "bor"},
    {"zksync", "a ZK stack node"},
    {"Linea", "a Linea node"},
    {"RskJ/", "RskJ"},
    {"Lotus", "Lotus"},
};

static const char *doctor_name_node(const char *client)
{
    for (size_t i = 0; i < COUNT_OF(nodes); i++)
        if (strncasecmp(client, nodes[i].begins, strlen(nodes[i].begins)) == 0)
            return nodes[i].node;
    return "a client without a name here";
}

static void doctor_say_chain(struct findings *f, const struct patient *p, bool arbsys)
{
    for (size_t i = 0; i < COUNT_OF(chains); i++)
        if (chains[i].id == p->t.chain_id) {
            doctor_say(f, FINE, "family %s: chain %" PRIu64 " is %s", chains[i].family,
                       p->t.chain_id, chains[i].chain);
            return;
        }
    doctor_say(f, FINE, "family %s: chain %" PRIu64 " has no name here",
               arbsys ? "Arbitrum (Orbit)" : "unknown, treated as Ethereum", p->t.chain_id);
}

/* The text a method without parameters answers, e.g. web3_clientVersion. */
static void doctor_say_client(struct findings *f, struct patient *p)
{
    struct rpc_request ask = {.method = "web3_clientVersion", .params = "[]", .params_len = 2};
    struct rpc_answer a;
    struct err err = {0};
    const char *client = rpc_call(p->t.node, &ask, &a, &err) == 0 ? json_str(a.result) : NULL;
    if (client)
        doctor_say(f, FINE, "client %.90s (%s)", client, doctor_name_node(client));
    else
        doctor_say(f, NOTE, "does not say which client it is");
    rpc_answer_free(&a);
}

static void doctor_say_numbers(struct findings *f, struct patient *p)
{
    struct err err = {0};
    enum conf_anchor anchor = p->t.balances[0].shape.anchor;
    if (anchor == ANCHOR_AUTO)
        doctor_say(f, NOTE, "how its blocks are numbered cannot be learnt now: %s", p->why.text);
    else if (anchor == ANCHOR_ARBSYS)
        doctor_say(f, FINE, "reads learn their block from ArbSys at 0x64 (anchor arbsys)");
    else if (anchor == ANCHOR_NONE)
        doctor_say(f, NOTE, "reads prove their block by its hash alone (anchor none)");
    else
        doctor_say(f, FINE, "reads learn their block from the EVM (anchor evm)");
    if (anchor_check_gaps(&p->t, &err) < 0 && err.kind == ERR_USAGE) {
        doctor_say(f, BAD, "%s", err.text);
        doctor_advise(f, "%s: %s", p->name, err.hint);
        f->numbers_have_gaps = true;
    }
}

void doctor_family(struct findings *f, struct patient *p)
{
    doctor_say_chain(f, p, p->t.balances[0].shape.anchor == ANCHOR_ARBSYS);
    doctor_say_client(f, p);
    doctor_say_numbers(f, p);
}
