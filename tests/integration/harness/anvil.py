"""A local EVM node as a process of our own: a free port, its files in a folder of ours, stopped by
its pid. State is kept for every block, so any row can be checked at the block it claims."""

import contextlib
import gzip
import json
import os
import platform
import random
import signal
import socket
import subprocess
from pathlib import Path

from .rpc import Rpc, RpcError
from .wait import until

CHAIN = Path(__file__).resolve().parents[2] / "chain"
GAS_CAP = 50_000_000  # what a call may ask for; like the default of the commonest node


def binary():
    given = os.environ.get("TRUEUP_ANVIL")
    if given:
        return given
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    path = CHAIN / "node_modules" / "@foundry-rs" / f"anvil-linux-{machine}" / "bin" / "anvil"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run npm ci --ignore-scripts in tests/chain")
    return str(path)


def free_port():
    """A port for a program that binds it later. Below the range from which the kernel gives ports to
    connections: none of those can take it in between."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(10_000, lowest if lowest > 12_000 else 60_000), 100):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a hundred ports were tried, none was free")


class Anvil:
    def __init__(self, folder, chain_id=31337, block_time=0, hardfork=None, port=None, extra=(), slots=1):
        self.folder = Path(folder)
        self.chain_id = chain_id
        self.block_time = block_time
        self.hardfork = hardfork
        self.port = port
        self.extra = list(extra)
        self.slots = slots  # an epoch; `finalized` is two epochs behind
        self.process = None
        self.flushed = self.folder / "flushed.json"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self):
        return f"ws://127.0.0.1:{self.port}"

    def start(self, grow=True):
        """A port found free may be taken before anvil binds it: then another one is tried. grow: see
        flush()."""
        fixed = self.port is not None
        for attempt in range(5):
            if not fixed:
                self.port = free_port()
            self._spawn()
            try:
                self.rpc = Rpc(self.url)
                until(self._answers, "anvil to answer", 30, alive=self._alive)
                if grow and self.flushed.exists():
                    self.mine(1)
                return self
            except AssertionError:
                self.stop()
                if fixed or attempt == 4:
                    raise
        return self

    def _spawn(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [binary(), "--host", "127.0.0.1", "--port", str(self.port), "--quiet",
                   "--chain-id", str(self.chain_id),
                   # `finalized` is 0 until block 64 with the usual 32 slots.
                   "--slots-in-an-epoch", str(self.slots),
                   "--auto-impersonate", "--disable-pool-balance-checks",
                   "--gas-limit", str(GAS_CAP), "--gas-price", "0", "--base-fee", "0",
                   "--order", "fifo", "--cache-path", str(self.folder / "cache"), *self.extra]
        if self.flushed.exists():
            command += ["--load-state", str(self.flushed)]
        if self.block_time:
            command += ["--block-time", str(self.block_time)]
        if self.hardfork:
            command += ["--hardfork", self.hardfork]
        with open(self.folder / "anvil.log", "ab") as log:
            # A session of its own: it outlives the terminal it was started from if asked to.
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True,
                                            env={**os.environ, "HOME": str(self.folder)})

    def _alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"anvil ended with {self.process.returncode}: "
                                 + (self.folder / "anvil.log").read_text()[-500:])

    def _answers(self):
        try:
            return int(self.rpc.call("eth_chainId"), 16) == self.chain_id
        except (OSError, ValueError, RpcError):
            return False

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.kill()  # nothing of it is worth keeping
        self.process.wait()
        self.process = None

    def restart(self):
        """The same address, but a new chain: what a developer's `anvil` does every morning."""
        self.stop()
        self.flushed.unlink(missing_ok=True)
        return self.start()

    def flush(self):
        """To disk, with all blocks, logs and states: from here a node goes on that was killed. In the block
        it starts from, anvil's BLOCKHASH has forgotten the parent, so that nothing can be anchored there:
        therefore it is an empty one, where nobody has to be read, and another follows at once."""
        self.mine(1)
        packed = self.rpc.call("anvil_dumpState", True)
        state = json.loads(gzip.decompress(bytes.fromhex(packed[2:])))
        # One that was started from such a file keeps the genesis it had a moment before, too.
        born = self.rpc.block(0)["timestamp"]
        state["blocks"] = [b for b in state["blocks"]
                           if int(b["header"]["number"], 16) > 0 or b["header"]["timestamp"] == born]
        self.flushed.write_text(json.dumps(state))

    def kill(self):
        """kill -9. The next start() knows what was flushed, and nothing of the blocks since."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    # The chain's own levers.

    def mine(self, blocks=1):
        self.rpc.call("anvil_mine", hex(blocks))

    def automine(self, on):
        self.rpc.call("evm_setAutomine", on)

    def snapshot(self):
        return self.rpc.call("evm_snapshot")

    def revert(self, snapshot):
        if not self.rpc.call("evm_revert", snapshot):
            raise AssertionError(f"no snapshot {snapshot}")

    def reorg(self, depth, transactions=()):
        """Replaces the last `depth` blocks; transactions are (tx, block index within the new ones)."""
        self.rpc.call("anvil_reorg", depth, list(transactions))

    def rollback(self, depth):
        self.rpc.call("anvil_rollback", depth)
