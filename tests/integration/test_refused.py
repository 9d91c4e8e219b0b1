"""Rows that the database refuses, or that a trigger changes: an application's table with a foreign key,
constraints and triggers.
One wallet's row holds up no other wallet's, and each refusal is told with the database's words."""

import json
import random
import threading

import pytest

from harness import config as configs
from harness.config import CHECKPOINT, TABLE
from harness.web import listening
from harness.world import wallet

WALLETS = [wallet(i) for i in range(12)]
STRANGER = WALLETS[5]


@pytest.fixture
def daemon(chain, trueup, tmp_path):
    """daemon(store) -> the running daemon."""
    def go(store, **changes):
        http, trueup.client = listening()
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, store.url, **{"http": http, **changes}))
        chain.anvil.mine(3)
        trueup.start()
        trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
        return trueup
    return go


def make_table(store, extra=""):
    """As an application has it: without observed_block."""
    balance = "NUMERIC" if store.kind == "postgres" else "TEXT"
    store.script(f"""
        CREATE TABLE users (wallet VARCHAR(42) PRIMARY KEY);
        CREATE TABLE {TABLE} (wallet VARCHAR(42) PRIMARY KEY {extra}, balance {balance} NOT NULL,
            blocknumber BIGINT, updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
            created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
        CREATE INDEX {TABLE}_updated_at_idx ON {TABLE} (updated_at)""")


def raise_for(store, condition, words="no such account"):
    if store.kind == "sqlite":
        for what in ("INSERT", "UPDATE"):
            store.script(f"""CREATE TRIGGER guard_{what} BEFORE {what} ON {TABLE} WHEN {condition}
                BEGIN SELECT RAISE(ABORT, '{words}'); END""")
        return
    store.script(f"""
        CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF {condition} THEN RAISE EXCEPTION '{words}'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON {TABLE}
            FOR EACH ROW EXECUTE FUNCTION guard()""")


def drop_guard(store):
    store.script("DROP FUNCTION guard CASCADE" if store.kind == "postgres" else
                 "DROP TRIGGER guard_INSERT; DROP TRIGGER guard_UPDATE")


def all_but(store, truth, wallets, left_out=()):
    """Are the rows of these wallets the chain's, and is there none of the others?"""
    rows = store.rows(TABLE)
    right = truth.read(wallets)
    return (all(w in rows and rows[w].balance == right[w] for w in wallets)
            and not any(w in rows for w in left_out))


def reason(store, who):
    return store.one("SELECT reason FROM trueup_quarantine WHERE wallet = ?", who) or ""


def test_the_first_transfer_to_a_stranger(chain, store, daemon, rng):
    """A foreign key to the application's users: only the stranger's row is missing, and it is written when
    the stranger has become a user and an event names him again."""
    make_table(store, extra="REFERENCES users (wallet)")
    users = [w for w in WALLETS if w != STRANGER]
    store.many("INSERT INTO users (wallet) VALUES (?)", [(w,) for w in users])
    trueup = daemon(store)
    chain.world.mint_all(WALLETS, rng)
    trueup.until(lambda: all_but(store, chain.truth, users, [STRANGER]), "the users' rows")
    trueup.until(lambda: STRANGER in store.quarantined("audio"), "the stranger in quarantine")
    assert reason(store, STRANGER).lower().startswith("refused by the database: ")
    assert "foreign key" in reason(store, STRANGER).lower()
    trueup.until_log("rows are refused by the database, their wallets are quarantined")
    chain.anvil.mine(1)
    head = chain.rpc.number()
    trueup.until(lambda: store.synced("audio") >= head, "the stranger not to hold up events")
    store.sql("INSERT INTO users (wallet) VALUES (?)", STRANGER)
    chain.world.token.send("mint", STRANGER, 5)
    trueup.until(lambda: all_but(store, chain.truth, WALLETS), "the row of a user by now")
    trueup.until(lambda: not store.quarantined("audio"), "quarantine to be left")
    assert trueup.stop() == 0


def test_a_trigger_that_raises_for_one_wallet(chain, store, daemon, trueup, rng):
    """Under run and under a whole pass: that row stays as it is, and all others are the chain's."""
    make_table(store)
    daemon(store)
    chain.world.mint_all(WALLETS, rng)
    trueup.until(lambda: all_but(store, chain.truth, WALLETS), "all rows")
    raise_for(store, f"NEW.wallet = '{STRANGER}'")
    others = [w for w in WALLETS if w != STRANGER]
    chain.world.mint_all(WALLETS, rng)
    trueup.until(lambda: all_but(store, chain.truth, others), "the rows of the others")
    trueup.until(lambda: reason(store, STRANGER) == "refused by the database: no such account",
                 "quarantine with the words of the trigger")
    done = trueup.run("sweep")
    assert done.returncode == 0
    drop_guard(store)
    chain.world.token.send("mint", STRANGER, 5)
    trueup.until(lambda: all_but(store, chain.truth, WALLETS), "all rows again")
    trueup.until(lambda: not store.quarantined("audio"), "quarantine to be left")
    assert trueup.stop() == 0


def test_a_column_of_the_applications_own(chain, postgres, daemon, rng):
    """CHECK and NOT NULL, set by a trigger for most wallets: what has no value there is refused."""
    make_table(postgres)
    postgres.script(f"""
        ALTER TABLE {TABLE} ADD owner TEXT NOT NULL DEFAULT '';
        ALTER TABLE {TABLE} ADD CHECK (balance <> 77);
        CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            NEW.owner := CASE WHEN NEW.wallet <> '{STRANGER}' THEN 'somebody' END; RETURN NEW; END $$;
        CREATE TRIGGER own BEFORE INSERT ON {TABLE} FOR EACH ROW EXECUTE FUNCTION own()""")
    trueup = daemon(postgres)
    chain.world.token.send("mintMany", WALLETS[:8], [77] + [5] * 7)
    left_out = [WALLETS[0], STRANGER]
    others = [w for w in WALLETS[:8] if w not in left_out]
    trueup.until(lambda: all_but(postgres, chain.truth, others, left_out), "the others' rows")
    trueup.until(lambda: postgres.quarantined("audio") == set(left_out), "two in quarantine")
    assert "check constraint" in reason(postgres, WALLETS[0])
    assert "null value in column" in reason(postgres, STRANGER)
    assert trueup.stop() == 0


def test_a_table_that_refuses_every_row(chain, store, daemon, trueup, rng):
    """A trigger that is broken: nothing is quarantined, the words are told, and as soon as the table takes
    its rows again they are written."""
    make_table(store)
    daemon(store)
    chain.world.mint_all(WALLETS, rng)
    trueup.until(lambda: all_but(store, chain.truth, WALLETS), "all rows")
    before = len(trueup.output())
    raise_for(store, "1 = 1", words="the trigger is broken")
    chain.world.mint_all(WALLETS, rng)
    trueup.until_log("refuses every row: the trigger is broken", start=before)
    trueup.until(lambda: "refuses every row" in trueup.client.ask("/readyz")[2], "/readyz to say so", 40)
    chain.world.token.send("mint", STRANGER, 5)
    chain.anvil.mine(1)
    assert not store.quarantined("audio")
    done = trueup.run("sweep", code=5)
    assert "refuses every row: the trigger is broken" in done.stderr
    assert not store.quarantined("audio")
    drop_guard(store)
    trueup.until(lambda: all_but(store, chain.truth, WALLETS), "all rows again")
    assert trueup.stop() == 0


# ---- triggers of the application ------------------------------------------------------------------------

A_USER = 4  # wallets


def make_users(store, wallets):
    """Sums for each user, kept by a row trigger that says its errors as warnings. What it could not do is
    in `failed`, if that was committed."""
    make_table(store)
    store.script(f"""
        ALTER DATABASE {store.one("SELECT current_database()")} SET deadlock_timeout = '20ms';
        CREATE TABLE owned (wallet TEXT PRIMARY KEY, user_id INT NOT NULL);
        CREATE INDEX ON owned (user_id);
        CREATE TABLE sums (user_id INT PRIMARY KEY, total NUMERIC NOT NULL);
        CREATE TABLE failed (user_id INT, program TEXT, words TEXT);
        CREATE FUNCTION add_up() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE who INT;
        BEGIN
            SELECT user_id INTO who FROM owned WHERE wallet = NEW.wallet;
            BEGIN
                INSERT INTO sums SELECT who, sum(t.balance) FROM owned o JOIN {TABLE} t USING (wallet)
                    WHERE o.user_id = who
                    ON CONFLICT (user_id) DO UPDATE SET total = excluded.total;
            EXCEPTION WHEN OTHERS THEN
                INSERT INTO failed VALUES (who, current_setting('application_name'), SQLERRM);
                RAISE WARNING 'no sum for user %: %', who, SQLERRM;
            END;
            RETURN NULL;
        END $$;
        CREATE TRIGGER add_up AFTER INSERT OR UPDATE OF balance ON {TABLE}
            FOR EACH ROW EXECUTE FUNCTION add_up()""")
    store.many("INSERT INTO owned VALUES (?, ?)", [(w, i % (len(wallets) // A_USER))
                                                   for i, w in enumerate(wallets)])
    store.script(f"""INSERT INTO {TABLE} (wallet, balance, updated_at)
        SELECT wallet, 0, '1970-01-01' FROM owned""")


def wrong_sums(store):
    return store.one(f"""SELECT count(*) FROM (SELECT user_id, sum(t.balance) AS total FROM owned
        JOIN {TABLE} t USING (wallet) GROUP BY user_id) r FULL JOIN sums s USING (user_id)
        WHERE s.total IS DISTINCT FROM r.total""")


def test_sums_for_each_user_are_right_after_a_pass(chain, postgres, trueup, tmp_path, rng):
    """Rows at 1970, four wallets a user, whose sums a trigger keeps: a pass with two writers leaves each row
    and each sum right, and ends with 0."""
    wallets = [wallet(i) for i in range(4000)]
    make_users(postgres, wallets)
    chain.world.mint_all(wallets, rng)
    chain.anvil.mine(3)
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, postgres.url))
    trueup.run("migrate")
    done = trueup.run("sweep")
    assert done.returncode == 0
    rows, right = postgres.rows(TABLE), chain.truth.read(wallets[::37])
    assert all(rows[w].balance == right[w] for w in right)
    assert all(r.observed_block is not None for r in rows.values())
    assert wrong_sums(postgres) == 0
    assert postgres.one("SELECT count(*) FROM failed") == 0


def test_no_failed_sum_is_committed_beside_the_application(chain, postgres, trueup, tmp_path, rng):
    """The application writes the same rows in its own order, so that its transactions and ours meet in
    deadlocks, which the trigger turns into warnings: none of ours commits what it could not do."""
    wallets = [wallet(i) for i in range(1200)]
    make_users(postgres, wallets)
    chain.world.mint_all(wallets, rng)
    chain.anvil.mine(3)
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, postgres.url))
    trueup.run("migrate")
    over = threading.Event()
    met = []

    def application(seed):
        own = random.Random(seed)
        connection = postgres.driver.connect(postgres.url)
        while not over.is_set():
            try:
                with connection, connection.cursor() as cursor:
                    for w in own.sample(wallets, 6):
                        cursor.execute(f"UPDATE {TABLE} SET balance = balance + 0 WHERE wallet = %s", [w])
            except postgres.driver.Error as error:
                met.append(error.pgcode)
        connection.close()

    threads = [threading.Thread(target=application, args=(rng.random(),)) for _ in range(2)]
    for t in threads:
        t.start()
    try:
        done = trueup.run("sweep", timeout=120)
    finally:
        over.set()
        for t in threads:
            t.join()
    assert done.returncode == 0
    assert postgres.one("SELECT count(*) FROM failed WHERE program LIKE 'trueup%'") == 0
    rows, right = postgres.rows(TABLE), chain.truth.read(wallets[::37])
    assert all(rows[w].balance == right[w] for w in right)


def test_what_the_database_warns_of_is_in_the_log(chain, postgres, daemon, rng):
    """A trigger that warns each time: the row is written, the words are a record, and they are counted."""
    make_table(postgres)
    postgres.script(f"""
        CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE WARNING 'the disk is warm'; RETURN NULL; END $$;
        CREATE TRIGGER warn AFTER INSERT ON {TABLE} FOR EACH ROW EXECUTE FUNCTION warn()""")
    http, client = listening()
    trueup = daemon(postgres, http=http, log={"level": "info", "format": "json"})
    chain.world.mint_all(WALLETS, rng)
    trueup.until(lambda: all_but(postgres, chain.truth, WALLETS), "all rows")
    trueup.until_log("the disk is warm")
    assert all(json.loads(line)["msg"] for line in trueup.output().splitlines())
    trueup.until(lambda: client.metrics()["trueup_db_warnings_total"] >= len(WALLETS), "them to be counted")
    assert not postgres.quarantined("audio")
    assert trueup.stop() == 0
