"""A node of a test as a process of its own: a free port, its files in a folder of ours, stopped by its pid.
What the kinds of nodes have in common; each says how it is started and what else it can do."""

import contextlib
import os
import random
import socket
import subprocess
from pathlib import Path

from .rpc import Rpc, RpcError
from .wait import until


def free_port():
    """A port for a program that binds it later. Below the range from which the kernel gives ports to
    connections: none of those can take it in between."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(10_000, lowest if lowest > 12_000 else 60_000), 100):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a hundred ports were tried, none was free")


class Node:
    name = "node"  # in its log's name and in errors
    chain_id = None  # what it must answer; None: any
    patience_s = 60

    def __init__(self, folder, port=None):
        self.folder = Path(folder)
        self.port = port
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self):
        return f"ws://127.0.0.1:{self.port}"

    def choose_ports(self):
        self.port = free_port()

    def spawn(self, *more):
        """A port found free may be taken before the node binds it: then another one is tried, unless the
        port was given."""
        fixed = self.port is not None
        for attempt in range(5):
            if not fixed:
                self.choose_ports()
            self._spawn_once(self.command() + list(more))
            try:
                self.rpc = Rpc(self.url)
                until(self._answers, f"{self.name} to answer", self.patience_s, alive=self._alive)
                return
            except AssertionError:
                self.stop()
                if fixed or attempt == 4:
                    raise

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {**os.environ, "HOME": str(self.folder)}

    def _spawn_once(self, command):
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / f"{self.name}.log", "ab") as log:
            # A session of its own: it outlives the terminal it was started from if asked to.
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, env=self.environment())

    def _alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}: "
                                 + (self.folder / f"{self.name}.log").read_text()[-2000:])

    def _answers(self):
        try:
            return self.chain_id in (None, int(self.rpc.call("eth_chainId"), 16))
        except (OSError, ValueError, RpcError):
            return False

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.kill()  # nothing of it is worth keeping
        self.process.wait()
        self.process = None


class DevelopmentNode(Node):
    """One that takes back blocks on demand, with the names that anvil and Hardhat share."""

    def automine(self, on):
        self.rpc.call("evm_setAutomine", on)

    def snapshot(self):
        return self.rpc.call("evm_snapshot")

    def revert(self, snapshot):
        """The blocks since are gone, as after a reorg; nothing is pushed about it."""
        if not self.rpc.call("evm_revert", snapshot):
            raise AssertionError(f"no snapshot {snapshot}")
