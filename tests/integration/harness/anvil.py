"""anvil as a process of our own. State is kept for every block, so any row can be checked at the block it
claims."""

import gzip
import json
import os
import platform
import signal
from pathlib import Path

from .node import DevelopmentNode

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


class Anvil(DevelopmentNode):
    name = "anvil"
    patience_s = 30

    def __init__(self, folder, chain_id=31337, block_time=0, hardfork=None, port=None, extra=(), slots=1):
        super().__init__(folder, port)
        self.chain_id = chain_id
        self.block_time = block_time
        self.hardfork = hardfork
        self.extra = list(extra)
        self.slots = slots  # an epoch; `finalized` is two epochs behind
        self.flushed = self.folder / "flushed.json"

    def start(self, grow=True):
        """grow: see flush()."""
        self.spawn()
        if grow and self.flushed.exists():
            self.mine(1)
        return self

    def command(self):
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
        return command

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

    def reorg(self, depth, transactions=()):
        """Replaces the last `depth` blocks; transactions are (tx, block index within the new ones)."""
        self.rpc.call("anvil_reorg", depth, list(transactions))

    def rollback(self, depth):
        self.rpc.call("anvil_rollback", depth)
