"""scripts/chaos --faults: the n-th allocation, read, write, store call or look at the clock fails, for every
n of short runs of follow, sweep and migrate; afterwards, without faults, all comes to rest and is right.

All allocations of a scene fail in one run, each in a child of its own (tests/faults/shim.c). A child that ends
with its last words, before it touches the world, is the process killed there; and that is tried, before each
read and write. All else has a run of its own: the database is put back, one process runs with the fault in
it, the same work is done again without. What follows from a database depends on nothing else: one that was
left behind before, and was judged, is not judged again.

Calls that come by the same stack are one site. Each site is tried once before any is tried twice, so that
whatever time there is has seen as much as it can."""

import argparse
import collections
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "integration")]
sys.path.append(str(HERE.parent / "provider"))

from fault_place import KINDS, SETTINGS_FD, Chain, Desk, PostgresStates, SqliteStates  # noqa: E402
from harness.postgres import Cluster  # noqa: E402

ENDS_WELL = {0, 1, 5, 70}  # not 2 and 4, which end the daemon; not a signal
ROUNDS = 4  # a site may be missed, as not every run makes the same calls: so often another of its calls is tried

Try = collections.namedtuple("Try", "scene kind n")


class Tally:
    """Of one scene and kind: its calls, their sites, and what became of the tries."""

    def __init__(self, calls):
        self.calls = calls  # the first, the second …
        self.in_children = sum(c.tried for c in calls)
        self.met = {c.stack for c in calls if c.tried}
        self.calls_of = collections.defaultdict(list)  # site -> its calls that want a run of their own
        for n, call in enumerate(calls, 1):
            if not call.tried:
                self.calls_of[call.stack].append(n)
        self.alone = set()  # calls that had one
        self.ends = collections.Counter()

    def missing(self):
        return [calls for stack, calls in self.calls_of.items() if stack not in self.met]

    def summary(self):
        sites = {c.stack for c in self.calls}
        return {"calls": len(self.calls), "sites": len(sites), "in_children": self.in_children,
                "alone": len(self.alone), "tried": self.in_children + len(self.alone),
                "sites_met": len(self.met & sites), "ended_with": dict(sorted(self.ends.items()))}


def in_turns(groups):
    """One of each, then the next of each: where time ends, each kind has been seen alike."""
    groups = [g for g in groups if g]
    ordered = []
    while groups:
        ordered += [g.pop() for g in groups]
        groups = [g for g in groups if g]
    return ordered


def sites_first(tallies, rng):
    """(one call of each site, all other calls)"""
    first, others = [], []
    for (scene, kind), tally in tallies.items():
        chosen = [rng.choice(calls) for calls in tally.calls_of.values()]
        rest = sorted({n for calls in tally.calls_of.values() for n in calls} - set(chosen))
        for numbers, into in ((chosen, first), (rest, others)):
            rng.shuffle(numbers)
            into.append([Try(scene, kind, n) for n in numbers])
    return in_turns(first), in_turns(others)


class Run:
    """All tries on one kind of database."""

    def __init__(self, chosen, store, folder, cluster):
        self.chosen, self.store = chosen, store
        self.deadline = None
        self.chain = Chain(folder)
        self.lock = threading.Lock()
        self.failures, self.judged, self.tallies = [], set(), {}
        first = Desk(folder / "desk0", self.chain, self.states(folder, cluster, 0))
        self.scenes = first.scenes()
        first.states.close()  # PostgreSQL copies no database that somebody is in
        self.desks = [first] + [Desk(folder / f"desk{i}", self.chain, self.states(folder, cluster, i))
                                for i in range(1, chosen.jobs)]
        first.states.connect()

    def states(self, folder, cluster, i):
        name = f"faults_{os.getpid()}_{i}"
        if self.store == "postgres":
            return PostgresStates(cluster, name, f"faults_{os.getpid()}_0" if i else "template1")
        (folder / f"desk{i}").mkdir()
        return SqliteStates(folder / f"desk{i}", folder)

    def close(self):
        for desk in self.desks:
            desk.close()
        self.chain.anvil.stop()

    def count(self):
        """What there is to fail; and the allocations that can fail in children."""
        wanted = [name for name in self.scenes if not self.chosen.scene or name in self.chosen.scene]
        self.share(self.count_one, wanted)

    def count_one(self, desk, name):
        scene = self.scenes[name]
        desk.put_back(scene.state)
        listed = desk.listed(scene.words)
        for kind in self.chosen.kinds:
            calls = [c for c in listed if c.kind == kind]
            if calls:
                self.tallies[name, kind] = Tally(calls)

    def everything(self):
        if self.chosen.only:
            kind, n = self.chosen.only.split(":")
            yield [Try(scene, kind, int(n)) for scene in self.chosen.scene]
            return
        rng = random.Random(f"{self.chosen.seed}/{self.store}")
        self.tallies = dict(sorted(self.tallies.items()))  # in whatever order they were counted
        first, others = sites_first(self.tallies, rng)
        yield first
        for _ in range(ROUNDS):
            yield in_turns([[Try(*key, rng.choice(calls)) for calls in t.missing()]
                            for key, t in self.tallies.items()])
        if not self.chosen.sites:
            yield others

    def play(self):
        if self.chosen.seconds:
            self.deadline = time.monotonic() + self.chosen.seconds
        for tries in self.everything():
            self.share(self.try_and_tell, tries)

    def share(self, work, items):
        """work(desk, item) for all items, at all desks at once; until the deadline."""
        left, broken = list(reversed(items)), []

        def sit(desk):
            try:
                while not (self.deadline and time.monotonic() > self.deadline):
                    work(desk, left.pop())
            except IndexError:  # none is left
                return
            except Exception as e:  # noqa: BLE001, raised again where it can be seen
                broken.append(e)

        threads = [threading.Thread(target=sit, args=(desk,)) for desk in self.desks]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for e in broken:
            raise e

    def try_and_tell(self, desk, one):
        try:
            self.try_one(desk, one)
        except Exception as e:  # noqa: BLE001, whatever it was: it is told, and the next one is tried
            self.tell(one, e)

    def tell(self, one, wrong):
        fault, words = f"{one.kind}:{one.n}", f"{type(wrong).__name__} {wrong}"[:1500]
        with self.lock:
            self.failures.append({"store": self.store, "scene": one.scene, "fault": fault, "wrong": words})
        print(f"WRONG: {self.store} {one.scene} {fault}: {words}\n  again: scripts/chaos --faults --store "
              f"{self.store} --scene {one.scene} --only {fault}", flush=True)

    def try_one(self, desk, one):
        scene, fault = self.scenes[one.scene], f"{one.kind}:{one.n}"
        desk.put_back(scene.state)
        began = time.monotonic()
        ended = desk.run(scene.words, plan=fault, trace=bool(self.chosen.only))
        self.note(one, ended, time.monotonic() - began)
        # By hand, the settings are a file; what can be read there and what not is the user's business.
        unread = scene.words[0] != "worker" and ended.code == 2 and "cannot be read" in ended.words
        killed = one.kind == "death" and ended.code == -signal.SIGKILL
        if ended.code not in ENDS_WELL and not unread and not killed:
            raise AssertionError(f"it ended with {ended.code}: {ended.words[-1500:]}")
        if ended.code != 0 and not killed and not ended.words.strip():
            raise AssertionError(f"it ended with {ended.code} and without a word")
        left = one.scene, desk.states.picture()
        if left in self.judged and one.kind != "clock":  # which leaves times behind that matter
            return
        desk.rest()
        desk.judge()
        with self.lock:
            self.judged.add(left)

    def note(self, one, ended, seconds):
        with self.lock:
            tally = self.tallies[one.scene, one.kind]
            tally.ends[str(ended.code)] += 1
            if ended.failed:
                tally.alone.add(one.n)
                tally.met.add(ended.failed)
        if self.chosen.only:
            print(ended.words)
        if self.chosen.verbose:
            print(f"{self.store} {one.scene} {one.kind}:{one.n} {ended.code} {seconds:.2f} s", flush=True)


def numbers(run):
    by_scene = collections.defaultdict(dict)
    for (scene, kind), tally in run.tallies.items():
        by_scene[scene][kind] = tally.summary()
    return by_scene


def total(scenes, key):
    return sum(tally[key] for kinds in scenes.values() for tally in kinds.values())


def play_on(chosen, store, cluster):
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="trueup-faults-") as folder:
        run = Run(chosen, store, Path(folder), cluster)
        try:
            run.count()
            run.play()
        finally:
            run.close()
    scenes = numbers(run)
    print(f"{store}: {total(scenes, 'tried')} of {total(scenes, 'calls')} calls failed in turn, "
          f"{total(scenes, 'alone')} in a run of its own, at {total(scenes, 'sites_met')} of "
          f"{total(scenes, 'sites')} sites; {len(run.judged)} different databases left behind; "
          f"{time.monotonic() - began:.0f} s", flush=True)
    return {"scenes": scenes, "databases": len(run.judged), "wrong": len(run.failures),
            "seconds": round(time.monotonic() - began)}


def main(arguments):
    words = argparse.ArgumentParser(prog="scripts/chaos --faults", description=__doc__.splitlines()[0])
    words.add_argument("--store", choices=["sqlite", "postgres"], help="default: both")
    words.add_argument("--sites", action="store_true", help="one call of each site, and no other")
    words.add_argument("--seconds", type=float, help="a store, at most, for runs of their own; then it is enough")
    words.add_argument("--jobs", type=int, default=3, help="so many at once")
    words.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2 ** 32))
    words.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    words.add_argument("--scene", nargs="+")
    words.add_argument("--only", help="KIND:N, in the one --scene: that one again")
    words.add_argument("--verbose", action="store_true", help="a line a try")
    words.add_argument("--out", type=Path, help="the counts, as JSON")
    chosen = words.parse_args(arguments)
    os.dup2(os.open(os.devnull, os.O_RDONLY), SETTINGS_FD)  # taken, before anything else takes it
    print(f"seed {chosen.seed}", flush=True)
    stores = {}
    began = time.monotonic()
    cluster = Cluster()
    try:
        for store in [chosen.store] if chosen.store else ["sqlite", "postgres"]:
            if store == "postgres":
                cluster.start()
            stores[store] = play_on(chosen, store, cluster)
    finally:
        cluster.remove()
    if chosen.out:
        chosen.out.write_text(json.dumps({
            "command": "scripts/chaos --faults " + " ".join(arguments), "seed": chosen.seed, "stores": stores,
            "seconds": round(time.monotonic() - began)}, indent=1) + "\n")
    tried = {store: total(found["scenes"], "tried") for store, found in stores.items()}
    wrong = sum(found["wrong"] for found in stores.values())
    print(f"{sum(tried.values()) - wrong} of {sum(tried.values())} faults left nothing wrong; "
          f"{time.monotonic() - began:.0f} s")
    return 1 if wrong or not (chosen.only or all(tried.values())) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
