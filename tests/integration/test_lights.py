"""What the lights, the words and the feed say while something is wrong: the right colour, the cause, in time."""

import json
import socket
import time

import pytest

from harness import config as configs
from harness.anvil import Anvil
from harness.checks import until_at_rest
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.store import PostgresStore
from harness.wait import SLOWNESS
from harness.web import Stream, listening
from harness.world import World, wallet

WALLETS = [wallet(i) for i in range(12)]
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def serve(chain, store, trueup, tmp_path):
    def start(**changes):
        http, client = listening()
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, store.url, http=http, **changes))
        trueup.start()
        trueup.until(client.answers, "HTTP to answer")
        trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
        return client
    return start


def mistyped(world, event):
    return {"triggers": [{"contract": world.token.address, "event": event, "wallets": ["from", "to"]}]}


# ---- a mistyped event ---------------------------------------------------------------------------


@on_sqlite
def test_a_mistyped_event_is_named_with_what_it_may_have_meant(chain, store, trueup, serve):
    chain.world.token.send("mintMany", WALLETS, [5] * len(WALLETS))
    chain.anvil.mine(3)
    wrong = "Transfr(address indexed from, address indexed to, uint256 value)"
    client = serve(balance=mistyped(chain.world, wrong))
    meant = "Transfer(address indexed from, address indexed to, uint256 value)"

    def told():
        verdict = client.status()["verdict"]
        return verdict if verdict["reasons"] and meant in verdict["reasons"][0]["text"] else None
    verdict = trueup.until(told, "the status to name it")
    assert verdict["state"] == "amber" and "Transfr(address,address,uint256)" in verdict["reasons"][0]["text"]
    assert "equals the chain" not in json.dumps(verdict)
    said = trueup.run("doctor").stdout
    assert "no event Transfr(address,address,uint256) of " in said and meant in said
    assert "an event of the settings was not seen" in trueup.output()


@on_sqlite
def test_an_empty_table_is_no_equal_one(chain, store, trueup, serve):
    """No event was seen, none is meant: the sentence says what would fill the table, and an event ends it."""
    chain.anvil.mine(110)
    client = serve()
    text = trueup.until(lambda: (lambda t: t if t.startswith("The table is empty") else None)(
        client.status()["verdict"]["text"]), "the sentence")
    assert "in the last 100 blocks: Transfer" in text
    chain.world.token.send("mintMany", WALLETS, [5] * len(WALLETS))
    trueup.until(lambda: client.status()["verdict"]["text"].startswith("It equals the chain: each of 12"),
                 "the rows", 30)
    assert not [n for n in client.status()["verdict"]["notes"] if "no event" in n]


# ---- a database that refuses --------------------------------------------------------------------


def test_writes_that_fail_turn_the_light_red(chain, postgres, trueup, tmp_path):
    """Reads go on, so the web process sees nothing: the worker that writes tells. The lag does not read 0."""
    http, client = listening()
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, postgres.url, http=http))
    chain.anvil.mine(3)
    trueup.start()
    trueup.until(lambda: client.answers() and client.ask("/readyz")[0] == 200, "ready", 30)
    name = postgres.one("SELECT current_database()")
    postgres.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'trueup%'")
    started = time.monotonic()
    found = None
    try:
        while not found and time.monotonic() - started < 30 * SLOWNESS:
            chain.world.token.send("mint", WALLETS[0], 5)
            status, _, text = client.ask("/readyz")
            found = text if status == 503 and "read-only" in text else None
            time.sleep(0.2)
        assert found, client.ask("/readyz")
        assert time.monotonic() - started < 12 * SLOWNESS
        metrics = client.metrics()
        assert metrics["trueup_head_block"] > metrics["trueup_synced_block"]
        assert client.status()["verdict"]["state"] == "red" and trueup.run("status", code=1)
        assert client.get("/eth/health")[0] == 500
    finally:
        admin = PostgresStore(postgres.url + "&options=-c%20default_transaction_read_only%3Doff")
        admin.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
        admin.close()
    postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'trueup%'")
    trueup.until(lambda: client.ask("/readyz")[0] == 200, "ready again", 40)


def test_a_role_that_may_only_connect(chain, postgres, trueup, tmp_path):
    role = f"only_connects_{postgres.one('SELECT current_database()')}"
    postgres.sql(f"CREATE ROLE {role} LOGIN")
    postgres.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    try:
        url = postgres.url.replace("postgresql://", "postgres://")
        head, _, rest = url.partition("://")
        rest = rest.split("@")[-1]
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, f"{head}://{role}@{rest}"))
        said = trueup.run("doctor", code=5).stdout
        assert f'GRANT USAGE, CREATE ON SCHEMA public TO "{role}";' in said, said
        trueup.run("migrate", code=5)
    finally:
        postgres.sql(f"DROP ROLE {role}")


# ---- a node that is dead ------------------------------------------------------------------------


@on_sqlite
def test_a_dead_node_is_every_tiles_reason(store, trueup, tmp_path):
    """Nothing listens at its port any more: the first line at once, the light in time, and no worker has
    another reason."""
    anvil = Anvil(tmp_path / "anvil").start()
    try:
        world = World(anvil.rpc).deploy()
        http, client = listening()
        trueup.config = configs.write(tmp_path / "trueup.yaml",
                                      configs.settings(world, anvil.url, store.url, http=http))
        anvil.mine(3)
        trueup.start()
        trueup.until(client.answers, "HTTP to answer")
        world.token.send("mintMany", WALLETS, [5] * len(WALLETS))
        trueup.until(lambda: store.has_table(TABLE) and len(store.rows(TABLE)) == len(WALLETS), "the rows")
        anvil.mine(10)  # so that the sweep has something to read
        trueup.until(lambda: client.status()["refreshed"]["sweep"] > 0, "a tick", 30)
    finally:
        said = len(trueup.output())
        anvil.stop()
    trueup.until(lambda: "endpoint does not answer, it is asked again" in trueup.output()[said:],
                 "the first line", 5)
    trueup.until(lambda: client.ask("/readyz")[0] == 503, "red", 15)
    assert client.status()["verdict"]["state"] == "red" and client.get("/eth/health")[0] == 500
    assert client.metrics()["trueup_connected"] == 0
    trueup.until(lambda: client.status()["sweep"]["failed"] > 0, "a tick that fails", 90)
    lines = trueup.output()[said:].splitlines()
    assert not [line for line in lines if "took too long" in line], lines
    assert "took too long" not in json.dumps(client.status()["workers"])


# ---- HTTP ---------------------------------------------------------------------------------------


@on_sqlite
def test_a_node_that_replays_its_past_is_no_green_one(store, trueup, tmp_path):
    """Blocks flow and every look succeeds, at blocks of two hours ago."""
    anvil = Anvil(tmp_path, extra=["--timestamp", str(int(time.time()) - 7200)]).start()
    try:
        world = World(anvil.rpc).deploy()
        http, client = listening()
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            world, anvil.url, store.url, http=http))
        anvil.mine(3)
        trueup.start()
        trueup.until(client.answers, "HTTP to answer")

        def told():
            anvil.mine(1)
            verdict = client.status()["verdict"]
            return any("old: the node is behind" in r["text"] for r in verdict["reasons"]) and verdict
        assert trueup.until(told, "the status to say so")["state"] == "amber"
        assert client.ask("/readyz")[0] == 200  # what it shows is right for the block that it names
    finally:
        anvil.stop()


@on_sqlite
def test_a_client_that_would_rather_have_http_2(chain, store, trueup, serve):
    """Java's client and curl --http2 ask like this, and take HTTP/1.1 for an answer."""
    client = serve()
    for value in ("h2c", "websocket"):
        with socket.create_connection(("127.0.0.1", client.port), timeout=10) as s:
            for _ in range(2):  # and the connection stays of use
                s.sendall(f"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                          f"Upgrade: {value}\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n".encode())
                answer = b""
                while not answer.endswith(b"ok\n"):
                    part = s.recv(4096)
                    assert part, (value, answer)
                    answer += part
                assert answer.startswith(b"HTTP/1.1 200 "), answer


@on_sqlite
def test_a_mistyped_parameter_is_refused(chain, store, trueup, serve):
    client = serve()
    for path in ("/v1/status?histroy=1", "/v1/drift?limits=5", f"/v1/balances/{BALANCE}?limi=5",
                 f"/v1/balances/{BALANCE}/{WALLETS[0]}?limit=5", "/v1/changes?since=5",
                 "/v1/changes?balance=nope", "/v1/changes?wallet=0x12"):
        status, found = client.get(path)
        assert status == 400 and found["error"], path
    assert client.ask("/livez?whatever=1")[0] == 200


# ---- the feed -----------------------------------------------------------------------------------


def test_the_feed_tells_of_gaps_and_filters(chain, store, trueup, serve, rng):
    client = serve()
    chain.world.mint_all(WALLETS, rng)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    newest = store.one("SELECT max(id) FROM trueup_changes")
    one = Stream(client.port, f"/v1/changes?wallet={WALLETS[3]}&balance={BALANCE}", last=0)
    ahead = Stream(client.port, last=newest + 1000)
    plain = Stream(client.port, last=newest)
    trueup.until(lambda: one.events and ahead.notices[1:] and plain.notices, "the streams")
    assert {e["wallet"] for e in one.events} == {WALLETS[3]}
    assert ahead.notices[1] == ("gap", {"after": newest + 1000, "oldest": 1, "newest": newest})
    assert plain.notices == one.notices == [ahead.notices[0]] and plain.notices[0][0] == "epoch"
    # What was pruned is told, too.
    store.sql("DELETE FROM trueup_changes WHERE id <= 5")
    late = Stream(client.port, last=2)
    trueup.until(lambda: late.notices[1:] and late.events, "the gap")
    assert late.notices[1] == ("gap", {"after": 2, "oldest": 6, "newest": newest})
    assert late.events[0]["id"] == 6
    # The database went back: an open stream is told.
    store.sql("UPDATE trueup_state SET value = 'another' WHERE key = 'epoch'")
    store.sql("DELETE FROM trueup_changes")
    trueup.until(lambda: ("epoch", {"epoch": "another"}) in plain.notices, "the epoch")
    trueup.until(lambda: any(n == "gap" for n, _ in plain.notices), "its gap")
    for stream in (one, ahead, plain, late):
        stream.close()
