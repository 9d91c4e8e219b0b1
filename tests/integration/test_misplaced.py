"""A gateway that gives a request the answer of another one: right id, right form, sometimes even the same
wallets at another block. No row may be wrong by it, no wallet quarantined, and what is discarded is
counted."""

import json

import pytest

from harness import config as configs
from harness.node import free_port
from harness.config import BALANCE, TABLE
from harness.provider import provider  # noqa: F401
from harness.truth import Truth
from harness.web import Http
from harness.world import wallet

WALLETS = [wallet(i) for i in range(40)]
READERS = ("override", "create", "multicall3", "single")


def configured(provider, store, world, tmp_path, reader, **changes):  # noqa: F811
    port = free_port()
    settings = configs.settings(
        world, provider.url, store.url, wallets="listed", http={"listen": f"127.0.0.1:{port}"},
        **{"sweep": {"interval": "100ms", "batch": 10}, **changes})
    for endpoint in settings["chain"]["endpoints"]:
        endpoint.update(reader=reader)
    return configs.write(tmp_path / "trueup.yaml", settings), Http(port)


def wrong_rows(chain, store, table=TABLE, truth=None):
    rows = [r for r in store.rows(table).values() if r.observed_block is not None]
    values = (truth or chain.truth).sums([(r.wallet, r.observed_block) for r in rows])
    return [(r, v) for r, v in zip(rows, values) if r.balance != v]


def wrong_changes(chain, store):
    found = store.sql("SELECT wallet, new, block FROM trueup_changes WHERE block IS NOT NULL")
    values = chain.truth.sums([(w, b) for w, _, b in found])
    return [(row, v) for row, v in zip(found, values) if int(row[1]) != v]


def misplaced(http):
    return sum(v for k, v in http.metrics().items() if k.startswith("trueup_answers_misplaced_total"))


def swapped(provider):  # noqa: F811
    return provider.order()["swapped"]


def placed(trueup, store):
    trueup.run("migrate")
    store.many(f"INSERT INTO {TABLE} (wallet, balance, updated_at) VALUES (?, ?, ?)",
               [(w, "99", "1970-01-01 00:00:00.000000") for w in WALLETS])


def right(chain, store):
    truth = chain.truth.read(WALLETS)
    rows = store.rows(TABLE)
    return all(w in rows and rows[w].balance == v for w, v in truth.items())


@pytest.mark.parametrize("how", ["before", "partner"])
@pytest.mark.parametrize("reader", READERS)
def test_no_answer_of_another_request_becomes_a_row(chain, store, trueup, provider, tmp_path, reader,  # noqa: F811
                                                    how, rng):
    """40 rows in batches of 10, of the sweep and of events, while half of the calls are answered with
    what another call was answered. A plain view is asked three times, so fewer are exchanged there."""
    chance = 0.1 if reader == "single" else 0.5
    chain.world.mint_all(WALLETS, rng)
    chain.anvil.mine(4)
    trueup.config, http = configured(provider, store, chain.world, tmp_path, reader)
    placed(trueup, store)
    trueup.start()
    trueup.until(lambda: right(chain, store), "the first rows", 30)
    provider.rules({"fault": "swap", "method": "eth_call",
                    "args": {"with": how, "chance": chance, "wait": 0.3}})

    def exchanged(more):
        chain.world.traffic(WALLETS, WALLETS[:3], rng, 10)
        chain.world.silent(WALLETS[:10], rng)
        chain.anvil.mine(1)
        assert wrong_rows(chain, store) == []
        return swapped(provider) > more

    trueup.until(lambda: exchanged(10), "answers to be exchanged", 40)
    provider.rules()
    chain.anvil.mine(4)  # the sweep reads a little below the head
    trueup.until(lambda: right(chain, store), "all rows in spite of it", 60)
    assert wrong_rows(chain, store) == [] and wrong_changes(chain, store) == []
    assert store.quarantined(BALANCE) == set()
    assert misplaced(http) > 0
    assert trueup.output().count("answer of another request discarded") <= 2, "once a process"


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
@pytest.mark.parametrize("reader", ("override", "create", "multicall3"))
def test_a_start_among_exchanged_answers(chain, store, trueup, provider, tmp_path, reader, rng):  # noqa: F811
    """The probes' answers, too, are their own or are asked for again."""
    chain.world.mint_all(WALLETS, rng)
    chain.anvil.mine(4)
    provider.rules({"fault": "swap", "method": "eth_call", "args": {"chance": 0.3}})
    trueup.config, _ = configured(provider, store, chain.world, tmp_path, reader)
    placed(trueup, store)
    trueup.start()
    trueup.until(lambda: right(chain, store), "the rows", 60)
    assert wrong_rows(chain, store) == [] and wrong_changes(chain, store) == []
    assert store.quarantined(BALANCE) == set()


IDENTITY = "0x" + "00" * 19 + "04"


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
@pytest.mark.parametrize("wrong", [
    None,
    {"match": WALLETS[0][2:], "times": 1},  # the first of two views
    {"match": WALLETS[0][2:], "skip": 1, "times": 1},  # the second
    {"match": IDENTITY, "skip": 2, "times": 1},  # the echo, but those of ArbSys and of the probe
])
def test_single_asks_twice_with_an_echo_between(chain, store, trueup, provider, tmp_path, wrong, rng):  # noqa: F811
    chain.world.mint_all(WALLETS[:1], rng)
    chain.anvil.mine(4)
    trueup.config, _ = configured(provider, store, chain.world, tmp_path, "single",
                                  terms=("held",))
    if wrong:
        provider.rules({"fault": "result", "method": "eth_call",
                        "args": {"result": "0x" + "00" * 31 + "07"}, **wrong})
    done = trueup.run("read", "--json", WALLETS[0])
    assert int(json.loads(done.stdout)["value"]) == Truth(chain.world, ["held"]).read(WALLETS[:1])[WALLETS[0]]
    calls = [r for r in provider.log() if r["method"] == "eth_call" and "data" in r["params"][0]]
    first = next(r for r in calls if WALLETS[0][2:] in r["params"][0]["data"])
    asked = [(r["params"][0]["to"], r["params"][0]["data"], r["connection"]) for r in calls
             if r["params"][1] in (first["params"][1], "latest")]  # not at made-up blocks
    views = [i for i, (_, data, _) in enumerate(asked) if WALLETS[0][2:] in data]
    last = asked[views[-2]:views[-1] + 1]
    assert [to for to, _, _ in last] == [last[0][0], IDENTITY, last[0][0]], asked
    assert len({connection for _, _, connection in last}) == 1, "on one connection"
    echoes = [data for to, data, _ in asked if to == IDENTITY]
    assert len(echoes) == len(set(echoes)), "a nonce each"
    assert len(views) == (2 if wrong is None else 3 if wrong["match"] == IDENTITY else 4)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
@pytest.mark.parametrize("reader", ("multicall3", "single"))
def test_without_the_identity_precompile(chain, store, trueup, provider, tmp_path, reader, rng):  # noqa: F811
    """Nothing could bring a nonce back: the reader is refused, with the reason."""
    chain.world.mint_all(WALLETS[:3], rng)
    chain.anvil.mine(4)
    provider.rules({"fault": "result", "method": "eth_call", "match": "0x" + "00" * 19 + "04",
                    "args": {"result": "0x"}})
    trueup.config, _ = configured(provider, store, chain.world, tmp_path, reader)
    done = trueup.run("read", WALLETS[0], code=None)
    assert done.returncode != 0
    assert f"{reader}: precompile 0x04 (identity) does not answer" in done.stderr, done.stderr


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_an_endpoint_that_gives_nothing_else_is_left_alone(chain, store, trueup, provider, tmp_path,  # noqa: F811
                                                           rng):
    """Its circuit opens; the other endpoint answers."""
    chain.world.mint_all(WALLETS, rng)
    chain.anvil.mine(4)
    trueup.config, http = configured(
        provider, store, chain.world, tmp_path, "override", chain={"endpoints": [
            {"name": "mixed", "url": provider.url, "ws": "off"},
            {"name": "other", "url": provider.base + "/other", "ws": "off"}]})
    placed(trueup, store)
    trueup.start()
    trueup.until(lambda: right(chain, store), "the first rows", 30)
    provider.rules({"fault": "swap", "method": "eth_call", "path": "/v2", "args": {"chance": 1}})
    trueup.until(lambda: "endpoint circuit opened" in trueup.output(), "the circuit to open", 30)
    chain.world.silent(WALLETS[:10], rng)
    chain.anvil.mine(4)
    trueup.until(lambda: right(chain, store), "the rows by the other", 30)
    assert wrong_rows(chain, store) == [] and store.quarantined(BALANCE) == set()
    assert http.metrics()['trueup_answers_misplaced_total{endpoint="mixed"}'] >= 6
