"""The processes: who dies is started again, who is asked to stop stops, and nothing is left behind."""

import os
import re
import signal
import time

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, until_at_rest
from harness.config import CHECKPOINT, TABLE
from harness.daemon import session_members
from harness.provider import provider  # noqa: F401
from harness.wait import SLOWNESS
from harness.world import wallet

WALLETS = [wallet(i) for i in range(30)]

on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


def started(trueup, store):
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")


def all_at_work(trueup):
    """Their pids. What is forked and not yet exec'ed is not one of them: on a busy machine a worker can
    write before the next one has begun."""
    def both():
        pids = trueup.workers()
        return pids if set(pids) == {"follow", "sweep"} else None
    return trueup.until(both, "follow and sweep, and nobody else")


def new_worker(trueup, name, old):
    def another():
        pid = trueup.workers().get(name)
        return pid if pid != old else None
    return trueup.until(another, f"{name} to be started again")


@pytest.mark.parametrize("name", ["follow", "sweep"])
def test_one_dies_the_other_does_not_notice(chain, store, trueup, configured, rng, name):
    trueup.config = configured()
    started(trueup, store)
    pids = all_at_work(trueup)
    other = "sweep" if name == "follow" else "follow"
    words_at_work = {"follow": "follow: following", "sweep": "starting stale-refresh sweep"}[name]
    at_work_before = 0

    def at_work(daemon):
        return daemon.output().count(words_at_work)

    for sig, words in ((signal.SIGKILL, "signal 9 (Killed)"), (signal.SIGSEGV, "signal 11"),
                       (signal.SIGTERM, "status 0")):
        old = trueup.worker(name)
        trueup.until(lambda: at_work(trueup) >= at_work_before + 1, f"{name} to be at work")
        at_work_before = at_work(trueup)
        os.kill(old, sig)
        new_worker(trueup, name, old)
        died = [x for x in trueup.output().splitlines() if "worker died" in x]
        assert f"name={name}" in died[-1] and words in died[-1], died[-1]
    assert trueup.workers()[other] == pids[other]
    chain.world.mint_all(WALLETS, rng)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
    assert trueup.stop() == 0


@on_sqlite
def test_restarts_come_slower_and_slower(chain, store, trueup, configured):
    trueup.config = configured()
    started(trueup, store)
    for _ in range(6):
        old = trueup.worker("sweep")
        os.kill(old, signal.SIGKILL)
        new_worker(trueup, "sweep", old)
    pauses = [int(ms) for ms in re.findall(r"worker died name=sweep.* restart_in_ms=(\d+)", trueup.output())]
    assert len(pauses) == 6
    assert max(pauses) > 2 * pauses[0] and max(pauses) < 8000, pauses  # with jitter, so not in order


@pytest.mark.parametrize("moment", ["at work", "starting"])
@on_sqlite
def test_kill_of_the_supervisor_leaves_no_orphan(chain, store, trueup, configured, moment):
    """-9: it can tell nobody, and they go all the same; the next start is not in anybody's way."""
    trueup.config = configured()
    if moment == "starting":
        for pause in (0.0, 0.005, 0.02, 0.04, 0.06, 0.1):
            trueup.start()
            time.sleep(pause)
            trueup.kill()  # waits until the whole session is gone
    started(trueup, store)
    trueup.kill()
    started(trueup, store)
    chain.world.token.send("mint", WALLETS[0], 5)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:1])
    assert trueup.stop() == 0


@on_sqlite
def test_workers_die_with_a_supervisor_that_was_stopped_first(chain, store, trueup, configured):
    trueup.config = configured()
    started(trueup, store)
    os.kill(trueup.pid, signal.SIGSTOP)
    trueup.kill()


def met(provider):  # noqa: F811
    """How many requests met the fault that is played."""
    return provider.order()["rules"][0]["played"]


def asks_no_more(provider):  # noqa: F811
    """Whether it asked nothing for as long as five polls take."""
    before = len(provider.log())
    time.sleep(0.5 * SLOWNESS)
    return len(provider.log()) == before


def stop_takes(trueup, sig=signal.SIGTERM):
    code = trueup.stop(seconds=2.0, sig=sig)
    assert code == 0
    return code


@pytest.mark.alone
@on_sqlite
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_stop_at_rest(chain, store, trueup, configured, sig):
    trueup.config = configured()
    started(trueup, store)
    group = trueup.pid
    stop_takes(trueup, sig)
    assert session_members(group) == []
    assert "killed" not in trueup.output().replace("worker died", "")


@pytest.mark.alone
@on_sqlite
@pytest.mark.parametrize("fault", ["silence", "reset", "slow-loris"])
def test_stop_while_the_node_is_in_trouble(chain, store, trueup, provider, tmp_path, fault):  # noqa: F811
    """Workers stop by themselves: none has to be killed for it."""
    trueup.config = configs.write(tmp_path / "trueup.yaml",
                                  configs.settings(chain.world, provider.url, store.url))
    started(trueup, store)
    chain.world.token.send("mint", WALLETS[0], 5)
    trueup.until(lambda: WALLETS[0] in store.rows(TABLE), "a row")
    provider.rules({"fault": fault})
    chain.world.token.send("mint", WALLETS[0], 5)
    trueup.until(lambda: met(provider), "a request in trouble")
    stop_takes(trueup)
    assert "did not stop in time" not in trueup.output()


@pytest.mark.alone
@on_sqlite
def test_stop_while_the_node_hangs_at_the_start(chain, store, trueup, provider, tmp_path):  # noqa: F811
    trueup.config = configs.write(tmp_path / "trueup.yaml",
                                  configs.settings(chain.world, provider.url, store.url))
    provider.rules({"fault": "silence"})
    trueup.start()
    trueup.until(lambda: met(provider), "a request without an answer")
    stop_takes(trueup)


@pytest.mark.alone
def test_stop_while_the_store_hangs(chain, store, trueup, provider, tmp_path):  # noqa: F811
    """Somebody else holds what we want to write: a worker may have to be killed, but all is down in
    time, and nothing is lost."""
    trueup.config = configs.write(tmp_path / "trueup.yaml",
                                  configs.settings(chain.world, provider.url, store.url))
    started(trueup, store)
    chain.world.token.send("mint", WALLETS[0], 5)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:1])
    if store.kind == "sqlite":
        other = store.connect()
        other.execute("BEGIN EXCLUSIVE")
    else:
        other = store.driver.connect(store.url)
        other.cursor().execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
    chain.world.token.send("mint", WALLETS[0], 5)
    trueup.until(lambda: asks_no_more(provider), "all to wait for the store")
    stop_takes(trueup)
    other.rollback()
    other.close()
    started(trueup, store)
    until_at_rest(trueup, store, chain.anvil)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:1])


def test_the_store_goes_away_and_comes_back(chain, postgres, trueup, tmp_path, rng):
    """Connections are cut again and again: each worker finds its way back by itself."""
    store = postgres
    trueup.config = configs.write(tmp_path / "trueup.yaml",
                                  configs.settings(chain.world, chain.anvil.url, store.url))
    started(trueup, store)
    pids = all_at_work(trueup)
    for _ in range(5):
        chain.world.mint_all(WALLETS, rng)
        store.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                  "WHERE datname = current_database() AND pid <> pg_backend_pid()")
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
    assert trueup.workers() == pids, "no worker has to die for it"


@on_sqlite
def test_only_one_daemon_on_one_file(chain, store, trueup, configured):
    trueup.config = configured()
    started(trueup, store)
    second = trueup.run("run", code=5)
    assert f"another trueup, process {trueup.pid} runs on" in second.stderr and "\nhint: " in second.stderr
    trueup.kill()  # the lock goes with its holder
    started(trueup, store)
