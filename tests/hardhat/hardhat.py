"""Hardhat's node as a process of our own, with the names that the harness has for what anvil does."""

import os
import subprocess
from pathlib import Path

from harness.anvil import free_port
from harness.rpc import Rpc, RpcError
from harness.wait import until
from harness.world import DEPLOYER, GAS_CAP, MULTICALL3, World

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "node_modules/hardhat/internal/cli/bootstrap.js"


class Hardhat:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.port = self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self):
        return f"ws://127.0.0.1:{self.port}"

    def start(self):
        """A port found free may be taken before the node binds it: then another one is tried."""
        fixed = self.port is not None
        for attempt in range(5):
            if not fixed:
                self.port = free_port()
            self._spawn()
            try:
                self.rpc = Rpc(self.url)
                until(self._answers, "hardhat to answer", 60, alive=self._alive)
                return self
            except AssertionError:
                self.stop()
                if fixed or attempt == 4:
                    raise

    def _spawn(self):
        if not PROGRAM.exists():
            raise FileNotFoundError(f"{PROGRAM} is missing: run npm ci --ignore-scripts in {HERE}")
        self.folder.mkdir(parents=True, exist_ok=True)
        # What it keeps for itself (a cache, an answer about telemetry) goes to a home of its own.
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "CI": "true",
               "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true"}
        with open(self.folder / "hardhat.log", "ab") as log:
            self.process = subprocess.Popen(
                [os.environ.get("TRUEUP_NODE", "node"), str(PROGRAM), "node", "--hostname", "127.0.0.1",
                 "--port", str(self.port)], cwd=HERE, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)

    def _alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"hardhat ended with {self.process.returncode}: "
                                 + (self.folder / "hardhat.log").read_text()[-2000:])

    def _answers(self):
        try:
            return int(self.rpc.call("eth_chainId"), 16) > 0
        except (OSError, ValueError, RpcError):
            return False

    def stop(self):
        if self.process is not None:
            self.process.kill()  # nothing of it is worth keeping
            self.process.wait()
        self.process = None

    def restart(self):
        """The same address, but a new chain."""
        self.stop()
        return self.start()

    def mine(self, blocks=1):
        """One by one: where hardhat_mine makes many at once, most of them name no parent."""
        for _ in range(blocks):
            self.rpc.call("evm_mine")

    def automine(self, on):
        self.rpc.call("evm_setAutomine", on)

    def snapshot(self):
        return self.rpc.call("evm_snapshot")

    def revert(self, snapshot):
        """The blocks since are gone, as after a reorg; nothing is pushed about it."""
        if not self.rpc.call("evm_revert", snapshot):
            raise AssertionError(f"no snapshot {snapshot}")


class HardhatWorld(World):
    """The demo world. An account without a key may send once the node was asked to impersonate it."""

    def __init__(self, rpc):
        super().__init__(rpc)
        self.impersonated = set()

    def put_multicall3(self):
        runtime = self.rpc.call("eth_call", {"data": self.built["Multicall3"]["bytecode"], "gas": hex(GAS_CAP)},
                                "latest")
        self.rpc.call("hardhat_setCode", MULTICALL3, runtime)

    def post(self, to, data, sender=DEPLOYER):
        if sender not in self.impersonated:
            self.rpc.call("hardhat_impersonateAccount", sender)
            self.impersonated.add(sender)
        return super().post(to, data, sender)
