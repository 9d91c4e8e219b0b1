"""Mutations: each tests/mutations/*.patch breaks one promise and names, in a line `Test: …`, the
test that must see it. A mutation passes when that test was green before and is red with it. Each is
run once: a test that is red without its mutation fails the mutation, and so does a test that stays
green with it.

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
from runners import marked

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

    def run(self, tests, options=()):
        """One run of a meson test, or of several pytest selections of one file."""
        self.build_for(tests[0])
        if is_pytest(tests[0]):
            return self.pytest(tests, root=self.root, options=options)
        suite, _, name = tests[0].partition("/")
        return self.meson_suite(suite, root=self.root, names=[name] if name else [])

    def red(self, tests):
        """{test: None if it is green as things are, else why not}. One run for all tests of a file: they
        share a node."""
        result = self.run(tests)
        return {test: None if verdict(result, test) else
                f"{test} is red without it: {' '.join(result.notes)[:500]}" for test in tests}

    def mutate(self, patch, test):
        """None when the mutation was seen, else what is wrong."""
        trouble = apply(self.root, patch)
        if trouble:
            return f"does not apply: {trouble}"
        try:
            return f"{test} stays green" if verdict(self.run([test], ["-x"]), test) else None
        except BuildFailed as e:
            return f"does not build: {e}"
        except LookupError as e:
            return str(e)
        finally:
            trouble = apply(self.root, patch, "--reverse")
            if trouble:  # whatever follows in this copy would be about two mutations
                raise RuntimeError(f"{patch.name} cannot be taken back: {trouble}")


def verdict(result, test):
    """Whether a test was green. One that did not run is neither green nor red: it must not count as a
    mutation that was seen."""
    cases = [c for c in result.cases if selects(test, c.name)]
    if not cases:
        raise LookupError(f"{test} did not run: {' '.join(result.notes)[-500:]}")
    return all(c.ok for c in cases)


def selects(test, case):
    """Whether a named test is this case: a file, a test with all its parameters, or one of them; of meson
    all of a suite, or one program."""
    return case == test or case.startswith((test + "::", test + "[") if is_pytest(test) else test + "/")


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
    ends, red = {}, {}
    tests = list(dict.fromkeys(test for _, test in jobs))
    trouble = ""
    try:
        red = runner.red(tests) if is_pytest(tests[0]) else {t: runner.red([t])[t] for t in tests}
    except (LookupError, BuildFailed) as e:
        trouble = str(e)
    for patch, test in jobs:
        ends[patch, test] = trouble or red[test] or runner.mutate(patch, test)
    return ends


def needs_the_machine(test, alone):
    """alone: what is marked, without parameters. The processes are judged by the clock, too."""
    name = test.partition("[")[0]
    return test.startswith("processes") or name in alone or any(a.startswith(name + "::") for a in alone)


def at_once(jobs, workers, meson_suite, pytest):
    """{job: what is wrong or None}, some groups at a time."""
    groups, ends = grouped(jobs), {}
    with ThreadPoolExecutor(workers) as pool:
        for part in pool.map(lambda _: work(groups, meson_suite, pytest), range(min(workers, len(groups)))):
            ends.update(part)
    return ends


PARTS = 8  # of the mutations; CI plays one


def turn_of_commit():
    """From the commit's hash: which part of the mutations has its turn."""
    done = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], text=True, capture_output=True)
    return int(done.stdout.strip()[-1:] or "0", 16) % PARTS


def chosen_patches(part):
    # TRUEUP_MUTATIONS='read_* page_pale' narrows it down while one is being written.
    chosen = os.environ.get("TRUEUP_MUTATIONS", "*").split()
    patches = sorted({p for glob in chosen for p in (ROOT / "tests/mutations").glob(glob + ".patch")})
    return patches[turn_of_commit()::PARTS] if part else patches


def run_all(meson_suite, pytest, part=False):
    """part: every eighth one, by turns from commit to commit."""
    result = Result()
    jobs = []
    for patch in chosen_patches(part):
        test = named_test(patch)
        if test is None:
            result.fail(f"{patch.name}: no line that says `Test: …`")
        else:
            jobs.append((patch, test))
    os.environ.setdefault("TRUEUP_BUILD", str(ROOT / "tests/chain/build"))
    marks = marked()
    alone = [job for job in jobs if needs_the_machine(job[1], marks)]
    ends = at_once([job for job in jobs if job not in alone], AT_ONCE, meson_suite, pytest)
    ends.update(at_once(alone, 1, meson_suite, pytest))
    for (patch, _), trouble in ends.items():
        if trouble:
            result.fail(f"{patch.name}: {trouble}")
        else:
            result.ok()
    return result
