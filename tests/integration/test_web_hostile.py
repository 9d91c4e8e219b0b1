"""Clients that are slow, rude or many: the daemon goes on following, and others are still answered."""

import random
import socket
import time

import pytest

from harness import config as configs
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.daemon import WATCHED
from harness.web import Stream, listening, timed
from harness.world import wallet

pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
CONNECTIONS, STREAMS, HOSTILE = 256, 64, 10_000


@pytest.fixture
def client(chain, store, trueup, tmp_path):
    settings, client = listening()
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, store.url, http=settings))
    trueup.start()
    trueup.until(client.answers, "HTTP to answer")
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    return client


def connect(port):
    s = socket.socket()
    s.settimeout(5)
    s.connect(("127.0.0.1", port))
    return s


def raw(port, text, seconds=12):
    """What comes back until the server hangs up, or b'' when it just hangs up."""
    s = connect(port)
    s.settimeout(seconds)
    got = b""
    try:
        s.sendall(text)
        while True:
            part = s.recv(65536)
            if not part:
                break
            got += part
            if b"\r\n\r\n" in got and b"keep" not in got and len(got) > 4096:
                break
    except OSError:
        pass
    finally:
        s.close()
    return got


def descriptors(pid):
    import os
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid):
    """kB; none of the program's own can be told where something that watches it keeps books."""
    if WATCHED:
        return 0
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


OPENINGS = [
    b"", b"GET /v1/st", b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX: ", b"\x16\x03\x01\x02",
    b"POST /v1/balances/audio HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{",
    b"POST /v1/balances/audio HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n{",
    b"NONSENSE\r\n\r\n", b"\0" * 64, b"GET /" + b"a" * 6000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
    b"GET /v1/changes HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.alone
def test_ten_thousand_hostile_connections(chain, store, trueup, client, rng):
    """They come as fast as they can, most stay open and say no more, some trickle a byte at a time;
    meanwhile a block is mined now and then, and others ask for the page."""
    web = trueup.worker("web")
    before = memory(web)
    held, slowest, minted = [], 0, 0
    for i in range(HOSTILE):
        s = connect(client.port)
        held.append(s)
        try:
            s.send(rng.choice(OPENINGS))
            held[rng.randrange(len(held))].send(b"x")
        except OSError:
            pass  # it was let go: all the better
        if len(held) > 900:
            held.pop(rng.randrange(len(held))).close()
        if i % 1000 == 500:
            for path in ("/livez", "/", "/v1/status"):
                (status, *_), took = timed(lambda: client.ask(path))
                assert status == 200
                slowest = max(slowest, took)
            chain.world.token.send("mint", wallet(1), 77)
            minted += 77
            trueup.until(lambda: wallet(1) in store.rows(TABLE) and
                         store.rows(TABLE)[wallet(1)].balance == minted, "the event to be followed", 10)
    assert slowest < 3, f"another client waited {slowest:.1f} s"
    # With hundreds still held open.
    assert client.get(f"/v1/balances/{BALANCE}/{wallet(1)}")[1]["balance"] == str(minted)
    assert descriptors(web) < CONNECTIONS + 64
    assert memory(web) - before < 20_000, "kB"
    for s in held:
        s.close()
    assert trueup.worker("web") == web, "the same process all along"
    assert client.metrics()["trueup_http_refused_total"] > 0


def test_what_is_too_large_or_malformed(client, trueup):
    port = client.port
    assert raw(port, b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 20000 + b"\r\n\r\n").startswith(
        (b"", b"HTTP/1.1 4"))
    long_path = raw(port, b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert long_path == b"" or long_path.startswith(b"HTTP/1.1 4")
    big = raw(port, b"POST /v1/balances/audio HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n")
    assert big.startswith(b"HTTP/1.1 413")
    none = raw(port, b"POST /v1/balances/audio HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert none.startswith(b"HTTP/1.1 411")
    for bad in (b"GET\r\n\r\n", b"\r\n\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                b"GET /%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                b"GET /?%zz=%1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
        assert b"root:" not in raw(port, bad, 7)
        assert client.answers(), bad
    # A body that never comes does not hold its place for ever.
    s = connect(port)
    s.settimeout(40)
    s.sendall(b"GET /livez HTT")
    assert timed(lambda: s.recv(10))[1] < 20
    s.close()
    trueup.alive()


def test_too_many_streams_are_refused_until_one_hangs_up(client, trueup):
    streams = [Stream(client.port) for _ in range(STREAMS)]
    assert all(s.head[0] == "HTTP/1.1 200 OK" for s in streams)
    assert client.ask("/v1/changes")[0] == 503
    assert client.answers()
    for s in streams:
        s.close()
    # Noticed by itself, not by the next thing there is to say to them.
    trueup.until(lambda: Stream(client.port).head[0] == "HTTP/1.1 200 OK", "a place to be free", 5)


def test_a_reader_that_fetches_nothing_is_let_go(client, store, trueup):
    web = trueup.worker("web")
    before = memory(web), client.metrics()["trueup_http_refused_total"]
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", client.port))
    slow.sendall(b"GET /v1/changes HTTP/1.1\r\nHost: x\r\n\r\n")
    assert slow.recv(15) == b"HTTP/1.1 200 OK"
    store.script(  # more than all buffers in between can take
        "INSERT INTO trueup_changes (balance, wallet, old, new, block, cause, at) "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000) "
        f"SELECT '{BALANCE}', '{wallet(1)}', '1', printf('%080d', i), 1, 'event', CURRENT_TIMESTAMP FROM n")
    trueup.until(lambda: client.metrics()["trueup_http_refused_total"] > before[1], "it to be let go", 20)
    assert memory(web) - before[0] < 20_000, "kB"
    slow.close()


def test_random_bytes(client, trueup, rng):
    for _ in range(300):
        s = connect(client.port)
        try:
            s.sendall(rng.choice([b"", b"GET ", b"POST /v1/balances/audio HTTP/1.1\r\n"]) +
                      rng.randbytes(rng.randrange(1, 400)) + rng.choice([b"", b"\r\n\r\n"]))
        except OSError:
            pass
        s.close()
    assert client.answers()
    assert client.metrics()['trueup_worker_restarts_total{worker="web",reason="signal"}'] == 0
