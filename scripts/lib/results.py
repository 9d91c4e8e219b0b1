"""What a suite came to, counted from what the runners wrote, never from their exit status alone:
a runner that ran nothing exits with success, too."""

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field


@dataclass
class Case:
    """One test of pytest, or one program of meson."""
    name: str
    seconds: float
    ok: bool


@dataclass
class Result:
    passed: int = 0
    failed: int = 0
    notes: list = field(default_factory=list)  # one a failure: what went wrong
    said: list = field(default_factory=list)  # what else is worth a line
    cases: list = field(default_factory=list)  # with their seconds, where the runner tells them

    def fail(self, note):
        self.failed += 1
        self.notes.append(note)

    def ok(self):
        self.passed += 1

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.notes += other.notes
        self.said += other.said
        self.cases += other.cases


TAP_LINE = re.compile(r"^(not )?ok\b\s*(\d*)\s*-?\s*(.*)$")
TAP_PLAN = re.compile(r"^1\.\.(\d+)")


def from_tap(name, text):
    """One program's TAP. A skipped test, and one that was planned but never ran, are failures."""
    result = Result()
    planned = seen = 0
    for line in text.splitlines():
        plan = TAP_PLAN.match(line)
        if plan:
            planned += int(plan.group(1))
            continue
        point = TAP_LINE.match(line)
        if not point:
            continue
        seen += 1
        what = point.group(3)
        if re.search(r"#\s*skip", line, re.IGNORECASE):
            result.fail(f"{name}: {what}: skipped")
        elif point.group(1):
            result.fail(f"{name}: {what}")
        else:
            result.ok()
    if planned != seen:
        result.fail(f"{name}: planned {planned} tests, ran {seen}")
    return result


def from_meson(log, what="tests"):
    """meson's testlog.json: a line a program, its TAP within."""
    result = Result()
    tests = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    for test in tests:
        name = test["name"]
        output = test.get("stdout") or ""
        part = from_tap(name, output) if TAP_PLAN.search(output) or "\n1.." in output else Result()
        if test["result"] not in ("OK", "EXPECTEDFAIL") and part.failed == 0:
            part.fail(f"{name}: {test['result']} (exit {test.get('returncode')})")
        elif part.passed + part.failed == 0:
            part.ok()
        if part.failed:
            tail = (output + "\n" + (test.get("stderr") or "")).strip().splitlines()[-25:]
            part.notes.append("    " + "\n    ".join(tail))
        program = name.rpartition(":")[2].replace(" / ", "/")  # from "project:suite / program"
        part.cases.append(Case(program, test.get("duration") or 0.0, part.failed == 0))
        result.add(part)
    if not tests:
        result.fail(f"no {what} at all")
    return result


def from_junit(path, name):
    """pytest's JUnit file. Skipped tests and errors are failures."""
    result = Result()
    if not path.exists():
        result.fail(f"{name}: no report, so it did not run to its end")
        return result
    for case in ElementTree.parse(path).iter("testcase"):
        title = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        bad = [c for c in case if c.tag in ("failure", "error", "skipped")]
        file = case.get("classname", "").replace(".", "/") + ".py"
        result.cases.append(Case(f"{file}::{case.get('name')}", float(case.get("time") or 0), not bad))
        if not bad:
            result.ok()
        for c in bad:
            message = (c.get("message") or "").strip().splitlines()[:1]
            result.fail(f"{title}: {c.tag}: {' '.join(message)[:300]}")
    if result.passed + result.failed == 0:
        result.fail(f"{name}: ran no test")
    return result


def slowest(cases, most=10):
    """The cases that took longest: at most so many, the longest first."""
    return sorted(cases, key=lambda case: -case.seconds)[:most]
