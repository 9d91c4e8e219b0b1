"""Taking the first user's service over, and handing it back and taking it over again: their database
with what their application hangs on it, etc/audius.yaml, and nothing but their environment names."""

import re
from types import SimpleNamespace

import pytest

from harness.anvil import Anvil
from harness.checks import assert_at_rest_equal
from harness.daemon import ROOT
from harness.first_user import (CHECKPOINT, FIRST_DAY, SCHEMA, SUMS, TABLE, UPSERT, checksummed, names,
                                their_service_writes)
from harness.truth import Truth
from harness.web import Http, listening
from harness.world import WEI, World, wallet

USERS = 12
# Each user's own wallet, then two associated ones; the last six had no row until now.
OWNED = [wallet(i) for i in range(3 * USERS)]
SEEN, NEW = OWNED[:30], OWNED[30:]
PROVIDER = OWNED[0]
DELEGATORS = OWNED[1:9]
# Associated, but on another chain or deleted; and nobody's. Whether a wallet is current is not asked.
NOT_COUNTED = [wallet(100 + i) for i in range(2)]
STRANGERS = [wallet(200 + i) for i in range(3)]


@pytest.fixture
def mainnet(tmp_path):
    """Theirs is chain 1, and the file says so."""
    anvil = Anvil(tmp_path / "anvil", chain_id=1).start()
    yield anvil
    anvil.stop()


@pytest.fixture
def user(mainnet, postgres, trueup, rng):
    store, world = postgres, World(mainnet.rpc).deploy()
    here = SimpleNamespace(anvil=mainnet, rpc=mainnet.rpc, store=store, world=world, trueup=trueup,
                           truth=Truth(world), rng=rng)
    store.script(SCHEMA)
    store.many("INSERT INTO users VALUES (?, ?)",
               [(i, checksummed(w) if i % 2 else w) for i, w in enumerate(OWNED[:USERS])])
    store.many("INSERT INTO associated_wallets (user_id, wallet, chain, is_current, is_delete) "
               "VALUES (?, ?, ?, ?, ?)",
               [(i % USERS, checksummed(w) if i % 3 else w, "eth", i % 5 > 0, False)
                for i, w in enumerate(OWNED) if i >= USERS]
               + [(1, NOT_COUNTED[0], "sol", True, False), (1, NOT_COUNTED[1], "eth", True, True)])
    store.script(SUMS)
    their_service_until_now(here)
    trueup.config = ROOT / "etc" / "audius.yaml"
    here.http = Http(listening()[1].port)
    trueup.env |= names(world, mainnet.url, mainnet.ws, store.url)
    # Their port may be taken on a machine that runs tests.
    trueup.env["TRUEUP_HTTP_LISTEN"] = f"[::]:{here.http.port}"
    return here


def their_service_until_now(user):
    """Right rows, rows seeded and never read, and rows that rewards made wrong without its notice."""
    world, store = user.world, user.store
    world.mint_all(SEEN, user.rng, most=1000 * WEI)
    world.delegation.send("delegateMany", DELEGATORS, [PROVIDER] * 8, [WEI] * 8)
    store.sql("INSERT INTO eth_indexer_checkpoints VALUES (?, 0)", CHECKPOINT)
    their_service_writes(store, user.truth, SEEN[:24], user.rpc.number(), "Asia/Tokyo")
    store.many(f"INSERT INTO {TABLE} (wallet, balance, updated_at) VALUES (?, 1, ?)",
               [(w, FIRST_DAY) for w in SEEN[24:]])
    world.delegation.send("claimRewards", PROVIDER, 40)
    store.sql(UPSERT, PROVIDER, user.truth.read([PROVIDER])[PROVIDER], user.rpc.number())
    store.sql("UPDATE eth_indexer_checkpoints SET last_block = ?", user.rpc.number())


def every_trigger(user):
    """One event of each kind in the file; {wallet: the last block whose event must have reached it}."""
    world, reached = user.world, {}

    def happens(contract, verb, *arguments, reaches):
        contract.send(verb, *arguments)
        reached.update({w: user.rpc.number() for w in reaches})

    a, b, c, d = SEEN[10:14]
    happens(world.token, "mintMany", NEW, [WEI] * len(NEW), reaches=NEW)
    happens(world.token, "mintMany", NOT_COUNTED + STRANGERS, [WEI] * 5, reaches=[])
    happens(world.token, "move", a, b, 5, reaches=[a, b])
    happens(world.staking, "stakeFor", c, a, 7 * 10 ** 15, reaches=[c, a])  # Staked names c alone
    happens(world.staking, "unstakeFor", c, d, 2 * 10 ** 15, reaches=[c, d])
    happens(world.staking, "slash", c, 10 ** 15, reaches=[c])
    happens(world.delegation, "delegate", b, PROVIDER, WEI, reaches=[b, PROVIDER])
    happens(world.delegation, "undelegate", b, PROVIDER, WEI // 2, reaches=[b, PROVIDER])
    # Nobody but the provider is named; the list is asked for.
    happens(world.delegation, "claimRewards", PROVIDER, 30, reaches=[b, PROVIDER, *DELEGATORS])
    happens(world.delegation, "removeDelegator", PROVIDER, b, reaches=[b, PROVIDER])
    happens(world.delegation, "slash", PROVIDER, 30, reaches=[PROVIDER, *DELEGATORS])
    return reached


def at_rest(user, since, wallets):
    """Synced, finalized, and every row read at `since` or later."""
    store = user.store
    user.anvil.mine(4)
    head = user.rpc.number()

    def resting():
        rows = store.rows(TABLE)
        return (store.synced("audio") >= head and set(wallets) <= set(rows)
                and all(r.observed_block and r.observed_block >= since for r in rows.values()))

    user.trueup.until(resting, f"rest at block {head}, all rows read since block {since}", 60)
    rows = assert_at_rest_equal(store, user.truth, table=TABLE, balance="audio", wallets=wallets)
    assert set(rows) == set(wallets), "users' wallets, no other"
    assert_sums_right(user, rows)
    return rows


def assert_sums_right(user, rows):
    """What their trigger kept against what the chain says, user by user."""
    owner = {w: i % USERS for i, w in enumerate(OWNED)}
    owner |= {w: i for i, w in user.store.sql("SELECT user_id, lower(wallet) FROM users")}
    right = user.truth.read(rows)
    wanted = {}
    for w in rows:
        wanted[owner[w]] = wanted.get(owner[w], 0) + right[w]
    kept = {i: int(b) for i, b in user.store.sql("SELECT user_id, balance FROM user_eth_balances")}
    assert kept == wanted


def sql_of_the_guide():
    """The statements of docs/audius.md, each on indented lines up to a semicolon."""
    text = (ROOT / "docs" / "audius.md").read_text()
    return re.findall(r"^    (?:ALTER|CREATE|SELECT|DROP) [^;]*;", text, re.MULTILINE)


def test_taken_over_handed_back_and_taken_over_again(user):
    trueup, store, world = user.trueup, user.store, user.world
    # Theirs is stopped, ours is started.
    theirs = store.checkpoint(CHECKPOINT)
    adopted = user.rpc.number()
    trueup.start()
    trueup.until_log("subscription established")
    trueup.until(lambda: store.has_table("trueup_state") and len(store.rows(TABLE)) == len(SEEN)
                 and all(r.observed_block for r in store.rows(TABLE).values()),
                 "the first tick to prove all they left", 40)
    reached = every_trigger(user)
    rows = at_rest(user, adopted - 1, OWNED)
    assert {w: rows[w].blocknumber for w in reached} == reached, "by the event, not by the sweep"

    def healthy():
        status, health = user.http.get("/eth/health?max_event_lag_secs=600")
        return status == 200 and health["data"]["checkpoint_block"] > theirs

    trueup.until(user.http.answers, "HTTP")
    trueup.until(healthy, "their monitoring to be content", 40)
    assert trueup.stop() == 0

    # Back to theirs: it writes its way, moves the checkpoint past an event it failed to process, and
    # knows nothing of an upgrade.
    ours = store.checkpoint(CHECKPOINT)
    late = wallet(300)
    store.sql("INSERT INTO users VALUES (?, ?)", USERS, checksummed(late))
    world.token.send("mint", late, 3 * WEI)
    world.traffic(SEEN, [PROVIDER], user.rng, 200)
    world.upgrade(world.staking, "DemoStakingDoubled")
    written = [OWNED[3], *OWNED[5:25]]
    their_service_writes(store, user.truth, written, user.rpc.number(), "Pacific/Honolulu")
    store.sql(f"UPDATE {TABLE} SET balance = balance + 1 WHERE wallet = ?", OWNED[3])
    user.anvil.mine(3)
    moved = store.checkpoint(CHECKPOINT)
    assert moved > ours and late not in store.rows(TABLE)

    # And ours again: nothing of that is believed. (Sooner than theirs looked: half a minute is long.)
    trueup.env["ethStaleRefreshIntervalSecs"] = "2"
    returned = user.rpc.number()
    said = trueup.run("migrate").stdout
    assert "another program moved the checkpoint" in said and "rows were written by another" in said
    rows = store.rows(TABLE)
    assert {rows[w].observed_block for w in written} == {None}, "claims of a proof that is gone"
    trueup.start()
    at_rest(user, returned - 3, [*OWNED, late])
    assert store.checkpoint(CHECKPOINT) >= moved
    assert store.one("SELECT cause FROM trueup_changes WHERE wallet = ?", late) == "event"
    assert trueup.stop() == 0

    # What the guide tells an operator to run is right, the removal at its end included.
    statements = sql_of_the_guide()
    assert len(statements) >= 10
    for statement in statements:
        store.sql(statement)
    left = store.sql("SELECT tablename FROM pg_tables WHERE tablename LIKE 'trueup%'")
    assert left == [] and store.one(f"SELECT count(*) FROM {TABLE}") == len(OWNED) + 1


def test_their_port(user):
    """It listens where theirs did, on IPv4 and IPv6."""
    del user.trueup.env["TRUEUP_HTTP_LISTEN"]
    shown = user.trueup.run("config", "show").stdout
    assert "listen: '[::]:1325'  # " in shown
