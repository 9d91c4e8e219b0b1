"""Logs are reasons to read: nothing about one log rejects an answer, and whatever a log of ours looks like,
its wallets are read. Each case is a node, or a provider, that people reported."""

import json

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal
from harness.config import CHECKPOINT, TABLE
from harness.provider import asked, provider  # noqa: F401
from harness.web import listening
from harness.world import wallet

WALLETS = [wallet(i) for i in range(4)]
STRANGER = wallet(90)
SMALL = "0x" + f"{0x3ed:040x}"  # a number that a wrong layout takes for an address


def word(address):
    return "0x" + address.removeprefix("0x").rjust(64, "0")


def named(topic, *wallets):
    return [topic, *(word(w) for w in wallets)]


@pytest.fixture
def daemon(chain, store, trueup, tmp_path, provider):  # noqa: F811
    """Behind the scripted provider, polling, with HTTP: daemon(*arguments, changes…)."""
    def start(*arguments, **changes):
        http, client = listening()
        settings = configs.settings(chain.world, provider.url, store.url, http=http, **changes)
        trueup.config = configs.write(tmp_path / "trueup.yaml", settings)
        trueup.start(*arguments)
        trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
        trueup.http = client
        return trueup
    return start


def one_block(chain, wallets):
    """A transfer to each of them, all in one block; its number."""
    chain.anvil.automine(False)
    for w in wallets:
        chain.world.token.post("mint", w, 5)
    chain.anvil.mine(1)
    chain.anvil.automine(True)
    return chain.rpc.number()


def ignored(trueup):
    return {r: n for r, n in trueup.http.status()["logs"]["ignored"].items() if n}


TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
OTHER_TOPIC = "0x" + "17" * 32


@pytest.mark.parametrize("bent, reason, placed", [
    ({"set": {"logIndex": "0x0"}}, None, True),
    ({"set": {"logIndex": None}}, None, True),
    ({"drop": ["logIndex", "transactionHash", "transactionIndex", "removed"]}, None, True),
    ({"twice": True}, "duplicate", True),
    ({"set": {"logIndex": "0x0"}, "twice": True}, "duplicate", True),
    ({"beside": [{"removed": True, "topics": named(TRANSFER_TOPIC, STRANGER, STRANGER)}]}, "removed", True),
    ({"beside": [{"address": STRANGER}, {"topics": named(OTHER_TOPIC, STRANGER, STRANGER)}, {"topics": []}]},
     "foreign", True),
    ({"beside": [None, 5, "0x", {"address": None}]}, "unreadable", True),
    ({"set": {"blockHash": None}}, "no_block", True),
    ({"set": {"data": None}}, "layout", True),
    ({"drop": ["data"]}, "layout", True),
    ({"set": {"blockNumber": "0xe8d4a51000"}}, "outside_range", False),
    ({"set": {"blockNumber": "0x0"}}, "outside_range", False)], ids=str)
def test_odd_logs(chain, store, daemon, provider, bent, reason, placed):  # noqa: F811
    """Both wallets of a block are read at once, and the rest is counted. The sweep is off: it would
    find what the events lost."""
    provider.rules({"fault": "bend-logs", "args": bent})
    trueup = daemon(sweep={"interval": "1h"})
    block = one_block(chain, WALLETS[:2])
    trueup.until(lambda: {*WALLETS[:2]} <= {*store.rows(TABLE)}, "rows of both wallets", 20)
    rows = store.rows(TABLE)
    for w in WALLETS[:2]:
        assert rows[w].balance == 5
        assert rows[w].blocknumber == (block if placed else None)
    assert STRANGER not in rows
    counts = ignored(trueup)
    if reason:
        assert counts[reason] > 0
        # Each look at the block counts its logs again.
        assert trueup.http.metrics()[f'trueup_logs_ignored_total{{reason="{reason}"}}'] >= counts[reason]
    else:
        assert not counts
    provider.rules()
    one_block(chain, WALLETS[2:])
    trueup.until(lambda: {*WALLETS} <= {*store.rows(TABLE)}, "rows of the other wallets", 20)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)


@pytest.mark.parametrize("bent", [{"set": {"logIndex": "0x0"}}, {"set": {"blockNumber": "0xe8d4a51000"}},
                                  {"beside": [{"address": STRANGER}, None]}, {"twice": True}], ids=str)
def test_odd_logs_of_the_past(chain, store, daemon, provider, bent):  # noqa: F811
    """The same by ranges: a catch-up."""
    first = chain.rpc.number() + 1
    for w in WALLETS:
        one_block(chain, [w])
    chain.anvil.mine(8)
    provider.rules({"fault": "bend-logs", "args": bent})
    trueup = daemon("--from", str(first), sweep={"interval": "1h"})
    trueup.until(lambda: {*WALLETS} <= {*store.rows(TABLE)}, "rows of all wallets", 20)
    assert all(r.blocknumber is None or r.blocknumber <= chain.rpc.number()
               for r in store.rows(TABLE).values())
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)


@pytest.mark.parametrize("code, text", [(-32602, "invalid argument: blockHash is not supported"),
                                        (-32601, "unknown field blockHash"), (-32000, "not implemented")])
def test_logs_by_hash_are_refused(chain, store, daemon, provider, code, text):  # noqa: F811
    """Asked by number instead, said once, and not tried at each block."""
    provider.rules({"fault": "no-hash-logs", "method": "eth_getLogs", "args": {"code": code, "text": text}})
    trueup = daemon(sweep={"interval": "1h"})
    for w in WALLETS:
        one_block(chain, [w])
        trueup.until(lambda: w in store.rows(TABLE), f"a row of {w}", 20)
    assert all(store.rows(TABLE)[w].balance == 5 for w in WALLETS)
    by_hash = [p for p in asked(provider, "eth_getLogs") if "blockHash" in p[0]]
    assert len(by_hash) <= 4  # one question, and its retries


def test_doctor_names_the_refusal(chain, store, daemon, provider):  # noqa: F811
    provider.rules({"fault": "no-hash-logs", "method": "eth_getLogs"})
    trueup = daemon()
    trueup.stop()
    assert "eth_getLogs refuses blockHash" in trueup.run("doctor", code=None).stdout
    provider.rules()
    assert "eth_getLogs by block hash works" in trueup.run("doctor", code=None).stdout


def test_doctor_compares_the_forms(chain, store, daemon, provider):  # noqa: F811
    """A range that leaves out what the hash shows."""
    trueup = daemon()
    trueup.stop()
    one_block(chain, WALLETS[:2])
    assert "the same logs in every form" in trueup.run("doctor", code=None).stdout
    provider.rules({"fault": "omit-logs", "method": "eth_getLogs", "match": "fromBlock"})
    assert "0 by range, 2 by block hash" in trueup.run("doctor", code=None).stdout


@pytest.mark.parametrize("bloom", ["0x", "", None, "0x00", 5])
def test_a_bloom_that_is_none(chain, store, daemon, provider, bloom):  # noqa: F811
    provider.rules({"fault": "bend-header", "args": {"set": {"logsBloom": bloom}}})
    trueup = daemon(sweep={"interval": "1h"})
    one_block(chain, WALLETS[:2])
    trueup.until(lambda: {*WALLETS[:2]} <= {*store.rows(TABLE)}, "rows of both wallets", 20)


def test_the_value_in_the_place_of_the_recipient(chain, store, daemon, provider):  # noqa: F811
    """Transfer(address indexed, address, uint256 indexed) under the default declaration: the recipient
    is read from where it is, the number makes no row, and status and log say how to declare it."""
    provider.rules({"fault": "bend-logs", "args": {"value-indexed": True}})
    trueup = daemon(sweep={"interval": "1h"})
    one_block(chain, WALLETS[:2])
    trueup.until(lambda: {*WALLETS[:2]} <= {*store.rows(TABLE)}, "rows of both wallets", 20)
    assert SMALL not in store.rows(TABLE)
    fits = "Transfer(address indexed from, address to, uint256 indexed value)"
    trueup.until_log("logs of an event do not fit its declaration, their wallets are read")
    [layout] = trueup.http.status()["logs"]["layouts"]
    assert layout["contract"] == chain.world.token.address.lower() and layout["fits"] == fits
    assert layout["hint"] == f'declare it as "{fits}"' and layout["topics"] == 3
    assert layout["logs"] >= 2 and layout["lost"] == 0
    notes = trueup.http.status()["verdict"]["notes"]
    assert any(layout["contract"] in n and "declare it as" in n for n in notes)
    assert trueup.output().count("logs of an event do not fit") == 1
    assert "passed over" in trueup.run("status", code=None).stdout


def test_a_log_that_tells_no_wallet(chain, store, daemon, provider):  # noqa: F811
    """Nothing can be read from it: the light is not green, and names the contract."""
    trueup = daemon(sweep={"interval": "1h"})
    provider.rules({"fault": "bend-logs", "args": {"set": {"topics": [TRANSFER_TOPIC], "data": "0x"}}})
    one_block(chain, WALLETS[:1])
    contract = chain.world.token.address.lower()
    trueup.until(lambda: any(contract in r["text"] for r in trueup.http.status()["verdict"]["reasons"]),
                 "the reason in the status", 20)
    [layout] = trueup.http.status()["logs"]["layouts"]
    assert layout["fits"] is None and layout["lost"] > 0
    assert WALLETS[0] not in store.rows(TABLE)
    trueup.until_log("logs of an event do not fit its declaration, wallets may be missed")


@pytest.mark.parametrize("bent", [
    {}, {"drop": ["logIndex"]}, {"set": {"blockNumber": None}}, {"set": {"blockHash": None}},
    {"set": {"blockNumber": "0xe8d4a51000"}}], ids=str)
def test_a_pushed_wallet_is_read(chain, store, daemon, provider, bent):  # noqa: F811
    """The WebSocket names a wallet that eth_getLogs leaves out: it is read at once, its neighbour too, and
    what no look confirmed raises no blocknumber."""
    provider.rules({"fault": "omit-logs", "method": "eth_getLogs", "args": {"naming": WALLETS[0]}})
    provider.order(ws={"bend": bent})
    endpoint = {"name": "local", "url": provider.url, "ws": provider.url.replace("http", "ws", 1)}
    trueup = daemon(chain={"endpoints": [endpoint], "freshness": "1h"}, sweep={"interval": "1h"})
    trueup.until_log("subscription established")
    block = one_block(chain, WALLETS[:2])
    trueup.until(lambda: {*WALLETS[:2]} <= {w for w, r in store.rows(TABLE).items() if r.balance == 5},
                 "rows of both wallets", 10)
    rows = store.rows(TABLE)
    assert rows[WALLETS[0]].blocknumber is None and rows[WALLETS[0]].observed_block >= block
    trueup.until(lambda: store.rows(TABLE)[WALLETS[1]].blocknumber == block, "the event block", 10)
    trueup.until_log("refreshed balances from pushed logs")


def test_status_without_oddities(chain, store, daemon):
    trueup = daemon()
    status = trueup.http.status()
    assert status["logs"]["layouts"] == [] and not ignored(trueup)
    assert json.dumps(status["verdict"]).count("do not fit") == 0
