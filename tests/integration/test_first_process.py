"""As PID 1 of a container, with nobody above it: no signal has an effect that nobody asked for, orphans of
others become its children, and its end is the end of all."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.config import CHECKPOINT, TABLE
from harness.daemon import binary, command_line, session_members
from harness.postgres import children
from harness.wait import SLOWNESS, until
from harness.world import wallet

WALLETS = [wallet(i) for i in range(3)]

pytestmark = pytest.mark.alone  # each end is held to its two seconds
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@functools.cache
def namespace():
    """How to start a program as PID 1, with a user namespace where that takes one; None where neither is
    allowed, as in many a container."""
    for own_user in ([], ["--user", "--map-root-user"]):
        start = ["unshare", *own_user, "--pid", "--fork", "--kill-child"]
        if subprocess.run([*start, "true"], capture_output=True).returncode == 0:
            return start
    return None


# Instead of a namespace: whoever loses a parent below this process becomes its child all the same
# (PR_SET_CHILD_SUBREAPER, which exec keeps). A child of it makes orphans on request.
REAPER = """
import ctypes, os, sys
prctl = ctypes.CDLL(None).prctl
prctl(36, 1, 0, 0, 0)
if os.fork() == 0:
    prctl(1, 9, 0, 0, 0)
    while True:
        with open(sys.argv[1]) as asked:
            seconds = asked.read()
        if os.fork() == 0:
            if os.fork() == 0:
                os.execvp("sleep", ["sleep", seconds])
            os._exit(0)
        os.wait()
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Contained:
    """trueup as PID 1 of a new PID namespace, .trueup.process the unshare that waits outside; or, without
    a namespace, as the one that orphans come to."""

    def __init__(self, trueup):
        self.trueup = trueup
        self.asks = trueup.folder / "orphans"

    def start(self, *arguments):
        before = namespace()
        if before is None:
            os.mkfifo(self.asks)
            before = [sys.executable, "-c", REAPER, str(self.asks)]
        with open(self.trueup.log, "ab") as log:
            self.trueup.process = subprocess.Popen(
                [*before, *self.trueup.command("run", *arguments)], cwd=self.trueup.folder,
                env=self.trueup.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.pid = self.trueup.until(self._first, "PID 1")
        return self

    def _first(self):
        outside = self.trueup.process.pid
        found = [p for p in [outside, *children(outside)] if command_line(p)[:1] == [binary()]]
        return found[0] if found else None

    def namespaced(self):
        """Its own number, inside."""
        line = next(x for x in Path(f"/proc/{self.pid}/status").read_text().splitlines()
                    if x.startswith("NSpid"))
        return int(line.split()[-1])

    def end(self, sig=signal.SIGTERM, then=lambda: None):
        """The exit status after a signal, which must take effect in time and leave nobody."""
        outside = self.trueup.process.pid
        began = time.monotonic()
        os.kill(self.pid, sig)
        then()
        code = self.trueup.wait(10)
        took = time.monotonic() - began
        assert took <= 2 * SLOWNESS, f"it took {took:.1f} s to stop\n{self.trueup.tail()}"
        assert session_members(outside) == []
        self.trueup.process = None
        return code


@pytest.fixture
def contained(trueup):
    yield Contained(trueup)
    if trueup.process is not None and trueup.process.poll() is None:
        trueup.process.kill()  # and its child with it


def state(pid):
    """(state, parent), or None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1])


def orphan(contained, seconds):
    """A process inside whose parent is gone; its pid as seen from here."""
    if namespace() is None:
        contained.asks.write_text(str(seconds))
    else:
        own_user = ["-U", "--preserve-credentials"] if "--user" in namespace() else []
        subprocess.run(["nsenter", "-t", str(contained.pid), *own_user, "-p", "--", "sh", "-c",
                        f"sleep {seconds} & exit 0"], check=True, stdin=subprocess.DEVNULL)
    return until(lambda: [p for p in children(contained.pid) if command_line(p)[:2] == ["sleep", str(seconds)]],
                 "the orphan to be its child")[0]


@on_sqlite
def test_orphans_are_reaped(chain, store, trueup, configured, contained):
    trueup.config = configured()
    contained.start()
    assert namespace() is None or contained.namespaced() == 1
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    for seconds in (0.3, 0.31, 0.32):
        left = orphan(contained, seconds)
        assert state(left)[1] == contained.pid
        trueup.until(lambda: state(left) is None, "it to be reaped", 5)
    # A worker that is killed is one among them, and is told apart.
    old = trueup.worker("sweep")
    left = orphan(contained, 0.2)
    trueup.kill("sweep")
    trueup.until(lambda: trueup.workers().get("sweep") not in (None, old), "another sweep")
    trueup.until(lambda: state(left) is None and state(old) is None, "both to be reaped")
    assert trueup.output().count("worker died") == 1
    assert not [p for p in children(contained.pid) if state(p) and state(p)[0] == "Z"]
    chain.world.token.send("mint", WALLETS[0], 5)
    trueup.until(lambda: WALLETS[0] in store.rows(TABLE), "a row")
    if namespace():
        orphan(contained, 60)  # one that outlives its workers does not hold it up, and goes with it
    assert contained.end() == 0


@on_sqlite
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_asked(chain, store, trueup, configured, contained, sig):
    trueup.config = configured()
    contained.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    assert contained.end(sig) == 0
    assert "did not stop in time" not in trueup.output()


@on_sqlite
def test_a_signal_while_it_reads_its_settings(chain, store, trueup, configured, contained):
    """The default action of every signal is nothing for PID 1: so it asks for them first of all."""
    settings = configured().read_text()
    trueup.config = trueup.folder / "pipe.yaml"
    os.mkfifo(trueup.config)
    contained.start()
    pipe = trueup.until(lambda: writing_end(trueup.config), "it to open its settings")

    def go_on():
        with contextlib.suppress(BrokenPipeError):
            os.write(pipe, settings.encode())
        os.close(pipe)
    assert contained.end(then=go_on) == 0


def writing_end(path):
    """As soon as somebody reads there."""
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None
