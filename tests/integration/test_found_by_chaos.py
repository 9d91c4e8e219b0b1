"""What scripts/chaos found, each as the shortest story that shows it."""

import os
import subprocess
from pathlib import Path

import pytest

from harness import config as configs
from harness import daemon
from harness.checks import assert_at_rest_equal, until_at_rest
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.provider import provider  # noqa: F401
from harness.web import listening
from harness.world import LONG, wallet

WALLETS = [wallet(i) for i in range(10)]

on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


def holders(path):
    """Pids that hold a lock on the file, as SQLite does for as long as it reads or writes by the log."""
    inode = os.stat(path).st_ino
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return {int(r[4]) for r in rows if "->" not in r and r[5].endswith(f":{inode}")}


@on_sqlite
def test_every_process_keeps_its_lock_on_the_file(chain, store, trueup, configured):
    """A second connection of the web process opened and closed the file beside SQLite: with that went all
    locks of the process, and whoever closed the database last deleted the log that web was still
    reading. It served old balances from then on."""
    http, web = listening()
    trueup.config = configured(http=http)
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    chain.world.token.send("mintMany", WALLETS, [5] * 10)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    trueup.until(lambda: web.answers() and web.ask(f"/v1/balances/audio/{WALLETS[0]}")[0] == 200,
                 "a balance to be served")
    web.ask("/v1/balances/audio?order=balance&limit=5")  # by the other connection
    assert holders(store.path) >= set(trueup.workers().values())


@on_sqlite
def test_a_bad_moment_at_the_first_look_is_not_for_good(chain, store, trueup, provider, tmp_path):  # noqa: F811
    """One backend of the endpoint ignores block hashes when they are tried; with a reader that needs them
    nothing was read by that process ever after."""
    settings = configs.settings(chain.world, provider.url, store.url)
    settings["chain"]["endpoints"][0]["reader"] = "single"
    trueup.config = configs.write(tmp_path / "trueup.yaml", settings)
    provider.rules({"fault": "ignore-pin", "method": "eth_call"})
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    chain.world.token.send("mintMany", WALLETS, [5] * 10)
    trueup.until_log("bears no reader")
    provider.reset()
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    assert_at_rest_equal(store, chain.truth, wallets=WALLETS)


def test_witnesses_that_went_bad_together(chain, store, trueup, configured):
    """All that the sweep had ever read were two wallets. When both went bad, each was the other's only
    witness: it was taken for a broken contract, and what was due since an upgrade was never done."""
    bad, good = WALLETS[:2], WALLETS[2:]
    trueup.config = configured(chain={"finality": 10}, sweep={"interval": "100ms", "batch": 1})
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    chain.world.token.send("mintMany", bad, [5] * 2)
    trueup.until(lambda: len(store.rows(TABLE)) == 2, "two rows")
    chain.anvil.mine(12)
    trueup.until(lambda: trueup.output().count("requested=1 updated=1") >= 2, "the sweep to read both")
    chain.world.mood(bad, LONG, term="staked")
    chain.world.upgrade(chain.world.staking, "DemoStakingDoubled")
    chain.world.token.send("mintMany", good, [5] * len(good))
    chain.anvil.mine(12)
    trueup.until(lambda: store.quarantined(BALANCE) == set(bad), "the bad ones to be told from the good")
    trueup.until(lambda: store.one("SELECT value FROM trueup_state WHERE key = ?", "all_due:audio") == "0",
                 "all that was due to be done")


@pytest.mark.parametrize("settings, status, words", [
    ("/", 1, "settings cannot be read: Is a directory"),
    ("/dev/null", 1, "settings did not arrive"),
    ("garbage", 2, "expected"),
])
def test_settings_that_do_not_arrive_do_not_end_the_daemon(tmp_path, settings, status, words):
    """A worker whose pipe cannot be read said 2, as if it had been told nonsense: that ends the daemon."""
    (tmp_path / "garbage").write_text("store: [")
    done = subprocess.run(["sh", "-c", f"exec {daemon.binary()} worker follow --once 3<{settings}"], cwd=tmp_path,
                          env={"TRUEUP_SETTINGS_FD": "3"}, capture_output=True, text=True, timeout=60)
    assert done.returncode == status and words in done.stderr, done.stderr


@on_sqlite
def test_a_fork_while_delegators_are_asked_for(chain, store, trueup, provider, tmp_path):  # noqa: F811
    """The list is asked for at a block that has been dropped. It was waited for until the
    deadline, half a minute, as if a backend lagged; the new branch waited with it."""
    who, delegator = WALLETS[:2]
    chain.world.token.send("mintMany", WALLETS, [500] * 10)
    chain.world.delegation.send("delegate", delegator, who, 100)
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, provider.url, store.url, chain={"finality": 5}))
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    asks = chain.world.delegation.selector("getDelegatorsList")[2:]
    provider.rules({"fault": "error", "method": "eth_call", "match": asks,
                    "args": {"text": "header not found"}})
    chain.world.delegation.send("claimRewards", who, 40)
    trueup.until(lambda: provider.order()["rules"][0]["played"], "the list to be asked for")
    chain.anvil.rollback(1)
    chain.world.token.send("mint", who, 7)
    head = chain.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) >= head, "the new branch to be synced", 12)
    until_at_rest(trueup, store, chain.anvil, wallets=[who], blocks=6)
    assert_at_rest_equal(store, chain.truth, wallets=[who])
