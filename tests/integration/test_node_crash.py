"""The node itself dies by SIGKILL during traffic and comes back from what it had flushed to disk: with all
it knew, or without its newest blocks, which the world then goes on without."""

import json
import threading
from http.client import HTTPException

import pytest

from harness import config as configs
from harness.anvil import Anvil
from harness.checks import assert_at_rest_equal, until_at_rest
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.rpc import RpcError
from harness.store import SqliteStore
from harness.truth import Truth
from harness.web import listening
from harness.world import World, wallet

WALLETS = [wallet(i) for i in range(30)]
GONE = [wallet(i) for i in range(100, 108)]  # whom only blocks name that will be lost
SETTLE = 20  # blocks; no crash loses more, for that would be another chain


@pytest.fixture
def node(tmp_path):
    """Of our own: it is killed."""
    own = Anvil(tmp_path / "node").start()
    own.world = World(own.rpc).deploy()
    own.mine(SETTLE)
    yield own
    own.stop()


@pytest.fixture
def running(node, trueup, tmp_path):
    store = SqliteStore(tmp_path / "trueup.db")
    http, trueup.client = listening()
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        node.world, node.url, store.url, http=http,
        chain={"finality": SETTLE, "endpoints": [{"name": "local", "url": node.url, "ws": node.ws}]}))
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    trueup.until(lambda: trueup.client.answers() and len(trueup.workers()) == 4, "all workers")
    return store


def killed_in_traffic(node, wallets):
    """It dies while transactions are on their way; how many blocks they made is luck, but few."""
    half = threading.Event()

    def send():
        for i, w in enumerate(wallets):
            if i == len(wallets) // 2:
                half.set()
            try:
                node.world.token.send("mint", w, 5)
            except (OSError, ValueError, HTTPException, RpcError, AssertionError):
                return
    sender = threading.Thread(target=send)
    sender.start()
    half.wait(30)
    node.kill()
    sender.join()


def newest_row(store):
    return max(r.observed_block or 0 for r in store.rows(TABLE).values())


def newest_of(state):
    return json.loads(state)["best_block_number"]


def until_noticed(trueup):
    trueup.until(lambda: trueup.client.ask("/readyz")[0] == 503, "/readyz to notice")
    trueup.until(lambda: trueup.client.metrics()['trueup_endpoint_up{endpoint="local"}'] == 0,
                 "the endpoint to count as down")
    faults = {k: v for k, v in trueup.client.metrics().items()
              if k.startswith("trueup_rpc_requests_total") and 'outcome="down"' in k}
    assert sum(faults.values()) > 0, faults


def at_rest(trueup, store, node, truth):
    until_at_rest(trueup, store, node, wallets=WALLETS, blocks=SETTLE + 1)
    assert_at_rest_equal(store, truth, wallets=WALLETS)
    trueup.until(lambda: trueup.client.ask("/readyz")[0] == 200, "/readyz to be green")


def test_the_node_is_killed_and_comes_back(node, running, trueup, rng):
    store, world, truth = running, node.world, Truth(node.world)
    pids = trueup.workers()

    # It lost nothing for good, but has to fetch again what was finalized long ago.
    node.flush()
    old = node.flushed.read_text()
    world.traffic(WALLETS, WALLETS[:3], rng, 80)
    world.mint_all(WALLETS, rng)
    node.mine(SETTLE)
    node.flush()
    newest, all_of_it = node.rpc.block(), node.flushed.read_text()
    trueup.until(lambda: store.synced(BALANCE) >= int(newest["number"], 16), "it to be synced")
    trueup.until(lambda: trueup.client.metrics()["trueup_finalized_block"] > newest_of(old),
                 "what it will lack to be final")  # the tag is asked for now and then
    node.kill()
    node.flushed.write_text(old)
    node.start(grow=False)
    trueup.until_log(f"the node's head is block {newest_of(old)}, below finalized block ", 30)
    node.kill()
    node.flushed.write_text(all_of_it)
    node.start()
    assert node.rpc.block()["parentHash"] == newest["hash"]
    at_rest(trueup, store, node, truth)
    assert trueup.client.metrics()["trueup_reorgs_total"] == 0, "it is the same chain"

    # It lost its newest blocks, and rows were read there.
    node.flush()
    flushed = node.rpc.number()
    world.mint_all(GONE[:4], rng)
    world.silent(WALLETS[:5], rng)
    world.traffic(WALLETS[5:], WALLETS[5:8], rng, 100)
    # All of GONE are named by one block, and after the restart there is another one of its number.
    trueup.until(lambda: set(GONE[:4]) <= set(store.rows(TABLE)) and newest_row(store) > flushed + 1,
                 "rows from blocks that will be lost")
    killed_in_traffic(node, WALLETS[:3] + GONE[4:])
    until_noticed(trueup)
    before = newest_row(store)
    node.start()
    assert node.rpc.number() == flushed + 1 < before
    world.mint_all(WALLETS[10:], rng)  # another history from here on
    at_rest(trueup, store, node, truth)
    assert trueup.client.metrics()["trueup_reorgs_total"] >= 1
    rows = store.rows(TABLE)
    assert all(rows[w].balance == 0 for w in GONE[:4]), "what they were given was never given"
    assert trueup.workers() == pids, "nobody had to die for it"
    assert trueup.stop() == 0
