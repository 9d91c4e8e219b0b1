"""scripts/chaos: random lives of the whole, many of them, each judged at rest.

Each run is a process with a chain, a provider, a database and a daemon of its own, and a plan that
follows from its seed alone. What fired is recorded; a run in which nothing fired has failed."""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent / "integration")]

from clusters import make_template, remove_all  # noqa: E402
from harness.postgres import Cluster  # noqa: E402

RUN_LIMIT_S = 400


def one(chosen, run, cluster):
    """The result of one run, as run.py prints it."""
    store = "postgres" if chosen.pair else chosen.store or ("sqlite", "postgres")[run % 2]
    words = [sys.executable, "-B", str(HERE / "run.py"), "--seed", f"{chosen.seed}/{run}", "--store", store,
             "--length", str(chosen.length), "--keep", str(chosen.failures / f"{chosen.seed}-{run}")]
    for act in chosen.act:
        words += ["--act", act]
    if chosen.pair:
        words.append("--pair")
    elif chosen.oddities:
        words.append("--oddities")
    if store == "postgres":
        words += ["--cluster", str(cluster.folder)]
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, start_new_session=True)
    try:
        out, err = child.communicate(timeout=RUN_LIMIT_S)
        result = json.loads(out.splitlines()[-1])
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGTERM)
        out, err = child.communicate()
        result = {"ok": False, "wrong": f"still running after {RUN_LIMIT_S} s"}
    except (ValueError, IndexError):
        result = {"ok": False, "wrong": f"no result: {(out + err)[-2000:]}"}
    return {"seed": chosen.seed, "run": run, "store": store, **result}


def runs_of(chosen):
    return [chosen.run] if chosen.run is not None else list(range(chosen.first, chosen.first + chosen.runs))


def main():
    words = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__.splitlines()[0])
    words.add_argument("--runs", type=int, default=20)
    words.add_argument("--seed", type=int, help="printed if not given; the same seed plays the same plans")
    words.add_argument("--first", type=int, default=0, help="the first run's number")
    words.add_argument("--run", type=int, help="this run of the seed alone")
    words.add_argument("--store", choices=["sqlite", "postgres"], help="default: in turns")
    words.add_argument("--length", type=int, default=14, help="acts a run")
    words.add_argument("--oddities", action=argparse.BooleanOptionalAction, default=True,
                       help="logs late, partial, empty once, shifted; blooms of zeros; swapped answers; "
                            "forks of 100 blocks")
    words.add_argument("--pair", action="store_true", help="two daemons on one PostgreSQL, see pair.py")
    words.add_argument("--act", action="append", default=[],
                       help="of the faults this one alone; may be repeated")
    words.add_argument("--jobs", type=int, default=2, help="runs at once")
    words.add_argument("--out", type=Path, help="a line of JSON a run goes here, too")
    words.add_argument("--failures", type=Path, default=ROOT / "build/chaos", help="logs of failed runs")
    chosen = words.parse_args()
    if chosen.seed is None:
        chosen.seed = random.SystemRandom().randrange(2 ** 32)
    print(f"seed {chosen.seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the runs under way end, the clusters go
    return play_all(chosen)


def clusters_of(chosen, folder):
    """One for each job; a pair of daemons makes its own in there, as copies of one template."""
    used = [Cluster(folder / str(i)) for i in range(chosen.jobs)]
    for c in used:
        if chosen.pair:
            make_template(c.folder)
        elif chosen.store != "sqlite":
            c.start()
    return used


def play_all(chosen):
    began, bad, done = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory(prefix="trueup-chaos-pg-") as folder:
        os.chmod(folder, 0o755)
        clusters = Queue()
        used = clusters_of(chosen, Path(folder))
        for c in used:
            clusters.put(c)

        def work(run):
            cluster = clusters.get()
            try:
                return one(chosen, run, cluster)
            finally:
                clusters.put(cluster)

        pool = ThreadPoolExecutor(chosen.jobs)
        try:
            for result in pool.map(work, runs_of(chosen)):
                done += 1
                bad += not result["ok"]
                tell(chosen, result)
        finally:
            pool.shutdown(cancel_futures=True)
            for c in used:
                c.remove()
                remove_all(c.folder)
    print(f"{done - bad} of {done} runs ended equal; {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


def tell(chosen, result):
    fired = result.get("fired", {})
    print(f"run {result['run']} {result['store']}: {'ok' if result['ok'] else 'WRONG'}, "
          f"{sum(fired.values())} faults of {len(fired)} kinds, {result.get('seconds')} s", flush=True)
    if not result["ok"]:
        print(f"  {result['wrong']}\n  {result.get('story')}\n  again: scripts/chaos --seed {result['seed']} "
              f"--run {result['run']}" + (f" --store {chosen.store}" if chosen.store else "")
              + f" --length {chosen.length}" + "".join(f" --act {act}" for act in chosen.act)
              + (" --pair" if chosen.pair else "" if chosen.oddities else " --no-oddities"), flush=True)
    if chosen.out:
        with open(chosen.out, "a", encoding="utf-8") as f:
            f.write(json.dumps({k: v for k, v in result.items() if k != "story"}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
