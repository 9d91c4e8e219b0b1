"""What goes back over the wire, and the ways in which the wire can go wrong.

A fault makes a Reply; deliver() plays it. Everything that needs the socket (resets, halves, slowness)
is here, so that a fault is a few lines that say what happens and not how.
"""

import asyncio
import dataclasses
import json
import socket
import struct

from aiohttp import web

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html"}


@dataclasses.dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict = dataclasses.field(default_factory=lambda: dict(JSON))
    # How it is delivered:
    cut_at: int = None        # stop after this many bytes of the body …
    reset: bool = False       # … with a TCP reset instead of an end
    declared: int = None      # Content-Length as claimed; None: the truth
    chunked: bool = False     # no Content-Length at all
    pace_s: float = 0         # one byte of the body per so many seconds
    repeat: int = 1           # the body so many times over
    delay_s: float = 0        # silence before anything
    close_after: bool = False  # promise keep-alive, then close


def rpc_result(rpc, result):
    return {"jsonrpc": "2.0", "id": rpc.get("id"), "result": result}


def rpc_error(rpc, code, message, data=None):
    error = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": rpc.get("id"), "error": error}


def as_json(value, status=200, **how):
    return Reply(status, json.dumps(value, separators=(",", ":")).encode(), **how)


def abort(request):
    """A TCP reset: linger of zero, then close."""
    sock = request.transport.get_extra_info("socket") if request.transport else None
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if request.transport is not None:
        request.transport.abort()


async def deliver(request, reply):
    """Sends reply; returns the response that the server then considers answered."""
    if reply.delay_s:
        await asyncio.sleep(reply.delay_s)
    total = len(reply.body) * reply.repeat
    out = web.StreamResponse(status=reply.status, headers=reply.headers)
    if reply.chunked:
        out.enable_chunked_encoding()
    else:
        out.content_length = total if reply.declared is None else reply.declared
    if reply.cut_at == 0 and reply.reset:
        abort(request)
        return out
    sent = 0
    try:
        await out.prepare(request)
        for piece in pieces(reply):
            await out.write(piece)
            sent += len(piece)
            if reply.pace_s:
                await asyncio.sleep(reply.pace_s)
        if reply.cut_at is not None or sent != total:
            await end_early(request, reply)
            return out
        await out.write_eof()
    except ConnectionError:
        return out  # the client went away: its right
    if reply.close_after and request.transport is not None:
        request.transport.close()
    return out


def pieces(reply):
    left = reply.cut_at
    for _ in range(reply.repeat):
        step = 1 if reply.pace_s else 1 << 16
        for i in range(0, len(reply.body), step):
            piece = reply.body[i:i + step]
            if left is not None:
                piece = piece[:left]
                left -= len(piece)
                if not piece:
                    return
            yield piece


async def end_early(request, reply):
    # What was written must leave first, else the reset overtakes it.
    await asyncio.sleep(0.02)
    if reply.reset:
        abort(request)
    elif request.transport is not None:
        request.transport.close()
