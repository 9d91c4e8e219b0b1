"""The demo contracts on a chain, and the verbs to make things happen on it: traffic by the thousand,
changes that no event announces, wallets that misbehave."""

import json
import os
import random
import subprocess
from pathlib import Path

from .abi import call_data
from .anvil import CHAIN, GAS_CAP
from .wait import until

MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11"
DEPLOYER = "0x" + "d0" * 20
ZERO = "0x" + "00" * 20
WEI = 10 ** 18

CALM, REVERT, REASON, BURN, SWALLOW, SHORT, LONG, EMPTY, BOMB, HUGE, REVERT_BOMB = range(11)

TERMS = ("held", "staked", "delegated")
VIEWS = {"held": "balanceOf(address)", "staked": "totalStakedFor(address)",
         "delegated": "getTotalDelegatorStake(address)"}


def artifacts():
    """Compiled once per change of the sources; compile.mjs itself sees whether there is any."""
    folder = Path(os.environ.get("TRUEUP_BUILD", CHAIN / "build"))
    output = folder / "contracts.json"
    subprocess.run([os.environ.get("TRUEUP_NODE", "node"), str(CHAIN / "compile.mjs"), str(output)],
                   check=True, stdin=subprocess.DEVNULL)
    return json.loads(output.read_text())


def wallet(number):
    """The n-th made-up wallet: spread over the whole key space, the same in every run."""
    return f"0x{random.Random(number).getrandbits(160):040x}"


class Contract:
    def __init__(self, world, address, name):
        self.world = world
        self.address = address
        self.selectors = world.built[name]["selectors"]

    def selector(self, function):
        """`mint` or, where a name is overloaded, `mint(address,uint256)`."""
        found = [s for f, s in self.selectors.items() if f == function or f.split("(")[0] == function]
        if len(found) != 1:
            raise KeyError(function)
        return found[0]

    def data(self, function, *arguments):
        return call_data(self.selector(function), *arguments)

    def send(self, function, *arguments, sender=DEPLOYER):
        """One transaction; mined at once under automine. Raises if it fails."""
        return self.world.send(self.address, self.data(function, *arguments), sender)

    def post(self, function, *arguments, sender=DEPLOYER):
        """One transaction into the pool, its fate not asked for: for tests that mine themselves."""
        return self.world.post(self.address, self.data(function, *arguments), sender)

    def view(self, function, *arguments, block="latest"):
        return self.world.rpc.call("eth_call", {"to": self.address, "gas": hex(GAS_CAP),
                                                "data": self.data(function, *arguments)}, block)


class World:
    """token: plain; staking and delegation: behind proxies, as the first user's are."""

    def __init__(self, rpc):
        self.rpc = rpc
        self.built = artifacts()

    def put_multicall3(self):
        """At its usual address, but put there rather than deployed: there is no key for it."""
        runtime = self.rpc.call("eth_call", {"data": self.built["Multicall3"]["bytecode"],
                                             "gas": hex(GAS_CAP)}, "latest")
        self.rpc.call("anvil_setCode", MULTICALL3, runtime)

    def deploy(self):
        self.put_multicall3()
        self.token = Contract(self, self.create("DemoToken"), "DemoToken")
        self.staking = self.behind_proxy("DemoStaking")
        self.staking.send("initialize", self.token.address)
        self.delegation = self.behind_proxy("DemoDelegateManager")
        self.delegation.send("initialize", self.staking.address)
        self.contracts = {"held": self.token, "staked": self.staking, "delegated": self.delegation}
        self.birth = self.rpc.number()
        return self

    def behind_proxy(self, name):
        implementation = self.create(name)
        proxy = self.create("Proxy", implementation)
        return Contract(self, proxy, name)

    def upgrade(self, contract, name):
        proxy = self.built["Proxy"]["selectors"]["upgradeTo(address)"]
        self.send(contract.address, call_data(proxy, self.create(name)))

    def create(self, name, *arguments):
        code = call_data(self.built[name]["bytecode"], *arguments)
        return self.receipt(self.post(None, code))["contractAddress"]

    def post(self, to, data, sender=DEPLOYER):
        tx = {"from": sender, "data": data, "gas": hex(GAS_CAP - 100_000), "gasPrice": "0x0"}
        if to is not None:
            tx["to"] = to
        return self.rpc.call("eth_sendTransaction", tx)

    def send(self, to, data, sender=DEPLOYER):
        return self.receipt(self.post(to, data, sender))

    def receipt(self, tx):
        # The reply to a transaction may come a moment before its block.
        found = until(lambda: self.rpc.call("eth_getTransactionReceipt", tx),
                      f"{tx} to be mined (is automine off?)", every=0.001)
        if found["status"] != "0x1":
            raise AssertionError(f"{tx} failed")
        return found

    # Crowds. Everything random comes from the caller's generator, so a seed replays it.

    def mint_all(self, wallets, rng, most=1000 * WEI, at_once=400):
        for part in chunks(list(wallets), at_once):
            self.token.send("mintMany", part, [rng.randrange(1, most) for _ in part])

    def traffic(self, wallets, providers, rng, operations, at_once=60):
        """About `operations` random transfers, stakes, unstakes, delegations, undelegations,
        claims, slashes: at most `at_once` a transaction, a block each."""
        kinds = [self._transfers] * 6 + [self._stakes, self._unstakes, self._delegations,
                                         self._undelegations, self._claim, self._slash]
        left = operations
        while left > 0:
            left -= rng.choice(kinds)(wallets, providers, rng, min(at_once, left))

    def _transfers(self, wallets, providers, rng, n):
        self.token.send("moveMany", rng.choices(wallets, k=n), rng.choices(wallets, k=n),
                        self._amounts(rng, n))
        return n

    def _stakes(self, wallets, providers, rng, n):
        self.staking.send("stakeMany", rng.choices(wallets, k=n), self._amounts(rng, n))
        return n

    def _unstakes(self, wallets, providers, rng, n):
        self.staking.send("unstakeMany", rng.choices(wallets, k=n), self._amounts(rng, n))
        return n

    def _delegations(self, wallets, providers, rng, n):
        n = min(n, 20)
        self.delegation.send("delegateMany", rng.choices(wallets, k=n),
                             rng.choices(providers, k=n), self._amounts(rng, n))
        return n

    def _undelegations(self, wallets, providers, rng, n):
        n = min(n, 20)
        self.delegation.send("undelegateMany", rng.choices(wallets, k=n),
                             rng.choices(providers, k=n), self._amounts(rng, n))
        return n

    def _claim(self, wallets, providers, rng, n):
        self.delegation.send("claimRewards", rng.choice(providers), rng.randrange(1, 50))
        return 1

    def _slash(self, wallets, providers, rng, n):
        self.delegation.send("slash", rng.choice(providers), rng.randrange(1, 50))
        return 1

    def _amounts(self, rng, n):
        return [rng.choice((0, 1, rng.randrange(WEI), rng.randrange(100 * WEI))) for _ in range(n)]

    def silent(self, wallets, rng):
        """Balances change, and nothing says so."""
        for part in chunks(list(wallets), 400):
            self.token.send("silentSetMany", part, [rng.randrange(1000 * WEI) for _ in part])

    def mood(self, wallets, kind, number=0, term="held"):
        for part in chunks(list(wallets), 400):
            self.contracts[term].send("setMoods", part, kind, number)


def chunks(items, size):
    for start in range(0, len(items), size):
        yield items[start:start + size]
