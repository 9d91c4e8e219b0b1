"""scripts/chaos --faults: the n-th allocation, read, write, store call or look at the clock fails, for every
n of short runs of follow and sweep; afterwards, without faults, everything comes to rest and is right.

Small worlds that do not change while they are tried: the database is put back before each try, one
process runs with the fault in it (tests/faults/shim.c), the same work is done again without."""

import argparse
import collections
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent / "integration")]

from harness import config as configs  # noqa: E402
from harness.anvil import Anvil  # noqa: E402
from harness.config import BALANCE, CHECKPOINT, TABLE  # noqa: E402
from harness.daemon import Trueup, binary  # noqa: E402
from harness.postgres import Cluster  # noqa: E402
from harness.store import PostgresStore, SqliteStore  # noqa: E402
from harness.truth import Truth  # noqa: E402
from harness.world import REVERT, SHORT, World, wallet  # noqa: E402
from ledger import Ledger  # noqa: E402

KINDS = ("alloc", "io", "store", "answer", "clock")
WALLETS = [wallet(i) for i in range(12)]
SETTLE = 3
LONGEST_S = 130  # one process, whatever happens to it: it waits 40 s for an answer, and may try again
ENDS_WELL = {0, 1, 5, 70}  # not 2 and 4, which end the daemon; not a signal
FOLLOW, SWEEP = ("worker", "follow", "--once"), ("worker", "sweep", "--once")


def shim():
    given = Path(binary()).resolve().parents[1] / "tests/faults/libfaults.so"
    if not given.exists():
        raise SystemExit(f"{given} is missing: ninja tests/faults/libfaults.so in that build")
    return given


class Database:
    """States of the database by name, any of which can be put back."""

    def __init__(self, folder, kind, cluster):
        self.folder, self.kind, self.cluster = folder, kind, cluster
        if kind == "sqlite":
            self.store = SqliteStore(folder / "trueup.db")
        else:
            self.admin = PostgresStore(cluster.url())
            self.name = f"faults_{os.getpid()}"
            self.url = cluster.url(self.name)
            self.admin.sql(f"CREATE DATABASE {self.name}")
            self.store = PostgresStore(self.url)

    def keep(self, state):
        if self.kind == "sqlite":
            shutil.copy(self.store.path, self.folder / f"{state}.kept")
        else:
            self.store.close()
            self.admin.sql(f"CREATE DATABASE {self.name}_{state} TEMPLATE {self.name}")
            self.store = PostgresStore(self.url)

    def put_back(self, state):
        if self.kind == "sqlite":
            for left in self.folder.glob("trueup.db*"):
                left.unlink()
            shutil.copy(self.folder / f"{state}.kept", self.store.path)
            return
        self.store.close()
        self.admin.sql(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
        self.admin.sql(f"CREATE DATABASE {self.name} TEMPLATE {self.name}_{state}")
        self.store = PostgresStore(self.url)

    def close(self):
        self.store.close()


class Place:
    """A chain, a database and the program, and what the chain says of it all."""

    def __init__(self, folder, kind, cluster):
        self.database = Database(folder, kind, cluster)
        self.folder = folder
        self.anvil = Anvil(folder / "node").start()
        self.world = World(self.anvil.rpc).deploy()
        self.truth = Truth(self.world)
        self.ledger = Ledger(self.world)
        self.sums = {}
        self.program = Trueup(folder)
        self.program.config = configs.write(folder / "trueup.yaml", configs.settings(
            self.world, self.anvil.url, self.database.store.url, chain={"settle": SETTLE},
            log={"level": "info"}))
        self.count_file = folder / "count"

    def run(self, words, plan=None, code=None):
        """The exit status and words of one process, and how often each kind was called."""
        self.program.env.pop("LD_PRELOAD", None)
        if plan:
            self.count_file.unlink(missing_ok=True)
            self.program.env |= {"LD_PRELOAD": str(shim()), "FAULTS_PLAN": plan,
                                 "FAULTS_COUNT": str(self.count_file)}
        done = self.program.run(*words, code=code, timeout=LONGEST_S)
        return done, struct.unpack(f"{len(KINDS)}Q", self.count_file.read_bytes()) if plan else None

    def follow(self):
        return (*FOLLOW, "--from", str(self.ledger.start))

    def scenes(self):
        """{name: (state of the database, the words that run with a fault)}. The chain's own story: wallets
        appear, a branch is dropped, others move in silence, some cannot be read."""
        rng = random.Random(1)
        self.run(("migrate",), code=0)
        self.database.keep("empty")
        self.world.mint_all(WALLETS[:8], rng)
        self.world.traffic(WALLETS[:8], WALLETS[:2], rng, 60)
        self.ledger.note()
        self.rest()
        self.anvil.reorg(2)
        self.world.traffic(WALLETS, WALLETS[:2], rng, 60)
        self.world.silent(WALLETS[2:5], rng)
        self.world.mood(WALLETS[5:7], REVERT)
        self.world.mood(WALLETS[7:8], SHORT)
        self.world.mint_all(WALLETS[4:7], rng)
        self.anvil.mine(2)
        self.ledger.note()
        self.database.keep("dropped")
        self.run(self.follow(), code=0)
        self.database.keep("rewound")
        self.run(self.follow(), code=0)
        self.database.keep("covered")
        return {"first": ("empty", self.follow()), "rewind": ("dropped", self.follow()),
                "cover": ("rewound", self.follow()), "sweep": ("covered", SWEEP),
                "migrate": ("empty", ("migrate",))}

    # ---- rest, and what must be true then

    def rest(self):
        """Without faults: until nothing is left to do."""
        head = self.anvil.rpc.number()
        self.run(("migrate",), code=0)  # as every start of the daemon does
        for _ in range(8):
            self.run(self.follow(), code=0)
            if self.database.store.covered(BALANCE) == head:
                break
        for _ in range(8):
            if self.all_read(head - SETTLE):
                return
            self.run(SWEEP, code=0)
        raise AssertionError(f"no rest: covered {self.database.store.covered(BALANCE)} of {head}")

    def all_read(self, since):
        store = self.database.store
        held = store.quarantined(BALANCE)
        return all(w in held or (r.observed_block or 0) >= since for w, r in store.rows(TABLE).items())

    def right(self, pairs):
        ask = [p for p in pairs if p not in self.sums]
        self.sums.update(zip(ask, self.truth.sums(ask)))
        return [self.sums[p] for p in pairs]

    def judge(self):
        store, head = self.database.store, self.anvil.rpc.number()
        rows, held = store.rows(TABLE), store.quarantined(BALANCE)
        proven = [r for r in rows.values() if r.wallet not in held]
        wrong = [(r, s) for r, s in zip(proven, self.right([(r.wallet, r.observed_block) for r in proven]))
                 if r.balance != s]
        wrong += [(r, s) for r, s in zip(proven, self.right([(r.wallet, head) for r in proven]))
                  if r.balance != s]
        assert not wrong, f"rows that differ from the chain: {wrong[:2]}"
        unreadable = {w for w, s in zip(WALLETS, self.right([(w, head) for w in WALLETS])) if s is None}
        assert held <= unreadable, f"quarantined without a cause: {held - unreadable}"
        owed = dict(store.sql("SELECT wallet, event_block FROM trueup_quarantine"))
        ever = self.ledger.ever()
        for w, block in self.ledger.canonical().items():
            has = max((rows[w].blocknumber if w in rows else None) or 0, owed.get(w) or 0)
            assert has >= block and has in ever[w], f"{w}: {block} names it, {has} is known"
        assert set(rows) <= set(ever), "rows that nobody asked for"
        checkpoint = store.checkpoint(CHECKPOINT)
        assert checkpoint == head - SETTLE, f"checkpoint {checkpoint}, head {head}"
        at = {}
        for w, old, new in store.sql("SELECT wallet, old, new FROM trueup_changes ORDER BY id"):
            assert at.get(w) == (None if old is None else int(old)), f"{w}: a gap in its changes"
            at[w] = int(new)
        assert all(at.get(w) == r.balance for w, r in rows.items() if w in at), "changes end elsewhere"

    def close(self):
        self.anvil.stop()
        self.database.close()


def points(total, stride, rng):
    """All n, or one of every stride of them at a random place: over many runs, all."""
    return [min(total, rng.randrange(start, start + stride)) for start in range(1, total + 1, stride)]


def try_one(place, state, words, plan):
    place.database.put_back(state)
    try:
        done, _ = place.run(words, plan=plan)
    except subprocess.TimeoutExpired as e:
        raise AssertionError(f"it hangs: {(e.stderr or b'').decode(errors='replace')[-1500:]}") from None
    # By hand, the settings are a file; under the supervisor they come by a pipe.
    unread = done.returncode == 2 and "cannot be read" in done.stderr
    if done.returncode not in ENDS_WELL and not unread:
        raise AssertionError(f"it ended with {done.returncode}: {done.stderr[-1500:]}")
    if done.returncode != 0 and not done.stderr.strip():
        raise AssertionError(f"it ended with {done.returncode} and without a word")
    place.rest()
    place.judge()
    return done.returncode


def try_all(chosen, kind, cluster, ends, failures):
    tried = 0
    deadline = time.monotonic() + chosen.seconds if chosen.seconds else None
    with tempfile.TemporaryDirectory(prefix="trueup-faults-") as folder:
        place = Place(Path(folder), kind, cluster)
        try:
            plans = []
            place.scene_list = place.scenes()
            for scene, (state, words) in place.scene_list.items():
                if chosen.scene and scene not in chosen.scene:
                    continue
                place.database.put_back(state)
                _, counts = place.run(words, plan="none:0", code=0)
                for fault, total in zip(KINDS, counts):
                    if fault in chosen.kinds:
                        stride = chosen.stride * (chosen.alloc_stride if fault == "alloc" else 1)
                        rng = random.Random(f"{chosen.seed}/{kind}/{scene}/{fault}")
                        plans += [(scene, state, words, fault, n) for n in points(total, stride, rng)]
            if chosen.only:
                fault, n = chosen.only.split(":")
                plans = [(scene, *place.scene_list[scene], fault, int(n)) for scene in chosen.scene]
            random.Random(chosen.seed).shuffle(plans)  # so that an early end has seen something of each
            for scene, state, words, fault, n in plans:
                if deadline and time.monotonic() > deadline:
                    break
                tried += 1
                try:
                    code = try_one(place, state, words, f"{fault}:{n}")
                    ends[f"{kind} {scene} {fault}"][str(code)] += 1
                except AssertionError as e:
                    failures.append({"store": kind, "scene": scene, "fault": f"{fault}:{n}", "wrong": str(e)})
                    print(f"WRONG: {kind} {scene} {fault}:{n}: {str(e)[:1500]}\n  again: scripts/chaos "
                          f"--faults --store {kind} --scene {scene} --only {fault}:{n}", flush=True)
        finally:
            place.close()
    print(f"{kind}: {tried} of {len(plans)} faults tried", flush=True)
    return tried


def main(arguments):
    words = argparse.ArgumentParser(prog="scripts/chaos --faults", description=__doc__.splitlines()[0])
    words.add_argument("--store", choices=["sqlite", "postgres"], help="default: both")
    words.add_argument("--stride", type=int, default=1, help="one of so many, at a random place")
    words.add_argument("--alloc-stride", type=int, default=1, help="allocations: so many times more")
    words.add_argument("--seconds", type=float, help="a store, at most; then what is left is not tried")
    words.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2 ** 32))
    words.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    words.add_argument("--scene", nargs="+")
    words.add_argument("--only", help="KIND:N, in the one --scene: that one again")
    words.add_argument("--out", type=Path, help="the counts, as JSON")
    chosen = words.parse_args(arguments)
    print(f"seed {chosen.seed}", flush=True)
    ends, failures, tried = collections.defaultdict(collections.Counter), [], {}
    began = time.monotonic()
    cluster = Cluster()
    try:
        for kind in [chosen.store] if chosen.store else ["sqlite", "postgres"]:
            if kind == "postgres":
                cluster.start()
            tried[kind] = try_all(chosen, kind, cluster, ends, failures)
    finally:
        cluster.remove()
    if chosen.out:
        chosen.out.write_text(json.dumps({
            "command": "scripts/chaos --faults " + " ".join(arguments), "seed": chosen.seed, "tried": tried,
            "wrong": len(failures), "ended_with": ends, "seconds": round(time.monotonic() - began)},
            indent=1, sort_keys=True) + "\n")
    print(f"{sum(tried.values()) - len(failures)} of {sum(tried.values())} faults left nothing wrong; "
          f"{time.monotonic() - began:.0f} s")
    return 1 if failures or not all(tried.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
