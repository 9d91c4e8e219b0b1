"""What the integration tests have, with geth in the place of anvil."""

import importlib.util
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).resolve().parent
INTEGRATION = HERE.parent / "integration"
sys.path[:0] = [str(HERE), str(INTEGRATION)]

found = importlib.util.spec_from_file_location("integration_fixtures", INTEGRATION / "conftest.py")
fixtures = importlib.util.module_from_spec(found)
found.loader.exec_module(fixtures)
postgres_url, store, trueup, rng = fixtures.postgres_url, fixtures.store, fixtures.trueup, fixtures.rng

from geth import DevGeth, EngineGeth  # noqa: E402
from harness.truth import Truth  # noqa: E402


def a_chain(kind, folder):
    node = kind(folder, os.environ["TRUEUP_GETH"])
    try:
        node.start()
        world = node.world()
        yield SimpleNamespace(node=node, rpc=node.rpc, world=world, truth=Truth(world))
    finally:
        node.stop()


@pytest.fixture(scope="session")
def dev(tmp_path_factory):
    yield from a_chain(DevGeth, tmp_path_factory.mktemp("dev"))


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    yield from a_chain(EngineGeth, tmp_path_factory.mktemp("engine"))
