"""How much one request carries: found out by itself, whatever a plan bears, and kept."""

import pytest

from harness import config as configs
from harness.config import BALANCE, TABLE
from harness.provider import provider  # noqa: F401
from harness.world import BURN, MULTICALL3, SWALLOW, wallet

COUNT = 1500
WALLETS = [wallet(i) for i in range(COUNT)]
AGGREGATE3 = "0x82ad56cb"

pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


def placed(trueup, store, chain, rng):
    """Rows with a guess from 1970, wallets with balances."""
    chain.world.mint_all(WALLETS, rng)
    chain.anvil.mine(4)
    trueup.run("migrate")
    store.many(f"INSERT INTO {TABLE} (wallet, balance, updated_at) VALUES (?, ?, ?)",
               [(w, "99", "1970-01-01 00:00:00.000000") for w in WALLETS])


def configured_for(provider, store, chain, tmp_path, reader="auto"):  # noqa: F811
    endpoint = {"name": "scripted", "url": provider.url, "ws": "off", "reader": reader}
    return configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, provider.url, store.url, wallets="listed", chain={"endpoints": [endpoint]}))


def swept(trueup, provider):  # noqa: F811
    """Runs one pass; the log of its calls that read wallets, by the size of what they asked."""
    provider.order(clear_log=True)
    trueup.run("sweep")
    return [r for r in provider.log() if r["method"] == "eth_call" and r["bytes_in"] > 3_300]


def wallets_in(request):
    """How many wallets a request of a lens or of aggregate3 carries, roughly: 40 characters each, or
    three calls."""
    if MULTICALL3 in request["params"][:80]:
        return (request["bytes_in"] - 3_000) // 1344
    return (request["bytes_in"] - 1_300) // 40


def assert_all_true(store, chain, but=()):
    truth = chain.truth.read(w for w in WALLETS if w not in but)
    rows = store.rows(TABLE)
    assert {w: rows[w].balance for w in truth} == truth
    assert all(rows[w].observed_block is not None for w in truth)
    assert store.quarantined(BALANCE) == set(but)


PLANS = {
    "lowers": {"gas": 10_000_000, "lowers": True},
    "refuses": {"gas": 10_000_000},
    "no create": {"gas": 10_000_000, "lowers": True, "create": False},
    "refuses, no create": {"gas": 10_000_000, "create": False},
    "small": {"gas": 2_500_000, "answer": 4_000},
}


@pytest.mark.parametrize("plan", PLANS)
def test_a_pass_on_a_narrow_plan(chain, store, trueup, provider, tmp_path, rng, plan):  # noqa: F811
    """10 M gas, 1 MB of body, 24,576 bytes of answer, no override: nothing is set by hand, and the
    second pass begins where the first one had got to."""
    trueup.config = configured_for(provider, store, chain, tmp_path)
    placed(trueup, store, chain, rng)
    provider.rules({"fault": "bears", "args": {"request": 1_000_000, "answer": 24_576,
                                               "override": False, **PLANS[plan]}})
    first = swept(trueup, provider)
    assert_all_true(store, chain)
    learnt = store.sql("SELECT reader, sizes FROM trueup_learned")
    second = swept(trueup, provider)
    assert_all_true(store, chain)
    assert len(learnt) == 1 and len(second) <= len(first)
    size = int(learnt[0][1].split()[0])
    sizes = [wallets_in(r) for r in second]
    assert size * 0.7 <= max(sizes[:4]) <= size * 1.02, (learnt, sizes)
    assert sum(r["bytes_out"] <= 500 for r in second) <= 1, "no size that failed is tried again"


def test_a_body_limit(chain, store, trueup, provider, tmp_path, rng):  # noqa: F811
    """Found by cutting, kept under, and not tried again in a hurry."""
    trueup.config = configured_for(provider, store, chain, tmp_path, "multicall3")
    placed(trueup, store, chain, rng)
    provider.rules({"fault": "request-cap", "method": "eth_call", "args": {"bytes": 150_000}})
    passes = [swept(trueup, provider) for _ in range(3)]
    assert_all_true(store, chain)
    refused = [sum(r["status"] == 413 for r in p) for p in passes]
    # Two fly before the first is answered; from then on a size that was never borne is tried by one
    # request alone, however slow the answers come.
    assert refused[0] >= 1 and sum(refused) <= 5, refused
    assert max(r["bytes_in"] for p in passes for r in p if r["status"] == 200) > 75_000
    assert len(passes[2]) <= 1.4 * COUNT * 1_344 / 150_000


@pytest.mark.parametrize("reader", ["override", "multicall3"])
def test_a_few_bad_wallets_do_not_make_everybodys_requests_small(chain, store, trueup, provider,  # noqa: F811
                                                                 tmp_path, rng, reader):
    trueup.config = configured_for(provider, store, chain, tmp_path, reader)
    placed(trueup, store, chain, rng)
    bad = WALLETS[100:103]
    chain.world.mood(bad, BURN)
    chain.world.mood(WALLETS[200:202], SWALLOW, 15_000_000, "staked")
    chain.anvil.mine(4)
    swept(trueup, provider)
    calls = swept(trueup, provider)
    assert_all_true(store, chain, but=bad)
    # Each bad one costs a search by halves; without it a pass is a dozen requests.
    assert len(calls) <= 90, len(calls)
    store.sql("DELETE FROM trueup_quarantine")
    chain.world.mood(bad, 0)
    chain.anvil.mine(4)
    calls = swept(trueup, provider)
    assert_all_true(store, chain)
    assert len(calls) <= 20, "the size was never theirs to lower"


def test_less_gas_from_now_on(chain, store, trueup, provider, tmp_path, rng):  # noqa: F811
    """A node that begins to refuse what it gave is asked for less, in the middle of a pass."""
    trueup.config = configured_for(provider, store, chain, tmp_path)
    placed(trueup, store, chain, rng)
    provider.rules({"fault": "gas-refused", "method": "eth_call", "skip": 4,
                    "args": {"cap": 8_000_000}})
    calls = swept(trueup, provider)
    assert_all_true(store, chain)
    assert any(r["faults"] for r in calls) and len(calls) < 20


def test_multicall3_is_what_was_used(chain, store, trueup, provider, tmp_path, rng):  # noqa: F811
    """The tests above mean it: aggregate3, and more than a few wallets in it."""
    trueup.config = configured_for(provider, store, chain, tmp_path, "multicall3")
    placed(trueup, store, chain, rng)
    calls = swept(trueup, provider)
    assert all(MULTICALL3 in r["params"][:80] and AGGREGATE3 in r["params"][:160] for r in calls)
    assert max(r["bytes_in"] for r in calls) > 200_000
