"""Where honest answers come from: a script, a real node, or a toy chain of our own.

The toy chain is enough to ask headers and calls of, needs no node and is the same in every run: block
n's hash is a function of the seed, n and the branch. eth_call at a block it has gives `call_result`, or
with "number" the block's number, with "gas" the gas it was given, with "data" its call data; at an unknown
hash it is refused as geth does.
"""

import copy
import hashlib
import json

import aiohttp
from aiohttp import web

from reply import rpc_error, rpc_result


class Toy:
    def __init__(self, seed=0, head=100, chain_id=1, period=12):
        self.seed, self.head, self.chain_id, self.period = seed, head, chain_id, period
        self.finalized = max(0, head - 64)
        self.branch = ""
        self.call_result = "0x"

    def hash(self, number):
        text = f"{self.seed}/{self.branch if number else ''}/{number}"
        return "0x" + hashlib.sha256(text.encode()).hexdigest()

    def header(self, number):
        if not 0 <= number <= self.head:
            return None
        return {
            "number": hex(number),
            "hash": self.hash(number),
            "parentHash": self.hash(number - 1) if number else "0x" + "00" * 32,
            "timestamp": hex(1_700_000_000 + number * self.period),
            "logsBloom": "0x" + "00" * 256,
        }

    def number(self, block):
        """The number a block parameter means, or None."""
        tags = {"latest": self.head, "pending": self.head, "earliest": 0,
                "safe": self.finalized, "finalized": self.finalized}
        if isinstance(block, dict):
            if "blockNumber" in block:
                return self.number(block["blockNumber"])
            wanted = block.get("blockHash")
            return next((n for n in range(self.head + 1) if self.hash(n) == wanted), None)
        return tags[block] if block in tags else int(block, 16)

    def answer(self, rpc):
        method, params = rpc.get("method"), rpc.get("params") or []
        if method == "eth_chainId":
            return rpc_result(rpc, hex(self.chain_id))
        if method == "eth_blockNumber":
            return rpc_result(rpc, hex(self.head))
        if method == "eth_getBlockByNumber":
            return rpc_result(rpc, self.header(self.number(params[0])))
        if method == "eth_getBlockByHash":
            number = self.number({"blockHash": params[0]})
            return rpc_result(rpc, None if number is None else self.header(number))
        if method == "eth_call":
            number = self.number(params[1] if len(params) > 1 else "latest")
            if number is None or number > self.head:
                return rpc_error(rpc, -32000, "header for hash not found")
            if self.call_result == "data":  # as precompile 0x04 does
                return rpc_result(rpc, params[0]["data"])
            words = {"number": number, "gas": int(params[0].get("gas", "0x0"), 16)}
            if self.call_result in words:
                return rpc_result(rpc, f"0x{words[self.call_result]:064x}")
            return rpc_result(rpc, self.call_result)
        if method == "eth_getLogs":
            return rpc_result(rpc, [])
        if method == "toy_hex":  # a string of so many hex digits, for sizes
            return rpc_result(rpc, "0x" + "ab" * (params[0] // 2))
        return rpc_error(rpc, -32601, f"the method {method} does not exist/is not available")


class Answers:
    def __init__(self, toy, forward=None):
        self.toy, self.forward = toy, forward
        self.script = []  # [{"method", "params"?, "result" | "error"}], first fit wins
        self.session = None

    async def honest(self, rpc):
        for row in self.script:
            if row.get("method") not in (None, rpc.get("method")):
                continue
            if "params" in row and row["params"] != rpc.get("params"):
                continue
            if "error" in row:
                return {"jsonrpc": "2.0", "id": rpc.get("id"), "error": row["error"]}
            return rpc_result(rpc, copy.deepcopy(row.get("result")))  # a fault may bend it
        if self.forward is None:
            return self.toy.answer(rpc)
        return await self.ask_node(rpc)

    async def ask_node(self, rpc):
        if self.session is None:
            self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120))
        try:
            async with self.session.post(self.forward, json=rpc) as got:
                return json.loads(await got.read())
        except aiohttp.ClientError:
            raise web.HTTPBadGateway(text="the node behind is away") from None

    async def close(self):
        if self.session is not None:
            await self.session.close()
