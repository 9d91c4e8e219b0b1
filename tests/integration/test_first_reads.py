"""Wallets that are tracked later than their events: listed, imported, or inserted by the application as
placeholders. Each is read at or above what is synced, and does not wait for a tick of the sweep."""

import pytest

from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.world import wallet

WALLETS = [wallet(i) for i in range(5)]


def follows(chain, store, trueup):
    """Runs beside a sweep that ticks once in half a minute, and has synced the head."""
    chain.anvil.mine(3)
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")


def until_synced(chain, store, trueup):
    head = chain.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) >= head, f"block {head} to be synced")


def are_right(chain, store, wallets):
    rows = store.rows(TABLE)
    right = chain.truth.read(wallets)
    return all(w in rows and rows[w].balance == right[w] and rows[w].observed_block for w in wallets)


@pytest.mark.parametrize("how", ["listed", "placeholders"])
def test_tracked_after_their_transfers(chain, store, trueup, configured, rng, how):
    """No block follows, and no look is taken again: the sweep alone reads them, and not before the block that
    has the transfers."""
    trueup.config = configured(wallets="listed", sweep={"interval": "30s"})
    follows(chain, store, trueup)
    chain.world.mint_all(WALLETS, rng)
    until_synced(chain, store, trueup)
    assert trueup.stop() == 0
    if how == "listed":
        trueup.run("wallets", "add", *WALLETS)
    else:
        store.many(f"INSERT INTO {TABLE} (wallet, balance, updated_at) VALUES (?, ?, ?)",
                   [(w, 1, "1970-01-01 00:00:00") for w in WALLETS])
    trueup.run("worker", "sweep", "--once")
    assert are_right(chain, store, WALLETS)
    assert all(r.observed_block >= store.synced(BALANCE) for r in store.rows(TABLE).values())


def test_listed_beside_a_daemon(chain, store, trueup, configured, rng):
    trueup.config = configured(wallets="listed", sweep={"interval": "30s"})
    follows(chain, store, trueup)
    chain.world.mint_all(WALLETS, rng)
    until_synced(chain, store, trueup)
    trueup.run("wallets", "add", *WALLETS)
    trueup.until(lambda: are_right(chain, store, WALLETS), "rows with the transfers in them", 15)
    chain.anvil.mine(200)
    until_synced(chain, store, trueup)
    assert are_right(chain, store, WALLETS)
    assert trueup.stop() == 0


def imported(store, trueup, tmp_path, wallets):
    file = tmp_path / "wallets"
    file.write_text("\n".join(wallets))
    trueup.run("wallets", "import", file)
    return file


def test_imported_wallets_do_not_wait_for_ticks(chain, store, trueup, configured, tmp_path, rng):
    """Many more than one tick reads, beside a daemon."""
    wallets = [wallet(i) for i in range(3000)]
    trueup.config = configured(wallets="listed", sweep={"interval": "1m", "batch": 500})
    follows(chain, store, trueup)
    chain.world.mint_all(wallets[:400], rng)
    until_synced(chain, store, trueup)
    imported(store, trueup, tmp_path, wallets)
    trueup.until(lambda: store.one(f"SELECT count(*) FROM {TABLE}") == len(wallets), "all rows", 60)
    assert are_right(chain, store, wallets[390:410])
    assert trueup.stop() == 0


def test_a_pass_and_a_snapshot_take_listed_wallets(chain, store, trueup, configured, tmp_path, rng):
    """Without a daemon: they have no row before the pass."""
    wallets = [wallet(i) for i in range(40)]
    trueup.config = configured(wallets="listed")
    chain.world.mint_all(wallets, rng)
    chain.anvil.mine(3)
    file = imported(store, trueup, tmp_path, wallets[:30])
    out = tmp_path / "all.csv"
    trueup.run("snapshot", "--at", chain.rpc.number(), "--out", out)
    lines = [l.split(",") for l in out.read_text().splitlines() if l.startswith("0x")]
    right = chain.truth.read(wallets)
    assert [(l[0], int(l[1])) for l in lines] == [(w, right[w]) for w in sorted(wallets[:30])]
    done = trueup.run("sweep")
    assert "30 rows read" in done.stdout
    assert are_right(chain, store, wallets[:30])
    assert store.one(f"SELECT count(*) FROM {TABLE}") == 30
    assert "30 rows read" in trueup.run("sweep").stdout

    # Of a file: those and no others, with a row or without.
    file.write_text("\n".join(wallets[25:]))
    trueup.run("snapshot", "--at", chain.rpc.number(), "--out", out, "--wallets", file)
    lines = [l.split(",") for l in out.read_text().splitlines() if l.startswith("0x")]
    assert [(l[0], int(l[1])) for l in lines] == [(w, right[w]) for w in sorted(wallets[25:])]
    said = trueup.run("read", wallets[0], "--wallets", file).stdout.split("\n")
    assert {l.split()[1]: int(l.split()[2]) for l in said if l} == {
        w: right[w] for w in [wallets[0], *wallets[25:]]}
    file.write_text("0x12\n")
    assert "no wallet" in trueup.run("read", "--wallets", file, code=2).stderr
    assert "too few arguments" in trueup.run("read", code=2).stderr
