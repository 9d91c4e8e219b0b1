"""Canary keys in the node's URL, the WebSocket's URL, the database's password and the HTTP token: in no
log (at level trace), error, page, metric, status, report, crash report, argument list or environment of a
worker; over every command, when all is well and in every kind of trouble.

A search that finds nothing proves nothing: the last test shows that this one finds."""

import contextlib
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import config as configs
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.daemon import session_members
from harness.provider import provider  # noqa: F401
from harness.web import listening
from harness.world import wallet

WALLETS = [wallet(i) for i in range(6)]
KEY, USER, PASSWORD = "CANARYkey7f3a91", "CANARYuser91cc", "CANARYpass55ee"
WS_KEY, DB_PASSWORD, TOKEN = "CANARYws0b1c2d", "CANARYdbpw77aa", "CANARYtoken123"
QUERY = "CANARYquery4411"


class Heard:
    """Everything anybody said, and where."""

    def __init__(self):
        self.said = []

    def add(self, where, text):
        self.said.append((where, text))

    def leaks(self):
        return [(where, line[:300]) for where, text in self.said for line in text.splitlines()
                if "CANARY" in line.replace("%43", "C")]


@pytest.fixture
def heard():
    everything = Heard()
    yield everything
    assert everything.said
    assert not everything.leaks(), everything.leaks()[:3]


@pytest.fixture
def role(postgres):
    name = f"canary_{os.getpid()}"
    postgres.sql(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{DB_PASSWORD}'")
    try:
        yield name
    finally:
        postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ?", name)
        postgres.sql(f"DROP OWNED BY {name} CASCADE")
        postgres.sql(f"DROP ROLE {name}")


@pytest.fixture
def secretive(chain, postgres, role, trueup, provider, tmp_path):  # noqa: F811
    """All secrets in the environment and, through it, in the file: as one should, and as one does."""
    http, trueup.client = listening(token=TOKEN)
    trueup.env |= {
        "NODE_URL": provider.base.replace("http://", f"http://{USER}:{PASSWORD}@")
        + f"/v2/{KEY}?apikey={QUERY}",
        "WS_URL": provider.base.replace("http:", "ws:") + f"/v2/{WS_KEY}",
        "STORE_URL": postgres.url.replace("postgres://postgres@", f"postgres://{role}:{DB_PASSWORD}@"),
        "TOKEN": TOKEN}
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, "${NODE_URL}", "${STORE_URL}", log={"level": "trace"},
        http={**http, "token": "${TOKEN}"},
        chain={"endpoints": [{"name": "main", "url": "${NODE_URL}", "ws": "${WS_URL}"}]}))
    yield trueup
    trueup.reap()  # before the role it is connected as can go


def processes(heard, trueup):
    for pid in session_members(trueup.pid):
        with contextlib.suppress(OSError):
            folder = Path(f"/proc/{pid}")
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            heard.add(f"ps {arguments}", "\n".join(arguments))
            if "worker" in arguments:
                heard.add(f"environ of {arguments}", (folder / "environ").read_bytes().decode(errors="replace"))


def pages(heard, client):
    for path in ("/", "/livez", "/readyz", "/freshz", "/eth/health", "/metrics", "/v1/status",
                 "/v1/drift", f"/v1/balances/{BALANCE}?order=balance", f"/v1/balances/{BALANCE}/{WALLETS[0]}",
                 "/v1/balances/nothing/at-all", "/nothing"):
        for token in (TOKEN, "wrong", None):
            client.token = token
            with contextlib.suppress(OSError):
                code, headers, text = client.ask(path)
                heard.add(f"GET {path} {code}", f"{headers}\n{text}")
    client.token = TOKEN


COMMANDS = (("status",), ("status", "--json"), ("doctor",), ("doctor", "--json"), ("read", WALLETS[0]),
            ("read", WALLETS[0], "--terms", "--json"), ("explain", WALLETS[0]), ("sweep",), ("config", "show"),
            ("config", "check"), ("wallets", "list"), ("wallets", "count"), ("migrate",), ("audit",),
            ("snapshot", "--at", "5", "--out", "-"), ("backfill", "--from", "0"))


def commands(heard, trueup, only=COMMANDS):
    """At the same time: some wait five seconds for a node that is not there."""
    def one(command):
        done = trueup.run(*command, "--log-level", "trace", code=None)
        heard.add(f"trueup {' '.join(command)}: {done.returncode}", done.stdout + done.stderr)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, only))


def test_a_daemon_in_every_trouble(chain, postgres, role, secretive, provider, heard):  # noqa: F811
    trueup = secretive
    trueup.start()
    trueup.until(lambda: postgres.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    trueup.until_log("subscription established")
    chain.world.token.send("mint", WALLETS[0], 5)
    trueup.until(lambda: WALLETS[0] in postgres.rows(TABLE), "a row")
    processes(heard, trueup)
    pages(heard, trueup.client)
    # The node, saying too much.
    for fault, args in (("redirect", {}), ("echo-url", {}), ("echo-url", {"html": True}),
                        ("html", {})):
        provider.rules({"fault": fault, "args": args})
        trueup.until(lambda: provider.order()["rules"][0]["played"] >= 2, fault, 40)
    pages(heard, trueup.client)
    provider.reset()
    # The database, too; and processes that die, with what they say last.
    postgres.sql(f"ALTER ROLE {role} NOLOGIN")
    postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ?", role)
    for name in ("follow", "sweep", "listen", "web"):
        old = trueup.worker(name)
        os.kill(old, signal.SIGSEGV)
        trueup.until(lambda: trueup.workers().get(name) not in (None, old), f"another {name}")
    trueup.until(trueup.client.answers, "HTTP")
    pages(heard, trueup.client)
    # Settings read again: by a process that knows our environment, and has it in no such place.
    text = trueup.config.read_text()
    for broken in (text.replace("interval:", "intervall:"), text.replace("'${STORE_URL}'", "'mysql://x:${TOKEN}@h/d'"),
                   text.replace("'${NODE_URL}'", "'ftp://${TOKEN}@h/${TOKEN}'"), text):
        trueup.config.write_text(broken)
        said = len(trueup.output())
        os.kill(trueup.pid, signal.SIGHUP)
        trueup.until(lambda: re.search("the old ones stay|were read again", trueup.output()[said:]), "an answer")
        processes(heard, trueup)
    assert trueup.stop() == 0
    heard.add("the log", trueup.output())
    assert len(trueup.output()) > 5000 and "trace" in trueup.config.read_text()


def test_every_command_when_all_is_well(chain, postgres, secretive, heard):
    for w in WALLETS:
        chain.world.token.send("mint", w, 5)
    secretive.run("migrate")
    commands(heard, secretive)
    assert sum(": 0" in where for where, _ in heard.said) >= 9, [w for w, _ in heard.said]


BAD = {
    "port": lambda env: env | {"NODE_URL": f"http://{USER}:{PASSWORD}@127.0.0.1:1/v2/{KEY}"},
    "tls": lambda env: env | {"NODE_URL": env["NODE_URL"].replace("http:", "https:")},
    "scheme": lambda env: env | {"NODE_URL": f"ftp://{USER}:{PASSWORD}@127.0.0.1/v2/{KEY}"},
    "malformed": lambda env: env | {"NODE_URL": f"http://{USER}:{PASSWORD}@127.0.0.1:{KEY}/v2/{KEY}"},
    "slash in a password": lambda env: env | {"STORE_URL": f"postgres://{USER}:{DB_PASSWORD}/x@h/d",
                                              "NODE_URL": f"http://{USER}:12{PASSWORD}/7@h/v2"},
    "no url": lambda env: env | {"NODE_URL": f"{KEY} {PASSWORD}"},
    "database": lambda env: env | {"STORE_URL": env["STORE_URL"].replace("/t", "/no_such_database_t", 1)},
    "database host": lambda env: env | {"STORE_URL": f"postgres://app:{DB_PASSWORD}@127.0.0.1:1/x"},
    "database url": lambda env: env | {"STORE_URL": f"postgres://app:{DB_PASSWORD}@h/d?no_such=1"},
    "database words": lambda env: env | {"STORE_URL": f"host=h password={DB_PASSWORD}"},
    "database user": lambda env: env | {"STORE_URL": env["STORE_URL"].replace("canary_", "nobody_")},
}


@pytest.mark.parametrize("what", BAD)
def test_commands_when_it_is_not(secretive, heard, what):
    secretive.env |= BAD[what](dict(secretive.env))
    commands(heard, secretive, (("doctor",), ("read", WALLETS[0]), ("config", "show"), ("config", "check"),
                                ("migrate",)))


@pytest.mark.parametrize("fault", [{"fault": "echo-url", "args": {"status": 401}},
                                   {"fault": "http-503", "args": {"status": 403}},
                                   {"fault": "redirect"}])
def test_commands_when_the_node_refuses(secretive, provider, heard, fault):  # noqa: F811
    provider.rules(fault)
    commands(heard, secretive, (("doctor",), ("read", WALLETS[0])))


def test_secrets_as_flags(chain, secretive, heard, trueup):
    """The worse place for them; hidden from ps as soon as they have been read."""
    url, store = secretive.env["NODE_URL"], secretive.env["STORE_URL"]
    trueup.config.unlink()
    trueup.config = None
    trueup.start("--rpc", url, "--store", store, "--token", chain.world.token.address, "--listen", "off")
    trueup.until(lambda: {"follow", "sweep"} <= set(trueup.workers()), "the workers")
    processes(heard, trueup)
    os.kill(trueup.pid, signal.SIGHUP)
    began = time.monotonic()
    while time.monotonic() - began < 0.3:  # the helper lives shortly
        processes(heard, trueup)
    trueup.until_log("settings were read again")
    assert trueup.stop() == 0
    heard.add("the log", trueup.output())


def test_the_search_finds(trueup):
    heard = Heard()
    heard.add("here", "fine\nnot fine: " + KEY)
    assert heard.leaks() == [("here", "not fine: " + KEY)]
