"""Heads become samples by a link to the sample before, whatever the block time is; finality is judged by
time; and no single answer of one endpoint takes anything back or ends the daemon."""

import threading
import time

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, until_looked_twice
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.deep import deployed  # noqa: F401
from harness.provider import asked, provider, two  # noqa: F401
from harness.web import listening
from harness.world import wallet

WALLETS = [wallet(i) for i in range(600)]

# For what is between the daemon and its nodes alone: once is enough.
pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def follow(chain, store, trueup, tmp_path):
    """follow([provider…], freshness=…): a daemon that hardly ever sweeps, at the head."""
    def start(behind, wait=True, ws="off", **changes):
        http, trueup.client = listening()
        endpoints = [{"name": f"p{i}", "url": p.url, "ws": ws} for i, p in enumerate(behind)]
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, behind[0].url, store.url, http=http, sweep={"interval": "1h"}, terms=("held",),
            chain={"endpoints": endpoints, "freshness": "200ms", **changes}))
        trueup.start()
        if wait:
            trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
            synced(trueup, store, chain)
        return trueup
    return start


def synced(trueup, store, chain, seconds=40):
    head = chain.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) >= head, f"the first look at {head}", seconds)
    return head


def read_for(trueup, store, who, block, seconds=30):
    def read():
        row = store.rows(TABLE).get(who)
        return row is not None and (row.blocknumber or 0) >= block
    trueup.until(read, f"{who} to be read for block {block}", seconds)


def mint(chain, who):
    chain.world.token.send("mint", who, 5)
    return chain.rpc.number()


def at_rest(trueup, store, chain, wallets):
    """There is no sweep: what a reorg left unanchored is read again by the looks."""
    chain.anvil.mine(4)
    synced(trueup, store, chain)
    trueup.until(lambda: all(r.observed_block is not None for r in store.rows(TABLE).values()),
                 "every row to be anchored", 40)
    assert_at_rest_equal(store, chain.truth, wallets=wallets)


# ---- links -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["blockhash", "parents"])
def test_blocks_between_two_looks_need_no_header(chain, store, follow, provider, trueup, how):  # noqa: F811
    """One call at the head gives the hash of the sample before. On a chain that runs no such call parents
    lead there."""
    chain.anvil.mine(3)
    if how == "parents":
        provider.rules({"fault": "no-create", "method": "eth_call"})
    follow([provider])
    for i in range(4):  # a chain without the call is known after three heads
        chain.anvil.mine(5)
        read_for(trueup, store, WALLETS[i], mint(chain, WALLETS[i]))
        synced(trueup, store, chain)
    provider.order(clear_log=True)
    chain.anvil.mine(40)
    named = mint(chain, WALLETS[10])
    synced(trueup, store, chain)
    read_for(trueup, store, WALLETS[10], named)
    headers = [int(p[0], 16) for p in asked(provider, "eth_getBlockByNumber") if p[0].startswith("0x")]
    between = [n for n in headers if named - 40 <= n < named]
    assert len(between) <= 2 if how == "blockhash" else len(between) >= 30, headers
    assert not asked(provider, "eth_getBlockByHash")
    if how == "blockhash":
        assert store.one("SELECT count(*) FROM trueup_blocks WHERE number > ?", named - 40) <= 4


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getLogs", "eth_call"])
def test_backends_of_one_endpoint_take_turns(chain, store, follow, provider, trueup, method):  # noqa: F811
    """Behind one URL some backends are three blocks behind: at the head, its link and read, or the logs."""
    chain.anvil.mine(3)
    follow([provider])
    provider.rules({"fault": "lag", "method": method, "chance": 0.4, "args": {"blocks": 3}})
    blocks = {}
    for i in range(15):
        blocks[WALLETS[i]] = mint(chain, WALLETS[i])
        time.sleep(0.2)  # looks fall between the blocks, and span several
    chain.anvil.mine(4)
    for who, block in blocks.items():
        read_for(trueup, store, who, block, 60)
    provider.reset()
    at_rest(trueup, store, chain, WALLETS[:15])


@pytest.mark.alone
def test_the_lag_behind_a_slow_node_and_fast_blocks(chain, store, follow, provider, trueup):  # noqa: F811
    """300 ms a request, a block each 0.25 s with five transfers: p95 within 3 s, polling as it comes."""
    chain.anvil.mine(20)
    follow([provider], freshness="auto")
    read_for(trueup, store, WALLETS[0], mint(chain, WALLETS[0]))  # what is asked once is asked
    provider.rules({"fault": "silence", "args": {"seconds": 0.3}})
    mined, lags = {}, []

    def watch():
        rows, now = store.rows(TABLE), time.monotonic()
        for who in [w for w in mined if w in rows and w not in seen]:
            seen.add(who)
            lags.append(now - mined[who])

    def mine():
        began = time.monotonic()
        for i in range(80):
            group = WALLETS[5 + 5 * i:10 + 5 * i]
            chain.world.token.send("mintMany", group, [1] * 5)
            at = time.monotonic()
            mined.update({w: at for w in group})
            time.sleep(max(0, began + 0.25 * (i + 1) - time.monotonic()))

    seen, miner = set(), threading.Thread(target=mine)
    miner.start()
    deadline = time.monotonic() + 60
    while len(seen) < 400 and time.monotonic() < deadline:
        time.sleep(0.02)
        watch()
    miner.join()
    assert len(seen) == 400
    lags.sort()
    assert lags[int(len(lags) * 0.95)] <= 3.0 + 0.4, f"and what a busy machine adds: {lags[::20]}"


# ---- pushes ------------------------------------------------------------------------------------------


def test_pushes_bring_looks_forward_with_measure(chain, store, follow, provider, trueup):  # noqa: F811
    """Thirty pushes in a moment are one look, or two."""
    chain.anvil.mine(3)
    follow([provider], ws=chain.anvil.ws, freshness="20s")
    trueup.until_log("subscription established")
    time.sleep(1)  # the look that the subscription brings
    before = len(asked(provider, "eth_getBlockByNumber"))
    began = time.monotonic()
    for i in range(30):
        named = mint(chain, WALLETS[i])
    read_for(trueup, store, WALLETS[29], named, 10)
    looks = sum(p[0] == "latest" for p in asked(provider, "eth_getBlockByNumber")[before:])
    assert looks <= 2 + (time.monotonic() - began) / 0.5


# ---- one endpoint's word -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2], ids=["alone", "first of two"])
def test_wrong_hashes_for_a_moment(chain, store, follow, two, trueup, count):  # noqa: F811
    """For three seconds the first endpoint gives other hashes to all headers: what is final stays so, and all
    is healed."""
    chain.anvil.mine(3)
    follow(two[:count])
    read_for(trueup, store, WALLETS[0], mint(chain, WALLETS[0]))
    two[0].rules({"fault": "other-branch", "method": "eth_getBlockByNumber"})
    named = mint(chain, WALLETS[1])
    time.sleep(3)  # what is being tested: that long it is so
    two[0].reset()
    read_for(trueup, store, WALLETS[1], named)
    chain.anvil.mine(4)
    synced(trueup, store, chain)
    assert "called final" not in trueup.output()
    assert trueup.process.poll() is None
    at_rest(trueup, store, chain, WALLETS[:2])


def test_one_endpoint_denies_what_another_gave(chain, store, follow, two, trueup):  # noqa: F811
    """The endpoint of the samples gives no head for a while, and the other one denies its samples: nothing is
    taken back, for the first one still shows them by number."""
    chain.anvil.mine(3)
    follow(two)
    read_for(trueup, store, WALLETS[0], mint(chain, WALLETS[0]))
    no_head = {"fault": "error", "method": "eth_getBlockByNumber", "match": "latest",
               "args": {"text": "internal error", "code": -32603}}
    for p in two:
        p.rules(no_head)
    chain.anvil.mine(3)
    two[1].rules({"fault": "other-branch", "method": "eth_getBlockByNumber"})
    time.sleep(10)  # what is being tested: that long it is so
    assert "reorganised" not in trueup.output() and "called final" not in trueup.output()
    for p in two:
        p.reset()
    read_for(trueup, store, WALLETS[1], mint(chain, WALLETS[1]))
    assert "called final" not in trueup.output()


def test_a_lagging_endpoint_after_a_restart(chain, store, follow, two, trueup):  # noqa: F811
    """The endpoint that is asked first is a little behind, and which one gave the newest sample is not known
    any more: nothing is taken back, for another one shows the sample."""
    chain.anvil.mine(10)
    follow(two, finality=8)
    read_for(trueup, store, WALLETS[0], mint(chain, WALLETS[0]))
    assert trueup.stop() == 0
    trueup.process = None
    two[0].rules({"fault": "lag", "method": "eth_getBlockByNumber", "args": {"blocks": 2}})
    trueup.start()
    read_for(trueup, store, WALLETS[1], mint(chain, WALLETS[1]), 60)
    assert "reorganised" not in trueup.output()


@pytest.mark.parametrize("finality", ["finalized", 2], ids=["tag", "depth"])
def test_a_chain_that_takes_back_what_it_called_final(chain, store, follow, provider, trueup,  # noqa: F811
                                                      finality):
    """Below the checkpoint, too: an alarm and the same repair as after any reorg, never an exit."""
    chain.anvil.mine(3)
    follow([provider], finality=finality)
    named = mint(chain, WALLETS[0])
    until_looked_twice(trueup, store, chain.anvil, named)
    read_for(trueup, store, WALLETS[1], mint(chain, WALLETS[1]))
    kept = store.checkpoint(CHECKPOINT)
    other = [[{"from": "0x" + "d0" * 20, "to": chain.world.token.address, "gas": hex(10 ** 7), "gasPrice": "0x0",
               "data": chain.world.token.data("mint", WALLETS[2], 7)}, 0]]
    began = time.monotonic()
    chain.anvil.reorg(20, other)
    trueup.until_log("the chain took back a block that it had called final", 40)
    assert time.monotonic() - began > 4, "not at once: it is asked again"
    at_rest(trueup, store, chain, [WALLETS[0], WALLETS[2]])
    assert store.checkpoint(CHECKPOINT) >= kept, "last_block stays"
    assert trueup.client.metrics()["trueup_final_blocks_taken_back_total"] >= 1
    assert trueup.process.poll() is None


def test_another_chain_for_a_moment(chain, store, follow, provider, trueup):  # noqa: F811
    """One wrong answer for block 0 at a restart; another chain id for some seconds while it runs."""
    chain.anvil.mine(3)
    follow([provider])
    read_for(trueup, store, WALLETS[0], mint(chain, WALLETS[0]))
    assert trueup.stop() == 0
    trueup.process = None
    provider.rules({"fault": "other-genesis", "times": 2})
    trueup.start()
    read_for(trueup, store, WALLETS[1], mint(chain, WALLETS[1]))
    said = len(trueup.output())
    provider.rules({"fault": "reset"})
    trueup.until(lambda: provider.order()["rules"][0]["played"] >= 6, "it to be given up", 30)
    provider.rules({"fault": "result", "method": "eth_chainId", "args": {"result": "0x5"}})
    trueup.until_log("chain 5", 30, said)
    time.sleep(3)  # what is being tested: more than a look says so
    provider.reset()
    read_for(trueup, store, WALLETS[2], mint(chain, WALLETS[2]), 60)
    assert trueup.process.poll() is None


# ---- heads that are low ------------------------------------------------------------------------------


def at_block_zero(provider, chain):  # noqa: F811
    """What a node shows that fetches the state of its first block."""
    header = chain.rpc.call("eth_getBlockByNumber", "0x0", False)
    provider.rules({"fault": "result", "method": "eth_getBlockByNumber", "match": "latest",
                    "args": {"result": header}},
                   {"fault": "result", "method": "eth_syncing",
                    "args": {"result": {"currentBlock": "0x7", "highestBlock": "0x4d2"}}})


def test_a_node_that_syncs_at_the_first_start(chain, store, follow, provider, trueup):  # noqa: F811
    """latest = 0: nothing begins at block 0."""
    chain.anvil.mine(3)
    at_block_zero(provider, chain)
    follow([provider], wait=False)
    trueup.until_log("the node's head is block 0 and it says that it is syncing", 30)
    assert store.checkpoint(CHECKPOINT) is None
    assert store.one("SELECT count(*) FROM trueup_blocks") == 0
    provider.reset()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    assert store.checkpoint(CHECKPOINT) > 0


def test_a_node_that_syncs_anew(chain, store, follow, provider, trueup):  # noqa: F811
    """latest = 0 on a chain that is known: waited for without end, red, in the node's words."""
    chain.anvil.mine(3)
    follow([provider])
    read_for(trueup, store, WALLETS[0], mint(chain, WALLETS[0]))
    before = store.sql("SELECT number, hash FROM trueup_blocks WHERE on_chain ORDER BY number")
    at_block_zero(provider, chain)
    trueup.until_log("it has to catch up first (it says that it is syncing, at block 7 of 1234)", 30)
    # The light gives a turn of follow a minute: longer than any lag is waited for.
    trueup.until(lambda: trueup.client.ask("/readyz")[0] == 503, "/readyz to notice", 90)
    assert trueup.process.poll() is None and "reorganised" not in trueup.output()
    assert store.sql("SELECT number, hash FROM trueup_blocks WHERE on_chain ORDER BY number") == before
    provider.reset()
    read_for(trueup, store, WALLETS[1], mint(chain, WALLETS[1]))


# ---- finality ----------------------------------------------------------------------------------------


def test_a_chain_that_halted_for_three_hours(chain, store, follow, provider, trueup):  # noqa: F811
    """The tag is hours behind the first new head: it is waited for, and nothing is presumed final."""
    chain.anvil.mine(6)
    follow([provider])
    read_for(trueup, store, WALLETS[0], mint(chain, WALLETS[0]))
    newest = int(chain.rpc.block()["timestamp"], 16)
    chain.rpc.call("evm_setNextBlockTimestamp", newest + 3 * 3600)
    named = mint(chain, WALLETS[1])
    read_for(trueup, store, WALLETS[1], named)
    provider.order(clear_log=True)
    trueup.until(lambda: len([r for r in provider.log() if r["params"][:1] == ["finalized"]]) >= 3,
                 "the tag to be asked for again and again", 60)
    assert "presumed final" not in trueup.output()
    final = int(chain.rpc.call("eth_getBlockByNumber", "finalized", False)["number"], 16)
    assert int(store.one("SELECT value FROM trueup_state WHERE key = 'positions'").split()[1]) <= final
    until_looked_twice(trueup, store, chain.anvil, named)


def test_a_tag_that_fails(chain, store, follow, provider, trueup):  # noqa: F811
    """At a first start a depth stands in after five failures, and leaves at the first good tag."""
    chain.anvil.mine(3)
    provider.rules({"fault": "error", "method": "eth_getBlockByNumber", "match": "finalized",
                    "args": {"text": "Internal error", "code": -32603}})
    follow([provider], wait=False)
    trueup.until_log("no block is known to be final yet", 30)
    trueup.until_log("there is no finalized tag, a depth stands in: blocks are presumed final", 90)
    assert store.checkpoint(CHECKPOINT) == 0, "a young chain"
    provider.reset()
    named = mint(chain, WALLETS[0])
    until_looked_twice(trueup, store, chain.anvil, named)
