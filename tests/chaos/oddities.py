"""Oddities, unless --no-oddities is given: what real providers do to logs, headers and calls without saying so, and forks of up
to a hundred blocks. Strength, duration and the endpoints it happens at are drawn anew each time."""

import time

from acts import FAULTS, TRAFFIC, play
from stage import PROVIDERS, WALLETS

LOGS, CALL = "eth_getLogs", "eth_call"
HEADERS = ("eth_getBlockByNumber", "eth_getBlockByHash")
ZERO_BLOOM = "0x" + "00" * 256
STRANGER = "0x" + "77" * 20  # no contract, no wallet of the world
FOREIGN = ["0x" + "17" * 32, "0x" + STRANGER[2:].rjust(64, "0"), "0x" + STRANGER[2:].rjust(64, "0")]


def odd(s):
    return s.odd


def fault(weight):
    return lambda run: FAULTS.setdefault(run.__name__, (run, weight, odd))[0]


# ---- which answers, and how much ------------------------------------------------------------------------


def delay(rng):
    """30 ms to 15 s, short ones as often as long ones."""
    return round(0.03 * 500 ** rng.random(), 2)


def late(rng):
    """The index is behind the head."""
    return [{"fault": "lacking-logs", "method": LOGS, "args": {"seconds": delay(rng)}}]


def index_late(rng):
    """The index of an endpoint follows its headers late, whoever asks."""
    return [{"fault": "late-index", "args": {"seconds": delay(rng)}}]


def cut(rng):
    """The first logs of an answer, and no word of the others."""
    return [{"fault": "cut-logs", "method": LOGS, "args": {"keep": rng.choice([0, 1, 3])}, "chance": strength(rng)}]


def duplicated(rng):
    """Every log comes twice, also as it was on a branch that is gone."""
    beside = rng.choice([[], [{"removed": True}], [{"blockHash": "0x" + "77" * 32}]])
    return [{"fault": "bend-logs", "method": LOGS, "args": {"twice": True, "beside": beside}}]


def partial(rng):
    """One of several logs of a contract and block is left out: once, or for a while."""
    return [{"fault": "lacking-logs", "method": LOGS,
             "args": {"part": "one", "seconds": rng.choice([0, delay(rng)])}}]


def empty_once(rng):
    """An answer of nothing, once for these blocks."""
    return [{"fault": "lacking-logs", "method": LOGS,
             "args": {"part": "range", "share": rng.choice([0.2, 0.5, 1])}}]


SHIFTS = [{"set": {"blockNumber": "0xe8d4a51000"}}, {"set": {"blockNumber": "0x0"}},
          {"set": {"logIndex": "0x0"}}, {"set": {"logIndex": None}}, {"set": {"data": None}},
          {"twice": True}, {"set": {"logIndex": "0x0"}, "twice": True},
          {"beside": [{"removed": True}]}, {"beside": [{"blockNumber": "0xe8d4a51000"}]},
          {"beside": [{"removed": True, "topics": FOREIGN}, {"address": STRANGER}, {"topics": []}]},
          {"beside": [{"address": STRANGER}, {"topics": FOREIGN}, None, "0x", {"address": None}]}]


def shifted(rng):
    """Odd fields, and odd entries beside the good ones."""
    return [{"fault": "bend-logs", "method": LOGS, "args": rng.choice(SHIFTS), "chance": strength(rng)}]


def zero_bloom(rng):
    """The bloom speaks of nothing, though there are logs."""
    bloom, chance = rng.choice([ZERO_BLOOM, ZERO_BLOOM, "0x"]), strength(rng)
    return [{"fault": "bend-header", "method": m, "args": {"set": {"logsBloom": bloom}}, "chance": chance}
            for m in HEADERS]


def full_bloom(rng):
    """Blooms that speak of everything: a question for each block."""
    return [{"fault": "fill-bloom", "args": {"share": rng.choice([0.3, 0.9, 1])}}]


# What a header may be for a moment: of a head that is not there yet, of no block, of no time.
HEADS = [{"number": "0x3b9aca00"}, {"hash": "0x" + "00" * 32}, {"parentHash": "0x" + "77" * 32},
         {"timestamp": "0xffffffffffffffff"}, {"timestamp": "0x0"}, {"number": None}, {"hash": None}]


def odd_head(rng):
    return [{"fault": "bend-header", "match": '"latest"', "args": {"set": rng.choice(HEADS)},
             "chance": rng.choice([0.05, 0.3])}]


def odd_block(rng):
    """The same where a block is asked for by its number."""
    return [{"fault": "bend-header", "method": HEADERS[0], "args": {"set": rng.choice(HEADS[1:])},
             "chance": rng.choice([0.05, 0.2])}]


def refused_hash(rng):
    return [{"fault": "no-hash-logs", "method": LOGS}]


def swapped(rng):
    """An answer that belongs to another request."""
    how = rng.choice([{"with": "before"}, {"with": "partner", "wait": 0.1}])
    return [{"fault": "swap", "method": CALL, "args": {"chance": strength(rng), **how}}]


def no_finalized(rng):
    return [{"fault": "error", "match": '"finalized"', "chance": strength(rng),
             "args": {"code": -32603, "text": "Internal error"}}]


def ahead(rng):
    """HTTP is behind what is pushed, and behind the other endpoint."""
    return [{"fault": "lag", "args": {"blocks": rng.choice([1, 1, 2, 5, 20])}, "chance": strength(rng)}]


def strength(rng):
    return rng.choice([0.1, 0.5, 1])


KINDS = [(late, 3), (index_late, 3), (partial, 4), (empty_once, 3), (cut, 2), (shifted, 3), (duplicated, 2),
         (zero_bloom, 3), (full_bloom, 1), (swapped, 3), (odd_head, 2), (odd_block, 1), (refused_hash, 1),
         (no_finalized, 1), (ahead, 2)]


def sow(s, rng, rules):
    """At one endpoint, or at all; the others are honest."""
    play(s, [])
    chosen = s.providers if rng.random() < 0.5 else [rng.choice(s.providers)]
    for p in chosen:
        p.rules(*rules)


def register(kind, weight):
    def act(s, rng):
        """It, half of the time another one with it, and events under it."""
        rules = kind(rng)
        if rng.random() < 0.5:
            rules += rng.choice(KINDS)[0](rng)
        sow(s, rng, rules)
        for _ in range(rng.randrange(4)):
            s.world.traffic(WALLETS, PROVIDERS, rng, rng.randrange(1, 30))
            time.sleep(rng.choice([0, 0.1, 0.5, 1]))

    act.__name__ = kind.__name__
    fault(weight)(act)


for _kind, _weight in KINDS:
    register(_kind, _weight)


# ---- the chain ------------------------------------------------------------------------------------------


def stretch(s, rng):
    """Far enough for finality, and now and then for a second look."""
    s.anvil.mine(rng.randrange(20, 150))


def linger(s, rng):
    """Time for a second look under whatever is going on, with events before and after it."""
    s.anvil.mine(s.settle + 1)
    s.ledger.note()
    time.sleep(rng.uniform(2, 12))


TRAFFIC["stretch"] = (stretch, 2, odd)
TRAFFIC["linger"] = (linger, 1, odd)


def replaced(rng, depth):
    """Transactions of the other branch."""
    return [(rng.choice(WALLETS), rng.randrange(10 ** 20), rng.randrange(depth))
            for _ in range(rng.randrange(6))]


def turn(s, rng, depth=None):
    depth = s.depth(round(100 ** rng.random()) if depth is None else depth)
    if depth < 1:
        return
    mint = s.world.token
    other = [[{"from": "0x" + "d0" * 20, "to": mint.address, "gas": hex(10 ** 7), "gasPrice": "0x0",
               "data": mint.data("mint", w, n)}, at] for w, n, at in replaced(rng, depth)]
    s.ledger.note()
    s.anvil.reorg(depth, other)
    s.ledger.note()
    s.fire(f"reorg of {'1 to 16' if depth < 17 else '17 to 100'}")


@fault(4)
def deep_reorg(s, rng):
    """One to a hundred blocks, between two looks or within one, as it falls."""
    turn(s, rng)


@fault(4)
def reorg_by_samples(s, rng):
    """The fork begins at a head that a look was taken at, just above it, or between it and the one before."""
    s.world.traffic(WALLETS, PROVIDERS, rng, rng.randrange(1, 20))
    head = s.head()
    known = [n for (n,) in s.store.sql("SELECT number FROM trueup_blocks WHERE on_chain ORDER BY number DESC")]
    reach = [n for n in known if s.depth(100) > head - n + 1]
    if not reach:
        return
    sample = rng.choice(reach[:20])
    keeps = rng.choice([-1, 0, 1, 2])  # blocks of the old branch from the sample on; -1: its parent goes, too
    turn(s, rng, head - sample + 1 - keeps)
    s.fire({-1: "reorg below a sample", 0: "reorg of a sample"}.get(keeps, "reorg above a sample"))


@fault(3)
def reorg_at_a_look(s, rng):
    """The branch changes while the logs or the reads of a look are under way."""
    method = rng.choice([LOGS, CALL, HEADERS[0]])
    play(s, [{"fault": "silence", "method": method, "args": {"seconds": 0.4}}])
    s.world.traffic(WALLETS, PROVIDERS, rng, rng.randrange(1, 20))
    s.ledger.note()

    def under_way():
        return any(rule["played"] for p in s.providers for rule in p.order()["rules"])

    deadline = time.monotonic() + 5
    while not under_way() and time.monotonic() < deadline:
        time.sleep(0.02)
    turn(s, rng)
    play(s, [])
