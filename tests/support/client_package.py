"""The distribution bulkhead-client, installed where nothing else is but what it says it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
BUILT_FROM = ("clients", "pipeline", "pyproject.toml", "LICENSE")


def pip(*arguments: str | Path) -> None:
    """Run pip. No index is asked."""
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def build(folder: Path) -> Path:
    """Return the wheel, built of a copy: the build writes into the folder of its sources."""
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__", "build"), symlinks=True
            )
        else:
            shutil.copy2(ROOT / name, folder / "source" / name)
    source = folder / "source" / "clients" / "python"
    pip("wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, source)
    (built,) = folder.glob("*.whl")
    return built


def install(wheel: Path, folder: Path) -> Path:
    """Return the Python of a fresh environment with the wheel and the libraries that its metadata requires."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip("--python", python, "install", "-q", "--no-deps", "--no-index", wheel)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    (installed,) = packages.glob("bulkhead_client-*.dist-info")
    for needed in _requirements(Distribution.at(installed), set()):
        _link(distribution(needed), packages)
    return python


def _requirements(of: Distribution, known: set[str]) -> set[str]:
    """Return the names of all that a distribution needs, and what that needs."""
    for text in of.requires or ():
        one = Requirement(text)
        if one.name not in known and (one.marker is None or one.marker.evaluate({"extra": ""})):
            known.add(one.name)
            _requirements(distribution(one.name), known)
    return known


def _link(library: Distribution, packages: Path) -> None:
    """Link a library of this environment into another one's folder of packages."""
    tops = {file.parts[0] for file in library.files or () if not re.match(r"\.\.|__pycache__", file.parts[0])}
    for top in tops:
        target = packages / top
        if not target.exists():
            target.symlink_to(Path(str(library.locate_file(top))))
