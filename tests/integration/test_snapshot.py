"""Balances of all rows at a past block: as the chain had them, in order, below a header that says
where from; the file is there whole or not at all."""

import json
import subprocess

from harness import config as configs
from harness.config import TABLE, settings
from harness.provider import asked, provider  # noqa: F401
from harness.wait import until
from harness.world import REVERT, wallet

WALLETS = [wallet(i) for i in range(60)]


def seeded(chain, store, trueup, rng):
    """Rows as an application put them there, and a chain that moves on past the block returned."""
    chain.world.mint_all(WALLETS, rng)
    at = chain.rpc.number()
    chain.world.traffic(WALLETS, WALLETS[:3], rng, 100)
    chain.anvil.mine(4)
    trueup.run("migrate")
    guess = "7" if store.kind == "sqlite" else 7
    store.many(f"INSERT INTO {TABLE} (wallet, balance, updated_at) VALUES (?, ?, ?)",
               [(w, guess, "1970-01-01 00:00:00.000000") for w in WALLETS])
    return at


def read_csv(text):
    lines = text.splitlines()
    header = dict(l[2:].split(": ", 1) for l in lines if l.startswith("# "))
    rows = [l.split(",") for l in lines if not l.startswith("#")]
    assert rows[0] == ["wallet", "balance", "error"]
    return header, rows[1:]


def test_as_the_chain_was(chain, store, trueup, configured, rng, tmp_path):
    trueup.config = configured()
    at = seeded(chain, store, trueup, rng)
    before = store.rows(TABLE)
    trueup.run("snapshot", "--at", at, "--out", "then.csv")
    header, rows = read_csv((tmp_path / "then.csv").read_text())
    block = chain.rpc.block(at)
    assert header["chain"] == str(chain.anvil.chain_id) and header["block"] == str(at)
    assert header["hash"] == block["hash"]
    assert [w for w, _, _ in rows] == sorted(WALLETS)
    assert {w: int(b) for w, b, _ in rows} == chain.truth.read(WALLETS, at)
    assert all(error == "" for _, _, error in rows)
    # The same as JSONL, into a file and to stdout; and it changed nothing.
    trueup.run("snapshot", "--at", at, "--out", "then.jsonl")
    printed = trueup.run("snapshot", "--at", at, "--out", "-", "--json").stdout
    first, *lines = [json.loads(l) for l in printed.splitlines()]
    assert (first["chain"], first["block"], first["hash"]) == (chain.anvil.chain_id, at,
                                                               block["hash"])
    assert [(l["wallet"], l["balance"]) for l in lines] == [(w, b) for w, b, _ in rows]
    assert (tmp_path / "then.jsonl").read_text() == printed
    assert store.rows(TABLE) == before
    assert sorted(p.name for p in tmp_path.glob("then.*")) == ["then.csv", "then.jsonl"]


def test_who_cannot_be_read_is_listed_without_a_number(chain, store, trueup, configured, rng,
                                                       tmp_path):
    trueup.config = configured()
    chain.world.mood(WALLETS[:2], REVERT)
    at = seeded(chain, store, trueup, rng)
    trueup.run("sweep")
    assert store.quarantined("audio") == set(WALLETS[:2])
    done = trueup.run("snapshot", "--at", at, "--out", "then.csv")
    _, rows = read_csv((tmp_path / "then.csv").read_text())
    assert [w for w, _, _ in rows] == sorted(WALLETS)
    bad = {w: (b, error) for w, b, error in rows if error}
    assert bad == {w: ("", "held: reverted") for w in WALLETS[:2]}
    assert "2 without a balance" in done.stderr and WALLETS[0] in done.stderr


def test_what_it_cannot_do_it_says(chain, store, trueup, tmp_path, provider, rng):
    trueup.config = configs.write(tmp_path / "trueup.yaml", settings(
        chain.world, provider.url, store.url))
    at = seeded(chain, store, trueup, rng)
    beyond = trueup.run("snapshot", "--at", 10 ** 6, "--out", "x.csv", code=1)
    assert "does not have block 1000000" in beyond.stderr
    trueup.run("snapshot", "--at", at, "--out", "x.txt", code=2)
    trueup.run("snapshot", "--out", "x.csv", code=2)
    early = trueup.run("snapshot", "--at", 1, "--out", "x.csv", code=1)
    assert "fails for every wallet" in early.stderr
    provider.rules({"fault": "error", "method": "eth_call",
                    "args": {"text": "missing trie node 0xabc", "code": -32000}})
    pruned = trueup.run("snapshot", "--at", at, "--out", "x.csv", code=1)
    assert "missing trie node" in pruned.stderr and "hint: " in pruned.stderr
    assert "an archive node" in pruned.stderr
    assert list(tmp_path.glob("x.*")) == []


def test_killed_it_leaves_the_old_file(chain, store, trueup, tmp_path, provider, rng):
    trueup.config = configs.write(tmp_path / "trueup.yaml", settings(
        chain.world, provider.url, store.url, chain={"endpoints": [
            {"name": "p", "url": provider.url, "ws": "off", "reader": "single"}]}))
    at = seeded(chain, store, trueup, rng)
    out = tmp_path / "then.csv"
    out.write_text("the old one\n")
    provider.rules({"fault": "silence", "method": "eth_call", "skip": 20})
    process = subprocess.Popen(trueup.command("snapshot", "--at", at, "--out", "then.csv"),
                               cwd=trueup.folder, env=trueup.env, stderr=subprocess.DEVNULL)
    until(lambda: len(asked(provider, "eth_call")) > 20, "it to be in the middle", 30)
    process.kill()
    process.wait()
    assert out.read_text() == "the old one\n"
    provider.reset()
    trueup.run("snapshot", "--at", at, "--out", "then.csv")
    _, rows = read_csv(out.read_text())
    assert {w: int(b) for w, b, _ in rows} == chain.truth.read(WALLETS, at)
    assert not (tmp_path / "then.csv.part").exists()
