"""geth for the tests: named by TRUEUP_GETH, or built once from its Go module and kept."""

import os
import re
import shutil
import subprocess
from pathlib import Path

MODULE = "github.com/ethereum/go-ethereum"
VERSIONS = {(1, 25): "v1.17.10", (1, 24): "v1.17.4"}  # by the least Go that builds it
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trueup"


def go():
    """((path of a Go, the version of geth that it builds), None) or (None, why there is none)."""
    needed = "building geth needs Go 1.24 or newer"
    path = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not path:
        return None, f"{needed}, and there is no go"
    said = subprocess.run([path, "env", "GOVERSION"], stdin=subprocess.DEVNULL, text=True, capture_output=True,
                          env={**os.environ, "GOTOOLCHAIN": "local"}).stdout.strip()
    ours = tuple(map(int, re.findall(r"\d+", said)[:2]))
    fit = [version for least, version in VERSIONS.items() if ours >= least]
    return ((path, fit[0]), None) if fit else (None, f"{needed}, {path} is {said or 'none'}")


def geth():
    """(path of a geth, None) or (None, why there is none)."""
    given = os.environ.get("TRUEUP_GETH")
    if given:
        return given, None
    built = sorted(CACHE.glob("geth-v*/geth"))
    if built:
        return str(built[-1]), None
    found, why = go()
    if why:
        return None, why
    path, version = found
    folder = CACHE / f"geth-{version}"
    print(f"  building {MODULE}/cmd/geth@{version} into {folder} (minutes, once)", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([path, "install", "-trimpath", "-ldflags", "-s -w", f"{MODULE}/cmd/geth@{version}"],
                          stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          cwd=folder, env={**os.environ, "GOBIN": str(folder), "GOTOOLCHAIN": "local",
                                           "GOFLAGS": "-buildvcs=false"})
    if done.returncode != 0:
        raise RuntimeError(f"go install {MODULE}/cmd/geth@{version}: {done.stdout[-1500:]}")
    return str(folder / "geth"), None
