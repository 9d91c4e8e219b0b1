"""The suites of scripts/test: what each runs, and what it came to.

A suite that is missing, that ran nothing, or that skipped a test has failed. The last line is
always "N passed, N failed", over all suites."""

import argparse
import contextlib
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import geth as go_ethereum
import lanes
import worlds
from build import ROOT, BuildFailed, build
from results import Result, from_tap, slowest
from runners import NIGHT_MARK, PYTHON, beside_each_other, by_file, databases, meson_suite, one_by_one, pytest, quiet

FUZZ_RUNS = 100_000  # each target; `make fuzz` is for long runs
FUZZ_LONG_S = 300  # each target, by night
FORMATTER = 14  # the major version of clang-format that the code is formatted with


def report(name, result, seconds):
    for line in result.said:
        print(f"  {line}")
    print(f"{name}: {result.passed} passed, {result.failed} failed ({seconds:.1f} s)")
    for note in result.notes[:60]:
        print(f"  {note}")
    sys.stdout.flush()


# ---- meson's suites -----------------------------------------------------------------------------


def unit():
    build("build")
    result = meson_suite("unit")
    # A suite that nobody runs would be a suite that is missing.
    listed = json.loads(quiet(["meson", "introspect", "--tests", ROOT / "build"]).stdout)
    known = {"unit", "processes", "node", "contract-sqlite", "contract-postgres"}
    for suite in {s.partition(":")[2] or s for t in listed for s in t["suite"]} - known:
        result.fail(f"scripts/test does not know the suite {suite!r}")
    return result


def processes():
    """Supervisor and workers, judged by the clock: one program after the other, with the machine to itself."""
    build("build")
    return meson_suite("processes", extra=["--num-processes", "1"])


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


def world_files():
    """The longest first."""
    files = sorted((ROOT / "tests/integration").glob("test_*.py"), key=lambda f: -f.stat().st_size)
    return [f.name for f in files]


def integration():
    build("build")
    result = beside_each_other(world_files())
    if result.passed + result.failed == 0:
        result.fail("no integration tests at all")
    return result


def integration_alone():
    """The integration tests that are marked `alone`, with the machine to themselves."""
    build("build")
    return one_by_one(world_files())


def integration_night():
    """The integration tests that are marked `night`: they hold, and there are many of them."""
    build("build")
    result = Result()
    folder = ROOT / "tests/integration"
    for file in sorted([*folder.glob("test_gate_*.py"), folder / "test_evm.py"]):
        result.add(pytest([file.name], name=f"{file.name} by night", options=["-m", NIGHT_MARK]))
    return result


def geth():
    """The demo world on go-ethereum."""
    binary = go_ethereum.geth()
    build("build")
    return pytest(env={"TRUEUP_GETH": binary}, name="geth", folder="geth")


def hardhat():
    """The demo world on Hardhat's node."""
    build("build")
    return pytest(name="hardhat", folder="hardhat")


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
    for suite in ("unit", "node", "contract-sqlite", "contract-postgres"):
        result.add(meson_suite(suite, "build-asan", ["--timeout-multiplier", "5"], SANITIZED))
    return result


def asan_processes():
    build("build-asan")
    return meson_suite("processes", "build-asan", ["--timeout-multiplier", "5", "--num-processes", "1"],
                       SANITIZED)


def asan_world():
    return worlds.sanitized(beside_each_other, "build-asan", worlds.ASAN, worlds.PART)


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
    for check in (lint_layers, lint_sizes, lint_logs, lint_names, lint_tools, lint_bench, lint_format,
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


def lint_logs():
    return one("check-logs", ["tools/check-logs"])


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
    program = shutil.which(f"clang-format-{FORMATTER}") or "clang-format"
    version = quiet([program, "--version"]).stdout
    if not re.search(rf"version {FORMATTER}\.", version):
        return Result(failed=1, notes=[f"clang-format {FORMATTER} is needed, not {version.strip()}"])
    return one("clang-format", [program, "--dry-run", "--Werror", *sources()])


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
CHAOS_LONG_RUNS = 300  # by night, with a seed of the day
PAIR_SEED, PAIR_RUNS, PAIR_LONG_RUNS = 186, 3, 200  # two daemons on one database
FAULTS_S = 25  # a database, beside some ten for its allocations: a call of each site, then others, as time allows
FAULTS_LONG_S = 600


def chaos():
    """Random lives of the whole on both databases, of two daemons, and a sample of small failures in turn."""
    result = pairs(PAIR_SEED, PAIR_RUNS)
    result.add(lives_and_faults(CHAOS_SEED, CHAOS_RUNS, 10, FAULTS_S))
    return result


def chaos_long():
    """More and longer lives, others each day; the seed stands in the output of what fails."""
    seed = int(datetime.date.today().strftime("%Y%m%d"))
    result = pairs(seed, PAIR_LONG_RUNS)
    result.add(lives_and_faults(seed, CHAOS_LONG_RUNS, 14, FAULTS_LONG_S))
    return result


def chaos_environment():
    binary = build("build-gcc", targets=["src/trueup", "tests/faults/libfaults.so"]) / "src/trueup"
    return {**os.environ, "TRUEUP_BIN": str(binary), "PYTHONDONTWRITEBYTECODE": "1"}


def lives(name, seed, runs, *words):
    result = Result(said=[f"{name}: seed {seed}"])
    played = quiet([PYTHON, ROOT / "tests/chaos/chaos.py", "--seed", seed, "--runs", runs, "--jobs", 3,
                    "--failures", ROOT / f"build-gcc/{name}", *words], env=chaos_environment())
    right = [line for line in played.stdout.splitlines() if re.match(r"run \d+ \w+: ok", line)]
    result.passed += len(right)
    if len(right) != runs or played.returncode != 0:
        result.failed += max(1, runs - len(right))
        result.notes.append(played.stdout[-6000:])
    return result


def pairs(seed, runs):
    """Two daemons on one database."""
    return lives("chaos-pair", seed, runs, "--pair", "--length", 6)


def lives_and_faults(seed, runs, length, faults_s):
    env = chaos_environment()
    result = lives("chaos", seed, runs, "--length", length)
    tried = quiet([PYTHON, ROOT / "tests/chaos/faults.py", "--seed", seed, "--seconds", faults_s], env=env)
    found = re.search(r"(\d+) of (\d+) faults left nothing wrong", tried.stdout)
    if tried.returncode == 0 and found:
        result.said.append(f"chaos: {found.group(2)} small failures tried")
        result.ok()
    else:
        result.fail(f"small failures: {tried.stdout[-3000:]}")
    return result


def fuzz_long():
    """Every decoder for FUZZ_LONG_S, two at a time."""
    names = [name.removesuffix("_fuzz") for name in fuzz_targets()]
    build("build-fuzz", targets=[f"tests/fuzz/{name}_fuzz" for name in names])

    def run(name):
        return quiet([ROOT / "scripts/fuzz", name, f"-max_total_time={FUZZ_LONG_S}", "-print_final_stats=1"])

    result = Result()
    with ThreadPoolExecutor(2) as pool:
        for name, done in zip(names, pool.map(run, names)):
            if done.returncode == 0 and re.search(r"Done [1-9]\d* runs", done.stdout):
                result.ok()
            else:
                result.fail(f"fuzz {name} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return result


def mutations(part=False):
    import mutants
    databases.env()
    return mutants.run_all(meson_suite, pytest, part)


def mutations_part():
    """What CI has the time for, an eighth: the others have their turns at other commits."""
    return mutations(part=True)


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
    "valgrind": valgrind,
    "lint": lint,
    "browser": browser,
    "prometheus": prometheus,
    "demo": demo,
    "hardhat": hardhat,
    "geth": geth,
    "chaos": chaos,
    "processes": processes,
    "asan-processes": asan_processes,
    "integration-alone": integration_alone,
    "mutations-part": mutations_part,
    "integration-night": integration_night,
    "mutations": mutations,
    "asan-world-whole": asan_world_whole,
    "tsan-world": tsan_world,
    "valgrind-world": valgrind_world,
    "chaos-long": chaos_long,
    "fuzz-long": fuzz_long,
}
USUAL = ("unit", "node", "contract-sqlite", "contract-postgres", "integration", "fuzz")
NIGHT = ("geth", "integration-night", "mutations", "asan-world-whole", "tsan-world", "valgrind-world", "chaos-long",
         "fuzz-long")
ALL = tuple(name for name in SUITES if name not in NIGHT)

# What belongs to a suite and needs the machine to itself.
REST_OF = {"unit": "processes", "asan": "asan-processes", "integration": "integration-alone"}
# What only computes, and knows no deadline: beside the others, at a low priority. Chaos comes last of
# them: a run has a minute and a half to come to rest, which is time enough at any priority.
ASIDE = ("compilers", "fuzz", "lint", "valgrind", "chaos")
# One after the other when all others have ended. Prometheus scrapes with a timeout of a second and has its
# rules at sixty times their speed. Mutations are built and tested three at a time, which is as much as two
# cores can do.
ALONE = (*REST_OF.values(), "prometheus", "mutations-part", *NIGHT)


def builds_for(names):
    """What the second lane builds before all: what the first one would else have to wait for."""
    def build_them():
        for suite, folder in (("unit", "build"), ("asan", "build-asan"), ("chaos", "build-gcc")):
            with contextlib.suppress(BuildFailed):  # the suite that needs it tries again, and reports it
                if suite in names:
                    build(folder)
        with contextlib.suppress(RuntimeError):
            if "geth" in names:
                go_ethereum.geth()
    return build_them


def parse(arguments=None):
    """The names of the suites, in the order they are reported."""
    parser = argparse.ArgumentParser(prog="scripts/test", description="Builds and tests trueup.")
    parser.add_argument("suite", nargs="*", help=f"of {', '.join(SUITES)}; default: {', '.join(USUAL)}")
    parser.add_argument("--all", action="store_true", help=f"what CI runs, 45 minutes at most: all but "
                                                           f"{', '.join(NIGHT)}")
    parser.add_argument("--night", action="store_true", help=f"hours: {', '.join(NIGHT)}")
    parser.add_argument("--mutations", action="store_true", help="each promise broken on purpose")
    parser.add_argument("--node", choices=("geth", "hardhat"), help="the demo world on this node; geth is built "
                                                                     "from its Go module, the first time in minutes")
    chosen = parser.parse_args(arguments)
    asked = list(chosen.suite) + (list(ALL) if chosen.all else []) + (list(NIGHT) if chosen.night else [])
    asked += [chosen.node] if chosen.node else []
    asked += ["mutations"] if chosen.mutations else []
    asked = asked or USUAL
    unknown = [n for n in asked if n not in SUITES]
    if unknown:
        parser.error(f"no suite {unknown[0]!r}: {', '.join(SUITES)}")
    wanted = {*asked, *(REST_OF[n] for n in asked if n in REST_OF)}
    return [n for n in SUITES if n in wanted]


def tell_slowest(cases):
    """The ten slowest tests, and the ten slowest files of tests."""
    files = {}
    for case in cases:
        file, found, _ = case.name.partition("::")
        if found:
            files[file] = files.get(file, 0) + case.seconds
    for what, rows in (("tests", [(c.seconds, c.name) for c in slowest(cases)]),
                       ("files", sorted(((s, f) for f, s in files.items()), reverse=True)[:10])):
        if rows:
            print(f"slowest {what}:")
        for seconds, name in rows:
            print(f"  {seconds:6.1f} s  {name}")


def main():
    names = parse()
    # Ctrl-C and kill also stop the cluster.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    try:
        total = lanes.run(SUITES, names, ASIDE, ALONE, builds_for(names), report)
    finally:
        databases.stop()
    tell_slowest(total.cases)
    print(f"took {time.monotonic() - began:.0f} s")
    print(f"{total.passed} passed, {total.failed} failed")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
