"""The promises on Hardhat: the first start, equal rows, every reader the same, blocks that are taken back, the
commands; and what this node says of a block that it does not know."""

import json
import re
from pathlib import Path

import pytest

from harness.checks import assert_anchored_rows_true, assert_at_rest_equal, until_at_rest
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.rpc import RpcError
from harness.world import wallet
from hardhat import Hardhat, HardhatWorld

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "provider_errors.txt"
WALLETS = [wallet(i) for i in range(40)]
# Its `finalized` is the newest block, and an evm_revert goes below that.
FINALITY = 8
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def follow(chain, store, trueup, configured):
    """follow(…): a daemon that has started, by what is pushed and by polling."""
    def start(reader="auto", **changes):
        trueup.config = configured(chain={"finality": FINALITY, "endpoints": [
            {"name": "local", "url": chain.anvil.url, "ws": chain.anvil.ws, "reader": reader}]}, **changes)
        trueup.start()
        trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
        trueup.until_log("subscription established")
    return start


def rest(chain, store, trueup, wallets=WALLETS):
    until_at_rest(trueup, store, chain.anvil, wallets=wallets, blocks=FINALITY + 1)
    return assert_at_rest_equal(store, chain.truth, wallets=wallets)


def balances(store, wallets):
    rows = store.rows(TABLE)
    return {w: rows[w].balance for w in wallets if w in rows}


def test_the_first_start_and_what_events_name(chain, store, trueup, follow, rng):
    chain.world.mint_all(WALLETS[:10], rng)  # before there was a daemon: nobody of these is named since
    follow()
    chain.world.mint_all(WALLETS[10:], rng)
    trueup.until(lambda: set(WALLETS[10:]) <= set(store.rows(TABLE)), "the rows")
    chain.world.traffic(WALLETS[10:], WALLETS[10:13], rng, 150)
    assert_anchored_rows_true(store, chain.truth)
    rest(chain, store, trueup, WALLETS[10:])
    assert trueup.stop() == 0


def test_workers_are_killed_in_traffic(chain, store, trueup, follow, rng):
    follow()
    chain.world.mint_all(WALLETS, rng)
    for worker in ("follow", "sweep", "listen"):
        trueup.kill(worker)
        chain.world.traffic(WALLETS, WALLETS[:3], rng, 100)
    rest(chain, store, trueup)
    assert trueup.stop() == 0


def test_what_no_event_names_is_found_by_the_sweep(chain, store, trueup, follow, rng):
    follow(sweep={"interval": "100ms"})
    chain.world.mint_all(WALLETS, rng)
    rest(chain, store, trueup)
    chain.world.silent(WALLETS[:5], rng)
    rest(chain, store, trueup)
    assert {r[0] for r in store.sql("SELECT wallet FROM trueup_drift")} == set(WALLETS[:5])
    # And by the command, where the daemon's own sweep has its time.
    assert trueup.stop() == 0
    follow(sweep={"interval": "1h"})
    chain.world.silent(WALLETS[5:10], rng)
    chain.anvil.mine(FINALITY + 1)
    head = chain.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) >= head, "the head to be synced")
    trueup.run("sweep")
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)


@on_sqlite
@pytest.mark.parametrize("reader", ["override", "create", "multicall3", "single"])
def test_every_reader_reads_the_same(chain, store, trueup, configured, rng, reader):
    chain.world.mint_all(WALLETS, rng)
    chain.world.traffic(WALLETS, WALLETS[:3], rng, 60)
    trueup.config = configured(chain={"endpoints": [{"name": "local", "url": chain.anvil.url, "reader": reader}]})
    then = chain.rpc.number()
    chain.world.traffic(WALLETS, WALLETS[:3], rng, 60)
    for at in (then, chain.rpc.number()):
        lines = trueup.run("read", "--at", at, "--json", *WALLETS).stdout.splitlines()
        assert {r["wallet"]: int(r["value"]) for r in map(json.loads, lines)} == chain.truth.read(WALLETS, at)


@pytest.mark.parametrize("depth", [1, 4])
def test_blocks_that_are_taken_back(chain, store, trueup, follow, rng, depth):
    """evm_revert drops the newest blocks, and others grow in their place; by events alone, then with a worker
    killed in between."""
    follow(sweep={"interval": "1h"})
    chain.world.mint_all(WALLETS, rng)
    trueup.until(lambda: set(WALLETS) <= set(store.rows(TABLE)), "the rows")
    for killed in (False, True):
        before = chain.truth.read(WALLETS[:4])
        snapshot = chain.anvil.snapshot()
        for _ in range(depth):
            chain.world.token.send("mintMany", WALLETS[:4], [5] * 4)
        after = chain.truth.read(WALLETS[:4])
        trueup.until(lambda: balances(store, before) == after, "rows from blocks that will be dropped")
        if killed:
            trueup.kill("follow")
        said = len(trueup.output())
        chain.anvil.revert(snapshot)
        chain.world.token.send("mint", WALLETS[9], 7)
        # A head that is only lower may be one that lags: 20 s.
        trueup.until_log("the chain was reorganised", 45, said)
        trueup.until(lambda: balances(store, before) == before, "the dropped blocks undone")
        right = chain.truth.read([WALLETS[9]])
        trueup.until(lambda: balances(store, right) == right, "the new branch to be read")
    assert trueup.stop() == 0
    follow()
    rest(chain, store, trueup)


def test_a_block_hash_that_it_does_not_know(chain):
    """In its own words, which the table of faults knows as "unknown block"."""
    snapshot = chain.anvil.snapshot()
    chain.world.token.send("mint", WALLETS[0], 5)
    dropped = chain.rpc.block()["hash"]
    assert chain.truth.read(WALLETS[:1], dropped) == {WALLETS[0]: 5}, "it takes block hashes"
    chain.anvil.revert(snapshot)
    call = {"to": chain.world.token.address, "data": chain.world.token.data("balanceOf", WALLETS[0])}
    with pytest.raises(RpcError) as refused:
        chain.rpc.call("eth_call", call, {"blockHash": dropped})
    assert refused.value.code == -32000 and dropped in refused.value.message
    known = [line.split("\t") for line in VECTORS.read_text().splitlines() if "invalid block tag" in line]
    words = refused.value.message.partition("0x")[0]
    assert ["10", "behind"] in [row[:2] for row in known if row[-1].startswith(words)], refused.value.message


def test_audit_finds_what_was_written_beside_it_and_mends_it(chain, store, trueup, follow, rng):
    follow()
    chain.world.mint_all(WALLETS, rng)
    rest(chain, store, trueup)
    assert trueup.stop() == 0
    found = json.loads(trueup.run("audit", "--json", "--all").stdout)
    assert (found["compared"], found["drifted"]) == (len(WALLETS), 0), found
    wrong = 7 if store.kind == "postgres" else "7"
    store.sql(f"UPDATE {TABLE} SET balance = ? WHERE wallet = ?", wrong, WALLETS[3])
    assert json.loads(trueup.run("audit", "--json", "--all", code=3).stdout)["drifted"] == 1
    trueup.run("audit", "--all", "--fix", code=3)
    assert json.loads(trueup.run("audit", "--json", "--all").stdout)["drifted"] == 0
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)


@on_sqlite
def test_holders_of_the_past_and_their_balances_then(chain, store, trueup, configured, rng):
    chain.world.mint_all(WALLETS, rng)
    chain.world.traffic(WALLETS, WALLETS[:3], rng, 100)
    then = chain.rpc.number()
    chain.world.traffic(WALLETS, WALLETS[:3], rng, 60)
    chain.anvil.mine(FINALITY + 1)
    trueup.config = configured(chain={"finality": FINALITY})
    trueup.run("backfill", "-y", "--once")
    assert set(WALLETS) <= set(store.rows(TABLE))
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
    lines = trueup.run("snapshot", "--at", then, "--out", "-").stdout.splitlines()
    found = dict(re.findall(r"(0x[0-9a-f]{40}),(\d+)", "\n".join(lines)))
    assert {w: int(found[w]) for w in WALLETS} == chain.truth.read(WALLETS, then)


@on_sqlite
def test_another_chain_at_the_same_address(store, trueup, tmp_path, rng):
    """What a developer's `hardhat node` does every morning."""
    node = Hardhat(tmp_path / "node").start()
    try:
        world = HardhatWorld(node.rpc).deploy()
        run = ("--rpc", node.url, "--store", store.url, "--token", world.token.address,
               "--listen", "off")
        trueup.start(*run)
        trueup.until(lambda: store.checkpoint("demo") is not None, "the first checkpoint")
        world.mint_all(WALLETS, rng)
        trueup.until(lambda: len(store.rows("demo_balances")) == len(WALLETS), "the rows")
        node.restart()
        assert trueup.wait(150) == 4  # five looks over a minute
        assert "trueup migrate --reset-chain" in trueup.output()
    finally:
        node.stop()
