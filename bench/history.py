"""A million logs of history, and curl fetching them: what the benchmarks of backfill and catch-up share."""

import json
import random
import subprocess
import time

import lib

EVENT = "Transfer(address indexed from, address indexed to, uint256 value)"
TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
LOGS_A_TRANSFER = 400  # a transaction and block of HistoryAnvil


class HistoryAnvil(lib.RealNode):
    """anvil with real transfers, 400 a transaction and block."""

    def __init__(self, folder, logs, holders):
        super().__init__(folder)
        self.logs, self.holders = logs, holders

    def start(self):
        super().start()
        rng = random.Random(1)
        wallets = [lib.wallet_of(i) for i in range(self.holders)]
        self.world.mint_all(wallets, rng)
        for _ in range((self.logs - self.holders) // LOGS_A_TRANSFER):
            self.world.token.send("moveMany", rng.choices(wallets, k=LOGS_A_TRANSFER),
                                  rng.choices(wallets, k=LOGS_A_TRANSFER), [1] * LOGS_A_TRANSFER)
        self.anvil.mine(4)
        return self


def curl(folder, node, ranges):
    """One process, one connection, everything thrown away."""
    config = folder / "curl"
    parts = []
    for start, end in ranges:
        query = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [{
            "fromBlock": hex(start), "toBlock": hex(end), "address": node.contracts["held"],
            "topics": [[TOPIC]]}]}).replace('"', '\\"')
        parts.append(f'url = "{node.url}"\ndata = "{query}"\noutput = "/dev/null"\n'
                     'header = "content-type: application/json"\n')
    config.write_text("next\n".join(parts))
    started = time.monotonic()
    subprocess.run(["curl", "-s", "-K", config], check=True)
    return round((time.monotonic() - started) * 1000)


def configure(folder, node, rows):
    """A balance of all whom Transfer names."""
    text = lib.config(node.contracts, node.url, rows.url)
    text = text.replace("    wallets: listed\n", (
        "    triggers:\n"
        f"      - {{contract: '{node.contracts['held']}', event: '{EVENT}', wallets: [from, to]}}\n"
        "    wallets: seen\n"))
    conf = folder / "trueup.yaml"
    conf.write_text(text)
    return conf
