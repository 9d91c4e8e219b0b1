"""What the integration tests have, with Hardhat in the place of anvil."""

import importlib.util
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
chain, configured = fixtures.chain, fixtures.configured

from hardhat import Hardhat, HardhatWorld  # noqa: E402


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    node = Hardhat(tmp_path_factory.mktemp("hardhat")).start()
    try:
        yield SimpleNamespace(anvil=node, world=HardhatWorld(node.rpc).deploy())
    finally:
        node.stop()
