"""What may happen. Each act is a function of the stage and a generator of its own, so that a seed plays
the same plan however fast the machine is. TRAFFIC moves the chain; every act of FAULTS is recorded."""

import contextlib
import os
import signal
import time

from harness.world import BOMB, BURN, CALM, EMPTY, HUGE, LONG, REASON, REVERT, SHORT, SWALLOW, wallet

from stage import DEEPEST, PROVIDERS, TABLE, WALLETS

TRAFFIC, FAULTS = {}, {}


def traffic(weight, only=None):
    return lambda run: TRAFFIC.setdefault(run.__name__, (run, weight, only))[0]


def fault(weight, only=None):
    return lambda run: FAULTS.setdefault(run.__name__, (run, weight, only))[0]


# ---- the chain ------------------------------------------------------------------------------------------


@traffic(6)
def moves(s, rng):
    s.world.traffic(WALLETS, PROVIDERS, rng, rng.randrange(1, 120))


@traffic(2)
def mine(s, rng):
    s.anvil.mine(rng.randrange(1, 6))


@traffic(2)
def silence(s, rng):
    """Balances change, and no event says so."""
    who = rng.sample(WALLETS, 4)
    s.world.silent(who, rng)
    s.silenced |= set(who)
    s.fire("silent changes")


@traffic(1)
def moods(s, rng):
    """Some wallets cannot be read for a while: reverts, burnt gas, odd lengths, overflows."""
    kind, number = rng.choice([(REVERT, 0), (REASON, 0), (BURN, 0), (SHORT, 0), (LONG, 0), (EMPTY, 0),
                               (BOMB, 50_000), (HUGE, 0), (SWALLOW, 1_200_000)])
    who = rng.sample(WALLETS[10:40], rng.randrange(1, 6))
    s.world.mood(who, kind, number, term=rng.choice(["held", "staked", "delegated"]))
    s.moody |= set(who)
    s.fire("unreadable wallets")


@traffic(1)
def cure(s, rng):
    calm(s)


def calm(s):
    if s.moody:
        for term in ("held", "staked", "delegated"):
            s.world.mood(sorted(s.moody), CALM, term=term)


@traffic(1)
def strangers(s, rng):
    """Wallets never seen before."""
    s.world.mint_all([wallet(rng.randrange(10 ** 6, 10 ** 9)) for _ in range(5)], rng)


@traffic(1)
def upgrade(s, rng):
    """Every row is due at once."""
    s.world.upgrade(s.world.staking, rng.choice(["DemoStaking", "DemoStakingDoubled"]))


@fault(5)
def reorg(s, rng):
    depth = s.depth(rng.choice([1, 1, 2, 3, 5, 8, 13, DEEPEST]))
    if depth < 1:
        return
    mint = s.world.token
    other = [[{"from": "0x" + "d0" * 20, "to": mint.address, "gas": hex(10 ** 7), "gasPrice": "0x0",
               "data": mint.data("mint", w, rng.randrange(10 ** 20))}, rng.randrange(depth)]
             for w in rng.sample(WALLETS, rng.randrange(6))]
    s.ledger.note()
    s.anvil.reorg(depth, other)
    s.ledger.note()
    s.fire("reorg")


@fault(2)
def rollback(s, rng):
    """To a lower head; something always grows from there, as chains do."""
    depth = s.depth(rng.randrange(1, 10))
    if depth < 1:
        return
    s.ledger.note()
    s.anvil.rollback(depth)
    s.world.token.send("mint", rng.choice(WALLETS), rng.randrange(10 ** 20))
    s.ledger.note()
    s.fire("rollback")


@fault(1)
def chain_clock(s, rng):
    """The chain's clock leaps: an hour, a day, a year."""
    s.anvil.rpc.call("evm_increaseTime", rng.choice([3600, 86400, 31_536_000]))
    s.anvil.mine(1)
    s.fire("chain clock")


# ---- the provider -----------------------------------------------------------------------------------------

WEATHER = [("rate-429", {}), ("rate-429", {"after": 1}), ("http-503", {}), ("error-500", {}), ("html", {}),
           ("rate-200", {"text": "Too many requests, retry in 100ms"}), ("wrong-id", {}), ("null-result", {}),
           ("id-null", {"text": "internal error"}), ("error-string", {"text": "oops"}), ("array", {}),
           ("truncated-json", {}), ("reset", {}), ("reset", {"half": True}), ("half-close", {}),
           ("close-after", {}), ("stale-connection", {}), ("echo-url", {"status": 502, "html": True}),
           ("silence", {"seconds": 0.3}), ("error", {"text": "internal error", "code": -32603}),
           ("error", {"text": "header not found"}), ("error", {"text": "missing trie node 00ff"})]
LIES = [("ignore-pin", {}), ("older-block", {"behind": 1}), ("gas-cap", {"cap": 3_000_000}),
        ("false-proof", {"what": "number"}), ("false-proof", {"what": "parent"}),
        ("false-proof", {"what": "timestamp"}), ("older-header", {}), ("lag", {"blocks": 2}),
        ("range-cap", {"blocks": 3, "text": "query exceeds max block range 3"}),
        ("logs-cap", {"logs": 3, "text": "query returned more than 3 results"})]


def play(s, rules):
    """Replaces the rules of every provider; what the old ones played is recorded first."""
    tally(s)
    for p in s.providers:
        p.rules(*rules)


def tally(s):
    for p in s.providers:
        for rule in p.order()["rules"]:
            s.fire(rule["fault"], rule["played"])


@fault(5)
def weather(s, rng):
    """Several faults at once, each now and then."""
    chosen = rng.sample(WEATHER, 5)
    play(s, [{"fault": f, "args": a, "chance": rng.choice([0.02, 0.1, 0.3])} for f, a in chosen])


@fault(4)
def lies(s, rng):
    """Answers that look right and are not."""
    play(s, [{"fault": f, "args": a, "chance": rng.choice([0.1, 0.5])} for f, a in rng.sample(LIES, 3)])


@fault(3)
def slow(s, rng):
    """Reads and writes get time to meet: a batch is in flight while the chain changes."""
    play(s, [{"fault": "silence", "method": rng.choice(["eth_call", "eth_getLogs"]), "chance": 0.5,
              "args": {"seconds": rng.choice([0.05, 0.3])}}])


@fault(1)
def outage(s, rng):
    """Every answer fails, for the next acts."""
    play(s, [{"fault": rng.choice(["http-503", "rate-429", "reset", "silence"])}])


@fault(2)
def omitted(s, rng):
    """Valid answers to eth_getLogs without the logs."""
    play(s, [{"fault": "omit-logs", "chance": 0.5}])


@fault(2)
def fair(s, rng):
    play(s, [])


@fault(1)
def provider_restart(s, rng):
    """The connection is refused for a moment, then somebody listens there again."""
    play(s, [])
    s.collect()  # what the old one showed is forgotten with it
    for i, p in enumerate(s.providers):
        p.process.kill()
        p.close()
        time.sleep(rng.uniform(0, 0.5))
        s.providers[i] = s._provider(p.port)
    s.fire("provider gone")


@fault(3, only=lambda s: s.pushes)
def sockets(s, rng):
    order = rng.choice([{"stall": True}, {"mute": True}, {"duplicate": True}, {"omit-heads": True},
                        {"omit-logs": True}, {"removed": True}, {"delay": 0.3}, {"fragment": 7},
                        {"oversize": 200_000}, {"garbage": "{]"}, {"close": 1001}, {"reset": True},
                        {"refuse": 503}, {"chain": 5}, {}])
    s.providers[0].order(ws=order)
    for kind in order:
        s.fire(f"ws {kind}")


@fault(2)
def node_trouble(s, rng):
    (node_stopped if rng.random() < 0.5 else node_killed)(s, rng)


def node_stopped(s, rng):
    s.anvil.pause()
    time.sleep(rng.uniform(0.1, 0.8))
    s.anvil.resume()
    s.fire("SIGSTOP node")


def node_killed(s, rng):
    """kill -9. It comes back with what it had on disk: without its newest blocks, mostly, and another
    history grows from there."""
    lost = s.depth(rng.choice([0, 1, 3, 8, DEEPEST]))
    s.anvil.flush()
    for _ in range(lost):
        s.world.token.send("mint", rng.choice(WALLETS), rng.randrange(10 ** 20))
    s.ledger.note()
    s.head()
    s.anvil.kill()
    time.sleep(rng.uniform(0, 0.8))
    s.anvil.start()
    s.floor = s.head()
    s.ledger.note()
    s.fire("SIGKILL node" if lost < 1 else "SIGKILL node with blocks lost")


# ---- our processes ---------------------------------------------------------------------------------------


def living(s, name):
    return s.trueup.workers().get(name) if s.daemon_ended() is None and s.trueup.process else None


@fault(6)
def kill(s, rng):
    name = rng.choice(["follow", "follow", "sweep", "sweep", "listen", "web"])
    sig = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
    pid = living(s, name)
    if pid:
        signal_to(pid, sig)
        s.killed.append(name)
        s.deaths.append(time.time())
        s.fire(f"{signal.Signals(sig).name} {name}")


def signal_to(pid, sig):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


@fault(2)
def kill_supervisor(s, rng):
    """All go with it; a service manager starts it again, at once or after a while."""
    if s.trueup.process is None or s.daemon_ended() is not None:
        return
    s.trueup.kill()
    s.deaths.append(time.time())
    s.fire("SIGKILL supervisor")
    if rng.random() < 0.5:
        moves(s, rng)
    if rng.random() < 0.5:
        reorg(s, rng)
    s.start_daemon()


@fault(1)
def restart(s, rng):
    """In good order, whatever is going on."""
    if s.trueup.process is None or s.daemon_ended() is not None or s.stopped:
        return
    s.trueup.stop()
    s.deaths.append(time.time())
    s.fire("restart")
    s.start_daemon()


@fault(3)
def stop(s, rng):
    """A process stands still while the others go on; it wakes up an act or two later."""
    name = rng.choice(["follow", "sweep", "listen", "web", "supervisor"])
    pid = s.trueup.pid if name == "supervisor" and s.daemon_ended() is None else living(s, name)
    if pid:
        s.pause(pid)
        s.fire(f"SIGSTOP {name}")


# ---- the database ----------------------------------------------------------------------------------------


def is_postgres(s):
    return s.kind == "postgres"


@fault(2, only=is_postgres)
def database_killed(s, rng):
    """kill -9 of the postmaster and all of its children, and recovery from the WAL."""
    s.cluster.kill()
    time.sleep(rng.uniform(0, 0.8))
    s.cluster.start()
    s.fire("SIGKILL database")


@fault(1, only=is_postgres)
def database_restarted(s, rng):
    s.cluster.stop("fast")
    time.sleep(rng.uniform(0, 0.3))
    s.cluster.start()
    s.fire("restart database")


@fault(2, only=is_postgres)
def connections_cut(s, rng):
    s.store.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()")
    s.fire("connections cut")


@fault(2)
def locked(s, rng):
    """Somebody else holds what we want to write."""
    if s.kind == "sqlite":
        other = s.store.connect()
        other.execute("BEGIN EXCLUSIVE")
    else:
        other = s.store.driver.connect(s.store.url)
        other.cursor().execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
    time.sleep(rng.uniform(0.1, 1.0))
    other.rollback()
    other.close()
    s.fire("locked")


@fault(1)
def database_clock(s, rng):
    """The database's clock steps: the same as if all rows had been written earlier or later."""
    hours = rng.choice([-24, -1, 1, 24])
    if s.kind == "sqlite":
        s.store.sql(f"UPDATE {TABLE} SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', updated_at, ?)",
                    f"{hours} hours")
    else:
        s.store.sql(f"UPDATE {TABLE} SET updated_at = updated_at + ? * interval '1 hour'", hours)
    s.fire("database clock")


@fault(1, only=lambda s: not s.listed)
def placeholders(s, rng):
    """The application inserts rows with a guess."""
    who = [wallet(rng.randrange(10 ** 6, 10 ** 9)) for _ in range(4)]
    s.store.many(f"INSERT INTO {TABLE} (wallet, balance, updated_at) VALUES (?, ?, ?)",
                 [(w, "7", "1970-01-01 00:00:00.000000") for w in who])
    s.placed |= set(who)
    s.fire("placeholders")


@fault(1)
def vandal(s, rng):
    """Somebody writes into our rows; the sweep mends them, those that can be read."""
    who = rng.sample(WALLETS[40:], 3)
    for w in who:
        s.store.sql(f"UPDATE {TABLE} SET balance = ? WHERE wallet = ?",
                    "12345" if s.kind == "sqlite" else 12345, w)
    s.vandalised |= set(who)
    s.fire("foreign writes")


def plan(s, rng, length, named=()):
    """[(act, which daemon)] of a run, in order; of the faults only those that are named, if any are."""
    chosen = []
    for _ in range(length):
        kinds = TRAFFIC if rng.random() < 0.45 else FAULTS
        rows = [(run, weight) for run, weight, only in kinds.values()
                if (only is None or only(s)) and (kinds is TRAFFIC or not named or run.__name__ in named)]
        chosen.append((rng.choices([r[0] for r in rows], [r[1] for r in rows])[0], 0))
    return chosen
