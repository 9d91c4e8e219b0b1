"""What commands say when something is missing, mistyped or down, and how they end: no guess, no file that
nobody asked for, no part of a secret."""

import json
import socket
import threading

import pytest

from harness import config as configs
from harness.node import free_port
from harness.config import BALANCE, CHECKPOINT, TABLE


from harness.world import Contract, wallet

WALLETS = [wallet(i) for i in range(40)]
WEI = 10 ** 18
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


# ---- where no database is -----------------------------------------------------------------------


@pytest.mark.parametrize("words", [["explain", WALLETS[0]], ["audit"], ["sweep"], ["wallets", "list"],
                                   ["wallets", "count"], ["snapshot", "--at", "1", "--out", "x.csv"]],
                         ids=lambda w: w[0] + w[1][:5] if len(w) > 1 else w[0])
def test_a_command_that_finds_no_database_makes_none(chain, store, trueup, tmp_path, words):
    trueup.folder = tmp_path / "empty"
    trueup.folder.mkdir()
    url = f"sqlite:{trueup.folder}/trueup.db" if store.kind == "sqlite" else store.url
    trueup.config = configs.write(tmp_path / "trueup.yaml",
                                  configs.settings(chain.world, chain.anvil.url, url))
    done = trueup.run(*words, code=5)
    assert done.stdout == "" and done.stderr.startswith("trueup: ") and "\nhint: " in done.stderr
    assert list(trueup.folder.iterdir()) == []
    assert store.kind == "sqlite" or not store.has_table("trueup_state")


@on_sqlite
def test_a_relative_file_lies_beside_the_configuration(chain, store, trueup, tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir()
    trueup.config = configs.write(folder / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, "sqlite:mine.db"))
    trueup.run("migrate")
    assert (folder / "mine.db").exists() and not (tmp_path / "mine.db").exists()
    assert f"sqlite:{folder}/mine.db" in trueup.run("config", "show").stdout
    # What an earlier edition left in the current folder is not left behind in silence.
    (folder / "mine.db").rename(tmp_path / "mine.db")
    said = trueup.run("migrate", code=2).stderr
    assert "expected its whole path" in said, said
    # A flag is relative to where the command is typed.
    trueup.run("migrate", "--store", "sqlite:other.db")
    assert (tmp_path / "other.db").exists()


# ---- what was meant -----------------------------------------------------------------------------


@on_sqlite
def test_a_url_without_its_scheme_is_completed(chain, store, trueup, tmp_path):
    token = ["--token", chain.world.token.address]
    for given, meant in (("localhost:8545", "http://localhost:8545"), ("127.0.0.1", "http://127.0.0.1"),
                         ("node.example", "https://node.example"),
                         ("ws://localhost:8545", "http://localhost:8545"),
                         ("node.example/v2/SECRETSECRET", "https://node.example/…")):
        said = trueup.run("read", "--rpc", given, *token, WALLETS[0], code=2).stderr
        assert f"expected {meant}\n" in said, (given, said)
        assert "(hidden)" not in said and "SECRET" not in said, said
    said = trueup.run("read", "--rpc", "SECRETSECRETSECRET", *token, WALLETS[0], code=2).stderr
    assert "SECRET" not in said
    said = trueup.run("wallets", "list", "--store", "trueup.db", "--rpc", chain.anvil.url, *token,
                      code=2).stderr
    assert 'not a store "trueup.db"; expected sqlite:trueup.db' in said


@on_sqlite
def test_https_at_a_port_that_speaks_http(chain, store, trueup, configured):
    trueup.config = configured()
    url = chain.anvil.url.replace("http://", "https://")
    said = trueup.run("read", "--rpc", url, WALLETS[0], code=4).stderr.splitlines()
    assert said[1] == f"hint: is it {chain.anvil.url}?", said


def test_a_password_that_is_not_escaped_shows_nowhere(chain, postgres, trueup, tmp_path):
    trueup.folder = tmp_path
    port = free_port()
    for url in (f"postgres://jane:f@tw@lrus@127.0.0.1:{port}/main", f"postgres://jane:f/tw@lrus@127.0.0.1:{port}/main"):
        trueup.config = configs.write(tmp_path / "trueup.yaml",
                                      configs.settings(chain.world, chain.anvil.url, url))
        for words in (["migrate"], ["doctor"], ["config", "show"], ["wallets", "count"]):
            done = trueup.run(*words, code=None)
            assert "tw" not in done.stdout.replace("two", "") and "lrus" not in done.stdout + done.stderr, done
            assert "tw" not in done.stderr.replace("network", "").replace("two", ""), done
    # With one @ too many it is taken as the first user's driver takes it, and who and where are shown.
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, f"postgres://jane:f@tw@127.0.0.1:{port}/main"))
    said = trueup.run("migrate", code=5).stderr
    assert f"postgres://jane@127.0.0.1:{port}/main" in said and "refused" in said


# ---- records and terminals ----------------------------------------------------------------------


@on_sqlite
def test_fatal_errors_are_records_where_the_log_is_json(chain, store, trueup, configured):
    trueup.config = configured(log={"format": "json"})
    for words in (["audit"], ["run", "--store", "sqlite:/nowhere/x.db"]):
        said = trueup.run(*words, code=5).stderr.splitlines()
        records = [json.loads(line) for line in said]
        assert records[-1]["level"] == "error" and records[-1]["error"] and records[-1]["hint"], records
    trueup.config = configured(log={"format": "json"}, sweep={"intervall": "1s"})
    record = json.loads(trueup.run("run", code=2).stderr)
    assert record["msg"] == "settings refused" and "intervall" in record["problem"]


# ---- audit and status ---------------------------------------------------------------------------


def filled(chain, store, trueup, configured):
    trueup.config = configured()
    chain.world.token.send("mintMany", WALLETS, [WEI] * len(WALLETS))
    chain.anvil.mine(3)
    trueup.run("backfill", "-y")
    trueup.run("worker", "follow", "--once")


@on_sqlite
def test_an_audit_that_could_not_compare_says_so(chain, store, trueup, configured):
    filled(chain, store, trueup, configured)
    assert trueup.run("audit", "--all").returncode == 0
    store.sql(f"UPDATE {TABLE} SET observed_block = NULL WHERE wallet = ?", WALLETS[3])
    said = trueup.run("audit", "--all", code=6).stdout
    assert "nothing is said about 1 row that could not be compared" in said
    assert json.loads(trueup.run("audit", "--all", "--json", code=6).stdout)["not_compared"]["unanchored"] == 1
    store.sql(f"UPDATE {TABLE} SET balance = '5' WHERE wallet = ?", WALLETS[4])
    trueup.run("audit", "--all", code=3)  # drift wins


@on_sqlite
def test_a_tracked_wallet_without_a_row_is_told(chain, store, trueup, configured):
    filled(chain, store, trueup, configured)
    trueup.run("wallets", "add", wallet(777))
    said = trueup.run("audit", "--all", code=6).stdout
    assert "1 tracked wallet is without a row yet" in said


def test_from_has_no_effect_on_a_later_start(chain, store, trueup, configured):
    trueup.config = configured()
    chain.anvil.mine(3)
    trueup.start("--from", "1")
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    assert "--from has no effect" not in trueup.output()
    trueup.stop()
    trueup.process = None
    trueup.start("--from", "1")
    trueup.until_log("--from has no effect: the balance goes on from its checkpoint")


# ---- what is not up yet -------------------------------------------------------------------------


class Forwarder:
    """A port that leads to another one from now on."""

    def __init__(self, port, to):
        self.server = socket.create_server(("127.0.0.1", port))
        self.to = to
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            near, _ = self.server.accept()
            far = socket.create_connection(self.to)
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(a, b), daemon=True).start()

    @staticmethod
    def _copy(a, b):
        try:
            while part := a.recv(65536):
                b.sendall(part)
        except OSError:
            pass
        for end in (a, b):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def test_what_is_down_at_the_first_start_is_waited_for(chain, store, trueup, tmp_path):
    """The node, and on PostgreSQL the database as well."""
    chain.anvil.mine(3)
    port = free_port()
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, f"http://127.0.0.1:{port}", store.url))
    trueup.start()
    trueup.until_log("not ready, trying again")
    assert trueup.alive()
    Forwarder(port, ("127.0.0.1", chain.anvil.port))
    trueup.until(lambda: store.has_table("eth_indexer_checkpoints") and
                 store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")


def test_a_database_that_is_down_at_the_start_is_waited_for(chain, postgres, trueup, tmp_path):
    chain.anvil.mine(3)
    port = free_port()
    target = postgres.connection.get_dsn_parameters() if hasattr(postgres, "connection") else {}
    url = postgres.url
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, f"postgres://nobody@127.0.0.1:{port}/none?connect_timeout=2"))
    trueup.start()
    trueup.until_log("not ready, trying again")
    assert trueup.alive(), (target, url)


# ---- one database, one thing --------------------------------------------------------------------


@on_sqlite
def test_a_token_of_the_same_symbol_is_refused(chain, store, trueup, tmp_path):
    """The second one's table would be the first one's."""
    trueup.folder = tmp_path
    second = Contract(chain.world, chain.world.create("DemoToken"), "DemoToken")
    chain.anvil.mine(3)
    run = ["--rpc", chain.anvil.url, "--listen", "off", "--token"]
    trueup.env["TRUEUP_HTTP_LISTEN"] = "off"
    trueup.start("--rpc", chain.anvil.url, "--token", chain.world.token.address)
    trueup.until(lambda: store.has_table("trueup_state") and store.checkpoint("demo") is not None,
                 "the first checkpoint")
    trueup.stop()
    trueup.process = None
    for words in (["run"], ["sweep"]):
        said = trueup.run(*words, *[x for x in run if words == ["run"] or x not in ("--listen", "off")],
                          second.address, code=2).stderr
        assert second.address.lower() in said.lower(), said
        assert chain.world.token.address.lower() in said.lower() and "hint: " in said


def test_a_second_set_of_balances_is_refused(chain, store, trueup, tmp_path, configured):
    trueup.config = configured()
    trueup.run("migrate")
    trueup.config = configured(balance={"name": "other", "table": "other_balances", "checkpoint": "other"})
    said = trueup.run("migrate", code=2).stderr
    assert f'"{BALANCE}"' in said and '"other"' in said and "another database" in said
    assert not store.has_table("other_balances")


def test_a_larger_or_smaller_set_of_balances_is_refused(chain, store, trueup, tmp_path):
    """`migrate` adds what a file names more, and forgets what it is told to."""
    whole = configs.settings(chain.world, chain.anvil.url, store.url)
    one = whole["balances"][0]
    two = {**whole, "balances": [one, {**one, "name": "other", "table": "other_balances", "checkpoint": "other"}]}
    single = configs.write(tmp_path / "trueup.yaml", whole)
    both = configs.write(tmp_path / "both.yaml", two)

    def ask(config, *words, code=0):
        trueup.config = config
        return trueup.run(*words, code=code).stderr

    chain.anvil.mine(3)
    ask(single, "migrate")
    for words in (["run"], ["sweep"], ["sweep", "--balance", "other"]):
        said = ask(both, *words, code=2)
        assert 'keeps no balance "other"' in said and "trueup migrate" in said, said
        assert not store.has_table("other_balances")
    ask(both, "migrate")
    ask(both, "sweep", "--balance", BALANCE)
    for words in (["run"], ["sweep"], ["migrate"]):
        said = ask(single, *words, code=2)
        assert 'keeps "other"' in said and "--forget" in said, said
    ask(both, "migrate", "--forget", "other", code=2)
    ask(single, "migrate", "--forget", "other")
    ask(single, "sweep")
    assert store.has_table("other_balances"), "its rows stay"
    assert not store.sql("SELECT key FROM trueup_state WHERE key LIKE '%:other%'")
    ask(single, "migrate", "--forget", "other", code=2)


@on_sqlite
def test_another_chain_id_is_refused(chain, store, trueup, configured):
    trueup.config = configured()
    chain.anvil.mine(3)
    trueup.run("migrate")
    trueup.run("sweep")
    trueup.config = configured(chain={"id": 1})
    for words in (["run"], ["sweep"], ["migrate"]):
        said = trueup.run(*words, code=2).stderr
        assert f"keeps chain {chain.anvil.chain_id}, but chain.id is 1" in said and "`schema:`" in said, said


@on_sqlite
def test_one_file_may_name_256_balances(chain, store, trueup, tmp_path):
    def settings(n):
        whole = configs.settings(chain.world, chain.anvil.url, store.url)
        one = whole["balances"][0]
        whole["balances"] = [{**one, "name": f"b{i}", "table": f"b{i}_balances", "checkpoint": f"b{i}"}
                             for i in range(n)]
        return whole

    trueup.config = configs.write(tmp_path / "trueup.yaml", settings(256))
    trueup.run("config", "check")
    trueup.config = configs.write(tmp_path / "trueup.yaml", settings(257))
    assert "expected 1 to 256" in trueup.run("config", "check", code=2).stderr


@on_sqlite
def test_another_chain_in_the_same_database(chain, store, trueup, configured):
    """It is refused without the advice to forget the first one."""
    trueup.config = configured()
    chain.anvil.mine(3)
    trueup.run("migrate")
    trueup.run("worker", "follow", "--once")
    store.sql("UPDATE trueup_state SET value = '1' WHERE key = 'chain.id'")
    said = trueup.run("sweep", code=4).stderr  # a command says it at once, a start looks for a minute
    assert "reset-chain" not in said and "another database" in said, said


# ---- numbers that look negative -----------------------------------------------------------------


@on_sqlite
def test_a_value_with_its_top_bit_set_is_no_number(chain, store, trueup, configured):
    minus_five = 2 ** 256 - 5
    chain.world.token.send("silentSetMany", [WALLETS[0]], [minus_five])
    chain.anvil.mine(3)
    for reader in ("override", "create", "single"):
        trueup.env["TRUEUP_CHAIN_ENDPOINTS_0_READER"] = reader
        trueup.config = configured(terms=("held",))
        said = trueup.run("read", WALLETS[0], WALLETS[1], code=1).stdout
        assert "say returns (int256)" in said and f"{WALLETS[1]} 0" in said, said
    view = {"terms": [{"name": "held", "contract": chain.world.token.address,
                       "view": "balanceOf(address) returns (uint256)"}]}
    trueup.config = configured(balance=view)
    assert str(minus_five) in trueup.run("read", WALLETS[0]).stdout
    view["terms"][0]["view"] = "balanceOf(address) returns (int256)"
    trueup.config = configured(balance=view)
    assert str(minus_five) not in trueup.run("read", WALLETS[0], code=1).stdout


# ---- the first user's values --------------------------------------------------------------------


@on_sqlite
def test_the_first_users_values_are_taken_as_their_service_takes_them(chain, store, trueup, tmp_path):
    trueup.folder = tmp_path
    names = {"ethRpcUrl": chain.anvil.url, "writeDbUrl": "postgres://x@127.0.0.1:1/y"}

    def shown(**more):
        trueup.env |= names | more
        done = trueup.run("config", "show")
        for name in more:
            del trueup.env[name]
        return done.stdout, done.stderr

    for given in ("abc", "0", "-3", "1.5", ""):
        out, err = shown(ethStaleRefreshIntervalSecs=given)
        assert "interval: 30s" in out, given
        assert given == "" or (given in err and "default 30 is taken" in err), err
    assert "interval: 1000000s" in shown(ethStaleRefreshIntervalSecs="1000000")[0]
    out, err = shown(ethStaleRefreshBatchSize="0")
    assert "batch: 50" in out and "default 50" in err
    out, err = shown(ethStaleRefreshBatchSize="50 ")
    assert "batch: 50" in out and err == ""
    out, _ = shown(ethAudioContractAddress=chain.world.token.address[2:].lower())
    assert chain.world.token.address.lower() in out.lower()
    out, _ = shown(ethRpcUrl="ws://127.0.0.1:9/")
    assert "url: http://127.0.0.1:9" in out and "ws: ws://127.0.0.1:9" in out
