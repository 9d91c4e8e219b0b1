"""Following the chain through what nodes and chains do: caps on ranges, requests that fail, answers
from the wrong block, reorgs. The provider between the daemon and the node plays the faults."""

import time

import pytest

from harness import config as configs
from harness.checks import (assert_at_rest_equal, assert_anchored_rows_true, until_at_rest,
                            until_looked_twice)
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.provider import asked, provider  # noqa: F401
from harness.world import BOMB, REVERT, wallet

WALLETS = [wallet(i) for i in range(60)]

# For what is between the daemon and its node alone: once is enough.
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def follow(chain, store, trueup, provider, tmp_path):  # noqa: F811
    """Starts the daemon behind the provider: follow(sweep=…, chain=…)."""
    def start(*arguments, **changes):
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, provider.url, store.url, **changes))
        trueup.start(*arguments)
        return trueup
    return start


def first_checkpoint(trueup, store):
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")


def synced(trueup, store, block, seconds=30):
    trueup.until(lambda: store.synced(BALANCE) >= block, f"block {block}", seconds)


def read_for(trueup, store, wallets, block):
    trueup.until(lambda: all(w in store.rows(TABLE) and store.rows(TABLE)[w].blocknumber == block
                             for w in wallets), f"the wallets to be read for block {block}")


def away(chain, rng, gaps):
    """Events in the midst of empty blocks."""
    for i, gap in enumerate(gaps):
        chain.anvil.mine(gap)
        chain.world.token.send("mint", WALLETS[i], rng.randrange(1, 10 ** 20))


# ---- catching up --------------------------------------------------------------------------------------


def windows(provider):  # noqa: F811
    """(from, to) of every eth_getLogs by range."""
    return [(int(p["fromBlock"], 16), int(p["toBlock"], 16)) for [p] in asked(provider, "eth_getLogs")
            if "fromBlock" in p]


@on_sqlite
@pytest.mark.parametrize("text, refused", [("exceed maximum block range: {blocks}", 1),
                                           ("block range is too wide", 12)])
def test_catching_up_within_a_cap_on_blocks(chain, store, follow, provider, rng,  # noqa: F811
                                            text, refused):
    """Down for hundreds of blocks, and the provider answers 40 at a time, with or without saying so."""
    trueup = follow()
    first_checkpoint(trueup, store)
    assert trueup.stop() == 0
    began = store.checkpoint(CHECKPOINT)  # what a restart goes on from
    away(chain, rng, [90] * 5)
    provider.rules({"fault": "range-cap", "method": "eth_getLogs",
                    "args": {"blocks": 40, "text": text}})
    provider.order(clear_log=True)
    trueup.start()
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:5])
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:5])
    asked_for = windows(provider)
    answered = sorted(w for w in asked_for if w[1] - w[0] < 40)
    # One more: the trial of the endpoint may look for a block with logs in one wide range.
    assert len(asked_for) - len(answered) <= refused + 1, asked_for
    assert answered[0][0] == began + 1
    for (_, end), (start, _) in zip(answered, answered[1:]):
        assert start <= end + 1, f"a gap after {end}"
    said = [line for line in trueup.output().splitlines() if "backfilling missed blocks" in line]
    assert said and f"from={began + 1}" in said[-1], said


@on_sqlite
def test_one_block_is_the_floor(chain, store, follow, provider, rng):  # noqa: F811
    """Every block holds more than the provider gives for several: it is asked block by block."""
    trueup = follow()
    first_checkpoint(trueup, store)
    assert trueup.stop() == 0
    for i in range(0, 30, 3):
        chain.world.token.send("mintMany", WALLETS[i:i + 3], [1, 2, 3])
    chain.anvil.mine(80)  # past what is asked for by hash
    provider.rules({"fault": "logs-cap", "method": "eth_getLogs", "args": {"logs": 2}})
    trueup.start()
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:30])
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:30])
    assert [w for w in windows(provider) if w[0] == w[1]]


@on_sqlite
def test_from_a_block_long_ago(chain, store, follow, rng):
    """--from: what happened before the first start."""
    away(chain, rng, [3] * 10)
    chain.anvil.mine(90)
    trueup = follow("--from", chain.world.birth)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:10])
    rows = assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:10])
    assert all(r.blocknumber for r in rows.values())


@on_sqlite
def test_a_node_that_is_away_at_the_start_is_waited_for(chain, store, follow, provider, rng):  # noqa: F811
    trueup = follow()
    first_checkpoint(trueup, store)
    assert trueup.stop() == 0
    chain.world.token.send("mint", WALLETS[0], 5)
    provider.rules({"fault": "reset"})
    trueup.start()
    trueup.until_log("no endpoint answers yet", 30)
    provider.reset()
    synced(trueup, store, chain.rpc.number())
    assert store.rows(TABLE)[WALLETS[0]].balance == 5


# ---- failures: of a request, of a wallet, of a contract -----------------------------------------------


@pytest.mark.parametrize("method", ["eth_call", "eth_getLogs"])
def test_a_failed_request_holds_the_checkpoint(chain, store, follow, provider, method):  # noqa: F811
    trueup = follow(sweep={"interval": "1h"})
    first_checkpoint(trueup, store)
    chain.world.token.send("mint", WALLETS[0], 5)
    synced(trueup, store, chain.rpc.number())
    provider.rules({"fault": "error", "method": method, "args": {"text": "internal error", "code": -32603}})
    said = len(trueup.output())
    chain.world.token.send("mint", WALLETS[0], 5)
    named = chain.rpc.number()
    chain.anvil.mine(4)  # finalized, so that nothing but the failure is in the checkpoint's way
    trueup.until(lambda: "event sync" in trueup.output()[said:], "it to say that it cannot", 40)
    assert store.synced(BALANCE) < named and store.checkpoint(CHECKPOINT) < named
    assert store.rows(TABLE)[WALLETS[0]].balance == 5
    assert not store.quarantined(BALANCE)
    provider.reset()
    synced(trueup, store, named)
    row = store.rows(TABLE)[WALLETS[0]]
    assert (row.balance, row.blocknumber) == (10, named)


@on_sqlite
def test_the_last_step_carries_the_checkpoint(chain, store, follow, provider, rng):  # noqa: F811
    """More wallets than one step takes, and the last one's request is not served: what was read is
    written, but a restart begins before all of it."""
    many = [wallet(i) for i in range(2100)]
    trueup = follow(terms=("held",), sweep={"interval": "1h"})
    first_checkpoint(trueup, store)
    assert trueup.stop() == 0
    first = chain.rpc.number() + 1
    chain.world.mint_all(many, rng)
    chain.anvil.mine(4)
    provider.rules({"fault": "http-503", "method": "eth_call", "match": max(many)[2:]})
    trueup.start()
    trueup.until(lambda: len(store.rows(TABLE)) >= 2048, "the first step's rows")
    assert store.checkpoint(CHECKPOINT) < first, "not all of these blocks' wallets have been read"
    assert max(many) not in store.rows(TABLE)
    provider.reset()
    synced(trueup, store, chain.rpc.number())
    assert set(store.rows(TABLE)) == set(many)
    until_looked_twice(trueup, store, chain.anvil, first)


def test_a_failed_wallet_does_not(chain, store, follow, rng):
    trueup = follow()
    first_checkpoint(trueup, store)
    chain.world.mint_all(WALLETS[:10], rng)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:10])
    before = store.rows(TABLE)[WALLETS[0]]
    chain.world.mood([WALLETS[0]], REVERT)
    chain.world.token.send("mint", WALLETS[0], 5)
    named = chain.rpc.number()
    chain.world.token.send("mint", WALLETS[1], 5)
    synced(trueup, store, named + 1)
    assert store.quarantined(BALANCE) == {WALLETS[0]}
    row = store.rows(TABLE)[WALLETS[0]]
    assert (row.balance, row.blocknumber) == (before.balance, before.blocknumber)
    assert store.one("SELECT event_block FROM trueup_quarantine WHERE wallet = ?", WALLETS[0]) == named


@on_sqlite
def test_a_wallet_too_large_for_any_call(chain, store, follow, rng):
    """Its view answers with so much that Multicall3 itself runs out of gas, even for it alone."""
    trueup = follow()
    first_checkpoint(trueup, store)
    chain.world.mint_all(WALLETS[:20], rng)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:20])
    chain.world.mood([WALLETS[0]], BOMB, 3_000_000)
    chain.world.token.send("mintMany", WALLETS[:20], [1] * 20)
    synced(trueup, store, chain.rpc.number())
    assert store.quarantined(BALANCE) == {WALLETS[0]}
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:20])
    assert_at_rest_equal(store, chain.truth)


def test_a_contract_that_fails_for_everybody(chain, store, follow, rng):
    """An alarm, nobody in quarantine, the checkpoint held; when it works again all is paid."""
    trueup = follow()
    first_checkpoint(trueup, store)
    chain.world.mint_all(WALLETS[:20], rng)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:20])
    before = store.rows(TABLE)
    staking = chain.world.staking.address
    code = chain.rpc.call("eth_getCode", staking, "latest")
    said = len(trueup.output())
    chain.rpc.call("anvil_setCode", staking, "0x60006000fd")
    chain.world.token.send("mintMany", WALLETS[:20], [7] * 20)
    named = chain.rpc.number()
    chain.anvil.mine(4)
    trueup.until_log("event sync is blocked", 20, said)
    trueup.until_log("stale refresh: a term fails for every wallet", 20, said)
    assert 'term \\"staked\\" of balance \\"audio\\" fails for every wallet' in trueup.output()
    assert store.quarantined(BALANCE) == set()
    assert {w: r.balance for w, r in store.rows(TABLE).items()} == {
        w: r.balance for w, r in before.items()}
    assert store.synced(BALANCE) < named
    chain.rpc.call("anvil_setCode", staking, code)
    until_at_rest(trueup, store, chain.anvil)
    rows = assert_at_rest_equal(store, chain.truth)
    assert all(rows[w].balance == before[w].balance + 7 for w in WALLETS[:20])


# ---- answers from elsewhere ---------------------------------------------------------------------------


@on_sqlite
@pytest.mark.parametrize("from_the_start", [True, False])
def test_a_node_that_answers_from_an_older_block(chain, store, follow, provider,  # noqa: F811
                                                 from_the_start):
    """Whether it ignored hashes from the start or does only now: nothing of it is written."""
    liar = [{"fault": "ignore-pin", "method": "eth_call"}, {"fault": "older-block", "method": "eth_call"}]
    if from_the_start:
        provider.rules(*liar)
    trueup = follow()
    first_checkpoint(trueup, store)
    if not from_the_start:
        chain.world.token.send("mintMany", WALLETS[:5], [1] * 5)
        until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:5])
        provider.rules(*liar)
    before = store.rows(TABLE)
    chain.world.token.send("mintMany", WALLETS[:10], [5] * 10)
    named = chain.rpc.number()
    said = len(trueup.output())
    trueup.until_log("answered from block", 20, said)
    assert {w: r.balance for w, r in store.rows(TABLE).items()} == {
        w: r.balance for w, r in before.items()}
    assert store.synced(BALANCE) < named
    provider.reset()
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:10])
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:10])


@on_sqlite
def test_logs_left_out_near_the_head(chain, store, follow, provider):  # noqa: F811
    """The first answer has none: the next look asks about the block again."""
    trueup = follow(sweep={"interval": "1h"})
    first_checkpoint(trueup, store)
    provider.rules({"fault": "omit-logs", "method": "eth_getLogs", "times": 1})
    chain.world.token.send("mint", WALLETS[0], 5)
    named = chain.rpc.number()
    read_for(trueup, store, WALLETS[:1], named)


@on_sqlite
def test_logs_cut_off_near_the_head(chain, store, follow, provider):  # noqa: F811
    """A block holds logs of two contracts, the first answer those of one: the next look has both."""
    trueup = follow(sweep={"interval": "1h"})
    first_checkpoint(trueup, store)
    provider.rules({"fault": "cut-logs", "method": "eth_getLogs", "times": 1})
    chain.anvil.automine(False)
    chain.world.token.post("mint", WALLETS[0], 5)
    chain.world.staking.post("stakeMany", [WALLETS[1]], [7])
    chain.anvil.mine(1)
    read_for(trueup, store, WALLETS[:2], chain.rpc.number())


# ---- which block a row is of --------------------------------------------------------------------------


def test_sweep_and_event_in_every_order(chain, store, follow, trueup, rng):
    """Row of the first user: an event's block, the greatest of old and new; a sweep keeps it; a first
    insert by the sweep has none. In whichever order they come."""
    world = chain.world
    listed, named_first, swept_first, never = WALLETS[:4]
    world.token.send("mintMany", [listed, never], [1, 1])  # before anything is followed
    chain.anvil.mine(3)
    follow(wallets="listed")
    first_checkpoint(trueup, store)
    store.list_wallets(BALANCE, [listed, named_first, swept_first])
    trueup.until(lambda: len(store.rows(TABLE)) == 3, "the listed wallets to be read", 20)
    rows = store.rows(TABLE)
    assert {r.blocknumber for r in rows.values()} == {None}, "first inserts by the sweep"
    assert rows[listed].balance == 1 and rows[named_first].balance == 0

    world.token.send("mint", named_first, 5)  # event, then sweeps of later blocks
    first = chain.rpc.number()
    until_at_rest(trueup, store, chain.anvil)
    row = store.rows(TABLE)[named_first]
    assert row.blocknumber == first and row.observed_block >= first and row.balance == 5

    world.token.send("mint", named_first, 5)  # a later event raises it
    second = chain.rpc.number()
    synced(trueup, store, second)
    assert store.rows(TABLE)[named_first].blocknumber == second

    # The sweep reads past an event that is not synced yet: then the event comes.
    assert trueup.stop() == 0
    world.token.send("mint", swept_first, 7)
    third = chain.rpc.number()
    chain.anvil.mine(80)
    trueup.run("sweep")
    row = store.rows(TABLE)[swept_first]
    assert row.observed_block > third and row.blocknumber is None and row.balance == 7
    trueup.start()
    until_at_rest(trueup, store, chain.anvil)
    row = store.rows(TABLE)[swept_first]
    assert row.blocknumber == third and row.balance == 7
    assert never not in store.rows(TABLE)
    assert_at_rest_equal(store, chain.truth)


# ---- reorgs -------------------------------------------------------------------------------------------

DEPTH = 12


def at_rest(trueup, store, chain):
    """Like until_at_rest(), with a finalized block that is DEPTH behind."""
    last = chain.rpc.number()
    chain.anvil.mine(DEPTH + 1)
    synced(trueup, store, chain.rpc.number())
    trueup.until(lambda: all((r.observed_block or 0) >= last for r in store.rows(TABLE).values()),
                 f"every row to be read at {last} or later", 40)
    assert_at_rest_equal(store, chain.truth)


def other_history(chain, wallets, amount):
    """Transactions for the new branch: (transaction, index of its block)."""
    return [[{"from": "0x" + "d0" * 20, "to": chain.world.token.address, "gas": hex(10 ** 7),
              "gasPrice": "0x0", "data": chain.world.token.data("mint", w, amount)}, 0]
            for w in wallets]


@pytest.mark.parametrize("depth, down, store", [
    (1, False, "sqlite"), (3, True, "postgres"), (6, False, "sqlite"), (10, False, "postgres"),
    (10, True, "sqlite")], indirect=["store"])
def test_reorg(chain, store, follow, trueup, rng, depth, down):
    """The last blocks are replaced by others: what only they said is taken back, what the new ones say
    is read, and following and sweeping go on."""
    world = chain.world
    follow(chain={"finality": DEPTH})
    first_checkpoint(trueup, store)
    world.mint_all(WALLETS[:20], rng)
    at_rest(trueup, store, chain)
    for i in range(depth):
        world.token.send("mintMany", WALLETS[i:i + 5], [1000] * 5)
    head = chain.rpc.number()
    synced(trueup, store, head)
    if down:
        assert trueup.stop() == 0
    chain.anvil.reorg(depth, other_history(chain, WALLETS[15:25], 77))
    if down:
        trueup.start()
    trueup.until_log("the chain was reorganised")
    at_rest(trueup, store, chain)
    rows = store.rows(TABLE)
    assert all(w in rows for w in WALLETS[15:25]), "the new branch's events"
    # And on: a silent change is found only if the sweep reads at blocks that are new.
    world.token.send("silentSet", WALLETS[3], 4711)
    at_rest(trueup, store, chain)
    assert store.rows(TABLE)[WALLETS[3]].balance == 4711
    world.token.send("mint", WALLETS[4], 1)
    synced(trueup, store, chain.rpc.number())
    assert store.rows(TABLE)[WALLETS[4]].blocknumber == chain.rpc.number()
    # A restart goes on from the checkpoint, not from the reorg of long ago.
    assert trueup.stop() == 0
    said = len(trueup.output())
    trueup.start()
    at_rest(trueup, store, chain)
    assert "reorganised" not in trueup.output()[said:]


def test_the_last_block_before_a_long_night_was_reorged(chain, store, follow, trueup, rng):
    """By the time of the restart the chain has finalized far above it: still the same chain."""
    follow(chain={"finality": DEPTH})
    first_checkpoint(trueup, store)
    chain.world.mint_all(WALLETS[:5], rng)
    synced(trueup, store, chain.rpc.number())
    assert trueup.stop() == 0
    chain.anvil.reorg(1, other_history(chain, WALLETS[5:8], 9))
    chain.anvil.mine(5 * DEPTH + 40)
    trueup.start()
    trueup.until_log("the chain was reorganised")
    at_rest(trueup, store, chain)
    assert all(w in store.rows(TABLE) for w in WALLETS[5:8])


@pytest.mark.parametrize("down, store", [(False, "sqlite"), (True, "postgres")], indirect=["store"])
def test_rollback(chain, store, follow, trueup, rng, down):
    """The chain is cut and grows anew: shorter at first than what we know."""
    world = chain.world
    follow(chain={"finality": DEPTH})
    first_checkpoint(trueup, store)
    world.mint_all(WALLETS[:20], rng)
    at_rest(trueup, store, chain)
    for _ in range(5):
        world.token.send("mintMany", WALLETS[:5], [1000] * 5)
    synced(trueup, store, chain.rpc.number())
    if down:
        assert trueup.stop() == 0
    chain.anvil.rollback(4)
    world.token.send("mintMany", WALLETS[10:30], [7] * 20)
    if down:
        trueup.start()
    trueup.until_log("the chain was reorganised", 60)  # no sample may be at the low head: it may be a lag
    at_rest(trueup, store, chain)
    rows = store.rows(TABLE)
    assert all(w in rows for w in WALLETS[10:30])


def test_reorg_during_a_rescan_that_was_killed(chain, store, follow, trueup, rng):
    world = chain.world
    follow(chain={"finality": DEPTH})
    first_checkpoint(trueup, store)
    world.mint_all(WALLETS[:20], rng)
    at_rest(trueup, store, chain)
    for i in range(10):
        world.token.send("mint", WALLETS[i], 1000)
    synced(trueup, store, chain.rpc.number())
    for depth in (9, 3, 7, 2, 8):
        chain.anvil.reorg(depth, other_history(chain, WALLETS[30 + depth:33 + depth], depth))
        time.sleep(rng.random() * 0.4)  # any moment will do: to see it, rewind, rescan, read, write
        trueup.kill()
        trueup.start()
    at_rest(trueup, store, chain)
    rows = store.rows(TABLE)
    assert all(w in rows for w in WALLETS[38:41]), "the last branch's events"
