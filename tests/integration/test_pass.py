"""A full pass and the pace of the sweep: what is kept between runs, and how old a row may get."""

import json

from harness.checks import assert_at_rest_equal, assert_anchored_rows_true
from harness.config import CHECKPOINT, TABLE
from harness.world import wallet

WALLETS = [wallet(i) for i in range(40)]

def seeded(chain, store, rng, wallets):
    chain.world.mint_all(WALLETS, rng)
    chain.anvil.mine(4)
    balance = str if store.kind == "sqlite" else int
    store.many(f"INSERT INTO {TABLE} (wallet, balance, updated_at) VALUES (?, ?, ?)",
               [(w, balance(1), "1970-01-01 00:00:00.000000") for w in wallets])


def learned(store):
    return {reader.split(":")[0]: [int(x) for x in sizes.split()]
            for reader, sizes in store.sql("SELECT reader, sizes FROM trueup_learned")}


def passed(trueup):
    return json.loads(trueup.run("sweep", "--json").stdout)


def test_a_second_run_starts_at_the_learnt_sizes(chain, store, trueup, configured, rng):
    """Multicall3 tells nothing of its gas, so its size grows from 200 by and by: a second run begins
    where the first one ended, and so asks less often."""
    many = [wallet(i) for i in range(3000)]
    endpoint = {"name": "local", "url": chain.anvil.url, "ws": "off", "reader": "multicall3"}
    trueup.config = configured(chain={"endpoints": [endpoint]})
    trueup.run("migrate")
    seeded(chain, store, rng, many)
    first = passed(trueup)
    assert first["updated"] == len(many)
    size = learned(store)["multicall3"][0]
    assert size > 200, "it never grew"
    second = passed(trueup)
    assert second["updated"] == len(many) and second["requests"] < first["requests"]
    # What nobody wrote is no reason to fail.
    for nonsense in ("", "x", "0 0 0 0", "1 2 3", "99999999999999999999 0 0 0", "-1 0 0 0"):
        store.sql("UPDATE trueup_learned SET sizes = ?", nonsense)
        assert passed(trueup)["updated"] == len(many)
    assert learned(store)["multicall3"][0] > 200
    assert_at_rest_equal(store, chain.truth, wallets=many)


def test_no_row_gets_older_than_max_age(chain, store, trueup, configured, rng):
    """An hour from tick to tick would leave old rows alone for long; the age does not."""
    trueup.config = configured(sweep={"interval": "1h", "batch": 5, "max_age": "1h"})
    trueup.run("migrate")
    seeded(chain, store, rng, WALLETS)
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    trueup.until(lambda: "no row is older than sweep.max_age" in trueup.output(), "the all-clear", 30)
    assert trueup.output().count("rows are older than sweep.max_age") == 1
    assert all(r.observed_block is not None for r in store.rows(TABLE).values())
    assert_anchored_rows_true(store, chain.truth)
