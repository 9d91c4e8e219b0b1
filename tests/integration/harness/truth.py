"""What the chain says, read in the plainest way there is: one eth_call per wallet and term. Slow and
obvious on purpose; it shares nothing with the program it judges."""

from .anvil import GAS_CAP
from .rpc import RpcError
from .world import TERMS, VIEWS

LIMIT = 2 ** 256


def at(block):
    """A block as eth_call wants it: a number, a tag, or a hash (then it must be canonical)."""
    if isinstance(block, int):
        return hex(block)
    if len(block) == 66:
        return {"blockHash": block, "requireCanonical": True}
    return block


class Truth:
    def __init__(self, world, terms=TERMS):
        self.world = world
        self.terms = terms

    def calls(self, wallet, block):
        return [("eth_call", [{"to": self.world.contracts[t].address, "gas": hex(GAS_CAP),
                               "data": self.world.contracts[t].data(VIEWS[t], wallet)}, at(block)])
                for t in self.terms]

    def sums(self, pairs):
        """[(wallet, block)] -> [sum, or None where a term has no proper answer there]."""
        calls = [c for wallet, block in pairs for c in self.calls(wallet, block)]
        answers = self.world.rpc.batch(calls)
        width = len(self.terms)
        return [total(answers[i * width:(i + 1) * width]) for i in range(len(pairs))]

    def read(self, wallets, block="latest"):
        wallets = list(wallets)
        return dict(zip(wallets, self.sums([(w, block) for w in wallets])))


def total(answers):
    amount = 0
    for a in answers:
        if isinstance(a, RpcError) or len(a) != 66:
            return None
        amount += int(a, 16)
    return amount if amount < LIMIT else None
