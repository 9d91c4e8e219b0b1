"""What the benchmarks share: programs started and ended by us, memory and processor time of them,
databases of our own, results as JSON beside this file."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from harness.anvil import Anvil  # noqa: E402
from harness.postgres import Cluster  # noqa: E402
from harness.world import VIEWS, World  # noqa: E402

TABLE = "eth_wallet_balances"
AUDIO = {"held": "0x18aAA7115705e8be94bfFEBDE57Af9BFc265B998",
         "staked": "0xe6D97B2099F142513be7A2a068bE040656Ae4591",
         "delegated": "0x4d7968ebfD390D5E7926Cb3587C39eFf2F9FB225"}
# A database as an operator would run it: durable. What else is set is printed with each result.
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on",
           "shared_buffers": "2GB", "max_wal_size": "4GB"}


def build_folder():
    return Path(os.environ.get("TRUEUP_BUILD_DIR", ROOT / "build"))


class FastNode:
    """bench/rpcserver; its counts are those of its sockets, HTTP headers included."""

    kind = "fast server"

    def __init__(self, latency=0, gas_cap=50_000_000, wallet_gas=10_320, salt=0):
        self.options = ["--latency", latency, "--gas-cap", gas_cap, "--wallet-gas", wallet_gas,
                        "--salt", salt]
        self.contracts = AUDIO

    def start(self):
        self.process = subprocess.Popen([build_folder() / "bench" / "rpcserver",
                                         *map(str, self.options)], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        counts = json.loads(self.process.stdout.read())
        self.process.wait()
        return counts


class RealNode:
    """anvil with the demo contracts: one plain, two behind proxies; some thousand wallets hold."""

    kind = "anvil"

    def __init__(self, folder, minted=20_000):
        self.anvil = Anvil(Path(folder) / "anvil")
        self.minted = minted

    def start(self):
        self.anvil.start()
        self.url = self.anvil.url
        self.world = World(self.anvil.rpc).deploy()
        self.contracts = {n: c.address for n, c in self.world.contracts.items()}
        self.anvil.mine(4)
        return self

    def mint(self, wallets):
        self.world.mint_all(wallets, random.Random(1))
        self.anvil.mine(4)

    def stop(self):
        used = cpu_ms_of(self.anvil.process.pid)
        self.anvil.stop()
        return {"cpu_ms": used}


def config(contracts, url, store, reader="auto", term_gas=None):
    lines = ["chain:", "  endpoints:",
             f"    - {{name: bench, url: '{url}', ws: off, reader: {reader}}}",
             f"store: '{store}'", "balances:", "  - name: audio", f"    table: {TABLE}",
             "    checkpoint: audio_transfers", "    terms:"]
    gas = f", gas: {term_gas}" if term_gas else ""
    lines += [f"      - {{name: {n}, contract: '{c}', view: {VIEWS[n]}{gas}}}"
              for n, c in contracts.items()]
    lines += ["    wallets: listed", "http: {listen: off}", ""]
    return "\n".join(lines)


def wallet_of(i):
    """The same in every run, in no order: a table grows as its users come."""
    return "0x" + random.Random(i).randbytes(20).hex()


class PostgresRows:
    kind = "PostgreSQL"

    def __init__(self, folder):
        self.cluster = Cluster(Path(folder) / "pg")

    def start(self):
        import psycopg2
        self.cluster.start()
        with open(self.cluster.data / "postgresql.conf", "a") as conf:
            conf.writelines(f"{k} = {v}\n" for k, v in DURABLE.items())
        self.cluster.stop("fast")
        self.cluster.start()
        self.url = self.cluster.url()
        self.connection = psycopg2.connect(self.url)
        self.connection.autocommit = True
        return self

    def sql(self, text):
        with self.connection.cursor() as c:
            c.execute(text)
            return c.fetchall() if c.description else None

    def load(self, n):
        self.sql(f"INSERT INTO {TABLE} (wallet, updated_at) SELECT '0x' || substr(encode(sha256("
                 f"i::text::bytea), 'hex'), 1, 40), '1970-01-01' FROM generate_series(1, {n}) i")
        self.settle()

    def settle(self):
        self.sql(f"VACUUM ANALYZE {TABLE}")
        self.sql("CHECKPOINT")

    def some(self, n):
        return [r[0] for r in self.sql(f"SELECT wallet FROM {TABLE} ORDER BY wallet LIMIT {n}")]

    def proven(self):
        return self.sql(f"SELECT count(*) FROM {TABLE} WHERE observed_block IS NOT NULL")[0][0]

    def facts(self):
        names = ("server_version", "fsync", "synchronous_commit", "full_page_writes",
                 "shared_buffers", "max_wal_size", "autovacuum")
        facts = {n: self.sql(f"SHOW {n}")[0][0] for n in names}
        facts["indexes"] = [r[0] for r in self.sql(
            f"SELECT indexdef FROM pg_indexes WHERE tablename = '{TABLE}' ORDER BY 1")]
        return facts

    def cpu_ms(self):
        """Of all its processes that live now, and of those that it has waited for."""
        parent = int((self.cluster.data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return cpu_ms_of(parent, True) + sum(cpu_ms_of(int(c)) for c in children)

    def stop(self):
        self.connection.close()
        self.cluster.remove()


class SqliteRows:
    kind = "SQLite"

    def __init__(self, folder):
        self.path = Path(folder) / "rows.db"
        self.url = f"sqlite:{self.path}"

    def start(self):
        return self

    def connect(self):
        return sqlite3.connect(self.path, timeout=30)

    def load(self, n):
        db = self.connect()
        rows = sorted(wallet_of(i) for i in range(n))
        with db:
            db.executemany(f"INSERT INTO {TABLE} (wallet, balance, updated_at) VALUES "
                           "(?, '0', '1970-01-01 00:00:00.000000')", ((w,) for w in rows))
        db.close()
        self.settle()

    def settle(self):
        db = self.connect()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()

    def some(self, n):
        db = self.connect()
        found = [r[0] for r in db.execute(f"SELECT wallet FROM {TABLE} ORDER BY wallet LIMIT {n}")]
        db.close()
        return found

    def proven(self):
        db = self.connect()
        n = db.execute(f"SELECT count(*) FROM {TABLE} WHERE observed_block IS NOT NULL").fetchone()[0]
        db.close()
        return n

    def facts(self):
        db = self.connect()
        facts = {"version": sqlite3.sqlite_version,
                 "journal_mode": db.execute("PRAGMA journal_mode").fetchone()[0],
                 "synchronous": "as trueup opens it",
                 "indexes": [r[0] for r in db.execute(
                     "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? "
                     "AND sql IS NOT NULL", (TABLE,))]}
        db.close()
        return facts

    def cpu_ms(self):
        return 0

    def stop(self):
        pass


def cpu_ms_of(pid, children=False):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0
    ticks = int(fields[11]) + int(fields[12])
    if children:
        ticks += int(fields[13]) + int(fields[14])
    return ticks * 1000 // os.sysconf("SC_CLK_TCK")


def pss_kb(pids, field="Pss"):
    """field: Pss_Anon for what is a process's own, whoever else has the same libraries loaded."""
    total = 0
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(f"{field}:"):
                    total += int(line.split()[1])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


class Measured:
    """A program run to its end: output, time, its processor time, its largest Pss of samples taken
    every 100 ms."""

    def __init__(self, command, perf=None):
        if perf:
            command = ["perf", "record", "-g", "-q", "-o", perf, *command]
        self.pss = []
        started = time.monotonic()
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        over = threading.Event()
        sampler = threading.Thread(target=self._sample, args=(over,))
        sampler.start()
        stderr = []
        reader = threading.Thread(target=lambda: stderr.append(self.process.stderr.read()))
        reader.start()
        self.stdout = self.process.stdout.read()
        reader.join()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        over.set()
        sampler.join()
        self.stderr = stderr[0]
        self.seconds = time.monotonic() - started
        self.cpu_s = usage.ru_utime + usage.ru_stime
        self.user_s, self.system_s = usage.ru_utime, usage.ru_stime
        if self.process.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {self.process.returncode}:\n{self.stderr}")

    def _sample(self, over):
        while not over.wait(0.1):
            self.pss.append(pss_kb([self.process.pid]))


def machine():
    model = [l.split(":")[1].strip() for l in Path("/proc/cpuinfo").read_text().splitlines()
             if l.startswith("model name")]
    return {"cpu": model[0] if model else "unknown", "cores": os.cpu_count(),
            "kernel": os.uname().release}


def commit():
    return subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], text=True,
                          capture_output=True).stdout.strip()


def save(name, result):
    RESULTS.mkdir(exist_ok=True)
    result = {"name": name, "date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": commit(),
              "machine": machine(), **result}
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
