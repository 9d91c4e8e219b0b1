"""One daemon writes, and it never knows more than the database: daemons that take over from each other,
and a database that comes back older than it was."""

import contextlib
import os
import random
import shutil
import signal
import time

import pytest

from harness import config as configs
from harness.node import free_port
from harness.checks import assert_at_rest_equal, until_at_rest, until_looked_twice
from harness.config import TABLE
from harness.daemon import session_members
from harness.postgres import Cluster
from harness.store import PostgresStore
from harness.wait import SLOWNESS, until
from harness.world import wallet

WALLETS = [wallet(i) for i in range(20)]
TAKES = "this daemon writes from here on"
STANDS_BY = "standing by: another daemon writes"
BACK = "the database came back at an older state"


@pytest.fixture
def started(chain, trueup, tmp_path):
    """started(url, store): the daemon writes, and has a first row."""
    def go(url, store, daemon=trueup, **changes):
        daemon.config = configs.write(daemon.folder / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, url, log={"level": "info"}, **changes))
        return daemon.start()
    return go


def until_rows(daemon, store, wallets, seconds=30):
    daemon.until(lambda: set(wallets) <= set(store.rows(TABLE)), "rows", seconds)


def first_row(chain, daemon, store):
    chain.anvil.mine(3)
    daemon.until(lambda: store.checkpoint(configs.CHECKPOINT) is not None, "the first checkpoint")
    chain.world.token.send("mint", WALLETS[0], 5)
    until_rows(daemon, store, WALLETS[:1])


def signal_all(daemon, sig):
    for pid in session_members(daemon.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sig)


# ---- two daemons --------------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize("how", ["released", "killed", "stopped"])
def test_the_other_daemon_takes_over(chain, postgres, started, trueup, second, rng, how):
    started(postgres.url, postgres)
    first_row(chain, trueup, postgres)
    postgres.script(f"""
        CREATE TABLE judge (id bigserial, pid int);
        CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO judge (pid) VALUES (pg_backend_pid()); RETURN NULL; END $$;
        CREATE TRIGGER judge AFTER INSERT OR UPDATE ON {TABLE}
            FOR EACH ROW EXECUTE FUNCTION judge()""")
    started(postgres.url, postgres, second)
    second.until_log(STANDS_BY)
    chain.world.token.send("mint", WALLETS[1], 5)
    until_rows(trueup, postgres, WALLETS[:2])
    assert TAKES not in second.output()
    before = {pid for (pid,) in postgres.sql("SELECT DISTINCT pid FROM judge")}
    began = time.monotonic()
    if how == "released":
        assert trueup.stop() == 0
    elif how == "killed":
        trueup.kill()
    else:
        signal_all(trueup, signal.SIGSTOP)
    chain.world.token.send("mint", WALLETS[2], 5)
    until_rows(second, postgres, WALLETS[:3])
    took = time.monotonic() - began
    assert took < (4 if how == "released" else 10) * SLOWNESS, f"{took:.1f} s"
    if how == "stopped":
        turned = postgres.one("SELECT max(id) FROM judge")
        signal_all(trueup, signal.SIGCONT)
        trueup.until_log(STANDS_BY)
        chain.world.mint_all(WALLETS, rng)
    until_at_rest(second, postgres, chain.anvil, wallets=WALLETS[:3])
    assert_at_rest_equal(postgres, chain.truth)
    if how == "stopped":
        after = {pid for (pid,) in postgres.sql("SELECT DISTINCT pid FROM judge WHERE id > ?", turned)}
        assert not before & after, "the old writer wrote after the new one"
    assert second.stop() == 0


def test_a_killed_worker_goes_on_under_the_same_lease(chain, store, started, trueup):
    started(store.url, store)
    first_row(chain, trueup, store)
    lease = store.sql("SELECT generation, holder FROM trueup_lease")
    trueup.kill("follow")
    chain.world.token.send("mint", WALLETS[1], 5)
    until_rows(trueup, store, WALLETS[:2])
    assert store.sql("SELECT generation, holder FROM trueup_lease") == lease
    assert trueup.stop() == 0
    assert store.one("SELECT holder FROM trueup_lease") is None


# ---- a database that comes back older -------------------------------------------------------------------


@pytest.fixture
def cluster():
    """Of our own: what is done to it may not hit others."""
    own = Cluster()
    try:
        yield own
    finally:
        own.remove()


def store_of(cluster):
    return PostgresStore(cluster.url())


def test_an_older_copy_is_put_back(chain, cluster, started, trueup):
    cluster.start()
    store = store_of(cluster)
    started(cluster.url(), store)
    first_row(chain, trueup, store)
    store.close()
    cluster.stop("fast")
    copy = cluster.folder / "copy"
    shutil.copytree(cluster.data, copy)
    own(cluster, copy)
    cluster.start()
    store = store_of(cluster)
    chain.world.mint_all(WALLETS, rng_of(1))
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    until_looked_twice(trueup, store, chain.anvil)
    workers = trueup.workers()
    store.close()
    cluster.stop("immediate")
    shutil.rmtree(cluster.data)
    copy.rename(cluster.data)
    cluster.start()
    store = store_of(cluster)
    trueup.until_log(BACK, 40)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
    assert trueup.workers() == workers, "no worker has to die for it"
    assert len(store.one("SELECT value FROM trueup_state WHERE key = 'epoch'")) == 16
    assert trueup.stop() == 0
    store.close()


def own(cluster, folder):
    if cluster.user:
        for path in [folder, *folder.rglob("*")]:
            shutil.chown(path, cluster.user)


def rng_of(seed):
    return random.Random(seed)


def test_commits_are_lost_in_a_crash(chain, cluster, started, trueup):
    """The server promises nothing: synchronous_commit = off, and its log is written seldom. What the daemon
    writes for an event is durable all the same; what was not is read again."""
    cluster.start({"synchronous_commit": "off", "wal_writer_delay": "'10s'",
                   "wal_writer_flush_after": "'1GB'"})
    store = store_of(cluster)
    started(cluster.url(), store)
    first_row(chain, trueup, store)
    chain.world.mint_all(WALLETS, rng_of(2))
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    store.close()
    cluster.kill()
    cluster.start()
    store = store_of(cluster)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
    assert trueup.stop() == 0
    store.close()


def test_a_standby_that_lags_is_promoted(chain, cluster, started, trueup):
    port, other_port = free_port(), free_port()
    second = Cluster()
    try:
        cluster.start({"port": port, "wal_level": "replica", "max_wal_senders": 4, "hot_standby": "on"})
        url = f"postgres://postgres@/postgres?host={cluster.folder}&port={port}"
        store = PostgresStore(url)
        both = (f"postgres:///postgres?host={cluster.folder},{second.folder}&port={port},{other_port}"
                "&user=postgres&target_session_attrs=read-write")
        started(both, store)
        first_row(chain, trueup, store)
        second.clone(cluster, port, {"port": other_port})
        lagging = PostgresStore(f"postgres://postgres@/postgres?host={second.folder}&port={other_port}")
        until(lambda: lagging.rows(TABLE), "the standby to have the row")
        lagging.sql("ALTER SYSTEM SET primary_conninfo = ''")
        lagging.sql("SELECT pg_reload_conf()")
        until(lambda: lagging.one("SELECT count(*) FROM pg_stat_wal_receiver") == 0, "it to lag")
        chain.world.mint_all(WALLETS, rng_of(3))
        until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
        until_looked_twice(trueup, store, chain.anvil)
        store.close()
        cluster.stop("immediate")
        assert len(lagging.rows(TABLE)) == 1
        second.promote()
        trueup.until_log(BACK, 60)
        until_at_rest(trueup, lagging, chain.anvil, wallets=WALLETS)
        assert_at_rest_equal(lagging, chain.truth, wallets=WALLETS)
        assert trueup.stop() == 0
        lagging.close()
    finally:
        second.remove()


# ---- settings that differ -------------------------------------------------------------------------------


def test_a_daemon_with_other_terms_stands_by(chain, postgres, started, trueup, second):
    """A rolling deploy that changes the terms."""
    started(postgres.url, postgres, terms=("held",))
    first_row(chain, trueup, postgres)
    chain.world.mint_all(WALLETS, rng_of(4))
    until_rows(trueup, postgres, WALLETS)
    before = postgres.rows(TABLE)
    started(postgres.url, postgres, second)
    second.until_log("standing by: will take over with other terms balances=audio")
    assert all(r.observed_block is not None for r in postgres.rows(TABLE).values())
    assert set(before) == set(postgres.rows(TABLE))
    for words in (["sweep"], ["audit", "--all", "--fix"], ["migrate"]):
        said = second.run(*words, code=2).stderr
        assert "a daemon with other terms, triggers or wallets writes here: \"audio\"" in said, said
    assert all(r.observed_block is not None for r in postgres.rows(TABLE).values())
    trueup.run("sweep")
    began = time.monotonic()
    assert trueup.stop() == 0
    second.until_log(TAKES)
    assert time.monotonic() - began < 10 * SLOWNESS
    second.until_log("the terms changed: every row is unanchored until it is read again")
    until_at_rest(second, postgres, chain.anvil, wallets=WALLETS)
    assert_at_rest_equal(postgres, chain.truth, wallets=WALLETS)
    assert second.stop() == 0


# ---- a file that comes back older -----------------------------------------------------------------------


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_an_older_file_is_put_back(chain, store, started, trueup):
    """An open file goes on to be written after another one stands in its place."""
    started(store.url, store)
    first_row(chain, trueup, store)
    copy = store.path.with_suffix(".copy")
    store.sql(f"VACUUM INTO '{copy}'")
    chain.world.mint_all(WALLETS, rng_of(5))
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    for extra in ("-wal", "-shm"):
        os.rename(f"{store.path}{extra}", f"{store.path}.old{extra}")
    os.rename(store.path, f"{store.path}.old")
    os.rename(copy, store.path)
    trueup.until_log(BACK, 40)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
    assert trueup.stop() == 0
