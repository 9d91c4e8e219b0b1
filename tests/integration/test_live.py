"""Following by WebSocket: pushes only make it quicker. With a socket that is slow, silent, lying or not
there at all, every row is as right as by polling."""

import time

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, until_at_rest
from harness.config import CHECKPOINT, TABLE
from harness.world import wallet

WALLETS = [wallet(i) for i in range(40)]

# For what is between the daemon and its node alone: once is enough.
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def live(chain, store, trueup, tmp_path):
    """Starts the daemon with a WebSocket: live(ws=URL, url=URL, poll=…)."""
    def start(*arguments, ws=None, url=None, poll="1h", **changes):
        settings = configs.settings(chain.world, url or chain.anvil.url, store.url, **changes)
        settings["chain"]["endpoints"][0]["ws"] = ws or chain.anvil.ws
        settings["chain"]["poll"] = poll
        trueup.config = configs.write(tmp_path / "trueup.yaml", settings)
        trueup.start(*arguments)
        trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
        return trueup
    return start


def read_at(trueup, store, who, block, seconds=10):
    trueup.until(lambda: who in store.rows(TABLE) and store.rows(TABLE)[who].blocknumber == block,
                 f"{who} to be read for block {block}", seconds)


def test_pushes_alone_keep_up(chain, store, live):
    """Polled once an hour: whatever is followed is followed because it was pushed."""
    trueup = live()
    trueup.until_log("subscription established")
    for i in range(5):
        chain.world.token.send("mint", WALLETS[i], 5)
        read_at(trueup, store, WALLETS[i], chain.rpc.number())
    assert trueup.stop() == 0


@on_sqlite
def test_what_came_while_it_was_away(chain, store, live, trueup):
    """Listen dies and comes back: the blocks between are covered, though nobody announced them."""
    live()
    trueup.until_log("subscription established")
    said = len(trueup.output())
    trueup.kill("listen")
    chain.world.token.send("mint", WALLETS[0], 5)
    trueup.until_log("subscription established", start=said)
    read_at(trueup, store, WALLETS[0], chain.rpc.number())


@on_sqlite
def test_follow_dies_and_hints_wait(chain, store, live, trueup):
    live()
    trueup.until_log("subscription established")
    trueup.kill("follow")
    chain.world.token.send("mint", WALLETS[0], 5)
    read_at(trueup, store, WALLETS[0], chain.rpc.number())
    chain.world.token.send("mint", WALLETS[1], 5)
    read_at(trueup, store, WALLETS[1], chain.rpc.number())


@on_sqlite
@pytest.mark.parametrize("ws", ["off", "ws://127.0.0.1:9", "ws://no-such-host.invalid", "wss://127.0.0.1:9"])
def test_without_a_socket_it_polls(chain, store, live, trueup, rng, ws):
    live(ws=ws, poll="100ms")
    for i in range(3):
        chain.world.token.send("mint", WALLETS[i], 5)
        read_at(trueup, store, WALLETS[i], chain.rpc.number())
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:3])
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:3])
    assert "subscription established" not in trueup.output()
    assert ("listen" in trueup.workers()) == (ws != "off")
    assert trueup.stop() == 0


@on_sqlite
def test_a_reorg_is_pushed(chain, store, live, trueup):
    live(chain={"settle": 12})
    trueup.until_log("subscription established")
    chain.world.token.send("mint", WALLETS[0], 5)
    read_at(trueup, store, WALLETS[0], chain.rpc.number())
    chain.anvil.reorg(1)
    chain.world.token.send("mint", WALLETS[1], 5)
    read_at(trueup, store, WALLETS[1], chain.rpc.number())
    trueup.until(lambda: store.rows(TABLE)[WALLETS[0]].balance == 0, "the dropped block to be undone", 20)
