"""Reader multicall3 on a real node: what it sends, how it cuts, what it never believes. The request log
of the provider is the witness."""

import json
import re
from collections import Counter

import pytest

from harness import config as configs
from harness.anvil import GAS_CAP
from harness.config import BALANCE, TABLE
from harness.provider import asked, provider  # noqa: F401
from harness.world import (BOMB, BURN, EMPTY, HUGE, LONG, MULTICALL3, REASON, REVERT, REVERT_BOMB, SHORT,
                           SWALLOW, wallet)

WALLETS = [wallet(i) for i in range(300)]

AGGREGATE3 = "0x82ad56cb"  # aggregate3((address,bool,bytes)[])
VIEWS = {"held": "70a08231"}  # balanceOf(address), as everybody knows it
IDENTITY = "0x" + "00" * 19 + "04"
PROOF = ["42cbb15c", "27e86d6e", "0f28c97d", "3408e470"]  # number, parent hash, timestamp, chain id

pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def read(chain, store, trueup, provider, tmp_path):  # noqa: F811
    """read(wallets) -> {wallet: value or None} through reader multicall3 alone."""
    settings = configs.settings(chain.world, provider.url, store.url)
    settings["chain"]["endpoints"][0]["reader"] = "multicall3"
    trueup.config = configs.write(tmp_path / "trueup.yaml", settings)

    def run(wallets, *arguments, code=None):
        done = trueup.run("read", "--json", *arguments, *wallets, code=code)
        if code:
            return done.stderr
        rows = [json.loads(x) for x in done.stdout.splitlines()]
        values = {r["wallet"]: None if r["value"] is None else int(r["value"]) for r in rows}
        assert done.returncode == (None in values.values()) and len(values) == len(wallets), done
        return values
    return run


def calls_of(data):
    """[(target, allow failure, call data)] of an aggregate3 call."""
    raw = bytes.fromhex(data[10:])
    number = lambda at: int.from_bytes(raw[at:at + 32], "big")  # noqa: E731
    base = number(0)
    found = []
    for i in range(number(base)):
        at = base + 32 + number(base + 32 + 32 * i)
        size = number(at + number(at + 64))
        start = at + number(at + 64) + 32
        found.append(("0x" + raw[at + 12:at + 32].hex(), number(at + 32), raw[start:start + size].hex()))
    return found


def test_row_aggregate3_of_200_holders(chain, read, provider, rng):  # noqa: F811
    """Row of the first user: one aggregate3 per 200 holders = 600 sub-calls, allowFailure on each."""
    chain.world.mint_all(WALLETS[:200], rng)
    assert read(WALLETS[:200]) == chain.truth.read(WALLETS[:200])
    long_ones = [r for r in provider.log() if r["method"] == "eth_call" and r["bytes_in"] > 100_000]
    assert len(long_ones) == 1, "one request for all of them"


def test_what_is_sent(chain, read, provider, rng):  # noqa: F811
    """The echo of a nonce, proof, wallet by wallet each term, the sentinel, the echo again; pinned by
    hash, gas given."""
    chain.world.mint_all(WALLETS[:3], rng)
    head = chain.rpc.block()
    read(WALLETS[:3])
    *_, probe, params = (p for p in asked(provider, "eth_call") if AGGREGATE3 in str(p))
    assert calls_of(probe[0]["data"])[0][2] != calls_of(params[0]["data"])[0][2], "a nonce each"
    calls = calls_of(params[0]["data"])
    assert params[0]["to"] == MULTICALL3 and int(params[0]["gas"], 16) <= GAS_CAP
    assert params[1] == {"blockHash": head["hash"]}
    echo = calls[0][2]
    assert calls[0][0] == calls[-1][0] == IDENTITY and calls[-1][2] == echo
    assert len(echo) == 64 and echo[:32] == "0" * 32 and echo[32:] != "0" * 32
    calls = calls[1:-1]
    assert [(t, d) for t, _, d in calls[:4]] == [(MULTICALL3, s) for s in PROOF]
    world = chain.world
    terms = [(world.token, "balanceOf"), (world.staking, "totalStakedFor"),
             (world.delegation, "getTotalDelegatorStake")]
    assert [(t, "0x" + d) for t, _, d in calls[4:-1]] == [
        (c.address, c.data(view, w)) for w in sorted(WALLETS[:3]) for c, view in terms]
    assert calls[-1][0] == "0x" + "00" * 19 + "05"
    assert all(allowed for _, allowed, _ in calls), "allowFailure on each"


@pytest.mark.parametrize("kind, number", [(REVERT, 0), (REASON, 0), (BURN, 0), (SHORT, 0), (LONG, 0),
                                          (EMPTY, 0), (BOMB, 50_000), (REVERT_BOMB, 50_000),
                                          (BOMB, 3_000_000), (REVERT_BOMB, 3_000_000)])
def test_one_bad_wallet_among_many(chain, read, rng, kind, number):
    """It has no value; everybody else has the right one."""
    chain.world.mint_all(WALLETS[:50], rng)
    chain.world.mood([WALLETS[20]], kind, number)
    want = chain.truth.read(WALLETS[:50])
    want[WALLETS[20]] = None
    assert read(WALLETS[:50]) == want


def test_many_bad_wallets(chain, read, rng):
    chain.world.mint_all(WALLETS, rng)
    kinds = [(REVERT, 0), (BURN, 0), (SHORT, 0), (LONG, 0), (EMPTY, 0), (BOMB, 50_000), (HUGE, 0)]
    for i, (kind, number) in enumerate(kinds):
        chain.world.mood(WALLETS[i::40], kind, number)
    huge = WALLETS[len(kinds) - 1::40]
    chain.world.staking.send("stakeMany", huge[:2], [1, 1])
    got, want = read(WALLETS), chain.truth.read(WALLETS)
    bad = {w for i, _ in enumerate(kinds) for w in WALLETS[i::40]}  # 2^256 - 1 may as well be -1
    assert all(got[w] is None for w in bad)
    assert {w: v for w, v in got.items() if w not in bad} == {
        w: v for w, v in want.items() if w not in bad}


@pytest.mark.parametrize("appetite", [200_000, 1_200_000, 5_000_000, 20_000_000])
def test_swallowed_out_of_gas(chain, read, rng, appetite):
    """Views that hide an inner out-of-gas as a 0: the right number or none, never the 0."""
    chain.world.mint_all(WALLETS[:60], rng)
    hungry = WALLETS[:60:3]
    chain.world.mood(hungry, SWALLOW, appetite)
    got, want = read(WALLETS[:60]), chain.truth.read(WALLETS[:60])
    assert all(want[w] == 7 for w in hungry), "the stage itself"
    assert {got[w] for w in hungry} == {7}
    assert got == want


def test_swallowed_beyond_every_budget(chain, read, rng):
    """It wants more than any call is given: then there is no number for it at all."""
    chain.world.mint_all(WALLETS[:10], rng)
    chain.world.mood(WALLETS[:1], SWALLOW, 60_000_000)
    got = read(WALLETS[:10])
    assert got.pop(WALLETS[0]) is None
    assert got == {w: v for w, v in chain.truth.read(WALLETS[:10]).items() if w in got}


@pytest.mark.parametrize("cap", [3_000_000, 10_000_000])
@pytest.mark.parametrize("how", ["gas-cap", "gas-refused"])
def test_less_gas_than_asked_for(chain, read, provider, rng, how, cap):  # noqa: F811
    """Lowered without a word, or refused: found out, and cut accordingly."""
    provider.rules({"fault": how, "method": "eth_call", "args": {"cap": cap}})
    chain.world.mint_all(WALLETS, rng)
    chain.world.mood(WALLETS[::30], SWALLOW, 300_000)
    assert read(WALLETS) == chain.truth.read(WALLETS)
    granted = [int(re.search(r"gas\W+(0x[0-9a-f]+)", str(r["params"]))[1], 16)
               for r in provider.log() if r["method"] == "eth_call" and AGGREGATE3 in str(r["params"])
               and r["bytes_in"] > 5000]  # those of the probe are smaller
    # Gas is found by halving, and what counts is the half that a sentinel proves.
    assert granted and max(granted) < 2 * cap, granted


@pytest.mark.parametrize("fault, size", [("request-cap", 20_000), ("reply-cap", 10_000),
                                         ("reply-cap", 8_000)])
def test_sizes_are_found(chain, read, provider, rng, fault, size):  # noqa: F811
    provider.rules({"fault": fault, "method": "eth_call", "args": {"bytes": size}})
    chain.world.mint_all(WALLETS, rng)
    assert read(WALLETS) == chain.truth.read(WALLETS)
    outcome = Counter(r["status"] == 200 and r["bytes_out"] > 300 for r in provider.log()
                      if r["method"] == "eth_call")
    assert sum(outcome.values()) < 400, "batching is not given up"


def test_null_is_asked_again(chain, read, provider, rng):  # noqa: F811
    chain.world.mint_all(WALLETS[:5], rng)
    provider.rules({"fault": "null-result", "method": "eth_call", "match": "82ad56cb", "times": 2})
    assert read(WALLETS[:5]) == chain.truth.read(WALLETS[:5])


def test_lies_about_the_block(chain, read, provider, rng):  # noqa: F811
    chain.world.mint_all(WALLETS[:5], rng)
    chain.anvil.mine(5)
    for rules in ([{"fault": "older-block", "method": "eth_call", "match": "82ad56cb"}],
                  [{"fault": "ignore-pin", "method": "eth_call"},
                   {"fault": "older-block", "method": "eth_call"}]):
        provider.rules(*rules)
        said = read(WALLETS[:5], code=1)
        assert "answered from block" in said and '"local"' in said, said


def test_no_multicall3_there(chain, read, rng):
    chain.world.mint_all(WALLETS[:5], rng)
    chain.rpc.call("anvil_setCode", MULTICALL3, "0x")
    chain.anvil.mine(1)
    said = read(WALLETS[:5], code=1)
    assert "no Multicall3 at 0xcA11bde05977b3631167028862bE2a173976CA11" in said
    assert "hint: " in said and "chain.multicall" in said


def test_something_else_at_its_address(chain, read, rng):
    """A token there answers no aggregate3; code that always says 32 zero bytes proves nothing."""
    chain.world.mint_all(WALLETS[:5], rng)
    for code in ("0x60206000f3", "0x60006000fd", "0xfe",
                 chain.rpc.call("eth_getCode", chain.world.token.address, "latest")):
        chain.rpc.call("anvil_setCode", MULTICALL3, code)
        chain.anvil.mine(1)
        said = read(WALLETS[:5], code=1)
        assert said.startswith("trueup: "), said
