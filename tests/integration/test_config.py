"""`trueup config check|show|init` as a user runs it: exit status, exact words, no node, no store."""

import re
import shutil
from pathlib import Path

import pytest

CONF = Path(__file__).resolve().parents[1] / "conf"
ROOT = CONF.parents[1]
BROKEN = sorted((CONF / "broken").glob("*.yaml"))
AUDIO = "0x18aAA7115705e8be94bfFEBDE57Af9BFc265B998"
SECRET = "s3cretvalue"


def config(trueup, *arguments, code=0, env=None):
    trueup.env.update(env or {})
    return trueup.run("config", *arguments, code=code)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda p: p.stem)
def test_each_broken_file_is_refused_in_the_expected_words(broken, trueup, tmp_path):
    shutil.copy(broken, tmp_path / broken.name)
    done = config(trueup, "check", "-c", broken.name, code=2, env={"TEST_SECRET": SECRET})
    assert done.stderr == broken.with_suffix(".expected").read_text()
    assert done.stdout == ""


def test_a_good_file_is_ok(trueup, tmp_path):
    shutil.copy(CONF / "good" / "full.yaml", tmp_path)
    done = config(trueup, "check", "-c", "full.yaml", env={"TEST_SECRET": SECRET})
    assert done.stdout == "full.yaml: ok\n"
    shutil.copy(CONF / "good" / "least.yaml", tmp_path / "trueup.yaml")
    assert config(trueup, "check").stdout == "trueup.yaml: ok\n"


def test_show_says_values_and_origins_and_no_secret(trueup, tmp_path):
    shutil.copy(CONF / "good" / "full.yaml", tmp_path)
    shown = config(trueup, "show", "-c", "full.yaml", "--log-level", "warn",
                   env={"TEST_SECRET": SECRET, "TRUEUP_SWEEP_BATCH": "77"}).stdout
    assert SECRET not in shown and "password" not in shown
    assert "url: 'https://node.example/…'  # full.yaml:6\n" in shown
    assert "batch: 77  # environment TRUEUP_SWEEP_BATCH\n" in shown
    assert "level: warn  # --log-level\n" in shown
    assert "gas: 2000000  # default\n" in shown


def test_init_writes_a_file_that_checks_and_overwrites_nothing(trueup, tmp_path):
    config(trueup, "init")
    starter = (tmp_path / "trueup.yaml").read_text()
    done = config(trueup, "init", code=2)
    assert done.stderr.splitlines()[0] == "trueup: trueup.yaml is there already"
    assert done.stderr.splitlines()[1].startswith("hint: ")
    assert (tmp_path / "trueup.yaml").read_text() == starter
    assert config(trueup, "init", "-").stdout == starter
    assert config(trueup, "init", "--stdout").stdout == starter
    assert "variable is not set \"${RPC_URL}\"" in config(trueup, "check", code=2).stderr
    config(trueup, "check", env={"RPC_URL": "http://localhost:1", "TOKEN_ADDRESS": AUDIO})


def test_without_anything_it_says_what_to_give(trueup):
    done = config(trueup, "check", code=2)
    assert done.stderr.startswith("no configuration: neither ./trueup.yaml nor ")
    assert done.stderr.splitlines()[1].startswith("hint: ")
    assert config(trueup, "check", "--rpc", "http://localhost:1", "--token",
                  AUDIO).stdout == "no file: ok\n"


def test_the_first_users_names_alone_are_the_whole_deployment(trueup):
    names = {"ethRpcUrl": "https://node.example/v2/key", "writeDbUrl": "postgres://db/app",
             "ethStaleRefreshIntervalSecs": "31"}
    alone = config(trueup, "show", env=names).stdout
    by_file = config(trueup, "show", "-c", str(ROOT / "etc" / "audius.yaml")).stdout
    values = [re.sub(r"  # .*", "", text) for text in (alone, by_file)]
    assert values[0] == values[1]
    assert "interval: 31s" in alone and "table: eth_wallet_balances" in alone


def test_a_wrong_action_is_refused(trueup):
    assert "unknown action \"verify\"" in config(trueup, "verify", code=2).stderr
    assert "unexpected argument \"x\"" in config(trueup, "check", "x", code=2).stderr
