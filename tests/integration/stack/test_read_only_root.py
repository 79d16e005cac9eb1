"""The processes of the image on a read-only root file system, as another user: Linux's own mounts, without Docker."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.adapters.s3 import Store
from pipeline.contracts.states import State
from pipeline.local import ports
from pipeline.settings import Settings
from tests.support.bulkhead import Bulkhead
from tests.support.waiting import pauses

ROOT = Path(__file__).resolve().parents[3]


def may_read(path: Path) -> bool:
    """Return whether any user may reach a file."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


USER = 10001 if may_read(Path(sys.executable).resolve()) and may_read(ROOT) else 0
"""As in the Dockerfile; where only root may run this Python, at least the file system is the same."""

CONTAINER = """
mount --make-rprivate / && mount --rbind / "$1"
while read -r _ at _; do
    case "$at" in
    "$1"/proc* | "$1"/sys* | "$1"/dev*) ;;
    "$1"*) mount -o remount,bind,ro "$at" || exit 98 ;;
    esac
done </proc/self/mounts
mount --bind "$2" "$1/mnt" && mount -t tmpfs tmpfs "$1/tmp" && mount -t tmpfs tmpfs "$1/dev/shm" || exit 98
root=$1 user=$3
shift 3
exec chroot --userspec="$user:$user" "$root" sh -c 'cd "$0" && exec "$@"' "$@"
"""
"""Mounts all read-only at the folder $1, except /tmp, /dev/shm and /mnt, which is $2; runs a command there as user $3 in $4."""


Contained = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def contained(environment: dict[str, str], settings: Settings, tmp_path: Path) -> Iterator[Contained]:
    """Starts a command as in the image, with the test's home at /mnt."""
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("only root may mount, and this needs util-linux's unshare")
    root = tmp_path / "root"
    root.mkdir()
    settings.home.mkdir(exist_ok=True)
    os.chown(settings.home, USER, USER)
    started = []

    def start(*command: str, **more: str) -> subprocess.Popen[bytes]:
        inside = ["unshare", "--mount", "sh", "-c", CONTAINER, "sh", root, settings.home, str(USER), ROOT]
        set_here = {"HOME": "/mnt", "BULKHEAD_HOME": "/mnt", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": "/tmp"}
        with (tmp_path / f"log-{len(started)}").open("wb") as log:
            process = subprocess.Popen(
                [*inside, *command],
                env={**environment, **set_here, "BULKHEAD_BIND": "127.0.0.1", **more},
                stdout=log,
                stderr=log,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(60)


def test_nothing_but_the_home_and_tmp_can_be_written(contained: Contained, tmp_path: Path) -> None:
    script = f"for at in / {ROOT} /var/lib /usr; do touch $at/x 2>/dev/null && exit 1; done; touch /mnt/x /tmp/x && id -u"
    process = contained("sh", "-c", script)
    log = tmp_path / "log-0"
    assert (process.wait(60), log.read_text()) == (0, f"{USER}\n")


def test_migration_worker_and_web_app_run_on_a_read_only_root(
    contained: Contained, settings: Settings, store: Store, tmp_path: Path
) -> None:
    bulkhead = "python", "-m", "pipeline.cli"
    assert contained(*bulkhead, "migrate").wait(120) == 0, (tmp_path / "log-0").read_text()
    port = ports.choose(18765)
    web = contained(*bulkhead, "web", BULKHEAD_PORT=str(port))
    worker = contained(*bulkhead, "worker")
    outside = Bulkhead(settings, store)
    try:
        loaded = outside.ingest("id,parentId,name\n1,,a\n2,1,b\n")
        rejected = outside.ingest("id,parentId,name\n3,999,c\n", name="b.csv")
    finally:
        outside.close()
    logs = (tmp_path / "log-2").read_text()
    assert (loaded.state, rejected.state) == (State.SUCCEEDED, State.REJECTED), logs
    assert "Read-only file system" not in logs and "Permission denied" not in logs
    for pause in pauses(60):
        time.sleep(pause)
        asked = contained("python", "-m", "pipeline.local.health_check", "web", BULKHEAD_PORT=str(port))
        if asked.wait(60) == 0:
            break
    assert asked.returncode == 0, (tmp_path / "log-1").read_text()
    assert contained("python", "-m", "pipeline.local.health_check", "worker").wait(60) == 0
    assert web.poll() is None and worker.poll() is None
