"""A PostgreSQL cluster of our own: in a temporary folder, on a Unix socket only, never the system's.

PostgreSQL refuses to run as root, so as root it runs as the user `postgres`.
    python3 -m harness.postgres start FOLDER    prints the URL of its `postgres` database
    python3 -m harness.postgres stop FOLDER
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from .wait import until

# Durability of a throw-away cluster is worth nothing, its speed a lot. The odd time zone is there
# to catch whoever leans on the server's.
SETTINGS = {
    "listen_addresses": "''",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "'128MB'",
    "max_connections": "100",
    "max_wal_size": "'1GB'",
    "timezone": "'Asia/Kathmandu'",
    "log_min_messages": "warning",
    "dynamic_shared_memory_type": "posix",
}


def binaries():
    """The newest version installed; Debian keeps them out of PATH."""
    given = os.environ.get("TRUEUP_PG_BIN")
    if given:
        return Path(given)
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"),
                   key=lambda p: int(p.parent.parent.name))
    if found:
        return found[-1].parent
    in_path = shutil.which("initdb")
    if in_path:
        return Path(in_path).resolve().parent
    raise FileNotFoundError("no PostgreSQL server found: install postgresql")


class Cluster:
    def __init__(self, folder=None):
        # A socket's path has to stay under 108 bytes, so not in pytest's own deep folders.
        self.folder = Path(folder or tempfile.mkdtemp(prefix="trueup-pg-"))
        self.data = self.folder / "data"
        self.user = "postgres" if os.geteuid() == 0 else None

    def _run(self, program, *arguments):
        identity = {}
        if self.user:
            who = pwd.getpwnam(self.user)
            identity = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
        done = subprocess.run([binaries() / program, *arguments], cwd="/", text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, **identity)
        if done.returncode != 0:
            log = self.folder / "log"
            raise RuntimeError(f"{program} failed:\n{done.stdout}\n"
                               + (log.read_text()[-2000:] if log.exists() else ""))

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.user:
            shutil.chown(self.folder, self.user)
        if not self.data.exists():
            self._run("initdb", "-D", self.data, "-U", "postgres", "--auth=trust",
                      "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
            with open(self.data / "postgresql.conf", "a") as conf:
                conf.writelines(f"{k} = {v}\n" for k, v in SETTINGS.items())
                conf.write(f"unix_socket_directories = '{self.folder}'\n")
        # pg_ctl's output must not be a pipe: the server would inherit it and keep it open.
        self._run("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "-t", "60", "-s",
                  "start")
        return self

    def stop(self, mode="immediate"):
        """By the pid in the cluster's own pid file."""
        if (self.data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "60", "-s", "stop")

    def kill(self):
        """-9 of the postmaster, and until its backends have noticed."""
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        until(lambda: not any(f"/{pid}/" in str(p) or parent_group(p) == pid
                              for p in Path("/proc").glob("[0-9]*")), "the backends to be gone", 20)
        (self.data / "postmaster.pid").unlink()

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database="postgres", user="postgres"):
        return f"postgres://{user}@/{database}?host={self.folder}"


def parent_group(entry):
    """The session of a process: a postmaster's backends are in its own."""
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[3])
    except (OSError, ValueError):
        return 0


def main(arguments):
    if len(arguments) != 2 or arguments[0] not in ("start", "stop"):
        sys.exit("usage: python3 -m harness.postgres start|stop FOLDER")
    cluster = Cluster(arguments[1])
    if arguments[0] == "start":
        print(cluster.start().url())
    else:
        cluster.remove()


if __name__ == "__main__":
    main(sys.argv[1:])
