"""What is written about metrics, alerts and logs is what the program says."""

import json
import re
from pathlib import Path

import pytest

from harness.daemon import ROOT

PROMISED = """trueup_head_block trueup_synced_block trueup_finalized_block trueup_checkpoint_block trueup_rows
trueup_unanchored_rows trueup_oldest_row_age_seconds trueup_row_age_seconds trueup_refreshed_rows_total
trueup_drift_rows_total trueup_quarantined_rows trueup_event_to_row_seconds trueup_reorgs_total
trueup_missed_logs_total trueup_answers_misplaced_total trueup_rpc_requests_total
trueup_rpc_bytes_total trueup_rpc_cost_total
trueup_endpoint_up trueup_worker_restarts_total trueup_sweep_ticks_total trueup_build_info""".split()


def defined(text):
    return set(re.findall(r"^\| `(trueup_\w+)` \|", text, re.MULTILINE))


def test_the_reference_of_metrics_is_the_programs(trueup):
    written = (ROOT / "docs/metrics.md").read_text()
    assert written == trueup.run("reference", "metrics").stdout, (
        "run: trueup reference metrics > docs/metrics.md")
    assert [m for m in PROMISED if m not in defined(written)] == []


@pytest.mark.parametrize("file", ["contrib/prometheus/alerts.yml", "contrib/prometheus/alerts.test.yml",
                                  "contrib/grafana/trueup.json"])
def test_alerts_and_dashboard_use_metrics_that_exist(file):
    text = (ROOT / file).read_text()
    if file.endswith(".json"):
        json.loads(text)
    used = {re.sub(r"_(bucket|sum|count)$", "", m) for m in re.findall(r"\btrueup_[a-z_]+\b", text)}
    assert used and used <= defined((ROOT / "docs/metrics.md").read_text())


def test_logged_messages_are_those_of_the_reference():
    source = "".join(p.read_text() for p in Path(ROOT / "src").rglob("*.c"))
    messages = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/logs.md").read_text(), re.MULTILINE)
    assert len(messages) > 10
    assert [m for m in messages if f'"{m}"' not in source] == []
