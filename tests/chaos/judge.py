"""Rest, and what must be true then (DESIGN's words: equality, coverage, nothing extra). Everything is
compared with the node itself; only where the daemon stands is asked of its tables.

Which events there were is read in the node's receipts (ledger.py). One event of the chain is forgiven if,
and only if,

- every answer of every endpoint to an eth_getLogs that covered it left it out, and
- there were two such answers at least, the last one LOOKS_S after the first.

So an event is owed if a single answer showed it, whatever the other answers and endpoints said; if it was
asked for only once, or within one look only; and if no eth_getLogs covered it, be it that a bloom spoke of
nothing. Pushes, headers and faults of the transport forgive nothing. An answer is no answer if its client
could not believe it (witness.py), or if we ended the process that asked within DEATH_S: it may have got it
and not have lived to write it down. No event is forgiven because of another one."""

import itertools
import re

from harness.checks import assert_at_rest_equal
from harness.wait import SLOWNESS, until

from acts import calm
from stage import BALANCE, CHECKPOINT, TABLE, WALLETS

FIRST = "1970-01-01 00:00:00.000000"
REST_S = 90
LOOKS_S = 9.5  # the second look comes 10 s after the first, by the clocks of two processes
DEATH_S = 5
SECOND_LOOK_BLOCKS = 300  # so many make a second look due at once


def judge(s, keep_daemon):
    last = come_to_rest(s, keep_daemon)
    rows = assert_at_rest_equal(s.store, s.truth, wallets=expected(s))
    check_positions(s)
    check_headers(s)
    check_coverage(s, rows)
    check_extras(s, rows)
    check_changes(s, rows)
    check_drift(s)
    check_web(s, rows)
    let_quarantine_go(s, keep_daemon)
    check_deaths(s)
    for daemon in s.daemons:
        if daemon.stop() != 0:
            raise AssertionError("the daemon did not stop in good order")
    return {"rows": len(rows), "block": last, "daemons": s.started_daemons,
            "events": len({e for _, _, named in s.ledger.chain() for e in set().union(*named.values())})}


# ---- what was shown ---------------------------------------------------------------------------------------


def times(s, told):
    """{event: when answers showed it (or left it out), in order}, without those to processes that we ended."""
    merged = {}
    for witness in s.collect():
        for event, when in witness[told].items():
            merged.setdefault(event, []).extend(when)
    alive = {event: sorted(t for t in when if not any(0 <= d - t < DEATH_S for d in s.deaths))
             for event, when in merged.items()}
    return {event: when for event, when in alive.items() if when}


def left_out(s):
    return {event for witness in s.collect() for event in witness["left"]}


def forgiven(s):
    """The events of the rule above."""
    shown, left = times(s, "shown"), times(s, "left")
    return frozenset(e for e, when in left.items() if e not in shown and when[-1] - when[0] >= LOOKS_S)


def waiting(s):
    """The highest block of the chain with an event that no answer showed: at rest the second look has
    passed it, so that no exemption is a matter of when the run ended."""
    shown = times(s, "shown").keys()
    return max((number for number, _, named in s.ledger.chain() if set().union(*named.values()) - shown),
               default=0)


# ---- rest -----------------------------------------------------------------------------------------------


def come_to_rest(s, keep_daemon):
    last = s.head() + 1  # what was read up to here may have been read from a liar
    s.anvil.mine(s.settle + 1)
    looked_twice = waiting_after_the_first_look(s, keep_daemon)
    s.ledger.note()
    head = s.anvil.rpc.block()
    number = int(head["number"], 16)
    lacking, wanted = "", expected(s)

    def resting():
        nonlocal lacking
        keep_daemon(s)
        lacking = what_lacks(s, number, head["hash"], last, wanted, looked_twice)
        return not lacking

    try:
        until(resting, "rest", REST_S)
    except AssertionError as e:
        raise AssertionError(f"no rest at block {number}: {lacking}\n{e}\n{s.tail(50)}") from None
    return number


def waiting_after_the_first_look(s, keep_daemon):
    """As waiting(); if there is something, so many blocks follow that the second look is due."""
    head = s.anvil.rpc.number()

    def looked():
        keep_daemon(s)
        return s.store.synced(BALANCE) >= head

    try:
        until(looked, f"the first look at {head}", REST_S)
    except AssertionError as e:
        raise AssertionError(f"{e}\n{s.tail(50)}") from None
    s.ledger.note()
    lacking = waiting(s)
    if lacking:
        s.anvil.mine(SECOND_LOOK_BLOCKS)
    return lacking


def expected(s):
    """Who must have a row: the list, or whom an event of the chain names."""
    if s.listed:
        return WALLETS
    return list(s.ledger.canonical(forgiven(s)))


def what_lacks(s, number, block_hash, last, wanted, looked_twice):
    """Empty at rest; else what it waits for."""
    store = s.store
    known = store.one("SELECT hash FROM trueup_blocks WHERE number = ? AND on_chain", number)
    if known != block_hash:
        return f"head {block_hash} is not known"
    if store.synced(BALANCE) < number:
        return f"synced {store.synced(BALANCE)}"
    if (store.checkpoint(CHECKPOINT) or 0) < looked_twice:
        return f"checkpoint {store.checkpoint(CHECKPOINT)}, no second look at {looked_twice}"
    quarantined = store.quarantined(BALANCE)
    rows = store.rows(TABLE)
    missing = [w for w in wanted if w not in rows and w not in quarantined]
    if missing:
        return f"{len(missing)} wallets without a row: {missing[0]}"
    old = [w for w, r in rows.items() if w not in quarantined and (r.observed_block or 0) < last]
    return f"{len(old)} rows not read since block {last}: {rows[old[0]]}" if old else ""


# ---- the tables ------------------------------------------------------------------------------------------


def check_positions(s):
    head = s.anvil.rpc.number()
    checkpoint = s.store.checkpoint(CHECKPOINT)
    # It follows the second look, 10 s after the first at the earliest, and is never lowered.
    assert s.ledger.start - s.settle <= checkpoint <= head - s.settle, f"checkpoint {checkpoint}, head {head}"


def check_headers(s):
    """Every header that counts as canonical is the node's."""
    mine = s.store.sql("SELECT number, hash FROM trueup_blocks WHERE on_chain")
    theirs = s.anvil.rpc.batch([("eth_getBlockByNumber", [hex(n), False]) for n, _ in mine])
    wrong = [(n, h, b and b["hash"]) for (n, h), b in zip(mine, theirs) if not b or b["hash"] != h]
    assert not wrong, f"headers of another branch: {wrong[:3]}"


def debts(s):
    return dict(s.store.sql("SELECT wallet, event_block FROM trueup_quarantine WHERE balance = ?", BALANCE))


def tracked(s, wallets):
    return [w for w in wallets if not s.listed or w in WALLETS]


def check_coverage(s, rows):
    """The highest block of the chain that names a wallet is in its row, or owed by its quarantine. Higher
    only where a branch that is gone named it."""
    canonical, ever, owed = s.ledger.canonical(forgiven(s)), s.ledger.ever(), debts(s)
    for w in tracked(s, canonical):
        row = rows.get(w)
        has = max(((row.blocknumber if row else None) or 0), owed.get(w) or 0)
        assert has >= canonical[w], (
            f"{w}: block {canonical[w]} names it, blocknumber is {has} (row {row}, owed {owed.get(w)})")
    for w, row in rows.items():
        if row.blocknumber is not None:
            assert row.blocknumber in ever.get(w, ()), (
                f"{w}: blocknumber {row.blocknumber}, but only {sorted(ever.get(w, ()))} ever named it")


def check_extras(s, rows):
    ever = s.ledger.ever()
    extra = [w for w in rows if w not in s.placed and not (w in WALLETS if s.listed else w in ever)]
    assert not extra, f"rows that nobody asked for: {extra[:3]}"
    quarantined = s.store.quarantined(BALANCE)
    assert quarantined <= s.moody, f"quarantined without a cause: {sorted(quarantined - s.moody)[:3]}"


def check_drift(s):
    """Nothing is filed that is not so: only rows whose wallet was changed in silence (a mood changes what
    the view answers, too), or that somebody else wrote, or that an event names which an answer left out or a
    bloom was silent about; missed_log only for the last. A plain
    call proves nothing of its block but by its hash: one that takes notice of it only now and then can
    slip a value in, which the next read then finds."""
    if s.reader == "single" and s.fired.keys() & {"ignore-pin", "older-block"}:
        return
    filed = s.store.sql("SELECT wallet, cause, stored, actual, block, age FROM trueup_drift")
    dimmed = {h for witness in s.collect() for h in witness["dimmed"]}
    missing = s.ledger.wallets_of(left_out(s), dimmed)
    false = [r for r in filed if r[0] not in s.silenced | s.moody | s.vandalised | missing]
    assert not false, f"drift that is none: {false[:3]}"
    blamed = [r for r in filed if r[1] == "missed_log" and r[0] not in missing]
    assert not blamed, f"no log was left out: {blamed[:3]}"


def check_changes(s, rows):
    """The record of changes is without a gap: each begins where the last one ended, the last is the row."""
    at = {}
    for w, old, new in s.store.sql("SELECT wallet, old, new FROM trueup_changes ORDER BY id"):
        if w in s.vandalised:
            continue
        old = None if old is None else int(old)
        assert w not in at or at[w] == old, f"{w}: a change from {old} after one to {at[w]}"
        at[w] = int(new)
    wrong = [(w, at[w], rows[w].balance) for w in at if w in rows and rows[w].balance != at[w]]
    assert not wrong, f"rows that differ from their last change: {wrong[:3]}"


def check_web(s, rows):
    """What is served is the table, and everything is green again."""
    def ready():
        try:
            return all(daemon.http.ask("/readyz")[0] == 200 for daemon in s.daemons)
        except OSError:
            return False
    try:
        until(ready, "/readyz to be green", 30)
    except AssertionError as e:
        raise AssertionError(f"{e}: {s.web.ask('/readyz')[2]}") from None
    for daemon, w in itertools.product(s.daemons, WALLETS[:3]):
        if w in rows:
            found = daemon.http.get(f"/v1/balances/{BALANCE}/{w}")[1]
            assert int(found["balance"]) == s.store.rows(TABLE)[w].balance, found


def let_quarantine_go(s, keep_daemon):
    """All wallets answer again: nobody stays behind, and what was owed is paid."""
    if not s.store.quarantined(BALANCE):
        return
    calm(s)
    s.anvil.mine(s.settle + 1)
    s.ledger.note()

    def free():
        keep_daemon(s)
        # Not to sit out the back-off; more than once, since a sweep still at an older block fails.
        s.store.sql("UPDATE trueup_quarantine SET retry_at = ?", FIRST)
        return not s.store.quarantined(BALANCE)

    try:
        until(free, "quarantine to be empty", 40, every=0.2)
    except AssertionError as e:
        raise AssertionError(f"{e}\n{s.tail(40)}") from None
    come_to_rest(s, keep_daemon)
    rows = assert_at_rest_equal(s.store, s.truth, wallets=expected(s))
    check_coverage(s, rows)
    check_changes(s, rows)


# ---- the daemon ------------------------------------------------------------------------------------------


def check_deaths(s):
    """Nobody died but by our hand, and no sanitizer spoke."""
    output = "".join(daemon.output() for daemon in s.daemons)
    for bad in ("AddressSanitizer", "runtime error:", "LeakSanitizer", "Assertion", "out of memory"):
        assert bad not in output, s.tail(60)
    died = re.findall(r"worker died.*?name=(\w+)", output)
    for name in set(died):
        assert died.count(name) <= s.killed.count(name), (
            f"{name} died {died.count(name)} times, we killed it {s.killed.count(name)} times:\n"
            + "\n".join(x for x in output.splitlines() if "worker died" in x))


__all__ = ["judge", "SLOWNESS"]
