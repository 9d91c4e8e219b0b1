"""Events that change wallets they do not name: rewards and slashes reach every delegator, and the
trigger's view says who they are."""

from harness.checks import assert_at_rest_equal, assert_anchored_rows_true, until_at_rest
from harness.config import TABLE, triggers
from harness.world import wallet

PROVIDER = wallet(9_000)
DELEGATORS = [wallet(9_100 + i) for i in range(150)]
# So long that within the test nothing but the trigger can have read them.
NO_SWEEP = {"interval": "1h"}


def delegated(chain, trueup, store, config):
    world = chain.world
    trueup.config = config
    trueup.start()
    trueup.until(lambda: store.checkpoint("audio_transfers") is not None, "the first checkpoint")
    world.token.send("mintMany", DELEGATORS, [1_000_000_000] * len(DELEGATORS))
    for start in range(0, 150, 50):
        world.delegation.send("delegateMany", DELEGATORS[start:start + 50], [PROVIDER] * 50,
                              [1_000_000] * 50)
    last = chain.rpc.number()
    chain.anvil.mine(4)
    trueup.until(lambda: store.synced("audio") >= last, "the delegations to be synced")
    assert set(DELEGATORS) <= set(store.rows(TABLE))
    return world


def test_rewards_reach_every_delegator_within_a_block(chain, store, trueup, configured):
    world = delegated(chain, trueup, store, configured(sweep=NO_SWEEP))
    for verb in ("claimRewards", "slash"):
        before = {w: r.balance for w, r in store.rows(TABLE).items()}
        world.delegation.send(verb, PROVIDER, 25)
        block = chain.rpc.number()

        def all_read():
            rows = store.rows(TABLE)
            return all((rows[w].blocknumber or 0) >= block for w in DELEGATORS)

        trueup.until(all_read, f"the delegators to be read after {verb}")
        rows = store.rows(TABLE)
        assert all(rows[w].balance != before[w] for w in DELEGATORS), "the stage: all were changed"
        right = chain.truth.read(DELEGATORS)
        assert {w: rows[w].balance for w in DELEGATORS} == right
        assert all(rows[w].observed_block == block for w in DELEGATORS)
    assert_anchored_rows_true(store, chain.truth)


def test_without_fan_out_the_sweep_finds_them(chain, store, trueup, configured):
    world = delegated(chain, trueup, store,
                      configured(balance={"triggers": triggers(chain.world, fan_out=False)}))
    named = {w: r.blocknumber for w, r in store.rows(TABLE).items()}
    world.delegation.send("claimRewards", PROVIDER, 25)
    until_at_rest(trueup, store, chain.anvil, wallets=DELEGATORS)
    rows = assert_at_rest_equal(store, chain.truth, wallets=DELEGATORS)
    assert {w: rows[w].blocknumber for w in DELEGATORS} == {w: named[w] for w in DELEGATORS}


def test_what_was_delegated_while_nobody_watched(chain, store, trueup, configured):
    """Catch-up asks for the list at the event's own block, or at a later one: nobody is left out."""
    world = delegated(chain, trueup, store, configured(sweep=NO_SWEEP))
    assert trueup.stop() == 0
    world.delegation.send("claimRewards", PROVIDER, 25)
    world.delegation.send("undelegateMany", DELEGATORS[:50], [PROVIDER] * 50, [1_000_000] * 50)
    chain.anvil.mine(100)
    trueup.start()

    def all_right():
        rows, right = store.rows(TABLE), chain.truth.read(DELEGATORS)
        return all(rows[w].balance == right[w] for w in DELEGATORS)

    trueup.until(all_right, "the delegators to be right")
    assert_anchored_rows_true(store, chain.truth)
