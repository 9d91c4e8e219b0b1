"""What comes beside the program: installed where systems look for it, and completion that completes."""

import subprocess
from pathlib import Path

import pytest

from harness.daemon import binary

COMMANDS = ["run", "read", "sweep", "backfill", "wallets", "status", "doctor", "config", "migrate", "help", "version"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """As `make install DESTDIR=…` leaves it, from the build that is tested."""
    root = tmp_path_factory.mktemp("root")
    build = Path(binary()).resolve().parents[1]
    subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", root],
                   check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return root / "usr" / "local"


def test_everything_is_in_its_place(installed):
    assert (installed / "bin" / "trueup").stat().st_mode & 0o111
    for command in COMMANDS:
        assert (installed / f"share/man/man1/trueup-{command}.1").exists()
    for path in ("share/man/man1/trueup.1", "share/man/man5/trueup.yaml.5", "etc/trueup/audius.yaml",
                 "share/zsh/site-functions/_trueup", "share/fish/vendor_completions.d/trueup.fish"):
        assert (installed / path).exists(), path
    unit = (installed / "lib/systemd/system/trueup.service").read_text()
    assert "ExecStart=/usr/local/bin/trueup run -c /usr/local/etc/trueup/trueup.yaml\n" in unit
    assert "@" not in unit.replace("@system-service", "").replace("~@privileged @resources", "")


def complete(installed, *words):
    """What bash offers for the last of the words."""
    line = " ".join(f"'{w}'" for w in words)
    script = (f"source {installed}/share/bash-completion/completions/trueup.bash; COMP_WORDS=({line}); "
              "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _trueup; printf '%s\\n' \"${COMPREPLY[@]}\"")
    done = subprocess.run(["bash", "--norc", "-uc", script], text=True, capture_output=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.split()


def test_bash_completes(installed):
    assert set(COMMANDS) <= set(complete(installed, "trueup", ""))
    assert "worker" not in complete(installed, "trueup", "")
    assert complete(installed, "trueup", "mig") == ["migrate"]
    assert complete(installed, "trueup", "config", "ch") == ["check"]
    assert complete(installed, "trueup", "read", "--te") == ["--terms"]
    assert complete(installed, "trueup", "run", "--log-level", "d") == ["debug"]
    assert complete(installed, "trueup", "help", "doc") == ["doctor"]
    assert {"-c", "--store", "--json", "--from"} <= set(complete(installed, "trueup", "run", ""))
    # A file's name is bash's own business; a URL is nobody's to guess.
    assert complete(installed, "trueup", "run", "-c", "x") == []
    assert complete(installed, "trueup", "run", "--rpc", "") == []


def test_zsh_and_fish_know_each_command(installed):
    zsh = (installed / "share/zsh/site-functions/_trueup").read_text()
    fish = (installed / "share/fish/vendor_completions.d/trueup.fish").read_text()
    for command in COMMANDS:
        assert f"'{command}:" in zsh and f"-a {command} -d '" in fish
    assert zsh.startswith("#compdef trueup\n")
