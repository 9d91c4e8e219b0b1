"""Two daemons on one PostgreSQL, with --pair: which one writes changes again and again, and the database
itself comes back older, loses commits, or is followed by a standby that lagged.

What the database did is told by a trigger of our own (Audit): each statement that writes a balance, with its
backend and the fence of its transaction, in the order of the commits."""

import random
import shutil
import signal
import time

from harness import config as configs
from harness.config import TABLE
from harness.daemon import Trueup, session_members
from harness.node import free_port
from harness.postgres import Cluster
from harness.truth import Truth
from harness.wait import until
from harness.web import Http
from harness.world import TERMS

import acts
from acts import TRAFFIC, moves
from clusters import copy_folder, make_cluster
from stage import SETTLE, AliveStore, Stage

PORT = 5432  # sockets in folders of their own
FEWER = ("held", "staked")
EXIT_CONFIG, EXIT_MAY_BE_AWAY = 2, (4, 5)
FORGETFUL = {"synchronous_commit": "off", "wal_writer_delay": "'10s'", "wal_writer_flush_after": "'1GB'"}
OURS = "judge"  # application_name of the judge's own connections

AUDIT = """
    CREATE SCHEMA judge;
    CREATE TABLE judge.audit (id bigserial PRIMARY KEY, backend int, began timestamptz, app text, verb text,
                              role text, generation bigint, holder text, seq bigint);
    CREATE FUNCTION judge.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_LEVEL = 'STATEMENT' THEN
            IF NOT EXISTS (SELECT FROM changed) THEN RETURN NULL; END IF;
        END IF;
        INSERT INTO judge.audit (backend, began, app, verb, role, generation, holder, seq)
            SELECT pid, backend_start, application_name, TG_OP, f.role, f.generation, f.holder, f.seq
              FROM pg_stat_get_activity(pg_backend_pid()) LEFT JOIN trueup_fence f
                ON f.xmin = pg_current_xact_id()::xid;
        RETURN NULL;
    END $$;"""
BY_ROW = """
    CREATE TRIGGER judge AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION judge.note()"""
BY_STATEMENT = """
    CREATE TRIGGER judge_%s AFTER %s ON %s REFERENCING %s TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION judge.note()"""


# ---- the audit -------------------------------------------------------------------------------------------


def put_audit(s):
    s.store.script(AUDIT)
    if s.by_row:
        s.store.script(BY_ROW % TABLE)
        return
    for verb, rows in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        s.store.script(BY_STATEMENT % (verb, verb, TABLE, rows))


def audited(s):
    """(backend, role, generation, holder, seq, verb) of each write of a daemon, in the order of the commits."""
    return s.store.sql("SELECT backend || ' ' || began, role, generation, holder, seq, verb FROM judge.audit "
                       "WHERE app <> ? ORDER BY pg_xact_commit_timestamp(xmin), id", OURS)


def check_audit(s):
    """Each write stood behind a fence; no generation writes after a later one; of a connection's
    transactions none is missing its place. Returns what to count."""
    writes = audited(s)
    bare = [w for w in writes if w[1] is None]
    assert not bare, f"{len(bare)} of {len(writes)} writes without a fence: {bare[:3]}"
    owner, at, turns = (0, ""), {}, 0
    for backend, role, generation, holder, seq, _ in writes:
        if (generation, holder) != owner:
            assert generation > owner[0], (
                f"generation {generation} of {holder} wrote after {owner}: {backend} as {role}, seq {seq}")
            owner, at, turns = (generation, holder), {}, turns + 1
        assert seq >= at.get(role, 0), f"{role} of {owner} went back from {at[role]} to {seq}"
        at[role] = seq
    return {"writes": len(writes), "turns": turns}


# ---- the stage ---------------------------------------------------------------------------------------------


class PairStage(Stage):
    """`trueup` and `web` are those of the daemon that the next act is about."""

    def __init__(self, folder, rng, place):
        self.place = place  # a folder that PostgreSQL's user may enter
        self.forgetful = rng.random() < 0.4
        self.by_row = rng.random() < 0.3
        self.copy = None  # (cluster, folder): the database as it was
        super().__init__(folder, rng, "postgres", None)
        self.terms = rng.choice([TERMS, TERMS, FEWER])  # those of all daemons at the end
        self.cluster, self.spare = Cluster(place / "a"), Cluster(place / "b")

    def describe(self):
        return {"pair": True, "forgetful": self.forgetful, "trigger": "row" if self.by_row else "statement",
                "terms": len(self.terms), "wallets": "listed" if self.listed else "seen",
                "endpoints": 1 + self.two_endpoints}

    def _store(self):
        make_cluster(self.cluster, self.place.parent / "template", FORGETFUL if self.forgetful else {})
        hosts = f"{self.cluster.folder},{self.spare.folder}"
        self.url = f"postgres:///postgres?host={hosts}&user=postgres&target_session_attrs=read-write"
        return AliveStore(f"{self.url}&application_name={OURS}")

    def make_daemons(self):
        for name in ("one", "two"):
            (self.folder / name).mkdir()
            self.daemons.append(Trueup(self.folder / name))
            self.daemons[-1].http = Http(free_port())
            self.daemons[-1].settings = {
                "reader": self.rng.choice(["auto", "auto", "override", "create", "multicall3"]),
                "batch": self.rng.choice(["auto", "auto", 7]), "interval": self.rng.choice(["200ms", "1s"]),
                "freshness": self.rng.choice(["100ms", "400ms", "1s"]),
                "finality": self.rng.choice([SETTLE, "finalized"]), "ws": self.rng.random() < 0.6}
            self.choose(self.daemons[-1])
            self.configure(TERMS)
        self.choose(self.daemons[0])
        self.trueup.run("migrate")
        put_audit(self)

    def configure(self, terms, **changes):
        mine = self.trueup.settings
        endpoints = [{"name": f"n{i}", "url": p.url, "reader": mine["reader"],
                      "ws": p.url.replace("http", "ws", 1) if mine["ws"] and i == 0 else "off"}
                     for i, p in enumerate(self.providers)]
        self.trueup.terms = terms
        self.trueup.config = configs.write(self.trueup.folder / "trueup.yaml", configs.settings(
            self.world, "", self.url, terms=terms, wallets="listed" if self.listed else "seen",
            chain={"finality": mine["finality"], "endpoints": endpoints, "freshness": mine["freshness"]},
            sweep={"interval": mine["interval"], "batch": mine["batch"]},
            http={"listen": f"127.0.0.1:{self.web.port}"}, **changes))

    def open(self):
        super().open()
        self.choose(self.daemons[1])
        self.start_daemon()

    def settle_settings(self):
        """All daemons with the same terms again, as at the end of a deploy."""
        self.truth = Truth(self.world, self.terms)
        for daemon in self.daemons:
            self.choose(daemon)
            if daemon.terms != self.terms:
                change_terms(self, self.terms)

    def close(self):
        super().close()
        for cluster in (self.cluster, self.spare):
            cluster.remove()
        shutil.rmtree(self.place / "copy", ignore_errors=True)


# ---- what happens to daemons -------------------------------------------------------------------------------

PAIR = {}


def pair(weight):
    return lambda run: PAIR.setdefault(run.__name__, (run, weight, None))[0]


def frozen(s):
    """Stops the whole daemon; returns how it goes on."""
    pids = session_members(s.trueup.pid)
    for pid in pids:
        acts.signal_to(pid, signal.SIGSTOP)

    def go_on():
        for pid in pids:
            acts.signal_to(pid, signal.SIGCONT)
    return go_on


@pair(5)
def freeze(s, rng):
    """Its machine is silent for so long that the other one may take over, or nearly; then it is back."""
    if s.daemon_ended() is not None:
        return
    go_on = frozen(s)
    moves(s, rng)
    time.sleep(rng.choice([0.5, 2.5, 3, 3.5, 5]))
    moves(s, rng)
    go_on()
    s.fire("SIGSTOP daemon")


@pair(5)
def freeze_in_a_write(s, rng):
    """Somebody holds what the writer wants: it is stopped while it waits, in the middle of a transaction."""
    if s.daemon_ended() is not None:
        return
    other = s.store.driver.connect(s.store.url)
    other.cursor().execute(f"LOCK TABLE {TABLE} IN {rng.choice(['SHARE ROW EXCLUSIVE', 'ACCESS EXCLUSIVE'])} MODE")
    moves(s, rng)
    time.sleep(rng.uniform(0.05, 1))
    go_on = frozen(s)
    other.rollback()
    other.close()
    time.sleep(rng.choice([1, 3, 4, 5]))
    moves(s, rng)
    go_on()
    s.fire("SIGSTOP daemon in a write")


@pair(3)
def freeze_backend(s, rng):
    """The server's side of a connection stands still, with whatever locks it holds."""
    found = s.store.sql("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND "
                        "application_name <> ? AND pid <> pg_backend_pid() ORDER BY pid", OURS)
    if not found:
        return
    pid = rng.choice(found)[0]
    acts.signal_to(pid, signal.SIGSTOP)
    moves(s, rng)
    time.sleep(rng.choice([0.3, 2, 4]))
    acts.signal_to(pid, signal.SIGCONT)
    s.fire("SIGSTOP backend")


@pair(3)
def both_at_once(s, rng):
    """Neither is left; both come back, in either order."""
    for daemon in s.daemons:
        s.choose(daemon)
        if s.daemon_ended() is None:
            s.trueup.kill()
    s.deaths.append(time.time())
    moves(s, rng)
    for daemon in rng.sample(s.daemons, 2):
        s.choose(daemon)
        s.start_daemon()
    s.fire("SIGKILL both daemons")


# ---- settings that differ ------------------------------------------------------------------------------------


def change_terms(s, terms):
    if s.daemon_ended() is None:
        s.trueup.stop()
    s.deaths.append(time.time())
    s.configure(terms)
    s.start_daemon()


@pair(3)
def other_terms(s, rng):
    """A deploy that changes the terms, or takes the change back, by one daemon; the other one may follow."""
    change_terms(s, FEWER if s.trueup.terms == TERMS else TERMS)
    s.fire("other terms")
    moves(s, rng)
    time.sleep(rng.choice([0, 1, 4]))


@pair(2)
def foreign_balance(s, rng):
    """A daemon for another balance is refused: it ends, and wrote nothing."""
    folder = s.folder / f"foreign{rng.randrange(10 ** 9)}"
    folder.mkdir()
    guest, home = Trueup(folder), s.trueup
    guest.settings, guest.http = home.settings, Http(free_port())
    s.choose(guest)
    s.configure(TERMS, balance={"name": "foreign"})
    s.choose(home)
    before = s.store.one("SELECT count(*) FROM information_schema.tables")
    code = guest.run("run", code=None, timeout=40).returncode
    assert code == EXIT_CONFIG or code in EXIT_MAY_BE_AWAY, f"a daemon for another balance ended with {code}"
    if code == EXIT_CONFIG:
        assert s.store.one("SELECT count(*) FROM information_schema.tables") == before, "it made a table"
        s.fire("foreign balance refused")


# ---- what happens to the database ------------------------------------------------------------------------------


def take_copy(s):
    s.cluster.stop("fast")
    shutil.rmtree(s.place / "copy", ignore_errors=True)
    copy_folder(s.cluster.data, s.place / "copy")
    s.copy = s.cluster
    s.cluster.start()


@pair(5)
def older_copy(s, rng):
    """A copy is taken, or the one that was taken is put back."""
    if s.copy is None:
        take_copy(s)
        for _ in range(rng.randrange(1, 4)):
            moves(s, rng)
            time.sleep(rng.choice([0, 0.3, 2]))
        if rng.random() < 0.3:
            return
    s.cluster.stop("immediate")
    if s.cluster is not s.copy:
        shutil.rmtree(s.cluster.data)
        s.cluster, s.spare = s.spare, s.cluster
    shutil.rmtree(s.cluster.data, ignore_errors=True)
    copy_folder(s.place / "copy", s.cluster.data)
    s.cluster.start()
    s.fire("an older copy put back")


@pair(4)
def promoted(s, rng):
    """The standby's receiver pauses, the primary goes on and dies, the standby takes its place."""
    s.spare.clone(s.cluster, PORT)
    lagging = AliveStore(s.spare.url())
    for _ in range(rng.randrange(3)):
        moves(s, rng)
    lagging.sql("ALTER SYSTEM SET primary_conninfo = ''")
    lagging.sql("SELECT pg_reload_conf()")
    until(lambda: lagging.one("SELECT count(*) FROM pg_stat_wal_receiver") == 0, "the receiver to pause")
    for _ in range(rng.randrange(1, 4)):
        moves(s, rng)
        time.sleep(rng.choice([0, 0.3, 2]))
    lagging.close()
    if rng.random() < 0.5:
        s.cluster.kill()
    else:
        s.cluster.stop("immediate")
    shutil.rmtree(s.cluster.data)
    s.spare.promote()
    s.cluster, s.spare = s.spare, s.cluster
    s.fire("a standby that lagged promoted")


@pair(4)
def crash(s, rng):
    """kill -9 of the server in the middle of things; what it had not written down is lost."""
    for _ in range(rng.randrange(1, 3)):
        moves(s, rng)
        time.sleep(rng.choice([0, 0.05, 0.3]))
    s.cluster.kill()
    time.sleep(rng.uniform(0, 0.5))
    s.cluster.start()
    s.fire("crash under asynchronous commit" if s.forgetful else "crash of the database")


for _act, _weight in ((acts.kill, 5), (acts.kill_supervisor, 5), (acts.restart, 4), (acts.stop, 2),
                      (acts.database_restarted, 1), (acts.connections_cut, 3), (acts.locked, 2),
                      (acts.vandal, 1), (acts.placeholders, 1), (acts.reorg, 4), (acts.rollback, 1),
                      (acts.weather, 2), (acts.lies, 1), (acts.slow, 2), (acts.outage, 1), (acts.fair, 1)):
    pair(_weight)(_act)


def plan(s, rng, length, named=()):
    """[(act, daemon)]: nearly a third of the acts move the chain."""
    chosen = []
    for _ in range(length):
        kinds = TRAFFIC if rng.random() < 0.3 else PAIR
        rows = [(run, weight) for run, weight, only in kinds.values()
                if (only is None or only(s)) and (kinds is TRAFFIC or not named or run.__name__ in named)]
        act = rng.choices([r[0] for r in rows], [r[1] for r in rows])[0]
        chosen.append((act, rng.randrange(2)))
    return chosen
