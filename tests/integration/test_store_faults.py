"""The database in trouble, for real wherever it can be had: restarted, read-only, out of connections,
out of disk, stopped, in a deadlock, failed over to a standby; the SQLite file locked, on a full disk,
damaged. In each case: no worker dies for it, nothing is lost, the log does not say it over and over,
and when the trouble is over, the table equals the chain without anybody's help."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import config as configs
from harness.node import free_port
from harness.checks import assert_at_rest_equal, until_at_rest
from harness.config import CHECKPOINT, TABLE
from harness.postgres import Cluster
from harness.store import PostgresStore, SqliteStore
from harness.wait import SLOWNESS
from harness.web import listening
from harness.world import wallet

WALLETS = [wallet(i) for i in range(20)]
TROUBLE = ("event sync failed, retrying", "stale refresh: tick failed", "the store cannot be reached",
           "not ready, trying again")


@pytest.fixture(scope="module")
def cluster():
    """Of our own: what is done to it may not hit others."""
    own = Cluster()
    try:
        own.start()
        ask_for_passwords(own)
        yield own
    finally:
        own.remove()


def ask_for_passwords(cluster):
    """Of the members of one role; everybody else is trusted."""
    admin = PostgresStore(cluster.url())
    admin.sql("CREATE ROLE by_password")
    rules = cluster.data / "pg_hba.conf"
    rules.write_text("local all +by_password scram-sha-256\n" + rules.read_text())
    admin.sql("SELECT pg_reload_conf()")
    admin.close()


@pytest.fixture
def database(cluster):
    """A database and a role that is no superuser: limits do not hold for those."""
    name = f"t{next(numbers)}"
    admin = PostgresStore(cluster.url())
    admin.sql(f"CREATE ROLE {name} LOGIN")
    admin.sql(f"CREATE DATABASE {name} OWNER {name}")
    store = PostgresStore(cluster.url(name))
    store.admin, store.name = admin, name
    store.daemon_url = cluster.url(name, name)
    yield store
    store.close()
    admin.close()


numbers = iter(range(1, 1000))


@pytest.fixture
def daemon(chain, trueup, tmp_path):
    """daemon(url, store) -> the running daemon, listening."""
    def go(url, store, level="info", **changes):
        http, trueup.client = listening()
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, url, http=http, log={"level": level}, **changes))
        trueup.start()
        trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
        trueup.until(trueup.client.answers, "HTTP")
        chain.world.token.send("mint", WALLETS[0], 5)
        trueup.until(lambda: WALLETS[0] in store.rows(TABLE), "a row")
        trueup.pids = trueup.workers()
        return trueup
    return go


def until_trouble(trueup, words="", seconds=30):
    trueup.until(lambda: any(t in line and words in line for line in trueup.output().splitlines()
                             for t in TROUBLE), f"trouble with {words!r} in the log", seconds)


def well_again(trueup, store, chain, rng, most_lines=12):
    """Everything is as it should be, by itself: the same processes, and a log that kept its calm."""
    chain.world.mint_all(WALLETS[1::2], rng)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
    assert trueup.workers() == trueup.pids, "no worker has to die for it"
    said = Counter(line.split(" ", 1)[1].split(" repeated=")[0] for line in
                   trueup.output().splitlines() if " warn " in line or " error " in line)
    noisy = [(n, line) for line, n in said.items() if n > most_lines]
    assert not noisy, noisy[:2]
    # The connection of web may come back later than those that wrote the rows.
    trueup.until(lambda: trueup.client.ask("/readyz")[0] == 200, "/readyz to be green")
    assert trueup.stop() == 0


# ---- PostgreSQL ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restarted(chain, cluster, database, daemon, rng, mode):
    """fast: sessions are told; immediate: they are cut, and it recovers as after a crash."""
    trueup = daemon(database.daemon_url, database)
    cluster.stop(mode)
    chain.world.mint_all(WALLETS, rng)
    until_trouble(trueup)
    trueup.until(lambda: "the database" in trueup.client.ask("/readyz")[2], "/readyz to say so")
    assert trueup.client.ask("/livez")[0] == 200
    cluster.start()
    fresh = PostgresStore(database.url)
    well_again(trueup, fresh, chain, rng)
    fresh.close()


def test_read_only(chain, database, daemon, rng):
    trueup = daemon(database.daemon_url, database)
    database.admin.sql(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    terminate(database)
    chain.world.mint_all(WALLETS, rng)
    until_trouble(trueup, "read-only transaction")
    database.admin.sql(f"ALTER DATABASE {database.name} RESET default_transaction_read_only")
    terminate(database)
    well_again(trueup, database, chain, rng)


def test_unreadable_while_follow_starts(chain, database, daemon, rng):
    """What follow loads before its first turn fails: tried again by the same process."""
    trueup = daemon(database.daemon_url, database)
    trueup.until(lambda: database.sql("SELECT count(*) FROM trueup_blocks")[0][0] > 0, "a header")
    trueup.until(lambda: database.sql("SELECT 1 FROM trueup_state WHERE key = 'positions'"), "positions")
    database.sql(f"REVOKE ALL ON trueup_blocks FROM {database.name}")
    chain.world.mint_all(WALLETS, rng)
    old = trueup.worker("follow")
    trueup.kill("follow")
    trueup.until(lambda: trueup.workers().get("follow") not in (None, old), "another follow")
    trueup.pids = trueup.workers()
    until_trouble(trueup, "permission denied for table trueup_blocks")
    database.sql(f"GRANT ALL ON trueup_blocks TO {database.name}")
    well_again(trueup, database, chain, rng)


def terminate(database):
    database.admin.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ?",
                       database.name)


def test_out_of_connections(chain, database, daemon, rng):
    trueup = daemon(database.daemon_url, database)
    database.admin.sql(f"ALTER ROLE {database.name} CONNECTION LIMIT 0")
    terminate(database)
    chain.world.mint_all(WALLETS, rng)
    until_trouble(trueup, "too many connections")
    database.admin.sql(f"ALTER ROLE {database.name} CONNECTION LIMIT -1")
    well_again(trueup, database, chain, rng)


def test_a_role_locked_out_for_a_while(chain, cluster, database, daemon, rng):
    """Rights that are taken away and given back: the same."""
    trueup = daemon(database.daemon_url, database)
    database.admin.sql(f"ALTER ROLE {database.name} NOLOGIN")
    terminate(database)
    chain.world.mint_all(WALLETS, rng)
    until_trouble(trueup, "is not permitted to log in")
    database.admin.sql(f"ALTER ROLE {database.name} LOGIN")
    well_again(trueup, database, chain, rng)


RAISES = [("serialization_failure", "40001"), ("out_of_memory", "53200"), ("io_error", "58030"),
          ("insufficient_privilege", "42501")]


def test_every_refusal_of_a_write(chain, database, daemon, rng):
    """Each in turn, out of a trigger on the application's table; some of them no client can cause."""
    trueup = daemon(database.daemon_url, database)
    for name, state in RAISES:
        database.script(f"""
            CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'trouble {name}' USING ERRCODE = '{state}'; END $$;
            CREATE TRIGGER trouble BEFORE INSERT OR UPDATE ON {TABLE}
                FOR EACH ROW EXECUTE FUNCTION trouble()""")
        before = database.checkpoint(CHECKPOINT)
        chain.world.mint_all(WALLETS, rng)
        until_trouble(trueup, f"trouble {name}")
        assert database.checkpoint(CHECKPOINT) == before, "what is not written is not vouched for"
        database.script("DROP FUNCTION trouble CASCADE")
    well_again(trueup, database, chain, rng)


def test_deadlock(chain, database, daemon, rng):
    """A real one: the application locks two rows in the other order. Ours is the victim, and writes
    once more; that is not worth a word in the log."""
    trueup = daemon(database.daemon_url, database)
    chain.world.mint_all(WALLETS, rng)
    until_at_rest(trueup, database, chain.anvil, wallets=WALLETS)
    first, *_, last = sorted(WALLETS)
    for _ in range(2):
        other = database.driver.connect(database.url)
        cursor = other.cursor()
        cursor.execute("SET deadlock_timeout = '10s'")  # so that the victim is the other one
        cursor.execute(f"SELECT 1 FROM {TABLE} WHERE wallet = %s FOR UPDATE", [last])
        chain.world.token.send("mintMany", [first, last], [1, 1])
        trueup.until(lambda: database.one(
            "SELECT count(*) FROM pg_stat_activity WHERE ? = ANY (pg_blocking_pids(pid))",
            other.get_backend_pid()), "one of ours to wait for us, with the first row in its hand")
        cursor.execute(f"SELECT 1 FROM {TABLE} WHERE wallet = %s FOR UPDATE", [first])
        other.rollback()
        other.close()
    trueup.until(lambda: database.one("SELECT deadlocks FROM pg_stat_database WHERE datname = ?",
                                      database.name) >= 1, "a deadlock to have been")
    well_again(trueup, database, chain, rng)


def test_serializable_by_default(chain, database, daemon, rng):
    """The strictest isolation there is, for all our sessions: two writers fail each other, and try
    again."""
    database.admin.sql(f"ALTER ROLE {database.name} SET default_transaction_isolation = serializable")
    trueup = daemon(database.daemon_url, database, sweep={"interval": "100ms"})
    for _ in range(10):
        chain.world.mint_all(WALLETS, rng)
    well_again(trueup, database, chain, rng)


def ticks_of(trueup):
    return trueup.client.metrics()['trueup_sweep_ticks_total{outcome="done"}']


def test_a_backend_that_stands_still(chain, database, daemon, rng):
    """SIGSTOP of the process that serves follow: follow waits, nobody else does."""
    trueup = daemon(database.daemon_url, database, level="debug")
    pid = database.one("SELECT pid FROM pg_stat_activity WHERE application_name = 'trueup follow'")
    os.kill(pid, signal.SIGSTOP)
    try:
        chain.world.silent(WALLETS[:1], rng)
        chain.world.mint_all(WALLETS[1:], rng)
        ticks = ticks_of(trueup)
        trueup.until(lambda: ticks_of(trueup) > ticks + 3, "the sweep to go on")
        assert trueup.client.ask("/v1/status")[0] == 200
    finally:
        os.kill(pid, signal.SIGCONT)
    well_again(trueup, database, chain, rng)


def test_a_password_that_is_wrong(chain, cluster, database, daemon, trueup, tmp_path, rng):
    """At the start: refused in words, without it. While the daemon runs: as a server that is away."""
    right, wrong = "CANARYright1", "CANARYwrong2"
    database.admin.sql(f"ALTER ROLE {database.name} PASSWORD '{right}'")
    database.admin.sql(f"GRANT by_password TO {database.name}")
    for user, words in ((f"{database.name}:{wrong}", "password authentication failed for user"),
                        (database.name, "no password supplied")):
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, cluster.url(database.name, user)))
        for command in ("run", "sweep"):
            said = trueup.run(command, code=5, timeout=10).stderr
            assert words in said and "\nhint: " in said and "CANARY" not in said, said
    running = daemon(cluster.url(database.name, f"{database.name}:{right}"), database)
    database.admin.sql(f"ALTER ROLE {database.name} PASSWORD '{wrong}'")
    terminate(database)
    chain.world.mint_all(WALLETS, rng)
    until_trouble(running, "password authentication failed for user")
    running.until(lambda: "the database" in running.client.ask("/readyz")[2], "/readyz to say so")
    database.admin.sql(f"ALTER ROLE {database.name} PASSWORD '{right}'")
    running.until(lambda: running.client.ask("/readyz")[0] == 200, "/readyz to be green")
    # Changed for good, and told so.
    database.admin.sql(f"ALTER ROLE {database.name} PASSWORD '{wrong}'")
    terminate(database)
    running.config.write_text(running.config.read_text().replace(right, wrong))
    assert "settings were read again" in running.hangup()
    assert not set(running.workers().values()) & set(running.pids.values()), "all have the new one"
    running.until(running.client.answers, "HTTP")
    running.pids = running.workers()
    well_again(running, database, chain, rng)
    assert "CANARY" not in running.output()


# ---- one that is slow ---------------------------------------------------------------------------------


def pages_come_at_once(trueup):
    for path in ("/livez", "/metrics", "/v1/status", "/"):
        began = time.monotonic()
        assert trueup.client.ask(path)[0] == 200, path
        assert time.monotonic() - began < 1 * SLOWNESS, path


@pytest.mark.alone
def test_statements_that_take_seconds(chain, database, daemon, trueup, rng):
    """Longer than a worker may be silent: it waits, and says all the while that it lives."""
    trueup.env["TRUEUP_HUNG_AFTER_MS"] = "2500"
    running = daemon(database.daemon_url, database)
    database.script(f"""
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(3); RETURN NULL; END $$;
        CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON {TABLE}
            FOR EACH STATEMENT EXECUTE FUNCTION slow()""")
    chain.world.mint_all(WALLETS, rng)
    running.until(lambda: database.one(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'trueup follow' AND "
        "wait_event = 'PgSleep' AND now() - query_start > interval '2 s'"), "follow to wait")
    pages_come_at_once(running)
    running.until(lambda: set(WALLETS) <= set(database.rows(TABLE)), "its rows all the same")
    assert "worker hangs" not in running.output()
    database.script("DROP FUNCTION slow CASCADE")
    well_again(running, database, chain, rng)


class SlowRoad:
    """A socket in front of PostgreSQL's on which everything that is asked arrives late."""

    def __init__(self, cluster):
        self.delay_s = 0
        self.to = str(cluster.folder / ".s.PGSQL.5432")
        self.folder = Path(tempfile.mkdtemp(prefix="trueup-slow-"))
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(str(self.folder / ".s.PGSQL.5432"))
        self.door.listen(50)
        threading.Thread(target=self._welcome, daemon=True).start()

    def _welcome(self):
        with contextlib.suppress(OSError):
            while True:
                one, other = self.door.accept()[0], socket.socket(socket.AF_UNIX)
                other.connect(self.to)
                threading.Thread(target=self._carry, args=(one, other, True), daemon=True).start()
                threading.Thread(target=self._carry, args=(other, one, False), daemon=True).start()

    def _carry(self, source, target, slowly):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                time.sleep(self.delay_s if slowly else 0)
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.door.close()
        shutil.rmtree(self.folder)


@pytest.mark.alone
def test_a_slow_road_to_it(chain, cluster, database, daemon, trueup, rng):
    """Every question takes a third of a second longer: all becomes slow, nothing becomes wrong."""
    road = SlowRoad(cluster)
    try:
        running = daemon(f"postgres://{database.name}@/{database.name}?host={road.folder}", database)
        road.delay_s = 0.3
        chain.world.mint_all(WALLETS, rng)
        pages_come_at_once(running)
        assert running.client.ask(f"/v1/balances/{configs.BALANCE}/{WALLETS[0]}")[0] == 200
        well_again(running, database, chain, rng)
        trueup.reap()
    finally:
        road.close()


@contextlib.contextmanager
def small_disk(megabytes=8):
    """A file system of its own that a test may fill. Needs root, as a container's tests have it; where
    mounting is not allowed, /dev/shm serves if it is small."""
    folder = Path(tempfile.mkdtemp(prefix="trueup-disk-"))
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
                          capture_output=True, text=True)
    mounted = done.returncode == 0
    try:
        if not mounted:
            shutil.rmtree(folder)
            room = shutil.disk_usage("/dev/shm").free
            assert room <= 256 << 20, f"no small disk to be had: {done.stderr.strip()}"
            folder = Path(tempfile.mkdtemp(prefix="trueup-disk-", dir="/dev/shm"))
        folder.chmod(0o777)
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def fill(folder):
    """The last byte, too."""
    with open(folder / "filler", "wb", buffering=0) as f:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    f.write(b"x" * size)
    return folder / "filler"


def test_out_of_disk(chain, cluster, database, daemon, rng):
    with small_disk() as disk:
        space = disk / "space"
        space.mkdir()
        if cluster.user:
            shutil.chown(space, cluster.user)
        space_name = f"small_{database.name}"
        database.admin.sql(f"CREATE TABLESPACE {space_name} LOCATION '{space}'")
        try:
            trueup = daemon(database.daemon_url, database)
            database.sql(f"ALTER TABLE {TABLE} SET TABLESPACE {space_name}")
            filler = fill(disk)
            chain.world.mint_all(WALLETS + [wallet(n) for n in range(1000, 1300)], rng)
            until_trouble(trueup, "No space left on device")
            filler.unlink()
            well_again(trueup, database, chain, rng)
        finally:
            trueup.reap()
            database.sql(f"ALTER TABLE {TABLE} SET TABLESPACE pg_default")
            database.admin.sql(f"DROP TABLESPACE {space_name}")


def test_failover_to_a_standby(chain, trueup, daemon, rng):
    """The first host dies, the second is promoted: one URL names both, and asks for the one that may
    be written to."""
    ports = [free_port(), free_port()]
    first, second = Cluster(), Cluster()
    try:
        first.start({"listen_addresses": "'127.0.0.1'", "port": ports[0], "wal_level": "replica",
                     "max_wal_senders": 4, "hot_standby": "on"})
        second.clone(first, ports[0], {"port": ports[1]})
        hosts = f"127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}"
        url = f"postgres://postgres@{hosts}/postgres?target_session_attrs=read-write"
        store = PostgresStore(url)
        running = daemon(url, store)
        chain.world.mint_all(WALLETS, rng)
        until_at_rest(running, store, chain.anvil, wallets=WALLETS)
        store.close()
        first.stop("immediate")
        chain.world.mint_all(WALLETS[::2], rng)
        until_trouble(running)
        second.promote()
        store = PostgresStore(url)
        well_again(running, store, chain, rng)
        store.close()
    finally:
        trueup.reap()
        first.remove()
        second.remove()


# ---- SQLite -------------------------------------------------------------------------------------------


def test_sqlite_locked_for_long(chain, tmp_path, daemon, rng):
    """Longer than anybody is willing to wait."""
    store = SqliteStore(tmp_path / "trueup.db")
    trueup = daemon(store.url, store)
    other = store.connect()
    other.execute("BEGIN EXCLUSIVE")
    chain.world.mint_all(WALLETS, rng)
    until_trouble(trueup, "database is locked")
    other.execute("ROLLBACK")
    other.close()
    well_again(trueup, store, chain, rng)


def test_sqlite_on_a_full_disk(chain, daemon, trueup, rng):
    with small_disk() as disk:
        store = SqliteStore(disk / "trueup.db")
        running = daemon(store.url, store)
        filler = fill(disk)
        for _ in range(5):
            chain.world.mint_all(WALLETS + [wallet(n) for n in range(1000, 1200)], rng)
        until_trouble(running, "full")
        filler.unlink()
        well_again(running, store, chain, rng)
        trueup.reap()


DAMAGE = {"header": (0, b"not a database at all, but long enough"), "empty-of-sense": (100, b"\xff" * 900)}


@pytest.mark.parametrize("what", DAMAGE)
def test_sqlite_damaged(chain, tmp_path, trueup, what):
    """Refused, in words, and with what to do."""
    store = SqliteStore(tmp_path / "trueup.db")
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, store.url))
    trueup.run("migrate")
    with contextlib.closing(store.connect()) as c:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    at, junk = DAMAGE[what]
    with open(store.path, "r+b") as f:
        f.seek(at)
        f.write(junk)
    for command in ("run", "migrate", "sweep"):
        done = trueup.run(command, code=5)
        assert "trueup.db" in done.stderr and ("not a database" in done.stderr or
                                               "malformed" in done.stderr), done.stderr
        assert "\nhint: restore the file from a backup" in done.stderr


def test_sqlite_file_taken_away(chain, tmp_path, daemon, trueup, rng):
    """Moved under the daemon's hands: it goes on writing the file it has open, or says what is wrong;
    back in its place, all is well."""
    store = SqliteStore(tmp_path / "trueup.db")
    running = daemon(store.url, store)
    folder = store.path.parent
    os.rename(store.path, folder / "away.db")
    said = len(running.output())
    chain.world.mint_all(WALLETS, rng)
    running.until(lambda: "refreshed balances from events" in running.output()[said:]
                  or any(t in running.output()[said:] for t in TROUBLE), "follow to write, or to say why not")
    assert not store.path.exists(), "nobody makes a new one in its place"
    os.rename(folder / "away.db", store.path)
    well_again(running, store, chain, rng)
