"""The suites of scripts/test: what each runs, and what it came to.

A suite that is missing, that ran nothing, or that skipped a test has failed. The last line is
always "N passed, N failed", over all suites."""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import geth as go_ethereum
import lanes
import worlds
from build import ROOT, BuildFailed, build
from results import Result, from_junit, from_meson, from_tap

sys.path.insert(0, str(ROOT / "tests" / "integration"))
from harness.postgres import Cluster  # noqa: E402

PYTHON = "/usr/bin/python3"
FUZZ_RUNS = 100_000  # each target; `make fuzz` is for long runs
FORMATTER = 14  # the major version of clang-format that the code is formatted with


def quiet(command, **more):
    return subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, text=True,
                          errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


def report(name, result, seconds):
    for line in result.said:
        print(f"  {line}")
    print(f"{name}: {result.passed} passed, {result.failed} failed ({seconds:.1f} s)")
    for note in result.notes[:60]:
        print(f"  {note}")
    sys.stdout.flush()


# ---- the databases: one cluster for all suites, started when the first one wants it --------------


class Databases:
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


# ---- meson's suites -----------------------------------------------------------------------------


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


def unit():
    build("build")
    result = meson_suite("unit")
    result.add(meson_suite("processes"))
    # A suite that nobody runs would be a suite that is missing.
    listed = json.loads(quiet(["meson", "introspect", "--tests", ROOT / "build"]).stdout)
    known = {"unit", "processes", "node", "contract-sqlite", "contract-postgres"}
    for suite in {s.partition(":")[2] or s for t in listed for s in t["suite"]} - known:
        result.fail(f"scripts/test does not know the suite {suite!r}")
    return result


def node():
    """The node client against the scripted provider."""
    build("build")
    return meson_suite("node")


def contract_sqlite():
    build("build")
    return meson_suite("contract-sqlite")


def contract_postgres():
    build("build")
    databases.env()
    return meson_suite("contract-postgres")


def fuzz():
    """Every decoder, FUZZ_RUNS inputs each, from its corpus on."""
    fuzzers = [f"tests/fuzz/{name}" for name in fuzz_targets()]
    build("build-fuzz", targets=fuzzers)
    result = meson_suite("fuzz", "build-fuzz", ["--timeout-multiplier", "5"])
    runs = [int(n) for n in re.findall(r"Done (\d+) runs",
                                       read(ROOT / "build-fuzz/meson-logs/fuzz.json"))]
    result.said.append(f"fuzz: {sum(runs)} executions in {len(runs)} targets")
    if len(runs) != len(fuzzers) or any(n < FUZZ_RUNS for n in runs):
        result.fail(f"{len(fuzzers)} targets should run {FUZZ_RUNS} inputs each, they ran {runs}")
    return result


def fuzz_targets():
    folder = build("build-fuzz", targets=["build.ninja"])
    listed = json.loads(quiet(["meson", "introspect", "--tests", folder]).stdout)
    return [t["name"] for t in listed if any(s.endswith("fuzz") for s in t["suite"])]


def read(path):
    return path.read_text(errors="replace") if path.exists() else ""


# ---- pytest -------------------------------------------------------------------------------------


def pytest(selection=(), binary=None, root=ROOT, env=None, name="integration", options=(),
           folder="integration"):
    with tempfile.TemporaryDirectory(prefix="trueup-junit-") as scratch:
        junit = Path(scratch) / "junit.xml"
        env = {**databases.env(), **(env or {}), "PYTHONDONTWRITEBYTECODE": "1",
               "TRUEUP_BIN": str(binary or root / "build/src/trueup")}
        done = quiet([PYTHON, "-m", "pytest", "-q", "--tb=short", f"--junitxml={junit}", *options,
                      *selection], cwd=root / "tests" / folder, env=env)
        result = from_junit(junit, name)
        if result.failed:
            result.notes.append(done.stdout[-6000:])
        elif done.returncode != 0:
            result.fail(f"pytest ended with {done.returncode}: {done.stdout[-1500:]}")
        return result


AGAIN_MOST = 4  # of a file: more is no accident


def once_more(file, part, **how):
    """What failed beside two other files is tried once more, alone: two cores are soon too few for a
    deadline. It is told all the same, so that a test that needs this often is seen."""
    failed = sorted({m.group(1) for m in (re.match(r"\w+::(.+?): (?:failure|error): ", n)
                                          for n in part.notes) if m})
    if not failed or len(failed) != part.failed or part.failed > AGAIN_MOST:
        return part
    again = pytest([f"{file}::{name}" for name in failed], name=file, **how)
    if again.failed == 0 and again.passed == len(failed):
        part = Result(part.passed + again.passed)
        part.said.append(f"integration: passed alone, failed beside others: {file}: {', '.join(failed)}")
        return part
    part.notes += again.notes
    return part


def by_file(tests, jobs=3, **how):
    """Each file is a run of its own, some at a time: a file's tests share a node, and much of a test
    is waiting. tests: files, or FILE::TEST."""
    files = {}
    for test in tests:
        files.setdefault(test.partition("::")[0], []).append(test)
    databases.env()
    result = Result()
    with ThreadPoolExecutor(jobs) as pool:
        parts = list(pool.map(lambda f: pytest(files[f], name=f, **how), files))
    for file, part in zip(files, parts):
        result.add(part if part.failed == 0 else once_more(file, part, **how))
    return result


def world_files():
    """The longest first."""
    files = sorted((ROOT / "tests/integration").glob("test_*.py"), key=lambda f: -f.stat().st_size)
    return [f.name for f in files]


def integration():
    build("build")
    result = by_file(world_files())
    if result.passed + result.failed == 0:
        result.fail("no integration tests at all")
    return result


def geth():
    """The demo world on go-ethereum (--node geth); None where there is none and none can be built."""
    binary, why = go_ethereum.geth()
    if why:
        print(f"geth: did not run: {why}")
        return None
    build("build")
    return pytest(env={"TRUEUP_GETH": binary}, name="geth", folder="geth")


# ---- the further ones of --all ------------------------------------------------------------------


def compilers():
    """Both compilers at the optimisation that is shipped, every warning an error."""
    result = Result()
    for name in ("build-gcc", "build-clang"):
        try:
            build(name)
            result.ok()
        except BuildFailed as e:
            result.fail(str(e))
    if result.failed == 0:
        for name in ("build-clang", "build-gcc"):
            result.add(meson_suite("unit", name, ["--timeout-multiplier", "5"]))
    return result


SANITIZED = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "CMOCKA_TEST_ABORT": "1",  # else cmocka turns a crash into a failed test without its report
}


def asan():
    databases.env()
    build("build-asan")
    result = Result()
    for suite in ("unit", "processes", "node", "contract-sqlite", "contract-postgres"):
        result.add(meson_suite(suite, "build-asan", ["--timeout-multiplier", "5"], SANITIZED))
    return result


def asan_world():
    return worlds.sanitized(by_file, "build-asan", worlds.ASAN, worlds.PART)


def asan_world_whole():
    return worlds.sanitized(by_file, "build-asan", worlds.ASAN, world_files())


def tsan_world():
    return worlds.sanitized(by_file, "build-tsan", worlds.TSAN, worlds.THREADS)


def valgrind_world():
    return worlds.memcheck(by_file, worlds.EVERY_PROCESS)


def valgrind():
    wrapper = ("--wrap=valgrind --quiet --error-exitcode=99 --leak-check=full "
               "--errors-for-leak-kinds=definite")
    build("build")
    return meson_suite("unit", "build", [wrapper, "--timeout-multiplier", "20"],
                       log="unit-valgrind.json")


def sources():
    listed = quiet(["git", "-C", ROOT, "ls-files", "*.c", "*.h"]).stdout.split()
    return [f for f in listed if (ROOT / f).exists()]


def lint():
    result = Result()
    for check in (lint_layers, lint_sizes, lint_names, lint_tools, lint_bench, lint_format,
                  lint_tidy, lint_shell, lint_manual):
        result.add(check())
    return result


def one(name, command):
    """A check that is one command."""
    result = Result()
    done = quiet(command, cwd=ROOT)
    if done.returncode == 0:
        result.ok()
    else:
        result.fail(f"{name}:\n{done.stdout[-3000:]}")
    return result


def lint_layers():
    return one("check-layers", ["tools/check-layers"])


def lint_sizes():
    return one("check-sizes", ["tools/check-sizes"])


def lint_names():
    """Names, dead symbols, parameters; the figures are shown."""
    result, done = Result(), quiet(["tools/check-names", "--build", build("build")], cwd=ROOT)
    result.said += [f"names: {line}" for line in done.stdout.splitlines()]
    if done.returncode == 0:
        result.ok()
    else:
        result.fail("check-names: over its limits")
    return result


def lint_tools():
    """The checkers and the counting of this script, each on a seeded bad example."""
    return from_tap("test-tools", quiet(["tools/test-tools"], cwd=ROOT).stdout)


def lint_bench():
    """The tables of bench/README.md say what bench/results/ does."""
    return one("bench/table", ["bench/table", "--check"])


def lint_format():
    version = quiet(["clang-format", "--version"]).stdout
    major = re.search(r"version (\d+)", version)
    if not major or int(major.group(1)) != FORMATTER:
        return Result(said=[f"clang-format: not {FORMATTER}, so its opinion is not asked: {version.strip()}"])
    return one("clang-format", ["clang-format", "--dry-run", "--Werror", *sources()])


def lint_tidy():
    folder = build("build")
    files = [f for f in sources() if f.startswith("src/") and f.endswith(".c")]
    result = Result()
    half = (len(files) + 1) // 2
    running = [subprocess.Popen(["clang-tidy", "-p", str(folder), "--quiet", *part], cwd=ROOT,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)
               for part in (files[:half], files[half:]) if part]
    for process in running:
        output = process.communicate()[0]
        found = [line for line in output.splitlines() if re.search(r": (warning|error): ", line)]
        for line in found:
            result.fail(line.replace(f"{ROOT}/", ""))
        if not found and process.returncode == 0:
            result.ok()
        elif not found:
            result.fail(f"clang-tidy ended with {process.returncode}: {output[-500:]}")
    return result


def lint_shell():
    scripts = []
    for f in quiet(["git", "-C", ROOT, "ls-files", "scripts", "tools", ".ci"]).stdout.split():
        head = read(ROOT / f)[:40]
        if f.endswith(".sh") or re.match(r"#!.*\b(ba)?sh\b", head):
            scripts.append(f)
    return one("shellcheck", ["shellcheck", "-x", "-P", "SCRIPTDIR", *scripts])


def browser():
    """The page in a real browser."""
    return beside("browser")


def prometheus():
    """What is told to Prometheus, by Prometheus itself; the alerts, each on its fault."""
    return beside("prometheus")


def beside(folder):
    """Tests that need a program the others do without, in a folder of their own."""
    build("build")
    databases.env()
    return pytest([folder], name=folder)


def lint_manual():
    pages = sorted((ROOT / "man").glob("*.[15]"))
    return one("mandoc", ["mandoc", "-Tlint", "-Wwarning", *pages])


def demo():
    """The demo, which judges itself by another program's reading."""
    result = Result()
    binary = build("build-gcc", targets=["src/trueup"]) / "src/trueup"
    done = quiet([ROOT / "scripts/demo"], cwd="/", env={**os.environ, "TRUEUP_BIN": str(binary)})
    if done.returncode == 0 and "\nEqual. " in done.stdout:
        result.ok()
    else:
        result.fail(f"scripts/demo ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return result


CHAOS_SEED, CHAOS_RUNS = 20, 20  # fixed: what fails here is replayed with the same plan
FAULTS_S = 25  # a database, beside some ten for its allocations: a call of each site, then others, as time allows


def chaos():
    """Random lives of the whole on both databases, and a sample of small failures in turn."""
    binary = build("build-gcc", targets=["src/trueup", "tests/faults/libfaults.so"]) / "src/trueup"
    env = {**os.environ, "TRUEUP_BIN": str(binary), "PYTHONDONTWRITEBYTECODE": "1"}
    result = Result()
    played = quiet([PYTHON, ROOT / "tests/chaos/chaos.py", "--seed", CHAOS_SEED, "--runs", CHAOS_RUNS,
                    "--jobs", 3, "--length", 10, "--failures", ROOT / "build-gcc/chaos"], env=env)
    lines = played.stdout.splitlines()
    right = [line for line in lines if re.match(r"run \d+ \w+: ok", line)]
    result.passed += len(right)
    if len(right) != CHAOS_RUNS or played.returncode != 0:
        result.failed += max(1, CHAOS_RUNS - len(right))
        result.notes.append(played.stdout[-6000:])
    tried = quiet([PYTHON, ROOT / "tests/chaos/faults.py", "--seed", CHAOS_SEED, "--seconds", FAULTS_S],
                  env=env)
    found = re.search(r"(\d+) of (\d+) faults left nothing wrong", tried.stdout)
    if tried.returncode == 0 and found:
        result.said.append(f"chaos: {found.group(2)} small failures tried")
        result.ok()
    else:
        result.fail(f"small failures: {tried.stdout[-3000:]}")
    return result


def mutations():
    import mutants
    databases.env()
    return mutants.run_all(meson_suite, pytest)


SUITES = {
    "unit": unit,
    "node": node,
    "contract-sqlite": contract_sqlite,
    "contract-postgres": contract_postgres,
    "integration": integration,
    "fuzz": fuzz,
    "compilers": compilers,
    "asan": asan,
    "asan-world": asan_world,
    "asan-world-whole": asan_world_whole,
    "tsan-world": tsan_world,
    "valgrind": valgrind,
    "valgrind-world": valgrind_world,
    "lint": lint,
    "browser": browser,
    "prometheus": prometheus,
    "demo": demo,
    "chaos": chaos,
    "mutations": mutations,
}
NODES = {"geth": geth}  # by --node alone: what they need takes minutes to build
ASKED_FOR = ("asan-world-whole", "tsan-world", "valgrind-world")  # --all has no time for these
USUAL = ("unit", "node", "contract-sqlite", "contract-postgres", "integration", "fuzz")


# What only computes, and knows no deadline.
ASIDE = ("compilers", "fuzz", "lint", "valgrind")


def builds_for(names):
    """What the second lane builds before all: what the first one would else have to wait for."""
    def build_them():
        for suite, folder in (("unit", "build"), ("asan", "build-asan"), ("chaos", "build-gcc")):
            with contextlib.suppress(BuildFailed):  # who needs it tries again, and tells
                if suite in names:
                    build(folder)
    return build_them


def main():
    parser = argparse.ArgumentParser(prog="scripts/test", description="Builds and tests trueup.")
    parser.add_argument("suite", nargs="*", help=f"of {', '.join(SUITES)}; default: "
                                                 f"{', '.join(USUAL)}")
    parser.add_argument("--all", action="store_true", help=f"all of them but {', '.join(ASKED_FOR)}")
    parser.add_argument("--mutations", action="store_true",
                        help="only: each promise broken on purpose")
    parser.add_argument("--node", choices=NODES, help="only: the demo world on this node; geth is built "
                                                      "from its Go module, the first time in minutes")
    chosen = parser.parse_args()
    names = [s for s in SUITES if s not in ASKED_FOR] if chosen.all else list(chosen.suite)
    names += [chosen.node] if chosen.node else []
    if chosen.mutations and not chosen.all:
        names.append("mutations")
    names = list(dict.fromkeys(names)) or list(USUAL)
    suites = {**SUITES, **NODES}
    unknown = [n for n in names if n not in suites]
    if unknown:
        parser.error(f"no suite {unknown[0]!r}: {', '.join(SUITES)}")

    # Ctrl-C and kill also stop the cluster.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    try:
        total = lanes.run(suites, names, ASIDE, builds_for(names), report)
    finally:
        databases.stop()
    print(f"took {time.monotonic() - began:.0f} s")
    print(f"{total.passed} passed, {total.failed} failed")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
