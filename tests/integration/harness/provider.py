"""The scripted provider between the daemon and the test's node, as a fixture."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "provider"))

from client import ScriptedProvider  # noqa: E402


@pytest.fixture
def provider(chain):
    with ScriptedProvider(forward=chain.anvil.url) as p:
        yield p


@pytest.fixture
def two(chain):
    """Two of them in front of one node."""
    with ScriptedProvider(forward=chain.anvil.url) as a, ScriptedProvider(forward=chain.anvil.url) as b:
        yield a, b


def asked(provider, method):
    """The parameters of every request of a method so far."""
    return [r["params"] for r in provider.log() if r["method"] == method]
