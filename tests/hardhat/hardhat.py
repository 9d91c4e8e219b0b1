"""Hardhat's node as a process of our own, with the names that the harness has for what anvil does."""

import os
from pathlib import Path

from harness.node import DevelopmentNode
from harness.world import DEPLOYER, GAS_CAP, MULTICALL3, World

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "node_modules/hardhat/internal/cli/bootstrap.js"


class Hardhat(DevelopmentNode):
    name = "hardhat"

    def start(self):
        self.spawn()
        return self

    def command(self):
        if not PROGRAM.exists():
            raise FileNotFoundError(f"{PROGRAM} is missing: run npm ci --ignore-scripts in {HERE}")
        # `env -C`: it wants to be started where its configuration is.
        return ["env", "-C", str(HERE), os.environ.get("TRUEUP_NODE", "node"), str(PROGRAM), "node", "--hostname",
                "127.0.0.1", "--port", str(self.port)]

    def environment(self):
        """What it keeps for itself (a cache, an answer about telemetry) goes to a home of its own."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "CI": "true",
                "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true"}

    def restart(self):
        """The same address, but a new chain."""
        self.stop()
        return self.start()

    def mine(self, blocks=1):
        """One by one: where hardhat_mine makes many at once, most of them name no parent."""
        for _ in range(blocks):
            self.rpc.call("evm_mine")


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
