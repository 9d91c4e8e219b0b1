"""A PostgreSQL cluster of our own: in a temporary folder, on a Unix socket only, never the system's.

PostgreSQL refuses to run as root, so as root it runs as the user `postgres`.
    python3 -m harness.postgres start FOLDER    prints the URL of its `postgres` database
    python3 -m harness.postgres stop FOLDER
"""

import contextlib
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


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid):
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "stat").read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(entry.name))
    return found


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

    def start(self, settings=()):
        """settings: further ones, for a new cluster."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.user:
            shutil.chown(self.folder, self.user)
        if not self.data.exists():
            self._run("initdb", "-D", self.data, "-U", "postgres", "--auth=trust",
                      "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
            with open(self.data / "postgresql.conf", "a") as conf:
                conf.writelines(f"{k} = {v}\n" for k, v in {**SETTINGS, **dict(settings)}.items())
                conf.write(f"unix_socket_directories = '{self.folder}'\n")
        if self.running():
            return self
        # pg_ctl's output must not be a pipe: the server would inherit it and keep it open.
        self._run("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "-t", "60", "-s",
                  "start")
        return self

    def stop(self, mode="immediate"):
        """By the pid in the cluster's own pid file."""
        if (self.data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "60", "-s", "stop")

    def clone(self, primary, port, settings=()):
        """Becomes a standby that follows the primary, and starts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.user:
            shutil.chown(self.folder, self.user)
        self._run("pg_basebackup", "-D", self.data, "-h", primary.folder, "-p", str(port), "-U",
                  "postgres", "-R", "-X", "stream", "-c", "fast", "--no-sync")
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.writelines(f"{k} = {v}\n" for k, v in dict(settings).items())
            conf.write(f"unix_socket_directories = '{self.folder}'\n")
        return self.start()

    def promote(self):
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-s", "promote")

    def kill(self):
        """kill -9 of the server and all of its processes: it recovers from its log when it starts."""
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text().split()[0])
        # The postmaster last: it would otherwise start to tidy up after its children.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            for child in children(pid) + [pid]:
                os.kill(child, signal.SIGKILL)
        until(lambda: not alive(pid), "the killed server to be gone", 10)
        # Where nobody reaps orphans it stays a zombie, and a start would take it for a living server.
        pid_file.unlink()
        for lock in self.folder.glob(".s.PGSQL.*.lock"):
            lock.unlink()

    def running(self):
        pid_file = self.data / "postmaster.pid"
        return pid_file.exists() and alive(int(pid_file.read_text().split()[0]))

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database="postgres", user="postgres"):
        return f"postgres://{user}@/{database}?host={self.folder}"


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
