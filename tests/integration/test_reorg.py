"""Random lives of a chain: traffic, silence, branches replaced, blocks cut off, processes killed, a node
that takes its time. After each schedule, at rest, every row is right.

TRUEUP_SCHEDULES says how many (15 a database; bench/live/reorgs plays them by the hundred); TRUEUP_SEED
replays them."""

import os
import random

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, assert_anchored_rows_true
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.deep import deployed  # noqa: F401
from harness.provider import provider  # noqa: F401
from harness.world import wallet

WALLETS = [wallet(i) for i in range(60)]
PROVIDERS = WALLETS[:4]
SETTLE = 34
DEEPEST = 30
SCHEDULES = int(os.environ.get("TRUEUP_SCHEDULES", "15"))


class Life:
    """One chain and one daemon over many schedules. A branch never reaches down to what the daemon may
    take for finalized: that is another chain, and another test."""

    def __init__(self, chain, store, trueup, provider, rng):  # noqa: F811
        self.chain, self.store, self.trueup, self.provider, self.rng = chain, store, trueup, provider, rng
        self.highest = 0
        self.siblings = 0
        self.story = []

    def head(self):
        head = self.chain.rpc.number()
        self.highest = max(self.highest, head)
        return head

    def depth(self, most):
        return min(most, self.head() - (self.highest - SETTLE) - 2)

    # What may happen.

    def traffic(self):
        n = self.rng.randrange(1, 120)
        self.chain.world.traffic(WALLETS, PROVIDERS, self.rng, n)
        return n

    def mine(self):
        n = self.rng.randrange(1, 8)
        self.chain.anvil.mine(n)
        return n

    def silence(self):
        self.chain.world.silent(self.rng.sample(WALLETS, 5), self.rng)

    def reorg(self):
        depth = self.depth(self.rng.choice([1, 1, 2, 3, 5, 8, 13, DEEPEST]))
        if depth < 1:
            return None
        mint = self.chain.world.token
        other = [[{"from": "0x" + "d0" * 20, "to": mint.address, "gas": hex(10 ** 7), "gasPrice": "0x0",
                   "data": mint.data("mint", w, self.rng.randrange(10 ** 20))}, self.rng.randrange(depth)]
                 for w in self.rng.sample(WALLETS, self.rng.randrange(6))]
        first = hex(self.head() - depth + 1)
        before = self.chain.rpc.call("eth_getBlockByNumber", first, False)
        self.chain.anvil.reorg(depth, other)
        after = self.chain.rpc.call("eth_getBlockByNumber", first, False)
        self.siblings += before["hash"] != after["hash"] and all(
            before[k] == after[k] for k in ("number", "parentHash", "timestamp"))
        return depth

    def rollback(self):
        """To a lower head; something always grows from there, as chains do."""
        depth = self.depth(self.rng.randrange(1, 10))
        if depth < 1:
            return None
        self.chain.anvil.rollback(depth)
        self.chain.world.token.send("mint", self.rng.choice(WALLETS), self.rng.randrange(10 ** 20))
        return depth

    def kill(self):
        who = self.rng.choice(["follow", "sweep", None])
        self.trueup.kill(who)
        if who is None:
            if self.rng.random() < 0.5:
                self.story.append(("away", self.reorg()))
            self.trueup.start()
        return who

    def slow(self):
        """Reads and writes get time to meet: a batch is in flight while the chain changes."""
        self.provider.rules({"fault": "silence", "method": self.rng.choice(["eth_call", "eth_getLogs"]),
                             "chance": 0.5, "args": {"seconds": self.rng.choice([0.05, 0.3])}})

    def catch_up(self):
        head = self.head()
        self.trueup.until(lambda: self.store.synced(BALANCE) >= head, f"block {head} to be synced", 60)

    def schedule(self):
        self.story = []
        for _ in range(self.rng.randrange(4, 14)):
            what = self.rng.choice([self.traffic] * 4 + [self.reorg] * 4 + [self.mine, self.silence,
                                    self.rollback, self.kill, self.slow, self.catch_up])
            self.head()
            self.story.append((what.__name__, what()))
            if self.rng.random() < 0.3:
                assert_anchored_rows_true(self.store, self.canonical())
        self.provider.reset()

    def canonical(self):
        """The truth, of rows whose block is still the chain's: the others are about to be found out."""
        return Unfinalized(self.chain, self.store)

    def rest(self):
        last = self.head()
        self.chain.anvil.mine(SETTLE + 1)
        head = self.chain.rpc.block()
        number = int(head["number"], 16)

        def resting():
            known = self.store.one("SELECT hash FROM trueup_blocks WHERE number = ? AND on_chain", number)
            return (known == head["hash"] and self.store.synced(BALANCE) >= number
                    and all((r.observed_block or 0) >= last for r in self.store.rows(TABLE).values()))

        self.trueup.until(resting, f"rest at block {number}", 90)
        assert_at_rest_equal(self.store, self.chain.truth, wallets=WALLETS)


class Unfinalized:
    """A row is true at its own block, if the daemon's idea of that block is still the chain's."""

    def __init__(self, chain, store):
        self.chain, self.store = chain, store

    def sums(self, pairs):
        canonical = dict(self.store.sql("SELECT number, hash FROM trueup_blocks WHERE on_chain"))
        now = {r.wallet: (r.observed_block, r.balance) for r in self.store.rows(TABLE).values()}
        answers = []
        for who, block in pairs:
            try:
                header = self.chain.rpc.call("eth_getBlockByNumber", hex(block), False)
                sum_ = self.chain.truth.sums([(who, block)])[0]
                again = self.chain.rpc.call("eth_getBlockByNumber", hex(block), False)
            except Exception:  # the block is gone: nothing to compare with
                header = again = None
            same = header and again and header["hash"] == again["hash"] == canonical.get(block)
            answers.append(sum_ if same else now.get(who, (0, 0))[1])
        return answers


@pytest.fixture
def life(chain, store, trueup, provider, tmp_path, rng):  # noqa: F811
    chain.anvil.mine(SETTLE)
    settings = configs.settings(chain.world, provider.url, store.url, chain={"finality": SETTLE})
    settings["chain"]["endpoints"][0]["ws"] = chain.anvil.ws
    trueup.config = configs.write(tmp_path / "trueup.yaml", settings)
    trueup.env["TRUEUP_PARK_AFTER"] = "0"  # in one life a worker may be killed more often than in years
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    # Finalized before anything happens: who is named by dropped blocks alone need not have a row.
    chain.world.mint_all(WALLETS, rng)
    chain.anvil.mine(SETTLE)
    return Life(chain, store, trueup, provider, rng)


def test_random_schedules(life):
    seed = life.rng.randrange(2 ** 32)
    for i in range(SCHEDULES):
        life.rng = random.Random(f"{seed}/{i}")
        try:
            life.schedule()
            life.rest()
        except AssertionError as e:
            raise AssertionError(f"schedule {i} of seed {seed}: {life.story}\n{e}\n"
                                 f"{life.trueup.tail(60)}") from None
    assert life.siblings or SCHEDULES < 10, "no two branches whose blocks differ in nothing but the hash"
    assert life.trueup.stop() == 0
