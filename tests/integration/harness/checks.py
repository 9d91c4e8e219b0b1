"""The promise, as assertions: every row equals the chain at the block it claims, and at the head."""

from .config import BALANCE, CHECKPOINT, TABLE

FAR = 300  # so many blocks are looked at twice without waiting for the minute to pass


def wrong_rows(store, truth, table=TABLE, later=0):
    """Rows whose balance is not what the chain said `later` blocks after observed_block."""
    rows = [r for r in store.rows(table).values() if r.observed_block is not None]
    right = truth.sums([(r.wallet, r.observed_block + later) for r in rows])
    return [(r.wallet, r.balance, want, r.observed_block)
            for r, want in zip(rows, right) if r.balance != want]


def assert_anchored_rows_true(store, truth, table=TABLE, mining=True):
    """Holds at any moment, also in the middle of anything. With one exception that no client can
    see through: a call pinned to the head, by number or hash, that meets anvil while it mines the
    next block gets the next block's state in its own block's environment (547 of 3,928 reads under
    steady mining). So while mining goes on, a row may also be right one block later; reading it
    again once its block is finalized mends it, and at rest nothing is forgiven."""
    wrong = wrong_rows(store, truth, table)
    if wrong and mining:
        early = {w for w, *_ in wrong_rows(store, truth, table, later=1)}
        wrong = [row for row in wrong if row[0] in early]
    assert not wrong, f"{len(wrong)} rows differ from the chain at their own block: {wrong[:3]}"


def until_at_rest(trueup, store, anvil, *, table=TABLE, balance=BALANCE, wallets=None, seconds=60,
                  blocks=4):
    """Mines so many blocks past the last change that it is finalized, then waits until all of it has
    been read: synced = head, and every row (and every wallet expected to have one) read since, or in
    quarantine. The checkpoint follows 10 s later at the earliest: who wants it, waits for it with
    until_looked_twice(). Returns the block of the last change."""
    last = anvil.rpc.number()
    anvil.mine(blocks)  # with one slot an epoch, `finalized` is two blocks behind
    head = anvil.rpc.number()

    def resting():
        if store.synced(balance) < head:
            return False
        quarantined = store.quarantined(balance)
        rows = store.rows(table)
        if wallets is not None and any(w not in rows and w not in quarantined for w in wallets):
            return False
        return all(r.observed_block is not None and r.observed_block >= last
                   for r in rows.values() if r.wallet not in quarantined)

    trueup.until(resting, f"rest at block {head}", seconds)
    return last


def until_finalized(trueup, store, anvil, balance=BALANCE):
    """Waits until what has happened is synced and finalized."""
    anvil.mine(4)
    head = anvil.rpc.number()
    trueup.until(lambda: store.synced(balance) >= head, f"block {head} to be synced", 60)


def until_looked_twice(trueup, store, anvil, block=None, checkpoint=CHECKPOINT):
    """Waits until the checkpoint has passed a block (the head)."""
    block = anvil.rpc.number() if block is None else block
    anvil.mine(FAR)
    trueup.until(lambda: store.checkpoint(checkpoint) >= block, f"the second look at {block}", 60)


def assert_at_rest_equal(store, truth, *, table=TABLE, balance=BALANCE, wallets=None):
    """Every row true at its block; every row not in quarantine true at the head; nobody missing."""
    assert_anchored_rows_true(store, truth, table, mining=False)
    rows = store.rows(table)
    quarantined = store.quarantined(balance)
    at_head = truth.read(rows)
    wrong = [(w, r.balance, at_head[w]) for w, r in rows.items()
             if w not in quarantined and r.balance != at_head[w]]
    assert not wrong, f"{len(wrong)} of {len(rows)} rows differ from the chain's head: {wrong[:3]}"
    # A wallet that has no proper answer must be in quarantine, not in the table with a guess.
    if wallets is not None:
        missing = [w for w in wallets if w not in rows and w not in quarantined]
        assert not missing, f"{len(missing)} wallets have no row: {missing[:3]}"
    return rows
