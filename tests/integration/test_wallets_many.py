"""Lists of wallets by the million: imported from files as people have them, all or nothing; and
synced from the application's own query."""

import json
import subprocess

from harness import config as configs
from harness.checks import assert_at_rest_equal
from harness.config import BALANCE, TABLE
from harness.wait import until
from harness.world import wallet

WALLETS = [wallet(i) for i in range(30)]
# EIP-55's own examples.
MIXED = ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"]


def listed(store):
    return {r[0] for r in store.sql("SELECT wallet FROM trueup_wallets WHERE balance = ?", BALANCE)}


def imported(trueup, *arguments, **more):
    return json.loads(trueup.run("wallets", "import", *arguments, "--json", **more).stdout)


def test_files_as_people_have_them(chain, store, trueup, configured, tmp_path):
    trueup.config = configured(wallets="listed")
    lines = tmp_path / "lines"
    lines.write_text("# ours\n\n" + "\n".join(WALLETS[:10]) + "\r\n  " + MIXED[0] + "  \n")
    assert imported(trueup, lines)["added"] == 11
    assert listed(store) == {*WALLETS[:10], MIXED[0].lower()}
    # Again: nothing is new. Twice in a file is once.
    assert imported(trueup, lines)["added"] == 0
    csv = tmp_path / "table.csv"
    csv.write_text("name;Wallet;note\n" + "".join(f'n{i};"{w}";x\n' for i, w in
                                                  enumerate(WALLETS[5:20] + WALLETS[5:7])))
    done = imported(trueup, csv)
    assert (done["wallets"], done["added"], done["bad"]) == (15, 10, 0)
    done = imported(trueup, "-", input="\n".join(WALLETS) + "\n" + MIXED[1])
    assert done["added"] == 11
    assert listed(store) == {*WALLETS, *(m.lower() for m in MIXED)}


def test_a_bad_line_refuses_the_file(chain, store, trueup, configured, tmp_path):
    trueup.config = configured(wallets="listed")
    bad = tmp_path / "bad"
    wrong = MIXED[0].replace("5aAeb", "5aaEb")
    bad.write_text(f"{WALLETS[0]}\n0x1234\n{wrong}\nhello\n{WALLETS[1]}\n" + "x" * 9000 + "\n")
    done = trueup.run("wallets", "import", bad, code=2)
    for line in ("line 2:", "line 3:", "line 4:", "line 6:"):
        assert line in done.stderr
    assert "checksum" in done.stderr and "4 of 6 lines" in done.stderr
    assert "--skip-bad" in done.stderr
    assert listed(store) == set()
    done = imported(trueup, bad, "--skip-bad")
    assert (done["bad"], done["added"]) == (4, 2)
    assert listed(store) == set(WALLETS[:2])


def test_killed_in_the_middle(chain, store, trueup, configured, tmp_path):
    """A rerun ends in the same list."""
    trueup.config = configured(wallets="listed")
    trueup.run("migrate")
    many = [f"0x{i:040x}" for i in range(1, 100_001)]
    path = tmp_path / "many"
    path.write_text("\n".join(many) + "\n")
    process = subprocess.Popen(trueup.command("wallets", "import", str(path)), cwd=trueup.folder,
                               env=trueup.env, stdout=subprocess.DEVNULL)
    until(lambda: store.one("SELECT count(*) FROM trueup_wallets") > 0, "a first page", 30,
          every=0.002)
    process.kill()
    process.wait()
    before = store.one("SELECT count(*) FROM trueup_wallets")
    assert 0 < before < len(many), "it was not in the middle"
    # PostgreSQL may still have finished the page it was given.
    assert len(many) - before - 20_000 <= imported(trueup, path)["added"] <= len(many) - before
    assert store.one("SELECT count(*) FROM trueup_wallets") == len(many)


def test_sync_brings_whom_the_query_names(chain, postgres, trueup, tmp_path, rng):
    query = ("SELECT lower(address) FROM users WHERE $1::text[] IS NULL OR "
             "lower(address) = ANY($1)")
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, postgres.url, wallets={"query": query}, fan_out=False))
    chain.world.mint_all(WALLETS, rng)
    chain.anvil.mine(4)
    postgres.script("CREATE TABLE users (address TEXT)")
    trueup.run("migrate")
    postgres.many("INSERT INTO users VALUES (?)", [(w.upper().replace("X", "x"),)
                                                   for w in WALLETS[:20]] + [("nobody",)])
    # Ten of them have rows, by their events; who is no user has none.
    postgres.sql("DELETE FROM users WHERE address > ?", sorted(
        w.upper().replace("X", "x") for w in WALLETS[:20])[9])
    trueup.run("backfill", "-y", "--once")
    assert len(postgres.rows(TABLE)) == 10
    postgres.many("INSERT INTO users VALUES (?)", [(w,) for w in WALLETS[:25]])
    done = json.loads(trueup.run("wallets", "sync", "--json").stdout)
    assert done["named"] == 25 and done["added"] == 15
    assert listed(postgres) == set(WALLETS[:25]) - set(postgres.rows(TABLE))
    trueup.start()
    trueup.until(lambda: len(postgres.rows(TABLE)) == 25, "the new ones to be read")
    assert_at_rest_equal(postgres, chain.truth, wallets=WALLETS[:25])


def test_sync_of_a_query_that_wants_candidates(chain, postgres, trueup, tmp_path, rng):
    """It names nobody when asked for all; but holders that a backfill found are asked about."""
    query = "SELECT lower(address) FROM users WHERE lower(address) = ANY($1)"
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, postgres.url, wallets={"query": query}, fan_out=False))
    chain.world.mint_all(WALLETS, rng)
    chain.anvil.mine(4)
    postgres.script("CREATE TABLE users (address TEXT)")
    trueup.run("migrate")
    trueup.run("backfill", "-y", "--once")
    assert postgres.rows(TABLE) == {}
    postgres.many("INSERT INTO users VALUES (?)", [(w,) for w in WALLETS[:5]])
    done = trueup.run("wallets", "sync")
    assert "5 new ones" in done.stdout and "hint: " in done.stderr
    assert listed(postgres) == set(WALLETS[:5])
