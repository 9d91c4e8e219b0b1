"""The sweep as a daemon's worker: picks, lists, drops, and what it must never write."""

import contextlib
import os
import subprocess
import threading
import time

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, assert_anchored_rows_true, until_at_rest
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.provider import asked, provider  # noqa: F401
from harness.wait import until
from harness.world import wallet

WALLETS = [wallet(i) for i in range(40)]

on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


def started(trueup, store):
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")


def dropped(trueup):
    """The running count of dropped ticks, as the last log line has it."""
    lines = [x for x in trueup.output().splitlines() if "ticks dropped" in x]
    return int(lines[-1].split("dropped_total=")[1].split()[0]) if lines else 0


def test_one_row_a_tick(chain, store, trueup, configured, rng):
    """K = 1: the oldest, one by one, each before any a second time."""
    chain.world.mint_all(WALLETS[:12], rng)
    chain.anvil.mine(3)  # a first start begins at the finalized block: no event is left to name them
    trueup.config = configured(wallets="listed", sweep={"interval": "100ms", "batch": 1})
    trueup.run("migrate")
    store.list_wallets(BALANCE, WALLETS[:12])
    started(trueup, store)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:12])
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:12])
    ticks = [x for x in trueup.output().splitlines() if "tick complete" in x]
    assert len(ticks) >= 12 and all("requested=1 updated=1" in x for x in ticks), ticks[:3]
    # A first read is at the head, and waits for the sweep's block to come there.
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:12])
    # Two laps: between two reads of any row every other one is read once.
    seen = {w: r.updated_at for w, r in store.rows(TABLE).items()}
    order = sorted(seen, key=seen.get)
    trueup.until(lambda: store.rows(TABLE)[order[-1]].updated_at > seen[order[-1]], "another lap", 20)
    after = {w: r.updated_at for w, r in store.rows(TABLE).items()}
    assert all(after[w] > seen[w] for w in order), "somebody was left out of the lap"


@on_sqlite
def test_a_slow_node_drops_ticks_and_piles_up_nothing(chain, store, trueup, provider, tmp_path,  # noqa: F811
                                                      rng):
    """Row of the first user: a tick that comes due while one runs is dropped; ours are counted."""
    chain.world.mint_all(WALLETS, rng)
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, provider.url, store.url, wallets="listed",
        sweep={"interval": "200ms", "batch": 10}))
    trueup.run("migrate")
    store.list_wallets(BALANCE, WALLETS)
    started(trueup, store)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    before = dropped(trueup)
    provider.order(rules=[{"fault": "silence", "method": "eth_call", "args": {"seconds": 0.9}}],
                   clear_log=True)
    began = time.monotonic()
    trueup.until(lambda: dropped(trueup) >= before + 6, "ticks to be dropped", 20)
    ticks = (time.monotonic() - began) / 0.2
    calls = len(asked(provider, "eth_call"))
    assert calls <= ticks / 3, f"{calls} requests in {ticks:.0f} intervals: they pile up"
    lines = [x for x in trueup.output().splitlines() if "ticks dropped" in x]
    assert all("warn" in x for x in lines)
    assert_anchored_rows_true(store, chain.truth)


# ---- the list -----------------------------------------------------------------------------------------


def test_listed_wallets_come_and_go(chain, store, trueup, configured, rng):
    """A listed wallet's row appears with its first read, never with a guess; a removed one's goes, and
    no event brings it back; nobody else gets one."""
    world = chain.world
    world.mint_all(WALLETS[:10], rng)
    chain.anvil.mine(3)
    trueup.config = configured(wallets="listed")
    trueup.run("wallets", "add", *WALLETS[:5])
    assert store.rows(TABLE) == {}, "the list alone, no row with a guess"
    started(trueup, store)
    trueup.until(lambda: len(store.rows(TABLE)) == 5, "the five to be read")
    world.token.send("mintMany", WALLETS[:10], [3] * 10)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:5])
    assert set(store.rows(TABLE)) == set(WALLETS[:5])
    out = trueup.run("wallets", "remove", *WALLETS[:2]).stdout
    assert out == "audio: 2 removed\n"
    trueup.run("wallets", "add", WALLETS[5])
    world.token.send("mintMany", WALLETS[:10], [3] * 10)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[2:6])
    assert set(store.rows(TABLE)) == set(WALLETS[2:6])
    assert_at_rest_equal(store, chain.truth)
    listed = trueup.run("wallets", "list").stdout.split()
    assert sorted(listed[1::2]) == sorted(WALLETS[2:6]) and set(listed[::2]) == {"audio"}
    assert trueup.run("wallets", "count").stdout.startswith("audio: 4 listed, 4 rows, ")


@pytest.mark.parametrize("planned_by", ["event", "sweep"])
def test_removed_while_its_write_is_planned(chain, store, trueup, provider, tmp_path,  # noqa: F811
                                            planned_by):
    """The read is in flight when the wallet is removed: the write checks again and inserts nothing."""
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, provider.url, store.url, wallets="listed", sweep={"interval": "100ms"}))
    chain.anvil.mine(3)  # the sweep reads at the finalized block, where the contracts must be
    trueup.run("wallets", "add", *WALLETS[:3])
    started(trueup, store)
    trueup.until(lambda: len(store.rows(TABLE)) == 3, "the three to be read")
    provider.order(rules=[{"fault": "silence", "method": "eth_call", "args": {"seconds": 1.2}}],
                   clear_log=True)
    if planned_by == "event":
        chain.world.token.send("mint", WALLETS[0], 5)
    else:
        trueup.run("wallets", "add", WALLETS[3])
    gone = WALLETS[0 if planned_by == "event" else 3]
    trueup.until(lambda: any(gone[2:] in str(p) for p in asked(provider, "eth_call")),
                 "its read to be in flight")
    trueup.run("wallets", "remove", gone)
    provider.reset()
    chain.anvil.mine(1)
    trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "it to be synced")
    time.sleep(1.3)  # the slow answer arrives, whatever is made of it
    assert gone not in store.rows(TABLE)
    assert gone not in store.quarantined(BALANCE)


# ---- whose wallets: the application's own tables ------------------------------------------------------

QUERY = """SELECT lower(wallet) FROM users WHERE lower(wallet) = ANY($1)
UNION SELECT lower(wallet) FROM associated_wallets
WHERE lower(wallet) = ANY($1) AND chain = 'eth' AND is_current AND NOT is_delete"""


def test_wallets_of_a_query(chain, postgres, trueup, tmp_path, rng):
    world, store = chain.world, postgres
    store.script("""CREATE TABLE users (user_id INT, wallet TEXT);
        CREATE TABLE associated_wallets (wallet TEXT, chain TEXT, is_current BOOL, is_delete BOOL)""")
    mixed = "0x" + WALLETS[0][2:].upper()
    store.many("INSERT INTO users VALUES (1, ?)", [(mixed,), (WALLETS[1],)])
    store.many("INSERT INTO associated_wallets VALUES (?, ?, ?, ?)", [
        (WALLETS[2], "eth", True, False), (WALLETS[3], "sol", True, False),
        (WALLETS[4], "eth", True, True), (WALLETS[5], "eth", False, False)])
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        world, chain.anvil.url, store.url, wallets={"query": QUERY}))
    started(trueup, store)
    world.mint_all(WALLETS[:10], rng)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:3])
    assert set(store.rows(TABLE)) == set(WALLETS[:3])
    # Counted from when it signs up; and a row that exists is kept, whatever the query says later.
    store.many("INSERT INTO users VALUES (2, ?)", [(WALLETS[6],)])
    store.sql("DELETE FROM users WHERE wallet = ?", WALLETS[1])
    world.mint_all(WALLETS[:10], rng)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:3] + [WALLETS[6]])
    assert set(store.rows(TABLE)) == set(WALLETS[:3] + [WALLETS[6]])
    assert_at_rest_equal(store, chain.truth)


def test_a_query_that_fails_holds_the_checkpoint(chain, postgres, trueup, tmp_path):
    world, store = chain.world, postgres
    store.script("CREATE TABLE users (user_id INT, wallet TEXT)")
    store.many("INSERT INTO users VALUES (1, ?)", [(WALLETS[0],)])
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        world, chain.anvil.url, store.url,
        wallets={"query": "SELECT wallet FROM users WHERE wallet = ANY($1)"}))
    started(trueup, store)
    store.sql("ALTER TABLE users RENAME TO people")
    world.token.send("mint", WALLETS[0], 5)
    named = chain.rpc.number()
    trueup.until_log("users")  # the database's own words
    assert store.synced(BALANCE) < named and WALLETS[0] not in store.rows(TABLE)
    store.sql("ALTER TABLE people RENAME TO users")
    trueup.until(lambda: store.synced(BALANCE) >= named, "the checkpoint to move")
    assert store.rows(TABLE)[WALLETS[0]].balance == 5


# ---- more of the same ---------------------------------------------------------------------------------


@on_sqlite
def test_two_balances_do_not_wait_for_each_other(chain, store, trueup, configured, rng, tmp_path):
    """The contract of the first is broken; the second is followed and swept as if nothing were."""
    world = chain.world
    settings = configs.settings(world, chain.anvil.url, store.url, terms=("staked",))
    second = dict(settings["balances"][0], name="second", table="second_balances",
                  checkpoint="second", terms=[{"name": "held", "contract": world.token.address,
                                               "view": "balanceOf(address)"}])
    settings["balances"].append(second)
    trueup.config = configs.write(tmp_path / "trueup.yaml", settings)
    started(trueup, store)
    world.mint_all(WALLETS[:10], rng)
    trueup.until(lambda: len(store.rows("second_balances")) == 10 == len(store.rows(TABLE)), "rows")
    chain.rpc.call("anvil_setCode", world.staking.address, "0x60006000fd")
    world.token.send("mintMany", WALLETS[:20], [7] * 20)
    named = chain.rpc.number()
    trueup.until(lambda: store.synced("second") >= named, "the second to go on")
    rows = store.rows("second_balances")
    assert len(rows) == 20 and all(r.blocknumber == named for r in rows.values())
    assert store.synced(BALANCE) < named


@on_sqlite
def test_reading_at_full_width_again_after_a_hang(chain, store, trueup, provider, tmp_path, rng):  # noqa: F811
    """A node that once said "too slow" is not asked wallet by wallet for ever after."""
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, provider.url, store.url, wallets="listed", sweep={"interval": "100ms", "batch": 40}))
    chain.world.mint_all(WALLETS, rng)
    chain.anvil.mine(3)
    trueup.run("wallets", "add", *WALLETS)
    started(trueup, store)
    trueup.until(lambda: len(store.rows(TABLE)) == 40, "all to be read")
    chain.anvil.mine(3)
    provider.rules({"fault": "reply-cap", "method": "eth_call", "args": {"bytes": 2000}})
    said = len(trueup.output())
    trueup.until(lambda: "tick complete" in trueup.output()[said:], "ticks in small pieces", 20)
    provider.reset()

    def widest():
        provider.order(clear_log=True)
        said = len(trueup.output())
        trueup.until(lambda: trueup.output()[said:].count("tick complete") >= 3, "three ticks")
        return len(asked(provider, "eth_call")) <= 6

    until(widest, "one or two requests a tick", 40)


# ---- beside a command ---------------------------------------------------------------------------------


@contextlib.contextmanager
def another_job(store, words):
    """As another process that lives shows itself."""
    ended = threading.Event()

    def beat():
        while not ended.wait(0.3):
            store.sql("UPDATE trueup_fence SET beat = beat + 1 WHERE role = 'job'")

    store.sql("UPDATE trueup_fence SET holder = 'theirs', job = ? WHERE role = 'job'", words)
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_it_pauses_while_a_job_reads_the_rows(chain, store, trueup, configured, rng):
    """And only the sweep: follow goes on. A second job is refused, one whose process is gone is not
    waited for."""
    chain.world.mint_all(WALLETS[:5], rng)
    trueup.config = configured(wallets="listed", sweep={"interval": "100ms"})
    trueup.run("migrate")
    store.list_wallets(BALANCE, WALLETS[:5])
    started(trueup, store)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:5])
    with another_job(store, "backfill, process 1 on elsewhere"):
        trueup.until_log("paused while another job reads the rows")
        refused = trueup.run("sweep", code=1).stderr
        assert "another job is at work on this store: backfill, process 1 on elsewhere" in refused
        said = len(trueup.output())
        chain.world.token.send("mint", WALLETS[0], 1)
        trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "follow to go on")
        assert "tick complete" not in trueup.output()[said:]
    # Nothing beats any more: a command waits a little, or not at all where the process is seen to be gone.
    assert trueup.run("sweep").stdout.startswith("audio: 5 rows read")
    host = os.uname().nodename
    dead = subprocess.Popen(["true"])
    dead.wait()
    with another_job(store, f"backfill, process {dead.pid} on {host}"):
        assert trueup.run("sweep").stdout.startswith("audio: 5 rows read")
    trueup.until_log("stale refresh: resumed", start=said)
    assert store.one("SELECT holder FROM trueup_fence WHERE role = 'job'") is None
