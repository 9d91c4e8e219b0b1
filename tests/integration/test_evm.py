"""The interpreter of views against the node: the same programs and views, and no difference. A hundred thousand
by night; by hand: tests/evm/differential.py."""

import os
import random
import sys
from pathlib import Path

import pytest
from harness.daemon import binary

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "evm"))

import differential  # noqa: E402


def compared(folder, programs, views):
    os.environ.setdefault("TRUEUP_EVMTOOL", str(Path(binary()).resolve().parents[1] / "tests/tools/evmtool"))
    seed = int(os.environ.get("TRUEUP_SEED") or random.SystemRandom().getrandbits(32))
    print(f"TRUEUP_SEED={seed}")
    report = differential.compare(folder, programs, views, seed)
    assert report.different == []
    assert report.equal > (programs + views) * 0.7, report.reasons


def test_programs_and_views_end_as_on_the_node(tmp_path):
    compared(tmp_path, 400, 300)


@pytest.mark.night
def test_a_hundred_thousand_end_as_on_the_node(tmp_path):
    compared(tmp_path, 50_000, 50_000)
