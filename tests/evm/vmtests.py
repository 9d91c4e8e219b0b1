#!/usr/bin/python3 -B
"""Writes tests/vectors/evm.txt from a clone of github.com/ethereum/tests.

    tests/evm/vmtests.py CLONE

Of its VMTests those programs are taken that store their one result in slot 0 as their last act; the store is
replaced by returning the word. What reads the block or its sender is left out: it has other ones here."""

import json
import subprocess
import sys
from pathlib import Path

FOLDER = "BlockchainTests/GeneralStateTests/VMTests"
STORE, RETURN = "60005500", "60005260206000f3"
LEFT_OUT = ("Performance", "blockInfo", "envInfo", "gas.json")
OUT = Path(__file__).resolve().parents[1] / "vectors/evm.txt"


def git(clone, *words):
    return subprocess.run(["git", "-C", clone, *words], text=True, capture_output=True, check=True).stdout


def facts(tests):
    for name, test in sorted(tests.items()):
        calls = [tx for block in test["blocks"] for tx in block["transactions"]]
        if not name.endswith("_Cancun") or len(calls) != 1 or len(calls[0]["data"]) != 74:
            continue
        called = f"0x{0x1000 + int(calls[0]['data'][10:], 16):040x}"  # what the test's contract calls
        if test.get("postState", {}).get(calls[0]["to"], {"storage": 1})["storage"]:  # it does so by DELEGATECALL: another's storage
            continue
        code = test["pre"].get(called, {}).get("code", "")
        if code.endswith(STORE):
            stored = test["postState"][called]["storage"].get("0x00", "0x0")
            yield name.removesuffix("_Cancun"), code.removesuffix(STORE) + RETURN, f"0x{int(stored, 16):064x}"


def main():
    clone = sys.argv[1]
    lines = [f"# {FOLDER} of github.com/ethereum/tests at {git(clone, 'rev-parse', 'HEAD').strip()}, by "
             "tests/evm/vmtests.py: name, code, the word it returns"]
    for path in git(clone, "ls-tree", "-r", "--name-only", "HEAD", FOLDER).split():
        if not any(word in path for word in LEFT_OUT):
            lines += ["\t".join(fact) for fact in facts(json.loads(git(clone, "show", f"HEAD:{path}")))]
    OUT.write_text("\n".join(dict.fromkeys(lines)) + "\n")


if __name__ == "__main__":
    main()
