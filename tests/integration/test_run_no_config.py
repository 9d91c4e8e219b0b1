"""`trueup run --rpc URL --token ADDR` in an empty folder, with no file at all."""

import pytest

from harness.anvil import Anvil
from harness.store import SqliteStore
from harness.checks import assert_at_rest_equal, until_at_rest
from harness.truth import Truth
from harness.web import listening
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
    until_at_rest(trueup, store, own_chain, wallets=WALLETS, **NAMES)
    assert_at_rest_equal(store, truth, wallets=WALLETS, **NAMES)
    # Again: from where it was, without a word about a first start.
    assert trueup.stop() == 0
    world.traffic(WALLETS, WALLETS[:3], rng, 100)
    trueup.start(*run)
    until_at_rest(trueup, store, own_chain, **NAMES)
    before = assert_at_rest_equal(store, truth, **NAMES)

    # The developer's morning: the same address and id, another chain.
    said = len(trueup.output())
    own_chain.restart()
    World(own_chain.rpc).deploy()
    assert trueup.wait(150) == 4
    hints = [line for line in trueup.output()[said:].splitlines() if line.startswith("hint: ")]
    assert any("trueup migrate --reset-chain" in line for line in hints), trueup.tail()
    # Its last ticks on the old chain may have read rows again.
    after = store.rows("demo_balances")
    assert {w: r.balance for w, r in after.items()} == {w: r.balance for w, r in before.items()} \
        and all(r.observed_block >= before[w].observed_block for w, r in after.items()), \
        "nothing of the new chain may be in the old table"


def test_what_is_no_token_is_refused(own_chain, tmp_path, trueup):
    """A wrong address is an ordinary account to a node: nothing would ever come of it."""
    world = World(own_chain.rpc).deploy()
    done = trueup.run("run", "--rpc", own_chain.url, "--token", wallet(1), code=2)
    assert "it is no token on this chain" in done.stderr and "hint: " in done.stderr
    # Nor does a file's contract that is not there stay unsaid.
    done = trueup.run("doctor", "--rpc", own_chain.url, "--token", wallet(1), code=1)
    assert 'term "held" has no answer for any wallet: empty answer' in done.stdout
    trueup.env |= {"TRUEUP_BALANCES_0_TERMS_0_CONTRACT": wallet(2), "TRUEUP_BALANCES_0_NAME": "mine",
                   "TRUEUP_HTTP_LISTEN": "off"}
    trueup.start("--rpc", own_chain.url, "--token", world.token.address)
    trueup.until_log("a term's contract does not answer: is it on this chain?")


def test_status_needs_no_settings(own_chain, tmp_path, trueup):
    world = World(own_chain.rpc).deploy()
    http = listening()[1]
    listen = f"127.0.0.1:{http.port}"
    done = trueup.run("status", "--listen", listen, code=2)
    assert "no daemon answers" in done.stderr and "nothing is configured here" in done.stderr
    trueup.start("--rpc", own_chain.url, "--token", world.token.address, "--listen", listen)
    trueup.until(http.answers, "HTTP")
    assert "demo (table demo_balances)" in trueup.run("status", "--listen", listen, code=None).stdout
