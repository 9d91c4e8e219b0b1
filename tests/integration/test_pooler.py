"""PgBouncer between the daemon and PostgreSQL: it works, and other clients of the pool find nothing of it."""

import pwd
import subprocess

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, until_at_rest
from harness.postgres import Cluster
from harness.store import PostgresStore
from harness.wait import until
from harness.world import wallet

WALLETS = [wallet(i) for i in range(30)]
SETTINGS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "enable_hashjoin",
            "enable_mergejoin", "jit", "plan_cache_mode", "synchronous_commit", "timezone", "datestyle",
            "client_min_messages", "search_path", "trueup.missed")
SCHEMA = "trueup_own"


class Pooler:
    PORT = 6432

    def __init__(self, cluster, mode):
        self.folder = cluster.folder
        self.user = cluster.user
        self.config = cluster.folder / "pgbouncer.ini"
        self.config.write_text(f"""
[databases]
* = host={cluster.folder} port=5432 user=postgres
[pgbouncer]
unix_socket_dir = {cluster.folder}
listen_port = {self.PORT}
auth_type = any
pool_mode = {mode}
default_pool_size = {2 if mode == "transaction" else 20}
logfile = {cluster.folder}/pgbouncer.log
server_reset_query =
""")
        identity = {}
        if self.user:
            who = pwd.getpwnam(self.user)
            identity = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
        socket = cluster.folder / f".s.PGSQL.{self.PORT}"
        socket.unlink(missing_ok=True)  # of a pooler that was killed
        self.process = subprocess.Popen(["/usr/sbin/pgbouncer", "-q", str(self.config)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, **identity)
        until(socket.exists, "the pooler")

    def url(self):
        return f"postgres://postgres@/postgres?host={self.folder}&port={self.PORT}"

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def cluster():
    own = Cluster()
    try:
        yield own.start()
    finally:
        own.remove()


def settings_of(store):
    return [store.one(f"SELECT current_setting('{name}', true)") or "" for name in SETTINGS]


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_daemon_and_commands_through_a_pooler(chain, cluster, trueup, tmp_path, rng, mode):
    admin = PostgresStore(cluster.url())
    defaults = settings_of(admin)
    admin.script(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    own = {"schema": SCHEMA} if mode == "transaction" else {}
    if own:
        admin.script(f"SET search_path = public, {SCHEMA}")
    pooler = Pooler(cluster, mode)
    try:
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, pooler.url(), **own))
        chain.anvil.mine(3)
        trueup.start()
        trueup.until(lambda: admin.checkpoint(configs.CHECKPOINT) is not None, "the first checkpoint")
        chain.world.mint_all(WALLETS, rng)
        until_at_rest(trueup, admin, chain.anvil, wallets=WALLETS)
        trueup.run("sweep")
        trueup.run("audit", "--all")
        assert_at_rest_equal(admin, chain.truth, wallets=WALLETS)
        schemas = [s for (s,) in admin.sql("SELECT DISTINCT relnamespace::regnamespace::text FROM pg_class "
                                           "WHERE relname LIKE 'trueup_%'")]
        assert schemas == [SCHEMA if own else "public"]
        # Other clients get the sessions that the daemon has used, and uses all the while.
        for _ in range(30):
            other = PostgresStore(pooler.url())
            assert settings_of(other) == defaults
            assert not other.sql("SELECT name FROM pg_prepared_statements WHERE name <> ''")
            other.close()
        assert trueup.stop() == 0
        for trouble in ("event sync failed", "tick failed", "not ready", "came back"):
            assert trouble not in trueup.output(), trueup.tail()
    finally:
        trueup.reap()
        pooler.stop()
        admin.close()
