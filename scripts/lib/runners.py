"""How scripts/test starts meson's tests and pytest, and counts what they wrote.

Each test runs once. A failed test is a failure: nothing here starts it a second time."""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from build import ROOT
from results import Result, from_junit, from_meson

sys.path.insert(0, str(ROOT / "tests" / "integration"))
from harness.postgres import Cluster  # noqa: E402

PYTHON = "/usr/bin/python3"
NOTHING_SELECTED = 5  # pytest's exit status
MARK = "alone"  # pytest's marker of a test that needs the machine to itself
NIGHT_MARK = "night"  # of one that only `--night` runs


def quiet(command, **more):
    return subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, text=True,
                          errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


class Databases:
    """One cluster for all suites, started when the first suite wants it."""

    def __init__(self):
        self.cluster = None

    def env(self):
        if "TRUEUP_TEST_POSTGRES" not in os.environ:
            self.cluster = Cluster()
            os.environ["TRUEUP_TEST_POSTGRES"] = self.cluster.start().url()
        return os.environ

    def stop(self):
        if self.cluster:
            self.cluster.remove()
            del os.environ["TRUEUP_TEST_POSTGRES"]


databases = Databases()


def meson_suite(suite, folder="build", extra=(), env=None, root=ROOT, names=(), log=None):
    """Runs a suite of a build that is up to date. log: where meson puts it if not where it does."""
    log = root / folder / "meson-logs" / (log or f"{suite}.json")
    log.unlink(missing_ok=True)
    done = quiet(["meson", "test", "-C", root / folder, "--no-rebuild", "--suite", suite,
                  "--logbase", suite, *extra, *names], env={**os.environ, **(env or {})})
    result = from_meson(log, f"{suite} tests")
    if done.returncode != 0 and result.failed == 0:
        result.fail(f"meson test ended with {done.returncode}: {done.stdout[-500:]}")
    return result


def pytest(selection=(), binary=None, root=ROOT, env=None, name="integration", options=(),
           folder="integration", may_select_nothing=False):
    with tempfile.TemporaryDirectory(prefix="trueup-junit-") as scratch:
        junit = Path(scratch) / "junit.xml"
        env = {**databases.env(), **(env or {}), "PYTHONDONTWRITEBYTECODE": "1",
               "TRUEUP_BIN": str(binary or root / "build/src/trueup")}
        done = quiet([PYTHON, "-m", "pytest", "-q", "--tb=short", f"--junitxml={junit}", *options,
                      *selection], cwd=root / "tests" / folder, env=env)
        if may_select_nothing and done.returncode == NOTHING_SELECTED:
            return Result()
        result = from_junit(junit, name)
        if result.failed:
            result.notes.append(done.stdout[-6000:])
        elif done.returncode != 0:
            result.fail(f"pytest ended with {done.returncode}: {done.stdout[-1500:]}")
        return result


# ---- files of tests/integration: some beside each other, some alone ------------------------------


def grouped_by_file(tests):
    """{file: its tests}, from files and FILE::TEST."""
    files = {}
    for test in tests:
        files.setdefault(test.partition("::")[0], []).append(test)
    return files


def has_mark(file, root=ROOT, folder="integration"):
    return f"pytest.mark.{MARK}" in (root / "tests" / folder / file).read_text()


def beside_each_other(tests, jobs=3, options=(), **how):
    """The tests without the mark. Each file is a run of its own, some at a time: the tests of a file
    share a node, and much of a test is waiting."""
    files = grouped_by_file(tests)
    databases.env()

    def run(file):
        return pytest(files[file], name=file, options=[*options, "-m", f"not {MARK} and not {NIGHT_MARK}"],
                      may_select_nothing=has_mark(file, how.get("root", ROOT)), **how)

    result = Result()
    with ThreadPoolExecutor(jobs) as pool:
        for part in pool.map(run, files):
            result.add(part)
    return result


def one_by_one(tests, options=(), **how):
    """The tests with the mark, one file after the other. The caller sees to it that nothing else runs."""
    result = Result()
    for file, part in grouped_by_file(tests).items():
        if has_mark(file, how.get("root", ROOT)):
            result.add(pytest(part, name=file, options=[*options, "-m", MARK], may_select_nothing=True,
                              **how))
    return result


def by_file(tests, jobs=3, **how):
    """All tests, for a suite that has the machine to itself: the unmarked ones first."""
    result = beside_each_other(tests, jobs, **how)
    result.add(one_by_one(tests, **how))
    return result


def marked(tests=(), root=ROOT):
    """The ids of the tests with the mark, without their parameters."""
    done = quiet([PYTHON, "-m", "pytest", "-q", "--collect-only", "-m", MARK, *tests],
                 cwd=root / "tests/integration", env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    return {line.partition("[")[0] for line in done.stdout.splitlines() if re.match(r"\S+\.py::", line)}
