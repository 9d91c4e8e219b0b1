"""`trueup audit`: what it calls wrong, what it says of the table, and how it repairs."""

import json
import os
import signal
import subprocess
import time

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, until_at_rest
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.provider import provider  # noqa: F401
from harness.truth import Truth
from harness.wait import until
from harness.world import wallet

WALLETS = [wallet(i) for i in range(60)]


def finalized_table(chain, store, trueup, config, rng, wallets=WALLETS):
    """A table at rest, and the daemon gone: what differs from now on is for the audit to find."""
    trueup.config = config
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    chain.world.mint_all(wallets, rng)
    until_at_rest(trueup, store, chain.anvil, wallets=wallets)
    chain.anvil.mine(4)


def stored(store, value):
    return str(value) if store.kind == "sqlite" else value


def audit(trueup, *options, code=0):
    return json.loads(trueup.run("audit", "--json", *options, code=code).stdout)


def test_what_is_wrong_and_what_that_says(chain, store, trueup, configured, rng):
    finalized_table(chain, store, trueup, configured(terms=("held",)), rng)
    assert trueup.stop() == 0
    out = trueup.run("audit", "--sample", "30").stdout
    assert f"{BALANCE}: 0 of 30 wrong at block " in out
    assert "at most 9.5 % of rows, 95 %" in out  # 1 - 0.05^(1/30)
    assert f"{BALANCE}: 0 of 60 rows wrong at block " in trueup.run("audit").stdout, "60 is all"
    whole = audit(trueup, "--all")
    assert (whole["compared"], whole["drifted"], whole["sampled"]) == (60, 0, False)
    assert whole["supply"]["end"] == "equal", "one term, every holder known"

    # Somebody writes into rows; a placeholder and a row that an event waits for are not drift.
    values = {w: r.balance for w, r in store.rows(TABLE).items()}
    for w, off in zip(WALLETS[:3], (7, 10 ** 30, 10 ** 12)):
        store.sql(f"UPDATE {TABLE} SET balance = ? WHERE wallet = ?", stored(store, values[w] + off), w)
    store.sql(f"UPDATE {TABLE} SET balance = ?, observed_block = NULL WHERE wallet = ?",
              stored(store, 1), WALLETS[3])
    store.sql(f"UPDATE {TABLE} SET balance = ?, blocknumber = observed_block + 1 WHERE wallet = ?",
              stored(store, 1), WALLETS[4])
    found = audit(trueup, "--all", code=3)
    assert (found["compared"], found["drifted"]) == (58, 3)
    assert found["not_compared"] == {"unanchored": 1, "pending": 1, "unread": 0, "moving": 0, "gone": 0}
    assert [w["wallet"] for w in found["worst"]] == [WALLETS[1], WALLETS[2], WALLETS[0]]
    assert found["worst"][0]["actual"] == str(values[WALLETS[1]])
    assert found["causes"]["unknown"] == 3, "no change of ours wrote what stands there"
    assert store.sql("SELECT * FROM trueup_drift") == [], "it only looks"
    assert store.rows(TABLE)[WALLETS[0]].balance == values[WALLETS[0]] + 7

    said = trueup.run("audit", "--all", "--fix", code=3).stdout
    assert f"{BALANCE}: 3 of 58 rows wrong at block" in said and "3 repaired" in said
    assert {w: r.balance for w, r in store.rows(TABLE).items() if w not in WALLETS[3:5]} == {
        w: v for w, v in values.items() if w not in WALLETS[3:5]}
    causes = store.sql("SELECT cause FROM trueup_changes ORDER BY id DESC LIMIT 3")
    assert {c for c, in causes} == {"audit"}
    assert store.one("SELECT count(*) FROM trueup_drift") == 3
    assert audit(trueup, "--all", code=6)["drifted"] == 0, "two rows could not be compared"


def test_what_a_sweep_just_read_is_compared_at_once(chain, store, trueup, configured, rng):
    """Without a daemon a sweep reads at the head. An audit further back could compare none of that, and
    read everything a second time."""
    chain.world.mint_all(WALLETS, rng)
    trueup.config = configured(wallets="listed")
    trueup.run("migrate")
    store.many(f"INSERT INTO {TABLE} (wallet, updated_at) VALUES (?, ?)",
               [(w, "1970-01-01 00:00:00") for w in WALLETS])
    head = chain.rpc.number()
    store.sql("INSERT INTO eth_indexer_checkpoints (name, last_block) VALUES (?, ?)", CHECKPOINT, head)
    trueup.run("sweep")
    assert {r.observed_block for r in store.rows(TABLE).values()} == {head}
    whole = audit(trueup, "--all")
    assert (whole["compared"], whole["block"]) == (60, head)


def test_silent_changes_are_found_beside_a_daemon(chain, store, trueup, configured, rng):
    """While the daemon follows traffic: what no event said is wrong, what it is about to read is not."""
    world = chain.world
    finalized_table(chain, store, trueup, configured(sweep={"interval": "1h"}), rng)
    trueup.until(lambda: any(x in trueup.output() for x in ("tick complete", "nothing due")),
                 "the first tick")  # the next one is an hour away
    world.silent(WALLETS[40:45], rng)
    chain.anvil.mine(4)
    silent = chain.rpc.number() - 3
    trueup.until(lambda: store.synced(BALANCE) > silent, "it to be synced")
    for _ in range(3):
        world.traffic(WALLETS[:40], WALLETS[:3], rng, 60)
        found = audit(trueup, "--all", code=3)
        assert {w["wallet"] for w in found["worst"]} == set(WALLETS[40:45])
        assert found["causes"]["no_event_change"] == found["drifted"] == 5
    audit(trueup, "--all", "--fix", code=3)
    assert audit(trueup, "--all")["drifted"] == 0
    until_at_rest_rows = {w: store.rows(TABLE)[w].balance for w in WALLETS[40:45]}
    assert until_at_rest_rows == chain.truth.read(WALLETS[40:45])
    causes = store.sql("SELECT wallet, cause FROM trueup_drift")
    assert sorted(causes) == sorted((w, "no_event_change") for w in WALLETS[40:45])


def test_a_repair_that_comes_in_between_is_not_somebody_elses_writing(chain, store, trueup, provider,  # noqa: F811
                                                                      tmp_path, rng):
    """While an audit asks for the logs that could say why a row is wrong, a sweep puts it right: what
    stands there then is not what the audit saw, and nobody else wrote either."""
    def settings(url):
        return configs.settings(chain.world, url, store.url, sweep={"interval": "1h"})

    finalized_table(chain, store, trueup, configs.write(tmp_path / "trueup.yaml", settings(provider.url)), rng)
    direct = configs.write(tmp_path / "direct.yaml", settings(chain.anvil.url))
    trueup.until(lambda: any(x in trueup.output() for x in ("tick complete", "nothing due")),
                 "the first tick")  # the next one is an hour away
    chain.world.silent(WALLETS[40:41], rng)
    chain.anvil.mine(4)
    trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "it to be synced")
    assert trueup.stop() == 0
    provider.rules({"fault": "silence", "method": "eth_getLogs", "args": {"seconds": 4}})
    process = subprocess.Popen(trueup.command("audit", "--all", "--json"), cwd=trueup.folder, env=trueup.env,
                               stdout=subprocess.PIPE, text=True)
    until(lambda: provider.order()["rules"][0]["played"], "the audit to ask for logs")
    trueup.run("sweep", "-c", direct)
    assert store.rows(TABLE)[WALLETS[40]].balance == chain.truth.read([WALLETS[40]])[WALLETS[40]]
    assert process.poll() is None, "the audit is still asking"
    found = json.loads(process.communicate(timeout=60)[0])
    assert found["drifted"] == found["causes"]["no_event_change"] == 1, found


def test_holders_nobody_heard_of_are_missing_in_the_sum(chain, store, trueup, configured, rng):
    chain.world.mint_all(WALLETS[50:], rng)  # before we began:
    chain.anvil.mine(4)  # final by then
    finalized_table(chain, store, trueup, configured(), rng, WALLETS[:50])
    trueup.stop()
    assert audit(trueup, "--all")["supply"] == {"end": "not_asked"}
    supply = audit(trueup, "--all", "--supply", code=6)["supply"]
    missing = sum(Truth(chain.world, ("held",)).read(WALLETS[50:]).values())
    assert supply["end"] == "short" and supply["term"] == "held"
    assert int(supply["total_supply"]) - int(supply["sum"]) == missing


def test_refused_and_unready(chain, store, trueup, configured):
    trueup.config = configured()
    trueup.run("migrate")
    out = trueup.run("audit", code=1).stderr
    assert "no block is synced yet" in out and "hint: start trueup run" in out
    assert "exclude each other" in trueup.run("audit", "--all", "--sample", "5", code=2).stderr
    assert "--sample: 1 to" in trueup.run("audit", "--sample", "0", code=2).stderr
    assert "wants --all" in trueup.run("audit", "--supply", code=2).stderr


def test_killed_in_the_middle_of_a_repair(chain, store, trueup, provider, tmp_path, rng):  # noqa: F811
    """kill -9 at a random moment, three times; the run after it ends as if nothing had been."""
    many = [wallet(i) for i in range(1200)]
    trueup_config = configs.settings(chain.world, provider.url, store.url, terms=("held",), chain={
        "endpoints": [{"name": "slow", "url": provider.url, "ws": "off", "reader": "multicall3"}]})
    finalized_table(chain, store, trueup, configs.write(tmp_path / "trueup.yaml", trueup_config), rng,
                  many)
    trueup.stop()
    chain.world.silent(many[:900], rng)
    chain.anvil.mine(4)
    trueup.start()  # covers those blocks; its sweep has not come round
    trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "them to be synced")
    trueup.kill()
    provider.rules({"fault": "silence", "method": "eth_call", "args": {"seconds": 0.05}})
    for _ in range(3):
        process = subprocess.Popen(trueup.command("audit", "--all", "--fix"), cwd=trueup.folder,
                                   env=trueup.env, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.2, 1.5))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    provider.reset()
    trueup.run("audit", "--all", "--fix", code=None)  # not held up by the dead one's lease
    assert audit(trueup, "--all")["drifted"] == 0
    assert_at_rest_equal(store, chain.truth, wallets=many)
    filed = store.sql("SELECT wallet, count(*) FROM trueup_drift GROUP BY wallet")
    assert all(n == 1 for _, n in filed), "a row repaired is filed once"
