"""geth as a process of our own, in the place of anvil: a free port, its files in a folder of ours."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path

from harness.node import Node, free_port
from harness.rpc import RpcError
from harness.wait import until
from harness.world import World

HERE = Path(__file__).resolve().parent
# A well-known key of development chains, and the address it belongs to.
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ACCOUNT = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
TX_GAS = 16_000_000  # below 2^24, which newer forks allow a transaction
CALL_GAS = 50_000_000
BLOCK_GAS = 60_000_000
PRICE = 10 ** 10
ZERO_HASH = "0x" + "00" * 32


class Geth(Node):
    """What both have in common: the process, and the harness's names for what a chain does."""

    name = "geth"

    def __init__(self, folder, binary):
        super().__init__(folder)
        self.binary = binary

    def choose_ports(self):
        self.port, self.engine_port = free_port(), free_port()

    def command(self):
        return [self.binary, "--datadir", str(self.folder / "data"), "--ipcdisable", "--nodiscover",
                "--maxpeers", "0", "--port", "0", "--verbosity", "3", "--syncmode", "full",
                "--gcmode", "archive", "--state.scheme", "hash",
                "--http", "--http.port", str(self.port), "--http.api", "eth,net,web3,debug,txpool",
                "--ws", "--ws.port", str(self.port), "--ws.api", "eth,web3", "--ws.origins", "*",
                "--authrpc.port", str(self.engine_port), "--rpc.gascap", str(CALL_GAS),
                "--rpc.batch-request-limit", "2000", "--rpc.txfeecap", "0"]

    def world(self):
        return GethWorld(self).deploy()


class DevGeth(Geth):
    """geth --dev: a block for every transaction, now and then an empty one, and an account that needs no
    signature."""

    def start(self):
        self.spawn("--dev", "--dev.gaslimit", str(BLOCK_GAS))
        self.account = self.rpc.call("eth_accounts")[0]
        return self

    def post(self, to, data, nonce=None):
        tx = {"from": self.account, "data": data, "gas": hex(TX_GAS), **({"to": to} if to else {})}
        return self.rpc.call("eth_sendTransaction", tx)

    def mine(self, blocks=1):
        for _ in range(blocks):
            tx = self.rpc.call("eth_sendTransaction", {"from": self.account, "to": self.account, "gas": hex(21000)})
            until(lambda tx=tx: self.rpc.call("eth_getTransactionReceipt", tx), "an empty block", every=0.002)

    def rewind(self, block):
        """The node forgets all blocks above this one, as an operator makes it do."""
        self.rpc.call("debug_setHead", hex(block))


class EngineGeth(Geth):
    """geth as after the merge: blocks are made and chosen by whoever holds the engine's secret."""

    CHAIN = 31338
    signer = None

    def start(self):
        self.secret = os.urandom(32)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "jwt").write_text(self.secret.hex())
        (self.folder / "genesis.json").write_text(json.dumps(self.genesis()))
        subprocess.run([self.binary, "init", "--datadir", str(self.folder / "data"), "--state.scheme", "hash",
                        str(self.folder / "genesis.json")], check=True, stdin=subprocess.DEVNULL,
                       capture_output=True, env={**os.environ, "HOME": str(self.folder)})
        self.spawn("--authrpc.jwtsecret", str(self.folder / "jwt"), "--networkid", str(self.CHAIN))
        self.signer = subprocess.Popen([os.environ.get("TRUEUP_NODE", "node"), str(HERE / "sign.mjs"),
                                        str(self.CHAIN), KEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       text=True, bufsize=1)
        self.blocks = [self.rpc.block(0)["hash"]]  # the canonical chain, by number
        self.siblings = [None]
        self.clock = int(self.rpc.block(0)["timestamp"], 16)
        return self

    def stop(self):
        if self.signer:
            self.signer.stdin.close()
            self.signer.wait()
        super().stop()

    @staticmethod
    def genesis():
        forks = ["homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg",
                 "istanbul", "muirGlacier", "berlin", "london", "arrowGlacier", "grayGlacier", "mergeNetsplit"]
        return {"config": {"chainId": EngineGeth.CHAIN, **{f + "Block": 0 for f in forks},
                           "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0,
                           "blobSchedule": {"cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3338477}}},
                "difficulty": "0x0", "gasLimit": hex(BLOCK_GAS), "timestamp": hex(int(time.time()) - 86400),
                "baseFeePerGas": "0x7", "alloc": {ACCOUNT[2:]: {"balance": hex(10 ** 30)}}}

    # ---- the engine

    def token(self):
        def part(value):
            return base64.urlsafe_b64encode(value).rstrip(b"=")
        body = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps({"iat": int(time.time())}).encode())
        return (body + b"." + part(hmac.new(self.secret, body, hashlib.sha256).digest())).decode()

    def engine(self, method, *params):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.engine_port}", body, {
            "content-type": "application/json", "authorization": f"Bearer {self.token()}"})
        with urllib.request.urlopen(request, timeout=30) as got:
            reply = json.load(got)
        if "error" in reply:
            raise RpcError(method, reply["error"])
        return reply["result"]

    def choose(self, head, attributes=None):
        """This is the head now; with attributes a block on top of it is begun."""
        state = {"headBlockHash": head, "safeBlockHash": ZERO_HASH, "finalizedBlockHash": ZERO_HASH}
        answer = self.engine("engine_forkchoiceUpdatedV3", state, attributes)
        assert answer["payloadStatus"]["status"] == "VALID", answer
        return answer["payloadId"]

    def build(self, parent, timestamp, transactions):
        """A block on the head, with so many transactions of the pool; known to geth, not chosen."""
        def whole():
            payload_id = self.choose(parent, {
                "timestamp": hex(timestamp), "prevRandao": "0x" + os.urandom(32).hex(), "withdrawals": [],
                "suggestedFeeRecipient": "0x" + "00" * 20, "parentBeaconBlockRoot": ZERO_HASH})
            time.sleep(0.02)  # geth gives what it has when asked, which at first is an empty block
            payload = self.engine("engine_getPayloadV3", payload_id)["executionPayload"]
            return payload if len(payload["transactions"]) >= transactions else None

        payload = until(whole, "a block with the pool's transactions")
        answer = self.engine("engine_newPayloadV3", payload, [], ZERO_HASH)
        assert answer["status"] == "VALID", answer
        return payload["blockHash"]

    def mine(self, blocks=1, transactions=0):
        """Beside each block an empty sibling of equal timestamp, as long as the pool is empty."""
        for _ in range(blocks):
            self.clock += 1
            self.siblings.append(None if transactions else self.build(self.blocks[-1], self.clock, 0))
            self.take(self.build(self.blocks[-1], self.clock, transactions))

    def take(self, block):
        self.blocks.append(block)
        self.choose(block)

    # ---- transactions

    def sign(self, to, data, nonce, price):
        self.signer.stdin.write(json.dumps({"nonce": nonce, "to": to, "data": data, "gas": TX_GAS,
                                            "price": price}) + "\n")
        return self.signer.stdout.readline().strip()

    def nonce(self):
        return int(self.rpc.call("eth_getTransactionCount", ACCOUNT, "latest"), 16)

    def post(self, to, data):
        """Mined at once, with an empty sibling made before the transaction was known."""
        self.clock += 1
        self.siblings.append(self.build(self.blocks[-1], self.clock, 0))
        tx = self.rpc.call("eth_sendRawTransaction", self.sign(to, data, self.nonce(), PRICE))
        self.take(self.build(self.blocks[-1], self.clock, 1))
        return tx

    def reorg(self, depth, instead=()):
        """The last `depth` blocks are dropped for an empty sibling of the lowest and one block more than were
        dropped on top of it. Their transactions are in the pool again, but for those that `instead` (to,
        data) takes the place of, in order."""
        first = len(self.blocks) - depth
        sibling = self.siblings[first]
        assert sibling, f"block {first} has no sibling"
        dropped = sum(int(self.rpc.call("eth_getBlockTransactionCountByHash", b), 16) for b in self.blocks[first:])
        del self.blocks[first:], self.siblings[first:]
        self.siblings.append(None)
        self.take(sibling)
        until(lambda: int(self.rpc.call("txpool_status")["pending"], 16) == dropped, "them to be pending again")
        start = self.nonce()
        for i, (to, data) in enumerate(instead):
            self.rpc.call("eth_sendRawTransaction", self.sign(to, data, start + i, 2 * PRICE))
        self.mine(1, transactions=dropped)
        self.mine(depth)


class GethWorld(World):
    """The demo world, its transactions sent as this node takes them."""

    def __init__(self, node):
        super().__init__(node.rpc)
        self.node = node

    def put_multicall3(self):
        self.multicall3 = self.create("Multicall3")

    def post(self, to, data, sender=None):
        return self.node.post(to, data)

    def receipt(self, tx):
        def indexed():
            """geth refuses to tell while it indexes, which it does behind its blocks."""
            try:
                return self.rpc.call("eth_getTransactionReceipt", tx)
            except RpcError:
                return None
        until(indexed, f"{tx} to be indexed", every=0.001)
        return super().receipt(tx)
