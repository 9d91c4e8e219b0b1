"""A daemon that stands by answers as the one that writes would, and is red for itself only if it could not
take over."""

import contextlib
import os
import signal

import pytest

from harness import config as configs
from harness.config import CHECKPOINT
from harness.daemon import session_members
from harness.provider import provider  # noqa: F401
from harness.web import Stream, listening
from harness.world import wallet

FAILS = "looking for events fails"
ALONE = "could not take over"


@pytest.fixture
def serving(chain, postgres):
    def start(daemon, node_url, **changes):
        http, client = listening()
        daemon.config = configs.write(daemon.folder / "trueup.yaml", configs.settings(
            chain.world, node_url, postgres.url, http=http,
            **{"chain": {"freshness": "500ms"}, **changes}))
        daemon.start()
        daemon.until(client.answers, "HTTP to answer")
        return client
    return start


def role(client):
    """By the status and the metrics, which must agree."""
    said, metrics = client.status()["role"], client.metrics()
    assert sum(metrics[f'trueup_role{{role="{r}"}}'] for r in ("writer", "standby")) == 1
    return said


def agree(client):
    """One light: None while a state passes."""
    ready, fresh, status, metrics = (client.ask("/readyz"), client.ask("/freshz"), client.status(),
                                     client.metrics())
    colour = status["verdict"]["state"]
    one = (ready[0] == 200) == bool(metrics["trueup_ready"]) and (
        fresh[0] == 200) == bool(metrics["trueup_fresh"]) and metrics[f'trueup_light{{colour="{colour}"}}']
    return (colour, ready[2]) if one and (colour != "green" or ready[0] == fresh[0] == 200) else None


def colour(client):
    """Of the one light: None while a state passes."""
    found = agree(client)
    return found and found[0]


def ready(client):
    return client.ask("/readyz")[0] == 200


def signal_all(daemon, sig):
    for pid in session_members(daemon.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sig)


def test_a_standby_shows_the_writers_facts_and_takes_over(chain, postgres, trueup, second, serving,
                                                           provider):  # noqa: F811
    chain.anvil.mine(3)
    one = serving(trueup, provider.url)
    trueup.until(lambda: postgres.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
    chain.world.token.send("mint", wallet(1), 5)
    two = serving(second, chain.anvil.url)
    second.until(lambda: role(two) == "standby" and ready(two) and ready(one), "both to be ready", 40)
    assert role(one) == "writer"
    assert "this daemon stands by: another daemon writes" in two.status()["verdict"]["notes"]
    second.until(lambda: two.metrics()["trueup_head_block"] == chain.rpc.number(), "the writer's head", 20)
    a, b = (c.get("/eth/health")[1]["data"] for c in (one, two))
    assert a["last_block_seen"] == b["last_block_seen"] > 0 and b["last_event_at"] and "errors" not in b
    # What fails in the writer is the standby's reason, too: its own node answers.
    provider.rules({"fault": "error-500", "method": "eth_getLogs"})

    def red():
        chain.anvil.mine(1)
        found = agree(two)
        return found and found[0] == "red" and FAILS in found[1]
    second.until(red, "the standby to be red", 40)
    assert two.metrics()["trueup_connected"] == 1 and two.get("/eth/health")[0] == 500
    provider.rules()
    second.until(lambda: colour(two) == "green", "green again", 40)
    feed = Stream(two.port)
    second.until(lambda: feed.notices, "the feed")
    # From here on every answer is looked at: a takeover is no reason for another red than the writer's silence.
    answers = []

    def wrote():
        answers.append(two.ask("/readyz"))
        return role(two) == "writer" and answers[-1][0] == 200
    trueup.kill()
    second.until(wrote, "the other one to write", 30)
    second.until(lambda: colour(two) == "green", "green", 30)
    assert not [text for _, _, text in answers if "no endpoint" in text or FAILS in text], answers
    assert two.status()["verdict"]["notes"] == []
    second.until(lambda: [n for n, _ in feed.notices].count("epoch") == 2, "the feed's client to be told")
    feed.close()
    assert second.stop() == 0


def test_a_standby_that_could_not_take_over_is_red(chain, postgres, trueup, second, serving,
                                                   provider):  # noqa: F811
    chain.anvil.mine(3)
    one = serving(trueup, chain.anvil.url)
    trueup.until(lambda: ready(one), "the writer to be ready", 30)
    two = serving(second, provider.url)
    second.until(lambda: role(two) == "standby" and ready(two), "the standby to be ready", 40)
    provider.kill()
    second.until(lambda: ALONE in two.ask("/readyz")[2] and agree(two), "the standby to be red", 60)
    assert ready(one)


def test_a_stopped_writer_is_told_and_told_again_what_it_is(chain, postgres, trueup, second, serving):
    """SIGSTOP, a takeover, SIGCONT: the old writer says that it stands by, and its lights are the new one's."""
    chain.anvil.mine(3)
    one = serving(trueup, chain.anvil.url)
    trueup.until(lambda: ready(one), "the writer to be ready", 30)
    two = serving(second, chain.anvil.url)
    second.until(lambda: role(two) == "standby", "the standby")
    signal_all(trueup, signal.SIGSTOP)
    second.until(lambda: role(two) == "writer" and ready(two), "the takeover", 30)
    signal_all(trueup, signal.SIGCONT)
    trueup.until(lambda: role(one) == "standby" and ready(one), "the old writer to stand by", 30)


def test_other_terms_are_told(chain, postgres, trueup, second, serving):
    chain.anvil.mine(3)
    one = serving(trueup, chain.anvil.url, terms=("held",))
    trueup.until(lambda: ready(one), "the writer to be ready", 30)
    two = serving(second, chain.anvil.url)
    words = "this daemon stands by: will take over with other terms: audio"
    second.until(lambda: words in two.status()["verdict"]["notes"] and ready(two), "the words", 30)
