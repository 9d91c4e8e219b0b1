"""`trueup explain`: each thing that can be said of a wallet, said."""

import json

from harness.checks import until_at_rest
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.world import REVERT, wallet

WALLETS = [wallet(i) for i in range(12)]


def explained(trueup, who):
    return json.loads(trueup.run("explain", "--json", who).stdout)


def test_each_verdict_in_its_words(chain, store, trueup, configured, rng):
    world = chain.world
    trueup.config = configured(wallets="listed", chain={"finality": "2"})
    world.mint_all(WALLETS[:8], rng)
    world.staking.send("stakeMany", WALLETS[:4], [7] * 4)
    trueup.run("migrate")
    store.list_wallets(BALANCE, WALLETS[:8])
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    world.token.send("mint", WALLETS[0], 5)
    world.mood([WALLETS[1]], REVERT)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS[:8])
    chain.anvil.mine(4)
    assert trueup.stop() == 0
    right = store.rows(TABLE)[WALLETS[0]]

    found = explained(trueup, WALLETS[0])
    assert found["verdict"] == "right"
    assert found["row"]["balance"] == found["chain"]["balance"] == str(right.balance)
    assert found["row"]["blocknumber"] == right.blocknumber
    assert sum(int(v) for v in found["chain"]["terms"].values()) == right.balance
    assert found["chain"]["terms"]["staked"] == "7"
    assert found["changes"][0]["new"] == str(right.balance) and found["drift"] == []
    told = trueup.run("explain", WALLETS[0]).stdout
    assert f'{WALLETS[0]} in balance "audio", table {TABLE}' in told
    assert f"The row holds {right.balance}, read from the chain at block " in told
    assert " + staked 7 + delegated 0." in told and "So it is right." in told
    assert "What happened to it, the newest first:" in told and "new: " in told

    assert explained(trueup, WALLETS[1])["verdict"] == "quarantined"
    told = trueup.run("explain", WALLETS[1]).stdout
    assert "It is in quarantine: held: reverted, " in told and "says reverted: held reverted" in told

    assert explained(trueup, WALLETS[11])["verdict"] == "no_row"
    trueup.run("wallets", "add", WALLETS[11])
    assert explained(trueup, WALLETS[11])["verdict"] == "new"

    wrong = (lambda v: str(v)) if store.kind == "sqlite" else (lambda v: v)
    store.sql(f"UPDATE {TABLE} SET balance = ? WHERE wallet = ?", wrong(right.balance + 9), WALLETS[0])
    assert explained(trueup, WALLETS[0])["verdict"] == "drifted"
    assert "So it has drifted: no event" in trueup.run("explain", WALLETS[0]).stdout
    store.sql(f"UPDATE {TABLE} SET blocknumber = observed_block + 1 WHERE wallet = ?", WALLETS[0])
    assert explained(trueup, WALLETS[0])["verdict"] == "pending"
    store.sql(f"UPDATE {TABLE} SET observed_block = NULL WHERE wallet = ?", WALLETS[0])
    assert explained(trueup, WALLETS[0])["verdict"] == "unanchored"
