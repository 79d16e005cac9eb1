"""Checks of this machine: Python, disk space, programs, the web app's port, and the datasets' files."""

from __future__ import annotations

import shutil
import socket
import sys
import uuid
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.cli.doctor.network import reach
from pipeline.cli.doctor.results import ANSWER_SECONDS, Doubtful, Wrong
from pipeline.secret_checks import is_local
from pipeline.settings import Settings
from pipeline.units import GIB

PYTHON_MIN = (3, 11)
DISK_BYTES_MIN = 2 * GIB
DISK_FREE_MIN = 0.05
"""A disk that has a smaller share free is worth a warning, however large it is."""


def python(settings: Settings) -> str:
    """Check the version of Python."""
    if sys.version_info < PYTHON_MIN:
        raise Wrong(f"Python {sys.version.split()[0]}", "Install Python 3.11 or newer, then: make clean setup")
    return sys.version.split()[0]


def disk(settings: Settings) -> str:
    """Check that the disks of the home and of the worker's files can be written and have space."""
    return "; ".join(dict.fromkeys(_space(folder) for folder in (settings.home, settings.work_dir)))


def _space(wanted: Path) -> str:
    folder = next(path for path in (wanted, *wanted.parents) if path.is_dir())
    usage = shutil.disk_usage(folder)
    found = f"{usage.free / GIB:.1f} GiB free for {folder}"
    if usage.free < DISK_BYTES_MIN:
        raise Wrong(found, f"Free some space, or set BULKHEAD_HOME to a disk with {DISK_BYTES_MIN // GIB} GiB free.")
    probe = folder / f".doctor-{uuid.uuid4()}"
    try:
        probe.touch()
    except OSError as error:
        raise Wrong(
            f"{folder} cannot be written: {error.strerror}", "Set BULKHEAD_HOME to a folder that you may write to."
        ) from error
    probe.unlink()
    if usage.free < DISK_FREE_MIN * usage.total:
        raise Doubtful(f"{found}, of {usage.total / GIB:.0f} GiB", "Free some space before it is full.")
    return found


def binaries(settings: Settings) -> str:
    """Check that the programs of the embedded stack are installed; elsewhere only that this is no embedded stack."""
    beside = Path(sys.executable).parent
    there = {name: (beside / name).is_file() or shutil.which(name) is not None for name in ("temporal", "weed")}
    missing = [name for name, is_there in there.items() if not is_there]
    if missing and is_local(settings):
        raise Wrong(f"not found: {', '.join(missing)}", "Install the packages of requirements.txt: make setup")
    return ", ".join(name for name in there if name not in missing) or "none, which only an embedded stack needs"


def port(settings: Settings) -> str:
    """Check that the web app's port is free, or used by Bulkhead."""
    at = urlsplit(settings.url)
    host, number = at.hostname or "127.0.0.1", at.port or (443 if at.scheme == "https" else 80)
    with socket.socket() as probe:
        probe.settimeout(ANSWER_SECONDS)
        if probe.connect_ex((host, number)):
            return f"{number} is free"
    if not _healthz(settings)[0]:
        raise Wrong(f"port {number} is used by another program", "Choose another port: bulkhead up --port 9000")
    return f"{number} is used by Bulkhead"


def datasets(settings: Settings) -> str:
    """Check that every dataset's files can be read."""
    from pipeline.cli.datasets_root import current_root
    from pipeline.datasets.dataset import dataset_names, load_dataset

    root = current_root(settings)
    names = dataset_names(root)
    for name in names:
        load_dataset(name, root)
    if not names:
        raise Wrong(
            f"none in {settings.datasets_root}", "Set BULKHEAD_DATASETS_ROOT to the folder with expectations/ and sql/."
        )
    return ", ".join(names)


def web(settings: Settings) -> str:
    """Check that the web app answers, and the certificate of its address."""
    is_healthy, answer = _healthz(settings)
    if not is_healthy:
        raise Wrong(f"{settings.url}: {answer}", "Start it (bulkhead up), or set BULKHEAD_URL to its URL.")
    at = urlsplit(settings.url)
    if at.scheme != "https":
        return f"{settings.url} is healthy"
    secured = reach(at.hostname or "", at.port or 443, tls=True, authority=settings.ca_certificate)
    return f"{settings.url} is healthy, {secured}"


def _healthz(settings: Settings) -> tuple[bool, str]:
    import requests

    from pipeline.client.http import LOOPBACK

    session = requests.Session()
    session.trust_env = urlsplit(settings.url).hostname not in LOOPBACK
    session.verify = settings.ca_certificate or True
    try:
        answer = session.get(f"{settings.url.rstrip('/')}/healthz", timeout=ANSWER_SECONDS)
    except requests.exceptions.SSLError:
        return False, "its certificate is not accepted; BULKHEAD_CA_CERTIFICATE names a private authority"
    except (requests.RequestException, OSError):
        return False, "does not answer"
    return answer.ok, f"answers {answer.status_code}"
