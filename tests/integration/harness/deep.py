"""In the place of the usual chain, for reorgs that go deep: `from harness.deep import deployed  # noqa: F401`."""

from types import SimpleNamespace

import pytest

from .anvil import Anvil
from .world import World


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """A chain that keeps all its states in memory: once anvil has moved one to its disk, going back to it
    leaves every contract without its code; and equal blocks of two branches make it move new ones."""
    anvil = Anvil(tmp_path_factory.mktemp("anvil"), extra=["--prune-history", "100000"]).start()
    try:
        yield SimpleNamespace(anvil=anvil, world=World(anvil.rpc).deploy())
    finally:
        anvil.stop()
