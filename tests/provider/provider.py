#!/usr/bin/python3
"""A provider that does what it is told: answers honestly, or plays faults by script.

    provider.py [--port 0] [--forward URL] [--seed N] [--script FILE] [--log FILE]

Prints "listening PORT TLSPORT" when ready and ends when its standard input ends, so that none outlives its
test. Any POST path is JSON-RPC, but for the control path; README.md says how to steer it.
"""

import argparse
import asyncio
import copy
import json
import pathlib
import random
import ssl
import sys
import time

from aiohttp import web

import reply as wire
from answers import Answers, Toy
from faults import FAULTS
from provider_ws import Sockets
from witness import Witness

TLS = pathlib.Path(__file__).parent / "tls"  # for localhost, by an authority of the tests' own
WITNESSED = {"eth_getLogs", "eth_getBlockByNumber", "eth_getBlockByHash"}
REQUEST_MAX = 64 << 20
PARAMS_LOGGED = 8000


class Rule:
    """Plays a fault on the requests it fits: all, or those of `method`, whose text has `match`, whose
    path starts with `path`, with `batch` those of a batch alone; after `skip` of them every `every`-th,
    `times` times, each with `chance`."""

    KEYS = {"fault", "method", "match", "path", "skip", "every", "times", "chance", "args",
            "batch"}

    def __init__(self, row):
        unknown = set(row) - self.KEYS
        if unknown or row.get("fault") not in FAULTS:
            raise ValueError(f"bad rule {row}: {sorted(unknown) or 'no such fault'}")
        self.fault = FAULTS[row["fault"]]
        self.method, self.match, self.path = row.get("method"), row.get("match"), row.get("path")
        self.skip, self.times = row.get("skip", 0), row.get("times")
        self.chance, self.args = row.get("chance", 1.0), row.get("args", {})
        self.every, self.batch = row.get("every", 1), row.get("batch", False)
        self.seen = self.played = 0

    def fits(self, rpc, text, path, rng, in_batch=False):
        if self.batch and not in_batch:
            return False
        if self.method not in (None, rpc.get("method")):
            return False
        if self.path is not None and not path.startswith(self.path):
            return False
        if self.match is not None and self.match not in text:
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.played >= self.times):
            return False
        if (self.seen - self.skip) % self.every:
            return False
        if self.chance < 1 and rng.random() >= self.chance:
            return False
        self.played += 1
        return True

    def state(self):
        return {"fault": self.fault.name, "seen": self.seen, "played": self.played}


class Ask:
    """One request, as a fault sees it (faults.py)."""

    def __init__(self, provider, request, rpc, size):
        self.provider, self.request = provider, request
        self.rpc, self.size = rpc, size
        self.url, self.path = str(request.url), request.path_qs
        self.random = provider.random
        self.args = {}
        self.before = None  # the honest result, as it was before a fault could change it

    async def answer(self):
        answer = await self.provider.answers.honest(self.rpc)
        if self.rpc.get("method") in WITNESSED:
            self.before = copy.deepcopy(answer.get("result"))
        return answer

    async def other(self, method, params):
        return (await self.provider.answers.honest(
            {"jsonrpc": "2.0", "id": 0, "method": method, "params": params}))["result"]

    async def head(self):
        return int(await self.other("eth_blockNumber", []), 16)

    def drop_next(self):
        self.provider.to_drop.add(id(self.request.transport))


class Provider:
    def __init__(self, seed=0, forward=None, log=None):
        self.random = random.Random(seed)
        self.answers = Answers(Toy(seed), forward)
        self.rules, self.records = [], []
        self.call_before = self.call_waiting = None  # fault "swap"
        self.swapped = 0
        self.shown = {}  # block hash -> when its header was first answered (late-index)
        self.withheld = 0  # logs that a backend which lags left out of a valid answer
        self.log = log
        self.started = time.monotonic()
        self.connections, self.to_drop = {}, set()
        self.sockets = Sockets(self)
        self.witness = Witness()
        self.asked_first = {}  # log -> when it was first asked for, how often (fault "lacking-logs")

    # ---- steering

    def control(self, order):
        """Does what an order says; unknown words are an error, so that a typo cannot pass a test."""
        known = {"reset", "rules", "add", "answers", "toy", "forward", "clear_log", "ws"}
        if set(order) - known:
            raise ValueError(f"unknown order {sorted(set(order) - known)}")
        if order.get("reset"):
            self.sockets.control({})
            self.rules, self.records, self.answers.script = [], [], []
        if order.get("clear_log"):
            self.records = []
        if "ws" in order:
            self.sockets.control(order["ws"])
        if "rules" in order:
            self.rules = [Rule(row) for row in order["rules"]]
        self.rules += [Rule(row) for row in order.get("add", [])]
        self.answers.script = order.get("answers", self.answers.script)
        self.answers.forward = order.get("forward", self.answers.forward)
        for name, value in order.get("toy", {}).items():
            if not hasattr(self.answers.toy, name):
                raise ValueError(f"the toy chain has no {name}")
            setattr(self.answers.toy, name, value)
        return {"requests": len(self.records), "connections": len(self.connections),
                "withheld": self.withheld, "swapped": self.swapped, "ws": self.sockets.state(),
                "rules": [r.state() for r in self.rules]}

    # ---- serving

    async def on_control(self, request):
        try:
            return web.json_response(self.control(json.loads(await request.read() or b"{}")))
        except (ValueError, KeyError) as e:
            return web.json_response({"error": str(e)}, status=400)

    async def on_log(self, request):
        return web.Response(text="".join(json.dumps(r) + "\n" for r in self.records))

    async def on_events(self, request):
        return web.json_response(self.witness.told())

    def connection(self, request):
        # The transport is kept, so that its id is not used again.
        row = (len(self.connections) + 1, request.transport)
        return self.connections.setdefault(id(request.transport), row)[0]

    async def on_rpc(self, request):
        body = await request.read()
        connection = self.connection(request)
        if id(request.transport) in self.to_drop:
            self.to_drop.discard(id(request.transport))
            self.record(request, connection, {}, len(body), ["dropped"], None, 0)
            request.transport.close()
            return web.Response()
        try:
            rpc = json.loads(body)
        except ValueError:
            rpc = None
        if isinstance(rpc, list):
            return await self.answer_batch(request, connection, rpc, body)
        if not isinstance(rpc, dict):
            return web.json_response({"jsonrpc": "2.0", "id": None,
                                      "error": {"code": -32700, "message": "parse error"}})
        return await self.answer_one(request, connection, rpc, body)

    async def answer_one(self, request, connection, rpc, body):
        ask, asked, reply = await self.reply_to(request, connection, rpc, body)
        delivered = await wire.deliver(request, reply)
        self.note(ask, asked, reply)
        return delivered

    async def answer_batch(self, request, connection, calls, body):
        """A rule of method "batch" is about the whole. Else each call has its own answer under its own rules;
        the first that is no plain answer is the whole batch's."""
        if any(rule.method == "batch" for rule in self.rules):
            whole = {"jsonrpc": "2.0", "id": None, "method": "batch"}
            _, _, reply = await self.reply_to(request, connection, whole, json.dumps(whole).encode(), "batch")
            if reply is not None:
                return await wire.deliver(request, reply)
        parts = [await self.reply_to(request, connection, rpc, json.dumps(rpc).encode(), in_batch=True)
                 for rpc in calls]
        for row in self.records[-len(calls):]:
            row["batch"] = len(calls)
        replies = [reply for _, _, reply in parts]
        odd = [r for r in replies if r.status != 200 or r != wire.Reply(body=r.body, delay_s=r.delay_s)]
        reply = odd[0] if odd else wire.Reply(body=b"[" + b",".join(r.body for r in replies) + b"]",
                                              delay_s=max(r.delay_s for r in replies))
        delivered = await wire.deliver(request, reply)
        for ask, asked, part in parts:
            self.note(ask, asked, part)
        return delivered

    async def reply_to(self, request, connection, rpc, body, only=None, in_batch=False):
        """What a call is answered, as the rules have it; None for `only` where no rule of that method fits."""
        asked = json.loads(body)  # changes alter rpc, the log keeps what was asked
        ask = Ask(self, request, rpc, len(body))
        names, play = [], None
        for rule in self.rules:
            if play is not None and rule.fault.kind == "play":
                continue
            if only is not None and rule.method != only:
                continue
            if not rule.fits(asked, body.decode(errors="replace"), ask.path, self.random, in_batch):
                continue
            names.append(rule.fault.name)
            if rule.fault.kind == "play":
                play = rule
            else:
                ask.args = rule.args
                await rule.fault.run(ask)
        if play is None and only is not None:
            return ask, asked, None
        if play is None:
            reply = wire.as_json(await ask.answer())
        else:
            ask.args = play.args
            reply = await play.fault.run(ask)
        # Recorded before it is sent: who has the answer can rely on finding it in the log.
        self.record(request, connection, asked, len(body), names, reply.status,
                    len(reply.body) * reply.repeat)
        return ask, asked, reply

    def note(self, ask, asked, reply):
        if ask.before is not None and ask.request.transport is not None:
            self.witness.note(asked, ask.before, reply)

    def record(self, request, connection, rpc, size, names, status, out):
        params = json.dumps(rpc.get("params"))
        row = {"n": len(self.records) + 1,
               "at_ms": round((time.monotonic() - self.started) * 1000),
               "connection": connection, "path": request.path_qs,
               "encoding": request.headers.get("Accept-Encoding", ""),
               "method": rpc.get("method"), "id": rpc.get("id"),
               "params": rpc.get("params") if len(params) <= PARAMS_LOGGED else params[:PARAMS_LOGGED],
               "bytes_in": size, "faults": names, "status": status, "bytes_out": out}
        self.records.append(row)
        if self.log:
            self.log.write(json.dumps(row) + "\n")
            self.log.flush()

    def app(self):
        app = web.Application(client_max_size=REQUEST_MAX)
        app.router.add_post("/_control", self.on_control)
        app.router.add_get("/_log", self.on_log)
        app.router.add_get("/_events", self.on_events)
        app.router.add_post("/{path:.*}", self.on_rpc)
        app.router.add_get("/{path:.*}", self.sockets.serve)
        return app


async def stdin_closed():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass


async def serve(args):
    log = open(args.log, "w", encoding="utf-8") if args.log else None
    provider = Provider(args.seed, args.forward, log)
    if args.script:
        with open(args.script, encoding="utf-8") as f:
            provider.control(json.load(f))
    runner = web.AppRunner(provider.app(), access_log=None, keepalive_timeout=3600)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", args.port, shutdown_timeout=0.1)
    await site.start()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    secure = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls, shutdown_timeout=0.1)
    await secure.start()
    print("listening", *(s._server.sockets[0].getsockname()[1] for s in (site, secure)), flush=True)
    await stdin_closed()
    await provider.answers.close()


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--port", type=int, default=0)
    words.add_argument("--forward", help="a real node's URL")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--script", help="a file with one control order")
    words.add_argument("--log", help="every request as a line of JSON")
    try:
        asyncio.run(serve(words.parse_args()))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
