"""Faults as an operator on call meets them, in database and node: each light is red or not ready with the cause,
and the lights agree. A ward of daemons on one chain meets its faults at one time, a fault a daemon."""

import contextlib
import itertools
import json
import os
import resource
import signal
import threading
from types import SimpleNamespace

import pytest

from harness import config as configs
from harness.config import TABLE, TRANSFER
from harness.daemon import Trueup
from harness.gate import Gate, error_of, filter_of, mint_sent, number_of, plain
from harness.node import free_port
from harness.rpc import Rpc
from harness.store import PostgresStore, SqliteStore
from harness.web import Http
from harness.world import VIEWS, Contract, wallet

WALLETS = [wallet(7700 + i) for i in range(12)]
LATE_S = 40  # for a light; 8 s and a look are promised, on a machine that has nothing else to do
APPLICATION = f"""
    CREATE TABLE {TABLE} (wallet TEXT PRIMARY KEY, balance NUMERIC NOT NULL DEFAULT 0, blocknumber BIGINT,
        updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
        created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, observed_block BIGINT);
    CREATE INDEX ON {TABLE} (updated_at);
    CREATE TABLE eth_indexer_checkpoints (name TEXT PRIMARY KEY, last_block BIGINT NOT NULL,
        updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
    CREATE TABLE users (wallet TEXT);
    GRANT USAGE, CREATE ON SCHEMA public TO keeper;
    GRANT SELECT, INSERT, UPDATE ON {TABLE}, eth_indexer_checkpoints, users TO keeper"""


# ---- faults ----------------------------------------------------------------------------------------------


class Fault:
    """play() and heal() get the patient; words: what /readyz, status and /eth/health have to say."""

    def __init__(self, words, play, heal=None, settings=None, store="postgres"):
        self.words, self.play, self.heal, self.store = words, play, heal, store
        self.settings = settings or (lambda p: {})


def sql(*statements):
    def run(patient):
        for s in statements:
            patient.admin.sql(s)
    return run


def bend(make):
    """The gate answers so from now on: make(patient) -> bend(rpc, answer)."""
    def run(patient):
        patient.gate.bend = make(patient)
    return run


def straighten(patient):
    patient.gate.bend = None


def hold_row(patient):
    patient.held = patient.admin.driver.connect(patient.admin.url)
    patient.held.cursor().execute(f"SELECT 1 FROM {TABLE} FOR UPDATE")


def hold_file(patient):
    patient.held = patient.admin.connect()
    patient.held.execute("BEGIN EXCLUSIVE")


def let_go(patient):
    patient.held.rollback()
    patient.held.close()


def stop_follow(patient):
    patient.pid = patient.daemon.worker("follow")
    os.kill(patient.pid, signal.SIGSTOP)


def take_descriptors(patient):
    resource.prlimit(patient.daemon.worker("follow"), resource.RLIMIT_NOFILE, (3, 3))
    patient.admin.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'keeper' "
                      "AND datname = current_database()")


def without_logs(patient):
    def run(rpc, answer):
        return rpc["method"] == "eth_getLogs" and error_of(code=-32601, message="no such method: moved")(
            rpc, answer) or None
    return run


def without_head(patient):
    return lambda rpc, answer: ({**answer, "result": None} if rpc["method"] == "eth_getBlockByNumber"
                                else None)


def locked_out(patient):
    return lambda rpc, answer: plain(b"<html>key revoked</html>", "401 Unauthorized")


def synced_anew(patient):
    """It knows its first blocks alone, and has no state for any."""
    first = patient.rpc.block(1)

    def run(rpc, answer):
        method, params = rpc["method"], rpc.get("params") or []
        if method == "eth_blockNumber":
            return {**answer, "result": first["number"]}
        if method == "eth_getBlockByNumber" and params[0] in ("latest", "safe", "finalized"):
            return {**answer, "result": first}
        if method.startswith("eth_getBlock") and answer.get("result") and number_of(answer["result"]) > 1:
            return {**answer, "result": None}
        if method == "eth_getLogs" and "result" in answer and filter_of(rpc):
            return {**answer, "result": []}
        return error_of(code=-32000, message="header not found")(rpc, answer) if method == "eth_call" else None
    return run


def own_token(patient):
    """A balance of a token that no other daemon keeps."""
    world = patient.world
    patient.token = Contract(world, world.create("DemoToken"), "DemoToken")
    return {"balance": {
        "terms": [{"name": "held", "contract": patient.token.address, "view": VIEWS["held"]}],
        "triggers": [{"contract": patient.token.address, "event": TRANSFER, "wallets": ["from", "to"]}]}}


def lose_code(patient):
    patient.rpc.call("anvil_setCode", patient.token.address, "0x")


def known_users(patient):
    patient.admin.many("INSERT INTO users VALUES (?)", [(w,) for w in WALLETS])
    return {"wallets": {"query": "SELECT wallet FROM users WHERE wallet = ANY($1)"}}


DATABASE = {
    "its table is renamed": Fault(f'relation "{TABLE}" does not exist', sql(f"ALTER TABLE {TABLE} RENAME TO old"),
                                  sql(f"ALTER TABLE old RENAME TO {TABLE}")),
    "a column is dropped": Fault("observed_block does not exist",
                                 sql(f"ALTER TABLE {TABLE} RENAME observed_block TO gone"),
                                 sql(f"ALTER TABLE {TABLE} RENAME gone TO observed_block")),
    "a right is revoked": Fault(f"permission denied for table {TABLE}",
                                sql(f"REVOKE UPDATE ON {TABLE} FROM keeper"),
                                sql(f"GRANT UPDATE ON {TABLE} TO keeper")),
    "the application's users are renamed": Fault('relation "users" does not exist',
                                                 sql("ALTER TABLE users RENAME TO accounts"),
                                                 sql("ALTER TABLE accounts RENAME TO users"), known_users),
    "an own table is dropped": Fault('relation "trueup_quarantine" does not exist',
                                     sql("ALTER TABLE trueup_quarantine RENAME TO gone"),
                                     sql("ALTER TABLE gone RENAME TO trueup_quarantine")),
    "the record of changes is dropped": Fault('relation "trueup_changes" does not exist',
                                              sql("ALTER TABLE trueup_changes RENAME TO gone"),
                                              sql("ALTER TABLE gone RENAME TO trueup_changes")),
    "the numbers of changes are used up": Fault("reached maximum value of sequence",
                                                sql("ALTER SEQUENCE trueup_changes_id_seq RESTART 9 MAXVALUE 9"),
                                                sql("ALTER SEQUENCE trueup_changes_id_seq NO MAXVALUE RESTART 999")),
    "a session holds the rows": Fault("lock timeout", hold_row, let_go),
    "a program holds the file": Fault("database is locked", hold_file, let_go, store="sqlite"),
}

NODE = {
    "the logs' method is gone": Fault("no such method: moved", bend(without_logs), straighten),
    "the key is revoked": Fault("HTTP 401", bend(locked_out), straighten),
    "it has no head": Fault("the node has no latest block", bend(without_head), straighten),
    "it is synced from scratch": Fault("it has to catch up first", bend(synced_anew), straighten),
    "the token's code is gone": Fault('term "held" of balance "audio" fails for every wallet', lose_code,
                                      settings=own_token),
    "the worker is stopped": Fault("no look at the chain has succeeded", stop_follow,
                                   lambda p: os.kill(p.pid, signal.SIGCONT)),
    "no descriptor is to be had": Fault("writing fails", take_descriptors),
}


# ---- the ward --------------------------------------------------------------------------------------------


numbers = itertools.count(1)


class Patient:
    def __init__(self, deployed, folder, fault, postgres_url):
        folder.mkdir()
        self.world, self.rpc, self.fault = deployed.world, deployed.anvil.rpc, fault
        self.gate = Gate(deployed.anvil.url)
        url = self.open_store(folder, postgres_url)
        port = free_port()
        self.web = Http(port)
        config = configs.settings(
            self.world, self.gate.url, url, http={"listen": f"127.0.0.1:{port}"}, sweep={"interval": "1s"},
            chain={"endpoints": [{"name": "local", "url": self.gate.url, "ws": "off"}], "freshness": "1s"},
            **fault.settings(self))
        self.daemon = Trueup(folder, configs.write(folder / "trueup.yaml", config)).start()

    def open_store(self, folder, postgres_url):
        if self.fault.store == "sqlite":
            self.admin = SqliteStore(folder / "trueup.db")
            return self.admin.url
        name = f"operator{os.getpid()}_{next(numbers)}"
        admin = PostgresStore(postgres_url)
        admin.sql(f"CREATE DATABASE {name}")
        admin.close()
        self.admin = PostgresStore(postgres_url.replace("/postgres?", f"/{name}?"))
        self.admin.script(APPLICATION)
        return self.admin.url.replace("//postgres@", "//keeper@")

    def is_green(self):
        with contextlib.suppress(OSError):
            return self.web.ask("/readyz")[0] == self.web.ask("/freshz")[0] == 200
        return False

    def has_rows(self):
        return self.is_green() and len(self.admin.rows(TABLE)) == len(WALLETS)

    def says(self, text):
        return self.fault.words in text

    def is_named(self):
        """Each light is red with the cause."""
        code, _, ready = self.web.ask("/readyz")
        health_code, health = self.web.get("/eth/health")
        verdict = self.web.status()["verdict"]
        self.said = json.dumps([code, ready, health_code, health, verdict], indent=1)
        return (code == 503 and self.says(ready) and health_code == 500 and verdict["state"] == "red"
                and self.says(json.dumps(health).replace('\\"', '"'))
                and any(r["state"] == "red" and self.says(r["text"]) for r in verdict["reasons"]))

    def close(self):
        self.daemon.reap()
        self.gate.close()
        self.admin.close()


def mint_for_ever(url, world, stop):
    """An event each half a second. The node may not answer while it is given other work."""
    rpc, chain, n = Rpc(url), SimpleNamespace(world=world), 0
    while not stop.wait(0.5):
        n += 1
        with contextlib.suppress(Exception):
            rpc.call("eth_sendTransaction", mint_sent(chain, WALLETS[n % len(WALLETS)], n))


def mint_all(world, *tokens):
    for token in (world.token, *tokens):
        token.send("mintMany", WALLETS, [5] * len(WALLETS))


@contextlib.contextmanager
def ward(deployed, folder, faults, postgres_url):
    """All of these daemons, well at first; then their faults."""
    patients, stop = {}, threading.Event()
    traffic = threading.Thread(target=mint_for_ever, args=(deployed.anvil.url, deployed.world, stop))
    admin = PostgresStore(postgres_url)
    with contextlib.suppress(admin.driver.errors.DuplicateObject):
        admin.sql("CREATE ROLE keeper LOGIN")
    admin.close()
    try:
        deployed.anvil.mine(3)
        for i, (name, fault) in enumerate(faults.items()):
            patients[name] = Patient(deployed, folder / f"patient{i}", fault, postgres_url)
        for p in patients.values():
            p.daemon.until(p.is_green, "the lights to be green", 60)
        mint_all(deployed.world, *(p.token for p in patients.values() if hasattr(p, "token")))
        for p in patients.values():
            p.daemon.until(p.has_rows, "the rows", 60)
        traffic.start()
        for p in patients.values():
            p.fault.play(p)
        yield patients
    finally:
        stop.set()
        if traffic.ident:
            traffic.join()
        for p in patients.values():
            p.close()


@pytest.fixture(scope="module")
def database_ward(deployed, tmp_path_factory, postgres_url):
    with ward(deployed, tmp_path_factory.mktemp("database"), DATABASE, postgres_url) as patients:
        yield patients


@pytest.fixture(scope="module")
def node_ward(deployed, tmp_path_factory, postgres_url):
    with ward(deployed, tmp_path_factory.mktemp("node"), NODE, postgres_url) as patients:
        yield patients


def every_light_names_it(patient):
    patient.said = None
    try:
        patient.daemon.until(patient.is_named, "every light to name the cause", LATE_S)
    except AssertionError as e:
        raise AssertionError(f"{patient.said}\n{e}") from None
    done = patient.daemon.run("status", code=1)
    assert "NOT TO BE TRUSTED" in done.stdout and patient.says(done.stdout), done.stdout


def all_heal(patients):
    sick = [p for p in patients.values() if p.fault.heal]
    for p in sick:
        p.fault.heal(p)
    for p in sick:
        p.daemon.until(p.is_green, "the lights to be green again", 90)


# ---- the tests -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DATABASE)
def test_the_database(database_ward, name):
    every_light_names_it(database_ward[name])
    assert "no endpoint has answered" not in database_ward[name].said, "the node answers all the time"


def test_the_database_is_mended(database_ward):
    all_heal(database_ward)


@pytest.mark.parametrize("name", NODE)
def test_the_node_and_the_machine(node_ward, name):
    every_light_names_it(node_ward[name])


def test_the_node_is_mended(node_ward):
    all_heal(node_ward)
