"""Mutations: each tests/mutations/*.patch breaks one promise and names, in a line `Test: …`, the
test that must see it. A mutation passes when that test was green before and is red with it.

    Test: unit                          all of a meson suite
    Test: contract-sqlite/write_rules   one program of it
    Test: test_equality.py::test_rest   a pytest selection below tests/integration

All happens in a copy: the work tree is never touched."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from build import ROOT, BuildFailed, broken, build
from results import Result

# A mutant that makes a test wait for ever should not wait as long as a slow machine may.
IMPATIENT = {"TRUEUP_TEST_SLOWNESS": "0.5"}
AGAIN_MOST = 8
AT_ONCE = 3  # on two cores: much of a test is waiting


def named_test(patch):
    found = re.search(r"^Test: (\S+)\s*$", patch.read_text(), re.MULTILINE)
    return found.group(1) if found else None


def copy_tree(target):
    """What git knows or would add, as it is in the work tree now."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-coz", "--exclude-standard"],
                            check=True, stdout=subprocess.PIPE).stdout
    for name in filter(None, listed.decode().split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    (target / "tests/chain/node_modules").symlink_to(ROOT / "tests/chain/node_modules")


def build_copy(root, targets=()):
    # No optimisation: it is built once a mutation. One that fails says nothing of the next.
    broken.discard(root / "build")
    return build("build", root, ["--buildtype=debug", "-Dhardening=false"], targets=targets)


def introspect(root, what):
    done = subprocess.run(["meson", "introspect", what, root / "build"], check=True, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def targets_of(root, test):
    """What a test needs built: its own program, or for pytest all that are no tests themselves."""
    build = root / "build"
    if is_pytest(test):
        return [str(Path(t["filename"][0]).relative_to(build))
                for t in introspect(root, "--targets") if t["type"] == "executable"
                and not re.search("/(tests/(unit|contract|fuzz)|bench)/", t["defined_in"])]
    suite, _, name = test.partition("/")
    return [str(Path(t["cmd"][0]).relative_to(build)) for t in introspect(root, "--tests")
            if any(s.endswith(":" + suite) for s in t["suite"]) and name in ("", t["name"])]


def is_pytest(test):
    return "::" in test or test.endswith(".py")


def apply(root, patch, *options):
    # One line of context on each side is enough: the code around a mutation moves on.
    done = subprocess.run(["git", "apply", "-C1", *options, str(patch)], cwd=root, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True)
    return done.stderr.strip() if done.returncode else None


class Runner:
    def __init__(self, root, meson_suite, pytest):
        self.root = root
        self.meson_suite = meson_suite
        self.pytest = pytest
        self.targets = {}  # of a kind of test, as meson told them: asking takes as long as some builds

    def build_for(self, test):
        kind = "pytest" if is_pytest(test) else test
        if kind not in self.targets:
            self.targets[kind] = targets_of(self.root, test)
        build_copy(self.root, self.targets[kind])

    def run(self, tests, patience):
        """One run of a meson test, or of several pytest selections."""
        self.build_for(tests[0])
        if is_pytest(tests[0]):
            return self.pytest(tests, root=self.root, env=patience, options=["-x"])
        suite, _, name = tests[0].partition("/")
        return self.meson_suite(suite, root=self.root, env=patience, names=[name] if name else [])

    def green(self, test, patience):
        result = self.run([test], patience)
        # A selection that matches nothing must not count as red.
        if result.passed + result.failed == 0 or any("no " + suite_word in n or "ran no test" in n
                                                     for n in result.notes
                                                     for suite_word in ("unit", "contract")):
            raise LookupError(f"{test} selects no test")
        return result.failed == 0

    def patience(self, test):
        """How patient the test must be to be green as things are; None if it is red all the same."""
        return next((p for p in (IMPATIENT, {}) if self.green(test, p)), None)

    def all_green(self, tests):
        """Whether all of these, which are of one file, are green without much patience: in one run, so
        that they share its node. If not, or if one selects nothing, each is looked at by itself."""
        result = self.run(tests, IMPATIENT)
        return result.failed == 0 and result.passed >= len(tests)

    def mutate(self, patch, test, patience):
        """None when the mutation was seen, else what is wrong."""
        trouble = apply(self.root, patch)
        if trouble:
            return f"does not apply: {trouble}"
        try:
            return f"{test} stays green" if self.green(test, patience) else None
        except BuildFailed as e:
            return f"does not build: {e}"
        except LookupError as e:
            return str(e)
        finally:
            apply(self.root, patch, "--reverse")


def group_of(test):
    """What is cheap to do in one copy after the other: the tests of a file, the mutations of a program."""
    return test.partition("::")[0]


def grouped(jobs):
    """The jobs by group, those with the most to do first."""
    groups = {}
    for job in jobs:
        groups.setdefault(group_of(job[1]), []).append(job)
    return deque(sorted(groups.values(), key=lambda g: -len(g) * (3 if is_pytest(g[0][1]) else 1)))


def work(groups, meson_suite, pytest):
    """One copy of the tree, and mutations for as long as there are any: {job: what is wrong or None}."""
    ends = {}
    with tempfile.TemporaryDirectory(prefix="trueup-mutants-") as folder:
        root = Path(folder)
        copy_tree(root)
        build_copy(root, ["build.ninja"])
        runner = Runner(root, meson_suite, pytest)
        with contextlib.suppress(IndexError):  # another one took the last
            while True:
                ends.update(work_group(runner, groups.popleft()))
    return ends


def work_group(runner, jobs):
    ends, healthy = {}, {}
    tests = list(dict.fromkeys(test for _, test in jobs))
    with contextlib.suppress(BuildFailed):  # told below
        if len(tests) > 1 and runner.all_green(tests):
            healthy = dict.fromkeys(tests, IMPATIENT)
    for patch, test in jobs:
        try:
            if test not in healthy:
                healthy[test] = runner.patience(test)
            ends[patch, test] = (f"{test} is red without it" if healthy[test] is None
                                 else runner.mutate(patch, test, healthy[test]))
        except (LookupError, BuildFailed) as e:
            ends[patch, test] = str(e)
    return ends


def run_all(meson_suite, pytest):
    result = Result()
    jobs = []
    # TRUEUP_MUTATIONS='read_*' narrows it down while one is being written.
    chosen = os.environ.get("TRUEUP_MUTATIONS", "*") + ".patch"
    for patch in sorted((ROOT / "tests/mutations").glob(chosen)):
        test = named_test(patch)
        if test is None:
            result.fail(f"{patch.name}: no line that says `Test: …`")
        else:
            jobs.append((patch, test))
    os.environ.setdefault("TRUEUP_BUILD", str(ROOT / "tests/chain/build"))
    groups = grouped(jobs)
    ends = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for part in pool.map(lambda _: work(groups, meson_suite, pytest), range(AT_ONCE)):
            ends.update(part)
    # Beside two others a test may be late, or too late to see it: once more, alone.
    again = [job for job, trouble in ends.items() if trouble]
    if len(again) <= AGAIN_MOST:
        ends.update(work(grouped(again), meson_suite, pytest) if again else {})
    for (patch, _), trouble in ends.items():
        if trouble:
            result.fail(f"{patch.name}: {trouble}")
        else:
            result.ok()
    return result
