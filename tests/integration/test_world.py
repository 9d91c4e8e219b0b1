"""The ground itself, without trueup: the demo contracts do what the tests believe of them, and the
reader of truth reads it. A wrong world would make every other test here worthless."""

import pytest

from harness.abi import decode_addresses
from harness.anvil import GAS_CAP
from harness.rpc import RpcError
from harness.truth import Truth
from harness.world import (BOMB, BURN, EMPTY, HUGE, LONG, MULTICALL3, REASON, REVERT, REVERT_BOMB,
                           SHORT, SWALLOW, WEI, wallet)

A, B, C = wallet(1), wallet(2), wallet(3)


def balance_of(chain, who, gas=GAS_CAP):
    return chain.rpc.call("eth_call", {"to": chain.world.token.address, "gas": hex(gas),
                                       "data": chain.world.token.data("balanceOf", who)}, "latest")


def test_events_and_totals(chain):
    world = chain.world
    world.token.send("mint", A, 100)
    receipt = world.token.send("move", A, B, 30)
    topic = world.built["DemoToken"]["topics"]["Transfer(address,address,uint256)"]
    assert [log["topics"] for log in receipt["logs"]] == [
        [topic, "0x" + A[2:].rjust(64, "0"), "0x" + B[2:].rjust(64, "0")]]
    world.staking.send("stake", A, 20)
    world.delegation.send("delegate", B, A, 10)
    assert chain.truth.read([A, B, C]) == {A: 50 + 30, B: 20 + 10, C: 0}
    assert Truth(world, ("staked",)).read([A]) == {A: 30}


def test_a_claim_names_nobody_it_pays(chain):
    world = chain.world
    world.token.send("mintMany", [B, C], [1000, 1000])
    world.delegation.send("delegateMany", [B, C], [A, A], [400, 200])
    assert decode_addresses(world.delegation.view("getDelegatorsList", A)) == [B, C]
    before = chain.truth.read([A, B, C])
    receipt = world.delegation.send("claimRewards", A, 500)
    after = chain.truth.read([A, B, C])
    assert [after[w] - before[w] for w in (A, B, C)] == [300, 200, 100]
    named = "".join(t for log in receipt["logs"] for t in log["topics"][1:])
    assert A[2:] in named and B[2:] not in named and C[2:] not in named


def test_leaving_takes_a_delegator_off_the_list(chain):
    world = chain.world
    world.token.send("mintMany", [B, C], [1000, 1000])
    world.delegation.send("delegateMany", [B, C], [A, A], [400, 200])
    world.delegation.send("undelegate", B, A, 400)
    assert decode_addresses(world.delegation.view("getDelegatorsList", A)) == [C]
    world.delegation.send("removeDelegator", A, C)
    assert decode_addresses(world.delegation.view("getDelegatorsList", A)) == []
    assert chain.truth.read([A, B, C]) == {A: 0, B: 1000, C: 1000}


def test_silence(chain):
    chain.world.token.send("mint", A, 5)
    receipt = chain.world.token.send("silentSet", A, 77)
    assert receipt["logs"] == []
    assert chain.truth.read([A]) == {A: 77}


def test_an_upgrade_changes_everybody(chain):
    world = chain.world
    world.token.send("mintMany", [A, B], [100, 100])
    world.staking.send("stakeMany", [A, B], [10, 20])
    world.upgrade(world.staking, "DemoStakingDoubled")
    assert chain.truth.read([A, B]) == {A: 90 + 20, B: 80 + 40}


def test_old_blocks_stay_readable(chain):
    world = chain.world
    world.token.send("mint", A, 1)
    then = chain.rpc.number()
    hash_then = chain.rpc.block()["hash"]
    world.token.send("mint", A, 1)
    chain.anvil.mine(600)  # more than the node keeps in memory by itself
    assert chain.truth.read([A], then) == {A: 1}
    assert chain.truth.read([A], hash_then) == {A: 1}
    assert chain.truth.read([A]) == {A: 2}


@pytest.mark.parametrize("kind, number, answer", [
    (REVERT, 0, None), (REASON, 0, None), (BURN, 0, None), (REVERT_BOMB, 100_000, None),
    (SHORT, 0, 31), (LONG, 0, 64), (EMPTY, 0, 0), (BOMB, 100_000, 100_000)])
def test_moods_that_answer_nothing_of_use(chain, kind, number, answer):
    chain.world.token.send("mint", A, 100)
    chain.world.mood([A], kind, number)
    if answer is None:
        with pytest.raises(RpcError):
            balance_of(chain, A)
    else:
        assert (len(balance_of(chain, A)) - 2) / 2 == answer
    assert chain.truth.read([A, B]) == {A: None, B: 0}


def test_swallowed_out_of_gas_is_a_wrong_number(chain):
    """The trap is really set: the same view, at the same block, says 0 or 7 by the gas it gets."""
    chain.world.mood([A], SWALLOW, 1_200_000)
    assert int(balance_of(chain, A, gas=1_000_000), 16) == 0
    assert int(balance_of(chain, A, gas=2_000_000), 16) == 7
    assert chain.truth.read([A]) == {A: 7}


def test_sums_can_overflow(chain):
    world = chain.world
    world.token.send("mint", A, 1000)
    world.staking.send("stake", A, 11)
    world.mood([A], HUGE, 10)
    assert chain.truth.read([A]) == {A: None}
    world.mood([A], HUGE, 11)
    assert chain.truth.read([A]) == {A: 2 ** 256 - 1}


def test_multicall3_is_where_it_always_is(chain):
    aggregate3 = "0x82ad56cb"
    empty = aggregate3 + f"{32:064x}{0:064x}"
    assert chain.rpc.call("eth_call", {"to": MULTICALL3, "data": empty}, "latest") == (
        "0x" + f"{32:064x}{0:064x}")


def test_thousands_take_a_moment(chain, rng):
    world = chain.world
    wallets = [wallet(i) for i in range(500)]
    world.mint_all(wallets, rng, most=100 * WEI)
    world.traffic(wallets, wallets[:5], rng, 2000)
    sums = chain.truth.read(wallets)
    assert len(sums) == 500 and all(v is not None for v in sums.values())


def test_a_reorg_takes_a_block_back(chain):
    chain.world.token.send("mint", A, 1)
    before = chain.rpc.block()
    chain.anvil.reorg(1)
    after = chain.rpc.block()
    assert after["number"] == before["number"] and after["hash"] != before["hash"]
    assert chain.truth.read([A]) == {A: 0}


def test_finalized_moves(chain):
    chain.anvil.mine(10)
    assert int(chain.rpc.block("finalized")["number"], 16) == chain.rpc.number() - 2


def test_stores_open_and_answer(store):
    store.script("CREATE TABLE t (wallet TEXT, n INTEGER)")
    store.many("INSERT INTO t VALUES (?, ?)", [("a", 1), ("b", 2)])
    assert store.sql("SELECT n FROM t WHERE wallet = ?", "b") == [(2,)]
    assert store.has_table("t") and not store.has_table("u")
