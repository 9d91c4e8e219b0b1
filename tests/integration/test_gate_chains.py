"""Chains that are fast, stop, leap and take blocks back, also what they had called final."""

import threading
import time

import pytest

from harness.config import BALANCE, TABLE
from harness.deep import deployed  # noqa: F401
from harness.gate import (WALLETS, error_of, follow, gates, logs_of, mint_sent, no_wrong_row,  # noqa: F401
                          number, number_of, mint_apart, until_right, until_truth)
from harness.rpc import Rpc
from harness.wait import SLOWNESS, until

# For what is between the daemon and its nodes alone: once is enough.
pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.mark.night
def test_latest_and_finalized_are_exchanged(chain, store, trueup, gates, follow):
    """A cache for eth_getBlockByNumber that takes one tag for the other, half of the time."""
    gate, turn = gates[0], iter(range(10 ** 9))
    web = follow([gate], finality=None, mine=80)

    def exchanged(rpc, answer):
        tag = rpc["params"][0] if rpc["method"] == "eth_getBlockByNumber" else None
        if tag not in ("latest", "finalized") or next(turn) % 2:
            return None
        return {**answer, "result": chain.rpc.block("finalized" if tag == "latest" else "latest")}

    gate.bend = exchanged
    for i in range(8):
        chain.world.token.send("mint", WALLETS[i], 5 + i)
        chain.anvil.mine(3)
        trueup.alive()
        time.sleep(0.5)
    gate.bend = None
    until_right(chain, store, trueup, web, WALLETS[:8], 40)
    trueup.until(lambda: web.ask("/readyz")[0] == 200, "/readyz to be green", 30)


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
def test_a_reorg_below_what_was_final(chain, store, trueup, gates, follow, down):
    """The chain takes back 20 blocks, of which it had called 17 final: repaired, never an exit."""
    gate = gates[0]
    web = follow([gate], finality=3, mine=40)
    chain.world.token.send("mintMany", WALLETS[:3], [5, 6, 7])
    chain.anvil.mine(14)
    until_right(chain, store, trueup, web, WALLETS[:3], 20)
    chain.anvil.mine(300)
    trueup.until(lambda: store.checkpoint("audio_transfers") >= chain.rpc.number() - 10, "the second look", 60)
    chain.world.token.send("mintMany", WALLETS[3:5], [5, 6])
    chain.anvil.mine(15)
    until_right(chain, store, trueup, web, WALLETS[:5], 20)
    if down:
        trueup.stop()
    chain.anvil.reorg(20, [[mint_sent(chain, WALLETS[5], 77), 1]])
    if down:
        trueup.start()
    chain.anvil.mine(2)
    until_right(chain, store, trueup, web, WALLETS[:3] + [WALLETS[5]], 60)
    rows = store.rows(TABLE)
    assert all(w not in rows or rows[w].balance == 0 for w in WALLETS[3:5])


@pytest.mark.night
def test_a_deep_reorg_while_it_is_down(chain, store, trueup, gates, follow):
    """Finality 900 blocks behind; 300 blocks are dropped while the daemon is away."""
    gate = gates[0]
    web = follow([gate], finality=900, mine=1000)
    chain.world.token.send("mintMany", WALLETS[:3], [5, 6, 7])
    chain.anvil.mine(200)
    chain.world.token.send("mintMany", WALLETS[3:6], [5, 6, 7])
    chain.anvil.mine(90)
    until_right(chain, store, trueup, web, WALLETS[:6], 30)
    trueup.stop()
    chain.anvil.reorg(295, [[mint_sent(chain, WALLETS[7], 77), 100]])
    chain.anvil.mine(3)
    trueup.start()
    trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "the head", 40)
    until_right(chain, store, trueup, web, [w for w in WALLETS[:8] if chain.truth.read([w])[w]], 40)
    rows = store.rows(TABLE)
    truth = chain.truth.read(rows)
    trueup.until(lambda: all(r.balance == truth[w] for w, r in store.rows(TABLE).items()), "old rows to go", 40)


@pytest.mark.night
def test_two_branches_in_turn(chain, store, trueup, gates, follow):
    """The head jumps between two branches of ten blocks each half second; then one of them stays."""
    gate = gates[0]
    web = follow([gate], finality=50, mine=60, freshness="250ms")
    for i in range(12):
        chain.anvil.reorg(10, [[mint_sent(chain, WALLETS[i], 10 + i), i % 9]])
        until(lambda: store.synced(BALANCE), "a look", 5)
        time.sleep(0.5)
        trueup.alive()
    chain.anvil.mine(1)
    rows = until_truth(chain, store, trueup, WALLETS[11:12], 40)
    assert rows


@pytest.mark.night
def test_a_reorg_between_the_logs_and_the_read(chain, store, trueup, gates, follow):
    """The branch changes each time that a call has been asked, before it is answered, five times."""
    gate = gates[0]
    web = follow([gate], finality=50, mine=60)
    left = [5]

    def fork(rpc):
        if rpc["method"] == "eth_call" and left[0]:
            left[0] -= 1
            chain.anvil.reorg(3, [[mint_sent(chain, WALLETS[20 + left[0]], 3), 1]])

    gate.before = fork
    chain.world.token.send("mintMany", WALLETS[:4], [5, 6, 7, 8])
    chain.anvil.mine(1)
    until(lambda: not left[0], "five forks", 40)
    chain.anvil.mine(1)
    until_truth(chain, store, trueup, WALLETS[20:21], 40)


@pytest.mark.night
def test_the_chain_stops_and_leaps(chain, store, trueup, gates, follow):
    """Nothing for 6 s, then 1,000 blocks at once with events in the first, the middle and the last."""
    gate = gates[0]
    web = follow([gate])
    time.sleep(6)
    chain.world.token.send("mint", WALLETS[0], 5)
    chain.anvil.mine(500)
    chain.world.token.send("mint", WALLETS[1], 6)
    chain.anvil.mine(500)
    chain.world.token.send("mint", WALLETS[2], 7)
    until_right(chain, store, trueup, web, WALLETS[:3], 60)


@pytest.mark.parametrize("slow", [0.15, 0.3])
def test_fast_blocks_behind_a_slow_gateway(chain, store, trueup, gates, follow, slow):
    """A block each fifth of a second, default settings."""
    gate = gates[0]
    gate.before = lambda rpc: time.sleep(slow)
    web = follow([gate], freshness=None, finality=50, mine=60)
    chain.rpc.call("anvil_setIntervalMining", 1)
    stop = threading.Event()
    own = Rpc(chain.anvil.url)

    def mine():
        while not stop.wait(0.2):
            own.call("anvil_mine", "0x1")

    thread = threading.Thread(target=mine, daemon=True)
    thread.start()
    try:
        time.sleep(5)
        took = []
        for i in range(6):
            chain.world.token.post("mint", WALLETS[i], 5 + i)
            took.append(until_right_now(chain, store, trueup, WALLETS[i], 5 + i))
            time.sleep(0.7)
        assert sorted(took)[3] < 4 * SLOWNESS, took
    finally:
        stop.set()
        thread.join()
        chain.rpc.call("anvil_setIntervalMining", 0)


def until_right_now(chain, store, trueup, who, value):
    began = time.monotonic()
    trueup.until(lambda: who in store.rows(TABLE) and store.rows(TABLE)[who].balance == value, f"{who} to be read", 30)
    return time.monotonic() - began


@pytest.mark.night
def test_endpoints_on_two_branches(chain, store, trueup, gates, follow):
    """The second endpoint stays on a branch of its own for 6 s: what the first one shows is right, and what
    the second says of its branch never becomes a row."""
    a, b = gates
    chain.anvil.mine(60)
    base = chain.rpc.number()
    web = follow([a, b], finality=30, mine=1)

    def other_branch(rpc, answer):
        result = answer.get("result")
        if isinstance(result, dict) and "logsBloom" in result and int(result["number"], 16) > base:
            result = dict(result)
            result["hash"] = "0x" + result["hash"][:1:-1]
            if int(result["number"], 16) > base + 1:
                result["parentHash"] = "0x" + result["parentHash"][:1:-1]
            return {**answer, "result": result}
        if logs_of(rpc, answer):
            return {**answer, "result": []}
        return None

    b.bend = other_branch
    for i in range(6):
        chain.world.token.send("mint", WALLETS[i], 5 + i)
        time.sleep(1)
    b.bend = None
    chain.anvil.mine(5)
    until_right(chain, store, trueup, web, WALLETS[:6], 40)


@pytest.mark.night
def test_finality_goes_to_and_fro(chain, store, trueup, gates, follow):
    """The finalized tag falls back by 60 blocks at every second answer, is null and an error at others."""
    gate, turn = gates[0], iter(range(10 ** 9))
    web = follow([gate], finality=None, mine=200)

    def wavers(rpc, answer):
        if rpc["method"] != "eth_getBlockByNumber" or rpc["params"][0] != "finalized":
            return None
        kind = next(turn) % 4
        if kind == 1:
            return {**answer, "result": chain.rpc.block(max(0, int(answer["result"]["number"], 16) - 60))}
        if kind == 2:
            return {**answer, "result": None}
        if kind == 3:
            return error_of(code=-39001, message="Unknown block")(rpc, answer)
        return None

    gate.bend = wavers
    for i in range(10):
        chain.world.token.send("mint", WALLETS[i], 5 + i)
        chain.anvil.mine(40)
        trueup.alive()
        time.sleep(0.6)
    until_right(chain, store, trueup, web, WALLETS[:10], 40)
    block = chain.rpc.number() - 70
    trueup.until(lambda: chain.anvil.mine(3) or store.checkpoint("audio_transfers") >= block, "the checkpoint", 90)


def test_a_node_that_came_back_lower(chain, store, trueup, gates, follow):
    """The head falls by 30 blocks, below what is final, stands there for 5 s, and another branch follows."""
    gate = gates[0]
    web = follow([gate], finality=4, mine=60)
    chain.anvil.mine(40)
    chain.world.token.send("mint", WALLETS[0], 5)
    chain.anvil.mine(5)
    until_right(chain, store, trueup, web, WALLETS[:1], 20)
    trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "the head", 20)
    chain.anvil.rollback(30)
    over = time.monotonic() + 5
    while time.monotonic() < over:
        trueup.alive()
        time.sleep(0.1)
    chain.world.token.send("mint", WALLETS[1], 6)
    chain.anvil.mine(40)
    until_truth(chain, store, trueup, WALLETS[1:2], 60)


@pytest.mark.night
def test_what_is_finalized_is_wrong_once(chain, store, trueup, gates, follow):
    """A fork of two blocks; for 3 s the headers at numbers below it have another hash, from the only endpoint."""
    gate = gates[0]
    web = follow([gate], finality=5, mine=60)
    chain.anvil.mine(3)
    trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "the head", 20)
    top = chain.rpc.number() - 2

    def wrong(rpc, answer):
        result = answer.get("result")
        if rpc["method"] != "eth_getBlockByNumber" or result is None or not 0 < number_of(result) < top:
            return None
        return {**answer, "result": {**result, "hash": "0x" + result["hash"][:1:-1]}}

    gate.bend = wrong
    chain.anvil.reorg(2, [[mint_sent(chain, WALLETS[0], 5), 0]])
    chain.anvil.mine(1)
    over = time.monotonic() + 3
    while time.monotonic() < over:
        trueup.alive()
        time.sleep(0.05)
    gate.bend = None
    chain.anvil.mine(3)
    until_right(chain, store, trueup, web, WALLETS[:1], 40)
    assert gate.played


@pytest.mark.parametrize("every", [False, True], ids=["newest", "every"])
def test_heads_before_they_are_sealed(chain, store, trueup, gates, follow, every):
    """For 0.7 s after it is first asked for, the newest block (or every one, by number) is shown under a hash
    that it will not have (preconfirmed, Flashblocks): no header, no state and no logs are to be had by it."""
    gate, seen = gates[0], {}

    def preconfirmed(rpc, answer):
        result = answer.get("result")
        if rpc["method"] != "eth_getBlockByNumber" or result is None:
            return None
        if number_of(result) == 0 or not every and number_of(result) < chain.rpc.number():
            return None
        if time.monotonic() - seen.setdefault(result["hash"], time.monotonic()) > 0.7:
            return None
        return {**answer, "result": {**result, "hash": "0x" + result["hash"][:1:-1]}}

    web = follow([gate], finality=50, mine=60)
    gate.bend = preconfirmed
    for i in range(10):
        chain.world.token.send("mint", WALLETS[i], 5 + i)
        trueup.alive()
        time.sleep(0.9)
    until_right(chain, store, trueup, web, WALLETS[:10], 30)
    assert gate.played
    no_wrong_row(chain, store)


@pytest.mark.night
def test_two_backends_behind_one_address(chain, store, trueup, gates, follow):
    """Requests go in turn to a backend at the head and to one that is eight blocks behind: its latest is old,
    logs above it are not there, calls and headers are unknown. Another block each 0.4 s, then none."""
    gate, turn = gates[0], iter(range(10 ** 9))
    web = follow([gate], finality=50, mine=60)

    def behind(rpc, answer):
        if next(turn) % 2:
            return None
        top = chain.rpc.number() - 8
        method, params = rpc["method"], rpc["params"]
        if method == "eth_blockNumber":
            return {**answer, "result": hex(top)}
        if method == "eth_getBlockByNumber" and params[0] == "latest":
            return {**answer, "result": chain.rpc.block(top)}
        if method.startswith("eth_getBlockBy") and answer.get("result") and int(answer["result"]["number"], 16) > top:
            return {**answer, "result": None}
        if logs_of(rpc, answer) is not None:
            return {**answer, "result": [log for log in answer["result"] if number(log) <= top]}
        if method == "eth_call" and isinstance(params[1], dict) and "blockHash" in params[1]:
            known = chain.rpc.block(params[1]["blockHash"])
            if known and int(known["number"], 16) > top:
                return error_of(code=-32000, message="header not found")(rpc, answer)
        return None

    gate.bend = behind
    for i in range(20):
        chain.world.token.send("mint", WALLETS[i], 5 + i)
        trueup.alive()
        time.sleep(0.4)
    gate.bend = None
    until_right(chain, store, trueup, web, WALLETS[:20], 40)
    no_wrong_row(chain, store)


@pytest.mark.night
def test_equal_blocks_of_two_branches(chain, store, trueup, gates, follow):
    """A fork of one block, the head no higher than before and nothing after it: the same wallet has another
    amount, and one wallet none."""
    gate = gates[0]
    web = follow([gate], finality=50, mine=60)
    chain.world.token.send("mintMany", WALLETS[:2], [5, 6])
    until_right(chain, store, trueup, web, WALLETS[:2], 20)
    chain.anvil.reorg(1, [[mint_sent(chain, WALLETS[0], 50), 0]])
    until_truth(chain, store, trueup, WALLETS[:1], 20)
    no_wrong_row(chain, store)


@pytest.mark.night
def test_a_reorg_while_a_catch_up_is_under_way(chain, store, trueup, gates, follow):
    """Away for 400 blocks; while they are fetched, the newest 60 are replaced, twice."""
    gate = gates[0]
    web = follow([gate], finality=100, mine=120)
    trueup.stop()
    mint_apart(chain, 10, 40)
    forks = [1, 2]

    def fork(rpc):
        time.sleep(0.1)
        if rpc["method"] == "eth_getLogs" and forks:
            chain.anvil.reorg(60, [[mint_sent(chain, WALLETS[20 + forks.pop()], 3), 30]])

    gate.before = fork
    trueup.start()
    until(lambda: not forks, "two forks", 30)
    chain.anvil.mine(1)
    gate.before = None
    alive = [w for w, v in chain.truth.read(WALLETS[:30]).items() if v]
    until_right(chain, store, trueup, web, alive, 60)
    until_truth(chain, store, trueup, alive, 40)


def test_final_at_once_and_taken_back(chain, store, trueup, gates, follow):
    """The finalized tag is the newest block, always; three blocks are replaced, twice."""
    gate = gates[0]

    def at_once(rpc, answer):
        if rpc["method"] == "eth_getBlockByNumber" and rpc["params"][0] in ("safe", "finalized"):
            return {**answer, "result": chain.rpc.block("latest")}
        return None

    gate.bend = at_once
    web = follow([gate], finality=None, mine=60)
    chain.world.token.send("mint", WALLETS[0], 5)
    chain.anvil.mine(2)
    until_right(chain, store, trueup, web, WALLETS[:1], 20)
    for i in (1, 2):
        chain.anvil.reorg(3, [[mint_sent(chain, WALLETS[i], 50), 1]])
        chain.anvil.mine(1)
        until_truth(chain, store, trueup, [WALLETS[i]], 30)


@pytest.mark.night
@pytest.mark.parametrize("clock", ["stands", "leaps", "future"])
def test_clocks_of_chains(chain, store, trueup, gates, follow, clock):
    """All blocks have one time; or each is a year after the one before; or the chain is ten years ahead."""
    gate = gates[0]
    web = follow([gate], mine=60)
    if clock == "future":
        chain.rpc.call("evm_increaseTime", 10 * 365 * 86400)
    chain.rpc.call("anvil_setBlockTimestampInterval", {"stands": 0, "leaps": 365 * 86400, "future": 1}[clock])
    try:
        for i in range(5):
            chain.world.token.send("mint", WALLETS[i], 5 + i)
            time.sleep(0.3)
        chain.anvil.reorg(2, [[mint_sent(chain, WALLETS[9], 50), 1]])
        chain.anvil.mine(1)
        until_truth(chain, store, trueup, [WALLETS[0], WALLETS[9]], 30)
        trueup.until(lambda: web.ask("/readyz")[0] == 200, "/readyz to be green", 30)
    finally:
        chain.rpc.call("anvil_removeBlockTimestampInterval")
