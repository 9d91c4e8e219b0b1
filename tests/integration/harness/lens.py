"""The program's own encoders and decoders, asked through tests/tools/lenstool: what a reader sends,
and what it makes of the answer. The node between the two is real."""

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

from .anvil import GAS_CAP
from .daemon import binary
from .rpc import RpcError
from .world import MULTICALL3

TERM_GAS = 2_000_000
READERS = ("override", "create", "create-revert", "single")


def tool():
    given = os.environ.get("TRUEUP_LENSTOOL")
    return given or str(Path(binary()).resolve().parents[1] / "tests" / "tools" / "lenstool")


def packed(wallets):
    return "".join(w[2:] for w in wallets) or "-"


class Lens:
    """terms: [(contract, selector, gas)]."""

    def __init__(self, rpc, terms, anchor="evm"):
        self.rpc = rpc
        self.terms = list(terms)
        self.process = subprocess.Popen([tool()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        shape = " ".join(f"{c}:{s}:{g}" for c, s, g in self.terms)
        assert self.ask(f"shape {anchor} {MULTICALL3} {shape}") == "ok"

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"lenstool ended with {self.process.wait()}"
        return answer.rstrip("\n")

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(10)
        self.process.stdout.close()
        assert code == 0  # a sanitizer's report is an exit status, too

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def chunk(self, wallets, gas, alone, first, n_terms):
        n_terms = len(self.terms) - first if n_terms is None else n_terms
        return f"{gas} {int(alone)} {first} {n_terms} {packed(wallets)}"

    def params(self, reader, wallets, *, gas=GAS_CAP, block='"latest"', alone=False, first=0,
               n_terms=None):
        return json.loads(self.ask(f"encode {reader} {block} "
                                   + self.chunk(wallets, gas, alone, first, n_terms)))

    def send(self, reader, params):
        """The reply's bytes as hex. Raises RpcError where the node has no reply for this reader."""
        try:
            reply = self.rpc.call("eth_call", *params)
        except RpcError as error:
            if reader != "create-revert" or not error.data:
                raise
            reply = error.data
        return reply[2:] or "-"

    def decode(self, reader, wallets, reply, *, gas=GAS_CAP, alone=False, first=0, n_terms=None):
        text = self.ask(f"decode {reader} " + self.chunk(wallets, gas, alone, first, n_terms)
                        + " " + reply)
        return json.loads(text, object_hook=lambda o: SimpleNamespace(**o))

    def read(self, reader, wallets, block='"latest"', **more):
        reply = self.send(reader, self.params(reader, wallets, block=block, **more))
        return self.decode(reader, wallets, reply, **more)

    def read_all(self, reader, wallets, **more):
        """Asks again for what was not answered, as long as that gets on."""
        whole, left = None, list(wallets)
        while whole is None or left:
            part = self.read(reader, left, **more)
            assert part.answered > 0 or not left
            if whole is None:
                whole, whole.rounds = part, 0
            else:
                whole.cells += part.cells
                whole.answered += part.answered
            whole.rounds += 1
            left = left[part.answered:]
        return whole

    def nonce(self, byte):
        """From now on requests carry this byte 16 times, and answers must."""
        assert self.ask(f"nonce {byte}") == "ok"

    def link(self, number):
        assert self.ask(f"link {number}") == "ok"

    # The program below the readers.

    def program(self, mode="call", alone=False, n=1):
        return "0x" + self.ask(f"code {mode} {int(alone)} {n}")

    def sizes(self, mode="call", alone=False, n=1):
        return tuple(map(int, self.ask(f"size {mode} {int(alone)} {n}").split()))

    def listing(self, mode="call", alone=False, n=1):
        lines = [self.ask(f"listing {mode} {int(alone)} {n}")]
        while lines[-1] != ".":
            lines.append(self.process.stdout.readline().rstrip("\n"))
        return "\n".join(lines[:-1])
