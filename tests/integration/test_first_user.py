"""The first user's deployment, dropped in: their database as their service left it, their names in the
environment, with etc/audius.yaml and without any file. The rows of DESIGN 1.5; each test says which.

Rows tested elsewhere, under the same words: one aggregate3 per 200 holders (test_reader_multicall3),
selectors (unit/aggregate3), ticks that are dropped (test_sweep), an event's block in every order
(test_follow), the subscription and its reconnecting (test_live), /eth/health (test_web_api). The
whole of it, there and back, is test_drop_in."""

import signal
import os
import time
from types import SimpleNamespace

import pytest

from harness.checks import assert_at_rest_equal, assert_anchored_rows_true, until_at_rest
from harness.daemon import ROOT
from harness.first_user import FIRST_DAY, SCHEMA, TABLE, names
from harness.world import EMPTY, REVERT, wallet

WALLETS = [wallet(i) for i in range(60)]
# Their application listens to changes.
HEARD = """
CREATE TABLE heard (wallet TEXT, old NUMERIC, new NUMERIC);
CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO heard VALUES (NEW.wallet, OLD.balance, NEW.balance); RETURN NULL; END';
CREATE TRIGGER hear AFTER UPDATE OF balance ON eth_wallet_balances FOR EACH ROW EXECUTE FUNCTION hear();
"""


def their_names(chain, store, batch=50):
    return names(chain.world, chain.anvil.url, "", store.url) | {
        "ethStaleRefreshIntervalSecs": "1", "ethStaleRefreshBatchSize": str(batch)}


# What only a test needs: their chain is number 1, and their port may be taken here.
FOR_A_TEST = {"TRUEUP_CHAIN_ID": "31337", "TRUEUP_CHAIN_POLL": "100ms", "TRUEUP_HTTP_LISTEN": "off"}


@pytest.fixture(params=["file", "no file"])
def user(request, chain, postgres, trueup, rng):
    """Their service ran until now: fifty users, rows that were seeded but never read, a checkpoint."""
    store, world = postgres, chain.world
    store.script(SCHEMA + HEARD)
    store.many("INSERT INTO users VALUES (?, ?)", list(enumerate(WALLETS[:40])))
    store.many("INSERT INTO associated_wallets (user_id, wallet, chain, is_current, is_delete) "
               "VALUES (1, ?, ?, ?, ?)", [(w, "eth", True, False) for w in WALLETS[40:50]]
               + [(WALLETS[50], "sol", True, False), (WALLETS[51], "eth", True, True)])
    world.mint_all(WALLETS, rng)
    store.many(f"INSERT INTO {TABLE} (wallet, balance, updated_at) VALUES (?, 1, ?)",
               [(w, FIRST_DAY) for w in WALLETS[:10]])
    right = chain.truth.read(WALLETS[10:30])
    store.many(f"INSERT INTO {TABLE} (wallet, balance, blocknumber) VALUES (?, ?, ?)",
               [(w, right[w], chain.rpc.number()) for w in WALLETS[10:30]])
    store.sql("INSERT INTO eth_indexer_checkpoints VALUES ('audio_transfers', ?)", chain.rpc.number())
    trueup.env |= their_names(chain, store) | FOR_A_TEST
    trueup.config = ROOT / "etc" / "audius.yaml" if request.param == "file" else None
    return SimpleNamespace(store=store, world=world, trueup=trueup, chain=chain, truth=chain.truth,
                           checkpoint=chain.rpc.number())


def at_rest(user, wallets=WALLETS[:50]):
    # The first read of a wallet without a row is an event's: the query cannot be asked for a list.
    user.world.token.send("mintMany", list(WALLETS), [1] * len(WALLETS))
    until_at_rest(user.trueup, user.store, user.chain.anvil, wallets=wallets, balance="audio", table=TABLE)


def test_the_whole_service(user):
    """Rows: oldest first in their batches from their names · events and sweep share one path · only
    wallets in users or associated_wallets count · 1970 rows are reached first · the log lines and the
    query an operator watches · the checkpoint's name and table. And triggers hear changes alone."""
    trueup, store = user.trueup, user.store
    behind = user.chain.rpc.number()
    for i in range(5):  # while their service was being replaced
        user.world.token.send("mint", WALLETS[20 + i], 7)
    trueup.start()
    trueup.until_log("starting stale-refresh sweep")
    trueup.until_log("stale refresh: tick complete")
    trueup.until(lambda: store.synced("audio") >= user.chain.rpc.number(), "it to catch up")
    at_rest(user)
    rows = assert_at_rest_equal(store, user.truth, wallets=WALLETS[:50], balance="audio")
    assert set(rows) == set(WALLETS[:50]), "users' and associated wallets', no other"
    assert store.synced("audio") == user.chain.rpc.number() > behind
    assert behind <= store.checkpoint("audio_transfers") <= user.chain.rpc.number()
    assert store.one("SELECT count(*) FROM eth_indexer_checkpoints") == 1
    lines = trueup.output().splitlines()
    first = next(x for x in lines if "stale refresh: tick complete" in x)
    assert "requested=" in first and "updated=" in first
    assert all(int(x.split("requested=")[1].split()[0]) <= 50 for x in lines if "tick complete" in x)
    assert any("refreshed balances from events" in x and "updated=" in x for x in lines)
    oldest = store.one(f"SELECT MIN(updated_at) FROM {TABLE}")
    assert oldest.year > 1970
    # No trigger fired for a row that was right; and for the others with the truth.
    heard = store.sql("SELECT wallet, old, new FROM heard")
    assert heard and all(old != new for _, old, new in heard)
    assert trueup.stop() == 0


def test_rows_of_1970_first_and_in_batches(user):
    """Rows: picks ethStaleRefreshBatchSize wallets, oldest updated_at first · rows seeded with 1970 are
    reached first · a first boot goes on from their checkpoint."""
    trueup, store = user.trueup, user.store
    trueup.env["ethStaleRefreshBatchSize"] = "5"
    trueup.start()
    trueup.until(lambda: store.one(
        f"SELECT count(*) FROM {TABLE} WHERE updated_at < '1971-01-01'") == 0, "1970 to be over")
    read = {r[0] for r in store.sql(f"SELECT wallet FROM {TABLE} WHERE observed_block IS NOT NULL")}
    assert set(WALLETS[:10]) <= read and len(read) <= 15, "only then the others"
    ticks = [x for x in trueup.output().splitlines() if "tick complete" in x]
    assert all("requested=5" in x for x in ticks), ticks
    assert_anchored_rows_true(store, user.truth)
    rows = store.rows(TABLE)
    assert {rows[w].blocknumber for w in WALLETS[:10]} == {None}, "a sweep's block is no event's"
    assert {rows[w].blocknumber for w in WALLETS[10:30]} == {user.checkpoint}


def test_a_failed_holder_is_left_out(user):
    """Rows: a holder whose sub-calls did not all succeed is left out, never a partial sum · decoding
    tells a value, zero, failure and empty data apart."""
    trueup, store, world = user.trueup, user.store, user.world
    world.mood(WALLETS[:1], REVERT)
    world.mood(WALLETS[1:2], EMPTY)
    world.mood(WALLETS[2:3], REVERT, term="staked")
    world.token.send("silentSet", WALLETS[3], 0)
    user.chain.anvil.mine(4)  # final, for the sweep reads at what is
    trueup.start()
    trueup.until(lambda: store.has_table("trueup_quarantine")
                 and len(store.quarantined("audio")) == 3, "the three to be found")
    trueup.until(lambda: store.rows(TABLE)[WALLETS[4]].observed_block, "the others to be read")
    rows = store.rows(TABLE)
    assert {rows[w].balance for w in WALLETS[:3]} == {1}, "as before, no partial sum"
    assert rows[WALLETS[3]].balance == 0 and rows[WALLETS[3]].observed_block
    reasons = dict(store.sql("SELECT wallet, reason FROM trueup_quarantine"))
    assert reasons == {WALLETS[0]: "held: reverted", WALLETS[1]: "held: empty answer",
                       WALLETS[2]: "staked: reverted"}


def test_the_checkpoint_is_never_lowered(user):
    """Row: never lowered; moves only with what it vouches for."""
    trueup, store = user.trueup, user.store
    trueup.start()
    trueup.until(lambda: store.checkpoint("audio_transfers") >= user.checkpoint, "the checkpoint")
    seen = [store.checkpoint("audio_transfers")]
    for _ in range(10):
        user.world.token.send("mint", WALLETS[5], 1)
        seen.append(store.checkpoint("audio_transfers"))
        if len(seen) == 5:
            trueup.kill("follow")
        if len(seen) == 8:
            trueup.kill()
            trueup.start()
    trueup.until(lambda: store.synced("audio") >= user.chain.rpc.number(), "the last block")
    assert seen == sorted(seen)
    row = store.rows(TABLE)[WALLETS[5]]
    assert row.blocknumber == user.chain.rpc.number() == row.observed_block


def test_a_crash_of_the_sweep_is_not_its_end(user):
    """Row: a panic in the sweep leaves the subscription alive; ours is started again, too."""
    trueup, store = user.trueup, user.store
    trueup.start()
    trueup.until_log("stale refresh: tick complete")
    follow = trueup.worker("follow")
    os.kill(trueup.worker("sweep"), signal.SIGABRT)
    trueup.until(lambda: trueup.output().count("starting stale-refresh sweep") == 2, "a new sweep")
    assert trueup.worker("follow") == follow
    said = len(trueup.output())
    trueup.until_log("stale refresh: tick complete", start=said)


def test_a_first_boot_without_a_checkpoint_starts_at_the_finalized_block(user):
    """Row: starts at the finalized block; what was before is the sweep's."""
    trueup, store = user.trueup, user.store
    store.sql("DELETE FROM eth_indexer_checkpoints")
    head = user.chain.rpc.number()
    trueup.start()
    trueup.until(lambda: store.synced("audio") == head, "the head")
    assert store.checkpoint("audio_transfers") == head - 2
    assert "backfilling missed blocks" not in trueup.output()


def test_without_a_url_it_stays_up_and_says_so(user):
    """Row: a missing URL leaves it up as a no-op, the error saying so."""
    trueup = user.trueup
    trueup.env["ethRpcUrl"] = ""
    if trueup.config is None:
        del trueup.env["ethRpcUrl"]
    trueup.start()
    trueup.until_log("no endpoint is configured")
    time.sleep(0.3)
    assert trueup.alive()
    assert trueup.stop() == 0
