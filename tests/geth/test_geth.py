"""The promises on go-ethereum: equal rows whatever the daemon goes through, every reader the same, a rewound
node, a real reorg with `removed` logs."""

import asyncio
import itertools
import json
import threading

import aiohttp
import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, assert_anchored_rows_true
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.world import wallet

SETTLE = 8
numbers = itertools.count(1)
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def wallets():
    """Of this test's own: the chain is not put back between tests."""
    first = 100_000 * next(numbers)
    return [wallet(first + i) for i in range(40)]


def configured(chain, store, tmp_path, reader="auto", poll="100ms", **changes):
    settings = configs.settings(chain.world, chain.node.url, store.url, **changes)
    settings["chain"].update(finality=SETTLE, freshness=poll, multicall=chain.world.multicall3)
    settings["chain"]["endpoints"][0].update(ws=chain.node.ws, reader=reader)
    return configs.write(tmp_path / "trueup.yaml", settings)


def follow(chain, store, trueup, tmp_path, **changes):
    trueup.config = configured(chain, store, tmp_path, **changes)
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    trueup.until_log("subscription established")


def rest(chain, store, trueup, wallets):
    """Past the finalized depth, and everything read since."""
    last = chain.rpc.number()
    chain.node.mine(SETTLE + 1)
    head = chain.rpc.block()
    number = int(head["number"], 16)

    def resting():
        known = store.one("SELECT hash FROM trueup_blocks WHERE number = ? AND on_chain", number)
        rows = store.rows(TABLE)
        return (known == head["hash"] and store.synced(BALANCE) >= number and set(wallets) <= set(rows)
                and all((r.observed_block or 0) >= last for r in rows.values()))

    trueup.until(resting, f"rest at block {number}", 60)
    return assert_at_rest_equal(store, chain.truth, wallets=wallets)


@pytest.mark.parametrize("kind", ["dev", "engine"])
def test_the_world_is_followed(request, kind, store, trueup, tmp_path, wallets, rng):
    """Traffic, rewards that name nobody, changes that nothing announces, and workers that are killed."""
    chain = request.getfixturevalue(kind)
    follow(chain, store, trueup, tmp_path)
    chain.world.mint_all(wallets, rng)
    for worker in (None, "follow", "sweep"):
        if worker:
            trueup.kill(worker)
        chain.world.traffic(wallets, wallets[:3], rng, 150)
        assert_anchored_rows_true(store, chain.truth)
    chain.world.silent(wallets[:5], rng)
    rest(chain, store, trueup, wallets)
    assert "worker died name=listen" not in trueup.output()
    assert trueup.stop() == 0


@on_sqlite
@pytest.mark.parametrize("reader", ["override", "create", "multicall3", "single"])
def test_every_reader_reads_the_same(dev, store, trueup, tmp_path, wallets, rng, reader):
    dev.world.mint_all(wallets, rng)
    dev.world.traffic(wallets, wallets[:3], rng, 60)
    trueup.config = configured(dev, store, tmp_path, reader=reader)
    then = dev.rpc.number()
    dev.world.traffic(wallets, wallets[:3], rng, 60)
    for at in (then, dev.rpc.number()):
        lines = trueup.run("read", "--at", at, "--json", *wallets).stdout.splitlines()
        assert {r["wallet"]: int(r["value"]) for r in map(json.loads, lines)} == dev.truth.read(wallets, at)


def test_a_rewound_node(dev, store, trueup, tmp_path, wallets, rng):
    """debug_setHead: the newest blocks are gone, and other ones grow in their place."""
    follow(dev, store, trueup, tmp_path, sweep={"interval": "1h"})
    dev.world.mint_all(wallets, rng)
    dev.node.mine(2)
    dropped = int(dev.world.token.send("mintMany", wallets[:4], [5] * 4)["blockNumber"], 16)
    trueup.until(lambda: store.synced(BALANCE) >= dropped, "what will be dropped to be synced")
    before = dev.truth.read(wallets[:4], dropped - 1)
    assert {w: store.rows(TABLE)[w].balance for w in before} != before
    dev.node.rewind(dropped - 1)
    dev.world.token.send("mint", wallets[9], 7)
    trueup.until_log("the chain was reorganised")
    trueup.until(lambda: {w: store.rows(TABLE)[w].balance for w in before} == before, "the dropped block undone")
    trueup.kill("follow")
    dev.node.rewind(dropped - 3)
    dev.world.traffic(wallets, wallets[:3], rng, 60)
    trueup.stop()
    trueup.config = configured(dev, store, tmp_path)
    trueup.start()
    rest(dev, store, trueup, wallets)


class Pushes(threading.Thread):
    """What geth pushes to a subscriber of logs, so that the stage is known to be what it should be."""

    def __init__(self, node, contract):
        super().__init__(daemon=True)
        self.node, self.contract, self.logs, self.ready = node, contract, [], threading.Event()
        self.start()
        assert self.ready.wait(10)

    def run(self):
        asyncio.run(self.listen())

    async def listen(self):
        async with aiohttp.ClientSession() as http, http.ws_connect(self.node.ws) as ws:
            await ws.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe",
                                "params": ["logs", {"address": self.contract}]})
            await ws.receive()
            self.ready.set()
            async for message in ws:
                self.logs.append(json.loads(message.data)["params"]["result"])

    def removed(self):
        return [log for log in self.logs if log["removed"]]


@pytest.mark.parametrize("poll", ["100ms", "1h"])
def test_a_real_reorg(engine, store, trueup, tmp_path, wallets, rng, poll):
    """The engine chooses another branch; one dropped transaction is replaced, the others are mined again. By
    polling, and by what is pushed alone."""
    follow(engine, store, trueup, tmp_path, poll=poll, sweep={"interval": "1h"})
    engine.world.mint_all(wallets, rng)
    engine.node.mine(1)
    base = engine.rpc.number()
    for i in range(3):
        engine.world.token.send("mint", wallets[i], 10 ** 18 + i)
    head = engine.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) >= head, "what will be dropped to be synced")
    old, pushes = engine.rpc.block(base + 1), Pushes(engine.node, engine.world.token.address)
    engine.node.reorg(3, instead=[(engine.world.token.address, engine.world.token.data("mint", wallets[9], 77))])
    new = engine.rpc.block(base + 1)
    assert old["hash"] != new["hash"] and all(old[k] == new[k] for k in ("parentHash", "timestamp", "number"))
    trueup.until_log("the chain was reorganised")
    trueup.until(lambda: len(pushes.removed()) == 3, "the three dropped logs to be taken back by geth")
    right = engine.truth.read([*wallets[:3], wallets[9]])
    assert right[wallets[0]] == engine.truth.read(wallets[:1], base)[wallets[0]], "the stage: it was replaced"
    trueup.until(lambda: {w: store.rows(TABLE)[w].balance for w in right} == right, "the new branch to be read")
    trueup.stop()
    trueup.config = configured(engine, store, tmp_path)
    trueup.start()
    rest(engine, store, trueup, wallets)


@on_sqlite
def test_reorgs_while_reading(engine, store, trueup, tmp_path, wallets, rng):
    """One after the other, as deep as may be, with traffic between them."""
    follow(engine, store, trueup, tmp_path)
    engine.world.mint_all(wallets, rng)
    engine.node.mine(SETTLE)
    for depth in (1, 2, 1, 3, 5):
        for _ in range(depth):
            engine.world.token.send("moveMany", rng.choices(wallets, k=20), rng.choices(wallets, k=20), [1] * 20)
        engine.node.reorg(depth, instead=[(engine.world.token.address, engine.world.token.data(
            "mint", rng.choice(wallets), rng.randrange(10 ** 18)))])
    rest(engine, store, trueup, wallets)
    assert trueup.stop() == 0
