"""What the answers of a provider showed, and what they left out: one entry for each log, kept for ever.

An answer is one that a client can believe: status 200, whole, under its own id, within SLOWEST seconds, to
a client that is still there. A log counts as shown only at its own block and number, and not as removed.
"""

import hashlib
import json
import time

SLOWEST_S = 5  # a client that waits longer than this has gone elsewhere
GAP_S = 0.5  # times of one log closer than this are one time
TIMES_MAX = 40


def key(log):
    """The name of an event: logs of one block that say the same are one event."""
    number = log["blockNumber"]
    text = [log["blockHash"], int(number, 16), log["address"].lower(), *log["topics"]]
    return hashlib.sha1(json.dumps(text).encode()).hexdigest()[:20]


def keys(logs):
    found = set()
    for log in logs:
        try:
            if not log.get("removed"):
                found.add(key(log))
        except (AttributeError, KeyError, TypeError, ValueError):
            continue  # too odd to show anything
    return found


def answer_of(reply, rpc):
    """The result that a reply brings to its client, or None."""
    if reply.status != 200 or reply.cut_at is not None or reply.reset or reply.delay_s > SLOWEST_S:
        return None
    try:
        answer = json.loads(reply.body)
    except ValueError:
        return None
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    return answer.get("result") if isinstance(answer, dict) and answer.get("id") == rpc.get("id") else None


def add(times, name):
    row, now = times.setdefault(name, []), round(time.time(), 2)
    if not row or now - row[-1] >= GAP_S:
        row[TIMES_MAX - 1:] = [now]  # the last one is always there


class Witness:
    def __init__(self):
        self.shown, self.left = {}, {}  # event -> when
        self.dimmed = set()  # hashes of blocks that were shown with another bloom than theirs

    def note(self, rpc, honest, reply):
        """honest: the result before it was bent."""
        result = answer_of(reply, rpc)
        if isinstance(honest, list) and isinstance(result, list):
            given = keys(result)
            for name in keys(honest):
                add(self.shown if name in given else self.left, name)
        if isinstance(honest, dict) and isinstance(result, dict):
            if result.get("hash") == honest["hash"] and result.get("logsBloom") != honest["logsBloom"]:
                self.dimmed.add(honest["hash"])

    def told(self):
        return {"shown": self.shown, "left": self.left, "dimmed": sorted(self.dimmed)}
