#!/usr/bin/python3 -B
"""The interpreter of views against anvil: the same calls on the same state, and no difference.

    tests/evm/differential.py [--programs N] [--views N] [--seed S]

Programs are random code, put in the place of an account for one eth_call. Views are those of the demo
contracts, with random arguments, amid their traffic. What the interpreter calls unprovable is counted and is
no difference; everything else must be equal: data, revert, failure. TRUEUP_EVMTOOL names the interpreter
(default: build/tests/tools/evmtool)."""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))

from harness.anvil import Anvil  # noqa: E402
from harness.rpc import RpcError  # noqa: E402
from harness.world import World, wallet  # noqa: E402

TARGET, OTHER, GAS = "0x" + "7e" * 20, "0x" + "0e" * 20, 16_000_000
EMPTY = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def word(value):
    return f"0x{value % (1 << 256):064x}"


class Interpreter:
    def __init__(self):
        tool = os.environ.get("TRUEUP_EVMTOOL", ROOT / "build/tests/tools/evmtool")
        self.process = subprocess.Popen([str(tool)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def order(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")

    def at(self, block, chain_id):
        self.order("block", block["number"], block["timestamp"], hex(chain_id), block["gasLimit"],
                   block["parentHash"], block["miner"], block["mixHash"], word(int(block["baseFeePerGas"], 16)))

    def call(self, to, data):
        self.order("call", to, data)
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


def give(interpreter, rpc, missing, block, code):
    """Answers what is missing from the node, and from the code that is put in place."""
    what, of = missing[0], missing[1]
    if what == "slot":
        interpreter.order("slot", of, missing[2], rpc.call("eth_getStorageAt", of, missing[2], block))
        return
    if what == "code":
        interpreter.order("code", of, code.get(of) or rpc.call("eth_getCode", of, block))
        return
    proof = rpc.call("eth_getProof", of, [], block)
    hashed = rpc.call("web3_sha3", code[of]) if code.get(of) else proof["codeHash"]
    there = hashed != EMPTY or int(proof["nonce"], 16) or int(proof["balance"], 16)
    if int(hashed, 16) == 0:
        hashed = EMPTY
    interpreter.order("account", of, "1" if there else "0", word(int(proof["balance"], 16)), hashed)


def run(interpreter, rpc, to, data, block, code):
    while True:
        said = interpreter.call(to, data)
        if said[0] not in ("slot", "code", "account"):
            return said
        give(interpreter, rpc, said, block, code)


def same(said, answer):
    """Is the interpreter's line what the node says? None: it makes no statement."""
    if said[0] == "unprovable":
        return None
    if not isinstance(answer, RpcError):
        return said[0] == "returned" and said[1] == answer
    if "revert" in answer.message.lower():
        return said[0] == "reverted" and (said[1] == "0x" or not isinstance(answer.data, str) or answer.data == said[1])
    if "gas" in answer.message.lower() or "OOG" in answer.message:  # the node stopped before the end
        return None
    return said[0] == "failed"


# ---- random code --------------------------------------------------------------------------------

TWO = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1a,
       0x1b, 0x1c, 0x1d]
ONE = [0x15, 0x19, 0x1e, 0x35, 0x51, 0x31, 0x3b, 0x3f, 0x49, 0x54, 0x5c]
NONE = [0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3a, 0x3d, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x58, 0x59, 0x5f]


class Program:
    def __init__(self, rng):
        self.rng, self.code, self.height = rng, bytearray(), 0

    def number(self):
        r = self.rng
        return r.choice((lambda: r.randrange(4), lambda: r.randrange(300), lambda: 1 << r.randrange(256),
                         lambda: (1 << r.randrange(257)) - 1, lambda: r.getrandbits(r.randrange(1, 257)),
                         lambda: -r.getrandbits(r.randrange(1, 250)), lambda: (1 << 255) + r.randrange(-2, 3)))() % (1 << 256)

    def push(self, value=None):
        value = self.number() if value is None else value
        size = max(1, (value.bit_length() + 7) // 8, self.rng.choice((1, 1, 1, 32)))
        self.code += bytes([0x5f + size]) + value.to_bytes(size, "big")
        self.height += 1

    def op(self, code, taken, given):
        while self.height < taken:
            self.push()
        self.code.append(code)
        self.height += given - taken

    def small(self):
        self.push(self.rng.choice((0, 1, 31, 32, 33, 64, 100, self.rng.randrange(200))))

    def memory(self):
        r = self.rng
        kind = r.randrange(7)
        if kind == 0:
            self.push(), self.small(), self.op(0x52, 2, 0)
        elif kind == 1:
            self.push(), self.small(), self.op(0x53, 2, 0)
        elif kind == 2:
            self.small(), self.op(0x51, 1, 1)
        elif kind == 3:
            self.small(), self.small(), self.op(0x20, 2, 1)
        elif kind == 4:  # CALLDATACOPY, CODECOPY, MCOPY
            self.small(), self.small() if r.random() < 0.8 else self.push(), self.small()
            self.op(r.choice((0x37, 0x39)), 3, 0)
        elif kind == 5:
            self.small(), self.small(), self.small(), self.op(0x5e, 3, 0)
        else:
            self.small(), self.push(0), self.push(0), self.op(0x3e, 3, 0)

    def jump(self):
        """Over a few bytes that are no code, on a condition or always."""
        skipped = bytes(self.rng.getrandbits(8) for _ in range(self.rng.randrange(4)))
        if self.rng.random() < 0.3:
            self.push(1)
            self.code += bytes([0x61]) + (len(self.code) + 4 + len(skipped)).to_bytes(2, "big") + bytes([0x57])
            self.height -= 1
        else:
            self.code += bytes([0x61]) + (len(self.code) + 4 + len(skipped)).to_bytes(2, "big") + bytes([0x56])
        self.code += skipped
        # What was skipped may have been the push that hides this: then the jump fails, for both.
        self.code.append(0x5b)

    def call(self):
        to = self.rng.choice((int(OTHER, 16), int(OTHER, 16), int(OTHER, 16), 4, 2, int(wallet(1), 16)))
        kind = self.rng.choice((0xf1, 0xf2, 0xf4, 0xfa, 0xfa))
        for _ in range(4):
            self.small()
        if kind in (0xf1, 0xf2):
            self.push(0)
        self.push(to)
        self.op(0x5a, 0, 1)
        self.op(kind, 7 if kind in (0xf1, 0xf2) else 6, 1)
        if self.rng.random() < 0.5:
            self.op(0x3d, 0, 1)

    def step(self, calls):
        r = self.rng
        kind = r.random()
        if kind < 0.35:
            self.op(r.choice(TWO), 2, 1)
        elif kind < 0.40:
            self.op(r.choice((0x08, 0x09)), 3, 1)
        elif kind < 0.5:
            code = r.choice(ONE)
            self.small() if code in (0x35, 0x51, 0x54) else None
            self.op(code, 1, 1)
        elif kind < 0.6:
            self.op(r.choice(NONE), 0, 1)
        elif kind < 0.7 and self.height:
            n = r.randrange(min(16, self.height))
            self.code.append(0x80 + n)
            self.height += 1
        elif kind < 0.75 and self.height > 1:
            self.code.append(0x90 + r.randrange(min(16, self.height - 1)))
        elif kind < 0.85:
            self.memory()
        elif kind < 0.9:
            self.jump()
        elif kind < 0.95 and calls:
            self.call()
        else:
            self.push()

    def end(self):
        """All of the stack into memory, and memory back."""
        for i in range(min(self.height, 12)):
            self.push(0x100 + 32 * i)
            self.op(0x52, 2, 0)
        self.push(self.rng.choice((0x100 + 32 * 12, 0x100 + 32 * 12, 77)))
        self.push(0)
        self.op(self.rng.choice((0xf3, 0xf3, 0xf3, 0xfd)), 2, 0)


def program(rng, length, calls):
    p = Program(rng)
    for _ in range(rng.randrange(1, length)):
        p.step(calls)
    p.end()
    if rng.random() < 0.1:  # broken somewhere
        p.code[rng.randrange(len(p.code))] = rng.getrandbits(8)
    return "0x" + bytes(p.code).hex()


def programs(rpc, interpreter, rng, count, report, chunk=200):
    number = rpc.call("eth_blockNumber")
    block = rpc.call("eth_getBlockByNumber", number, False)
    while count > 0:
        cases = []
        for _ in range(min(chunk, count)):
            code = {TARGET: program(rng, 40, True), OTHER: program(rng, 15, rng.random() < 0.2)}
            cases.append((code, "0x" + rng.randbytes(rng.randrange(100)).hex()))
        answers = rpc.batch([("eth_call", [{"to": TARGET, "data": data, "gas": hex(GAS)}, number,
                                           {a: {"code": c} for a, c in code.items()}]) for code, data in cases])
        for (code, data), answer in zip(cases, answers):
            interpreter.at(block, 31337)
            report(run(interpreter, rpc, TARGET, data, number, code), answer, (code, data))
        count -= len(cases)


# ---- views --------------------------------------------------------------------------------------


def views_of(world):
    """(address, selector, number of words) of all that the contracts can be asked."""
    for contract in world.contracts.values():
        for signature, selector in contract.selectors.items():
            inside = signature.partition("(")[2].rstrip(")")
            if "[" not in inside and "bytes" not in inside and "string" not in inside:
                yield contract.address, selector, inside.count(",") + 1 if inside else 0


def argument(rng, wallets):
    return rng.choice((lambda: rng.choice(wallets)[2:].rjust(64, "0"), lambda: rng.choice(wallets)[2:].rjust(64, "0"),
                       lambda: f"{rng.randrange(1000):064x}", lambda: f"{rng.getrandbits(256):064x}"))()


def views(world, interpreter, rng, count, report, chunk=500):
    rpc = world.rpc
    wallets = [wallet(i) for i in range(60)]
    world.mint_all(wallets, rng)
    asked = list(views_of(world))
    for i in range(11):
        world.mood([wallets[i]], i)
    while count > 0:
        world.traffic(wallets, wallets[:3], rng, 40)
        number = rpc.call("eth_blockNumber")
        interpreter.at(rpc.call("eth_getBlockByNumber", number, False), 31337)
        calls = []
        for _ in range(min(chunk, count)):
            to, selector, words = rng.choice(asked)
            calls.append((to, selector + "".join(argument(rng, wallets) for _ in range(words))))
        answers = rpc.batch([("eth_call", [{"to": to, "data": data, "gas": hex(GAS)}, number]) for to, data in calls])
        for (to, data), answer in zip(calls, answers):
            report(run(interpreter, rpc, to, data, number, {}), answer, (to, data))
        count -= len(calls)


class Report:
    def __init__(self):
        self.equal = self.silent = 0
        self.reasons, self.ends, self.different = {}, {}, []

    def __call__(self, said, answer, case):
        found = same(said, answer)
        if found is None:
            self.silent += 1
            reason = " ".join(said[1:4]) if said[0] == "unprovable" else "the node's gas"
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        elif found:
            self.equal += 1
            self.ends[said[0]] = self.ends.get(said[0], 0) + 1
        else:
            self.different.append((case, said, answer))


def compare(folder, n_programs, n_views, seed):
    rng, report = random.Random(seed), Report()
    anvil = Anvil(folder, hardfork="osaka").start()
    anvil.mine(3)  # in its genesis the EVM has another time than the header
    interpreter = Interpreter()
    try:
        programs(anvil.rpc, interpreter, rng, n_programs, report)
        if n_views:
            views(World(anvil.rpc).deploy(), interpreter, rng, n_views, report)
    finally:
        interpreter.close()
        anvil.stop()
    return report


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", type=int, default=50_000)
    parser.add_argument("--views", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = compare(Path(folder), chosen.programs, chosen.views, chosen.seed)
    print(f"seed {chosen.seed}: {report.equal} equal {report.ends}, {report.silent} unprovable {report.reasons}, "
          f"{len(report.different)} different")
    for case, said, answer in report.different[:5]:
        print(case)
        ours, theirs = said[-1], getattr(answer, "data", answer) or str(answer)
        at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
        print(f"  they part at {at}: {said[0]} …{ours[max(0, at - 64):at + 64]} against …{theirs[max(0, at - 64):at + 64]}")
    return 1 if report.different or not report.equal else 0


if __name__ == "__main__":
    sys.exit(main())
