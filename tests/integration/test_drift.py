"""The ledger of drift: what the sweep finds and no event said, why, and nothing that is not so."""

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, until_at_rest, until_finalized
from harness.config import BALANCE, CHECKPOINT, TABLE, triggers
from harness.provider import ScriptedProvider, asked
from harness.web import listening
from harness.world import wallet

WALLETS = [wallet(i) for i in range(60)]
PROVIDER = wallet(9_000)

on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


def ledger(store):
    return store.sql("SELECT wallet, cause, endpoint, stored, actual, block, age FROM trueup_drift "
                     "ORDER BY id")


def started(trueup, store):
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")


def causes_known(trueup, store, n):
    trueup.until(lambda: len(ledger(store)) >= n and all(r[1] != "unknown" for r in ledger(store)),
                 f"{n} records with their causes")
    return ledger(store)


def test_rewards_without_fan_out_are_changes_without_an_event(chain, store, trueup, configured):
    world, crowd = chain.world, WALLETS[:30]
    trueup.config = configured(balance={"triggers": triggers(world, fan_out=False)})
    started(trueup, store)
    world.token.send("mintMany", crowd, [10 ** 9] * len(crowd))
    world.delegation.send("delegateMany", crowd, [PROVIDER] * len(crowd), [10 ** 6] * len(crowd))
    until_at_rest(trueup, store, chain.anvil, wallets=crowd)
    assert ledger(store) == []
    before = {w: r.balance for w, r in store.rows(TABLE).items()}
    world.delegation.send("claimRewards", PROVIDER, 25)
    until_at_rest(trueup, store, chain.anvil, wallets=crowd)
    found = {r[0]: r for r in causes_known(trueup, store, len(crowd))}
    assert set(found) == set(crowd), "each delegator, and not the provider, whom the event names"
    after = assert_at_rest_equal(store, chain.truth, wallets=crowd)
    for w, (_, cause, endpoint, stored, actual, block, age) in found.items():
        assert (cause, endpoint) == ("no_event_change", None)
        assert (int(stored), int(actual)) == (before[w], after[w].balance)
        assert block <= after[w].observed_block and age >= 0
    assert "drift: rows differed from the chain" in trueup.output()


def test_a_rebase_is_a_change_without_an_event(chain, store, trueup, configured, rng):
    """And by `trueup sweep` as by the daemon: with it stopped, on the blocks it had synced."""
    world = chain.world
    trueup.config = configured(terms=("held",))
    started(trueup, store)
    world.mint_all(WALLETS, rng)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    until_finalized(trueup, store, chain.anvil)  # so that it is the sweep's to find
    world.silent(WALLETS[:30], rng)
    until_at_rest(trueup, store, chain.anvil)
    found = causes_known(trueup, store, 30)
    assert {r[0] for r in found} == set(WALLETS[:30])
    assert {r[1:3] for r in found} == {("no_event_change", None)}
    trueup.stop()
    # Somebody else writes into a row: then it is nobody's change, and nobody can say whose.
    store.sql(f"UPDATE {TABLE} SET balance = ? WHERE wallet = ?",
              "1" if store.kind == "sqlite" else 1, WALLETS[40])
    trueup.run("sweep")
    (wallet_, cause, *_), = ledger(store)[30:]
    assert (wallet_, cause) == (WALLETS[40], "unknown")
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)


@on_sqlite
def test_a_cause_waits_for_finality(chain, store, trueup, configured, rng):
    """The sweep reads 64 blocks below the head, and blocks are final at 100: until then a reorg may take back
    what the logs say of a cause."""
    world = chain.world
    trueup.config = configured(terms=("held",), chain={"finality": "100"})
    started(trueup, store)
    world.mint_all(WALLETS[:10], rng)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:10])
    chain.anvil.mine(70)
    trueup.until(lambda: store.synced(BALANCE) == chain.rpc.number(), "the head to be synced")
    world.silent(WALLETS[:5], rng)
    changed = chain.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) == changed, "a sample above the change")
    chain.anvil.mine(70)
    trueup.until(lambda: len(ledger(store)) == 5, "the records")
    assert all(changed <= r[5] for r in ledger(store)), "the stage"
    assert {r[1] for r in ledger(store)} == {"unknown"}
    assert "why is not known yet, its block is not final" in trueup.run("explain", ledger(store)[0][0]).stdout
    chain.anvil.mine(40)
    assert {r[1] for r in causes_known(trueup, store, 5)} == {"no_event_change"}


@pytest.mark.parametrize("endpoints", [1, 2])
def test_an_omitted_log_is_told_with_its_endpoint(chain, store, trueup, tmp_path, endpoints):
    """One log is left out of an otherwise whole answer: the sweep repairs the row, and the logs, asked
    for again, tell who left it out."""
    world, missed = chain.world, WALLETS[3]
    served, web = listening()
    with ScriptedProvider(forward=chain.anvil.url) as liar:
        urls = [("liar", liar.url), ("good", chain.anvil.url)][:endpoints]
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            world, chain.anvil.url, store.url, terms=("held",), http=served, chain={
                "endpoints": [{"name": n, "url": u, "ws": "off"} for n, u in urls]}))
        started(trueup, store)
        world.token.send("mintMany", WALLETS[:10], [100] * 10)
        until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:10])
        rule = {"fault": "omit-logs", "method": "eth_getLogs", "args": {"naming": missed[2:]}}
        # Alone, it leaves the log out until it is asked about the wallet by name.
        rule["args"]["unless-named"] = endpoints == 1
        liar.rules(rule)
        world.token.send("mintMany", WALLETS[:10], [5] * 10)
        named = chain.rpc.number()
        until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:10])
        (wallet_, cause, endpoint, stored, actual, block, _), = causes_known(trueup, store, 1)
        assert (wallet_, cause, endpoint) == (missed, "missed_log", "liar")
        assert (int(stored), int(actual)) == (100, 105) and block >= named
        rows = assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:10])
        assert rows[missed].blocknumber < named == rows[WALLETS[0]].blocknumber
        again = [p for p in asked(liar, "eth_getLogs") if missed[2:] in str(p)]
        assert bool(again) == (endpoints == 1), "elsewhere, where there is an elsewhere"
        trueup.until(web.answers, "HTTP")
        assert web.metrics()['trueup_missed_logs_total{endpoint="liar"}'] == 1
        story = trueup.run("explain", missed).stdout
        assert "The row holds 105, read from the chain at block " in story
        assert "100 -> 105  (s" in story and "So it is right." in story
        assert 'drift: an event had named it, and endpoint "liar" left that log out' in story


@on_sqlite
def test_a_log_left_out_of_a_block_that_took_anothers_place(chain, store, trueup, tmp_path):
    """After a reorg the new block's answer lacks one log: the row is mended, and the reorg told."""
    world, missed, before = chain.world, WALLETS[3], WALLETS[:10]
    with ScriptedProvider(forward=chain.anvil.url) as liar:
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            world, chain.anvil.url, store.url, terms=("held",), chain={"finality": "8", "endpoints": [
                {"name": "liar", "url": liar.url, "ws": "off"},
                {"name": "good", "url": chain.anvil.url, "ws": "off"}]}))
        started(trueup, store)
        world.token.send("mintMany", before, [100] * 10)
        trueup.until(lambda: len(store.rows(TABLE)) == 10, "the rows")
        chain.anvil.mine(14)
        trueup.until(lambda: store.synced(BALANCE) == chain.rpc.number(), "the head to be synced")
        assert store.rows(TABLE)[missed].observed_block < chain.rpc.number() - 2, "the stage"
        liar.rules({"fault": "omit-logs", "method": "eth_getLogs", "args": {"naming": missed[2:]}})
        call = {"from": "0x" + "d0" * 20, "to": world.token.address, "gas": hex(10 ** 7),
                "gasPrice": "0x0", "data": world.token.data("mintMany", before, [5] * 10)}
        chain.anvil.reorg(2, [[call, 0]])
        named = chain.rpc.number() - 1
        chain.anvil.mine(10)
        trueup.until(lambda: store.rows(TABLE)[missed].balance == 105, "its repair")
        (wallet_, cause, endpoint, *_), = causes_known(trueup, store, 1)
        assert (wallet_, cause, endpoint) == (missed, "reorg", None)
        assert store.rows(TABLE)[before[0]].blocknumber == named, "the stage"


def test_nothing_is_filed_that_is_not_so(chain, store, trueup, configured, rng):
    """Traffic, claims and slashes, an upgrade, reorgs, wallets that cannot be read for a while, kills:
    every change has its event, so the ledger stays empty."""
    world, providers = chain.world, WALLETS[:4]
    trueup.config = configured(sweep={"interval": "100ms"})
    started(trueup, store)
    world.mint_all(WALLETS, rng)
    for turn in range(6):
        world.traffic(WALLETS, providers, rng, 120)
        if turn == 1:
            trueup.kill("follow")
        if turn == 2:
            world.mood(WALLETS[50:54], 1)
        if turn == 3:
            chain.anvil.reorg(rng.randrange(1, 3))
            trueup.kill("sweep")
        if turn == 4:
            trueup.kill()
            world.traffic(WALLETS, providers, rng, 60)
            trueup.start()
            world.mood(WALLETS[50:54], 0)
        if turn == 5:
            world.upgrade(world.staking, "DemoStakingDoubled")
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:50])
    trueup.run("sweep")
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:50])
    assert ledger(store) == []


@on_sqlite
def test_an_event_of_before_it_was_kept_is_nobodys_fault(chain, store, trueup, configured, rng):
    """A wallet is listed after an event named it. A repeated look, the sweep or the second look reads
    it, and no endpoint is blamed."""
    world = chain.world
    trueup.config = configured(wallets="listed", terms=("held",), chain={"finality": "40"},
                               sweep={"interval": "100ms"})
    world.mint_all(WALLETS[:5], rng)
    chain.anvil.mine(50)
    trueup.run("migrate")
    store.list_wallets(BALANCE, WALLETS[:1])
    started(trueup, store)
    chain.anvil.mine(50)
    world.token.send("mint", WALLETS[1], 5)  # not yet listed
    named = chain.rpc.number()
    chain.anvil.mine(10)
    trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "it to be synced")
    store.list_wallets(BALANCE, WALLETS[1:2])
    wanted = chain.truth.read([WALLETS[1]])[WALLETS[1]]
    chain.anvil.mine(300)  # so many final blocks get their second look at once
    trueup.until(lambda: WALLETS[1] in store.rows(TABLE) and
                 store.rows(TABLE)[WALLETS[1]].balance == wanted, "its value")
    trueup.until(lambda: store.checkpoint(CHECKPOINT) >= named, "the second look", 40)
    trueup.until(lambda: ledger(store) == [], "the record to be taken back")
