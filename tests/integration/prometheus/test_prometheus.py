"""Prometheus itself: it scrapes a live daemon, its promtool likes the metrics and the rules, and each
alert fires on the fault it is for. A minute of the rules is a second here."""

import json
import re
import subprocess
import threading
import time
import urllib.request

import pytest

from harness import config as configs
from harness.anvil import Anvil
from harness.node import free_port
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.daemon import ROOT
from harness.provider import ScriptedProvider
from harness.wait import SLOWNESS, until
from harness.web import listening
from harness.world import BURN, World, wallet

CONTRIB = ROOT / "contrib/prometheus"
TOKEN = "s3cret-token"
WALLETS = [wallet(i) for i in range(12)]


def alerts_defined():
    return re.findall(r"- alert: (\w+)", (CONTRIB / "alerts.yml").read_text())


def promtool(*arguments, **more):
    done = subprocess.run(["promtool", *map(str, arguments)], text=True, capture_output=True,
                          timeout=60, **more)
    assert done.returncode == 0 and "lint" not in done.stderr, done.stdout + done.stderr
    return done.stdout


def in_seconds(rules):
    """The rules at sixty times their speed; nothing waits longer than a second to be sure."""
    rules = re.sub(r"\bfor: \w+", "for: 1s", rules)
    rules = rules.replace("[1h]", "[60s]").replace("offset 1h", "offset 60s")
    return re.sub(r"\[(\d+)m\]", r"[\1s]", rules)


class Prometheus:
    def __init__(self, folder, target):
        self.folder, self.port = folder, free_port()
        (folder / "alerts.yml").write_text(in_seconds((CONTRIB / "alerts.yml").read_text()))
        (folder / "prometheus.yml").write_text(f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [alerts.yml]
scrape_configs:
  - job_name: trueup
    static_configs: [{{targets: ['127.0.0.1:{target}']}}]
    authorization: {{credentials: {TOKEN}}}
""")
        promtool("check", "config", folder / "prometheus.yml")
        self.log = open(folder / "prometheus.log", "ab")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={folder / 'prometheus.yml'}",
             f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def ask(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=10) as got:
            return json.load(got)["data"]

    def value(self, query):
        found = self.ask(f"query?query={urllib.request.quote(query)}")["result"]
        return float(found[0]["value"][1]) if found else None

    def firing(self):
        return {a["labels"]["alertname"] for a in self.ask("alerts")["alerts"]
                if a["state"] == "firing"}

    def until_firing(self, *names):
        seen = set()
        try:
            until(lambda: seen.clear() or seen.update(self.firing()) or set(names) <= seen,
                  f"{names} to fire", 40, every=0.3)
        except AssertionError as e:
            raise AssertionError(f"{e}; firing: {seen}") from None

    def answers(self):
        try:
            return self.value("up") is not None
        except OSError:
            return False

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


class Miner(threading.Thread):
    """Blocks come while it is not paused."""

    def __init__(self, anvil):
        super().__init__(daemon=True)
        self.anvil, self.paused, self.ended = anvil, threading.Event(), threading.Event()

    def run(self):
        while not self.ended.wait(0.5):
            if not self.paused.is_set():
                self.anvil.mine()


@pytest.fixture
def chain_of_old(tmp_path):
    """Blocks here are five minutes old when they come: so are the events in them."""
    anvil = Anvil(tmp_path / "anvil", extra=["--timestamp", str(int(time.time()) - 300)]).start()
    try:
        yield anvil
    finally:
        anvil.stop()


def test_promtool_accepts_the_rules_and_each_alert_is_tried():
    promtool("check", "rules", CONTRIB / "alerts.yml")
    promtool("test", "rules", CONTRIB / "alerts.test.yml")
    tried = (CONTRIB / "alerts.test.yml").read_text()
    assert [a for a in alerts_defined() if f'alertname="{a}"' not in tried] == []


def test_it_scrapes_a_daemon_and_each_alert_fires_on_its_fault(chain_of_old, postgres, trueup, tmp_path):
    anvil, world = chain_of_old, World(chain_of_old.rpc).deploy()
    settings, client = listening(token=TOKEN)
    miner = Miner(anvil)
    with ScriptedProvider(forward=anvil.url) as provider:
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            world, provider.url, postgres.url, http=settings))
        prometheus = Prometheus(tmp_path, client.port)
        try:
            trueup.start()
            miner.start()
            prometheus_sees(prometheus, anvil, client, postgres, trueup, world, provider)
            each_fault(prometheus, anvil, client, postgres, trueup, world, provider, miner)
        finally:
            miner.ended.set()
            prometheus.stop()


def prometheus_sees(prometheus, anvil, client, postgres, trueup, world, provider):
    trueup.until(client.answers, "HTTP to answer")
    trueup.until(lambda: postgres.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    until(prometheus.answers, "Prometheus to scrape", 30)
    until(lambda: prometheus.value("trueup_head_block") is not None, "the first figures", 20)
    promtool("check", "metrics", input=client.ask("/metrics")[2])
    until(lambda: prometheus.value("trueup_synced_block") == prometheus.value("trueup_head_block"),
          "the head to be synced", 20)
    # Minutes of the rules' time with nothing wrong.
    time.sleep(5 * SLOWNESS)
    assert prometheus.value("up") == 1 and prometheus.firing() == set()


def each_fault(prometheus, anvil, client, postgres, trueup, world, provider, miner):
    fires = prometheus.until_firing
    # Events that are minutes old when they are written; and a little later a wallet that burns gas.
    for w in WALLETS:
        world.token.send("mint", w, 100)
        trueup.until(lambda: w in postgres.rows(TABLE), "its row", 10)
    fires("TrueupSlowEvents")
    world.mood(WALLETS[:1], BURN)
    trueup.until(lambda: postgres.quarantined(BALANCE), "the quarantine", 40)
    postgres.script(f"UPDATE {TABLE} SET updated_at = '2020-01-01' WHERE wallet = '{WALLETS[0]}'")
    postgres.script("INSERT INTO trueup_drift (balance, wallet, stored, actual, block, cause, endpoint, age) "
                    f"VALUES ('{BALANCE}', '{WALLETS[1]}', 5, 7, 12, 'silent', 'local', 60)")
    fires("TrueupQuarantine", "TrueupDrift")
    assert "TrueupOldRows" not in prometheus.firing(), "of the wallet in quarantine"
    # A slow node; then a contract that fails for every wallet, while rows wait to be anchored.
    provider.rules({"fault": "silence", "method": "eth_call", "args": {"seconds": 1.5}})
    fires("TrueupTicksDropped")
    provider.rules()
    world.mood(WALLETS, BURN)
    trueup.until(lambda: client.metrics()["trueup_sweep_broken"] == 1, "the sweep to say so")
    postgres.script(f"UPDATE {TABLE} SET observed_block = NULL, updated_at = '2020-01-01'")
    fires("TrueupUnanchoredRows", "TrueupOldRows", "TrueupSweepFails")
    world.mood(WALLETS, 0)
    # Logs are refused while blocks come; then no block comes.
    provider.rules({"fault": "error", "method": "eth_getLogs",
                    "args": {"text": "internal error", "code": -32603}})
    anvil.mine(80)
    fires("TrueupBehind")
    provider.rules()
    miner.paused.set()
    fires("TrueupHeadStands")
    miner.paused.clear()
    for _ in range(5):
        dying = trueup.worker("follow")  # a signal for one that is dying already is no further death
        trueup.kill("follow")
        trueup.until(lambda: trueup.workers().get("follow") not in (None, dying), "another follow", 40)
    fires("TrueupWorkerRestarts")
    # Nobody answers; the database hangs; nothing is there.
    miner.paused.set()
    anvil.pause()
    try:
        fires("TrueupNotConnected", "TrueupEndpointDown")
    finally:
        anvil.resume()
    until(lambda: not {"TrueupNotConnected", "TrueupEndpointDown"} & prometheus.firing(), "them to end", 40)
    holder = postgres.driver.connect(postgres.url)
    try:
        holder.cursor().execute(f"LOCK TABLE trueup_state, {TABLE} IN ACCESS EXCLUSIVE MODE")
        fires("TrueupStoreDown")
    finally:
        holder.close()
    trueup.stop()
    fires("TrueupDown")

