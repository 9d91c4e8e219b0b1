"""The commands around the daemon: what they print, where, and their exit status."""

import json
import re
import signal
import subprocess
import time

import pytest

from harness import config as configs
from harness.node import free_port
from harness.checks import assert_at_rest_equal, until_at_rest
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.provider import asked, provider  # noqa: F401
from harness.truth import Truth
from harness.wait import SLOWNESS, until
from harness.world import EMPTY, REVERT, wallet

WALLETS = [wallet(i) for i in range(40)]

on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


def one_line_and_hint(stderr, hint=True):
    """An error is one line, cause first, and a second that starts with hint: where there is something
    to do."""
    lines = stderr.splitlines()
    assert lines and lines[0].startswith("trueup: "), stderr
    assert len(lines) == (2 if hint else 1), stderr
    assert not hint or lines[1].startswith("hint: "), stderr
    return lines[0]


# ---- read ---------------------------------------------------------------------------------------------


@on_sqlite
def test_read(chain, store, trueup, configured, rng):
    world = chain.world
    trueup.config = configured()
    world.mint_all(WALLETS[:10], rng)
    world.traffic(WALLETS[:10], WALLETS[:2], rng, 100)
    then = chain.rpc.number()
    world.mint_all(WALLETS[:10], rng)
    now = chain.truth.read(WALLETS[:12])
    lines = dict(x.split()[1:3] for x in trueup.run("read", *WALLETS[:12]).stdout.splitlines())
    assert lines == {w: str(now[w]) for w in WALLETS[:12]}
    assert not store.path.exists(), "read touches no store"

    past = chain.truth.read(WALLETS[:3], then)
    out = trueup.run("read", "--at", then, "--json", *WALLETS[:3]).stdout.splitlines()
    got = {r["wallet"]: r for r in map(json.loads, out)}
    assert {w: r["value"] for w, r in got.items()} == {w: str(past[w]) for w in WALLETS[:3]}
    assert {(r["block"], r["balance"]) for r in got.values()} == {(then, BALANCE)}

    parts = {t: Truth(world, (t,)).read(WALLETS[:1])[WALLETS[0]] for t in ("held", "staked", "delegated")}
    text = trueup.run("read", "--terms", WALLETS[0]).stdout.split()
    assert text[2:] == [str(now[WALLETS[0]])] + [f"{t}={v}" for t, v in parts.items()]
    row = json.loads(trueup.run("read", "--terms", "--json", WALLETS[0]).stdout)
    assert row["terms"] == {t: str(v) for t, v in parts.items()}


@on_sqlite
def test_read_of_wallets_that_have_no_answer(chain, store, trueup, configured):
    trueup.config = configured()
    chain.world.mood(WALLETS[:1], REVERT)
    chain.world.mood(WALLETS[1:2], EMPTY)
    done = trueup.run("read", *WALLETS[:3], code=1)
    assert done.stderr == "trueup: 2 of 3 balances could not be read\n"
    said = dict(x.split(" ", 2)[1:] for x in done.stdout.splitlines())
    assert said == {WALLETS[0]: "reverted", WALLETS[1]: "empty answer", WALLETS[2]: "0"}
    rows = [json.loads(x) for x in trueup.run("read", "--json", *WALLETS[:2],
                                            code=1).stdout.splitlines()]
    assert all(r["value"] is None and r["error"] for r in rows)


@on_sqlite
def test_read_refuses_what_is_no_wallet(chain, store, trueup, configured):
    trueup.config = configured()
    mixed = "0x18AAA7115705e8be94bfFEBDE57Af9BFc265B998"  # of the checksum only one letter is wrong
    first = trueup.run("read", mixed, code=2).stderr
    assert mixed in first and "0x18aAA7115705e8be94bfFEBDE57Af9BFc265B998" in first, first
    for bad in ("0x123", "nobody.eth", WALLETS[0] + "00", WALLETS[0][2:-1] + "g", ""):
        said = trueup.run("read", bad, code=2).stderr
        assert said.startswith("trueup: ") and bad in said, said
    trueup.run("read", WALLETS[0].upper().replace("0X", "0x"))  # one case throughout: no checksum to be wrong


# ---- sweep --------------------------------------------------------------------------------------------


def seeded(chain, store, rng, n=40):
    chain.world.mint_all(WALLETS[:n], rng)
    chain.anvil.mine(4)
    balance = str if store.kind == "sqlite" else int
    store.many(f"INSERT INTO {TABLE} (wallet, balance, updated_at) VALUES (?, ?, ?)",
               [(w, balance(1), "1970-01-01 00:00:00.000000") for w in WALLETS[:n]])


def test_sweep(chain, store, trueup, configured, rng):
    trueup.config = configured()
    trueup.run("migrate")
    seeded(chain, store, rng)
    done = trueup.run("sweep")
    assert done.stdout.startswith("audio: 40 rows read, 40 anchored, 40 had changed, 0 failed, ")
    assert done.stderr == "", "no terminal, no bar; and it took no ten seconds"
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
    assert {r.blocknumber for r in store.rows(TABLE).values()} == {None}
    # Only what is older: nothing is by now, then everything again.
    row = json.loads(trueup.run("sweep", "--max-age", "1h", "--json").stdout)
    assert (row["balance"], row["rows"], row["requests"]) == (BALANCE, 0, 0)
    store.sql(f"UPDATE {TABLE} SET updated_at = '2020-01-01 00:00:00' WHERE wallet = ?", WALLETS[5])
    row = json.loads(trueup.run("sweep", "--max-age", "1h", "--json").stdout)
    assert (row["rows"], row["updated"], row["changed"], row["failed"]) == (1, 1, 0, 0)
    said = trueup.run("sweep", "--max-age", "soon", code=2).stderr
    assert "soon" in one_line_and_hint(said)


def test_sweep_leaves_out_who_cannot_be_read(chain, store, trueup, configured, rng):
    trueup.config = configured()
    trueup.run("migrate")
    seeded(chain, store, rng)
    chain.world.mood(WALLETS[:3], REVERT)
    chain.anvil.mine(4)
    assert ", 3 failed, " in trueup.run("sweep").stdout
    assert store.quarantined(BALANCE) == set(WALLETS[:3])
    assert {store.rows(TABLE)[w].balance for w in WALLETS[:3]} == {1}
    assert trueup.run("sweep").stdout.startswith("audio: 37 rows read")


def test_sweep_beside_the_daemon(chain, store, trueup, configured, rng):
    trueup.config = configured()
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    chain.world.mint_all(WALLETS, rng)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    for _ in range(3):
        trueup.run("sweep")
        chain.world.traffic(WALLETS, WALLETS[:3], rng, 100)
    until_at_rest(trueup, store, chain.anvil)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
    assert "worker died" not in trueup.output()


@pytest.mark.alone
@on_sqlite
@pytest.mark.parametrize("fault", ["silence", "slow-loris"])
def test_sweep_stopped_by_ctrl_c(chain, store, trueup, provider, tmp_path, rng, fault):  # noqa: F811
    """At once, whatever the node does; it says how far it came and what a rerun does."""
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, provider.url, store.url))
    trueup.run("migrate")
    seeded(chain, store, rng)
    for method, about in (("eth_chainId", "eth_chainId"), ("eth_call", WALLETS[0][2:])):
        provider.rules({"fault": fault, "method": method, "match": about})
        provider.order(clear_log=True)
        child = subprocess.Popen(trueup.command("sweep"), cwd=tmp_path, env=trueup.env, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until(lambda: any(r["method"] == method and about in json.dumps(r) for r in provider.log()),  # noqa: B023
              f"{method} to be asked", 10)
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=10 * SLOWNESS)
        assert time.monotonic() - began < 1 * SLOWNESS
        assert child.returncode == 1 and err.startswith("trueup: "), err
        if method == "eth_call":
            assert out.startswith("audio: 0 rows read"), out
            one_line_and_hint(err)
    provider.reset()
    trueup.run("sweep")
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)


@on_sqlite
def test_progress_is_a_plain_line_every_ten_seconds(chain, store, trueup, provider, tmp_path, rng):  # noqa: F811
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, provider.url, store.url))
    trueup.run("migrate")
    seeded(chain, store, rng)
    provider.rules({"fault": "silence", "method": "eth_call", "match": WALLETS[0][2:], "times": 1,
                    "args": {"seconds": 11}})
    done = trueup.run("sweep")
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and re.match(
        r"sweep audio .*\d+ of 40 rows, \d+/s, \d+ requests, ETA ", lines[0]), lines
    assert "\r" not in done.stderr and "\033" not in done.stderr


# ---- wallets, migrate, help ---------------------------------------------------------------------------


def test_wallets(chain, store, trueup, configured):
    trueup.config = configured(wallets="listed")
    assert trueup.run("wallets", "add", *WALLETS[:3]).stdout == "audio: 3 added\n"
    assert trueup.run("wallets", "add", WALLETS[2], WALLETS[3]).stdout == "audio: 1 added\n"
    rows = [json.loads(x) for x in trueup.run("wallets", "list", "--json").stdout.splitlines()]
    assert sorted(r["wallet"] for r in rows) == sorted(WALLETS[:4])
    assert json.loads(trueup.run("wallets", "count", "--json").stdout) == {
        "balance": BALANCE, "listed": 4, "rows": 0, "unanchored": 0, "quarantined": 0}
    assert trueup.run("wallets", "remove", WALLETS[3], WALLETS[9]).stdout == "audio: 1 removed\n"
    one_line_and_hint(trueup.run("wallets", "frobnicate", code=2).stderr)
    one_line_and_hint(trueup.run("wallets", "add", code=2).stderr)
    trueup.run("wallets", code=2)
    trueup.run("wallets", "add", "0x123", code=2)
    assert trueup.run("wallets", "count").stdout.startswith("audio: 3 listed, 0 rows")


def test_migrate_and_reset_chain(chain, store, trueup, configured, rng):
    world = chain.world
    trueup.config = configured()
    assert "table created\n" in trueup.run("migrate").stdout
    assert trueup.run("migrate").stdout == "schema is up to date\n"
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    world.mint_all(WALLETS[:10], rng)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:10])
    assert trueup.stop() == 0
    before = store.rows(TABLE)
    out = trueup.run("migrate", "--reset-chain").stdout
    assert "the old chain is forgotten" in out
    after = store.rows(TABLE)
    assert {w: r.balance for w, r in after.items()} == {w: r.balance for w, r in before.items()}
    assert {r.observed_block for r in after.values()} == {None}
    assert store.checkpoint(CHECKPOINT) is None
    trueup.start()
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:10])
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:10])


@on_sqlite
def test_help(store, trueup, tmp_path):
    text = trueup.run("help").stdout
    for command in ("run", "read", "sweep", "wallets", "config", "migrate", "help", "version"):
        assert re.search(rf"^  {command} ", text, re.M), command
        assert trueup.run("help", command).stdout.startswith(f"usage: trueup {command}")
        assert trueup.run(command, "--help").stdout == trueup.run("help", command).stdout
    assert "worker" not in text
    assert trueup.run("--help").stdout == text == trueup.run("-h").stdout
    assert re.match(r"trueup \d+\.\d+\.\d+\n$", trueup.run("version").stdout)
    assert trueup.run("read", *["-h"] * 200).stdout.startswith("usage: ")


# ---- exit statuses, one by one ------------------------------------------------------------------------


def edited(trueup, tmp_path, world, store_url, node_url, **changes):
    trueup.config = configs.write(tmp_path / "edited.yaml",
                                  configs.settings(world, node_url, store_url, **changes))


@on_sqlite
def test_a_slip_of_the_finger_is_understood(store, trueup):
    def said(*words):
        return trueup.run(*words, code=2).stderr.splitlines()

    assert said("rnu")[1].startswith("hint: is it `trueup run`?")
    assert said("sweep", "--max-aeg", "1h")[1].startswith("hint: is it --max-age?")
    assert said("zzz")[1].startswith("hint: `trueup help`")
    assert said("explain") == ["trueup: explain: too few arguments", "hint: trueup explain [options] WALLET…"]


def test_exit_1_failed(chain, store, trueup, configured):
    trueup.config = configured()
    said = trueup.run("read", "--at", 10 ** 9, WALLETS[0], code=1).stderr
    assert "1000000000" in said


@on_sqlite
@pytest.mark.parametrize("words", [["frobnicate"], ["read"], ["read", "--frobnicate", WALLETS[0]],
                                   ["sweep", "extra"], ["run", "--from", "yesterday"],
                                   ["read", "--at", "latest", WALLETS[0]], ["read", "--at"],
                                   ["help", "frobnicate"], ["sweep", "--max", "1h"],
                                   ["sweep", "--balance", "nobody"], ["-c"]])
def test_exit_2_usage(chain, store, trueup, configured, words):
    """Before anything is asked of node or store."""
    path = configured()
    trueup.config = None
    one = trueup.run(words[0], *(["-c", path] if words[0] in ("read", "sweep", "run") else []), *words[1:],
                     code=2)
    assert one.stdout == "" and one.stderr.startswith(("trueup: ", "--")), one


@on_sqlite
def test_exit_2_configuration(chain, store, trueup, configured, tmp_path):
    trueup.config = configured(sweep={"intervall": "30s"})
    said = trueup.run("run", code=2).stderr
    assert "trueup.yaml:" in said and "intervall" in said
    trueup.config = tmp_path / "nowhere.yaml"
    assert "nowhere.yaml" in trueup.run("read", WALLETS[0], code=2).stderr
    trueup.config = None
    trueup.run("read", WALLETS[0], code=2)  # no file, no flags


@on_sqlite
def test_exit_4_no_endpoint_or_another_chain(chain, store, trueup, configured, tmp_path):
    dead = f"http://127.0.0.1:{free_port()}"
    edited(trueup, tmp_path, chain.world, store.url, dead)
    said = trueup.run("read", WALLETS[0], code=4).stderr
    assert "local" in said or "127.0.0.1" in said, said
    edited(trueup, tmp_path, chain.world, store.url, chain.anvil.url, chain={"id": 1})
    for command in (["read", WALLETS[0]], ["backfill", "-y"]):
        assert "31337" in trueup.run(*command, code=4).stderr


def test_exit_5_store(chain, store, trueup, configured, tmp_path):
    if store.kind == "sqlite":
        bad = f"sqlite:{tmp_path}/no/such/folder/x.db"
    else:
        bad = store.url.replace("?", "_missing?")
    edited(trueup, tmp_path, chain.world, bad, chain.anvil.url)
    for command in (["migrate"], ["sweep"], ["wallets", "count"], ["run"]):
        said = trueup.run(*command, code=5).stderr
        assert "trueup: " in said, said
    # Refused: a table of that name which is something else.
    store.script(f"CREATE TABLE {TABLE} (name TEXT)")
    edited(trueup, tmp_path, chain.world, store.url, chain.anvil.url)
    assert "wallet" in trueup.run("migrate", code=5).stderr


@on_sqlite
def test_results_to_stdout_logs_to_stderr(chain, store, trueup, configured):
    trueup.config = configured(log={"level": "trace"})
    trueup.run("migrate")
    done = trueup.run("read", "--json", WALLETS[0])
    assert json.loads(done.stdout)["value"] == "0"
