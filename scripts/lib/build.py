"""Builds of the program, each in a folder of its own under the root. Quiet when they work."""

import os
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What differs from one build to the other. A sanitizer build leaves hardening out: _FORTIFY_SOURCE
# replaces the very calls that AddressSanitizer watches. It is clang's, since gcc 12 warns of things
# that only its own instrumentation does.
BUILDS = {
    "build": (None, []),
    "build-release": (None, ["--buildtype=release"]),
    "build-gcc": ("gcc", ["--buildtype=release", "-Dwerror=true"]),
    "build-clang": ("clang", ["--buildtype=release", "-Dwerror=true"]),
    "build-asan": ("clang", ["-Db_sanitize=address,undefined", "-Db_lundef=false",
                             "-Dhardening=false"]),
    "build-tsan": ("clang", ["-Db_sanitize=thread", "-Db_lundef=false", "-Dhardening=false"]),
    "build-fuzz": ("clang", ["-Dfuzz=true", "-Dhardening=false"]),
    # Twice as fast, and blind to how near a comparison came: to play many inputs, not to find them.
    "build-fuzz-fast": ("clang", ["-Dfuzz=true", "-Dhardening=false",
                                  "-Dc_args=-fno-sanitize-coverage=trace-cmp"]),
}


class BuildFailed(Exception):
    pass


broken = set()  # told once; the suites that follow only say that it is still so
locks = {}  # a folder is built by one at a time; who wants the same waits, and finds it done


def build(name, root=ROOT, options=None, compiler=None, targets=()):
    """Configures root/name if it is not yet, and builds it: all, or only the targets (build.ninja
    is one: it brings what meson knows up to date). Returns the folder."""
    if options is None:
        compiler, options = BUILDS[name]
    folder = root / name
    with locks.setdefault(folder, threading.Lock()):
        return build_alone(folder, root, options, compiler, targets)


def build_alone(folder, root, options, compiler, targets):
    folder.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ)
    if compiler:
        env["CC"] = compiler
    if not (folder / "build.ninja").exists():
        run(["meson", "setup", str(folder), str(root), *options], folder, env)
    if folder in broken:
        raise BuildFailed(f"{folder.name} does not build, see above")
    run(["ninja", "-C", str(folder), *targets], folder, env)
    return folder


def run(command, folder, env):
    done = subprocess.run(command, env=env, text=True, errors="replace", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        broken.add(folder)
        (folder / "failed.log").write_text(done.stdout)
        lines = [line for line in done.stdout.splitlines()
                 if "error: " in line.lower() or "undefined reference" in line]
        raise BuildFailed(f"{' '.join(command[:2])} in {folder.name} failed (all of it: "
                          f"{folder / 'failed.log'})\n" + "\n".join(lines[:15]))


if __name__ == "__main__":
    try:
        build(sys.argv[1], targets=sys.argv[2:])
    except BuildFailed as e:
        sys.exit(str(e))
