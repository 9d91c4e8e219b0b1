"""One run: a plan played to its end, then rest, then judgement. A process of its own, started by chaos.py,
so that nothing of it outlives it; its last line is its result as JSON."""

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "integration"), str(HERE.parent / "provider")]

import acts  # noqa: E402
import oddities  # noqa: E402, F401: its acts enter the list
import pair  # noqa: E402
from judge import forgiven, judge, left_out  # noqa: E402
from stage import SETTLE, Stage  # noqa: E402
from harness.postgres import Cluster  # noqa: E402
from harness.wait import SLOWNESS  # noqa: E402

EXIT_STORE, EXIT_NODE = 5, 4
SLOW_S = 20  # such a rest is right, but worth a look


def play_one(s, act, rng):
    """Whatever holds a process still is over after the act that follows."""
    old = set(s.stopped)
    began = time.monotonic()
    act(s, rng)
    if old:
        s.resume_all()
    s.ledger.note()
    s.story.append(f"{act.__name__} {time.monotonic() - began:.2f}")


def keep_daemons(s):
    for daemon in s.daemons:
        s.choose(daemon)
        keep_daemon(s)


def keep_daemon(s):
    """A daemon that found no database at its start ends, and is started again; nothing else may end it."""
    code = s.daemon_ended()
    if code is None:
        return
    if code not in (EXIT_STORE, EXIT_NODE) or said_another_chain(s):
        raise AssertionError(f"the daemon ended with {code}\n{s.trueup.tail(30)}")
    s.story.append(f"(exit {code})")
    s.deaths.append(time.time())
    s.start_daemon()


def said_another_chain(s):
    return "reset-chain" in s.trueup.output()


def perform(s, seed, length, named):
    s.open()
    draw = pair.plan if len(s.daemons) > 1 else acts.plan
    for i, (act, which) in enumerate(draw(s, random.Random(f"{seed}/plan"), length, named)):
        s.choose(s.daemons[which])
        play_one(s, act, random.Random(f"{seed}/act {i}"))
        keep_daemons(s)
        time.sleep(random.Random(f"{seed}/pause {i}").choice([0, 0.05, 0.2, 0.6]))


def calm_down(s):
    """Traffic and faults end."""
    s.resume_all()
    acts.tally(s)
    for p in s.providers:
        p.reset()
    s.fire("events left out of an answer", len(left_out(s)))
    s.fire("events forgiven", len(forgiven(s)))
    if s.kind == "postgres":
        s.cluster.start()
    s.settle_settings()
    keep_daemons(s)
    for daemon in s.daemons:
        s.choose(daemon)
        s.start_daemon()


def stage_of(chosen, folder):
    rng = random.Random(f"{chosen.seed}/stage")
    if chosen.pair:
        return pair.PairStage(folder, rng, Path(chosen.cluster) / "run")
    cluster = Cluster(chosen.cluster) if chosen.store == "postgres" else None
    odd = random.Random(f"{chosen.seed}/oddities") if chosen.oddities else None
    return Stage(folder, rng, chosen.store, cluster, odd)


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--seed", required=True)
    words.add_argument("--store", required=True)
    words.add_argument("--length", type=int, default=14)
    words.add_argument("--cluster", help="the folder of a PostgreSQL cluster that is ours alone")
    words.add_argument("--oddities", action="store_true", help="see oddities.py")
    words.add_argument("--pair", action="store_true", help="two daemons, see pair.py")
    words.add_argument("--act", action="append", default=[])
    words.add_argument("--keep", help="where the log goes if something is wrong")
    chosen = words.parse_args()
    began = time.monotonic()
    result = {"store": chosen.store, "ok": False}
    with tempfile.TemporaryDirectory(prefix="trueup-chaos-") as folder:
        s = stage_of(chosen, Path(folder))
        s.story, s.moody, s.placed, s.vandalised = [], set(), set(), set()
        s.silenced = set()
        try:
            perform(s, chosen.seed, chosen.length, chosen.act)
            calm = time.monotonic()
            calm_down(s)
            result |= judge(s, keep_daemons)
            if chosen.pair:
                result |= pair.check_audit(s)
            result["rest_s"] = round(time.monotonic() - calm, 1)
            if chosen.keep and result["rest_s"] > SLOW_S:
                keep(s, Path(f"{chosen.keep}-slow"), {"wrong": f"rest took {result['rest_s']} s"})
            if not s.fired:
                raise AssertionError("no fault fired: this run shows nothing")
            result["ok"] = True
        except BaseException as e:  # noqa: BLE001: whatever it is, it is this run's failure
            result["wrong"] = f"{type(e).__name__}: {e}"[:3000]
            if not isinstance(e, AssertionError):
                result["wrong"] += traceback.format_exc()[-1500:]
            if chosen.keep:
                keep(s, Path(chosen.keep), result)
        finally:
            s.close()
    result |= {"seconds": round(time.monotonic() - began, 1), "stage": s.describe(),
               "fired": dict(sorted(s.fired.items()))}
    if not result["ok"]:
        result["story"] = s.story
    print(json.dumps(result))


def keep(s, folder, result):
    """What a post-mortem wants: the log and the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, daemon in enumerate(s.daemons):
        (folder / f"trueup{i or ''}.log").write_text(daemon.output())
    text = "\n".join(s.story) + "\n\n" + result["wrong"] + "\n"
    for table in ("trueup_state", "trueup_blocks", "trueup_dirty", "trueup_quarantine", "trueup_changes",
                  "trueup_drift",
                  "eth_wallet_balances"):
        try:
            rows = s.store.sql(f"SELECT * FROM {table}")
            text += f"\n{table}\n" + "\n".join(map(str, rows)) + "\n"
        except Exception as e:  # noqa: BLE001
            text += f"\n{table}: {e}\n"
    (folder / "post-mortem.txt").write_text(text)


if __name__ == "__main__":
    main()
