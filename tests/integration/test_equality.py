"""The promise itself, on a real node and both databases: whatever happens, an anchored row equals the
chain at its block, and at rest every row equals the head."""

import pytest

from harness.checks import (assert_at_rest_equal, assert_anchored_rows_true, until_at_rest,
                            until_finalized)
from harness.config import BALANCE, TABLE
from harness.world import (BOMB, BURN, EMPTY, HUGE, LONG, REASON, REVERT, REVERT_BOMB, SHORT,
                           SWALLOW, wallet)

WALLETS = [wallet(i) for i in range(400)]
PROVIDERS = WALLETS[:6]


def test_thousands_of_changes_and_kills(chain, store, trueup, configured, rng):
    """Transfers, stakes, delegations, silent changes, bad wallets; each process killed once."""
    world = chain.world
    trueup.config = configured()
    trueup.start()
    trueup.until(lambda: store.checkpoint("audio_transfers") is not None, "the first checkpoint")
    world.mint_all(WALLETS, rng)

    def traffic():
        world.traffic(WALLETS, PROVIDERS, rng, 500)
        assert_anchored_rows_true(store, chain.truth)

    traffic()
    trueup.kill("follow")
    traffic()
    trueup.kill("sweep")
    traffic()
    trueup.kill()
    traffic()  # while nobody watches
    trueup.start()
    traffic()

    bad = WALLETS[100:160]
    for start, (kind, number) in zip(range(0, 60, 6), (
            (REVERT, 0), (REASON, 0), (BURN, 0), (SHORT, 0), (LONG, 0), (EMPTY, 0),
            (BOMB, 50_000), (HUGE, 0), (REVERT_BOMB, 50_000), (SWALLOW, 1_200_000))):
        world.mood(bad[start:start + 6], kind, number)
    for w in bad[42:48]:  # 2^256 - 1 alone is a number; with a stake it overflows
        world.token.send("mint", w, 100)
        world.staking.send("reward", w, 100)
    world.silent(rng.sample(WALLETS[200:], 50), rng)
    traffic()

    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
    # The overflowing ones (42 to 47) may have been unstaked by the traffic, and then look negative.
    unreadable = {w for w, v in chain.truth.read(WALLETS).items() if v is None or v >> 255}
    assert set(bad[:42] + bad[48:54]) <= unreadable <= set(bad[:54]), "the stage itself"
    assert store.quarantined(BALANCE) == unreadable
    assert trueup.stop() == 0


def test_a_silent_change_is_found_by_the_sweep(chain, store, trueup, configured, rng):
    world = chain.world
    trueup.config = configured()
    trueup.start()
    trueup.until(lambda: store.checkpoint("audio_transfers") is not None, "the first checkpoint")
    world.mint_all(WALLETS[:50], rng)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:50])
    block = {w: r.blocknumber for w, r in store.rows(TABLE).items()}
    world.token.send("silentSet", WALLETS[7], 4711)
    until_at_rest(trueup, store, chain.anvil)
    rows = assert_at_rest_equal(store, chain.truth)
    assert rows[WALLETS[7]].balance == 4711
    assert {w: r.blocknumber for w, r in rows.items()} == block, "no event, so no new blocknumber"


def test_an_upgrade_makes_every_row_due(chain, store, trueup, configured, rng):
    """A slow sweep, one row a tick: only the Upgraded trigger can be what read them all."""
    world = chain.world
    trueup.config = configured(sweep={"interval": "2s", "batch": 1})
    trueup.start()
    trueup.until(lambda: store.checkpoint("audio_transfers") is not None, "the first checkpoint")
    world.mint_all(WALLETS[:50], rng)
    world.staking.send("stakeMany", WALLETS[:50], list(range(1, 51)))
    until_finalized(trueup, store, chain.anvil)
    assert set(WALLETS[:50]) <= set(store.rows(TABLE)), "the stage"
    world.upgrade(world.staking, "DemoStakingDoubled")
    upgraded = chain.rpc.number()
    chain.anvil.mine(4)

    def all_read():
        rows = store.rows(TABLE)
        return all(w in rows for w in WALLETS[:50]) and all(
            (r.observed_block or 0) >= upgraded for r in rows.values())

    trueup.until(all_read, "every row to be read after the upgrade", 60)  # a row every 2 s takes 100 s
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:50])


def old_table(store, rows):
    """The table as an application made it before trueup came: placeholders, no observed_block."""
    number = "NUMERIC" if store.kind == "postgres" else "TEXT"
    store.script(f"""
        CREATE TABLE {TABLE} (
            wallet TEXT PRIMARY KEY,
            balance {number} NOT NULL DEFAULT 0,
            blocknumber BIGINT,
            updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
            created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)""")
    insert_placeholders(store, rows)


def insert_placeholders(store, rows):
    balance = str if store.kind == "sqlite" else int
    store.many(f"INSERT INTO {TABLE} (wallet, balance, updated_at) VALUES (?, ?, ?)",
               [(w, balance(b), at) for w, b, at in rows])


FIRST, SECOND = "1970-01-01 00:00:00.000000", "1970-01-02 00:00:00.000000"


@pytest.mark.parametrize("poisoned", [1, 199, 200, 1000])
def test_poisoned_wallets_at_the_head_of_the_queue(chain, store, trueup, configured, rng, poisoned):
    """They keep their value, go to quarantine, and the wallets behind them are read."""
    world = chain.world
    good = WALLETS[:150]
    bad = [wallet(100_000 + i) for i in range(poisoned)]
    world.mint_all(good, rng)
    world.mood(bad, REVERT)
    chain.anvil.mine(4)
    old_table(store, [(w, 99, FIRST) for w in bad] + [(w, 99, SECOND) for w in good])
    trueup.config = configured(sweep={"interval": "100ms", "batch": 200})
    trueup.start()
    until_at_rest(trueup, store, chain.anvil)
    rows = assert_at_rest_equal(store, chain.truth, wallets=good)
    assert store.quarantined(BALANCE) == set(bad)
    assert {rows[w].balance for w in bad} == {99}, "a failed read never becomes a number"
    assert {rows[w].observed_block for w in bad} == {None}


def test_placeholders_inserted_mid_pass_are_next(chain, store, trueup, configured, rng):
    world = chain.world
    world.mint_all(WALLETS, rng)
    chain.anvil.mine(4)
    old_table(store, [(w, 1, SECOND) for w in WALLETS[:390]])
    trueup.config = configured(sweep={"interval": "300ms", "batch": 5})
    trueup.start()

    def unanchored():
        if "observed_block" not in columns(store):
            return 390
        return store.one(f"SELECT count(*) FROM {TABLE} WHERE observed_block IS NULL")

    trueup.until(lambda: unanchored() <= 370, "the pass to be under way")
    late = WALLETS[390:]
    insert_placeholders(store, [(w, 1, FIRST) for w in late])
    late_rows = "wallet IN (" + ", ".join(f"'{w}'" for w in late) + ")"
    trueup.until(lambda: not store.one(
        f"SELECT count(*) FROM {TABLE} WHERE observed_block IS NULL AND {late_rows}"),
        "the placeholders to be read")
    assert unanchored() > 250, "the pass went on for long before it came to them"
    assert_anchored_rows_true(store, chain.truth)


def columns(store):
    if store.kind == "sqlite":
        return {r[1] for r in store.sql(f"PRAGMA table_info({TABLE})")}
    return {r[0] for r in store.sql(
        "SELECT column_name FROM information_schema.columns WHERE table_name = ?", TABLE)}


def test_swallowed_out_of_gas_never_becomes_a_number(chain, store, trueup, configured, rng):
    """Forty views that want 1.2 million gas each and answer 0 when they get less, among others:
    more together than one request may burn."""
    world = chain.world
    hungry = WALLETS[::10]
    world.mint_all(WALLETS, rng)
    world.mood(hungry, SWALLOW, 1_200_000)
    chain.anvil.mine(4)
    old_table(store, [(w, 0, FIRST) for w in WALLETS])
    trueup.config = configured()
    trueup.start()

    def looked_at():
        # At every moment, not only at the end: no anchored 0 for a wallet whose answer is 7.
        if "observed_block" not in columns(store):
            return False
        rows = store.rows(TABLE)
        lies = [w for w in hungry if rows[w].observed_block is not None and rows[w].balance != 7]
        assert not lies, f"{len(lies)} wallets got a wrong number: {rows[lies[0]]}"
        return all(rows[w].observed_block is not None for w in WALLETS)

    trueup.until(looked_at, "all wallets to be read", 60)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)


def test_a_wallet_recovers_from_quarantine(chain, store, trueup, configured):
    """Its event block is remembered and paid into blocknumber when it is read at last."""
    world = chain.world
    trueup.config = configured()
    trueup.start()
    trueup.until(lambda: store.checkpoint("audio_transfers") is not None, "the first checkpoint")
    world.token.send("mintMany", WALLETS[:10], [5] * 10)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:10])
    world.mood([WALLETS[0]], REASON)
    world.token.send("mint", WALLETS[0], 5)
    named = chain.rpc.number()
    trueup.until(lambda: WALLETS[0] in store.quarantined(BALANCE), "the wallet to be quarantined")
    assert store.rows(TABLE)[WALLETS[0]].balance == 5
    world.mood([WALLETS[0]], 0)
    chain.anvil.mine(4)

    def recovered():
        # Not to sit out the back-off; more than once, since a sweep still at an older block fails.
        store.sql("UPDATE trueup_quarantine SET retry_at = ?", FIRST)
        return WALLETS[0] not in store.quarantined(BALANCE)

    trueup.until(recovered, "the wallet to recover")
    row = store.rows(TABLE)[WALLETS[0]]
    assert (row.balance, row.blocknumber) == (10, named)


def test_adopting_a_table_with_triggers(chain, postgres, trueup, tmp_path, rng):
    """Rows from 1970, an application's trigger on changes of the balance: it fires when a balance
    changes and at no refresh."""
    from harness import config as configs

    world, store = chain.world, postgres
    world.mint_all(WALLETS[:100], rng)
    chain.anvil.mine(4)
    right = chain.truth.read(WALLETS[:100])
    old_table(store, [(w, right[w] if i < 50 else 1, FIRST) for i, w in enumerate(WALLETS[:100])])
    store.script(f"""
        CREATE TABLE heard (wallet TEXT);
        CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO heard VALUES (NEW.wallet); RETURN NULL; END';
        CREATE TRIGGER hear AFTER UPDATE OF balance ON {TABLE} FOR EACH ROW
            WHEN (OLD.balance IS DISTINCT FROM NEW.balance) EXECUTE FUNCTION hear();
        CREATE TABLE touched (wallet TEXT);
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO touched VALUES (NEW.wallet); RETURN NULL; END';
        CREATE TRIGGER touch AFTER UPDATE OF balance ON {TABLE} FOR EACH ROW
            EXECUTE FUNCTION touch();""")
    trueup.config = configs.write(tmp_path / "trueup.yaml",
                                  configs.settings(world, chain.anvil.url, store.url))
    trueup.start()
    until_at_rest(trueup, store, chain.anvil)
    rows = assert_at_rest_equal(store, chain.truth)
    assert all(r.blocknumber is None for r in rows.values()), "no event ever named them"
    changed = sorted(WALLETS[50:100])
    assert sorted(r[0] for r in store.sql("SELECT wallet FROM heard")) == changed
    assert sorted(r[0] for r in store.sql("SELECT wallet FROM touched")) == changed, (
        "a refresh that changed nothing must not even set the balance")


@pytest.mark.alone
def test_stopping_takes_no_time_and_loses_nothing(chain, store, trueup, configured, rng):
    world = chain.world
    trueup.config = configured()
    trueup.start()
    trueup.until(lambda: store.checkpoint("audio_transfers") is not None, "the first checkpoint")
    for _ in range(4):
        world.traffic(WALLETS, PROVIDERS, rng, 100)
        world.mint_all(WALLETS[:100], rng)
        # A signal before main() is the kernel's to answer, so there must be somebody to ask.
        trueup.until(trueup.workers, "a worker")
        assert trueup.stop(seconds=2.0) == 0
        world.traffic(WALLETS, PROVIDERS, rng, 100)
        trueup.start()
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:100])
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS[:100])
