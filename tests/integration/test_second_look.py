"""Every block is looked at twice. What the first look left out is found by the second, filed with the
endpoint that left it out, and only the second moves the checkpoint."""

import time

import pytest

from harness import config as configs
from harness.checks import FAR, assert_anchored_rows_true
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.provider import ScriptedProvider, asked
from harness.web import listening
from harness.world import wallet

WALLETS = [wallet(i) for i in range(40)]
WAIT = 10  # seconds between the two looks

on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def two(chain, store, trueup, tmp_path):
    """Starts a daemon behind one or two scripted endpoints; it hardly ever sweeps, so that a row can
    only come from a look."""
    opened = []

    def start(n=2, *arguments, run=True, **changes):
        for name in ("first", "second")[:n]:
            p = ScriptedProvider(forward=chain.anvil.url)
            p.__enter__()
            p.name = name
            opened.append(p)
        changes.setdefault("sweep", {"interval": "1h"})
        chain_changes = changes.pop("chain", {})
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, store.url, terms=("held",), **changes, chain={
                "endpoints": [{"name": p.name, "url": p.url, "ws": "off"} for p in opened],
                **chain_changes}))
        trueup.start(*arguments)
        trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
        trueup.until(lambda: store.synced(BALANCE) >= chain.rpc.number(), "the first look")
        return opened

    yield start
    for p in opened:
        p.__exit__(None, None, None)


def ledger(store):
    return store.sql("SELECT wallet, cause, endpoint, block FROM trueup_drift ORDER BY id")


def named(store):
    return set(store.sql("SELECT wallet, number, endpoint FROM trueup_dirty"))


def synced(trueup, store, chain):
    head = chain.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) >= head, f"the first look at {head}")
    return head


def looked_twice(trueup, store, block, seconds=40):
    trueup.until(lambda: store.checkpoint(CHECKPOINT) >= block, f"the second look at {block}", seconds)


def far_away(trueup, store, chain, provider, omit):
    """What was looked at once is final now. From here on the provider omits logs of questions alone that
    reach up to the head, as first looks do."""
    chain.anvil.mine(FAR)
    synced(trueup, store, chain)
    provider.rules({**omit, "args": {**omit["args"], "near": 1}})


def test_an_empty_answer_at_catch_up(chain, store, trueup, two):
    """`[]` once for the range of the catch-up, and the truth ever after; one endpoint."""
    [only] = two(1)
    assert trueup.stop() == 0
    began = store.checkpoint(CHECKPOINT)
    chain.world.token.send("mintMany", WALLETS[:3], [5, 6, 7])
    block = chain.rpc.number()
    chain.anvil.mine(200)
    # The trial of the endpoint asks for logs as well, from other blocks.
    only.rules({"fault": "omit-logs", "method": "eth_getLogs", "match": f'"{hex(began + 1)}"', "times": 1})
    trueup.start()
    synced(trueup, store, chain)
    assert store.rows(TABLE) == {} and store.checkpoint(CHECKPOINT) == began, "the stage"
    looked_twice(trueup, store, chain.rpc.number() - 2)
    rows = store.rows(TABLE)
    assert {w: rows[w].balance for w in rows} == dict(zip(WALLETS, [5, 6, 7]))
    assert {r.blocknumber for r in rows.values()} == {block}
    assert set(ledger(store)) == {(w, "missed_log", "first", block) for w in WALLETS[:3]}
    assert "logs were missing from the first look" in trueup.output()
    assert_anchored_rows_true(store, chain.truth)


@pytest.mark.parametrize("endpoints", [1, 2])
def test_one_of_two_logs_is_left_out(chain, store, trueup, two, endpoints):
    """Near the head, by the first look's endpoint, each time it is asked there: the other log is no reason
    to trust the answer."""
    served, web = listening()
    providers = two(endpoints, http=served)
    chain.world.token.send("mintMany", WALLETS[:2], [100, 100])
    synced(trueup, store, chain)
    began = time.monotonic()
    omit = {"fault": "omit-logs", "method": "eth_getLogs", "args": {"naming": WALLETS[0][2:]}}
    providers[0].rules(omit)
    chain.world.token.send("mintMany", WALLETS[:2], [5, 5])
    block = synced(trueup, store, chain)
    assert named(store) >= {(WALLETS[1], block, "first")}
    assert (WALLETS[0], block, "first") not in named(store)
    assert [store.rows(TABLE)[w].balance for w in WALLETS[:2]] == [100, 105]
    far_away(trueup, store, chain, providers[0], omit)
    looked_twice(trueup, store, block)
    assert time.monotonic() - began >= WAIT - 1
    rows = store.rows(TABLE)
    assert [(rows[w].balance, rows[w].blocknumber) for w in WALLETS[:2]] == [(105, block)] * 2
    assert ledger(store) == [(WALLETS[0], "missed_log", "first", block)]
    metrics = web.metrics()
    assert metrics['trueup_missed_logs_total{endpoint="first"}'] == 1
    assert (metrics['trueup_second_look_alone_total{endpoint="first"}'] > 0) == (endpoints == 1)
    trueup.until(lambda: not [n for n in named(store) if n[1] <= block], "the names to go")


@on_sqlite
@pytest.mark.parametrize("wrong", ["behind", "empty", "branch"])
def test_an_answer_without_proof_does_not_count(chain, store, trueup, two, wrong):
    """The second endpoint is behind what is final, left out what the first one showed, or is on
    another branch: it is tried three times, then the first one's second answer counts."""
    first, second = two(2)
    rule = {"behind": {"fault": "lag", "args": {"blocks": 400}},
            "empty": {"fault": "omit-logs", "method": "eth_getLogs"},
            "branch": {"fault": "other-branch", "method": "eth_getBlockByNumber"}}[wrong]
    omit = {"fault": "omit-logs", "method": "eth_getLogs", "args": {"naming": WALLETS[0][2:]}}
    second.rules(rule, omit)
    first.rules(omit)
    chain.world.token.send("mintMany", WALLETS[:2], [5, 6])
    block = synced(trueup, store, chain)
    assert WALLETS[0] not in store.rows(TABLE)
    far_away(trueup, store, chain, first, omit)
    looked_twice(trueup, store, block)
    assert [store.rows(TABLE)[w].balance for w in WALLETS[:2]] == [5, 6]
    assert ledger(store) == [(WALLETS[0], "missed_log", "first", block)]


def test_while_no_answer_counts_the_checkpoint_is_held(chain, store, trueup, two):
    served, web = listening()
    [only] = two(1, http=served)
    chain.world.token.send("mint", WALLETS[0], 5)
    block = synced(trueup, store, chain)
    began = store.checkpoint(CHECKPOINT)
    chain.anvil.mine(4)
    synced(trueup, store, chain)  # a first look that ends below a growing head would be refused, too
    only.rules({"fault": "error", "method": "eth_getLogs",
                "args": {"text": "internal error", "code": -32603, "far": 2}})
    trueup.until_log("second look failed, the checkpoint is held", 60)
    trueup.until(lambda: web.ask("/readyz")[0] == 503 and "the checkpoint is held" in str(web.ask("/readyz")[2]),
                 "the light", 30)
    assert store.checkpoint(CHECKPOINT) == began
    assert store.rows(TABLE)[WALLETS[0]].balance == 5
    only.reset()
    chain.anvil.mine(FAR)
    looked_twice(trueup, store, block)
    trueup.until(lambda: web.ask("/readyz")[0] == 200, "the light", 30)


@on_sqlite
def test_what_it_found_is_read_first(chain, store, trueup, two):
    """The second look finds an event while nothing can be read: the checkpoint waits."""
    first, second = two(2)
    chain.world.token.send("mint", WALLETS[1], 5)
    synced(trueup, store, chain)
    first.rules({"fault": "omit-logs", "method": "eth_getLogs", "args": {"naming": WALLETS[0][2:]}})
    chain.world.token.send("mintMany", WALLETS[:2], [5, 5])
    block = synced(trueup, store, chain)
    refuses = {"fault": "http-503", "method": "eth_call"}
    first.order(add=[refuses])
    second.rules(refuses)
    chain.anvil.mine(FAR)
    trueup.until_log("event sync failed, retrying", 60)
    assert store.checkpoint(CHECKPOINT) < block and WALLETS[0] not in store.rows(TABLE)
    second.reset()
    first.reset()
    looked_twice(trueup, store, block)
    assert store.rows(TABLE)[WALLETS[0]].balance == 5


def test_the_checkpoint_is_never_ahead(chain, store, trueup, two, rng):
    """kill -9 every 2 s of a catch-up in which the first look leaves logs out: all is found at last."""
    first, second = two(2)
    first.rules({"fault": "omit-logs", "method": "eth_getLogs", "args": {"naming": WALLETS[0][2:]}})
    assert trueup.stop() == 0
    for i in range(8):
        chain.world.token.send("mintMany", [WALLETS[0], WALLETS[i + 1]], [1, i + 1])
        chain.anvil.mine(300)
    for _ in range(4):
        trueup.start()
        time.sleep(2)
        trueup.kill()
        rows = store.rows(TABLE)
        assert store.checkpoint(CHECKPOINT) < chain.world.birth + 300 or WALLETS[0] in rows
    trueup.start()
    looked_twice(trueup, store, chain.rpc.number() - 2, 90)
    rows = store.rows(TABLE)
    assert {w: r.balance for w, r in rows.items()} == {
        WALLETS[0]: 8, **{WALLETS[i + 1]: i + 1 for i in range(8)}}
    assert_anchored_rows_true(store, chain.truth)
    assert {(w, cause, e) for w, cause, e, _ in ledger(store)} == {(WALLETS[0], "missed_log", "first")}


def test_a_first_start_begins_at_the_finalized_block(chain, store, trueup, two):
    chain.world.token.send("mint", WALLETS[0], 5)  # not final yet
    two(1)
    assert store.checkpoint(CHECKPOINT) == chain.rpc.number() - 2
    trueup.until(lambda: WALLETS[0] in store.rows(TABLE), "an event between finalized and head")


@on_sqlite
def test_a_first_start_from_above_finalized(chain, store, trueup, configured):
    trueup.config = configured()
    trueup.start("--from", chain.rpc.number())
    assert trueup.wait() == 2
    assert "is above the finalized block" in trueup.output()
    assert store.checkpoint(CHECKPOINT) is None


@on_sqlite
def test_finality_at_once_is_looked_at_later(chain, store, trueup, two):
    """`finality: 0`: there is nothing to wait for, and the second look waits all the same."""
    two(1, chain={"finality": 0})
    began = time.monotonic()
    chain.world.token.send("mint", WALLETS[0], 5)
    block = synced(trueup, store, chain)
    chain.anvil.mine(1)
    assert store.checkpoint(CHECKPOINT) < block
    looked_twice(trueup, store, block, 90)
    assert time.monotonic() - began >= WAIT - 1


@on_sqlite
def test_the_other_endpoint_is_asked(chain, store, trueup, two):
    first, second = two(2)
    chain.world.token.send("mint", WALLETS[0], 5)
    block = synced(trueup, store, chain)
    before = len(asked(second, "eth_getLogs"))
    chain.anvil.mine(FAR)
    looked_twice(trueup, store, block)
    ranges = [p for [p] in asked(second, "eth_getLogs")[before:] if int(p["toBlock"], 16) >= block]
    assert len(ranges) == 1, "one range, and of the second endpoint"
    [row] = [r for r in second.log()[before:] if r["method"] == "eth_getLogs" and r["params"] == [ranges[0]]]
    assert row["batch"] == 4, "header, logs, header and latest"


@on_sqlite
def test_a_slow_second_look_holds_no_first_look(chain, store, trueup, two):
    first, second = two(2)
    chain.world.token.send("mint", WALLETS[0], 5)
    block = synced(trueup, store, chain)
    second.rules({"fault": "silence", "method": "eth_getLogs", "args": {"seconds": 10}})
    began = len(asked(second, "eth_getLogs"))
    chain.anvil.mine(FAR)
    trueup.until(lambda: len(asked(second, "eth_getLogs")) > began, "the second look to begin", 60)
    asked_at = time.monotonic()
    chain.world.token.send("mint", WALLETS[1], 7)
    trueup.until(lambda: WALLETS[1] in store.rows(TABLE), "the row of an event meanwhile")
    assert time.monotonic() - asked_at < 5 and store.checkpoint(CHECKPOINT) < block
    looked_twice(trueup, store, block)
    assert time.monotonic() - asked_at >= 9, "the slow answer was waited for"


@on_sqlite
@pytest.mark.parametrize("how", [
    {"fault": "error", "args": {"code": -32600, "text": "batch requests are not supported"}},
    {"fault": "http-503", "args": {"status": 400}},
])
def test_where_batches_are_refused(chain, store, trueup, two, how):
    """One question after the other then, with the same proof."""
    [only] = two(1)
    only.rules({"method": "batch", **how})
    chain.world.token.send("mint", WALLETS[0], 5)
    block = synced(trueup, store, chain)
    chain.anvil.mine(FAR)
    looked_twice(trueup, store, block)
    methods = [r["method"] for r in only.log()]
    assert 1 <= methods.count("batch") <= 12, "what was under way, with its retries, and none later"
    assert "endpoint does not answer batches as one" in trueup.output()


@on_sqlite
def test_a_batch_from_several_backends(chain, store, trueup, two):
    """The header behind the logs is another one than that before them: one question after the other then."""
    [only] = two(1)
    chain.world.token.send("mint", WALLETS[0], 5)
    block = synced(trueup, store, chain)
    only.rules({"fault": "other-branch", "method": "eth_getBlockByNumber", "match": '["0x', "batch": True,
                "skip": 1, "times": 1})
    chain.anvil.mine(FAR)
    looked_twice(trueup, store, block)
    assert "endpoint does not answer batches as one" in trueup.output()


# ---- legs ----------------------------------------------------------------------------------------

@on_sqlite
def test_what_happens_above_a_catch_up_has_its_row_at_once(chain, store, trueup, two):
    served, web = listening()
    [only] = two(1, http=served)
    assert trueup.stop() == 0
    chain.world.token.send("mint", WALLETS[0], 5)
    chain.anvil.mine(700)
    first = f'"fromBlock":"{hex(store.checkpoint(CHECKPOINT) + 1)}"'  # the leg's, and no look's
    only.rules({"fault": "silence", "method": "eth_getLogs", "match": first, "times": 1, "args": {"seconds": 6}})
    before, headers = len(asked(only, "eth_getLogs")), len(asked(only, "eth_getBlockByNumber"))
    trueup.start()
    trueup.until(lambda: asked(only, "eth_getLogs")[before:], "the first range")
    headers = len(asked(only, "eth_getBlockByNumber")) - headers
    assert headers < 100, "what is final is linked by its number, and not by 700 headers"
    chain.world.token.send("mint", WALLETS[1], 7)
    began = time.monotonic()
    trueup.until(lambda: WALLETS[1] in store.rows(TABLE), "the row of an event above the legs")
    assert time.monotonic() - began < 5 and WALLETS[0] not in store.rows(TABLE)
    assert store.synced(BALANCE) < 600
    status, _, text = web.ask("/readyz")
    assert status == 503 and "catching up" in str(text)
    synced(trueup, store, chain)
    assert store.rows(TABLE)[WALLETS[0]].balance == 5
