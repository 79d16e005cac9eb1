"""Gather bulkhead_client from pipeline/client and what that imports; all else about the build is in pyproject.toml.

No code is kept twice: the modules are copied when the wheel is built, and their imports are renamed from pipeline. and
pipeline.client. to bulkhead_client., so that the client and the server can be installed beside each other. One module differs:
the settings are the server's, so default_server.py is taken from this folder. docs/decisions/0051 says why.
"""

from __future__ import annotations

import ast
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = HERE / "build" / "source" / "bulkhead_client"
OWN = ("default_server",)
"""Modules of pipeline/client in whose place this folder has its own."""

_PACKAGE = re.compile(r"^(\s*(?:from|import) )pipeline(?:\.client)?\b", re.MULTILINE)


def module_files(name: str) -> Iterator[Path]:
    """Yield the file of a module of ours, and those of the packages that it is in."""
    parts = name.split(".")
    for end in range(2, len(parts) + 1):
        base = ROOT.joinpath(*parts[:end])
        found = base.with_suffix(".py") if base.with_suffix(".py").is_file() else base / "__init__.py"
        if found.is_file():
            yield found


def needed(file: Path) -> Iterator[Path]:
    """Yield the files of ours that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline"):
            for alias in node.names:
                yield from module_files(f"{node.module}.{alias.name}")


def sources() -> set[Path]:
    """Return the files of pipeline/client, and all of ours that they need."""
    waiting = [file for file in (ROOT / "pipeline" / "client").glob("*.py") if file.stem not in OWN]
    found: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file in found or (file.parent.name == "client" and file.stem in OWN):
            continue
        found.add(file)
        waiting += needed(file)
    return found


def gather() -> None:
    """Write the package into TARGET, afresh. Raises FileExistsError if two modules would have the same name."""
    shutil.rmtree(TARGET, ignore_errors=True)
    for file in sorted({*sources(), *(HERE / f"{name}.py" for name in OWN)}):
        base = next(one for one in (ROOT / "pipeline" / "client", ROOT / "pipeline", HERE) if file.is_relative_to(one))
        target = TARGET / file.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as written:
            written.write(_PACKAGE.sub(r"\1bulkhead_client", file.read_text(encoding="utf-8")))
    (TARGET / "py.typed").touch()


gather()
setup(version=tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
