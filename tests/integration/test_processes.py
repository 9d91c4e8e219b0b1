"""Processes that break: a sweep that crashes, loops, runs out of memory; each process killed during
traffic; settings read again; and what the supervisor and web must never touch.

What breaks is the program as it is shipped (harness/poke.py)."""

import contextlib
import fcntl
import os
import re
import resource
import select
import signal
import subprocess
import time

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, until_at_rest
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.daemon import ROOT, binary
from harness.poke import memory_of, poke
from harness.postgres import Cluster
from harness.provider import provider  # noqa: F401
from harness.store import PostgresStore
from harness.wait import SLOWNESS
from harness.web import listening
from harness.world import wallet

WALLETS = [wallet(i) for i in range(30)]

on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def running(chain, store, trueup, configured):
    """A daemon with all its workers, listening; .client asks it."""
    def go(**changes):
        http, trueup.client = listening()
        trueup.config = configured(
            http=http, chain={"endpoints": [{"name": "local", "url": chain.anvil.url,
                                             "ws": chain.anvil.ws}]}, **changes)
        trueup.start()
        trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
        trueup.until(trueup.client.answers, "HTTP")
        return trueup
    return go


def restarts(trueup, worker, reason):
    return trueup.client.metrics().get(
        f'trueup_worker_restarts_total{{worker="{worker}",reason="{reason}"}}', 0)


def until_restarted(trueup, worker, reason, seconds=20):
    trueup.until(lambda: restarts(trueup, worker, reason) >= 1, f"{worker} to die of {reason}", seconds)
    trueup.until(lambda: worker in trueup.workers(), f"{worker} to be back", seconds)


def crash_report(trueup, worker):
    return [x for x in trueup.output().splitlines() if "worker died" in x and f"name={worker}" in x][-1]


def place(line):
    """The functions a crash report names, by addr2line: the program may be loaded anywhere."""
    offsets = re.findall(r"trueup\+(0x[0-9a-f]+)", line)
    done = subprocess.run(["addr2line", "-f", "-e", binary(), *offsets], text=True,
                          stdout=subprocess.PIPE, check=True)
    return done.stdout.splitlines()[::2]


# ---- a sweep that breaks ------------------------------------------------------------------------------

BREAKS = [("segfault", "crash", "signal 11"), ("illegal", "crash", "signal 4"),
          ("loop", "hung", "hung: no sign of life for 3000 ms, ended with signal 6"),
          ("memory", "memory", "out of memory")]


@pytest.mark.alone
@on_sqlite
@pytest.mark.parametrize("what,reason,words", BREAKS, ids=[b[0] for b in BREAKS])
def test_a_sweep_that_breaks_leaves_the_subscription_alone(chain, store, trueup, running, rng, what,
                                                           reason, words):
    trueup.env["TRUEUP_HUNG_AFTER_MS"] = "3000"
    running()
    others = {n: p for n, p in trueup.workers().items() if n != "sweep"}
    victim = trueup.worker("sweep")
    if what == "memory":  # with enough rows that a tick needs memory afresh
        chain.world.mint_all([wallet(n) for n in range(100, 2100)], rng)
        trueup.until(lambda: len(store.rows(TABLE)) == 2000, "rows", 60)
        resource.prlimit(victim, resource.RLIMIT_AS, (1 << 20, 1 << 20))
    else:
        poke(victim, binary(), "sweep_tick", what)
    chain.world.mint_all(WALLETS, rng)  # while it is broken, events are followed all the same
    trueup.until(lambda: set(WALLETS) <= set(store.rows(TABLE)), "rows from events")
    until_restarted(trueup, "sweep", reason)
    line = crash_report(trueup, "sweep")
    assert words in line and f"kind={reason}" in line, line
    if what != "memory":
        assert "sweep_tick" in place(line), (line, place(line))
    died = next(w for w in trueup.client.status()["workers"] if w["name"] == "sweep")["died_of"]
    assert words in died
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)  # so the sweep is at work again
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
    assert {n: p for n, p in trueup.workers().items() if n != "sweep"} == others
    assert trueup.stop() == 0


@on_sqlite
def test_one_that_breaks_again_and_again_is_parked(chain, store, trueup, running):
    """Its budget is spent: health says so in red, the others go on."""
    trueup.env["TRUEUP_PARK_AFTER"] = "3"
    running()
    others = {n: p for n, p in trueup.workers().items() if n != "sweep"}
    for _ in range(3):
        old = trueup.worker("sweep")
        os.kill(old, signal.SIGSEGV)
        trueup.until(lambda: trueup.workers().get("sweep") != old, "its end")

    def parked():
        code, _, words = trueup.client.ask("/readyz")
        return code == 503 and "worker sweep died too often, next try in" in words
    trueup.until(parked, "/readyz to say so")
    shown = trueup.run("status", code=1).stdout
    assert "parked" in shown
    assert trueup.client.status()["verdict"]["state"] == "red"
    chain.world.token.send("mint", WALLETS[0], 5)
    trueup.until(lambda: WALLETS[0] in store.rows(TABLE), "a row from an event")
    assert {n: p for n, p in trueup.workers().items()} == others
    assert trueup.stop() == 0


@on_sqlite
def test_one_that_dies_at_each_start_is_told_before_it_is_parked(chain, store, trueup, running):
    """The next one is soon there, and the light does not turn green for it."""
    running()
    words = re.compile(r"worker sweep died \d+ times since \d+s: signal 11")

    def is_told(path):
        old = trueup.workers().get("sweep")
        if old:
            os.kill(old, signal.SIGSEGV)
        code, _, body = trueup.client.ask(path)
        return code == 503 and words.search(body)
    trueup.until(lambda: is_told("/readyz"), "/readyz to say so", 30)
    assert is_told("/freshz") and is_told("/readyz")
    assert words.search(trueup.client.status()["verdict"]["reasons"][0]["text"])
    trueup.until(lambda: trueup.client.ask("/readyz")[0] == 200, "a sweep that lives", 60)
    assert trueup.stop() == 0


@pytest.mark.alone
@on_sqlite
def test_a_stopped_process_is_replaced(chain, store, trueup, running):
    """SIGSTOP: it exists, holds its connections, and does nothing."""
    trueup.env["TRUEUP_HUNG_AFTER_MS"] = "3000"
    running()
    for name in ("follow", "web"):
        old = trueup.worker(name)
        os.kill(old, signal.SIGSTOP)
        trueup.until(lambda: trueup.workers().get(name) not in (None, old), f"another {name}", 20)
    trueup.until(trueup.client.answers, "HTTP")
    assert restarts(trueup, "follow", "hung") == 1 and restarts(trueup, "web", "hung") == 1
    chain.world.token.send("mint", WALLETS[0], 5)
    trueup.until(lambda: WALLETS[0] in store.rows(TABLE), "a row from an event")
    assert trueup.stop() == 0


# ---- kill -9 of everything ----------------------------------------------------------------------------


def test_kill_of_everything_during_traffic(chain, trueup, provider, tmp_path, rng):  # noqa: F811
    """listen, follow, sweep, web, the supervisor, the database, the node: one after the other."""
    cluster = Cluster()
    try:
        store = PostgresStore(cluster.start().url())
        http, trueup.client = listening()
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, provider.url, store.url, http=http,
            chain={"endpoints": [{"name": "local", "url": provider.url, "ws": chain.anvil.ws}]}))
        trueup.start()
        trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
        for name in ("listen", "follow", "sweep", "web"):
            chain.world.traffic(WALLETS, WALLETS[:3], rng, 60) if name != "listen" else \
                chain.world.mint_all(WALLETS, rng)
            old = trueup.worker(name)
            trueup.kill(name)
            chain.world.mint_all(WALLETS[::3], rng)
            trueup.until(lambda: trueup.workers().get(name) not in (None, old), f"another {name}")
        trueup.until(trueup.client.answers, "HTTP")
        for name in ("listen", "follow", "sweep", "web"):
            assert restarts(trueup, name, "signal") == 1
        chain.world.mint_all(WALLETS[1::3], rng)
        trueup.kill()
        chain.world.mint_all(WALLETS[2::3], rng)
        trueup.start()
        trueup.until(lambda: len(trueup.workers()) == 4 and trueup.client.answers(), "all workers")
        chain.world.mint_all(WALLETS, rng)
        pids = trueup.workers()
        store.close()
        cluster.kill()
        chain.world.mint_all(WALLETS[::2], rng)
        trueup.until(lambda: "the database" in trueup.client.ask("/readyz")[2], "/readyz to notice")
        cluster.start()
        store = PostgresStore(cluster.url())
        until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
        assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
        provider.kill()
        chain.world.mint_all(WALLETS[1::2], rng)
        trueup.until(lambda: trueup.client.ask("/readyz")[0] == 503, "/readyz to notice")
        provider.restart()
        until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
        assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
        assert trueup.workers() == pids, "nobody had to die"
        assert trueup.stop() == 0
        store.close()
    finally:
        trueup.reap()
        cluster.remove()


@pytest.mark.alone
@on_sqlite
def test_a_killed_worker_is_soon_back_at_work(chain, store, trueup, running, record_property):
    """From kill -9 until an event that came meanwhile is in the table."""
    running()
    took = []
    for n in range(4):
        chain.world.token.send("mint", WALLETS[n], 5)
        trueup.kill("follow")
        began = time.monotonic()
        chain.world.token.send("mint", WALLETS[10 + n], 5)
        trueup.until(lambda: WALLETS[10 + n] in store.rows(TABLE), "the row")
        took.append(round(time.monotonic() - began, 3))
        time.sleep(0.2)
    print(f"killed -> working again: {took} s")
    record_property("seconds", str(took))
    assert sorted(took)[1] <= 2 * SLOWNESS, took


# ---- settings read again ------------------------------------------------------------------------------


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@on_sqlite
def test_hangup_reads_the_settings_again(chain, store, trueup, running, tmp_path):
    running()
    before = trueup.workers()
    good = trueup.config.read_text()

    def hangup(until):
        said = trueup.hangup()
        assert until in said, said
        return said

    # A broken file: its errors, one by one, and everything goes on.
    trueup.config.write_text(good.replace("interval:", "intervall:").replace("freshness: '100ms'", "freshness: 'x'"))
    said = hangup("the old ones stay")
    assert "intervall" in said and 'settings refused problem="' in said and "chain.freshness" in said
    assert trueup.workers() == before

    # Only who needs the setting is restarted.
    trueup.config.write_text(good)
    change(trueup.config, "interval: '200ms'", "interval: '300ms'")
    hangup("settings were read again")
    trueup.until_log("starting stale-refresh sweep interval_ms=300")
    after = trueup.workers()
    assert "sweep" in (new := {n for n in before if after[n] != before[n]}) and new <= {"sweep", "web"}
    trueup.until(trueup.client.answers, "HTTP")
    assert all(w["restarts"] == 0 for w in trueup.client.status()["workers"]), "a wish is no death"

    # What the tables were made for stays, and that is said.
    change(trueup.config, f"store: '{store.url}'", f"store: 'sqlite:{tmp_path}/other.db'")
    change(trueup.config, f"checkpoint: '{CHECKPOINT}'", "checkpoint: 'another'")
    said = hangup("settings were read again")
    for name in ("store", "balances"):
        assert f"the old value stays setting={name}" in said
    assert not (tmp_path / "other.db").exists()
    assert trueup.workers() == after

    # A worker can go and come back.
    change(trueup.config, "listen: '127.0.0.1", "listen: 'off' # '127.0.0.1")
    hangup("settings were read again")
    trueup.until(lambda: "web" not in trueup.workers(), "web to go")
    trueup.config.write_text(good)
    hangup("settings were read again")
    trueup.until(trueup.client.answers, "HTTP")
    chain.world.token.send("mint", WALLETS[0], 5)
    trueup.until(lambda: WALLETS[0] in store.rows(TABLE), "a row")
    assert trueup.stop() == 0


# ---- what must never be touched -----------------------------------------------------------------------


@on_sqlite
def test_the_supervisor_touches_nothing(chain, store, trueup, running, tmp_path):
    """strace over deaths, restarts, a SIGHUP and the stop: no socket, no file, in the supervisor
    itself. What it starts does as it likes."""
    running()
    trace = tmp_path / "trace"
    tracer = subprocess.Popen(["strace", "-f", "-p", str(trueup.pid), "-o", str(trace)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
    assert "attached" in tracer.stderr.readline()
    for name in ("follow", "sweep", "listen", "web"):
        old = trueup.worker(name)
        trueup.kill(name)
        trueup.until(lambda: trueup.workers().get(name) not in (None, old), f"another {name}")
    said = len(trueup.output())
    os.kill(trueup.pid, signal.SIGHUP)
    trueup.until_log("settings were read again", start=said)
    chain.world.token.send("mint", WALLETS[0], 5)
    trueup.until(lambda: WALLETS[0] in store.rows(TABLE), "a row")
    supervisor = str(trueup.pid)
    assert trueup.stop() == 0
    tracer.wait(20 * SLOWNESS)
    calls = {}
    for line in trace.read_text(errors="replace").splitlines():
        pid, _, rest = line.partition(" ")
        name = re.match(r"\s*(?:<\.\.\. )?([a-z_0-9]+)", rest)
        if name and "<unfinished" not in rest:
            calls.setdefault(pid, []).append((name.group(1), rest))
    mine = calls.pop(supervisor)
    assert len(mine) > 20 and any(n == "connect" for c in calls.values() for n, _ in c), \
        "the workers were traced, too, and they do connect"
    bad = [rest for name, rest in mine if name in (
        "socket", "connect", "bind", "sendto", "recvfrom", "open", "openat", "mmap", "execve")]
    # glibc maps memory of its own when it runs short of it: allowed, since no file is in it
    assert not [b for b in bad if "MAP_ANONYMOUS" not in b], bad[:5]


@on_sqlite
def test_web_knows_no_node(chain, store, trueup, provider, running, tmp_path):  # noqa: F811
    """Not in its environment, not in its arguments, nowhere in its memory; where the same search
    does find it in a worker that needs it."""
    key = b"CANARYnode83ab"
    http, trueup.client = listening()
    trueup.env["NODE_URL"] = f"{provider.base}/v2/{key.decode()}"
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, "${NODE_URL}", store.url, http=http,
        chain={"endpoints": [{"name": "local", "url": "${NODE_URL}",
                              "ws": f"{chain.anvil.ws}/{key.decode()}"}]}))
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    trueup.until(trueup.client.answers, "HTTP")
    for path in ("/", "/metrics", "/v1/status", "/readyz", f"/v1/balances/{BALANCE}/{WALLETS[0]}"):
        trueup.client.ask(path)

    def knows(worker):
        return any(key in piece for piece in memory_of(trueup.worker(worker)))
    assert not knows("web")
    assert knows("follow") and knows("listen"), "the search finds what is there"
    assert trueup.stop() == 0


# ---- a reader of the log that stops reading ------------------------------------------------------------


@on_sqlite
def test_a_log_that_nobody_reads_stops_nobody(chain, store, trueup, running, rng):
    """A pipe that is full (a pager, a log collector that hangs) costs lines, never balances."""
    running()
    trueup.stop()
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    try:
        trueup.process = subprocess.Popen(trueup.command("run", "--log-level", "trace"),
                                          cwd=trueup.folder, env=trueup.env, stdin=subprocess.DEVNULL,
                                          stdout=writing, stderr=writing, start_new_session=True)
        trueup.until(lambda: not select.select([], [writing], [], 0)[1], "the pipe to be full", 60)
        chain.world.mint_all(WALLETS, rng)
        until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
        assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
        old = trueup.worker("sweep")
        trueup.kill("sweep")
        trueup.until(lambda: trueup.workers().get("sweep") not in (None, old), "another sweep")
        # Its reader is back: the next line of a process tells how many of its lines were lost.
        os.set_blocking(reading, False)
        heard = []

        def told():
            chain.world.token.send("mint", WALLETS[0], 5)  # for a line that may be the next one
            with contextlib.suppress(BlockingIOError):
                heard.append(os.read(reading, 1 << 20).decode(errors="replace"))
            return re.search(r"lost_lines=[1-9]", "".join(heard))
        trueup.until(told, "the log to say what it lost")
        assert trueup.stop() == 0
    finally:
        os.close(reading)
        os.close(writing)
