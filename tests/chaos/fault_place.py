"""Where scripts/chaos --faults tries its failures: one chain that does not change any more, and desks, each
with a database and processes of its own, so that several can be tried at once."""

import hashlib
import os
import random
import re
import shutil
import sqlite3
import struct
import subprocess
import threading
from collections import namedtuple
from pathlib import Path

from harness import config as configs
from harness.anvil import Anvil
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.daemon import Trueup, binary
from harness.store import PostgresStore, SqliteStore
from harness.truth import Truth
from harness.wait import SLOWNESS, until
from harness.world import REVERT, SHORT, World, wallet
from ledger import Ledger

KINDS = ("alloc", "io", "store", "answer", "clock", "death")  # as in the shim
WALLETS = [wallet(i) for i in range(12)]
SETTLE = 3
LONGEST_S = 60  # one process, whatever happens to it: it waits 40 s for an answer, and the shim shortens that
LISTED_S = 600  # one that forks at each allocation
FOLLOW, SWEEP, MIGRATE = ("worker", "follow", "--once"), ("worker", "sweep", "--once"), ("migrate",)
SETTINGS_FD = 3  # a worker's, as its supervisor hands them over

Scene = namedtuple("Scene", "state words")
# counts: how often each kind was called; failed: the stack of the call that failed, 0 if none did
Ended = namedtuple("Ended", "code words counts failed")
Call = namedtuple("Call", "kind stack tried")  # tried: in a child, that was enough
CALL, AT_ONCE = "QQQ", 71  # struct call of the shim; what it says of a child that ended as it must


def shim():
    given = Path(binary()).resolve().parents[1] / "tests/faults/libfaults.so"
    if not given.exists():
        raise SystemExit(f"{given} is missing: ninja tests/faults/libfaults.so in that build")
    return given


# ---- the database ------------------------------------------------------------------------------------------

# When something was written, and ids that a transaction taken back leaves out, are no part of a picture.
PASSING = {"id", "updated_at", "created_at", "added_at", "found_at", "at", "retry_at", "age"}
MOMENT = re.compile(r"\d{10,}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?")


def picture(schema, tables):
    """What a database holds, the passing left out. tables: (name, columns, rows in their order)"""
    seen = hashlib.blake2b(repr(schema).encode(), digest_size=16)
    for name, columns, rows in tables:
        kept = [i for i, c in enumerate(columns) if c not in PASSING]
        text = repr((name, [[row[i] for i in kept] for row in rows]))
        seen.update((MOMENT.sub("T", text) if name == "trueup_state" else text).encode())
    return seen.digest()


class SqliteStates:
    """States of the database by name, any of which can be put back."""

    def __init__(self, folder, shared):
        self.shared = shared
        self.store = SqliteStore(folder / "trueup.db")

    def connect(self):
        pass

    def keep(self, state):
        if self.store.path.exists():
            shutil.copy(self.store.path, self.shared / f"{state}.kept")

    def put_back(self, state):
        for left in self.store.path.parent.glob("trueup.db*"):
            left.unlink()
        kept = self.shared / f"{state}.kept"
        if kept.exists():
            shutil.copy(kept, self.store.path)
        return True

    def picture(self):
        """Reading it takes back what a dead process left half done, as its successor would."""
        db = sqlite3.connect(self.store.path, timeout=30)
        try:
            whole = db.execute("PRAGMA integrity_check").fetchall()
            assert whole == [("ok",)], f"the file is damaged: {whole}"
            schema = db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
            tables = []
            for kind, name, _ in schema:
                if kind == "table" and not name.startswith("sqlite_"):
                    found = db.execute(f'SELECT * FROM "{name}" ORDER BY 1')
                    tables.append((name, [d[0] for d in found.description], found.fetchall()))
            return picture(schema, tables)
        finally:
            db.close()

    def close(self):
        pass


class PostgresStates:
    """The same; a state is a schema beside the one that is used, so that a desk's database takes all along."""

    def __init__(self, cluster, name, template="template1"):
        admin = PostgresStore(cluster.url())
        admin.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        admin.close()
        self.url = cluster.url(name)
        self.connect()

    def connect(self):
        self.store = PostgresStore(self.url)

    def tables(self, schema="public"):
        return [r[0] for r in self.store.sql(
            "SELECT tablename FROM pg_tables WHERE schemaname = ? ORDER BY 1", schema)]

    def keep(self, state):
        self.store.script(f"CREATE SCHEMA kept_{state};" + "".join(
            f"CREATE TABLE kept_{state}.{t} AS TABLE public.{t};" for t in self.tables()))

    def put_back(self, state):
        """False: the tables are others than the state's. Then they are gone, and the program has to make them."""
        kept = self.tables(f"kept_{state}")
        if not kept or self.tables() != kept:
            self.store.script("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            return not kept
        self.store.script("BEGIN;" + "".join(
            f"DELETE FROM public.{t}; INSERT INTO public.{t} SELECT * FROM kept_{state}.{t};" for t in kept)
            + "SELECT setval('trueup_changes_id_seq', 1 + (SELECT coalesce(max(id), 1) FROM trueup_changes));"
            "SELECT setval('trueup_drift_id_seq', 1 + (SELECT coalesce(max(id), 1) FROM trueup_drift));"
            "COMMIT")
        return True

    def picture(self):
        """Once the sessions of a dead process are over: one may still be carrying out what it was told."""
        until(lambda: self.store.one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                                     "AND pid <> pg_backend_pid() AND backend_type = 'client backend'") == 0,
              "the sessions to end", 50, every=0.005)
        schema = self.store.sql(
            "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
            "WHERE table_schema = 'public' ORDER BY 1, 2")
        schema += self.store.sql("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")
        tables = []
        for name in self.tables():
            with self.store.connection.cursor() as found:
                found.execute(f"SELECT * FROM {name} ORDER BY 1")
                tables.append((name, [d[0] for d in found.description], found.fetchall()))
        return picture(schema, tables)

    def close(self):
        self.store.close()


# ---- the chain ---------------------------------------------------------------------------------------------


class Chain:
    """A node, and what it says: asked once, as nothing changes while failures are tried."""

    def __init__(self, folder):
        self.anvil = Anvil(folder / "node").start()
        self.world = World(self.anvil.rpc).deploy()
        self.truth = Truth(self.world)
        self.ledger = Ledger(self.world)
        self.sums = {}
        self.asking = threading.Lock()

    def noted(self):
        self.ledger.note()
        self.head = self.anvil.rpc.number()
        self.canonical, self.ever = self.ledger.canonical(), self.ledger.ever()

    def right(self, pairs):
        with self.asking:
            ask = [p for p in pairs if p not in self.sums]
            self.sums.update(zip(ask, self.truth.sums(ask)))
        return [self.sums[p] for p in pairs]


# ---- a desk ------------------------------------------------------------------------------------------------

spawning = threading.Lock()  # one descriptor 3 in all of this process


class Desk:
    """A database and the program on it."""

    def __init__(self, folder, chain, states):
        folder.mkdir(exist_ok=True)
        self.chain, self.states = chain, states
        self.program = Trueup(folder)
        self.program.config = configs.write(folder / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, self.store.url, chain={"finality": SETTLE}, log={"level": "info"}))
        self.settings = self.program.config.read_bytes()
        self.counts, self.calls = folder / "counts", folder / "calls"

    @property
    def store(self):
        return self.states.store

    def put_back(self, state):
        if not self.states.put_back(state):
            self.run(MIGRATE, code=0)
            assert self.states.put_back(state)

    def spawn(self, words, env):
        """Workers get their settings as from their supervisor, commands as from a person."""
        given = {"cwd": self.program.folder, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                 "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
        if words[0] != "worker":
            return subprocess.Popen(self.program.command(*words), env=env, **given)
        read, write = os.pipe()
        os.write(write, self.settings)
        os.close(write)
        with spawning:
            os.dup2(read, SETTINGS_FD)
            os.close(read)
            return subprocess.Popen([binary(), *words], pass_fds=(SETTINGS_FD,),
                                    env={**env, "TRUEUP_SETTINGS_FD": str(SETTINGS_FD)}, **given)

    def run(self, words, plan=None, listed=False, trace=False, code=None):
        longest = (LISTED_S if listed else LONGEST_S) * SLOWNESS
        env = dict(self.program.env)
        for left in (self.counts, self.calls):
            left.unlink(missing_ok=True)
        if plan:
            env |= {"LD_PRELOAD": str(shim()), "FAULTS_PLAN": plan, "FAULTS_COUNT": str(self.counts)}
        if listed:
            env["FAULTS_CALLS"] = str(self.calls)
        if trace:
            env["FAULTS_TRACE"] = "1"
        process = self.spawn(words, env)
        try:
            said, _ = process.communicate(timeout=longest)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            raise AssertionError(f"it hangs: {said[-1500:]}") from None
        assert code is None or process.returncode == code, f"{words} ended with {process.returncode}: {said}"
        *counts, failed = struct.unpack(f"{len(KINDS) + 1}Q", self.counts.read_bytes()) if plan else (None,)
        return Ended(process.returncode, said, counts, failed)

    def listed(self, words):
        """[Call] in their order, from one run in which each allocation fails in a child of its own."""
        ended = self.run(words, plan="alloc:every", listed=True, code=0)
        with self.calls.open("rb") as f:
            found = struct.iter_unpack(CALL, f.read(struct.calcsize(CALL) * sum(ended.counts)))
        return [Call(KINDS[kind - 1], stack, child == AT_ONCE) for kind, stack, child in found if kind]

    def follow(self):
        return (*FOLLOW, "--from", str(self.chain.ledger.start))

    def scenes(self):
        """{name: Scene}. The chain's own story: wallets appear, a branch is dropped, others move in
        silence, some cannot be read."""
        rng, world, anvil = random.Random(1), self.chain.world, self.chain.anvil
        self.states.keep("nothing")
        self.run(MIGRATE, code=0)
        self.states.keep("empty")
        world.mint_all(WALLETS[:8], rng)
        world.traffic(WALLETS[:8], WALLETS[:2], rng, 60)
        self.chain.noted()
        self.rest()
        anvil.reorg(2)
        world.traffic(WALLETS, WALLETS[:2], rng, 60)
        world.silent(WALLETS[2:5], rng)
        world.mood(WALLETS[5:7], REVERT)
        world.mood(WALLETS[7:8], SHORT)
        world.mint_all(WALLETS[4:7], rng)
        anvil.mine(2)
        self.chain.noted()
        self.states.keep("dropped")
        self.run(self.follow(), code=0)
        self.states.keep("rewound")
        self.run(self.follow(), code=0)
        self.states.keep("synced")
        return {"create": Scene("nothing", MIGRATE), "migrate": Scene("empty", MIGRATE),
                "first": Scene("empty", self.follow()), "rewind": Scene("dropped", self.follow()),
                "cover": Scene("rewound", self.follow()), "sweep": Scene("synced", SWEEP)}

    # ---- rest, and what must be true then

    def rest(self):
        """Without faults: until nothing is left to do."""
        self.run(MIGRATE, code=0)  # as every start of the daemon does
        for _ in range(8):
            self.run(self.follow(), code=0)
            if self.store.synced(BALANCE) == self.chain.head:
                break
        for _ in range(8):
            if self.all_read(self.chain.head - SETTLE):
                return
            self.run(SWEEP, code=0)
        raise AssertionError(f"no rest: synced {self.store.synced(BALANCE)} of {self.chain.head}")

    def all_read(self, since):
        held = self.store.quarantined(BALANCE)
        return all(w in held or (r.observed_block or 0) >= since for w, r in self.store.rows(TABLE).items())

    def judge(self):
        store, head, right, ever = self.store, self.chain.head, self.chain.right, self.chain.ever
        rows, held = store.rows(TABLE), store.quarantined(BALANCE)
        anchored = [r for r in rows.values() if r.wallet not in held]
        wrong = [(r, s) for r, s in zip(anchored, right([(r.wallet, r.observed_block) for r in anchored]))
                 if r.balance != s]
        wrong += [(r, s) for r, s in zip(anchored, right([(r.wallet, head) for r in anchored]))
                  if r.balance != s]
        assert not wrong, f"rows that differ from the chain: {wrong[:2]}"
        unreadable = {w for w, s in zip(WALLETS, right([(w, head) for w in WALLETS])) if s is None}
        assert held <= unreadable, f"quarantined without a cause: {held - unreadable}"
        owed = dict(store.sql("SELECT wallet, event_block FROM trueup_quarantine"))
        for w, block in self.chain.canonical.items():
            has = max((rows[w].blocknumber if w in rows else None) or 0, owed.get(w) or 0)
            assert has >= block and has in ever[w], f"{w}: {block} names it, {has} is known"
        assert set(rows) <= set(ever), "rows that nobody asked for"
        checkpoint = store.checkpoint(CHECKPOINT)
        assert checkpoint <= head - SETTLE, f"checkpoint {checkpoint}, head {head}"
        at = {}
        for w, old, new in store.sql("SELECT wallet, old, new FROM trueup_changes ORDER BY id"):
            assert at.get(w) == (None if old is None else int(old)), f"{w}: a gap in its changes"
            at[w] = int(new)
        assert all(at.get(w) == r.balance for w, r in rows.items() if w in at), "changes end elsewhere"

    def close(self):
        self.states.close()
