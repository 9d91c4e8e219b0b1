"""Several endpoints: one that lags, then lies, then dies, costs neither a row nor time; one on another
chain is set aside and named; one that was away is known again before it is asked. And the budget."""

import re
import statistics
import time
import urllib.request

import pytest

from harness import config as configs
from harness.node import free_port
from harness.checks import assert_at_rest_equal, assert_anchored_rows_true, until_at_rest
from harness.config import CHECKPOINT, TABLE
from harness.provider import ScriptedProvider, two  # noqa: F401
from harness.web import listening
from harness.world import wallet

WALLETS = [wallet(i) for i in range(60)]

# For what is between the daemon and its nodes alone: once is enough.
pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)

LIES = [{"fault": "ignore-pin", "method": "eth_call"},
        {"fault": "older-block", "method": "eth_call", "args": {"behind": 1}}]


@pytest.fixture
def with_endpoints(chain, store, trueup, tmp_path):
    """Starts the daemon with these endpoints: with_endpoints({"bad": url, "good": url}, …)."""
    def configure(urls, **changes):
        endpoints = [{"name": n, "url": u, "ws": "off"} for n, u in urls.items()]
        changes["chain"] = {**changes.get("chain", {}), "endpoints": endpoints}
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, store.url, **changes))
        trueup.start()
        trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
        return trueup
    return configure


def mint_and_wait(chain, store, trueup, who, seconds=30):
    """How long until an event's wallet has been read for its block."""
    began = time.monotonic()
    chain.world.token.send("mint", who, 5)
    block = chain.rpc.number()

    def read():
        row = store.rows(TABLE).get(who)
        return row is not None and row.blocknumber == block

    trueup.until(read, f"{who} to be read for block {block}", seconds)
    return time.monotonic() - began


def latencies(chain, store, trueup, n=6):
    found = [mint_and_wait(chain, store, trueup, WALLETS[i]) for i in range(n)]
    assert_anchored_rows_true(store, chain.truth)
    return statistics.median(found)


def pauses(port, name):
    """{why: how often} of an endpoint that was paused or put last."""
    return {why: int(n) for why, n in re.findall(
        rf'^trueup_endpoint_pauses_total{{endpoint="{name}",reason="([^"]+)"}} (\d+)$', metrics(port), re.M)}


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as got:
        return got.read().decode()


def balances(store):
    return {w: r.balance for w, r in store.rows(TABLE).items()}


def calls(provider, method="eth_call"):
    return sum(r["method"] == method for r in provider.log())


@pytest.mark.alone
def test_one_that_lags_then_lies_then_dies(chain, store, trueup, two, with_endpoints):
    bad, good = two
    port = free_port()
    with_endpoints({"bad": bad.url, "good": good.url}, http={"listen": f"127.0.0.1:{port}"})
    chain.world.token.send("mintMany", WALLETS, [1] * len(WALLETS))
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    normal = latencies(chain, store, trueup)
    # Less than any deadline of ours: nothing waits for the bad one. And while it lags, what comes in a
    # block is read without it or never, since no further block comes.
    bound = 2 * normal + 3

    bad.rules({"fault": "lag", "args": {"blocks": 5}})
    said = len(trueup.output())

    # Blocks two seconds apart, since less is no lag. And none while it is looked for: two heads that are
    # asked for one after the other come nearer by what is mined in between, if it takes long by all.
    chain.rpc.call("anvil_mine", hex(3), hex(2))
    trueup.until_log("follow: endpoint lags", 40, said)  # each process looks for itself
    assert latencies(chain, store, trueup) < bound
    assert 'endpoint=bad' in trueup.output()[said:]
    # It is looked at again and again, and each time it lags.
    trueup.until(lambda: 'trueup_endpoint_up{endpoint="bad"} 0' in metrics(port), "the metric to say so", 20)
    assert 'trueup_endpoint_up{endpoint="good"} 1' in metrics(port)
    assert pauses(port, "bad")["lags"] > 0

    # It has caught up, is preferred again, and lies.
    bad.rules(*LIES)
    said = len(trueup.output())

    def caught():
        chain.world.token.send("mint", WALLETS[0], 1)
        return "answered from another block than asked" in trueup.output()[said:]

    trueup.until(caught, "the lie to be noticed", 60)
    assert latencies(chain, store, trueup) < bound
    assert "endpoint circuit opened" in trueup.output()[said:]
    assert pauses(port, "bad")["wrong answer"] > 0

    bad.close()
    said = len(trueup.output())
    trueup.until(lambda: mint_and_wait(chain, store, trueup, WALLETS[1]) < bound, "calm", 30)
    assert latencies(chain, store, trueup) < bound
    # A good answer to a trial between two lies stands until the next question finds nothing there.
    trueup.until(lambda: 'trueup_endpoint_up{endpoint="bad"} 0' in metrics(port), "the metric to say so", 20)
    assert not any(pauses(port, "good").values())
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)


def test_one_that_comes_later_is_identified_first(chain, store, trueup, with_endpoints, two):
    """The preferred one is away at the start; when it comes it is on another chain, and is asked for
    nothing else; when that is mended it is used."""
    late, good = two
    port = free_port()
    with_endpoints({"late": f"http://127.0.0.1:{port}/", "good": good.url})
    with ScriptedProvider(forward=chain.anvil.url, port=port) as late:
        late.rules({"fault": "result", "method": "eth_chainId", "args": {"result": "0x5"}})
        trueup.until_log("endpoint not used", 30)
        assert 'endpoint \\"late\\" is on chain 5, not 31337' in trueup.output()
        mint_and_wait(chain, store, trueup, WALLETS[1])
        asked = {r["method"] for r in late.log()}
        assert asked <= {"eth_chainId", "eth_getBlockByNumber"}, asked
        assert all(r["params"] == ["0x0", False] for r in late.log()
                   if r["method"] == "eth_getBlockByNumber")
    assert_anchored_rows_true(store, chain.truth)


def test_one_that_was_down_is_used_when_it_comes(chain, store, trueup, with_endpoints, two):
    _, good = two
    port = free_port()
    with_endpoints({"late": f"http://127.0.0.1:{port}/", "good": good.url})
    with ScriptedProvider(forward=chain.anvil.url, port=port) as late:
        def used():
            mint_and_wait(chain, store, trueup, WALLETS[0])
            return calls(late)
        trueup.until(used, "it to be asked", 30)
        methods = [r["method"] for r in late.log()]
        assert set(methods[:2]) == {"eth_chainId", "eth_getBlockByNumber"}, methods[:4]
        assert trueup.stop() == 0
    assert_anchored_rows_true(store, chain.truth)


ELSEWHERE = {"id": {"fault": "result", "method": "eth_chainId", "args": {"result": "0x5"}},
             "genesis": {"fault": "other-genesis", "method": "eth_getBlockByNumber"}}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_one_or_all_on_another_chain(chain, store, trueup, with_endpoints, two, what):
    """One of two is set aside and named; both: exit 4 with the hint, and nothing of it is written."""
    first, second = two
    with_endpoints({"first": first.url, "second": second.url})
    mint_and_wait(chain, store, trueup, WALLETS[0], 20)
    assert trueup.stop() == 0
    trueup.process = None
    first.rules(ELSEWHERE[what])
    first.order(clear_log=True)
    said = len(trueup.output())
    trueup.start()
    trueup.until_log("endpoint not used", 20, said)
    assert 'endpoint=first' in trueup.output()[said:]
    mint_and_wait(chain, store, trueup, WALLETS[1], 20)
    assert not calls(first)
    assert trueup.stop() == 0
    trueup.process = None
    before = balances(store)
    second.rules(ELSEWHERE[what])
    chain.world.token.send("mint", WALLETS[2], 5)
    said = len(trueup.output())
    trueup.start()
    trueup.until_log("the endpoints seem to be on another chain, asking again", 20, said)
    if what == "genesis":  # a minute, once
        began = time.monotonic()
        assert trueup.wait(120) == 4, trueup.tail()
        assert time.monotonic() - began > 50 and trueup.output()[said:].count("asking again") >= 4
        assert "reset-chain" in trueup.output()[said:]
    assert balances(store) == before


def test_another_chain_behind_the_same_url(chain, store, trueup, with_endpoints, two):
    """It goes away and somebody else comes back: noticed before anything is asked of them."""
    one, _ = two
    http, client = listening()
    with_endpoints({"one": one.url}, http=http)
    mint_and_wait(chain, store, trueup, WALLETS[0], 20)
    before = balances(store)
    said = len(trueup.output())
    one.rules({"fault": "reset"})
    trueup.until(lambda: one.order()["rules"][0]["played"] >= 6, "it to be given up", 20)
    one.rules(ELSEWHERE["id"])
    one.order(clear_log=True)
    chain.world.token.send("mint", WALLETS[2], 5)

    def cause():
        code, _, words = client.ask("/readyz")
        return code == 503 and 'endpoint "one" is on chain 5' in words
    trueup.until(cause, "the light to name the cause, before the daemon ends", 40)
    assert trueup.wait(120) == 4, trueup.tail()
    assert "reset-chain" in trueup.output()[said:]
    assert balances(store) == before


def test_slowed_down_in_every_form_nothing_is_lost(chain, store, trueup, with_endpoints, two, rng):
    one, _ = two
    with_endpoints({"one": one.url}, sweep={"interval": "100ms"})
    one.rules(*[{"fault": f, "chance": 0.04, "args": a} for f, a in (
        ("rate-429", {}), ("rate-429", {"after": 1}), ("rate-429", {"date": 2}),
        ("rate-200", {"text": "Too many requests, retry in 100ms"}),
        ("rate-200", {"text": "50/second request limit reached - reduce calls per second"}),
        ("error-string", {"text": "rate limit reached"}))])
    chain.world.mint_all(WALLETS, rng)
    for i in range(2):
        mint_and_wait(chain, store, trueup, WALLETS[i], 40)
    one.rules()
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)


@pytest.mark.alone
def test_the_day_is_spent(chain, store, trueup, with_endpoints, two):
    """The sweep stops first and says so once, live goes on; a restart does not give the units again;
    in the end nothing is asked, and that is said once too."""
    one, _ = two
    with_endpoints({"one": one.url}, sweep={"interval": "100ms"}, chain={"freshness": "300ms"},
                   budget={"per_day": 140})
    mint_and_wait(chain, store, trueup, WALLETS[0], 20)
    chain.anvil.mine(4)
    trueup.until_log("the sweep stops until 00:00 UTC", 40)
    assert mint_and_wait(chain, store, trueup, WALLETS[1], 20) < 5
    assert trueup.stop() == 0
    assert trueup.output().count("the sweep stops until") == 1
    said = len(trueup.output())
    trueup.process = None
    trueup.start()
    trueup.until_log("the sweep stops until 00:00 UTC", 10, said)
    trueup.until_log("nothing is asked until 00:00 UTC", 60, said)
    one.order(clear_log=True)
    time.sleep(1)  # three polls
    assert one.log() == []
    assert trueup.stop() == 0
    assert trueup.output().count("nothing is asked until") == 1
    assert_anchored_rows_true(store, chain.truth)


@pytest.mark.alone
def test_units_a_second_are_kept_to(chain, store, trueup, with_endpoints, two, rng):
    """By all processes together, in the provider's units."""
    one, _ = two
    with_endpoints({"one": one.url}, sweep={"interval": "100ms", "batch": 1},
                   budget={"per_second": 20})
    mint_and_wait(chain, store, trueup, WALLETS[0], 40)
    chain.world.mint_all(WALLETS, rng)
    one.order(clear_log=True)
    began = time.monotonic()
    time.sleep(4)
    asked, took = len(one.log()), time.monotonic() - began
    assert asked <= 20 * (took + 1) + 10, f"{asked} requests in {took:.1f} s"
    assert asked >= 20 * took / 4, f"{asked} requests in {took:.1f} s"
