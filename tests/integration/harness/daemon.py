"""trueup as a process: started, watched, killed and asked as an operator would."""

import contextlib
import itertools
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from .wait import SLOWNESS, Late, until

ROOT = Path(__file__).resolve().parents[3]
# scripts/test says so where a sanitizer or valgrind looks on: what a process leaked is told at its
# exit, so it must be let come to one.
WATCHED = os.environ.get("TRUEUP_TEST_WATCHED")  # by a "sanitizer" or by "valgrind"


def binary():
    return os.environ.get("TRUEUP_BIN", str(ROOT / "build" / "src" / "trueup"))


class Trueup:
    def __init__(self, folder, config=None, env=None):
        self.folder = Path(folder)
        self.config = config
        # A clean environment: what a test did not say, no developer's shell may say for it.
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8", "TERM": "xterm",
                    **{k: v for k, v in os.environ.items()
                       if k.startswith(("ASAN_", "UBSAN_", "LSAN_", "TSAN_"))},
                    **(env or {})}
        self.log = self.folder / "trueup.log"
        self.process = None

    def command(self, *arguments):
        arguments = [str(a) for a in arguments]
        if self.config is not None and "-c" not in arguments:
            arguments[1:1] = ["-c", str(self.config)]
        return [binary(), *arguments]

    def run(self, *arguments, code=0, timeout=60, input=None):
        """One command to its end. code=None accepts any exit status."""
        done = subprocess.run(self.command(*arguments), cwd=self.folder, env=self.env, text=True,
                              input=input if input is not None else "", capture_output=True,
                              timeout=timeout * SLOWNESS)
        if code is not None:
            assert done.returncode == code, (
                f"trueup {' '.join(map(str, arguments))}: exit {done.returncode}, expected {code}\n"
                f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return done

    # The daemon.

    def start(self, *arguments):
        assert self.process is None, "already running"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command("run", *arguments), cwd=self.folder,
                                            env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)
        return self

    @property
    def pid(self):
        return self.process.pid

    def output(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines=40):
        """The end of the log, without the heartbeat of the sweep."""
        said = [line for line in self.output().splitlines()
                if "nothing due" not in line and "tick complete" not in line]
        return "\n".join(said[-lines:])

    def alive(self):
        """Raises, with the end of the log, when the daemon is gone: for use while waiting."""
        if self.process is None or self.process.poll() is not None:
            code = None if self.process is None else self.process.returncode
            raise AssertionError(f"trueup ended with {code}:\n{self.tail()}")
        return True

    def until(self, condition, what, seconds=30.0):
        try:
            return until(condition, what, seconds, alive=self.alive)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.tail()}") from None

    def until_log(self, text, seconds=20.0, start=0):
        return self.until(lambda: text in self.output()[start:], f"the log to say {text!r}", seconds)

    def wait(self, seconds=20.0):
        """Its exit status, when it is expected to end by itself."""
        try:
            return self.process.wait(seconds * SLOWNESS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"trueup still runs after {seconds} s:\n{self.tail()}") from None

    def stop(self, seconds=10.0, sig=signal.SIGTERM):
        """As `docker stop` does. The promise is two seconds: tests that hold the daemon to it say so, and
        have the machine to themselves."""
        self.alive()
        slow = WATCHED == "valgrind"  # nobody is down within two seconds there
        if slow:
            end_workers(self.pid)
        began = time.monotonic()
        self.process.send_signal(sig)
        if slow:
            self.process.send_signal(signal.SIGCONT)
        code = self.wait(10)
        took = time.monotonic() - began
        assert took <= seconds * SLOWNESS, f"it took {took:.1f} s to stop\n{self.tail()}"
        self.reap()
        return code

    def kill(self, worker=None):
        """kill -9 of the supervisor, or of a worker by its name."""
        if worker is not None:
            os.kill(self.worker(worker), signal.SIGKILL)
            return
        self.process.kill()
        self.process.wait()
        # Workers notice their parent's death by themselves: nothing may be left of the session.
        group = self.process.pid
        until(lambda: not session_members(group), "the workers to follow their supervisor", 5)
        self.process = None

    def workers(self):
        """{name: pid} of the running workers, by their command line: trueup worker NAME."""
        found = {}
        for pid in session_members(self.process.pid):
            words = command_line(pid)
            if "worker" in words[1:-1]:
                found[words[words.index("worker") + 1]] = pid
        return found

    def worker(self, name):
        # One that died often is only started again after a pause of up to half a minute.
        return self.until(lambda: self.workers().get(name), f"a worker {name}", 40)

    def hangup(self):
        """SIGHUP, until it was followed or refused: what the log says of it. Workers that were given other
        settings have been replaced by then; that a new one of web listens is for the test to wait for."""
        before, said = self.workers(), len(self.output())
        os.kill(self.pid, signal.SIGHUP)
        self.until(lambda: re.search("the old ones stay|settings were read again", self.output()[said:]),
                   "an answer to SIGHUP")
        text = self.output()[said:]
        changed = re.findall(r"worker reconfigured name=(\w+) runs=yes", text)
        self.until(lambda: all(self.workers().get(n) not in (None, before.get(n)) for n in changed),
                   f"new processes of {changed}")
        return text

    def reap(self):
        """The end of the test: whatever is left of our own session goes."""
        if self.process is None:
            return
        group = self.process.pid
        if WATCHED:
            end_in_order(group)
        left = session_members(group)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):  # a worker dies with its supervisor
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        until(lambda: not session_members(group), "the processes to be gone", 5)
        return left


def end_in_order(supervisor):
    end_workers(supervisor)
    ask_to_end({supervisor}, supervisor)


def end_workers(supervisor):
    """Leaves the supervisor stopped: it would kill those who take their time, and start new ones."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(supervisor, signal.SIGSTOP)
    ask_to_end(set(session_members(supervisor)) - {supervisor}, supervisor)


def ask_to_end(pids, session):
    for pid, number in itertools.product(pids, (signal.SIGTERM, signal.SIGCONT)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    with contextlib.suppress(Late):  # one that hangs, as in some tests it should
        until(lambda: not pids & set(session_members(session)), "an end in good order", 3)


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return [""]


def session_members(session):
    """Pids in a session, zombies not counted. Not the process group: workers have their own, so that
    Ctrl-C reaches the supervisor alone."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.name))
    return found
