"""SIGHUP: who reads the settings again knows the environment and shows it to nobody; and an endpoint of
another chain is a slip in a file, not the end of a daemon."""

import os
import re
import signal
import subprocess

import pytest

from harness import config as configs
from harness.node import free_port
from harness.checks import assert_anchored_rows_true
from harness.config import CHECKPOINT, TABLE
from harness.provider import ScriptedProvider
from harness.wait import SLOWNESS
from harness.web import listening
from harness.world import wallet

WALLETS = [wallet(i) for i in range(4)]

pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


def endpoint(name, url):
    return {"name": name, "url": url, "ws": "off"}


@pytest.fixture
def running(chain, store, trueup, tmp_path):
    """A daemon on the chain; .give(endpoints) writes other ones into its file and tells it."""
    http, trueup.client = listening()

    def write(*endpoints, **changes):
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, "", store.url, http=http, chain={"endpoints": list(endpoints), **changes}))

    def give(*endpoints, **changes):
        write(*endpoints, **changes)
        said = trueup.hangup()
        trueup.until(trueup.client.answers, "HTTP")
        return said
    trueup.give = give
    write(endpoint("local", chain.anvil.url))
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    trueup.until(trueup.client.answers, "HTTP")
    return trueup


def still_follows(trueup, chain, store, who):
    chain.world.token.send("mint", who, 5)
    trueup.until(lambda: who in store.rows(TABLE), "a row")
    trueup.until(lambda: trueup.client.ask("/readyz")[0] == 200, "/readyz to be green")


ELSEWHERE = {"id": {"fault": "result", "method": "eth_chainId", "args": {"result": "0x5"}},
             "genesis": {"fault": "other-genesis", "method": "eth_getBlockByNumber"}}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_endpoints_of_another_chain_are_refused(chain, store, running, what):
    """Nothing of the daemon changes for it; with a right one beside it, the wrong one is set aside."""
    trueup, before = running, running.workers()
    with ScriptedProvider(forward=chain.anvil.url) as foreign:
        foreign.rules(ELSEWHERE[what])
        said = trueup.give(endpoint("foreign", foreign.url))
        assert 'settings refused problem="' in said and "the old ones stay" in said, said
        assert ("chain id is 5" if what == "id" else "genesis block is 0x") in said, said
        assert trueup.workers() == before
        still_follows(trueup, chain, store, WALLETS[0])

        said = trueup.give(endpoint("foreign", foreign.url), endpoint("local", chain.anvil.url))
        assert "settings were read again" in said and trueup.workers()["follow"] != before["follow"], said
        trueup.until_log("follow: endpoint not used")
        foreign.order(clear_log=True)
        still_follows(trueup, chain, store, WALLETS[1])
        asked = {r["method"] for r in foreign.log()}
        assert asked <= {"eth_chainId", "eth_getBlockByNumber"}, asked
    assert_anchored_rows_true(store, chain.truth)
    assert "worker died" not in trueup.output()
    assert trueup.stop() == 0


def test_endpoints_that_show_nothing_are_refused(chain, store, running):
    """Nobody there: what works is not given up for it. When it is there, it is taken."""
    trueup, before, port = running, running.workers(), free_port()
    said = trueup.give(endpoint("later", f"http://127.0.0.1:{port}"))
    assert 'settings refused problem="' in said and "later" in said and "the old ones stay" in said, said
    assert trueup.workers() == before
    still_follows(trueup, chain, store, WALLETS[0])
    with ScriptedProvider(forward=chain.anvil.url, port=port) as later:
        assert "settings were read again" in trueup.give(endpoint("later", later.url))
        chain.anvil.mine(3)  # the sweep reads at the finalized block, and passes by what is younger
        trueup.until(lambda: "eth_call" in {r["method"] for r in later.log()}, "it to be asked")
        still_follows(trueup, chain, store, WALLETS[1])
        assert trueup.stop() == 0


def test_a_hangup_while_it_starts(chain, store, trueup, tmp_path):
    """The file may have changed since it was read: the signal is kept until somebody can follow it."""
    with ScriptedProvider(forward=chain.anvil.url) as slow:
        slow.rules({"fault": "silence", "args": {"seconds": 1}, "times": 1})
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(chain.world, slow.url, store.url))
        trueup.start()
        trueup.until(lambda: "prepare" in trueup.workers(), "it to prepare")
        trueup.config.write_text(trueup.config.read_text().replace("'200ms'", "'300ms'"))
        os.kill(trueup.pid, signal.SIGHUP)
        trueup.until_log("settings were read again")
        trueup.until_log("starting stale-refresh sweep interval_ms=300")
        assert trueup.stop() == 0


def test_who_reads_them_shows_nothing(chain, store, trueup, tmp_path):
    """strace over it: the environment it was started with is clean, what it reads it with comes through
    the pipe; it leaves no core behind, and is soon gone."""
    http, trueup.client = listening()
    secret = "CANARYenv4b1c"
    trueup.env |= {"NODE_KEY": secret, "ANOTHER_SECRET": "CANARYother77"}
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url + "/?key=${NODE_KEY}", store.url, http=http))
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    trace = tmp_path / "trace"
    tracer = subprocess.Popen(["strace", "-f", "-v", "-s", "100000", "-e", "trace=execve,prctl,openat,exit_group",
                               "-p", str(trueup.pid), "-o", str(trace)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert "attached" in tracer.stderr.readline()
    said = len(trueup.output())
    trueup.config.write_text(trueup.config.read_text().replace("key=", "again="))
    os.kill(trueup.pid, signal.SIGHUP)
    trueup.until_log("settings were read again", start=said)
    tracer.terminate()
    tracer.wait(20 * SLOWNESS)
    lines = trace.read_text(errors="replace").splitlines()
    started = next(x for x in lines if "execve(" in x and '"reload"' in x)
    assert "PATH=" in started and "CANARY" not in started, started
    helper = [x.partition(" ")[2].strip() for x in lines if x.split(" ", 1)[0] == started.split(" ", 1)[0]]
    kept = next(i for i, x in enumerate(helper) if x.startswith("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE"))
    read = next(i for i, x in enumerate(helper) if x.startswith("openat(") and "trueup.yaml" in x)
    assert kept < read, "before it knows anything"
    assert any("exited with 0" in x for x in helper), helper[-3:]
    trueup.until(lambda: "reload" not in trueup.workers(), "it to be gone")
    assert trueup.stop() == 0
