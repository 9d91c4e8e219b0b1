"""`trueup run --rpc URL --token ADDR` in an empty folder, with no file at all."""

import pytest

from harness.anvil import Anvil
from harness.store import SqliteStore
from harness.checks import assert_at_rest_equal, until_at_rest
from harness.truth import Truth
from harness.world import World, wallet

WALLETS = [wallet(i) for i in range(60)]
NAMES = {"table": "demo_balances", "balance": "demo"}  # after the token's symbol


@pytest.fixture
def own_chain(tmp_path):
    """Its own, since it is restarted."""
    anvil = Anvil(tmp_path / "anvil").start()
    yield anvil
    anvil.stop()


def test_it_fills_the_table_and_notices_another_chain(own_chain, tmp_path, trueup, rng):
    world = World(own_chain.rpc).deploy()
    truth = Truth(world, ("held",))
    empty = tmp_path / "empty"
    empty.mkdir()
    trueup.folder = empty
    store = SqliteStore(empty / "trueup.db")
    trueup.env["TRUEUP_SWEEP_INTERVAL"] = "1s"  # rest takes a full sweep: not to wait 30 s for it
    run = ("--rpc", own_chain.url, "--token", world.token.address)

    trueup.start(*run)
    trueup.until(lambda: store.checkpoint("demo") is not None, "the first checkpoint")
    world.mint_all(WALLETS, rng)
    for _ in range(5):
        world.traffic(WALLETS, WALLETS[:3], rng, 100)
    until_at_rest(trueup, store, own_chain, checkpoint="demo", wallets=WALLETS, **NAMES)
    assert_at_rest_equal(store, truth, wallets=WALLETS, **NAMES)
    # Again: from where it was, without a word about a first start.
    assert trueup.stop() == 0
    world.traffic(WALLETS, WALLETS[:3], rng, 100)
    trueup.start(*run)
    until_at_rest(trueup, store, own_chain, checkpoint="demo", **NAMES)
    before = assert_at_rest_equal(store, truth, **NAMES)

    # The developer's morning: the same address and id, another chain.
    said = len(trueup.output())
    own_chain.restart()
    World(own_chain.rpc).deploy()
    assert trueup.wait(60) == 4
    hints = [line for line in trueup.output()[said:].splitlines() if line.startswith("hint: ")]
    assert any("trueup migrate --reset-chain" in line for line in hints), trueup.tail()
    assert store.rows("demo_balances") == before, "nothing of the new chain may be in the old table"
