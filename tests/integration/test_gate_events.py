"""Events that are late, partial, empty or shifted, in ways of gateways and caches."""

import json
import time

import pytest

from harness.config import BALANCE, TABLE
from harness.deep import deployed  # noqa: F401
from harness.gate import (WALLETS, error_of, filter_of, follow, gates, logs_of, number,  # noqa: F401
                          plain, span, text_of, mint_apart, until_right, usual)
from harness.wait import SLOWNESS

# For what is between the daemon and its nodes alone: once is enough.
pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


def one_a_transaction(rpc, answer, gate):
    """Of several logs of a transaction only the last one."""
    logs = logs_of(rpc, answer)
    if logs is None:
        return None
    return {**answer, "result": list({log["transactionHash"]: log for log in logs}.values())}


def first_address_alone(rpc, answer, gate):
    """Of a list of addresses only the first is heeded."""
    logs = logs_of(rpc, answer)
    asked = filter_of(rpc).get("address") if logs is not None else None
    if not isinstance(asked, list):
        return None
    return {**answer, "result": [log for log in logs if log["address"].lower() == asked[0].lower()]}


def first_topic_alone(rpc, answer, gate):
    """Of a list of topics only the first is heeded."""
    logs = logs_of(rpc, answer)
    topics = filter_of(rpc).get("topics") if logs is not None else None
    if not topics or not isinstance(topics[0], list):
        return None
    return {**answer, "result": [log for log in logs if log["topics"][0] == topics[0][0]]}


def from_is_exclusive(rpc, answer, gate):
    """The first block of a range is left out."""
    logs = logs_of(rpc, answer)
    if logs is None or span(rpc) is None:
        return None
    return {**answer, "result": [log for log in logs if number(log) > span(rpc)[0]]}


def to_is_exclusive(rpc, answer, gate):
    logs = logs_of(rpc, answer)
    if logs is None or span(rpc) is None:
        return None
    return {**answer, "result": [log for log in logs if number(log) < span(rpc)[1]]}


def newest_five(rpc, answer, gate):
    """A page of five, and the newest first."""
    logs = logs_of(rpc, answer)
    return None if logs is None else {**answer, "result": logs[::-1][:5]}


PARTS = {f.__name__: f for f in (one_a_transaction, first_address_alone, first_topic_alone, from_is_exclusive,
                                 to_is_exclusive, newest_five)}


@pytest.mark.parametrize("partial", usual(PARTS, ("one_a_transaction", "from_is_exclusive", "newest_five")))
def test_one_of_two_answers_in_part(chain, store, trueup, gates, follow, partial):
    """For ever, and without a word; the other endpoint is honest."""
    a, b = gates
    a.bend = lambda rpc, answer: PARTS[partial](rpc, answer, a)
    web = follow([a, b])
    chain.world.token.send("mintMany", WALLETS[:8], [7] * 8)
    chain.anvil.mine(1)
    chain.world.staking.send("stakeMany", WALLETS[8:12], [5] * 4)
    chain.world.token.send("mint", WALLETS[12], 5)
    time.sleep(1)  # so that it is a range of its own
    chain.world.token.send("mint", WALLETS[13], 5)
    chain.anvil.mine(300)
    until_right(chain, store, trueup, web, WALLETS[:14], 60)
    assert a.played


def test_wide_ranges_are_clipped(chain, store, trueup, gates, follow):
    """Catching up after a stop: of a range only the first 20 blocks are searched, by one of two."""
    a, b = gates
    web = follow([a, b])
    trueup.stop()
    mint_apart(chain, 6, 40)
    chain.anvil.mine(40)

    def clipped(rpc, answer):
        logs = logs_of(rpc, answer)
        if logs is None or span(rpc) is None:
            return None
        return {**answer, "result": [log for log in logs if number(log) < span(rpc)[0] + 20]}

    a.bend = clipped
    trueup.start()
    until_right(chain, store, trueup, web, WALLETS[:6], 60)
    assert a.played


@pytest.mark.parametrize("count", [1, 2], ids=["one", "two"])
def test_a_cache_keeps_what_was_empty(chain, store, trueup, gates, follow, count):
    """The index is a second late, and a cache gives the same answer to the same question for 8 s."""
    shown = {}
    for gate in gates:
        cache = {}

        def cached(rpc, answer, cache=cache):
            now = time.monotonic()
            if isinstance(answer.get("result"), dict) and "logsBloom" in answer["result"]:
                shown.setdefault(answer["result"]["hash"], now)
            logs = logs_of(rpc, answer)
            if logs is None:
                return None
            key = json.dumps(rpc["params"], sort_keys=True)
            if key not in cache or now - cache[key][0] > 8:
                cache[key] = now, [log for log in logs if now - shown.setdefault(log["blockHash"], now) > 1]
            return {**answer, "result": cache[key][1]}

        gate.bend = cached
    web = follow(gates[:count])
    for i in range(3):
        chain.world.token.send("mint", WALLETS[i], 5 + i)
        chain.anvil.mine(1)
    assert until_right(chain, store, trueup, web, WALLETS[:3], 40) < 20 * SLOWNESS
    assert sum(g.played for g in gates)


def test_final_at_once_with_an_index_that_is_late(chain, store, trueup, gates, follow):
    """The tag says that the newest block is final, and the logs come 12 s later; another block each second."""
    shown = {}
    gate = gates[0]

    def late(rpc, answer):
        now = time.monotonic()
        if rpc["method"] == "eth_getBlockByNumber" and rpc["params"][0] == "finalized":
            answer = {**answer, "result": chain.rpc.block("latest")}
        if isinstance(answer.get("result"), dict) and "logsBloom" in answer["result"]:
            shown.setdefault(answer["result"]["hash"], now)
        logs = logs_of(rpc, answer)
        if logs is not None:
            answer["result"] = [log for log in logs if now - shown.setdefault(log["blockHash"], now) > 12]
        return answer

    gate.bend = late
    web = follow([gate], finality=None)
    chain.world.token.send("mint", WALLETS[0], 5)
    until_mined = time.monotonic() + 20
    while time.monotonic() < until_mined and WALLETS[0] not in store.rows(TABLE):
        chain.anvil.mine(1)
        time.sleep(1)
    chain.anvil.mine(5)
    until_right(chain, store, trueup, web, WALLETS[:1], 30)


def test_logs_of_the_branch_that_is_gone(chain, store, trueup, gates, follow):
    """After a fork the index tells for 4 s what the old branch had, with the new branch's hashes."""
    gate = gates[0]
    web = follow([gate])
    chain.world.token.send("mint", WALLETS[0], 5)
    old = chain.rpc.number()
    until_right(chain, store, trueup, web, WALLETS[:1], 20)
    kept = chain.rpc.call("eth_getLogs", {"fromBlock": hex(old), "toBlock": hex(old)})
    since = time.monotonic()

    def stale(rpc, answer):
        logs = logs_of(rpc, answer)
        if logs is None or time.monotonic() - since > 4:
            return None
        new = {number(log): log["blockHash"] for log in logs}
        rest = [log for log in logs if number(log) < old]
        return {**answer, "result": rest + [{**log, "blockHash": new.get(old, log["blockHash"])} for log in kept]}

    gate.bend = stale
    to = chain.world.token.address
    transactions = [[{"from": "0x" + "d0" * 20, "to": to, "gas": hex(200_000), "gasPrice": "0x0",
                      "data": chain.world.token.data("mint", w, 9)}, 0] for w in WALLETS[1:3]]
    chain.anvil.reorg(1, transactions)
    chain.anvil.mine(1)
    until_right(chain, store, trueup, web, WALLETS[:3], 60)


def shifted(rpc, answer):
    """Blocks A to B are asked for, A-1 to B-1 are told."""
    if logs_of(rpc, answer) is None or span(rpc) is None:
        return None
    a, b = span(rpc)
    return {**answer, "result": shifted.node.call("eth_getLogs", {
        **filter_of(rpc), "fromBlock": hex(a - 1), "toBlock": hex(b - 1)})}


def numbers_one_too_high(rpc, answer):
    logs = logs_of(rpc, answer)
    return None if not logs else {**answer, "result": [
        {**log, "blockNumber": hex(number(log) + 1)} for log in logs]}


def hashes_of_the_parent(rpc, answer):
    """Each log names the parent of its block."""
    logs = logs_of(rpc, answer)
    return None if not logs else {**answer, "result": [
        {**log, "blockHash": shifted.node.block(number(log))["parentHash"]} for log in logs]}


SHIFTS = {f.__name__: f for f in (shifted, numbers_one_too_high, hashes_of_the_parent)}


@pytest.mark.parametrize("how", usual(SHIFTS, ("numbers_one_too_high", "hashes_of_the_parent")))
def test_shifted_answers(chain, store, trueup, gates, follow, how):
    """For ever, by the only endpoint; the chain stands still after the last event."""
    gate = gates[0]
    shifted.node = chain.rpc
    web = follow([gate])
    gate.bend = SHIFTS[how]
    for i in range(4):
        chain.world.token.send("mint", WALLETS[i], 5 + i)
        time.sleep(0.6)
    chain.anvil.mine(1)
    until_right(chain, store, trueup, web, WALLETS[:4], 40)
    assert gate.played


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_late_index_and_a_restart(chain, store, trueup, gates, follow, how):
    """The logs come 6 s late, the tag says at once that the block is final, and the daemon is started anew in
    between."""
    gate, shown = gates[0], {}

    def late(rpc, answer):
        now = time.monotonic()
        if rpc["method"] == "eth_getBlockByNumber" and rpc["params"][0] == "finalized":
            answer = {**answer, "result": chain.rpc.block("latest")}
        if isinstance(answer.get("result"), dict) and "logsBloom" in answer["result"]:
            shown.setdefault(answer["result"]["hash"], now)
        if logs_of(rpc, answer) is not None:
            answer["result"] = [log for log in answer["result"]
                                if now - shown.setdefault(log["blockHash"], now) > 6]
        return answer

    gate.bend = late
    web = follow([gate], finality=None)
    for i in range(2):
        chain.world.token.send("mint", WALLETS[i], 5 + i)
        chain.anvil.mine(2)
    trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "the head", 20)
    chain.anvil.mine(1)
    trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "the head", 20)
    if how == "stop":
        trueup.stop()
    else:
        trueup.kill()
    chain.anvil.mine(5)
    trueup.start()
    until_right(chain, store, trueup, web, WALLETS[:2], 50)


@pytest.mark.night
def test_ten_blocks_a_request(chain, store, trueup, gates, follow):
    """Catching up over 500 blocks where a plan allows ten blocks a question."""
    gate = gates[0]

    def capped(rpc, answer):
        if logs_of(rpc, answer) is None or span(rpc) is None or span(rpc)[1] - span(rpc)[0] < 10:
            return None
        return error_of(code=-32600, message="Under the Free tier plan, you can make eth_getLogs requests with up to a "
                        "10 block range.")(rpc, answer)

    gate.bend = capped
    web = follow([gate])
    trueup.stop()
    mint_apart(chain, 5, 100)
    trueup.start()
    until_right(chain, store, trueup, web, WALLETS[:5], 60)
    assert gate.played


DENSE = {"results": (-32005, "query returned more than 10000 results"), "size": (-32008, "Response is too big"),
         "time": (-32000, "query timeout exceeded"), "no words": (-32000, "internal error")}


@pytest.mark.parametrize("why", usual(DENSE, ("results", "no words")))
def test_dense_ranges(chain, store, trueup, gates, follow, why):
    """Catching up where an answer for 30 blocks or more is too large, and no number is told."""
    gate = gates[0]

    def dense(rpc, answer):
        if logs_of(rpc, answer) is None or span(rpc) is None or span(rpc)[1] - span(rpc)[0] < 29:
            return None
        return error_of(code=DENSE[why][0], message=DENSE[why][1])(rpc, answer)

    gate.bend = dense
    web = follow([gate])
    trueup.stop()
    mint_apart(chain, 4, 60)
    chain.anvil.mine(20)
    trueup.start()
    until_right(chain, store, trueup, web, WALLETS[:4], 60)
    assert gate.played


@pytest.mark.night
def test_wide_answers_are_huge(chain, store, trueup, gates, follow):
    """Catching up: an answer for more than 30 blocks has 70 MB of blanks before its end."""
    gate = gates[0]
    web = follow([gate])
    trueup.stop()
    mint_apart(chain, 4, 60)
    chain.anvil.mine(20)

    def huge(rpc, answer):
        if logs_of(rpc, answer) is None or span(rpc) is None or span(rpc)[1] - span(rpc)[0] < 30:
            return None
        return plain(b"{" + b" " * (70 << 20) + text_of(answer).encode()[1:])

    gate.bend = huge
    trueup.start()
    until_right(chain, store, trueup, web, WALLETS[:4], 120)
    assert gate.played


@pytest.mark.night
def test_logs_are_those_of_the_range_before(chain, store, trueup, gates, follow):
    """Each eth_getLogs gets what the one before got, for 8 s, by both endpoints."""
    for gate in gates:
        last = [None]

        def behind(rpc, answer, last=last):
            if logs_of(rpc, answer) is None:
                return None
            before, last[0] = last[0], answer
            return None if before is None else {**before, "id": rpc["id"]}

        gate.bend = behind
    web = follow(gates)
    for i in range(8):
        chain.world.token.send("mint", WALLETS[i], 5 + i)
        time.sleep(1)
    for gate in gates:
        gate.bend = None
    chain.anvil.mine(300)
    until_right(chain, store, trueup, web, WALLETS[:8], 60)
