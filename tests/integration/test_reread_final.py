"""What first looks named above the finalized block is kept until the second look has passed it; nothing is
read again because time has passed, but for values of an endpoint that does not pin reads by hash."""

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, assert_anchored_rows_true, until_looked_twice
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.provider import asked, provider  # noqa: F401
from harness.world import wallet

WALLETS = [wallet(i) for i in range(40)]
DEPTH = 6

on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def finalizing(chain, store, trueup, provider, tmp_path):  # noqa: F811
    """Starts a daemon that finalizes DEPTH blocks behind the head and hardly ever sweeps."""
    def start(sweep="1h", depth=DEPTH, **changes):
        chain.anvil.mine(DEPTH)
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, provider.url, store.url, sweep={"interval": sweep}, chain={"finality": depth},
            **changes))
        trueup.start()
        trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "the first block")
        return trueup
    return start


def marks(store):
    """{(wallet, block): (hash, endpoint)}"""
    return {(w, n): (h, e) for w, n, h, e in
            store.sql("SELECT wallet, number, hash, endpoint FROM trueup_dirty")}


def synced(trueup, store, chain):
    head = chain.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) >= head, f"block {head} to be synced")
    return head


def causes(store, who):
    return [c for (c,) in store.sql("SELECT cause FROM trueup_changes WHERE wallet = ? ORDER BY id", who)]


def test_marks_stay_until_the_second_look(chain, store, finalizing, trueup):
    finalizing()
    chain.world.token.send("mintMany", WALLETS[:3], [5, 6, 7])
    named = synced(trueup, store, chain)
    assert marks(store) == {(w, named): (chain.rpc.block()["hash"], "local") for w in WALLETS[:3]}
    assert store.checkpoint(CHECKPOINT) < named
    until_looked_twice(trueup, store, chain.anvil, named)
    trueup.until(lambda: not marks(store), "the marks to go")
    assert causes(store, WALLETS[0]) == ["event"]
    assert store.sql("SELECT * FROM trueup_drift") == []
    assert "settle" not in {c for w in WALLETS[:3] for c in causes(store, w)}
    assert_anchored_rows_true(store, chain.truth)


@on_sqlite
def test_what_was_not_pinned_is_read_again(chain, store, finalizing, trueup, provider):  # noqa: F811
    """An endpoint that takes no notice of the hash may have read another block."""
    provider.rules({"fault": "ignore-pin", "method": "eth_call"})
    finalizing()
    chain.world.token.send("mint", WALLETS[0], 5)
    named = synced(trueup, store, chain)
    assert len(marks(store)) == 1
    until_looked_twice(trueup, store, chain.anvil, named)
    row = store.rows(TABLE)[WALLETS[0]]
    assert (row.balance, row.blocknumber) == (5, named) and row.observed_block > named
    assert marks(store) == {}, "and that read is not marked again"


def test_marks_outlive_a_crash(chain, store, finalizing, trueup):
    finalizing()
    chain.world.token.send("mint", WALLETS[0], 5)
    named = synced(trueup, store, chain)
    trueup.kill()
    assert len(marks(store)) == 1
    trueup.start()
    until_looked_twice(trueup, store, chain.anvil, named)
    trueup.until(lambda: not marks(store), "the mark to go")
    assert store.sql("SELECT * FROM trueup_drift") == []


@on_sqlite
def test_a_restart_covers_again_what_is_not_finalized(chain, store, finalizing, trueup,
                                                      provider):  # noqa: F811
    finalizing()
    until_looked_twice(trueup, store, chain.anvil)
    for i in range(3):
        chain.world.token.send("mint", WALLETS[i], 5)
    head = synced(trueup, store, chain)
    checkpoint = store.checkpoint(CHECKPOINT)
    assert checkpoint <= head - DEPTH
    assert trueup.stop() == 0
    # As if a log had been left out of the answers and nothing had noticed.
    store.sql(f"DELETE FROM {TABLE} WHERE wallet = ?", WALLETS[1])
    provider.order(clear_log=True)
    trueup.start()
    trueup.until(lambda: WALLETS[1] in store.rows(TABLE), "the lost row")
    first = [int(p["fromBlock"], 16) for [p] in asked(provider, "eth_getLogs") if "fromBlock" in p]
    assert min(first) == checkpoint + 1
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:3])


def test_a_reorg_reads_whom_the_dropped_blocks_touched(chain, store, finalizing, trueup):
    """At once and by follow: the sweep sleeps for an hour."""
    finalizing()
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
