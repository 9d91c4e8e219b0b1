"""What comes beside the program: installed where systems look for it, and completion that completes."""

import subprocess
from pathlib import Path

import pytest

from harness.daemon import binary

COMMANDS = ["run", "read", "sweep", "backfill", "audit", "explain", "snapshot", "wallets",
            "status", "doctor", "config", "migrate", "help", "version"]


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
    for path in ("share/man/man1/trueup.1", "share/man/man5/trueup.yaml.5", "etc/trueup/audius.yaml"):
        assert (installed / path).exists(), path
    for shell, path in (("bash", "bash-completion/completions/trueup.bash"),
                        ("zsh", "zsh/site-functions/_trueup"),
                        ("fish", "fish/vendor_completions.d/trueup.fish")):
        assert (installed / "share" / path).read_text() == completion(shell)
    unit = (installed / "lib/systemd/system/trueup.service").read_text()
    assert "ExecStart=/usr/local/bin/trueup run -c /usr/local/etc/trueup/trueup.yaml\n" in unit
    assert "@" not in unit.replace("@system-service", "").replace("~@privileged @resources", "")


def completion(shell):
    return subprocess.run([binary(), "reference", "completion", shell], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def complete(*words):
    """What bash offers for the last of the words."""
    line = " ".join(f"'{w}'" for w in words)
    script = (completion("bash") + f"COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
              "_trueup; printf '%s\\n' \"${COMPREPLY[@]}\"")
    done = subprocess.run(["bash", "--norc", "-uc", script], text=True, capture_output=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.split()


def test_bash_completes():
    assert set(COMMANDS) <= set(complete("trueup", ""))
    assert "worker" not in complete("trueup", "")
    assert complete("trueup", "mig") == ["migrate"]
    assert complete("trueup", "config", "ch") == ["check"]
    assert complete("trueup", "read", "--te") == ["--terms"]
    assert complete("trueup", "run", "--log-level", "d") == ["debug"]
    assert complete("trueup", "help", "doc") == ["doctor"]
    assert {"-c", "--store", "--json", "--from"} <= set(complete("trueup", "run", ""))
    # A file's name is bash's own business; a URL is nobody's to guess.
    assert complete("trueup", "run", "-c", "x") == []
    assert complete("trueup", "run", "--rpc", "") == []


def test_zsh_and_fish_know_each_command():
    zsh, fish = completion("zsh"), completion("fish")
    for command in COMMANDS:
        assert f"'{command}:" in zsh and f"-a {command} -d '" in fish
    assert zsh.startswith("#compdef trueup\n")
