"""The provider's WebSocket: each connection is joined to one of the node's own, and what goes through is
bent as told. Faults are switches, on until they are changed (README.md has the table):

    control {"ws": {"stall": true}}       merges into the switches; null or false switches one off
    control {"ws": {"stall": "old"}}      only on the connections that are open now
    control {"ws": {}}                    all off
    control {"ws": {"close": 1001}}       acts at once on every connection, and is no switch
"""

import asyncio
import json
import socket
import struct

import aiohttp
from aiohttp import web

SWITCHES = {"refuse", "stall", "mute", "chain", "duplicate", "omit-logs", "omit-heads", "removed", "garbage",
            "fragment", "oversize", "delay", "refuse-logs", "refuse-heads", "early", "silent", "error-null", "bend",
            "bend-heads"}
ACTS = {"close", "reset"}


def frame(opcode, payload, final):
    """RFC 6455 section 5.2, from a server: not masked."""
    head = bytes([(0x80 if final else 0) | opcode])
    n = len(payload)
    if n < 126:
        return head + bytes([n]) + payload
    if n < 65536:
        return head + bytes([126]) + struct.pack("!H", n) + payload
    return head + bytes([127]) + struct.pack("!Q", n) + payload


def push_of(message):
    """A pushed head or log, or None."""
    return message.get("params", {}).get("result") if message.get("method") == "eth_subscription" else None


class Joint:
    """One client's connection and the node's behind it."""

    def __init__(self, sockets, request, client):
        self.sockets, self.request, self.client = sockets, request, client
        self.number = sockets.opened
        self.asked = {}  # id -> method and parameters

    def on(self, switch):
        value = self.sockets.switches.get(switch)
        return value if value != "old" or self.number <= self.sockets.old else None

    async def send(self, message):
        text = message if isinstance(message, str) else json.dumps(message)
        if self.on("fragment"):
            self.send_fragments(text.encode(), self.on("fragment"))
        else:
            await self.client.send_str(text)

    def send_fragments(self, payload, size):
        """With a ping between the pieces, as the protocol allows."""
        pieces = [payload[i:i + size] for i in range(0, len(payload), size)]
        for i, piece in enumerate(pieces):
            self.request.transport.write(frame(0 if i else 1, piece, i == len(pieces) - 1))
            if i == 0:
                self.request.transport.write(frame(9, b"between", True))

    async def to_client(self, text):
        if self.on("mute"):
            return
        message = json.loads(text)
        push = push_of(message)
        if push is not None:
            await self.pushed(message, push)
            return
        method, params = self.asked.pop(message.get("id"), (None, []))
        if method == "eth_chainId" and self.on("chain"):
            message["result"] = hex(self.on("chain"))
        if method == "eth_subscribe" and self.on("refuse-" + ("heads" if params[0] == "newHeads" else "logs")):
            message = {"jsonrpc": "2.0", "id": message["id"],
                       "error": {"code": -32601, "message": "subscriptions of this kind are not served"}}
        if method == "eth_subscribe" and self.on("early"):
            await self.send({"jsonrpc": "2.0", "method": "eth_subscription",
                             "params": {"subscription": message.get("result"), "result": self.on("early")}})
        if self.on("error-null"):
            message = {"error": None, **message}
        if not (self.on("silent") and method == self.on("silent")):
            await self.send(message)

    async def pushed(self, message, push):
        is_log = "topics" in push
        self.sockets.pushes += 1
        if self.on("stall") or self.on("omit-logs" if is_log else "omit-heads"):
            return
        if self.on("delay"):
            await asyncio.sleep(self.on("delay"))
        if self.on("garbage"):
            await self.send(self.on("garbage"))
            return
        if is_log and self.on("bend"):
            push.update(self.on("bend").get("set", {}))
            for field in self.on("bend").get("drop", []):
                push.pop(field, None)
        if not is_log and self.on("bend-heads"):
            push.update(self.on("bend-heads").get("set", {}))
        if self.on("oversize"):
            push["extraData" if not is_log else "data"] = "0x" + "00" * self.on("oversize")
        await self.send(message)
        if self.on("duplicate"):
            await self.send(message)
        if is_log and self.on("removed"):
            push["removed"] = True
            await self.send(message)

    async def from_client(self, node):
        async for message in self.client:
            if message.type == aiohttp.WSMsgType.PING:
                self.sockets.pings += 1
                if not self.on("mute"):
                    await self.client.pong(message.data)
            elif message.type == aiohttp.WSMsgType.TEXT:
                rpc = json.loads(message.data)
                self.asked[rpc.get("id")] = (rpc.get("method"), rpc.get("params") or [])
                self.sockets.records.append({"connection": id(self), "method": rpc.get("method"),
                                             "params": rpc.get("params")})
                await node.send_str(message.data)

    async def from_node(self, node):
        async for message in node:
            if message.type == aiohttp.WSMsgType.TEXT:
                await self.to_client(message.data)

    async def run(self, node):
        tasks = [asyncio.create_task(self.from_client(node)), asyncio.create_task(self.from_node(node))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


class Sockets:
    def __init__(self, provider):
        self.provider = provider
        self.switches, self.joints, self.records = {}, set(), []
        self.old = 0
        self.opened = self.pings = self.pushes = 0

    def state(self):
        return {"open": len(self.joints), "opened": self.opened, "pings": self.pings,
                "pushes": self.pushes, "asked": self.records[-200:]}

    def control(self, order):
        unknown = set(order) - SWITCHES - ACTS
        if unknown:
            raise ValueError(f"unknown ws faults {sorted(unknown)}")
        if not order:
            self.switches = {}
        self.old = self.opened
        for name, value in order.items():
            if name in SWITCHES:
                self.switches[name] = value
        for joint in list(self.joints):
            if "close" in order:
                asyncio.ensure_future(joint.client.close(code=order["close"]))
            if "reset" in order:
                linger = struct.pack("ii", 1, 0)
                joint.request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET,
                                                                            socket.SO_LINGER, linger)
                joint.request.transport.abort()

    async def serve(self, request):
        self.opened += 1
        if self.switches.get("refuse"):
            return web.Response(status=self.switches["refuse"], text="not now")
        client = web.WebSocketResponse(autoping=False, max_msg_size=0)
        await client.prepare(request)
        joint = Joint(self, request, client)
        self.joints.add(joint)
        try:
            async with aiohttp.ClientSession() as http, http.ws_connect(
                    self.provider.answers.forward.replace("http", "ws", 1), max_msg_size=0) as node:
                await joint.run(node)
        except aiohttp.ClientError:  # the node behind is away
            await client.close(code=1011)
        finally:
            self.joints.discard(joint)
        return client
