"""Holders from event history: everybody whom a trigger names gets a row, and each row is right; also
behind providers that allow little, and after kill -9 in the middle."""

import json

import pytest

from harness.checks import assert_at_rest_equal
from harness.config import BALANCE, CHECKPOINT, TABLE, settings
from harness.world import ZERO, wallet

WALLETS = [wallet(i) for i in range(120)]
PROVIDERS = WALLETS[:3]


def history(chain, rng, operations=600):
    chain.world.mint_all(WALLETS, rng, at_once=60)
    chain.world.traffic(WALLETS, PROVIDERS, rng, operations)
    chain.anvil.mine(4)


def named_in(chain, config, to):
    """{wallet: highest block} of all logs the triggers name, from the node's own full list. Decoded
    from topics: the demo events index their wallets."""
    found = {}
    for t in config["balances"][0]["triggers"]:
        words = t["event"].split("(", 1)[1].rstrip(")").split(", ")
        indexed = [w.split()[-1] for w in words if " indexed " in w]
        name = t["event"].split("(")[0] + "(" + ",".join(w.split()[0] for w in words) + ")"
        topic = next(x["topics"][name] for x in chain.world.built.values()
                     if isinstance(x, dict) and name in x["topics"])
        for log in chain.rpc.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(to),
                                                  "address": t["contract"], "topics": [topic]}):
            block = int(log["blockNumber"], 16)
            for source in t["wallets"] if t["wallets"] != "all" else []:
                if "(" in source:
                    continue
                who = "0x" + log["topics"][1 + indexed.index(source)][26:]
                if who != ZERO:
                    found[who] = max(found.get(who, 0), block)
    return found


def backfill(trueup, *more, code=0):
    done = trueup.run("backfill", "-y", "--json", *more, code=code)
    return json.loads(done.stdout) if code == 0 else done


def assert_everybody_is_there(store, chain, config, done):
    expected = named_in(chain, config, done["to"])
    rows = assert_at_rest_equal(store, chain.truth, wallets=expected)
    assert set(rows) >= set(expected)
    # With fan-out a claim may name a wallet later than any event that spells it.
    assert all(rows[w].blocknumber >= block for w, block in expected.items())
    return expected, rows


def test_everybody_the_events_name_has_a_true_row(chain, store, trueup, configured, rng):
    trueup.config = configured(fan_out=False)
    config = settings(chain.world, chain.anvil.url, store.url, fan_out=False)
    history(chain, rng)
    done = backfill(trueup)
    expected, rows = assert_everybody_is_there(store, chain, config, done)
    assert set(rows) == set(expected) and len(expected) > 100
    assert {w: r.blocknumber for w, r in rows.items()} == expected
    assert {r.observed_block for r in rows.values()} == {rows[WALLETS[0]].observed_block}
    assert store.one("SELECT count(*) FROM trueup_found") == 0
    assert store.one("SELECT cause FROM trueup_changes LIMIT 1") == "backfill"
    # It vouches for its blocks: a daemon goes on from there, and not from the head.
    assert store.checkpoint(CHECKPOINT) == done["to"]
    # Again: nobody is left to be read.
    again = backfill(trueup)
    assert again["read"] == 0 and again["logs"] == done["logs"]
