"""The faults, numbered as in README.md. One function each.

Two kinds. A *change* alters the question before it is answered (several may apply to one request); a
*play* decides the reply (one per request). Both get the same view of the request:

    ask.rpc      the JSON-RPC object          ask.args     the rule's own settings
    ask.answer() the honest answer, a dict    ask.size     bytes of the request's body
    ask.url      the URL as it was asked      ask.random   seeded
    ask.head()   the newest block's number    ask.other()  the honest answer to another question
"""

import asyncio
import email.utils
import gzip
import json
import random
import time

from reply import HTML, JSON, Reply, as_json, rpc_error

FAULTS = {}


class Fault:
    def __init__(self, number, name, kind, run):
        self.number, self.name, self.kind, self.run = number, name, kind, run


def play(number, name):
    return lambda run: FAULTS.setdefault(name, Fault(number, name, "play", run))


def change(number, name):
    return lambda run: FAULTS.setdefault(name, Fault(number, name, "change", run))


# ---- the provider says no ----------------------------------------------------------------------------


@play(1, "rate-429")
async def rate_429(ask):
    """HTTP 429. after: seconds in Retry-After; date: the same as an HTTP date; neither: no header."""
    headers = dict(JSON)
    if "after" in ask.args:
        headers["Retry-After"] = str(ask.args["after"])
    if "date" in ask.args:
        headers["Retry-After"] = email.utils.formatdate(time.time() + ask.args["date"], usegmt=True)
    return as_json(rpc_error(ask.rpc, 429, ask.args.get("text", "Too many requests")), 429,
                   headers=headers)


@play(2, "rate-200")
async def rate_200(ask):
    """The limit in the body, HTTP 200 (QuickNode, Ankr)."""
    text = ask.args.get("text", "Too many requests, reason: call rate limit exhausted, retry in 1s")
    return as_json(rpc_error(ask.rpc, -32090, text))


@play(3, "billing")
async def billing(ask):
    """Paid capacity is gone (Alchemy)."""
    return as_json(rpc_error(ask.rpc, -32600, "Monthly capacity limit exceeded."), 403)


@play(4, "http-503")
async def http_503(ask):
    return Reply(ask.args.get("status", 503), b"upstream connect error", {"Content-Type": "text/plain"})


@play(5, "error-500")
async def error_500(ask):
    """A valid JSON-RPC error under HTTP 500 (Alchemy near the tip)."""
    text = ask.args.get("text", "Block 7 not processed yet. Please try again.")
    return as_json(rpc_error(ask.rpc, ask.args.get("code", -32000), text),
                   ask.args.get("status", 500))


@play(6, "error")
async def error(ask):
    """Any error: code, text, data, status. far: only an eth_getLogs that ends so many blocks below the head."""
    if "far" in ask.args and int(ask.rpc["params"][0]["toBlock"], 16) + ask.args["far"] > await ask.head():
        return await honest(ask)
    return as_json(rpc_error(ask.rpc, ask.args.get("code", -32000), ask.args["text"],
                             ask.args.get("data")), ask.args.get("status", 200))


@play(7, "echo-url")
async def echo_url(ask):
    """Repeats the URL with its key: as JSON, or as the page of a proxy with html."""
    text = f"no access to {ask.url} with this key ({ask.path})"
    if ask.args.get("html"):
        page = f"<html><head><title>Forbidden {ask.url}</title></head></html>"
        return Reply(403, page.encode(), dict(HTML))
    return as_json(rpc_error(ask.rpc, -32000, text), ask.args.get("status", 401))


@play(8, "redirect")
async def redirect(ask):
    return Reply(ask.args.get("status", 307), b"",
                 {"Location": ask.args.get("to", "http://elsewhere.example/v2/SECRETPATH")})


# ---- envelopes -----------------------------------------------------------------------------------------


@play(9, "html")
async def html(ask):
    """A web page where JSON was asked, with any status."""
    page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
    return Reply(ask.args.get("status", 200), ask.args.get("page", page).encode(), dict(HTML))


@play(10, "wrong-id")
async def wrong_id(ask):
    answer = await ask.answer()
    answer["id"] = 999999
    return as_json(answer)


@play(11, "id-null")
async def id_null(ask):
    """An error with id null, as some gateways send."""
    answer = rpc_error(ask.rpc, -32000, ask.args.get("text", "execution reverted"))
    answer["id"] = None
    return as_json(answer)


@play(12, "array")
async def array(ask):
    """A single answer in an array of one."""
    return as_json([await ask.answer()])


@play(13, "error-string")
async def error_string(ask):
    """`error` is a plain string."""
    return as_json({"jsonrpc": "2.0", "id": ask.rpc.get("id"),
                    "error": ask.args.get("text", "rate limit reached")})


@play(14, "null-result")
async def null_result(ask):
    """An invented null (proxyd, above its consensus head)."""
    return as_json({"jsonrpc": "2.0", "id": ask.rpc.get("id"), "result": None})


# ---- the wire ------------------------------------------------------------------------------------------


async def honest(ask, **how):
    return as_json(await ask.answer(), **how)


@play(15, "truncated-json")
async def truncated(ask):
    """Valid HTTP, half of the JSON."""
    reply = await honest(ask)
    reply.body = reply.body[:len(reply.body) // 2]
    return reply


@play(16, "gzip")
async def gzipped(ask):
    reply = await honest(ask, headers={**JSON, "Content-Encoding": "gzip"})
    reply.body = gzip.compress(reply.body)
    return reply


@play(17, "gzip-bomb")
async def gzip_bomb(ask):
    """mb megabytes of zeros behind a small Content-Length."""
    body = gzip.compress(bytes(ask.args.get("mb", 200) << 20), 1)
    return Reply(200, body, {**JSON, "Content-Encoding": "gzip"})


@play(18, "slow-loris")
async def slow_loris(ask):
    """One byte each pace seconds."""
    return await honest(ask, pace_s=ask.args.get("pace", 0.2))


@play(19, "silence")
async def silence(ask):
    """Takes the request and says nothing for so many seconds, then answers."""
    return await honest(ask, delay_s=ask.args.get("seconds", 3600))


@play(20, "reset")
async def reset(ask):
    """A TCP reset: at once, or in the middle of the body with half."""
    reply = await honest(ask, reset=True)
    reply.cut_at = len(reply.body) // 2 if ask.args.get("half") else 0
    return reply


@play(21, "half-close")
async def half_close(ask):
    """Half of the promised body, then an orderly close."""
    reply = await honest(ask)
    reply.cut_at = len(reply.body) // 2
    return reply


@play(22, "oversize")
async def oversize(ask):
    """mb megabytes; declared: in Content-Length, else chunked without end in sight."""
    declared = ask.args.get("declared", False)
    return Reply(200, b"x" * (1 << 20), repeat=ask.args.get("mb", 200), chunked=not declared)


@play(23, "close-after")
async def close_after(ask):
    """Keep-alive is promised, and the connection closed behind the answer."""
    return await honest(ask, close_after=True)


@play(24, "stale-connection")
async def stale_connection(ask):
    """Answers, and drops the next request on this connection unanswered."""
    ask.drop_next()
    return await honest(ask)


# ---- the question is bent ------------------------------------------------------------------------------


@change(25, "ignore-pin")
async def ignore_pin(ask):
    """eth_call with a block hash is answered from the latest block (old proxies)."""
    params = ask.rpc.get("params") or []
    if len(params) > 1 and isinstance(params[1], dict):
        params[1] = "latest"


@change(26, "older-block")
async def older_block(ask):
    """eth_call is answered from `behind` blocks before the head, whatever was asked."""
    params = ask.rpc.get("params") or []
    if len(params) > 1:
        params[1] = hex(max(0, await ask.head() - ask.args.get("behind", 2)))


@change(27, "gas-cap")
async def gas_cap(ask):
    """Lowers a larger `gas` without a word (geth)."""
    call = (ask.rpc.get("params") or [{}])[0]
    if isinstance(call, dict) and int(call.get("gas", "0x0"), 16) > ask.args["cap"]:
        call["gas"] = hex(ask.args["cap"])


@play(28, "gas-refused")
async def gas_refused(ask):
    """Refuses a larger `gas` (reth), answers a smaller one."""
    call = (ask.rpc.get("params") or [{}])[0]
    gas = int(call.get("gas", "0x0"), 16) if isinstance(call, dict) else 0
    if gas > ask.args["cap"]:
        return as_json(rpc_error(ask.rpc, -32000, f"gas limit {gas} exceeds {ask.args['cap']}"))
    return await honest(ask)


@play(29, "request-cap")
async def request_cap(ask):
    """HTTP 413 above so many bytes of request."""
    if ask.size > ask.args["bytes"]:
        return Reply(413, b"Request Entity Too Large", {"Content-Type": "text/plain"})
    return await honest(ask)


@play(30, "reply-cap")
async def reply_cap(ask):
    """An error above so many bytes of reply (reth)."""
    reply = await honest(ask)
    if len(reply.body) > ask.args["bytes"]:
        return as_json(rpc_error(ask.rpc, -32008, "Response is too big",
                                 f"Exceeded max limit of {ask.args['bytes']}"))
    return reply


@play(31, "result")
async def result(ask):
    """Any result, as a provider that invents it would."""
    return as_json({"jsonrpc": "2.0", "id": ask.rpc.get("id"), "result": ask.args["result"]})


@play(32, "older-header")
async def older_header(ask):
    """Another block's header than the one asked for: its parent."""
    answer = await ask.answer()
    number = int(answer["result"]["number"], 16)
    answer["result"] = await ask.other("eth_getBlockByNumber", [hex(number - 1), False])
    return as_json(answer)


def window(ask):
    """The blocks an eth_getLogs asks for; 0 when it asks by hash."""
    asked = (ask.rpc.get("params") or [{}])[0]
    if "blockHash" in asked:
        return 0
    return int(asked["toBlock"], 16) - int(asked["fromBlock"], 16) + 1


async def last_block(ask):
    """The last block an eth_getLogs asks for."""
    asked = ask.rpc["params"][0]
    if "blockHash" not in asked:
        return int(asked["toBlock"], 16)
    header = await ask.other("eth_getBlockByHash", [asked["blockHash"], False])
    return int(header["number"], 16) if header else 0


@play(33, "range-cap")
async def range_cap(ask):
    """eth_getLogs over more than so many blocks is refused; text may name them with {blocks}."""
    if window(ask) > ask.args["blocks"]:
        text = ask.args.get("text", "exceed maximum block range: {blocks}").format(**ask.args)
        return as_json(rpc_error(ask.rpc, -32602, text))
    return await honest(ask)


@play(34, "logs-cap")
async def logs_cap(ask):
    """eth_getLogs over several blocks with more than so many logs is refused."""
    answer = await ask.answer()
    if window(ask) > 1 and len(answer.get("result") or []) > ask.args["logs"]:
        text = ask.args.get("text", "query returned more than {logs} results").format(**ask.args)
        return as_json(rpc_error(ask.rpc, -32005, text))
    return as_json(answer)


@play(35, "omit-logs")
async def omit_logs(ask):
    """eth_getLogs answers an empty list, as a backend that has not indexed yet; with naming, a list
    that lacks those logs alone that have this word among their topics; with unless-named, not when the
    question itself has that word; with near, only when the question reaches so near to the head."""
    answer = await ask.answer()
    if "near" in ask.args and await last_block(ask) + ask.args["near"] < await ask.head():
        return as_json(answer)
    word = ask.args.get("naming", "").removeprefix("0x").lower()
    named = ask.args.get("unless-named") and word in json.dumps(ask.rpc.get("params")).lower()
    if not isinstance(answer.get("result"), list) or named:
        return as_json(answer)
    kept = [log for log in answer["result"] if word not in "".join(log["topics"]).lower()]
    return as_json({**answer, "result": kept})


@play(60, "bend-logs")
async def bend_logs(ask):
    """The logs of eth_getLogs, bent: `set` gives fields another value, `drop` leaves fields out, `twice`
    repeats each, `value-indexed` moves topic 2 into the data and puts 0x3ed in its place, `beside` adds
    entries (an object is a copy of the first log with these fields changed; anything else as it is)."""
    answer = await ask.answer()
    logs, args = answer.get("result"), ask.args
    if not isinstance(logs, list) or not logs:
        return as_json(answer)
    honest_log = dict(logs[0])
    for log in logs:
        log.update(args.get("set", {}))
        for field in args.get("drop", []):
            log.pop(field, None)
        if args.get("value-indexed") and len(log["topics"]) == 3:
            log["data"], log["topics"][2] = log["topics"][2], f"0x{0x3ed:064x}"
    beside = [{**honest_log, **extra} if isinstance(extra, dict) else extra
              for extra in args.get("beside", [])]
    return as_json({**answer, "result": logs * (2 if args.get("twice") else 1) + beside})


@play(61, "no-hash-logs")
async def no_hash_logs(ask):
    """eth_getLogs refuses `blockHash` (Lotus); code and text may be given."""
    if "blockHash" in (ask.rpc.get("params") or [{}])[0]:
        return as_json(rpc_error(ask.rpc, ask.args.get("code", -32602),
                                 ask.args.get("text", "invalid argument: blockHash is not supported")))
    return await honest(ask)


@play(62, "bend-header")
async def bend_header(ask):
    """Fields of a header have the values of `set`."""
    answer = await ask.answer()
    if isinstance(answer.get("result"), dict):
        answer["result"].update(ask.args["set"])
    return as_json(answer)


@play(36, "no-override")
async def no_override(ask):
    """eth_call's third parameter is refused; with silent, dropped without a word."""
    params = ask.rpc.get("params") or []
    if ask.rpc.get("method") == "eth_call" and len(params) > 2:
        if not ask.args.get("silent"):
            return as_json(rpc_error(ask.rpc, -32602, "too many arguments, want at most 2"))
        del params[2:]
    return await honest(ask)


@play(37, "no-create")
async def no_create(ask):
    """eth_call wants a contract."""
    call = (ask.rpc.get("params") or [{}])[0]
    if isinstance(call, dict) and not call.get("to"):
        return as_json(rpc_error(ask.rpc, -32602, "invalid params: missing field `to`"))
    return await honest(ask)


@play(38, "no-revert-data")
async def no_revert_data(ask):
    """That a call reverted is said, not with what."""
    answer = await ask.answer()
    answer.get("error", {}).pop("data", None)
    return as_json(answer)


@play(39, "false-proof")
async def false_proof(ask):
    """A word of the asked block (what: number, parent, timestamp, chain) that eth_call answers with is
    changed wherever it stands; hash or number, the block is looked up. Revert data too."""
    answer = await ask.answer()
    block = (ask.rpc.get("params") or [{}, "latest"])[1]
    if "error" in answer and "data" not in answer["error"]:
        header = None  # no proof to falsify, nor perhaps the block
    elif isinstance(block, dict):
        header = await ask.other("eth_getBlockByHash", [block["blockHash"], False])
    else:
        header = await ask.other("eth_getBlockByNumber", [block, False])
    if header is None:
        return as_json(answer)
    words = {"number": int(header["number"], 16), "parent": int(header["parentHash"], 16),
             "timestamp": int(header["timestamp"], 16),
             "chain": int(await ask.other("eth_chainId", []), 16)}
    true = words[ask.args["what"]]
    text = json.dumps(answer).replace(f"{true:064x}", f"{true ^ 1:064x}")
    return as_json(json.loads(text))


@play(40, "bears")
async def bears(ask):
    """What a plan bears, each part only if it is named: gas (refused above, or lowered with `lowers`),
    request and answer (bytes; of the body, and of what a call returns), override, create."""
    params = ask.rpc.get("params") or []
    call = params[0] if params and isinstance(params[0], dict) else {}
    gas, args = int(call.get("gas", "0x0"), 16), ask.args
    if ask.size > args.get("request", ask.size):
        return Reply(413, b"Request Entity Too Large", {"Content-Type": "text/plain"})
    if len(params) > 2 and not args.get("override", True):
        return as_json(rpc_error(ask.rpc, -32602, "too many arguments, want at most 2"))
    if call and not call.get("to") and not args.get("create", True):
        return as_json(rpc_error(ask.rpc, -32602, "invalid params: missing field `to`"))
    if gas > args.get("gas", gas):
        if not args.get("lowers"):
            return as_json(rpc_error(ask.rpc, -32000, f"gas limit {gas} exceeds {args['gas']}"))
        call["gas"] = hex(args["gas"])
    answer = await ask.answer()
    data = answer.get("result") or (answer.get("error") or {}).get("data") or ""
    if ask.rpc.get("method") == "eth_call" and isinstance(data, str) and (
            len(data) / 2 - 1 > args.get("answer", len(data))):
        return as_json(rpc_error(ask.rpc, -32000, "max code size exceeded"))
    return as_json(answer)


def block_number(ask, block, header):
    """The number a block parameter means; header: what its hash leads to."""
    if isinstance(block, dict):
        return None if header is None else int(header["number"], 16)
    return int(block, 16) if block.startswith("0x") else None


@play(41, "lag")
async def lag(ask):
    """A backend `blocks` behind: its latest is that old, and what is above it is not there: null,
    "header not found", and no logs, without a word."""
    top = max(0, await ask.head() - ask.args["blocks"])
    method, params = ask.rpc.get("method"), ask.rpc.get("params") or []
    if method == "eth_blockNumber":
        return as_json({**await ask.answer(), "result": hex(top)})
    place = {"eth_getBlockByNumber": 0, "eth_getBlockByHash": 0, "eth_call": 1}.get(method)
    if method == "eth_getLogs":
        found = await ask.answer()
        logs = [log for log in found.get("result") or [] if int(log["blockNumber"], 16) <= top]
        ask.provider.withheld += len(found.get("result") or []) - len(logs)
        return as_json({**found, "result": logs} if "result" in found else found)
    if place is None or len(params) <= place:
        return await honest(ask)
    block = params[place]
    if block in ("latest", "pending"):
        params[place] = block = hex(top)
    known = block if method == "eth_getBlockByHash" else (
        block["blockHash"] if isinstance(block, dict) else None)
    header = await ask.other("eth_getBlockByHash", [known, False]) if known else None
    number = block_number(ask, {} if known else block, header)
    if number is None or number <= top:
        return await honest(ask)
    if method == "eth_call":
        return as_json(rpc_error(ask.rpc, -32000, "header not found"))
    return as_json({"jsonrpc": "2.0", "id": ask.rpc.get("id"), "result": None})


@play(42, "other-genesis")
async def other_genesis(ask):
    """Block 0 has another hash: the same chain id, another chain."""
    answer = await ask.answer()
    if (ask.rpc.get("params") or [None])[0] == "0x0" and isinstance(answer.get("result"), dict):
        answer["result"]["hash"] = "0x" + "5a" * 32
    return as_json(answer)


@play(43, "cut-logs")
async def cut_logs(ask):
    """eth_getLogs answers the first `keep` of its logs and says nothing of the others."""
    answer = await ask.answer()
    if "result" in answer:
        answer = {**answer, "result": (answer["result"] or [])[:ask.args.get("keep", 1)]}
    return as_json(answer)


def carries_data(answer):
    """The part of an answer that is a call's data: the result, or what it reverted with."""
    return "result" if "result" in answer else "error" if (answer.get("error") or {}).get("data") else None


@play(44, "swap")
async def swap(ask):
    """What a call answered is given to another request, under its own id, with `chance`. with: "before"
    gives the answer of the call before; "partner" waits `wait` seconds for another call and exchanges the
    two. Plain errors stay where they are."""
    provider, answer = ask.provider, await ask.answer()
    if carries_data(answer) is None:
        return as_json(answer)
    before, provider.call_before = provider.call_before, answer
    if ask.random.random() >= ask.args.get("chance", 0.5):
        return as_json(answer)
    other = before if ask.args.get("with", "before") == "before" else await exchanged(ask, answer)
    other = answer if other is None else other
    provider.swapped += other is not answer
    part = carries_data(other)
    return as_json({"jsonrpc": "2.0", "id": ask.rpc.get("id"), part: other[part]})


async def exchanged(ask, answer):
    """Another call's answer, which gets this one; None when no other comes in time."""
    provider = ask.provider
    if provider.call_waiting is not None:
        other, future = provider.call_waiting
        provider.call_waiting = None
        future.set_result(answer)
        return other
    future = asyncio.get_running_loop().create_future()
    provider.call_waiting = (answer, future)
    done, _ = await asyncio.wait([future], timeout=ask.args.get("wait", 0.1))
    if done:
        return future.result()
    provider.call_waiting = None
    return None


@play(50, "other-branch")
async def other_branch(ask):
    """Blocks above the genesis have another hash; all else is as it is."""
    answer = await ask.answer()
    block = answer.get("result")
    if isinstance(block, dict) and int(block["number"], 16) > 0:
        answer = {**answer, "result": {**block, "hash": "0x" + block["hash"][:1:-1]}}
    return as_json(answer)


@play(70, "late-index")
async def late_index(ask):
    """For every method. eth_getLogs leaves out the logs of blocks whose header was shown here less than
    `seconds` ago, or not yet."""
    answer = await ask.answer()
    shown, now = ask.provider.shown, time.monotonic()
    result = answer.get("result")
    if isinstance(result, dict) and "logsBloom" in result:
        shown.setdefault(result["hash"], now)
    if ask.rpc.get("method") == "eth_getLogs" and isinstance(result, list):
        due = ask.args["seconds"]
        answer = {**answer, "result": [log for log in result
                                       if now - shown.setdefault(log["blockHash"], now) >= due]}
    return as_json(answer)


@play(71, "zero-bloom")
async def zero_bloom(ask):
    """Headers whose logsBloom holds nothing, whatever the block has."""
    answer = await ask.answer()
    if isinstance(answer.get("result"), dict) and "logsBloom" in answer["result"]:
        answer["result"]["logsBloom"] = "0x" + "00" * 256
    return as_json(answer)


@play(72, "fill-bloom")
async def fill_bloom(ask):
    """Headers whose logsBloom has this share of its bits set, as if many others had logs in the block."""
    answer = await ask.answer()
    header = answer.get("result")
    if isinstance(header, dict) and "logsBloom" in header:
        dice = random.Random(header["hash"])  # the same header always has the same
        bits = sum(1 << i for i in range(2048) if dice.random() < ask.args.get("share", 0.3))
        header["logsBloom"] = "0x" + (int(header["logsBloom"], 16) | bits).to_bytes(256).hex()
    return as_json(answer)


def lacks(ask, log):
    """Whether a log is still left out; counts and times from when it was first asked for."""
    first = ask.provider.asked_first
    name = (log["blockHash"], log["logIndex"])
    if name not in first:
        first[name] = time.monotonic(), ask.random.random() < ask.args.get("share", 1)
        return first[name][1]
    since, chosen = first[name]
    return chosen and time.monotonic() - since < ask.args.get("seconds", 0)


@play(63, "lacking-logs")
async def lacking_logs(ask):
    """eth_getLogs leaves logs out the first time they are asked for, and for `seconds` from then on; of
    those, `share` by chance. part: "block" (default) all logs of a block with its first; "one" one of
    several logs of a contract and block; "range" the whole answer."""
    answer, part = await ask.answer(), ask.args.get("part", "block")
    logs = answer.get("result")
    if not isinstance(logs, list):
        return as_json(answer)
    groups = {}
    for log in logs:
        name = log["blockHash"], log["address"] if part == "one" else None
        groups.setdefault(name, []).append(log)
    gone = []
    for group in groups.values():
        if part != "one":
            gone += group if lacks(ask, group[0]) else []
        elif len(group) > 1:
            hidden = group[int(group[0]["blockHash"][-2:], 16) % len(group)]
            gone += [hidden] if lacks(ask, hidden) else []
    if part == "range":
        return as_json({**answer, "result": [] if gone else logs})
    return as_json({**answer, "result": [log for log in logs if log not in gone]})


@play(80, "huge-header")
async def huge_header(ask):
    """A header line of so many kb, which HTTP libraries refuse."""
    return await honest(ask, headers={**JSON, "X-Padding": "x" * (ask.args.get("kb", 400) << 10)})


@play(81, "heavy")
async def heavy(ask):
    """A question of more than so many bytes takes so many seconds, as on a machine under load."""
    return await honest(ask, delay_s=ask.args["seconds"] if ask.size > ask.args["above"] else 0)


@play(82, "header-time")
async def header_time(ask):
    """Headers carry another timestamp than the EVM, later by `add` seconds."""
    answer = await ask.answer()
    if isinstance(answer.get("result"), dict) and "timestamp" in answer["result"]:
        answer["result"]["timestamp"] = hex(int(answer["result"]["timestamp"], 16) + ask.args["add"])
    return as_json(answer)


def renumbered(value, name):
    """A result with other block numbers; the genesis stays block 0."""
    if isinstance(value, list):
        return [renumbered(v, name) for v in value]
    if not isinstance(value, dict):
        return value
    return {k: hex(name(int(v, 16))) if k in ("number", "blockNumber") and isinstance(v, str)
            else renumbered(v, name) for k, v in value.items()}


@play(83, "renumber")
async def renumber(ask):
    """For every method. The chain's block numbers are not the EVM's: `by` more (Arbitrum), or with one left
    out after every `gap` blocks (null rounds). Sockets are not changed."""
    by, gap = ask.args.get("by", 0), ask.args.get("gap", 0)
    theirs = {}  # the chain's number -> the EVM's

    def name(n):
        return n and (n + by if not gap else n + n // gap)

    def number(text):
        """The EVM's number of a block parameter; raises KeyError where no block has it."""
        if not isinstance(text, str) or not text.startswith("0x"):
            return text
        wanted = int(text, 16)
        guess = wanted - by if not gap else wanted * gap // (gap + 1)
        theirs.update({name(n): n for n in range(max(0, guess - 2), guess + 3)} | {0: 0})
        return hex(theirs[wanted])

    params = ask.rpc.get("params") or []
    place = {"eth_getBlockByNumber": 0, "eth_getBlockReceipts": 0, "eth_call": 1, "eth_getCode": 1}.get(
        ask.rpc.get("method"))
    try:
        if ask.rpc.get("method") == "eth_getLogs":
            params[0].update({k: number(params[0][k]) for k in ("fromBlock", "toBlock") if k in params[0]})
        elif place is not None and len(params) > place:
            params[place] = number(params[place])
    except KeyError:
        return as_json({"jsonrpc": "2.0", "id": ask.rpc.get("id"), "result": None})
    answer = await ask.answer()
    if ask.rpc.get("method") == "eth_blockNumber":
        return as_json({**answer, "result": hex(name(int(answer["result"], 16)))})
    return as_json(renumbered(answer, name))


@play(90, "bend-receipts")
async def bend_receipts(ask):
    """The receipts of eth_getBlockReceipts, bent, each at the first receipt or log there is: `drop` and `twice`
    name "log" or "receipt"; `swap` changes the first two receipts; `set` and `set-log` give fields another
    value, and null takes the field away; `empty` leaves an empty list."""
    answer, args = await ask.answer(), ask.args
    receipts = answer.get("result")
    if not isinstance(receipts, list) or not receipts:
        return as_json(answer)
    logs = next((r["logs"] for r in receipts if r["logs"]), [])
    for act, change in (("drop", lambda items: items.pop(0)), ("twice", lambda items: items.insert(0, items[0]))):
        items = {"log": logs, "receipt": receipts}.get(args.get(act))
        if items:
            change(items)
    if args.get("swap"):
        receipts[:2] = receipts[1::-1]
    for item, fields in ((receipts[0], args.get("set", {})), (logs[0] if logs else {}, args.get("set-log", {}))):
        item.update(fields)
        for gone in [name for name, value in fields.items() if value is None]:
            del item[gone]
    return as_json({**answer, "result": [] if args.get("empty") else receipts})


@play(91, "bend-proof")
async def bend_proof(ask):
    """The nodes of eth_getProof's `list` (accountProof, or storage), bent: `drop` leaves the last one out,
    `twice` repeats it, `flip` changes the last digit of the first."""
    answer = await ask.answer()
    proof = answer["result"]
    nodes = proof["storageProof"][0]["proof"] if ask.args["list"] == "storage" else proof[ask.args["list"]]
    if ask.args.get("drop"):
        nodes.pop()
    if ask.args.get("twice"):
        nodes.append(nodes[-1])
    if ask.args.get("flip"):
        nodes[0] = nodes[0][:-1] + ("0" if nodes[0][-1] != "0" else "1")
    return as_json(answer)


def table():
    """The numbers and names, for the test that holds README.md to them."""
    return sorted((f.number, f.name) for f in FAULTS.values())


if __name__ == "__main__":
    print(json.dumps(table()))
