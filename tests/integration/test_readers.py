"""The readers side by side: each forced, and seen in the provider's log to be what was used. All leave
the same table of the same world, and none believes an answer from another block."""

import json
import random

import pytest

from harness import config as configs
from harness.config import BALANCE, TABLE
from harness.lens import Lens
from harness.provider import provider  # noqa: F401
from harness.world import (BOMB, BURN, EMPTY, HUGE, LONG, MULTICALL3, REASON, REVERT, REVERT_BOMB,
                           SHORT, SWALLOW, TERMS, wallet)

READERS = ("override", "create", "multicall3", "single")
WALLETS = [wallet(i) for i in range(150)]
AGGREGATE3 = "0x82ad56cb"

on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
pytestmark = on_sqlite


def kind_of(request):
    """Which reader an eth_call is of; None for other questions (the probes' own, for one)."""
    params = request["params"]
    text = params if isinstance(params, str) else json.dumps(params)
    if request["method"] != "eth_call" or '"to": "0x' + "00" * 19 in text[:80]:
        return None
    if LENS_ADDRESS in text[:80]:
        return "override"
    if '"to"' not in text[:80]:
        return "create"
    if MULTICALL3 in text[:80]:
        return "multicall3" if AGGREGATE3 in text[:160] else None
    return "single"


LENS_ADDRESS = None


@pytest.fixture(autouse=True)
def lens_address(chain):
    global LENS_ADDRESS
    with Lens(chain.rpc, []) as lens:
        LENS_ADDRESS = lens.ask("address 0")


def kinds(provider):  # noqa: F811
    return [k for k in map(kind_of, provider.log()) if k]


def configured_for(provider, store, chain, tmp_path, reader="auto", **changes):  # noqa: F811
    endpoint = {"name": "scripted", "url": provider.url, "ws": "off", "reader": reader}
    return configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, provider.url, store.url, wallets="listed", chain={"endpoints": [endpoint]},
        **changes))


GUESS = 99


def placed(trueup, store, wallets):
    """Rows as an application seeds them: a guess from 1970, not anchored."""
    trueup.run("migrate")
    store.many(f"INSERT INTO {TABLE} (wallet, balance, updated_at) VALUES (?, ?, ?)",
               [(w, str(GUESS), "1970-01-01 00:00:00.000000") for w in wallets])


def anchored(store):
    """{wallet: balance}; the others still have what they had."""
    rows = store.rows(TABLE)
    assert all(r.balance == GUESS for r in rows.values() if r.observed_block is None)
    return {w: r.balance for w, r in rows.items() if r.observed_block is not None}


def reasons(store):
    return dict(store.sql("SELECT wallet, reason FROM trueup_quarantine WHERE balance = ?", BALANCE))


# What each mood is called in the quarantine.
MOODS = [(REVERT, 0, "reverted"), (REASON, 0, "reverted"), (BURN, 0, "out of gas"),
         (SHORT, 0, "answer is not 32 bytes"), (LONG, 0, "answer is not 32 bytes"),
         (EMPTY, 0, "empty answer"), (BOMB, 33, "answer is not 32 bytes"),
         (BOMB, 200_000, "answer is not 32 bytes"), (BOMB, 1_000_000, "answer is not 32 bytes"),
         (REVERT_BOMB, 100_000, "reverted")]


def troubled(world, rng):
    """Bad wallets on each of the terms; {wallet: reason}. Others want much gas, and get it."""
    world.mint_all(WALLETS, rng)
    world.traffic(WALLETS[60:], WALLETS[60:64], rng, 150)
    bad = {}
    for i, (kind, number, reason) in enumerate(MOODS):
        for t, term in enumerate(TERMS):
            world.mood([WALLETS[3 * i + t]], kind, number, term)
            bad[WALLETS[3 * i + t]] = f"{term}: {reason}"
    world.mood(WALLETS[30:32], HUGE, 0, "staked")  # all but a sum of 256 bits
    world.mood(WALLETS[32:33], HUGE, 0, "delegated")
    for w in WALLETS[30:33]:
        world.token.send("silentSet", w, 1)
        bad[w] = "sum overflows 256 bits"
    # Too much comes before what fails after it, however the terms are asked.
    world.mood([WALLETS[31]], REVERT, 0, "delegated")
    # Two failures: the first term's counts.
    world.mood([WALLETS[0]], SHORT, 0, "delegated")
    world.mood(WALLETS[40:44], SWALLOW, 1_200_000)
    world.mood(WALLETS[44:47], SWALLOW, 5_000_000, "staked")
    return bad


@pytest.mark.parametrize("reader, rule", [*((r, None) for r in READERS),
                                          ("create", "no-revert-data")])
def test_all_readers_leave_the_same_table(chain, store, trueup, provider, tmp_path, reader, rule,  # noqa: F811
                                          rng):
    """`create` answers by revert where its data is passed on, else as code."""
    bad = troubled(chain.world, rng)
    chain.anvil.mine(4)
    provider.rules(*([{"fault": rule}] if rule else []))
    trueup.config = configured_for(provider, store, chain, tmp_path, reader)
    placed(trueup, store, WALLETS)
    trueup.run("sweep")
    truth = chain.truth.read(WALLETS)
    assert anchored(store) == {w: v for w, v in truth.items() if w not in bad}
    if reader == "single":
        # It is told of a failure, not of the gas; a proxy's own is a plain revert.
        bad.update({w: f"{t}: reverted" for t, w in zip(TERMS[1:], WALLETS[7:9])})
    assert reasons(store) == bad
    assert set(kinds(provider)) == {reader}


@pytest.mark.parametrize("reader", READERS)
def test_a_term_without_code_is_nobodys_fault(chain, store, trueup, provider, tmp_path, reader, rng):  # noqa: F811
    chain.world.mint_all(WALLETS[:20], rng)
    chain.anvil.mine(4)
    trueup.config = configured_for(provider, store, chain, tmp_path, reader, balance={"terms": [
        {"name": "held", "contract": chain.world.token.address, "view": "balanceOf(address)"},
        {"name": "gone", "contract": "0x" + "c0de" * 10, "view": "balanceOf(address)"}]})
    placed(trueup, store, WALLETS[:20])
    done = trueup.run("sweep", code=None)
    assert "gone" in done.stdout + done.stderr
    assert anchored(store) == {} and reasons(store) == {}


def test_what_single_cannot_see(chain, store, trueup, provider, tmp_path):  # noqa: F811
    """A view that wants more than there is and hides it: three readers see the gas, the fourth sees
    only a success."""
    w, other = WALLETS[:2]
    chain.world.token.send("mint", other, 5)
    chain.world.mood([w], SWALLOW, 60_000_000)
    chain.anvil.mine(4)
    for reader in READERS:
        trueup.config = configured_for(provider, store, chain, tmp_path, reader)
        trueup.run("migrate")
        if reader == READERS[0]:
            placed(trueup, store, [w, other])
        store.sql("DELETE FROM trueup_quarantine")
        trueup.run("sweep")
        if reader != "single":
            assert reasons(store) == {w: "held: out of gas"}, reader
            assert set(anchored(store)) == {other}
    assert anchored(store)[w] == 0


# ---- the choice ---------------------------------------------------------------------------------------

REFUSE = {"override": {"fault": "no-override"}, "create": {"fault": "no-create"},
          "data": {"fault": "no-revert-data"}}


@pytest.mark.parametrize("refused, chosen", [
    ((), "override"), (("override",), "create-revert"), (("override", "data"), "create"),
    (("override", "create"), "multicall3")])
def test_the_best_that_is_borne(chain, store, trueup, provider, tmp_path, refused, chosen, rng):  # noqa: F811
    chain.world.mint_all(WALLETS[:30], rng)
    chain.anvil.mine(4)
    rules = [{"override": False, "create": False}] if len(refused) > 1 and "create" in refused else []
    provider.rules(*([{"fault": "bears", "args": rules[0]}] if rules else
                     [{"fault": "bears", "args": {"override": False}}] if refused == ("override",) else
                     [REFUSE[r] for r in reversed(refused)]))
    if refused == ("override", "data"):
        provider.rules({"fault": "no-override", "match": "code"}, REFUSE["data"])
    trueup.config = configured_for(provider, store, chain, tmp_path)
    placed(trueup, store, WALLETS[:30])
    trueup.run("sweep")
    assert len(anchored(store)) == 30
    assert kinds(provider)[-1] == chosen.removesuffix("-revert")
    answered = [r for r in provider.log() if kind_of(r) == "create"]
    if chosen == "create-revert":
        assert len(answered) == 2, "one to try it, one for the wallets"
    assert anchored(store) == chain.truth.read(WALLETS[:30])


def test_single_where_nothing_else_is_there(chain, store, trueup, provider, tmp_path, rng):  # noqa: F811
    chain.world.mint_all(WALLETS[:5], rng)
    chain.rpc.call("anvil_setCode", MULTICALL3, "0x")
    chain.anvil.mine(4)
    provider.rules({"fault": "bears", "args": {"override": False, "create": False}})
    trueup.config = configured_for(provider, store, chain, tmp_path)
    placed(trueup, store, WALLETS[:5])
    trueup.run("sweep")
    assert kinds(provider)[-1] == "single"
    assert anchored(store) == chain.truth.read(WALLETS[:5])


def test_an_override_that_is_dropped_in_silence(chain, store, trueup, provider, tmp_path, rng):  # noqa: F811
    chain.world.mint_all(WALLETS[:5], rng)
    chain.anvil.mine(4)
    provider.rules({"fault": "no-override", "args": {"silent": True}})
    trueup.config = configured_for(provider, store, chain, tmp_path)
    placed(trueup, store, WALLETS[:5])
    trueup.run("sweep")
    assert kinds(provider)[-1] == "create"
    assert len(anchored(store)) == 5


def test_code_at_the_address_of_the_lens(chain, store, trueup, provider, tmp_path, rng):  # noqa: F811
    chain.world.mint_all(WALLETS[:5], rng)
    chain.rpc.call("anvil_setCode", LENS_ADDRESS, "0x00")
    chain.anvil.mine(4)
    trueup.config = configured_for(provider, store, chain, tmp_path)
    placed(trueup, store, WALLETS[:5])
    trueup.run("sweep")
    assert set(kinds(provider)) == {"create"}
    trueup.config = configured_for(provider, store, chain, tmp_path, "override")
    done = trueup.run("sweep", code=None)
    assert done.returncode != 0 and "code at the lens' address" in done.stderr


def test_probed_again_when_it_starts_to_fail(chain, store, trueup, provider, tmp_path, rng):  # noqa: F811
    chain.world.mint_all(WALLETS[:20], rng)
    chain.anvil.mine(4)
    trueup.config = configured_for(provider, store, chain, tmp_path,
                                   sweep={"interval": "100ms", "batch": 5})
    placed(trueup, store, WALLETS[:20])
    trueup.start()
    trueup.until(lambda: len(anchored(store)) == 20, "the rows")
    # At its start the daemon asks each term once, by a plain call: does it answer at all?
    assert kinds(provider)[-1] == "override" and "create" not in kinds(provider)
    provider.rules({"fault": "no-override"})
    chain.world.silent(WALLETS[:20], rng)
    chain.anvil.mine(4)
    truth = chain.truth.read(WALLETS[:20])
    trueup.until(lambda: anchored(store) == truth,
                 "the rows by another reader")
    assert kinds(provider)[-1] == "create"


@pytest.mark.parametrize("reader", ["override", "multicall3"])
def test_asked_for_alone_and_refused_in_unknown_words(chain, trueup, provider, store, tmp_path,  # noqa: F811
                                                      reader):
    """Nothing else was answered in this read: a question without the wallet tells whose fault it is."""
    chain.world.mint_all(WALLETS[:2], random.Random(1))
    chain.anvil.mine(4)
    trueup.config = configured_for(provider, store, chain, tmp_path, reader)
    odd = {"fault": "error", "method": "eth_call", "args": {"text": "the planets are not aligned"}}
    provider.rules({**odd, "match": WALLETS[0][2:]})
    done = trueup.run("read", WALLETS[0], code=None)
    assert "reverted" in done.stdout + done.stderr
    provider.rules(odd)
    done = trueup.run("read", WALLETS[0], code=None)
    assert done.returncode != 0 and "planets" in done.stderr and "reverted" not in done.stdout


def test_another_endpoint_in_the_middle(chain, store, trueup, provider, tmp_path, rng):  # noqa: F811
    """The first goes down during a pass, and the second, which bears another reader, is not known yet."""
    chain.world.mint_all(WALLETS, rng)
    chain.anvil.mine(4)
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, provider.url, store.url, wallets="listed", sweep={"interval": "100ms", "batch": 10},
        chain={"endpoints": [
            {"name": "first", "url": provider.url, "ws": "off"},
            {"name": "second", "url": provider.base + "/other", "ws": "off"}]}))
    placed(trueup, store, WALLETS)
    provider.rules({"fault": "no-override", "path": "/other"})
    trueup.start()
    trueup.until(lambda: len(anchored(store)) >= 40, "some rows")
    provider.rules({"fault": "http-503", "path": "/v2"}, {"fault": "no-override", "path": "/other"})
    trueup.until(lambda: len(anchored(store)) == len(WALLETS), "the others", 30)
    assert anchored(store) == chain.truth.read(WALLETS)
    used = {(r["path"][:3], kind_of(r)) for r in provider.log() if r["method"] == "eth_call"}
    assert ("/v2", "override") in used and ("/ot", "create") in used


# ---- answers from another block ---------------------------------------------------------------------------

# Where the node's own timestamps differ from the EVM's, they prove nothing: so not the probe's.
LIES = [{"fault": "false-proof", "method": "eth_call", "args": {"what": what},
         **({"match": "blockHash"} if what == "timestamp" else {})}
        for what in ("number", "parent", "timestamp", "chain")]
LIES += [{"fault": "older-block", "method": "eth_call", "args": {"behind": 6}},
         {"fault": "ignore-pin", "method": "eth_call"}]


@pytest.mark.parametrize("reader", READERS)
def test_no_row_from_a_block_that_was_not_asked_for(chain, store, trueup, provider, tmp_path,  # noqa: F811
                                                    reader, rng):
    chain.world.mint_all(WALLETS[:10], rng)
    chain.anvil.mine(8)
    chain.world.silent(WALLETS[:10], rng)
    chain.anvil.mine(1)  # at the head there are other balances than below
    trueup.config = configured_for(provider, store, chain, tmp_path, reader)
    placed(trueup, store, WALLETS[:10])
    for lie in LIES:
        if reader == "single" and lie["fault"] == "false-proof":
            continue  # it carries none
        provider.rules(lie)
        done = trueup.run("sweep", code=None)
        if lie["fault"] == "ignore-pin" and reader != "single":
            # Found out at once: then numbers are asked for, which are not ignored.
            assert done.returncode == 0 and len(anchored(store)) == 10
            for w, r in store.rows(TABLE).items():
                assert r.balance == chain.truth.read([w], r.observed_block)[w]
        else:
            assert done.returncode != 0 and anchored(store) == {}, lie
    assert reasons(store) == {}


@pytest.fixture
def swept_by_single(chain, store, trueup, provider, tmp_path, rng):  # noqa: F811
    """A daemon that reads ten rows by plain calls, ten times a second."""
    chain.world.mint_all(WALLETS[:10], rng)
    chain.anvil.mine(4)
    trueup.config = configured_for(provider, store, chain, tmp_path, "single",
                                   sweep={"interval": "100ms"})
    placed(trueup, store, WALLETS[:10])
    trueup.start()
    trueup.until(lambda: len(anchored(store)) == 10, "the rows")
    return trueup


def test_single_notices_when_hashes_are_no_longer_looked_at(chain, store, swept_by_single, provider,  # noqa: F811
                                                            rng):
    trueup = swept_by_single
    provider.order(rules=[{"fault": "ignore-pin", "method": "eth_call"}], clear_log=True)
    chain.world.silent(WALLETS[:10], rng)  # at the head, which is not what the sweep asks about
    trueup.until(lambda: "does not exist" in trueup.output(), "it to be noticed", 20)
    for w, r in store.rows(TABLE).items():
        assert r.balance == chain.truth.read([w], r.observed_block)[w]


def test_single_notices_when_only_some_machines_look_at_hashes(chain, store, swept_by_single,
                                                               provider, rng):  # noqa: F811
    """Every fourth answer is that of a machine which takes no notice of the block. A single look in the
    end met it now and then only, and the values of the wrong block had come into the table."""
    trueup = swept_by_single
    before = store.one("SELECT max(id) FROM trueup_changes")
    chain.world.silent(WALLETS[:10], rng)  # at the head, which is not what the sweep asks about
    for n in range(1, 4):
        provider.order(rules=[{"fault": "ignore-pin", "method": "eth_call", "every": 4}], clear_log=True)
        trueup.until(lambda: trueup.output().count("does not exist") >= n, "it to be noticed")
        provider.reset()
        done = trueup.output().count("tick complete")
        trueup.until(lambda: trueup.output().count("tick complete") > done, "it to be believed again")
    wrong = [(w, b) for w, new, b in store.sql(
        "SELECT wallet, new, block FROM trueup_changes WHERE id > ?", before)
        if int(new) != chain.truth.read([w], b)[w]]
    assert wrong == []
