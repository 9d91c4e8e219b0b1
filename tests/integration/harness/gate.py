"""A gateway of a few lines between the daemon and its node, for answers that only Python can make up: bytes
as they go over the wire, a cache that mixes up its keys, a fork in the middle of a question. What the scripted
provider can play, it plays.

    from harness.deep import deployed  # noqa: F401
    from harness.gate import follow, gates  # noqa: F401
    web = follow([gates[0]]); gates[0].bend = lambda rpc, answer: …
"""

import collections
import contextlib
import http.server
import json
import threading
import time

import pytest

from . import config as configs
from .checks import wrong_rows
from .config import BALANCE, TABLE
from .node import free_port
from .rpc import Rpc
from .web import Http
from .world import wallet

WALLETS = [wallet(9000 + i) for i in range(60)]
DEPTH = 12  # of finality, in blocks


class Raw:
    """Bytes for the wire as they are: the head of the HTTP answer included."""

    def __init__(self, data, close=True):
        self.data, self.close = data, close


class Gate:
    """A gateway: asks the node, and answers what `bend(rpc, answer)` makes of it. `before(rpc)` may change
    the question, or wait. Counts what was bent, so that no test passes because nothing was."""

    def __init__(self, node_url):
        self.node = Rpc(node_url)
        self.bend = self.before = None
        self.played, self.failed = 0, None
        self.asked = collections.Counter()
        gate = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                with contextlib.suppress(ConnectionError):
                    gate.serve(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, block_on_close, request_queue_size = True, False, 64

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def serve(self, handler, body):
        asked = json.loads(body)
        several = isinstance(asked, list)
        answers = [self.answer(rpc) for rpc in (asked if several else [asked])]
        raw = next((a for a in answers if isinstance(a, Raw)), None)
        if raw is None:
            raw = plain(json.dumps(answers if several else answers[0]).encode())
        handler.close_connection = raw.close
        handler.wfile.write(raw.data)

    def answer(self, rpc):
        self.asked[rpc["method"]] += 1
        question = json.loads(json.dumps(rpc))
        if self.before is not None:
            question = self.before(question) or question
        answer = {**self.node._post(question), "id": rpc["id"]}
        if self.bend is None:
            return answer
        try:
            bent = self.bend(rpc, json.loads(json.dumps(answer)))
        except Exception as e:
            self.failed = self.failed or f"{type(e).__name__}: {e} at {rpc}"[:500]
            raise
        self.played += bent is not None and bent != answer
        return answer if bent is None else bent

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def plain(body, status="200 OK", *headers):
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return Raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body, close=False)


# ---- fixtures ------------------------------------------------------------------------------------------


@pytest.fixture
def gates(chain):
    made = [Gate(chain.anvil.url), Gate(chain.anvil.url)]
    yield made
    for gate in made:
        gate.close()
        assert gate.failed is None, gate.failed


@pytest.fixture
def follow(chain, store, trueup, tmp_path):
    """Starts the daemon behind these gates, hardly ever sweeping: follow([a, b]) -> its HTTP."""
    def start(behind, freshness="500ms", finality=DEPTH, sweep="1h", mine=DEPTH, reader=None, ready=True,
              bend=None, **changes):
        endpoints = [{"name": f"p{i}", "url": g.url, "ws": "off", **({"reader": reader} if reader else {})}
                     for i, g in enumerate(behind)]
        port = free_port()
        chain.anvil.mine(mine)
        more = {"freshness": freshness} if freshness else {}
        settings = configs.settings(chain.world, behind[0].url, store.url, sweep={"interval": sweep},
                                    http={"listen": f"127.0.0.1:{port}"},
                                    chain={"endpoints": endpoints, "finality": finality, **more}, **changes)
        if bend is not None:
            bend(settings)
        if not freshness:
            settings["chain"].pop("freshness")
        if finality is None:
            settings["chain"].pop("finality")
        trueup.config = configs.write(tmp_path / "trueup.yaml", settings)
        trueup.start()
        if ready:
            trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "the first look")
        return Http(port)
    return start


# ---- questions and answers -----------------------------------------------------------------------------


def logs_of(rpc, answer):
    """The logs of an answer to eth_getLogs, else None."""
    result = answer.get("result")
    return result if rpc["method"] == "eth_getLogs" and isinstance(result, list) else None


def filter_of(rpc):
    return rpc["params"][0]


def span(rpc):
    asked = filter_of(rpc)
    return (int(asked["fromBlock"], 16), int(asked["toBlock"], 16)) if "fromBlock" in asked else None


def number(log):
    return int(log["blockNumber"], 16)


def number_of(header):
    return int(header["number"], 16)


def text_of(answer):
    return json.dumps(answer)


def error_of(**error):
    return lambda rpc, answer: {"jsonrpc": "2.0", "id": rpc["id"], "error": error}


def mint_sent(chain, who, amount):
    return {"from": "0x" + "d0" * 20, "to": chain.world.token.address, "gas": hex(200_000), "gasPrice": "0x0",
            "data": chain.world.token.data("mint", who, amount)}


# ---- what is waited for --------------------------------------------------------------------------------


def mint_apart(chain, n, blocks):
    """Events of the first n wallets, so many blocks before each."""
    for i in range(n):
        chain.anvil.mine(blocks)
        chain.world.token.send("mint", WALLETS[i], 5 + i)


def lights(web):
    with contextlib.suppress(OSError):
        return web.ask("/readyz")[0], web.ask("/readyz")[2][:300]
    return None


def until_right(chain, store, trueup, web, wallets, seconds):
    """Every wallet has a row with what the chain says at its head."""
    began = time.monotonic()
    truth = chain.truth.read(wallets)

    def wrong():
        rows = store.rows(TABLE)
        return [(w, rows[w].balance if w in rows else None, v) for w, v in truth.items()
                if w not in rows or rows[w].balance != v]

    try:
        trueup.until(lambda: not wrong(), "the rows to be right", seconds)
    except AssertionError as e:
        raise AssertionError(f"{len(wrong())} wrong, such as {wrong()[:2]}; readyz {lights(web)}\n{e}") from None
    return time.monotonic() - began


def until_truth(chain, store, trueup, wallets, seconds):
    """All rows right at the head, and these there."""
    def right():
        rows = store.rows(TABLE)
        truth = chain.truth.read(rows)
        return all(w in rows for w in wallets) and all(rows[w].balance == truth[w] for w in rows)
    trueup.until(right, "all rows to be right", seconds)
    return store.rows(TABLE)


def no_wrong_row(chain, store):
    assert not wrong_rows(store, chain.truth)


def usual(table, names):
    """The keys of a table of odd things as parameters: these in every run, the others by night."""
    return [k if k in names else pytest.param(k, marks=pytest.mark.night) for k in table]
