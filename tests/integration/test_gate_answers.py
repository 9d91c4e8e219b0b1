"""Answers that are odd, for ever or for a while, and answers that belong to other questions."""

import json
import re
import threading
import time
from types import SimpleNamespace

import pytest

from harness import config as configs
from harness.checks import wrong_rows
from harness.config import BALANCE, TABLE
from harness.deep import deployed  # noqa: F401
from harness.gate import (WALLETS, Raw, error_of, follow, gates, lights, logs_of,  # noqa: F401
                          no_wrong_row, plain, text_of, until_right, usual)
from harness.truth import Truth
from harness.wait import until

# For what is between the daemon and its nodes alone: once is enough.
pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


# ---- odd ones ----------------------------------------------------------------------------------------


def upper_case(rpc, answer):
    """Hex in capitals, 0X too where it is a number."""
    def up(value):
        return "0x" + value[2:].upper() if isinstance(value, str) and value.startswith("0x") else value

    result = answer.get("result")
    if isinstance(result, str):
        return {**answer, "result": up(result)}
    if isinstance(result, dict):
        return {**answer, "result": {k: up(v) for k, v in result.items()}}
    if isinstance(result, list):
        return {**answer, "result": [{k: [up(t) for t in v] if k == "topics" else up(v) for k, v in log.items()}
                                     if isinstance(log, dict) else log for log in result]}
    return None


QUANTITIES = ("number", "timestamp", "gasLimit", "gasUsed", "blockNumber", "logIndex", "transactionIndex",
              "baseFeePerGas")


def quantities(make):
    def bend(rpc, answer):
        result = answer.get("result")
        if rpc["method"] in ("eth_blockNumber", "eth_chainId") and isinstance(result, str):
            return {**answer, "result": make(result)}
        for thing in result if isinstance(result, list) else [result]:
            if isinstance(thing, dict):
                thing.update({k: make(thing[k]) for k in QUANTITIES if isinstance(thing.get(k), str)})
        return answer
    return bend


def milliseconds(rpc, answer):
    """A chain whose headers count milliseconds, and whose EVM counts seconds."""
    if isinstance(answer.get("result"), dict) and "timestamp" in answer["result"]:
        answer["result"]["timestamp"] = hex(int(answer["result"]["timestamp"], 16) * 1000)
    return answer


def raw(make):
    return lambda rpc, answer: make(text_of(answer).encode())


def early_hints(body):
    return Raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n" + plain(body).data, close=False)


def http_1_0(body):
    return Raw(b"HTTP/1.0 200 OK\r\n\r\n" + body, close=True)


def trailers(body):
    half = len(body) // 2
    chunks = b"".join(f"{len(c):x};x=\"y\"\r\n".encode() + c + b"\r\n" for c in (body[:half], body[half:]) if c)
    return Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Cost\r\n\r\n" + chunks
               + b"0\r\nX-Cost: 26\r\n\r\n", close=False)


def cookies(body):
    return plain(body, "200 OK", *[f"Set-Cookie: session{i}={'x' * 900}" for i in range(60)])


def nested(rpc, answer):
    """An extra field, 3,000 brackets deep."""
    return plain(text_of(answer)[:-1].encode() + b',"trace":' + b"[" * 3000 + b"]" * 3000 + b"}")


ODD_ALWAYS = {
    "upper_case": upper_case,
    "leading_zeros": quantities(lambda v: "0x" + v[2:].rjust(16, "0")),
    "plain_numbers": quantities(lambda v: int(v, 16)),
    "milliseconds": milliseconds,
    "byte_order_mark": raw(lambda body: plain(b"\xef\xbb\xbf" + body)),
    "white_space": raw(lambda body: plain(b"\r\n\t " * 2000 + body + b"\n\n\0"[:2])),
    "error_null": lambda rpc, answer: {**answer, "error": None} if "result" in answer else None,
    "id_a_string": lambda rpc, answer: {**answer, "id": str(answer["id"])},
    "id_a_float": lambda rpc, answer: plain(re.sub(r'"id": (\d+)', r'"id": \1.0', text_of(answer)).encode()),
    "no_version": lambda rpc, answer: {k: v for k, v in answer.items() if k != "jsonrpc"},
    "status_201": raw(lambda body: plain(body, "201 Created")),
    "result_under_404": raw(lambda body: plain(body, "404 Not Found")),
    "early_hints": raw(early_hints),
    "http_1_0": raw(http_1_0),
    "trailers": raw(trailers),
    "cookies": raw(cookies),
    "nested": nested,
    "escapes": lambda rpc, answer: plain(text_of(answer).replace("0x", "\\u0030\\u0078").encode()),
}


@pytest.mark.parametrize("odd", usual(ODD_ALWAYS, ("milliseconds",)))
def test_odd_answers_for_ever(chain, store, trueup, gates, follow, odd):
    """From the only endpoint, to every question."""
    gate = gates[0]
    gate.bend = ODD_ALWAYS[odd]
    web = follow([gate], ready=False)
    trueup.until(lambda: store.synced(BALANCE) > 0, "the first look", 25)
    for i in range(3):
        chain.world.token.send("mint", WALLETS[i], 5 + i)
    until_right(chain, store, trueup, web, WALLETS[:3], 25)
    trueup.until(lambda: web.ask("/readyz")[0] == 200, "/readyz to be green", 30)
    assert gate.played


def log_bent(**fields):
    def bend(rpc, answer):
        logs = logs_of(rpc, answer)
        if not logs:
            return None
        return {**answer, "result": [{**logs[0], **fields}, *logs]}
    return bend


def heavy_log(rpc, answer):
    """A log of 12 MB beside the good ones."""
    logs = logs_of(rpc, answer)
    return {**answer, "result": [{**logs[0], "data": "0x" + "ab" * (6 << 20)}, *logs]} if logs else None


ODD_LOGS = {
    "topics_null": log_bent(topics=None),
    "topics_text": log_bent(topics="0xddf252ad"),
    "topics_short": log_bent(topics=["0xdd", "0x1", "0x2"]),
    "topics_many": log_bent(topics=["0x" + "11" * 32] * 9),
    "address_null": log_bent(address=None),
    "address_long": log_bent(address="0x" + "12" * 32),
    "number_null": log_bent(blockNumber=None, blockHash=None),
    "number_negative": log_bent(blockNumber="-0x1"),
    "number_float": log_bent(blockNumber=1e300),
    "data_odd": log_bent(data="0x0"),
    "data_object": log_bent(data={"hex": "0x00"}),
    "hash_short": log_bent(blockHash="0x12"),
    "hash_of_zeros": log_bent(blockHash="0x" + "00" * 32),
    "hash_of_nobody": log_bent(blockHash="0x" + "5a" * 32),
    "a_number": lambda rpc, answer: {**answer, "result": [7, None, "log", [], *answer["result"]]}
    if logs_of(rpc, answer) else None,
    "heavy": heavy_log,
    "reversed": lambda rpc, answer: {**answer, "result": answer["result"][::-1]} if logs_of(rpc, answer) else None,
}


@pytest.mark.parametrize("odd", usual(ODD_LOGS, [k for k in ODD_LOGS if k != "reversed"]))
def test_odd_logs_beside_good_ones(chain, store, trueup, gates, follow, odd):
    gate = gates[0]
    gate.bend = ODD_LOGS[odd]
    web = follow([gate])
    chain.world.token.send("mintMany", WALLETS[:3], [5, 6, 7])
    chain.world.staking.send("stakeMany", WALLETS[3:5], [5] * 2)
    until_right(chain, store, trueup, web, WALLETS[:5], 25)
    assert gate.played


def header_bent(**fields):
    def bend(rpc, answer):
        if rpc["method"].startswith("eth_getBlockBy") and isinstance(answer.get("result"), dict):
            return {**answer, "result": {**answer["result"], **fields}}
        return None
    return bend


FOR_A_WHILE = {
    "number_null": header_bent(number=None),
    "hash_null": header_bent(hash=None),
    "hash_of_zeros": header_bent(hash="0x" + "00" * 32),
    "head_far_above": header_bent(number=hex(2 ** 63)),
    "timestamp_at_the_end": header_bent(timestamp=hex(2 ** 64 - 1)),
    "headers_are_lists": lambda rpc, answer: {**answer, "result": [answer["result"]]}
    if rpc["method"].startswith("eth_getBlockBy") else None,
    "genesis_of_zeros": lambda rpc, answer: header_bent(hash="0x" + "11" * 32)(rpc, answer)
    if rpc["params"][:1] == ["0x0"] else None,
    "code_a_text": error_of(code="-32000", message="busy"),
    "code_huge": error_of(code=10 ** 40, message="busy"),
    "message_an_object": error_of(code=-32000, message={"en": "busy"}),
    "message_of_2_mb": error_of(code=-32000, message="busy " * 400_000),
    "message_not_utf8": lambda rpc, answer: plain(
        b'{"jsonrpc":"2.0","id":%d,"error":{"code":-32000,"message":"\xff\xfe\xc0\x80 \\u0000 \\ud800"}}' % rpc["id"]),
    "error_true": lambda rpc, answer: {"jsonrpc": "2.0", "id": rpc["id"], "error": True},
    "neither": lambda rpc, answer: {"jsonrpc": "2.0", "id": rpc["id"]},
    "empty_object": lambda rpc, answer: {},
    "status_204": lambda rpc, answer: Raw(b"HTTP/1.1 204 No Content\r\n\r\n", close=False),
    "status_999": lambda rpc, answer: plain(b"{}", "999 Request denied"),
    "not_http": lambda rpc, answer: Raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "length_lies": lambda rpc, answer: Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
                                           + text_of(answer).encode()),
    "lengths_differ": lambda rpc, answer: Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n"
                                              b"Content-Length: 99999\r\n\r\n" + text_of(answer).encode()),
    "logs_an_object": lambda rpc, answer: {**answer, "result": {"logs": answer["result"]}}
    if rpc["method"] == "eth_getLogs" else None,
    "logs_a_text": lambda rpc, answer: {**answer, "result": "0x"} if rpc["method"] == "eth_getLogs" else None,
    "chain_of_zero": lambda rpc, answer: {**answer, "result": "0x0"} if rpc["method"] == "eth_chainId" else None,
}
AT_A_START = ("genesis_of_zeros", "chain_of_zero")  # asked of an endpoint that serves there alone
# These ended or stopped it once.
ODD_OF_OLD = (("timestamp_at_the_end", "running"), ("timestamp_at_the_end", "starting"),
              ("genesis_of_zeros", "starting"), ("hash_of_zeros", "starting"), ("chain_of_zero", "starting"))
ODD_WHEN = [pytest.param(odd, when, marks=() if (odd, when) in ODD_OF_OLD else pytest.mark.night)
            for odd in FOR_A_WHILE for when in ("running", "starting")
            if when == "starting" or odd not in AT_A_START]


@pytest.mark.parametrize("odd,when", ODD_WHEN)
def test_odd_answers_for_a_while(chain, store, trueup, gates, follow, odd, when):
    """Four seconds of it, from the only endpoint, while it runs or when it starts; then it is honest."""
    gate = gates[0]
    web = follow([gate])
    if when == "starting":
        trueup.stop()
    gate.bend = FOR_A_WHILE[odd]
    chain.world.token.send("mintMany", WALLETS[:3], [5, 6, 7])
    if when == "starting":
        trueup.start()
    until(lambda: gate.played, "the first odd answer", 10)
    over = time.monotonic() + 4
    while time.monotonic() < over:
        trueup.alive()
        time.sleep(0.1)
    gate.bend = None
    until_right(chain, store, trueup, web, WALLETS[:3], 25)
    trueup.until(lambda: web.ask("/readyz")[0] == 200, "/readyz to be green", 30)


def head_invented(rpc, answer):
    """latest, a thousand blocks too high; what is there cannot be asked for."""
    if rpc["method"] == "eth_blockNumber":
        return {**answer, "result": hex(int(answer["result"], 16) + 1000)}
    if rpc["method"] == "eth_getBlockByNumber" and rpc["params"][0] in ("latest", "safe", "finalized"):
        header = answer["result"]
        return {**answer, "result": {**header, "number": hex(int(header["number"], 16) + 1000),
                                     "hash": "0x" + header["hash"][:1:-1]}}
    return None


ODD_FIRST = {"head_invented": head_invented,
             **{k: FOR_A_WHILE[k] for k in ("number_null", "chain_of_zero", "timestamp_at_the_end", "head_far_above",
                                            "neither", "not_http")}}


@pytest.mark.parametrize("odd", usual(ODD_FIRST, ("head_invented", "head_far_above", "chain_of_zero")))
def test_the_first_of_two_is_odd(chain, store, trueup, gates, follow, odd):
    """For ever, from the first start on; the second one is honest."""
    a, b = gates
    a.bend = ODD_FIRST[odd]
    web = follow([a, b], ready=False)
    trueup.until(lambda: store.synced(BALANCE) > 0, "the first look", 30)
    for i in range(4):
        chain.world.token.send("mint", WALLETS[i], 5 + i)
        time.sleep(0.5)
    until_right(chain, store, trueup, web, WALLETS[:4], 40)
    assert a.played


@pytest.mark.night
def test_tags_are_not_known(chain, store, trueup, gates, follow):
    """Only latest is: safe and finalized are genesis for ever; and methods that are not needed are not there."""
    gate = gates[0]

    def bare(rpc, answer):
        if rpc["method"] in ("web3_clientVersion", "eth_syncing", "net_version", "eth_getCode", "eth_subscribe"):
            return error_of(code=-32601, message="method not found")(rpc, answer)
        if rpc["method"] == "eth_getBlockByNumber" and rpc["params"][0] in ("safe", "finalized"):
            return {**answer, "result": chain.rpc.block(0)}
        return None

    gate.bend = bare
    web = follow([gate], finality=None, mine=400)
    chain.world.token.send("mintMany", WALLETS[:3], [5, 6, 7])
    until_right(chain, store, trueup, web, WALLETS[:3], 30)
    chain.anvil.mine(300)
    trueup.until(lambda: store.checkpoint("audio_transfers") > 400, "the checkpoint to follow", 60)
    trueup.until(lambda: web.ask("/readyz")[0] == 200, "/readyz to be green", 30)


# ---- those of other questions --------------------------------------------------------------------------


def call_key(rpc):
    """A cache that looks at the contract and the block, and at nothing else of a call."""
    return json.dumps([rpc["params"][0].get("to"), rpc["params"][1]], sort_keys=True)


def two_balances(settings):
    """The same wallets and events for both, another view each."""
    one = settings["balances"][0]
    term = {t["name"]: t for t in one["terms"]}
    one["terms"] = [term["held"]]
    one["triggers"] = one["triggers"][:1]
    settings["balances"].append({**one, "name": "staked", "table": "staked_rows", "checkpoint": "staked_rows",
                                 "terms": [term["staked"]]})


@pytest.mark.parametrize("reader", ["override", "create", "multicall3", "single"])
def test_a_cache_with_too_short_a_key(chain, store, trueup, gates, follow, reader):
    """Calls to the same contract at the same block get what the first of them got, three times of four: two
    balances are read of the same wallets at the same blocks."""
    gate, cache, turn = gates[0], {}, iter(range(10 ** 9))

    def cached(rpc, answer):
        if rpc["method"] != "eth_call" or not ("result" in answer or answer["error"].get("data")):
            return None
        kept = cache.setdefault(call_key(rpc), answer)
        return {**kept, "id": answer["id"]} if next(turn) % 4 else None

    chain.world.staking.send("stakeMany", WALLETS[:20], [900] * 20)
    web = follow([gate], reader=reader, sweep="100ms", bend=two_balances)
    gate.bend = cached
    truths = {TABLE: Truth(chain.world, ("held",)), "staked_rows": Truth(chain.world, ("staked",))}
    for i in range(4):
        chain.world.token.send("mintMany", WALLETS[i * 5:i * 5 + 5], list(range(1 + 10 * i, 6 + 10 * i)))
        time.sleep(1)
        for table, truth in truths.items():
            assert not wrong_rows(store, truth, table)
        trueup.alive()
    gate.bend = None
    for table, truth in truths.items():
        right = truth.read(WALLETS[:20])
        trueup.until(lambda: {w: r.balance for w, r in store.rows(table).items() if w in right} == right,
                     f"the rows of {table}: {lights(web)}", 40)
        assert not wrong_rows(store, truth, table)
    assert gate.played


@pytest.fixture
def settled(chain, store, trueup, gates, tmp_path):
    """60 rows read while all was well, the daemon gone, and a gateway that takes small requests alone and gives
    half of the calls the answer of the one before."""
    gate, last, turn = gates[0], {}, iter(range(10 ** 9))
    for i in range(6):
        chain.world.token.send("mintMany", WALLETS[i * 10:i * 10 + 10], [1000 * i + n for n in range(10)])
    at = chain.rpc.number()
    chain.anvil.mine(4)
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(chain.world, gate.url, store.url))
    trueup.run("migrate")
    store.many(f"INSERT INTO {TABLE} (wallet, balance, updated_at) VALUES (?, ?, ?)",
               [(w, "7", "1970-01-01 00:00:00.000000") for w in WALLETS])
    trueup.start()
    trueup.until(lambda: all(r.observed_block for r in store.rows(TABLE).values()), "the rows to be read", 20)
    trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "the head", 20)
    trueup.stop()

    def exchanged(rpc, answer):
        if rpc["method"] != "eth_call":
            return None
        if len(json.dumps(rpc)) > 2000:
            return plain(b"Request Entity Too Large", "413 Payload Too Large")
        form = len(text_of(answer))  # so that it is one of as many wallets
        kept, last[form] = last.get(form), answer
        return {**kept, "id": answer["id"]} if kept and next(turn) % 2 else None

    gate.bend = exchanged
    return SimpleNamespace(at=at, gate=gate)


def test_a_snapshot_of_exchanged_answers(chain, store, trueup, settled, tmp_path):
    done = trueup.run("snapshot", "--at", settled.at, "--out", "then.csv", code=None, timeout=90)
    assert settled.gate.played
    if done.returncode == 0:  # it may give up; it may not write what is not so
        lines = [line.split(",") for line in (tmp_path / "then.csv").read_text().splitlines() if line[0] != "#"]
        told = {w: int(balance) for w, balance, error in lines[1:] if not error}
        right = chain.truth.read(WALLETS, settled.at)
        assert {w: (b, right[w]) for w, b in told.items() if b != right[w]} == {}
    assert done.returncode == 0, done.stderr


def test_an_audit_of_exchanged_answers(store, trueup, settled):
    """It may not call a row wrong that is right."""
    done = trueup.run("audit", "--all", code=None, timeout=90)
    assert settled.gate.played, (done.returncode, done.stdout[-600:], done.stderr[-600:], settled.gate.asked)
    assert done.returncode == 0, (done.returncode, done.stdout[-600:], done.stderr[-600:])


@pytest.mark.night
def test_each_answer_is_the_one_before(chain, store, trueup, gates, follow):
    """Off by one, whatever was asked, under the right id, for 5 s: headers for logs, logs for calls."""
    gate, last = gates[0], [None]
    web = follow([gate], sweep="200ms")
    lock = threading.Lock()

    def behind(rpc, answer):
        with lock:
            before, last[0] = last[0], answer
        return {**(before or answer), "id": rpc["id"]}

    gate.bend = behind
    chain.world.token.send("mintMany", WALLETS[:5], [5, 6, 7, 8, 9])
    over = time.monotonic() + 5
    while time.monotonic() < over:
        no_wrong_row(chain, store)
        trueup.alive()
        time.sleep(0.1)
    gate.bend = None
    until_right(chain, store, trueup, web, WALLETS[:5], 40)
    no_wrong_row(chain, store)
    assert gate.played
