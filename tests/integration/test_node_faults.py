"""The daemon behind a provider that misbehaves: whatever is played, an anchored row equals the chain, no
key is printed, and when it ends everything comes to rest."""

import pathlib
import sys

import pytest

from harness import config as configs
from harness.checks import assert_at_rest_equal, assert_anchored_rows_true, until_at_rest
from harness.world import wallet

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "provider"))

from client import ScriptedProvider  # noqa: E402

KEY = "KeyKeyKey0123456789"
WALLETS = [wallet(i) for i in range(200)]
PROVIDERS = WALLETS[:4]

# Each now and then; together about one request in five goes wrong.
WEATHER = [{"fault": f, "chance": 0.02, "args": a} for f, a in (
    ("rate-429", {}), ("rate-200", {"text": "Too many requests, retry in 100ms"}),
    ("http-503", {}), ("error-500", {}), ("html", {}), ("wrong-id", {}), ("null-result", {}),
    ("truncated-json", {}), ("reset", {}), ("reset", {"half": True}), ("half-close", {}),
    ("close-after", {}), ("stale-connection", {}), ("echo-url", {"status": 502, "html": True}))]
# Answers that are wrong and look right.
LIES = [{"fault": "ignore-pin", "chance": 0.2},
        {"fault": "older-block", "method": "eth_call", "chance": 0.1, "args": {"behind": 1}},
        {"fault": "gas-cap", "method": "eth_call", "chance": 0.2, "args": {"cap": 3_000_000}}]

sqlite_only = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def provider(chain, rng):
    with ScriptedProvider(forward=chain.anvil.url, seed=rng.randrange(2 ** 32),
                          path=f"/v2/{KEY}") as p:
        yield p


@pytest.fixture
def behind(chain, store, provider, trueup, tmp_path):
    """The daemon, configured to reach the chain through the provider."""
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, provider.url, store.url))
    return trueup


@sqlite_only
@pytest.mark.parametrize("faults", [WEATHER, LIES], ids=["weather", "lies"])
def test_faults_come_and_go(chain, store, provider, behind, rng, faults):
    behind.start()
    behind.until(lambda: store.checkpoint("audio_transfers") is not None, "the first checkpoint")
    provider.rules(*faults)
    chain.world.mint_all(WALLETS, rng)

    def enough_played():
        chain.world.traffic(WALLETS, PROVIDERS, rng, 30)
        assert_anchored_rows_true(store, chain.truth)
        played = [r["played"] for r in provider.order()["rules"]]
        return all(played) and sum(played) >= 40

    behind.until(enough_played, "each fault to be played, and forty in all", 60)
    provider.rules()
    until_at_rest(behind, store, chain.anvil, wallets=WALLETS)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)
    assert KEY not in behind.output()


@sqlite_only
@pytest.mark.parametrize("rule", [
    {"fault": "echo-url"}, {"fault": "echo-url", "args": {"html": True}},
    {"fault": "echo-url", "args": {"status": 200}}, {"fault": "redirect"},
    {"fault": "rate-429", "args": {"after": 300}}, {"fault": "reset"},
    {"fault": "wrong-id"}, {"fault": "oversize", "args": {"mb": 70}}],
    ids=lambda rule: rule["fault"] + "".join(map(str, rule.get("args", {}).values())))
def test_no_key_is_printed(provider, behind, store, rule):
    provider.rules(rule)
    done = behind.run("read", WALLETS[0], "--log-level", "trace", code=None)
    assert done.returncode in (1, 4), done.stderr
    assert done.stderr.strip(), "an error has words"
    assert KEY not in done.stdout + done.stderr


@pytest.mark.alone
@sqlite_only
@pytest.mark.parametrize("faults", [[{"fault": "silence"}], [{"fault": "slow-loris"}],
                                    [{"fault": "rate-429", "args": {"after": 20}}]],
                         ids=["silence", "slow-loris", "rate"])
def test_stops_at_once_while_the_node_does_not_answer(store, provider, behind, faults):
    behind.start()
    behind.until(lambda: store.checkpoint("audio_transfers") is not None, "the first checkpoint")
    provider.rules(*faults)
    behind.until(lambda: provider.order()["rules"][0]["played"] >= 1, "a worker to wait", 20)
    assert behind.stop(seconds=2.0) == 0


@sqlite_only
def test_nobody_there(provider, behind, store):
    provider.close()
    done = behind.run("read", WALLETS[0], code=4)
    assert KEY not in done.stdout + done.stderr
    assert done.stderr.startswith("trueup: "), done.stderr
