"""What the chain announced, on every branch it ever had, decoded with no code of trueup's: which block a
row's blocknumber may name, who may have a row at all, and what a full table must look like."""

from harness.abi import decode_addresses
from harness.anvil import GAS_CAP
from witness import key

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
        self.seen = {}  # block hash -> {wallet: names of the events that name it}, of any branch
        self.numbers = {}  # block hash -> number
        for b in self._blocks(0):
            self.seen[b["hash"]] = {}
        self.delegators = set()  # whoever was on a list when it was asked for
        self.kinds = {}
        for contract, name, events in ((world.token, "DemoToken", TOKEN),
                                       (world.staking, "DemoStaking", STAKING),
                                       (world.delegation, "DemoDelegateManager", DELEGATION)):
            for event, roles in events.items():
                self.kinds[contract.address, world.built[name]["topics"][event]] = roles

    def _blocks(self, first, end=None):
        numbers = range(max(0, first), self.world.rpc.number() + 1 if end is None else end)
        return self.world.rpc.batch([("eth_getBlockByNumber", [hex(n), False]) for n in numbers])

    def _fresh(self):
        """Blocks from the head down to one that is known."""
        end, found = self.world.rpc.number() + 1, []
        while end > 0:
            part = self._blocks(end - 40, end)
            found = part + found
            if part[0]["hash"] in self.seen:
                break
            end = max(0, end - 40)
        return [b for b in found if b["hash"] not in self.seen]

    def note(self):
        """Reads what is new; cheap when nothing is. From the node's receipts: neither its index of logs
        nor a provider between has a say."""
        fresh = self._fresh()
        receipts = self.world.rpc.batch([("eth_getBlockReceipts", [b["hash"]]) for b in fresh])
        for block, found in zip(fresh, receipts):
            self.numbers[block["hash"]] = int(block["number"], 16)
            self.seen[block["hash"]] = self._wallets([log for r in found for log in r["logs"]])

    def _wallets(self, logs):
        named = {}
        for log in logs:
            roles = self.kinds.get((log["address"].lower(), log["topics"][0]))
            if roles is None:
                continue
            wallets = {address(log["topics"][i]) for i in roles[0]}
            if roles[1] is not None:
                wallets |= self._delegators(address(log["topics"][roles[1]]), log["blockHash"])
            for w in wallets - {ZERO}:
                named.setdefault(w, set()).add(key(log))
        return named

    def _delegators(self, provider, block_hash):
        contract = self.world.delegation
        answer = self.world.rpc.call(
            "eth_call", {"to": contract.address, "gas": hex(GAS_CAP),
                         "data": contract.data("getDelegatorsList", provider)}, {"blockHash": block_hash})
        found = set(decode_addresses(answer))
        self.delegators |= found
        return found

    # What follows from it. At rest: note() was called since the last change.

    def chain(self):
        """[(number, hash, {wallet: events})] of the blocks of the chain that have any"""
        return [(int(b["number"], 16), b["hash"], self.seen[b["hash"]]) for b in self._blocks(0)
                if self.seen[b["hash"]]]

    def canonical(self, but=frozenset()):
        """{wallet: the highest block of the chain that names it}, by other events than those of `but`"""
        return {w: number for number, _, named in self.chain() for w, events in named.items()
                if events - but}

    def wallets_of(self, events, blocks=frozenset()):
        """Wallets that one of these events, or one in these blocks, names, on any branch."""
        return {w for block_hash, named in self.seen.items() for w, names in named.items()
                if names & events or block_hash in blocks}

    def ever(self):
        """{wallet: all blocks of any branch that name it}. Lists of delegators are resolved at the block
        that is read at, where somebody may have joined: any block of a list is allowed to them."""
        blocks = {}
        for block_hash, wallets in self.seen.items():
            for w in wallets:
                blocks.setdefault(w, set()).add(self.numbers[block_hash])
        lists = {self.numbers[h] for h, wallets in self.seen.items() if wallets.keys() & self.delegators}
        for w in self.delegators:
            blocks.setdefault(w, set()).update(lists)
        return blocks
