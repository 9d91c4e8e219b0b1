"""The pages for operators are held to the alerts and to a real PostgreSQL."""

import re

from harness import config as configs
from harness.config import BALANCE
from harness.daemon import ROOT

RULES = (ROOT / "contrib/prometheus/alerts.yml").read_text()
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
POSTGRES = (ROOT / "docs/postgres.md").read_text()


def test_each_alert_has_its_section():
    names = re.findall(r"- alert: (\w+)", RULES)
    assert re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE) == names and len(set(names)) == len(names) > 10
    assert re.findall(r"runbook_url: docs/runbook.md#(\w+)", RULES) == [n.lower() for n in names]
    for section in RUNBOOK.split("\n## ")[1:]:
        parts = re.findall(r"^\*\*(\w+)\.\*\* \S", section, re.MULTILINE)
        assert parts == ["Meaning", "Check", "Action"], section[:40]


def test_the_metrics_of_the_alerts_are_there():
    known = set(re.findall(r"`(trueup_\w+)`", (ROOT / "docs/metrics.md").read_text()))
    for name in set(re.findall(r"\b(trueup_\w+)", "\n".join(re.findall(r"expr: (.*)", RULES)))):
        assert re.sub("_bucket$", "", name) in known, name


def test_the_statements_of_the_page_are_true(chain, postgres, trueup, tmp_path):
    """As the application's owner; then the role migrates, and doctor is content with the table."""
    role = f"balances_writer_{postgres.one('SELECT current_database()')}"
    postgres.sql("CREATE TABLE eth_wallet_balances (wallet TEXT PRIMARY KEY, balance NUMERIC NOT NULL DEFAULT 0, "
                 "blocknumber BIGINT, updated_at TIMESTAMP NOT NULL DEFAULT now(), "
                 "created_at TIMESTAMP NOT NULL DEFAULT now())")
    blocks = re.findall(r"```sql\n(.*?)```", POSTGRES, re.DOTALL)
    statements = [s for block in blocks for s in block.replace("balances_writer", role).split(";\n") if s.strip()]
    assert len(statements) > 12
    try:
        for statement in statements:
            postgres.sql(statement.strip().rstrip(";"))
        head, _, rest = postgres.url.replace("postgresql://", "postgres://").partition("://")
        trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
            chain.world, chain.anvil.url, f"{head}://{role}@{rest.split('@')[-1]}",
            balance={"table": "eth_wallet_balances"}))
        trueup.run("migrate")
        assert BALANCE in trueup.run("status", code=4).stdout
        assert "may write it" in trueup.run("doctor").stdout
    finally:
        postgres.sql(f"DROP OWNED BY {role}")
        postgres.sql(f"DROP ROLE {role}")
