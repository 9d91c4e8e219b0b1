"""The scripted provider itself: in front of a real node it changes nothing it was not told to change,
the same seed plays the same faults, and its table in README.md is true."""

import pathlib
import re
import sys

import pytest

from harness.anvil import Anvil
from harness.rpc import Rpc, RpcError
from harness.wait import until

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "provider"))

from client import ScriptedProvider  # noqa: E402
from faults import FAULTS  # noqa: E402
from provider_ws import ACTS, SWITCHES  # noqa: E402

ZERO = "0x" + "00" * 20


@pytest.fixture(scope="module")
def anvil(tmp_path_factory):
    node = Anvil(tmp_path_factory.mktemp("anvil")).start()
    yield node
    node.stop()


@pytest.fixture
def provider(anvil):
    with ScriptedProvider(forward=anvil.url) as p:
        yield p


def test_honest_in_front_of_a_node(anvil, provider):
    there, here = Rpc(anvil.url), Rpc(provider.url)
    there.call("anvil_mine", "0x3")
    for method, params in [("eth_chainId", []), ("eth_getBlockByNumber", ["latest", False]),
                           ("eth_call", [{"to": ZERO, "data": "0x"}, "latest"])]:
        assert here.call(method, *params) == there.call(method, *params)
    with pytest.raises(RpcError):
        here.call("eth_nope")
    assert [r["method"] for r in provider.log()][-2:] == ["eth_call", "eth_nope"]


def test_changes_reach_the_node(anvil, provider):
    """`ignore-pin` turns a refused made-up hash into an answer; the record keeps what was asked."""
    rpc = Rpc(provider.url)
    pinned = [{"to": ZERO, "data": "0x"}, {"blockHash": "0x" + "11" * 32}]
    with pytest.raises(RpcError):
        rpc.call("eth_call", *pinned)
    provider.rules({"fault": "ignore-pin"})
    assert rpc.call("eth_call", *pinned) == "0x"
    last = provider.log()[-1]
    assert last["params"] == pinned and last["faults"] == ["ignore-pin"]


def played(seed):
    with ScriptedProvider(seed=seed) as p:
        p.rules({"fault": "null-result", "chance": 0.5})
        rpc = Rpc(p.url)
        return [rpc.call("eth_chainId") for _ in range(40)]


def test_the_seed_decides():
    assert played(7) == played(7)
    assert played(7) != played(8)


def test_the_table_is_true():
    rows = re.findall(r"^\| (\d+) \| `([a-z0-9-]+)` .*\| ([^|]+) \|$",
                      (TESTS / "provider/README.md").read_text(), re.M)
    assert [(int(n), name) for n, name, _ in rows] == sorted((f.number, f.name)
                                                              for f in FAULTS.values())
    source = {"F": (TESTS / "unit/rpc_fault_test.c").read_text(),
              "N": (TESTS / "unit/rpc_test.c").read_text(),
              "P": (TESTS / "unit/prove_test.c").read_text()}
    for number, name, tests in rows:
        for file in re.findall(r"`(test_\w+\.py)`", tests):
            assert f'"{name}"' in (TESTS / "integration" / file).read_text(), f"{file}: no {name}"
        for where, test in re.findall(r"([FNP]) ([a-z0-9_]+)", tests):
            # One row may stand for a family: rate_limit_*.
            bodies = re.findall(rf"static void {test}\w*\(void \*\*state\).*?\n}}\n", source[where],
                                re.S)
            assert bodies, f"fault {number}: no test {test}"
            assert any(f"'{name}'" in body for body in bodies), f"{test} does not play {name}"


def test_the_table_of_the_socket_is_true():
    """Every switch has its row, and the tests that a row names play it."""
    rows = re.findall(r"^\| W\d+ \| (.*?) \|.*\| ([^|]+) \|$",
                      (TESTS / "provider/README.md").read_text(), re.M)
    tests = {found[1]: block for name in ("test_live.py", "test_families.py")
             for block in (TESTS / "integration" / name).read_text().split("\n\n\n")
             if (found := re.search(r"^def test_(\w+)\(", block, re.M))}
    described = set()
    for named, names in rows:
        bodies = "".join(tests[name] for name in names.split(", "))
        for switch in re.findall(r"`([a-z-]+)`", named):
            assert f'"{switch}"' in bodies, f"no test of {names} plays {switch}"
            described.add(switch)
    assert described == SWITCHES | ACTS


def test_logs_that_come_late_or_in_part(anvil):
    """`lacking-logs`, and what the witness tells of it: a log counts as shown only once an answer had it."""
    there = Rpc(anvil.url)
    # Two logs of one contract in one block: LOG1 twice, from code that is put there.
    emitter = "0x" + "ee" * 20
    there.call("anvil_setCode", emitter, "0x60015f5fa160025f5fa100")
    tx = there.call("eth_sendTransaction", {"from": "0x" + "d0" * 20, "to": emitter, "gasPrice": "0x0"})
    until(lambda: there.call("eth_getTransactionReceipt", tx), "it to be mined")
    asked = {"fromBlock": "0x0", "toBlock": "latest", "address": emitter}
    assert len(there.call("eth_getLogs", asked)) == 2
    for part, first in (("block", 0), ("one", 1), ("range", 0)):
        with ScriptedProvider(forward=anvil.url) as p:
            here = Rpc(p.url)
            p.rules({"fault": "lacking-logs", "method": "eth_getLogs", "args": {"part": part}})
            assert len(here.call("eth_getLogs", asked)) == first
            told = p.events()
            assert (len(told["left"]), len(told["shown"])) == (2 - first, first)
            assert here.call("eth_getLogs", asked) == there.call("eth_getLogs", asked)
            assert len(p.events()["shown"]) == 2


def test_an_answer_that_is_no_answer_shows_nothing(anvil):
    """Bent, cut and foreign answers; a bloom that was changed is told with its block."""
    with ScriptedProvider(forward=anvil.url) as p:
        here = Rpc(p.url)
        asked = {"fromBlock": "0x0", "toBlock": "latest", "address": "0x" + "ee" * 20}
        for args in ({"set": {"removed": True}}, {"set": {"blockNumber": "0xe8d4a51000"}}):
            p.rules({"fault": "bend-logs", "args": args})
            assert len(here.call("eth_getLogs", asked)) == 2
        assert p.events()["shown"] == {}
        for fault in ("wrong-id", "truncated-json"):
            p.rules({"fault": fault})
            try:
                here.call("eth_getLogs", asked)
            except ValueError:
                pass
        assert p.events()["shown"] == {}
        p.rules({"fault": "bend-header", "args": {"set": {"logsBloom": "0x"}}})
        block = here.call("eth_getBlockByNumber", "latest", False)["hash"]
        assert p.events()["dimmed"] == [block]
