"""scripts/demo: what trueup does, in half a minute, on a chain made for it.

A local node, three contracts, three hundred wallets; `trueup run` on SQLite; the table fills,
follows, survives a kill and blocks that are taken back, and is put right after a change that no
event announced. The last word has another program: viem reads every wallet and compares."""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from build import ROOT

sys.path.insert(0, str(ROOT / "tests" / "integration"))
from harness import config as configs  # noqa: E402
from harness.anvil import Anvil  # noqa: E402
from harness.node import free_port  # noqa: E402
from harness.checks import until_at_rest  # noqa: E402
from harness.config import BALANCE, CHECKPOINT, TABLE  # noqa: E402
from harness.daemon import Trueup  # noqa: E402
from harness.store import SqliteStore  # noqa: E402
from harness.truth import Truth  # noqa: E402
from harness.world import VIEWS, WEI, World, wallet  # noqa: E402

WALLETS = [wallet(i) for i in range(300)]
SHOWN = [WALLETS[i] for i in (5, 42, 99, 150, 222)]
TERMINAL = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def style(code, text):
    return f"\033[{code}m{text}\033[0m" if TERMINAL else text


def bold(text):
    return style(1, text)


class Story:
    """Numbered steps, and a small table that is drawn anew in place where there is a terminal."""

    def __init__(self):
        self.number = 0
        self.began = time.monotonic()
        self.seen = {}

    def step(self, title):
        self.number += 1
        print(f"\n{bold(f'{self.number}. {title}')}", flush=True)

    def say(self, text):
        print(f"   {text}", flush=True)

    def shell(self, trueup, *arguments):
        """A command as one would type it, and what it prints."""
        print(f"   {bold('$ trueup ' + ' '.join(arguments))}", flush=True)
        done = trueup.run(*arguments, code=None)
        for line in (done.stdout + done.stderr).rstrip().splitlines():
            self.say(f"  {line}")

    def progress(self, text, last=False):
        """One line that changes in place; elsewhere only its last state is printed."""
        if TERMINAL:
            print(f"\r\033[K   {text}", end="\n" if last else "", flush=True)
        elif last:
            self.say(text)

    def table(self, store, chain_says=None, again=False):
        """The rows shown, a changed balance marked; beside them what the chain says, if asked."""
        rows = store.rows(TABLE)
        lines = ["wallet            balance in the table    read at block"
                 + ("    the chain says" if chain_says else "")]
        for w in SHOWN:
            row = rows.get(w)
            if row is None:
                lines.append(f"{short(w)}     (no row yet)")
                continue
            changed = self.seen.get(w, row.balance) != row.balance
            self.seen[w] = row.balance
            amount = tokens(row.balance).rjust(17)
            line = f"{short(w)}     {style(33, amount) if changed else amount} {'*' if changed else ' '}" \
                   f"{str(row.observed_block):>15}"
            if chain_says:
                same = chain_says[w] == row.balance
                line += f"{tokens(chain_says[w]):>17}  " + (style(32, "=") if same
                                                            else style(31, "<- WRONG"))
            lines.append(line)
        if again and TERMINAL:
            print(f"\033[{len(lines)}A", end="")
        for line in lines:
            print(("\r\033[K" if TERMINAL else "") + f"   {line}")
        sys.stdout.flush()


def short(w):
    return f"{w[:8]}..{w[-4:]}"


def tokens(amount):
    return f"{amount // WEI:,}.{amount % WEI * 10 ** 4 // WEI:04d}"


def fill(story, world, store, trueup, rng):
    for start in range(0, len(WALLETS), 30):
        part = WALLETS[start:start + 30]
        world.token.send("mintMany", part, [rng.randrange(1, 1000 * WEI) for _ in part])
        trueup.until(lambda: rows_now(store) >= start + 30, "the rows of a block")
        story.progress(f"block {world.rpc.number()}: {rows_now(store)} rows", last=start + 30 >= 300)
        time.sleep(0.15)  # for the eye


def rows_now(store):
    return store.one(f"SELECT count(*) FROM {TABLE}") if store.has_table(TABLE) else 0


def traffic(world, rng, operations=40):
    """Transfers by chance, and some of all else that moves a balance, so that none is missing."""
    providers, some = WALLETS[:5], rng.sample(WALLETS, 10)
    world.staking.send("stakeMany", some, [rng.randrange(20 * WEI) for _ in some])
    world.delegation.send("delegateMany", some, rng.choices(providers, k=10),
                          [rng.randrange(20 * WEI) for _ in some])
    world.delegation.send("claimRewards", rng.choice(providers), 10)
    world.delegation.send("slash", rng.choice(providers), 10)
    world.traffic(WALLETS, providers, rng, operations)
    # So that something happens in the rows on the screen, too.
    world.token.send("moveMany", rng.sample(SHOWN, 2), rng.sample(SHOWN, 2),
                     [rng.randrange(50 * WEI), rng.randrange(50 * WEI)])


def synced(world, store, trueup):
    head = world.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) >= head, f"block {head} to be synced")
    return head


def follow(story, world, store, trueup, rng):
    story.table(store)
    for _ in range(10 if TERMINAL else 3):
        traffic(world, rng)
        synced(world, store, trueup)
        if not TERMINAL:
            print()
        story.table(store, again=True)
        time.sleep(0.5)


def most_terms(world):
    """Of the first wallets, one with something in as many terms as there is any."""
    found = [Truth(world, (term,)).read(WALLETS[:60]) for term in VIEWS]
    return max(WALLETS[:60], key=lambda w: sum(term[w] > 0 for term in found))


def survive(story, world, store, trueup, rng, anvil):
    trueup.kill()
    story.say("kill -9 trueup; meanwhile the chain goes on")
    for _ in range(5):
        traffic(world, rng, 60)
    behind = world.rpc.number() - store.synced(BALANCE)
    trueup.start()
    head = synced(world, store, trueup)
    story.say(f"started again: {behind} blocks caught up, synced to block {head}")

    anvil.reorg(1)  # what lies two blocks deep is finalized here
    trueup.until(lambda: "the chain was reorganised" in trueup.output(), "the fork to be noticed")
    synced(world, store, trueup)
    story.say(f"the node replaces block {head}, as after a fork: its rows lose their proof and are "
              "read again")


def silence(story, world, truth, store, trueup, anvil):
    victims = SHOWN[1:3]
    until_at_rest(trueup, store, anvil, wallets=WALLETS)
    story.seen = {w: r.balance for w, r in store.rows(TABLE).items()}
    for w in victims:
        world.token.send("silentSet", w, 4711 * WEI)
    right = truth.read(SHOWN)
    story.say("two balances changed, and no event said so; the table cannot know:")
    story.table(store, right)
    began = time.monotonic()
    anvil.mine(4)  # the sweep reads finalized blocks
    trueup.until(lambda: all(store.rows(TABLE)[w].balance == right[w] for w in victims),
                 "the sweep to come by")
    story.say("the sweep reads the oldest rows again and again; "
              f"{time.monotonic() - began:.1f} s later:")
    story.table(store, right)
    filed = store.sql("SELECT cause, count(*) FROM trueup_drift GROUP BY 1")
    story.say("and filed them in trueup_drift: " + ", ".join(f"{n} {cause}" for cause, n in filed))
    story.shell(trueup, "explain", victims[0])


def judge(story, world, anvil, store):
    """The comparison, by a program that shares nothing with trueup."""
    rows = store.rows(TABLE)
    question = {"url": anvil.url, "block": world.rpc.number(),
                "terms": [{"contract": world.contracts[t].address, "view": v}
                          for t, v in VIEWS.items()],
                "rows": [{"wallet": r.wallet, "balance": str(r.balance)} for r in rows.values()]}
    done = subprocess.run(["node", str(ROOT / "tests/chain/compare.mjs")], text=True,
                          input=json.dumps(question), capture_output=True)
    for line in (done.stdout + done.stderr).strip().splitlines():
        story.say(line)
    return done.returncode == 0


def page_of(config):
    return re.search(r"listen: '(.*)'", config.read_text()).group(1)


def keep(anvil, trueup, folder):
    anvil.rpc.call("evm_setIntervalMining", 2)
    print(f"""
Left running:
   node        {anvil.url}   (process {anvil.process.pid}, a block every 2 s)
   trueup      process {trueup.pid}, its log: {trueup.log}
   page        http://{page_of(trueup.config)}/
   table       {TABLE} in {folder}/trueup.db
   settings    {trueup.config}

To look:       {trueup.command('read', WALLETS[5])[0]} read -c {trueup.config} {WALLETS[5]}
To stop:       kill {trueup.pid} {anvil.process.pid} && rm -r {folder}""")


def play(story, anvil, trueup, folder):
    rng = random.Random()
    story.step("A chain: a local EVM node and three contracts (token, staking, delegation)")
    anvil.start()
    world = World(anvil.rpc).deploy()
    truth = Truth(world)
    story.say(f"{anvil.url}, chain {anvil.chain_id}, block {world.birth}")

    story.step("trueup run, on an empty SQLite file")
    store = SqliteStore(folder / "trueup.db")
    page = f"127.0.0.1:{free_port()}"
    settings = configs.settings(world, anvil.url, store.url, sweep={"interval": "2s"},
                                http={"listen": page}, log={"level": "info"})
    trueup.config = configs.write(folder / "trueup.yaml", settings)
    trueup.start()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "trueup to be ready")
    story.say("a balance is held + staked + delegated, read from the chain, never added up")
    story.say(f"its page, while this runs: http://{page}/")

    story.step("The table fills: every wallet that an event names gets a row")
    fill(story, world, store, trueup, rng)

    story.step("It follows: transfers, stakes, delegations, rewards and slashes")
    follow(story, world, store, trueup, rng)

    story.step("It survives")
    survive(story, world, store, trueup, rng, anvil)

    story.step("Ask it: what it is doing, and what the chain says of a wallet, term by term")
    until_at_rest(trueup, store, anvil, wallets=WALLETS)
    story.shell(trueup, "status")
    story.shell(trueup, "read", "--terms", most_terms(world))

    story.step("It finds what no event announced")
    silence(story, world, truth, store, trueup, anvil)

    story.step("The proof: it audits itself; then viem reads every wallet, one call a term, and compares")
    until_at_rest(trueup, store, anvil, wallets=WALLETS)
    story.shell(trueup, "audit", "--all")
    return judge(story, world, anvil, store)


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--keep", action="store_true", help="leave it all running, and say how to stop it")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ.setdefault("TRUEUP_BIN", str(ROOT / "build-release/src/trueup"))
    folder = Path(tempfile.mkdtemp(prefix="trueup-demo-"))
    story, anvil, trueup = Story(), Anvil(folder / "node"), Trueup(folder)
    print(bold("trueup: a table of token balances that stays equal to the chain"))
    kept = False
    try:
        good = play(story, anvil, trueup, folder)
        print(f"\n{bold('Equal.' if good else 'NOT EQUAL.')} "
              f"{time.monotonic() - story.began:.0f} s, everything above on this machine")
        if options.keep:
            keep(anvil, trueup, folder)
            kept = True
        return 0 if good else 1
    except AssertionError as e:
        print(f"\nfailed: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if not kept:
            trueup.reap()
            anvil.stop()
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
