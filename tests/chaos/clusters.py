"""PostgreSQL clusters of a pair's runs: copies of a template, which is made once for many runs."""

import shutil
import subprocess

from harness.postgres import Cluster

STANDBY = {"wal_level": "replica", "max_wal_senders": "4", "hot_standby": "on", "track_commit_timestamp": "on",
           "max_wal_size": "'256MB'", "shared_buffers": "'32MB'"}


def copy_folder(source, target):
    subprocess.run(["cp", "-a", "--reflink=auto", source, target], check=True)


def make_template(folder):
    cluster = Cluster(folder / "template")
    cluster.start(STANDBY)
    cluster.stop("fast")


def make_cluster(cluster, template, settings):
    cluster.folder.mkdir(parents=True)
    if cluster.user:
        shutil.chown(cluster.folder, cluster.user)
    copy_folder(template / "data", cluster.data)
    with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.writelines(f"{k} = {v}\n" for k, v in settings.items())
        conf.write(f"unix_socket_directories = '{cluster.folder}'\n")
    cluster.start()


def remove_all(folder):
    """Also what a run that was ended left running."""
    for pid_file in folder.glob("**/data/postmaster.pid"):
        Cluster(pid_file.parent.parent).kill()
    shutil.rmtree(folder, ignore_errors=True)
