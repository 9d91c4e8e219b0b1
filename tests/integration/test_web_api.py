"""Every route of the HTTP server, field by field, against a live daemon on both databases; and what it
says when the node, the database or a process is gone."""

import json
import time
from datetime import datetime, timezone

import pytest

from harness import config as configs
from harness.checks import until_at_rest
from harness.config import BALANCE, CHECKPOINT, TABLE
from harness.wait import until
from harness.web import Http, Stream, listening, timed
from harness.world import BURN, wallet

WALLETS = [wallet(i) for i in range(40)]
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def serve(chain, store, trueup, tmp_path):
    """serve(http={…}, …) -> a client of the running daemon."""
    def start(http=None, **changes):
        settings, client = listening(**(http or {}))
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, store.url, http=settings, **changes))
        trueup.start()
        trueup.until(client.answers, "HTTP to answer")
        return client
    return start


@pytest.fixture
def filled(chain, store, trueup, serve, rng):
    client = serve()
    trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    chain.world.mint_all(WALLETS, rng)
    chain.world.traffic(WALLETS, WALLETS[:3], rng, 60)
    until_at_rest(trueup, store, chain.anvil, wallets=WALLETS)
    return client


def as_time(text):
    found = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    assert abs(time.time() - found.timestamp()) < 120
    return found


def test_health_in_good_times(chain, store, filled):
    """Row of the first user: /eth/health, red when no event came for so long."""
    head = chain.anvil.rpc.number()
    until(lambda: filled.get("/eth/health")[1]["data"]["checkpoint_block"] == store.checkpoint(CHECKPOINT),
          "the checkpoint to be told", 5)
    status, headers, text = filled.ask("/eth/health?max_event_lag_secs=600")
    assert status == 200 and headers["content-type"] == "application/json"
    data = json.loads(text)
    assert list(data) == ["data"]
    assert list(data["data"]) == ["connected", "rpc_configured", "last_block_seen",
                                  "checkpoint_block", "last_event_at"]
    assert data["data"]["connected"] is True and data["data"]["rpc_configured"] is True
    # The newest block an event was seen in, whatever was mined behind it.
    assert 0 < data["data"]["last_block_seen"] <= head
    assert data["data"]["last_block_seen"] == max(r.blocknumber or 0 for r in store.rows(TABLE).values())
    assert data["data"]["checkpoint_block"] == store.checkpoint(CHECKPOINT)
    as_time(data["data"]["last_event_at"])
    for path in ("/livez", "/readyz"):
        assert filled.ask(path)[::2] == (200, "ok\n")
    until(lambda: filled.ask("/freshz")[::2] == (200, "ok\n"), "every row to be seen anchored", 20)
    # A lag that is too long; absent, empty and 0 are 600, a negative number turns the check off.
    until(lambda: filled.ask("/eth/health?max_event_lag_secs=1")[0] == 500, "a lag of more than a second", 20)
    status, _, text = filled.ask("/eth/health?max_event_lag_secs=1")
    assert status == 500 and list(json.loads(text)) == ["data"]
    assert json.loads(text)["data"]["errors"][0].startswith("no event for ")
    assert json.loads(text)["data"]["connected"] is True
    for lag in ("?max_event_lag_secs=0", "?max_event_lag_secs=", "?max_event_lag_secs=-1", "", "/"):
        assert filled.ask(f"/eth/health{lag}")[0] == 200, lag
    assert filled.get("/eth/health?max_event_lag_secs=soon")[0] == 400


@on_sqlite
def test_health_before_the_first_event(chain, store, trueup, serve):
    """The lag is that of events, so it starts with the first; and polling counts as connected."""
    chain.anvil.mine(5)  # the start is behind every event of the world's making
    client = serve()
    trueup.until(lambda: client.ask("/readyz")[0] == 200, "ready")
    time.sleep(1.2)
    status, found = client.get("/eth/health?max_event_lag_secs=1")
    assert status == 200 and list(found) == ["data"]
    assert found["data"]["last_event_at"] is None and found["data"]["connected"] is True
    assert found["data"]["last_block_seen"] == 0
    assert client.status()["chain"]["mode"] == "polling"


def test_rows_one_by_one_and_many(chain, store, filled):
    rows = store.rows(TABLE)
    row = rows[WALLETS[0]]
    status, found = filled.get(f"/v1/balances/{BALANCE}/{WALLETS[0]}")
    assert status == 200
    assert list(found) == ["wallet", "balance", "observed_block", "blocknumber", "updated_at"]
    assert found["wallet"] == WALLETS[0] and found["balance"] == str(row.balance)
    assert found["blocknumber"] == row.blocknumber
    assert found["observed_block"] >= row.observed_block
    as_time(found["updated_at"])
    assert filled.get(f"/v1/balances/{BALANCE}/{wallet(999)}") == (
        404, {"error": "this wallet has no row"})
    for path, code in ((f"/v1/balances/{BALANCE}/0x12", 400), ("/v1/balances/nope/0x12", 404),
                       ("/v1/balances/", 404), ("/v1/nothing", 404),
                       (f"/v1/balances/{BALANCE}?order=age", 400),
                       (f"/v1/balances/{BALANCE}?limit=1001", 400), ("/v1/drift?limit=0", 400)):
        status, found = filled.get(path)
        assert status == code and found["error"], path

    status, found = filled.post(f"/v1/balances/{BALANCE}", {"wallets": WALLETS[:5] + [wallet(999)]})
    assert status == 200 and found["missing"] == [wallet(999)]
    assert {r["wallet"]: int(r["balance"]) for r in found["balances"]} == {
        w: rows[w].balance for w in WALLETS[:5]}
    for body in ({"wallets": [wallet(i) for i in range(1001)]}, {"wallets": ["0x1"]}, {"wallets": 1},
                 {"wallets": [5]}, []):
        status, found = filled.post(f"/v1/balances/{BALANCE}", body)
        assert status == 400 and found["error"], body
    assert filled.ask("/livez", method="POST", body="{}")[0] == 405

    status, top = filled.get(f"/v1/balances/{BALANCE}?order=balance&limit=7")
    assert status == 200 and list(top) == ["as_of", "balances"]
    as_time(top["as_of"])
    wanted = sorted((r.balance for r in store.rows(TABLE).values()), reverse=True)[:7]
    assert [int(r["balance"]) for r in top["balances"]] == wanted
    assert filled.get("/v1/drift") == (200, {"drift": []})
    # History, for the page.
    _, found = filled.get(f"/v1/balances/{BALANCE}/{WALLETS[0]}?history=5")
    assert found["quarantine"] is None
    assert found["history"][0]["new"] == found["balance"]
    assert found["history"][-1]["old"] is None


def test_drift_records_are_told(store, filled):
    store.script(f"INSERT INTO trueup_drift (balance, wallet, stored, actual, block, cause, endpoint, age) "
                 f"VALUES ('{BALANCE}', '{WALLETS[1]}', '5', '7', 12, 'silent', 'local', 60)")
    status, found = filled.get("/v1/drift?limit=1")
    record = found["drift"][0]
    assert status == 200 and as_time(record.pop("found_at")) and record.pop("id")
    assert record == {"balance": BALANCE, "wallet": WALLETS[1], "stored": "5", "actual": "7",
                      "block": 12, "cause": "silent", "endpoint": "local", "age": 60}
    key = f'trueup_drift_rows_total{{balance="{BALANCE}",cause="silent"}}'
    until(lambda: filled.metrics().get(key) == 1, "the metric", 20)


def test_changes_arrive_as_they_happen_and_resume_without_a_gap(chain, store, trueup, filled, rng):
    stream = Stream(filled.port)
    assert stream.head[0] == "HTTP/1.1 200 OK" and "content-type: text/event-stream" in stream.head
    before = store.one("SELECT max(id) FROM trueup_changes")
    chain.world.token.send("mint", WALLETS[3], 12345)
    trueup.until(lambda: any(e["wallet"] == WALLETS[3] for e in stream.events), "the event", 10)
    stream.close()
    event = next(e for e in stream.events if e["wallet"] == WALLETS[3])
    assert list(event) == ["id", "balance", "wallet", "old", "new", "block", "cause", "at"]
    assert int(event["new"]) - int(event["old"]) == 12345
    assert event["balance"] == BALANCE and event["cause"] == "event" and event["id"] > before
    as_time(event["at"])
    # While nobody listened.
    for i in range(5):
        chain.world.token.send("mint", WALLETS[10 + i], 1 + i)
    synced = chain.anvil.rpc.number()
    trueup.until(lambda: store.synced(BALANCE) >= synced, "the changes to be synced")
    wanted = [r[0] for r in store.sql("SELECT id FROM trueup_changes WHERE id > ? ORDER BY id", before)]
    stream = Stream(filled.port, last=before)
    trueup.until(lambda: len(stream.events) >= len(wanted), "all that was missed", 10)
    assert [e["id"] for e in stream.events][:len(wanted)] == wanted
    stream.close()
    assert filled.ask("/v1/changes", headers={"Last-Event-ID": "x"})[0] == 400


def test_status_and_metrics_say_the_same(chain, store, trueup, filled):
    head = chain.anvil.rpc.number()
    rows = store.rows(TABLE)
    status = trueup.until(lambda: (s := filled.status())["verdict"]["state"] == "green" and
                          s["balances"][0]["rows"] == len(rows) and s, "green, with all rows counted", 20)
    assert status["verdict"]["reasons"] == []
    assert status["chain"]["head"] == status["chain"]["synced"] == head
    assert status["chain"]["id"] == 31337 and status["chain"]["connected"] is True
    balance, = status["balances"]
    assert balance["unanchored"] == 0
    assert sum(n for _, n in balance["ages"]) == len(rows)
    assert status["refreshed"]["event"] >= len(WALLETS)
    endpoint, = status["endpoints"]
    assert endpoint["name"] == "local" and endpoint["up"] and endpoint["requests"] > 0
    assert {w["name"] for w in status["workers"]} == {"follow", "sweep", "web"}
    assert all(w["running"] and w["restarts"] == 0 for w in status["workers"])
    metrics = filled.metrics()
    assert metrics["trueup_head_block"] == metrics["trueup_synced_block"] == head
    assert metrics[f'trueup_rows{{balance="{BALANCE}"}}'] == len(rows)
    labels = f'{{balance="{BALANCE}"}}'
    for new, old in (("synced_block", "covered_block"), ("finalized_block", "settled_block"),
                     (f"unanchored_rows{labels}", f"unproven_rows{labels}")):
        assert metrics[f"trueup_{new}"] == metrics[f"trueup_{old}"], "the name of the last edition"
    assert metrics[f'trueup_checkpoint_block{{balance="{BALANCE}"}}'] == store.checkpoint(CHECKPOINT)
    assert metrics['trueup_endpoint_up{endpoint="local"}'] == 1
    assert metrics['trueup_rpc_requests_total{endpoint="local",method="eth_call",outcome="ok"}'] > 0
    assert metrics['trueup_rpc_cost_total{endpoint="local"}'] > 0
    # A node whose state is put back between tests mines in the past: not this block.
    chain.rpc.call("evm_setNextBlockTimestamp", int(time.time()))
    before, name = filled.metrics(), "trueup_event_to_row_seconds_"
    chain.world.token.send("mint", WALLETS[0], 5)
    trueup.until(lambda: filled.metrics()[name + "count"] > before[name + "count"], "a live event")
    assert filled.metrics()[name + "sum"] - before[name + "sum"] < 30
    trueup.kill("follow")
    trueup.until(lambda: filled.metrics()['trueup_worker_restarts_total{worker="follow",reason="signal"}'] == 1,
                 "the death to be counted")
    trueup.until(lambda: filled.status()["workers"][0]["running"], "its restart")
    dead = filled.status()["workers"][0]
    assert dead["died_of"] == "signal 9 (Killed)" and dead["restarts"] == 1
    assert filled.metrics()["trueup_rpc_cost_total{endpoint=\"local\"}"] >= \
        metrics["trueup_rpc_cost_total{endpoint=\"local\"}"], "counters outlive a worker"


@on_sqlite
def test_a_node_that_stops_turns_it_red_and_back(chain, store, trueup, filled):
    chain.anvil.pause()
    try:
        trueup.until(lambda: filled.status()["verdict"]["state"] == "red", "red", 30)
        status, found = filled.get("/eth/health")
        assert status == 500 and list(found) == ["data"]
        assert found["data"]["errors"][0].startswith("no endpoint has answered for ")
        assert found["data"]["connected"] is False
        code, _, text = filled.ask("/readyz")
        assert code == 503 and text.startswith("no endpoint has answered for ")
        assert filled.ask("/livez")[0] == 200
        assert filled.metrics()["trueup_connected"] == 0
        assert filled.metrics()['trueup_endpoint_up{endpoint="local"}'] == 0
    finally:
        chain.anvil.resume()
    trueup.until(lambda: filled.ask("/readyz")[0] == 200, "ready again", 30)
    trueup.until(lambda: filled.status()["verdict"]["state"] == "green", "green again", 30)


@on_sqlite
def test_wallets_that_cannot_be_read_are_excused(chain, store, trueup, filled):
    chain.world.mood(WALLETS[:2], BURN)
    chain.anvil.mine(4)  # the sweep reads at what is finalized
    trueup.until(lambda: len(store.quarantined(BALANCE)) == 2, "quarantine", 40)
    key = f'trueup_quarantined_rows{{balance="{BALANCE}"}}'
    trueup.until(lambda: filled.metrics()[key] == 2, "the metric", 20)
    # E2: the colour, the sentence, and the mark on the row; every other row is fresh.
    rows = len(store.rows(TABLE))
    words = f"{BALANCE}: {rows - 2} of {rows} rows are right; 2 wallets cannot be read and keep their last value"
    trueup.until(lambda: filled.ask("/freshz")[::2] == (200, f"ok\n{words}\n"), "the words", 20)
    verdict = filled.status()["verdict"]
    assert verdict["state"] == "amber" and {"state": "amber", "text": words} in verdict["reasons"]
    assert "equals the chain" not in verdict["text"]
    assert words in trueup.run("status", code=6).stdout
    _, found = filled.get(f"/v1/balances/{BALANCE}/{WALLETS[0]}?history=1")
    assert found["quarantine"]["reason"].startswith("held: ")


def test_a_connection_that_was_cut_costs_nobody_an_answer(postgres, chain, trueup, tmp_path):
    """The database was restarted, or a pooler cut what stood idle: whoever asks next used to be told that
    it does not answer."""
    settings, client = listening()
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, postgres.url, http=settings))
    trueup.start()
    trueup.until(lambda: client.answers() and client.ask("/readyz")[0] == 200, "ready")
    for path in (f"/v1/balances/{BALANCE}/{WALLETS[0]}", "/v1/drift", f"/v1/balances/{BALANCE}"):
        for _ in range(3):
            until(lambda: client.ask("/v1/drift")[0] == 200, "a connection", 10)
            cut = postgres.sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE "
                               "application_name = 'trueup web'")
            assert cut == [(True,)]
            status, _, text = client.ask(path)
            assert status in (200, 404), (path, text)


@pytest.mark.alone
def test_a_database_that_hangs_delays_nobody(postgres, chain, trueup, tmp_path):
    settings, client = listening()
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, postgres.url, http=settings))
    trueup.start()
    trueup.until(lambda: client.answers() and client.ask("/readyz")[0] == 200, "ready")
    holder = postgres.driver.connect(postgres.url)
    try:
        cursor = holder.cursor()
        cursor.execute(f"LOCK TABLE trueup_state, {TABLE} IN ACCESS EXCLUSIVE MODE")
        (status, found), took = timed(lambda: client.get(f"/v1/balances/{BALANCE}/{WALLETS[0]}"))
        assert status == 503 and 4 < took < 9, "the deadline of a request"
        for path in ("/livez", "/metrics", "/v1/status", "/"):
            (status, *_), took = timed(lambda: client.ask(path))
            assert status == 200 and took < 0.5, path
        until(lambda: client.ask("/readyz")[::2][0] == 503, "not ready", 10)
        assert "the database has not answered for " in client.ask("/readyz")[2]
        assert client.metrics()["trueup_store_up"] == 0
        status, found = client.get("/eth/health")
        assert status == 500 and list(found) == ["error"]
        assert trueup.stop(seconds=2.0) == 0, "and it stops in time, with SQL hanging"
    finally:
        holder.close()


@on_sqlite
def test_the_token_guards_all_but_the_page_and_the_probes(chain, trueup, serve):
    client = serve(http={"token": "s3cret-token"})
    stranger = Http(client.port)
    for path in ("/", "/page.css", "/page.js", "/livez"):
        assert stranger.ask(path)[0] == 200, path
    assert stranger.ask("/eth/health")[0] in (200, 500)
    for path in ("/freshz", "/metrics", "/v1/status", "/v1/drift", "/v1/changes",
                 f"/v1/balances/{BALANCE}", "/v1/nothing"):
        status, headers, _ = stranger.ask(path)
        assert status == 401 and headers["www-authenticate"] == "Bearer", path
        for wrong in ("s3cret-toke", "s3cret-tokenx", "x", ""):
            assert stranger.ask(path, headers={"Authorization": f"Bearer {wrong}"})[0] == 401
    assert client.ask("/metrics")[0] == 200 and client.ask("/v1/status")[0] == 200
    assert "s3cret" not in trueup.output()


@on_sqlite
def test_protect_health_guards_the_probes_too(serve):
    settings, client = listening(token="s3cret-token", protect_health=True)
    settings.pop("listen")
    client = serve(http=settings)
    for path in ("/livez", "/readyz", "/eth/health"):
        assert Http(client.port).ask(path)[0] == 401
        assert client.ask(path)[0] in (200, 500, 503)


@on_sqlite
def test_ipv6_and_a_warning_when_open(chain, store, trueup, tmp_path):
    settings, client = listening()
    settings["listen"] = f"[::]:{client.port}"
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, store.url, http=settings))
    trueup.start()
    trueup.until(client.answers, "IPv4")
    assert Http(client.port, host="::1").ask("/livez")[0] == 200
    trueup.until_log("HTTP is open to other machines without a token")


def test_without_an_endpoint_it_stays_up_and_says_why(chain, postgres, trueup):
    """Row of the first user: a missing URL leaves /eth/health up, and the error says so."""
    client = listening()[1]
    trueup.env.update({"ethAudioContractAddress": chain.world.token.address,
                       "ethStakingContractAddress": chain.world.staking.address,
                       "ethDelegateManagerContractAddress": chain.world.delegation.address,
                       "writeDbUrl": postgres.url, "TRUEUP_HTTP_LISTEN": f"127.0.0.1:{client.port}"})
    trueup.start()
    trueup.until(client.answers, "HTTP")
    status, found = client.get("/eth/health")
    assert status == 500 and found["data"]["rpc_configured"] is False
    assert found["data"]["connected"] is False
    assert found["data"]["errors"] == ["no endpoint is configured: nothing is followed"]
