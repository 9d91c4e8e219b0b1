"""Above the finalized block nothing is for ever: wallets touched there are marked with the block they were
read at, and read again when it settles; the checkpoint stays behind at what is finalized."""

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, assert_anchored_rows_true
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.provider import asked, provider  # noqa: F401
from harness.world import wallet

WALLETS = [wallet(i) for i in range(40)]
DEPTH = 6

on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def settling(chain, store, trueup, provider, tmp_path):  # noqa: F811
    """Starts a daemon that settles DEPTH blocks behind the head and hardly ever sweeps."""
    def start(sweep="1h", settle=DEPTH):
        chain.anvil.mine(DEPTH)
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, provider.url, store.url, sweep={"interval": sweep}, chain={"finality": settle}))
        trueup.start()
        trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "the first block")
        return trueup
    return start


def marks(store):
    """{(wallet, block): hash}"""
    return {(w, n): h for w, n, h in store.sql("SELECT wallet, number, hash FROM trueup_dirty")}


def synced(trueup, store, chain):
    head = chain.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) >= head, f"block {head} to be synced")
    return head


def causes(store, who):
    return [c for (c,) in store.sql("SELECT cause FROM trueup_changes WHERE wallet = ? ORDER BY id", who)]


def test_marks_are_left_and_read_again(chain, store, settling, trueup):
    settling()
    chain.world.token.send("mintMany", WALLETS[:3], [5, 6, 7])
    named = synced(trueup, store, chain)
    assert marks(store) == {(w, named): chain.rpc.block()["hash"] for w in WALLETS[:3]}
    assert store.checkpoint(CHECKPOINT) < named
    # Nothing names it; only the reading when the block settles (or the sweep, in an hour) sees it.
    chain.world.token.send("silentSet", WALLETS[0], 4711)
    synced(trueup, store, chain)
    assert store.rows(TABLE)[WALLETS[0]].balance == 5
    chain.anvil.mine(DEPTH + 1)
    head = synced(trueup, store, chain)
    trueup.until(lambda: not marks(store), "the marks to be finalized")
    assert store.checkpoint(CHECKPOINT) == head - DEPTH
    row = store.rows(TABLE)[WALLETS[0]]
    assert (row.balance, row.blocknumber, row.observed_block) == (4711, named, head - DEPTH)
    assert causes(store, WALLETS[0])[-1] == "settle"
    assert causes(store, WALLETS[1]) == ["event"], "an equal value is no change"
    assert_anchored_rows_true(store, chain.truth)


@on_sqlite
def test_no_marks_where_the_head_is_finalized(chain, store, settling, trueup):
    settling(settle=0)
    chain.world.token.send("mint", WALLETS[0], 5)
    head = synced(trueup, store, chain)
    assert marks(store) == {} and store.checkpoint(CHECKPOINT) == head
    assert store.rows(TABLE)[WALLETS[0]].balance == 5


def test_marks_outlive_a_crash(chain, store, settling, trueup):
    settling()
    chain.world.token.send("mint", WALLETS[0], 5)
    synced(trueup, store, chain)
    trueup.kill()
    assert len(marks(store)) == 1
    chain.anvil.mine(3 * DEPTH)
    trueup.start()
    synced(trueup, store, chain)
    trueup.until(lambda: not store.settling(BALANCE, store.checkpoint(CHECKPOINT)), "the old mark to go")
    assert store.rows(TABLE)[WALLETS[0]].observed_block >= chain.rpc.number() - DEPTH
    # What was synced again was read at the head, and settles in its turn.
    chain.anvil.mine(DEPTH)
    trueup.until(lambda: not marks(store), "the marks to be finalized")


@on_sqlite
def test_a_restart_covers_again_what_is_not_finalized(chain, store, settling, trueup, provider):  # noqa: F811
    settling()
    chain.anvil.mine(DEPTH)
    synced(trueup, store, chain)
    for i in range(3):
        chain.world.token.send("mint", WALLETS[i], 5)
    head = synced(trueup, store, chain)
    checkpoint = store.checkpoint(CHECKPOINT)
    assert checkpoint == head - DEPTH
    assert trueup.stop() == 0
    # As if a log had been left out of the answers and nothing had noticed.
    store.sql(f"DELETE FROM {TABLE} WHERE wallet = ?", WALLETS[1])
    provider.order(clear_log=True)
    trueup.start()
    trueup.until(lambda: WALLETS[1] in store.rows(TABLE), "the lost row")
    first = [int(p["fromBlock"], 16) for [p] in asked(provider, "eth_getLogs") if "fromBlock" in p]
    assert min(first) == checkpoint + 1
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:3])


def test_a_reorg_reads_whom_the_dropped_blocks_touched(chain, store, settling, trueup):
    """At once and by follow: the sweep sleeps for an hour."""
    settling()
    chain.world.token.send("mintMany", WALLETS[:4], [5] * 4)
    synced(trueup, store, chain)
    chain.world.token.send("mintMany", WALLETS[2:6], [7] * 4)
    synced(trueup, store, chain)
    chain.anvil.reorg(1)
    trueup.until_log("the chain was reorganised")
    trueup.until(lambda: [store.rows(TABLE)[w].balance for w in WALLETS[:6]] == [5, 5, 5, 5, 0, 0],
                 "the dropped block to be undone")
    rows = store.rows(TABLE)
    assert all(rows[w].observed_block is not None for w in WALLETS[:6])
    assert causes(store, WALLETS[5])[-1] == "reorg"
    assert_at_rest_equal(store, chain.truth)


@on_sqlite
def test_a_settle_that_fails_is_done_later(chain, store, settling, trueup, provider):  # noqa: F811
    settling()
    chain.world.token.send("mint", WALLETS[0], 5)
    synced(trueup, store, chain)
    provider.rules({"fault": "error", "method": "eth_call", "args": {"text": "internal error", "code": -32603}})
    said = len(trueup.output())
    chain.anvil.mine(DEPTH)
    trueup.until_log("event sync failed, retrying", 40, said)
    assert len(marks(store)) == 1
    provider.reset()
    trueup.until(lambda: not marks(store), "the mark to be finalized", 40)
