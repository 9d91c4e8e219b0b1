"""doctor and status against a healthy, a lagging, a crippled and a dead node, and against databases with
something wrong: the words a newcomer reads, and the exit status a script reads."""

import contextlib
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import fcntl
import time

import pytest

from harness import config as configs
from harness.node import free_port
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.provider import ScriptedProvider
from harness.wait import SLOWNESS
from harness.web import listening
from harness.world import wallet

WALLETS = [wallet(i) for i in range(20)]
SECRET = "/v2/SECRETSECRETSECRET"
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


def sections(text):
    """{title: [lines]}; the end, which has no title, is under "end"."""
    found, current = {}, "end"
    for line in text.splitlines():
        if line.startswith("  "):
            found[current].append(" ".join(line.split()))
        else:
            current = line.split(" ")[0] if "  " in line or line == "what to change" else "end"
            found.setdefault(current, []).extend([line] if current == "end" else [])
    return found


def said(lines, grade, words):
    return any(line.startswith(grade + " ") and words in line for line in lines)


@pytest.fixture
def four(chain, store, trueup, tmp_path):
    """A good node, one that lags, one that can do little, and none."""
    chain.anvil.mine(100)
    with ScriptedProvider(forward=chain.anvil.url) as late, \
            ScriptedProvider(forward=chain.anvil.url) as crippled:
        late.rules({"fault": "lag", "args": {"blocks": 30}})
        crippled.rules({"fault": "ignore-pin", "method": "eth_call"},
                       {"fault": "no-override", "method": "eth_call"},
                       {"fault": "range-cap", "method": "eth_getLogs", "args": {"blocks": 10}})
        settings, client = listening()
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, store.url, http=settings, chain={"endpoints": [
                {"name": "good", "url": chain.anvil.url, "price": "alchemy"},
                {"name": "late", "url": late.url, "ws": "off"},
                {"name": "crippled", "url": crippled.url, "ws": "off"},
                {"name": "dead", "url": f"http://127.0.0.1:{free_port()}{SECRET}", "ws": "off"}]}))
        trueup.run("migrate")
        yield client


@on_sqlite
def test_doctor_tells_a_good_a_late_a_crippled_and_a_dead_node_apart(chain, trueup, four):
    chain.world.token.send("mint", wallet(0), 5)  # a log near the head, to compare both forms by
    output = trueup.run("doctor").stdout
    found = sections(output)
    good, late, crippled, dead = (found[n] for n in ("good", "late", "crippled", "dead"))
    assert all(line.startswith("ok ") for line in good), good
    for words in ("answers in ", "chain 31337", "head 1", "level with the others", "WebSocket connects",
                  "client anvil/", "finalized block ", "can be pinned to a block's hash",
                  "reader override works", "reader create works", "reader multicall3 works",
                  "eth_getLogs over ", "the largest batch is ", "reader override", " requests, ", " units, ",
                  " of traffic", "takes ", "headers prove themselves (",
                  "receipts prove themselves (1 of 1 blocks, price 20, eth_getLogs 60)",
                  "state proves itself at 64 back"):
        assert said(good, "ok", words), (words, good)
    batch = int(re.search(r"largest batch is (\d+) wallets", output)[1])
    price = re.search(r"a full pass over a table of 1000000 rows costs (\d+) requests, (\d+) units", output)
    assert int(price[1]) == -(-1_000_000 // batch) and int(price[2]) == 26 * int(price[1])
    assert said(late, "note", "30 blocks behind the best of the others")
    assert said(crippled, "note", "a made-up block hash is not refused")
    assert said(crippled, "note", "reader override does not work")
    assert said(crippled, "ok", "reader multicall3 works")
    assert said(crippled, "note", "eth_getLogs over 10 blocks works")
    assert said(dead, "bad", "Failed to connect")
    assert any("late lags" in line for line in found["what"])
    assert any("dead: check the URL" in line for line in found["what"])
    assert output.rstrip().endswith("`trueup run` can work here")
    assert "SECRET" not in output and "\033" not in output
    as_json = [json.loads(line) for line in trueup.run("doctor", "--json").stdout.splitlines()]
    assert {"about": "run", "state": "ok", "text": "`trueup run` can work here"} in as_json
    assert {r["about"] for r in as_json} == {"store", "good", "late", "crippled", "dead", "advice", "run"}


METHOD_NOT_FOUND = {"fault": "error", "args": {"code": -32601, "text": "method not found"}}
PROOF_RULES = {
    "zero": [{"fault": "zero-bloom"}],
    "liar": [{"fault": "bend-receipts", "method": "eth_getBlockReceipts", "args": {"drop": "log"}},
             {"fault": "bend-proof", "method": "eth_getProof", "args": {"list": "accountProof", "flip": True}}],
    "half": [{"fault": "bend-receipts", "method": "eth_getBlockReceipts", "skip": 3, "args": {"drop": "log"}}],  # after the comparison of forms
    "mute": [{**METHOD_NOT_FOUND, "method": "eth_getBlockReceipts"}, {**METHOD_NOT_FOUND, "method": "eth_getProof"}]}


@on_sqlite
def test_doctor_proves_headers_receipts_and_state(chain, store, trueup, tmp_path):
    """Through endpoints that bend what follows from a block's hash, and one that gives no proofs."""
    for i in range(3):
        chain.world.token.send("mint", wallet(i), 5)
    with contextlib.ExitStack() as stack:
        providers = {name: stack.enter_context(ScriptedProvider(forward=chain.anvil.url)) for name in PROOF_RULES}
        for name, provider in providers.items():
            provider.rules(*PROOF_RULES[name])
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, store.url, chain={"endpoints": [
                {"name": name, "url": p.url, "ws": "off"} for name, p in providers.items()]}))
        found = sections(trueup.run("doctor", code=0).stdout)
    assert said(found["zero"], "note", "headers do not prove themselves (0 of 3 blocks): header of block ")
    assert not any(re.search("(receipts|state) .*(prove|untried)", line) for line in found["zero"])
    for name in ("liar", "half", "mute"):
        assert said(found[name], "ok", "headers prove themselves (3 of 3 blocks)"), found[name]
    assert said(found["liar"], "note", "receipts do not prove themselves (0 of 3 blocks): receipts of block ")
    assert said(found["liar"], "note", "state does not prove itself at ")
    assert said(found["half"], "bad", "receipts do not always prove themselves (2 of 3 blocks): receipts of block ")
    assert said(found["half"], "ok", "state proves itself at ")
    assert any("half: its answers do not follow from its block hashes" in line for line in found["what"])
    assert said(found["mute"], "note", "receipts cannot be proven (0 of 3 blocks): receipts of block ")
    assert said(found["mute"], "note", "state cannot be proven at ")
    assert any("method not found" in line for line in found["mute"])


@on_sqlite
def test_doctors_exit_status_says_if_run_can_work(chain, store, trueup, tmp_path):
    nobody = f"http://127.0.0.1:{free_port()}"
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, store.url))
    assert "it creates" not in trueup.run("doctor", code=0).stdout
    assert "no endpoint serves" in trueup.run("doctor", "--rpc", nobody, code=4).stdout
    gone = trueup.run("doctor", "--store", f"postgres://nobody@127.0.0.1:{free_port()}/none", code=5)
    assert "the store refuses" in gone.stdout and "what to change" in gone.stdout
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, store.url, chain={"id": 1}))
    other = trueup.run("doctor", code=4).stdout
    assert "it serves chain 31337, but chain.id is 1" in other


def test_doctor_looks_at_the_table(chain, postgres, trueup, tmp_path):
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, postgres.url))
    trueup.run("migrate")
    postgres.script(f"""
        INSERT INTO {TABLE} (wallet) SELECT '0x' || lpad(to_hex(i), 40, '0') FROM generate_series(1, 3000) i;
        INSERT INTO {TABLE} (wallet) VALUES ('0xABCDEF');
        CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER loud AFTER UPDATE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION shout();
        CREATE TRIGGER calm AFTER UPDATE OF balance ON {TABLE} FOR EACH ROW EXECUTE FUNCTION shout();
        DROP INDEX {TABLE}_updated_at_idx;
        ANALYZE {TABLE}""")
    output = trueup.run("doctor").stdout
    store = sections(output)["store"]
    for grade, words in (("ok", "PostgreSQL"), ("ok", "its clock agrees"), ("ok", "about 3001 rows"),
                         ("ok", "may write it"), ("note", "updated_at has no index"),
                         ("note", "trigger loud fires on every refresh"),
                         ("note", "1 rows have a wallet that is not")):
        assert said(store, grade, words), (words, store)
    assert "a full pass over 3001 rows costs " in output and "WAL of about 2.0 MB" in output
    assert f"CREATE INDEX CONCURRENTLY ON {TABLE} (updated_at)" in output
    assert "calm" not in output


# ---- status -------------------------------------------------------------------------------------


class Terminal:
    """A command on a terminal of so many lines, until it ends or the time is over."""

    def __init__(self, command, rows=24, columns=80, seconds=None, **more):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=slave,
                                   stderr=subprocess.PIPE, **more)
        os.close(slave)
        self.text, deadline = b"", time.monotonic() + (seconds or 20) * SLOWNESS
        while time.monotonic() < deadline and select.select([master], [], [], deadline - time.monotonic())[0]:
            try:
                part = os.read(master, 65536)
            except OSError:
                break
            if not part:
                break
            self.text += part
        if process.poll() is None:
            process.terminate()
        self.code = process.wait(10)
        os.close(master)
        self.text = self.text.decode()


@on_sqlite
def test_status_in_words_in_colour_and_in_place(chain, store, trueup, four, rng):
    trueup.start()
    trueup.until(four.answers, "HTTP to answer")
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    chain.world.mint_all(WALLETS, rng)
    trueup.until(lambda: four.status()["verdict"]["state"] == "green" and
                 four.status()["balances"][0]["rows"] == len(WALLETS), "green, with all rows counted", 30)
    trueup.until(lambda: [e["state"] for e in four.status()["endpoints"]] ==
                 ["answers", "set aside", "answers", "does not answer"], "the endpoints to be known", 30)
    plain = trueup.run("status").stdout
    assert "\033" not in plain and "CAN BE TRUSTED  It equals the chain: each of 20 rows" in plain
    for words in (f"{BALANCE} (table {TABLE})", "rows 20 not anchored 0", "rows read event ", "budget ",
                  "endpoint dead does not serve, others do", "oldest ", "ticks done "):
        assert words in " ".join(plain.split()), (words, plain)
    assert re.search(r"^late +set aside ", plain, re.M), plain
    assert re.search(r"^dead +does not answer ", plain, re.M)
    assert re.search(r"^follow +runs ", plain, re.M) and "SECRET" not in plain
    told = json.loads(trueup.run("status", "--json").stdout)
    assert told.keys() == four.status().keys() and told["balances"][0]["rows"] == 20
    coloured = Terminal(trueup.command("status"), rows=60, cwd=trueup.folder, env=trueup.env)
    assert coloured.code == 0 and "\033[32mCAN BE TRUSTED" in coloured.text
    # In place: the screen is wiped once, at the start; then lines are written over, never more than fit.
    watched = Terminal(trueup.command("status", "--watch"), rows=12, seconds=5, cwd=trueup.folder,
                       env=trueup.env)
    frames = watched.text.split("\033[?25l")[1:]
    assert watched.text.count("\033[2J") == 1 and len(frames) >= 2
    assert all(frame.count("\n") <= 11 and frame.endswith("\033[?25h") for frame in frames if frame)
    chain.anvil.pause()
    try:
        trueup.until(lambda: four.status()["verdict"]["state"] == "red", "red", 30)
        assert "NOT TO BE TRUSTED" in trueup.run("status", code=1).stdout
    finally:
        chain.anvil.resume()
    trueup.stop()
    trueup.process = None
    alone = trueup.run("status", code=4).stdout
    assert "no daemon is running here: the rows stand still" in alone
