"""Following by WebSocket: pushes only make it quicker. With a socket that is slow, silent, lying or not
there at all, every row is as right as by polling."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_connection

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, until_at_rest
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.provider import provider  # noqa: F401
from harness.world import wallet

WALLETS = [wallet(i) for i in range(40)]

# For what is between the daemon and its node alone: once is enough.
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def live(chain, store, trueup, tmp_path):
    """Starts the daemon with a WebSocket: live(ws=URL, url=URL, poll=…)."""
    def start(*arguments, ws=None, url=None, poll="1h", **changes):
        settings = configs.settings(chain.world, url or chain.anvil.url, store.url, **changes)
        settings["chain"]["endpoints"][0]["ws"] = ws or chain.anvil.ws
        settings["chain"]["freshness"] = poll
        trueup.config = configs.write(tmp_path / "trueup.yaml", settings)
        trueup.start(*arguments)
        trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
        return trueup
    return start


def read_at(trueup, store, who, block, seconds=20):
    trueup.until(lambda: who in store.rows(TABLE) and store.rows(TABLE)[who].blocknumber == block,
                 f"{who} to be read for block {block}", seconds)


def test_pushes_alone_keep_up(chain, store, live):
    """Polled once an hour: whatever is followed is followed because it was pushed."""
    trueup = live()
    trueup.until_log("subscription established")
    for i in range(5):
        chain.world.token.send("mint", WALLETS[i], 5)
        read_at(trueup, store, WALLETS[i], chain.rpc.number())
    assert trueup.stop() == 0


@on_sqlite
def test_what_came_while_it_was_away(chain, store, live, trueup):
    """Row of the first user: a subscription, and catching up on what came before it; here without a
    gap between the two. Listen dies and comes back: nobody announced the blocks between."""
    live()
    trueup.until_log("subscription established")
    said = len(trueup.output())
    trueup.kill("listen")
    chain.world.token.send("mint", WALLETS[0], 5)
    trueup.until_log("subscription established", start=said)
    read_at(trueup, store, WALLETS[0], chain.rpc.number())


@on_sqlite
def test_follow_dies_and_hints_wait(chain, store, live, trueup):
    live()
    trueup.until_log("subscription established")
    trueup.kill("follow")
    chain.world.token.send("mint", WALLETS[0], 5)
    read_at(trueup, store, WALLETS[0], chain.rpc.number())
    chain.world.token.send("mint", WALLETS[1], 5)
    read_at(trueup, store, WALLETS[1], chain.rpc.number())


@on_sqlite
@pytest.mark.parametrize("ws", ["off", "ws://127.0.0.1:9", "ws://no-such-host.invalid", "wss://127.0.0.1:9"])
def test_without_a_socket_it_polls(chain, store, live, trueup, rng, ws):
    live(ws=ws, poll="100ms")
    for i in range(3):
        chain.world.token.send("mint", WALLETS[i], 5)
        read_at(trueup, store, WALLETS[i], chain.rpc.number())
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:3])
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:3])
    assert "subscription established" not in trueup.output()
    assert ("listen" in trueup.workers()) == (ws != "off")
    assert trueup.stop() == 0


@on_sqlite
def test_a_reorg_is_pushed(chain, store, live, trueup):
    live(chain={"finality": 12})
    trueup.until_log("subscription established")
    chain.world.token.send("mint", WALLETS[0], 5)
    read_at(trueup, store, WALLETS[0], chain.rpc.number())
    chain.anvil.reorg(1)
    chain.world.token.send("mint", WALLETS[1], 5)
    read_at(trueup, store, WALLETS[1], chain.rpc.number())
    trueup.until(lambda: store.rows(TABLE)[WALLETS[0]].balance == 0, "the dropped block to be undone", 20)


# ---- sockets that misbehave ---------------------------------------------------------------------------

TLS = Path(__file__).resolve().parents[1] / "provider" / "tls"
ODD_HEAD = '{"jsonrpc":"2.0","method":"eth_subscription","params":{"result":{"number":"zz"}}}'


def socket_of(provider):  # noqa: F811
    return provider.url.replace("http", "ws", 1)


def seen(provider):  # noqa: F811
    return provider.order()["ws"]


@on_sqlite
@pytest.mark.parametrize("fault", [
    {"duplicate": True}, {"removed": True}, {"delay": 0.2}, {"fragment": 7}, {"omit-logs": True},
    {"omit-heads": True}, {"refuse-logs": True}, {"error-null": True},
    {"bend": {"set": {"logIndex": None, "data": None}}}, {"early": {"number": "0x1"}}, {"oversize": 1 << 20}],
    ids=lambda f: next(iter(f)))
def test_pushes_that_still_serve(chain, store, live, trueup, provider, fault):  # noqa: F811
    """Polled once an hour: what is pushed, however oddly, is enough."""
    provider.order(ws=fault)
    live(ws=socket_of(provider))
    trueup.until_log("subscription established")
    for i in range(4):
        chain.world.token.send("mint", WALLETS[i], 5)
        read_at(trueup, store, WALLETS[i], chain.rpc.number())
    assert seen(provider)["opened"] == 1
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:4])


@on_sqlite
@pytest.mark.parametrize("fault, words", [
    ({"refuse": 429}, "WebSocket closed"),
    ({"refuse-heads": True}, "the endpoint refuses: subscriptions of this kind are not served"),
    ({"silent": "eth_chainId"}, "no answer within"),
    ({"silent": "eth_subscribe"}, "no answer within"),
    ({"chain": 5}, "the endpoint's chain id is 5, but ours is 31337"),
    ({"garbage": "<html>"}, "a message that is no JSON"),
    ({"garbage": "[1]"}, None), ({"garbage": "{}"}, None), ({"garbage": ODD_HEAD}, "cannot be read"),
    ({"oversize": 9 << 20}, "a message of more than"),
    ({"mute": True}, "no answer within"), ({"stall": True}, None)], ids=str)
def test_sockets_of_no_use(chain, store, live, trueup, provider, fault, words):  # noqa: F811
    """Whatever it does, there is the poll."""
    provider.order(ws=fault)
    live(ws=socket_of(provider), poll="auto")
    for i in range(3):
        chain.world.token.send("mint", WALLETS[i], 5)
        read_at(trueup, store, WALLETS[i], chain.rpc.number(), 25)
    if words:
        trueup.until_log(words, 20)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:3])
    assert seen(provider)["opened"] <= 8, "it comes back with patience"
    assert "worker died" not in trueup.output()


@pytest.mark.alone
@on_sqlite
@pytest.mark.parametrize("fault", ["stall", "mute"])
def test_a_silent_stall_is_noticed(chain, store, live, trueup, provider, fault):  # noqa: F811
    """Open, and pings may even be answered, but no block comes: replaced within three block times and
    five seconds."""
    live(ws=socket_of(provider), poll="auto")
    trueup.until_log("subscription established")
    chain.rpc.call("evm_setIntervalMining", 1)
    try:
        before = seen(provider)["pushes"]
        trueup.until(lambda: seen(provider)["pushes"] >= before + 6, "the block time to be learnt")
        said = len(trueup.output())
        provider.order(ws={fault: "old"})
        began = time.monotonic()
        trueup.until_log("subscription established", 20, said)
        assert time.monotonic() - began <= 8 + 1.5, "and what this loop adds"
        # The new one works.
        chain.world.token.send("mint", WALLETS[0], 5)
        trueup.until(lambda: WALLETS[0] in store.rows(TABLE), "the wallet to be read")
    finally:
        chain.rpc.call("evm_setIntervalMining", 0)
        chain.anvil.automine(True)


@on_sqlite
def test_another_chain_after_a_reconnect(chain, store, live, trueup, provider):  # noqa: F811
    """Not a hint is taken from it; when our chain is back, so are the pushes."""
    live(ws=socket_of(provider), poll="auto")
    trueup.until_log("subscription established")
    provider.order(ws={"chain": 5, "close": 1001})
    trueup.until_log("the endpoint's chain id is 5, but ours is 31337")
    asked = len(seen(provider)["asked"])
    chain.world.token.send("mint", WALLETS[0], 5)
    read_at(trueup, store, WALLETS[0], chain.rpc.number(), 20)
    assert {a["method"] for a in seen(provider)["asked"][asked:]} <= {"eth_chainId"}, "nothing is subscribed"
    said = len(trueup.output())
    provider.order(ws={})
    trueup.until_log("subscription established", 30, said)
    chain.world.token.send("mint", WALLETS[1], 5)
    read_at(trueup, store, WALLETS[1], chain.rpc.number())


@on_sqlite
@pytest.mark.parametrize("how", [{"close": 1001}, {"close": 1008}, {"reset": True}], ids=str)
def test_dropped_connections_come_back(chain, store, live, trueup, provider, how):  # noqa: F811
    """Row of the first user: it reconnects after a second, and later again."""
    live(ws=socket_of(provider))
    for i in range(3):
        trueup.until_log("subscription established", start=0 if i == 0 else said)
        said = len(trueup.output())
        provider.order(ws=how)
        chain.world.token.send("mint", WALLETS[i], 5)
        read_at(trueup, store, WALLETS[i], chain.rpc.number(), 20)


# ---- logs that only the push had ------------------------------------------------------------------------


@on_sqlite
def test_logs_left_out_of_the_answer(chain, store, live, trueup, provider):  # noqa: F811
    """However often an answer without it was believed: it was pushed, so its block is asked again."""
    live(url=provider.url, sweep={"interval": "1h"})
    trueup.until_log("subscription established")
    chain.world.token.send("mint", WALLETS[0], 5)
    read_at(trueup, store, WALLETS[0], chain.rpc.number())
    assert "missing from the answer" not in trueup.output()
    provider.rules({"fault": "omit-logs", "method": "eth_getLogs", "times": 3})
    chain.world.token.send("mint", WALLETS[1], 5)
    read_at(trueup, store, WALLETS[1], chain.rpc.number(), 20)
    trueup.until_log("logs that were pushed are missing from the answer, asking again")


@on_sqlite
def test_logs_cut_off_an_answer(chain, store, live, trueup, provider):  # noqa: F811
    """One of two logs of one contract, and the bloom cannot tell: but both were pushed."""
    live(url=provider.url, sweep={"interval": "1h"})
    trueup.until_log("subscription established")
    provider.rules({"fault": "cut-logs", "method": "eth_getLogs", "times": 1})
    chain.world.token.send("mintMany", WALLETS[:2], [5, 6])
    read_at(trueup, store, WALLETS[1], chain.rpc.number(), 20)
    assert store.rows(TABLE)[WALLETS[0]].blocknumber == chain.rpc.number()


@on_sqlite
def test_logs_in_no_answer(chain, store, live, trueup, provider):  # noqa: F811
    """It is not asked for ever: the second look asks again."""
    live(url=provider.url, sweep={"interval": "1h"})
    trueup.until_log("subscription established")
    provider.rules({"fault": "omit-logs", "method": "eth_getLogs"})
    chain.world.token.send("mint", WALLETS[1], 5)
    trueup.until_log("logs that were pushed are in no answer, their wallets are read", 40)
    head = chain.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) >= head, "it to go on")
    asked = len(provider.log())
    chain.anvil.mine(2)
    trueup.until(lambda: store.synced(BALANCE) >= head + 2, "it to go on")
    assert len(provider.log()) < asked + 20


# ---- TLS and proxies ----------------------------------------------------------------------------------


@on_sqlite
@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
def test_tls(chain, store, live, trueup, provider, trusted):  # noqa: F811
    if trusted:
        trueup.env["SSL_CERT_FILE"] = str(TLS / "ca.pem")
    live(ws=f"wss://localhost:{provider.tls_port}/v2/hushhush", poll="1h" if trusted else "100ms")
    chain.world.token.send("mint", WALLETS[0], 5)
    trueup.until_log("subscription established" if trusted else "WebSocket closed")
    read_at(trueup, store, WALLETS[0], chain.rpc.number())
    assert ("subscription established" in trueup.output()) == trusted
    assert seen(provider)["opened"] == trusted
    assert "hushhush" not in trueup.output()


class Tunnel(BaseHTTPRequestHandler):
    """An HTTP proxy that knows CONNECT and nothing else."""

    def do_CONNECT(self):
        host, port = self.path.split(":")
        self.server.asked.append(self.path)
        there = create_connection(("127.0.0.1", int(port)))
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        def pump(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
            except OSError:
                pass
            b.close()

        threading.Thread(target=pump, args=(there, self.connection), daemon=True).start()
        pump(self.connection, there)

    def log_message(self, *_):
        pass


@on_sqlite
@pytest.mark.parametrize("no_proxy", [None, "node.example"], ids=["proxy", "no-proxy"])
def test_proxy(chain, store, live, trueup, provider, no_proxy):  # noqa: F811
    with ThreadingHTTPServer(("127.0.0.1", 0), Tunnel) as proxy:
        proxy.asked, proxy.daemon_threads = [], True
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        trueup.env["all_proxy"] = f"http://127.0.0.1:{proxy.server_port}"
        trueup.env["no_proxy"] = "127.0.0.1" + (f",{no_proxy}" if no_proxy else "")
        # The name is nobody's: only the proxy can make something of it.
        live(ws=f"ws://node.example:{provider.port}", poll="100ms")
        if no_proxy:
            trueup.until_log("WebSocket closed")
        else:
            trueup.until_log("subscription established")
        assert bool(proxy.asked) == (no_proxy is None)
        proxy.shutdown()
