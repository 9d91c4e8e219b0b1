"""What the chain announced, on every branch it ever had, decoded with no code of trueup's: which block a
row's blocknumber may name, who may have a row at all, and what a full table must look like."""

from harness.abi import decode_addresses
from harness.anvil import GAS_CAP

ZERO = "0x" + "00" * 20

# event -> which topics are wallets, and which one's delegators are meant, too
TOKEN = {"Transfer(address,address,uint256)": ((1, 2), None)}
STAKING = {f"{name}(address,uint256,uint256)": ((1,), None) for name in ("Staked", "Unstaked", "Slashed")}
DELEGATION = {
    "IncreaseDelegatedStake(address,address,uint256)": ((1, 2), None),
    "UndelegateStakeRequestEvaluated(address,address,uint256)": ((1, 2), None),
    "RemoveDelegatorRequestEvaluated(address,address,uint256)": ((1, 2), None),
    "Claim(address,uint256,uint256)": ((1,), 1),
    "Slash(address,uint256,uint256)": ((1,), 1),
}


def address(topic):
    return "0x" + topic[-40:]


class Ledger:
    """Blocks are looked at before they can be dropped: note() at any time, and before each reorg."""

    def __init__(self, world):
        """The chain as it is now was there before the daemon: what it names is nobody's business."""
        self.world = world
        self.start = world.rpc.number()
        self.seen = {}  # block hash -> {wallet}, of any branch
        self.numbers = {}  # block hash -> number
        for b in self._blocks(0):
            self.seen[b["hash"]] = set()
        self.delegators = set()  # whoever was on a list when it was asked for
        self.kinds = {}
        for contract, name, events in ((world.token, "DemoToken", TOKEN),
                                       (world.staking, "DemoStaking", STAKING),
                                       (world.delegation, "DemoDelegateManager", DELEGATION)):
            for event, roles in events.items():
                self.kinds[contract.address, world.built[name]["topics"][event]] = roles

    def _blocks(self, first):
        numbers = range(max(0, first), self.world.rpc.number() + 1)
        return self.world.rpc.batch([("eth_getBlockByNumber", [hex(n), False]) for n in numbers])

    def note(self):
        """Reads what is new; cheap when nothing is."""
        fresh = [b for b in self._blocks(self.world.rpc.number() - 80) if b["hash"] not in self.seen]
        logs = self.world.rpc.batch([("eth_getLogs", [{"blockHash": b["hash"]}]) for b in fresh])
        for block, found in zip(fresh, logs):
            self.numbers[block["hash"]] = int(block["number"], 16)
            self.seen[block["hash"]] = self._wallets(found)

    def _wallets(self, logs):
        named = set()
        for log in logs:
            roles = self.kinds.get((log["address"].lower(), log["topics"][0]))
            if roles is None:
                continue
            named |= {address(log["topics"][i]) for i in roles[0]}
            if roles[1] is not None:
                named |= self._delegators(address(log["topics"][roles[1]]), log["blockHash"])
        return named - {ZERO}

    def _delegators(self, provider, block_hash):
        contract = self.world.delegation
        answer = self.world.rpc.call(
            "eth_call", {"to": contract.address, "gas": hex(GAS_CAP),
                         "data": contract.data("getDelegatorsList", provider)}, {"blockHash": block_hash})
        found = set(decode_addresses(answer))
        self.delegators |= found
        return found

    # What follows from it. At rest: note() was called since the last change.

    def canonical(self):
        """{wallet: the highest block of the chain that names it}"""
        highest = {}
        for b in self._blocks(0):
            for w in self.seen[b["hash"]]:
                highest[w] = int(b["number"], 16)
        return highest

    def ever(self):
        """{wallet: all blocks of any branch that name it}. Lists of delegators are resolved at the block
        that is read at, where somebody may have joined: any block of a list is allowed to them."""
        blocks = {}
        for block_hash, wallets in self.seen.items():
            for w in wallets:
                blocks.setdefault(w, set()).add(self.numbers[block_hash])
        lists = {self.numbers[h] for h, wallets in self.seen.items() if wallets & self.delegators}
        for w in self.delegators:
            blocks.setdefault(w, set()).update(lists)
        return blocks
