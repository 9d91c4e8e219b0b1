"""One run's world: a chain of its own, a provider or two that misbehave in front of it, a database that
can be killed, and the daemon between them."""

import os
import signal
import time

from client import ScriptedProvider
from harness import config as configs
from harness.anvil import Anvil
from harness.node import free_port
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.daemon import Trueup, session_members
from harness.store import PostgresStore, SqliteStore
from harness.truth import Truth
from harness.web import Http
from harness.world import World, wallet

from ledger import Ledger

WALLETS = [wallet(i) for i in range(60)]
PROVIDERS = WALLETS[:4]
SETTLE = 20  # blocks; no branch goes deeper, for that would be another chain
DEEPEST = 17
FAR_SETTLE = 120  # with oddities, for deeper branches


class AliveStore(PostgresStore):
    """Connects anew when the server was killed meanwhile."""

    def sql(self, query, *values):
        for attempt in range(2):
            try:
                return super().sql(query, *values)
            except (self.driver.DatabaseError, self.driver.InterfaceError):
                if attempt == 1:
                    raise
                self.connection.close()
                self.connection = self.driver.connect(self.url)
                self.connection.autocommit = True
        return []


class Stage:
    def __init__(self, folder, rng, kind, cluster, odd=None):
        """odd: a generator for what oddities change; None: --no-oddities."""
        self.folder, self.rng, self.kind, self.cluster = folder, rng, kind, cluster
        self.fired = {}
        self.listed = rng.random() < 0.25
        self.two_endpoints = rng.random() < 0.4
        self.reader = rng.choice(["auto", "auto", "override", "create", "multicall3", "single"])
        self.batch = rng.choice(["auto", "auto", 7])
        self.pushes = rng.random() < 0.75
        self.anvil = self.trueup = self.store = None
        self.daemons = []
        self.providers = []
        self.stopped = {}  # pid -> since when
        self.killed = []  # names of workers we sent a deadly signal
        self.highest = self.floor = 0
        self.settle, self.finality = SETTLE, SETTLE
        self.odd = odd is not None
        if odd:
            self.draw_oddities(odd)
        self.witnesses, self.deaths = {}, []
        self.started_daemons = 0

    def draw_oddities(self, rng):
        """Two endpoints as often as one; half of the runs have room for forks of a hundred blocks, half
        take finality from the tag."""
        self.two_endpoints = rng.random() < 0.5
        self.settle = rng.choice([SETTLE, FAR_SETTLE])
        self.finality = rng.choice([self.settle, "finalized"])

    def describe(self):
        return {"wallets": "listed" if self.listed else "seen", "endpoints": 1 + self.two_endpoints,
                "reader": self.reader, "batch": self.batch, "ws": self.pushes, "finality": self.finality,
                **({"oddities": True} if self.odd else {})}

    def fire(self, kind, times=1):
        if times:
            self.fired[kind] = self.fired.get(kind, 0) + times

    # ---- coming up

    def open(self):
        self.anvil = Anvil(self.folder / "node", slots=self.settle // 2).start()
        self.world = World(self.anvil.rpc).deploy()
        self.truth = Truth(self.world)
        self.anvil.mine(self.settle)
        self.providers = [self._provider() for _ in range(1 + self.two_endpoints)]
        self.store = self._store()
        self.make_daemons()
        if self.listed:
            self.trueup.run("migrate")
            self.store.list_wallets(BALANCE, WALLETS)
        self.start_daemon()
        self.trueup.until(lambda: self.store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
        self.ledger = Ledger(self.world)
        self.world.mint_all(WALLETS, self.rng)
        self.ledger.note()

    def make_daemons(self):
        self.web = Http(free_port())
        self.trueup = Trueup(self.folder)
        self.trueup.http = self.web
        self.trueup.config = configs.write(self.folder / "trueup.yaml", self._settings())
        self.daemons.append(self.trueup)

    def choose(self, daemon):
        self.trueup, self.web = daemon, daemon.http

    def _provider(self, port=0):
        return ScriptedProvider(forward=self.anvil.url, seed=self.rng.randrange(2 ** 32), port=port)

    def _store(self):
        if self.kind == "sqlite":
            return SqliteStore(self.folder / "trueup.db")
        self.cluster.start()
        name = f"chaos_{os.getpid()}_{self.rng.randrange(2 ** 32)}"
        admin = PostgresStore(self.cluster.url())
        admin.sql(f"CREATE DATABASE {name}")
        admin.close()
        return AliveStore(self.cluster.url(name))

    def _settings(self):
        endpoints = []
        for i, p in enumerate(self.providers):
            endpoints.append({"name": f"n{i}", "url": p.url, "reader": self.reader,
                              "ws": p.url.replace("http", "ws", 1) if self.pushes and i == 0 else "off"})
        return configs.settings(self.world, "", self.store.url,
                                chain={"finality": self.finality, "endpoints": endpoints},
                                wallets="listed" if self.listed else "seen",
                                sweep={"interval": "200ms", "batch": self.batch},
                                http={"listen": f"127.0.0.1:{self.web.port}"})

    def start_daemon(self):
        """As a service manager would: it may refuse while the database is away, and is started again."""
        if self.trueup.process is not None and self.trueup.process.poll() is not None:
            self.trueup.reap()
        if self.trueup.process is None:
            self.trueup.start()
            self.started_daemons += 1

    def daemon_ended(self):
        """Its exit status, if it ended by itself."""
        return None if self.trueup.process is None else self.trueup.process.poll()

    def settle_settings(self):
        """Before rest: where daemons differ in what they keep."""

    # ---- what the endpoints showed

    def collect(self):
        """{process of a provider: what it told}; those that are gone told it before."""
        for p in self.providers:
            self.witnesses[p.process.pid] = p.events()
        return list(self.witnesses.values())

    # ---- stopped processes

    def pause(self, pid):
        os.kill(pid, signal.SIGSTOP)
        self.stopped[pid] = time.monotonic()

    def resume_all(self):
        for pid in self.stopped:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        self.stopped = {}

    # ---- the chain

    def head(self):
        head = self.anvil.rpc.number()
        self.highest = max(self.highest, head)
        return head

    def depth(self, most):
        """How deep a branch may go: never to what the daemon may take for finalized, nor to before the
        node was last killed, since anvil forgets the contracts' code in states that it read from disk."""
        head = self.head()
        return min(most, head - (self.highest - self.settle) - 2, head - self.floor)

    # ---- going down

    def close(self):
        self.resume_all()
        for daemon in self.daemons:
            daemon.reap()
        for p in self.providers:
            p.close()
        if self.anvil is not None:
            self.anvil.stop()
        if self.store is not None:
            self.store.close()

    def members(self):
        return session_members(self.trueup.pid)

    def tail(self, lines):
        return "\n\n".join(daemon.tail(lines) for daemon in self.daemons)


__all__ = ["BALANCE", "CHECKPOINT", "TABLE", "PROVIDERS", "SETTLE", "DEEPEST", "Stage", "WALLETS"]
