"""The forms of the question for logs, held against each other on a recent block: an endpoint whose ranges
leave logs out is asked block by block, one that leaves logs out in every form gives no looks."""

import json
import time

import pytest

from harness import config as configs
from harness.checks import FAR, assert_anchored_rows_true, until_at_rest
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.provider import ScriptedProvider
from harness.web import listening
from harness.world import wallet

WALLETS = [wallet(i) for i in range(30)]

# For what is between the daemon and its nodes alone: once is enough.
pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)

NO_RANGES = {"fault": "omit-logs", "method": "eth_getLogs", "match": "fromBlock"}
NO_HASHES = {"fault": "omit-logs", "method": "eth_getLogs", "match": "blockHash"}
NO_LOGS = {"fault": "omit-logs", "method": "eth_getLogs"}


@pytest.fixture
def behind(chain, store, trueup, tmp_path):
    """A daemon behind scripted endpoints that play these rules from the start; it hardly ever sweeps."""
    opened = []

    def start(*rules):
        served, start.web = listening()
        for i, rule in enumerate(rules):
            p = ScriptedProvider(forward=chain.anvil.url)
            p.__enter__()
            opened.append(p)
            p.rules(*([rule] if rule else []))
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, store.url, terms=("held",), http=served,
            sweep={"interval": "1h"}, chain={"endpoints": [
                {"name": f"n{i}", "url": p.url, "ws": "off"} for i, p in enumerate(opened)]}))
        trueup.start()
        trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
        return opened

    yield start
    for p in opened:
        p.__exit__(None, None, None)


def forms(trueup):
    status = json.loads(trueup.run("status", "--json", code=None).stdout)
    return {e["name"]: e["log_forms"] for e in status["endpoints"]}


def until_forms(trueup, name, wanted, seconds=120):
    trueup.until(lambda: forms(trueup)[name] == wanted, f"{name} to be known as {wanted}", seconds)


def mint_and_look_twice(chain, store, trueup, wallets):
    """Events, each alone in its block, and everything that could still find them."""
    blocks = {}
    for who in wallets:
        chain.world.token.send("mint", who, 5)
        blocks[who] = chain.rpc.number()
    last = chain.rpc.number()
    chain.anvil.mine(FAR)
    trueup.until(lambda: store.checkpoint(CHECKPOINT) >= last, f"the second look at {last}", 150)
    rows = store.rows(TABLE)
    assert {w: (rows[w].balance, rows[w].blocknumber) for w in wallets} == {
        w: (5, blocks[w]) for w in wallets}
    assert_anchored_rows_true(store, chain.truth)


def test_ranges_that_are_always_empty_lose_nothing(chain, store, trueup, behind):
    """By block hash the endpoint is right: it is asked so, and doctor says it."""
    chain.anvil.mine(3)
    chain.world.token.send("mint", WALLETS[20], 5)  # a log to compare by
    [only] = behind(NO_RANGES)
    until_forms(trueup, "n0", "by block hash")
    mint_and_look_twice(chain, store, trueup, WALLETS[:3])
    assert "endpoint leaves logs out of ranges, it is asked block by block" in trueup.output()
    assert 'trueup_endpoint_log_forms{endpoint="n0",forms="by block hash"} 1' in behind.web.ask("/metrics")[2]
    chain.world.token.send("mint", WALLETS[20], 5)
    assert "eth_getLogs by range leaves logs out" in trueup.run("doctor").stdout
    only.rules()
    assert "names the same logs in every form" in trueup.run("doctor").stdout


def test_without_a_log_to_compare_it_is_untried(chain, store, trueup, behind):
    """And tried when a header says that its block holds logs: the first event is not lost."""
    chain.anvil.mine(1100)
    behind(NO_RANGES)
    trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "the first look")
    assert forms(trueup)["n0"] == "untried"
    time.sleep(5)  # between two tries for a bloom's sake
    chain.world.token.send("mint", WALLETS[0], 5)
    block = chain.rpc.number()
    until_forms(trueup, "n0", "by block hash")
    trueup.until(lambda: (row := store.rows(TABLE).get(WALLETS[0])) is not None
                 and row.blocknumber == block, "the first event", 120)
    mint_and_look_twice(chain, store, trueup, WALLETS[1:2])


def test_hashes_that_leave_logs_out_are_not_asked(chain, store, trueup, behind):
    chain.anvil.mine(3)
    chain.world.token.send("mint", WALLETS[20], 5)
    behind(NO_HASHES)
    until_forms(trueup, "n0", "by range")
    mint_and_look_twice(chain, store, trueup, WALLETS[:2])


def test_an_endpoint_that_leaves_logs_out_in_every_form_gives_no_looks(chain, store, trueup, behind):
    """The receipts show what is missing. The other of two gives the looks."""
    chain.anvil.mine(3)
    chain.world.token.send("mint", WALLETS[20], 5)
    bad, good = behind(NO_LOGS, None)
    until_forms(trueup, "n0", "none", 150)
    assert "endpoint leaves logs out in every form, it gives no looks" in trueup.output()
    bad.order(clear_log=True)
    mint_and_look_twice(chain, store, trueup, WALLETS[:2])
    assert not any(r["method"] == "eth_getLogs" and "fromBlock" in json.dumps(r["params"])
                   for r in bad.log())
