"""geth for the tests: named by TRUEUP_GETH, or built once from its Go module and kept."""

import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

MODULE = "github.com/ethereum/go-ethereum"
VERSIONS = {(1, 25): "v1.17.10", (1, 24): "v1.17.4"}  # by the least Go that builds it
TOOLCHAIN = "1.25.5"  # fetched, as a Go module, where the machine's Go is older
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trueup"
ENV = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}


def run(command, **more):
    return subprocess.run(command, stdin=subprocess.DEVNULL, text=True, capture_output=True,
                          **{"env": ENV, "cwd": "/", **more})


def fit(path):
    """The version of geth that this Go builds, or None."""
    said = run([path, "env", "GOVERSION"]).stdout.strip()
    ours = tuple(map(int, re.findall(r"\d+", said)[:2]))
    return next((version for least, version in VERSIONS.items() if ours >= least), None)


def toolchain(path):
    """A newer Go, which any Go can download. What it extracts may not be executed yet."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    module = f"golang.org/toolchain@v0.0.1-go{TOOLCHAIN}.linux-{machine}"
    print(f"  fetching {module}", flush=True)
    done = run([path, "mod", "download", "-json", module])
    if done.returncode != 0:
        raise RuntimeError(f"go mod download {module}: {(done.stdout + done.stderr)[-1500:]}")
    folder = Path(json.loads(done.stdout)["Dir"])
    for program in [*folder.glob("bin/*"), *folder.glob("pkg/tool/*/*")]:
        program.chmod(0o755)
    return str(folder / "bin/go")


def go():
    """(the path of a Go that can build geth, the version of geth that it builds)"""
    path = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not path:
        raise RuntimeError("building geth needs Go, and there is no go")
    if not fit(path):
        path = toolchain(path)
    return path, fit(path)


def geth():
    """The path of a geth."""
    given = os.environ.get("TRUEUP_GETH")
    if given:
        return given
    built = sorted(CACHE.glob("geth-v*/geth"))
    if built:
        return str(built[-1])
    path, version = go()
    folder = CACHE / f"geth-{version}"
    print(f"  building {MODULE}/cmd/geth@{version} into {folder} (minutes, once)", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    done = run([path, "install", "-trimpath", "-ldflags", "-s -w", f"{MODULE}/cmd/geth@{version}"],
               cwd=folder, env={**ENV, "GOBIN": str(folder)})
    if done.returncode != 0:
        raise RuntimeError(f"go install {MODULE}/cmd/geth@{version}: {done.stderr[-1500:]}")
    return str(folder / "geth")
