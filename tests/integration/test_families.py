"""Nodes and chains that are not like geth on Ethereum: odd headers, odd clocks, odd numbers, slowness, and
answers that are wrong once. Each endpoint is a scripted provider before anvil; what is only played by it
is simulated."""

import json

import pytest

from harness import config as configs
from harness.checks import assert_anchored_rows_true
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.provider import two  # noqa: F401
from harness.web import listening
from harness.world import wallet

WALLETS = [wallet(i) for i in range(30)]

# For what is between the daemon and its nodes alone: once is enough.
pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def configured_with(chain, store, trueup, tmp_path):
    def configure(*providers, **changes):
        endpoints = [{"name": f"n{i}", "url": p.url, "ws": "off"} for i, p in enumerate(providers)]
        changes["chain"] = {**changes.get("chain", {}), "endpoints": endpoints}
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, store.url, **changes))
        return trueup
    return configure


def start(trueup, store):
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")


def mint_and_wait(chain, store, trueup, who, seconds=60):
    """Until an event's wallet has been read for its block."""
    chain.world.token.send("mint", who, 5)
    block = chain.rpc.number()
    trueup.until(lambda: (row := store.rows(TABLE).get(who)) is not None and row.blocknumber == block,
                 f"{who} to be read for block {block}", seconds)


# ---- answers that a library refuses ------------------------------------------------------------------

REFUSED = {
    "a header line of 400 kB": {"fault": "huge-header"},
    "a body without end": {"fault": "oversize", "method": "eth_getBlockByNumber", "args": {"mb": 80}},
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_library_refuses_is_the_endpoints_fault(chain, store, configured_with, two, what):
    """The other of two serves, and no process ends."""
    odd, good = two
    chain.anvil.mine(3)
    trueup = configured_with(odd, good)
    start(trueup, store)
    mint_and_wait(chain, store, trueup, WALLETS[0])
    workers = trueup.workers()
    odd.rules(REFUSED[what])
    said = len(trueup.output())
    for who in WALLETS[1:4]:
        mint_and_wait(chain, store, trueup, who)
    trueup.until_log("endpoint circuit opened", 60, said)
    assert trueup.workers() == workers, trueup.tail()
    assert_anchored_rows_true(store, chain.truth)


# ---- a clock of its own ------------------------------------------------------------------------------


def test_headers_with_another_timestamp_than_the_evms(chain, store, configured_with, two):
    """It is not compared on such a chain, which is said; all else still proves the block."""
    odd, _ = two
    odd.rules({"fault": "header-time", "args": {"add": 1}})
    chain.anvil.mine(3)
    trueup = configured_with(odd)
    start(trueup, store)
    for who in WALLETS[:3]:
        mint_and_wait(chain, store, trueup, who)
    assert_anchored_rows_true(store, chain.truth)
    follow = [line for line in trueup.output().splitlines()
              if "header timestamps are not the EVM's" in line and " follow: " in line]
    assert len(follow) == 1, follow
    assert "the timestamps of its headers are not the EVM's" in trueup.run("doctor").stdout


# ---- another chain, said once ------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["at the start", "when it is back"])
def test_one_wrong_answer_for_block_0_ends_nothing(chain, store, configured_with, two, when):
    one, _ = two
    chain.anvil.mine(3)
    trueup = configured_with(one)
    start(trueup, store)
    mint_and_wait(chain, store, trueup, WALLETS[0])
    wrong = {"fault": "other-genesis", "method": "eth_getBlockByNumber", "match": '"0x0"', "times": 1}
    if when == "at the start":
        assert trueup.stop() == 0
        trueup.process = None
        one.rules(wrong)
        trueup.start()
    else:
        one.rules({"fault": "reset"})
        trueup.until(lambda: one.order()["rules"][0]["played"] >= 6, "it to be given up", 30)
        one.rules(wrong)
    trueup.until(lambda: one.order()["rules"][0]["played"] == 1, "the wrong answer", 30)
    mint_and_wait(chain, store, trueup, WALLETS[1])
    assert trueup.process.poll() is None


def test_a_first_start_does_not_keep_one_wrong_answer(chain, store, configured_with, two):
    one, _ = two
    chain.anvil.mine(3)
    one.rules({"fault": "other-genesis", "method": "eth_getBlockByNumber", "match": '"0x0"', "times": 1})
    trueup = configured_with(one)
    start(trueup, store)
    mint_and_wait(chain, store, trueup, WALLETS[0])
    genesis = chain.rpc.call("eth_getBlockByNumber", "0x0", False)["hash"]
    assert store.one("SELECT value FROM trueup_state WHERE key = 'chain.genesis'") == genesis


# ---- slowness ----------------------------------------------------------------------------------------


def test_doctor_calls_a_slow_node_slow(chain, store, configured_with, two):
    """A request of 2,000 wallets takes it longer than doctor waits, a smaller one does not."""
    slow, _ = two
    slow.rules({"fault": "heavy", "method": "eth_call", "args": {"above": 8000, "seconds": 40}})
    trueup = configured_with(slow)
    said = trueup.run("doctor", code=0).stdout
    assert "it is slow: 2000 wallets take more than 10 s, 20 take " in said and "the largest batch is " in said


# ---- numbers of its own ------------------------------------------------------------------------------

ABOVE = 0x05000000  # the chain's numbers are so much higher than the EVM's
# ArbSys as far as it is used: arbBlockNumber() is NUMBER + ABOVE, arbBlockHash(n) is BLOCKHASH(n - ABOVE).
ARBSYS = ("0x60003560e01c8063a3b1b31d146023576004356305000000900340600052602060 00f3"
          "5b4363050000000160005260206000f3").replace(" ", "")


def test_arbitrums_numbers_with_the_readmes_two_flags(chain, store, trueup, two):
    """Simulated: anvil with a contract at 0x64, behind a provider whose block numbers are not the EVM's."""
    one, _ = two
    chain.rpc.call("anvil_setCode", "0x" + "64".rjust(40, "0"), ARBSYS)
    one.order(rules=[{"fault": "renumber", "args": {"by": ABOVE}}], ws={"refuse": 404})
    chain.anvil.mine(80)
    served, web = listening()
    run = ("--rpc", one.url, "--token", chain.world.token.address)
    trueup.start(*run, "--listen", served["listen"])
    trueup.until(lambda: store.checkpoint("demo") is not None, "the first checkpoint")
    for who in WALLETS[:3]:
        chain.world.token.send("mint", who, 5)
        block = chain.rpc.number() + ABOVE
        trueup.until(lambda w=who, b=block: (row := store.rows("demo_balances").get(w)) is not None
                     and row.blocknumber == b, f"{who} to be read for block {block}", 60)
    for who in WALLETS[:3]:
        row = store.rows("demo_balances")[who]
        assert row.balance == 5 and row.observed_block > ABOVE
    assert store.one("SELECT value FROM trueup_state WHERE key = 'chain.anchor'") == "arbsys"
    assert web.status()["chain"]["anchor"] == "arbsys"
    said = trueup.run("doctor", *run).stdout
    assert "family Arbitrum (Orbit)" in said and "ArbSys at 0x64 (anchor arbsys)" in said


def test_a_chain_with_gaps_in_its_numbers_is_refused(chain, store, configured_with, two):
    one, _ = two
    one.rules({"fault": "renumber", "args": {"gap": 7}})
    chain.anvil.mine(40)
    trueup = configured_with(one)
    trueup.start()
    assert trueup.wait(30) == 2, trueup.tail()
    assert "the block numbers of this chain have gaps: the parent of block" in trueup.output()
    assert "have gaps" in trueup.run("doctor", code=2).stdout


# ---- sockets -----------------------------------------------------------------------------------------


@pytest.fixture
def subscribed(chain, store, trueup, two, tmp_path):
    """A daemon whose one endpoint pushes."""
    one, _ = two
    chain.anvil.mine(3)
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, store.url, http=listening()[0], chain={"endpoints": [
            {"name": "n0", "url": one.url, "ws": one.url.replace("http", "ws", 1), "price": "infura"}]}))
    start(trueup, store)
    trueup.until_log("subscription established", 30)
    return one


def endpoint(trueup):
    return json.loads(trueup.run("status", "--json", code=None).stdout)["endpoints"][0]


def test_heads_are_not_pushed_where_blocks_come_fast(chain, store, trueup, subscribed):
    """Simulated by timestamps. Heads cost no push any more, and an event is read all the same."""
    subscribed.order(ws={"bend-heads": {"set": {"timestamp": "0x64"}}})
    for _ in range(20):
        chain.anvil.mine(1)
    trueup.until_log("blocks come fast: logs are pushed, heads are polled", 30)
    asked = [r["method"] for r in subscribed.order()["ws"]["asked"]]
    assert "eth_unsubscribe" in asked
    mint_and_wait(chain, store, trueup, WALLETS[0])
    trueup.until(lambda: endpoint(trueup)["pushes"] >= 17, "the pushes to be counted")
    before = endpoint(trueup)
    assert before["pushed_bytes"] > before["pushes"] * 300
    # Each head cost 50, the block with a log 300; and what was asked besides.
    assert before["cost"] >= 16 * 50 + 300
    chain.anvil.mine(5)
    trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "the heads to be polled")
    assert endpoint(trueup)["pushes"] == before["pushes"]
    subscribed.order(ws={"close": 1001})
    trueup.until(lambda: trueup.output().count("subscription established") == 2, "the reconnection", 30)
    assert [r["params"][0] for r in subscribed.order()["ws"]["asked"]
            if r["method"] == "eth_subscribe"] == ["newHeads", "logs", "logs"]


def test_a_chain_that_makes_no_blocks_is_no_fault_of_the_socket(chain, store, trueup, subscribed):
    """Blocks a second apart, so that 5 s without one would be a stall; then none, and polling finds none."""
    for _ in range(3):
        chain.anvil.mine(1)
    trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "the blocks")
    polls = sum(r["method"] == "eth_getBlockByNumber" for r in subscribed.log())
    trueup.until(lambda: sum(r["method"] == "eth_getBlockByNumber" for r in subscribed.log()) >= polls + 4,
                 "polls of a chain that stands", 60)
    assert "WebSocket closed" not in trueup.output()
    mint_and_wait(chain, store, trueup, WALLETS[0])
