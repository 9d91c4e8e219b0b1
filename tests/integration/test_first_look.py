"""The first look, above finality: rows appear soon after the head shows, whatever the blooms say and
however late the log index is; and what was asked before costs no read."""

import time

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, until_at_rest
from harness.config import BALANCE, TABLE
from harness.deep import deployed  # noqa: F401
from harness.provider import ScriptedProvider, asked, provider  # noqa: F401
from harness.world import wallet

WALLETS = [wallet(i) for i in range(60)]
DEPTH = 12

# For what is between the daemon and its nodes alone: once is enough.
pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def providers(chain):
    """Two scripted providers in front of one node."""
    with ScriptedProvider(forward=chain.anvil.url) as a, ScriptedProvider(forward=chain.anvil.url) as b:
        yield [a, b]


@pytest.fixture
def look(chain, store, trueup, tmp_path):
    """Starts the daemon, hardly ever sweeping, behind these providers: look([a, b], ws=…)."""
    def start(behind, ws="off", freshness="1s", finality=DEPTH, **changes):
        endpoints = [{"name": f"p{i}", "url": p.url, "ws": ws} for i, p in enumerate(behind)]
        chain.anvil.mine(DEPTH)
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, behind[0].url, store.url, sweep={"interval": "1h"},
            chain={"endpoints": endpoints, "freshness": freshness, "finality": finality}, **changes))
        trueup.start()
        trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "the first look")
        return trueup
    return start


def read_for(trueup, store, who, block, seconds):
    """Seconds until the event of `block` is in the row of `who`."""
    began = time.monotonic()

    def read():
        row = store.rows(TABLE).get(who)
        return row is not None and row.blocknumber == block

    trueup.until(read, f"{who} to be read for block {block}", seconds)
    return time.monotonic() - began


# ---- blooms ------------------------------------------------------------------------------------------


def test_a_bloom_of_zeros(chain, store, trueup, provider, look):  # noqa: F811
    """The headers say that no block holds a log: the logs are asked for all the same."""
    provider.rules({"fault": "zero-bloom"})
    look([provider])
    for who in WALLETS[:3]:
        chain.world.token.send("mint", who, 5)
        assert read_for(trueup, store, who, chain.rpc.number(), 10) < 5
    trueup.until_log("a block's bloom does not hold its logs, blooms save no question any more")
    trueup.until(lambda: store.one("SELECT value FROM trueup_state WHERE key = 'bloom'").startswith("refuted "),
                 "the finding to be stored")
    assert "does not hold its logs: blooms save no question" in trueup.run("doctor", code=None).stdout


def test_blooms_save_questions_once_they_have_proved_themselves(chain, store, trueup, provider, look):  # noqa: F811
    look([provider], freshness="200ms")
    for who in WALLETS[:16]:
        chain.world.token.send("mint", who, 5)
        read_for(trueup, store, who, chain.rpc.number(), 10)
    trueup.until_log("blooms held all logs so far, they save questions from now on")
    state = "SELECT value FROM trueup_state WHERE key = 'bloom'"
    trueup.until(lambda: (store.one(state) or "").startswith("proven "), "the trust to be stored")
    empty_blocks(trueup, store, chain, 4)  # what was asked lately has other blooms
    quiet = len(asked(provider, "eth_getLogs"))
    empty_blocks(trueup, store, chain, 6)
    assert len(asked(provider, "eth_getLogs")) <= quiet + 2, "a wide look or two at most"
    # A bloom full of other people's logs saves none.
    provider.rules({"fault": "fill-bloom", "args": {"share": 1}})
    quiet = len(asked(provider, "eth_getLogs"))
    empty_blocks(trueup, store, chain, 3)
    assert len(asked(provider, "eth_getLogs")) >= quiet + 3
    # One block whose bloom is wrong ends it for good.
    provider.rules({"fault": "zero-bloom"})
    chain.world.token.send("mint", WALLETS[20], 5)
    named = chain.rpc.number()
    provider.rules()
    chain.world.token.send("mint", WALLETS[21], 5)  # its bloom speaks, and the question spans both
    read_for(trueup, store, WALLETS[21], chain.rpc.number(), 10)
    read_for(trueup, store, WALLETS[20], named, 30)


def empty_blocks(trueup, store, chain, n):
    """Each the head of a look, and six seconds in all: nothing older is due."""
    for _ in range(n):
        chain.anvil.mine(1)
        trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "an empty block")
        time.sleep(1.5)


# ---- a log index that is late ------------------------------------------------------------------------


@pytest.mark.parametrize("ws", [False, True], ids=["polls", "pushes"])
@pytest.mark.parametrize("count", [1, 2], ids=["one", "two"])
@pytest.mark.parametrize("late", [0.03, 0.3, 2, 4])
def test_a_late_log_index(chain, store, trueup, providers, look, late, count, ws):
    """eth_getLogs answers [] for a while after a block first shows: within three looks of the index's
    answer the rows are there, although no further block comes."""
    for p in providers:
        p.rules({"fault": "late-index", "args": {"seconds": late}})
    look(providers[:count], ws=chain.anvil.ws if ws else "off")
    if ws:
        trueup.until_log("subscription established")
    chain.world.token.send("mint", WALLETS[0], 5)
    took = read_for(trueup, store, WALLETS[0], chain.rpc.number(), 20)
    assert took < late + 3 * 1 + 2, "three looks, and what this loop adds"
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:1])


def test_a_count_that_changes_has_the_block_asked_for_by_hash(chain, store, trueup, provider, look):  # noqa: F811
    """One log is in no answer about a range, and for a moment none is. That the count changes is the only sign
    of the one."""
    look([provider])
    omit = {"fault": "omit-logs", "method": "eth_getLogs", "match": "fromBlock"}
    provider.rules(omit)
    chain.world.token.send("mintMany", WALLETS[:3], [5] * 3)
    named = chain.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) >= named, "the block to be looked at")
    provider.rules({**omit, "args": {"naming": WALLETS[0][2:]}})
    read_for(trueup, store, WALLETS[0], named, 30)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:3])


@pytest.mark.parametrize("seconds", [1, 4])
def test_logs_left_out_by_every_endpoint_for_a_while(chain, store, trueup, providers, look, seconds):
    look(providers)
    for p in providers:
        p.rules({"fault": "omit-logs", "method": "eth_getLogs"})
    chain.world.token.send("mint", WALLETS[0], 5)
    named = chain.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) >= named, "the block to be looked at")
    time.sleep(seconds)  # what is being tested: that long no endpoint shows the log
    assert WALLETS[0] not in store.rows(TABLE)
    for p in providers:
        p.reset()
    assert read_for(trueup, store, WALLETS[0], named, 20) < 5


def test_a_late_log_makes_looks_go_back_further(chain, store, trueup, provider, look):  # noqa: F811
    """The time is learnt for the endpoint, kept, and doubles with each late log."""
    provider.rules({"fault": "late-index", "args": {"seconds": 2}})
    look([provider])
    key = "SELECT value FROM trueup_state WHERE key = 'overlap:p0'"
    assert store.one(key) is None
    for who, learnt in zip(WALLETS, ["10000", "20000"]):
        chain.world.token.send("mint", who, 5)
        read_for(trueup, store, who, chain.rpc.number(), 20)
        assert store.one(key) == learnt
    trueup.until_log("logs came late, blocks are asked about again for longer")


def test_a_wide_look_finds_what_came_later_still(chain, store, trueup, provider, look):  # noqa: F811
    look([provider])
    provider.rules({"fault": "late-index", "args": {"seconds": 9}})
    chain.world.token.send("mint", WALLETS[0], 5)
    assert read_for(trueup, store, WALLETS[0], chain.rpc.number(), 40) < 9 + 20


# ---- ranges ------------------------------------------------------------------------------------------


def test_repeated_ranges_cost_no_read(chain, store, trueup, provider, look):  # noqa: F811
    """A block is asked about again for seconds, by explicit numbers up to the head; its wallet is read
    once. A member of a list is asked for once too."""
    look([provider], freshness="200ms")
    chain.world.token.send("mintMany", WALLETS[:2], [500] * 2)
    chain.world.delegation.send("delegate", WALLETS[1], WALLETS[0], 100)
    read_for(trueup, store, WALLETS[1], chain.rpc.number(), 10)
    provider.order(clear_log=True)
    chain.world.delegation.send("claimRewards", WALLETS[0], 40)
    named = chain.rpc.number()
    read_for(trueup, store, WALLETS[1], named, 10)
    reads = len(asked(provider, "eth_call"))
    trueup.until(lambda: len(asked(provider, "eth_getLogs")) >= 10, "the block to be asked about again", 20)
    ranges = [(int(p["fromBlock"], 16), int(p["toBlock"], 16)) for [p] in asked(provider, "eth_getLogs")]
    assert all(first <= named == last for first, last in ranges[-8:]), ranges
    assert len(asked(provider, "eth_call")) == reads, "no second read, and no second list"


@pytest.mark.parametrize("text", ["block range extends beyond current head block", "unknown block"])
def test_a_fresh_head_that_the_index_does_not_know(chain, store, trueup, provider, look, text):  # noqa: F811
    """Asked again there; it is no failure."""
    look([provider])
    provider.rules({"fault": "error", "method": "eth_getLogs", "times": 2, "args": {"text": text}})
    chain.world.token.send("mint", WALLETS[0], 5)
    assert read_for(trueup, store, WALLETS[0], chain.rpc.number(), 10) < 6
    assert "event sync failed" not in trueup.output()


# ---- reorgs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 10, 100])
@pytest.mark.parametrize("seen", [True, False], ids=["at samples", "between samples"])
def test_reorgs_of_every_depth(chain, store, trueup, provider, look, depth, seen):  # noqa: F811
    """The chain takes blocks back that were looked at one by one, or all in one look."""
    look([provider], freshness="200ms", finality=120)
    chain.anvil.mine(DEPTH)
    if not seen:
        provider.rules({"fault": "silence", "method": "eth_getBlockByNumber", "args": {"seconds": 1}})
    for i in range(depth if depth <= 10 else 5):
        chain.world.token.send("mint", WALLETS[i], 5)
        if seen:
            read_for(trueup, store, WALLETS[i], chain.rpc.number(), 20)
    if depth > 10:
        chain.anvil.mine(depth - 5)
    head = chain.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) >= head, "the old branch", 30)
    other = [[{"from": "0x" + "d0" * 20, "to": chain.world.token.address, "gas": hex(10 ** 7), "gasPrice": "0x0",
               "data": chain.world.token.data("mint", WALLETS[30], 7)}, 0]]
    provider.reset()
    chain.anvil.reorg(depth, other)
    trueup.until_log("the chain was reorganised", 30)
    until_at_rest(trueup, store, chain.anvil, wallets=[WALLETS[30]], blocks=121)
    assert_at_rest_equal(store, chain.truth, wallets=[WALLETS[30]])
