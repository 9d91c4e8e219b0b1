"""Fixtures: a chain with the demo world (one anvil a module, put back after each test), a database
of the test's own on each of the two backends, and the daemon."""

import itertools
import os
import random
from types import SimpleNamespace

import pytest

from harness import config as configs
from harness.anvil import Anvil
from harness.daemon import Trueup
from harness.postgres import Cluster
from harness.store import PostgresStore, SqliteStore
from harness.truth import Truth
from harness.world import World

BACKENDS = ("sqlite", "postgres")


@pytest.fixture(scope="session")
def postgres_url():
    """scripts/test starts one cluster for all suites; alone, pytest brings its own."""
    given = os.environ.get("TRUEUP_TEST_POSTGRES")
    if given:
        yield given
        return
    cluster = Cluster()
    try:
        yield cluster.start().url()
    finally:
        cluster.remove()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    anvil = Anvil(tmp_path_factory.mktemp("anvil")).start()
    try:
        yield SimpleNamespace(anvil=anvil, world=World(anvil.rpc).deploy())
    finally:
        anvil.stop()


@pytest.fixture
def chain(deployed):
    """.anvil, .rpc, .world, .truth; whatever a test does to the chain is undone after it."""
    snapshot = deployed.anvil.snapshot()
    yield SimpleNamespace(anvil=deployed.anvil, rpc=deployed.anvil.rpc, world=deployed.world,
                          truth=Truth(deployed.world))
    deployed.anvil.automine(True)
    deployed.anvil.revert(snapshot)


database_numbers = itertools.count(1)


def open_store(kind, tmp_path, request):
    if kind == "sqlite":
        return SqliteStore(tmp_path / "trueup.db")
    admin_url = request.getfixturevalue("postgres_url")
    name = f"t{os.getpid()}_{next(database_numbers)}"
    admin = PostgresStore(admin_url)
    admin.sql(f"CREATE DATABASE {name}")
    admin.close()
    return PostgresStore(admin_url.replace("/postgres?", f"/{name}?"))


@pytest.fixture(params=BACKENDS)
def store(request, tmp_path):
    opened = open_store(request.param, tmp_path, request)
    yield opened
    opened.close()


@pytest.fixture
def postgres(request, tmp_path):
    """For what only PostgreSQL has."""
    opened = open_store("postgres", tmp_path, request)
    yield opened
    opened.close()


@pytest.fixture
def configured(chain, store, tmp_path):
    """Writes a configuration for the chain and the store: configured(wallets='listed', …) -> path."""
    def write(**changes):
        return configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, store.url, **changes))
    return write


@pytest.fixture
def trueup(tmp_path):
    """A daemon not yet started: give it .config (a path) if the test has one."""
    daemon = Trueup(tmp_path)
    yield daemon
    daemon.reap()
    # Tests that end on a running daemon are fine; a sanitizer's report in its log never is.
    output = daemon.output()
    for bad in ("AddressSanitizer", "runtime error:", "LeakSanitizer", "ThreadSanitizer"):
        assert bad not in output, daemon.tail(80)


@pytest.fixture
def second(tmp_path):
    """Another daemon, as on another machine."""
    folder = tmp_path / "second"
    folder.mkdir()
    daemon = Trueup(folder)
    yield daemon
    daemon.reap()


@pytest.fixture
def rng():
    seed = int(os.environ.get("TRUEUP_SEED") or random.SystemRandom().randrange(2 ** 32))
    print(f"TRUEUP_SEED={seed}")
    return random.Random(seed)
