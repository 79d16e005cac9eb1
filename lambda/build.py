"""Builds the Lambda's zip: the handler, the contracts, and temporalio with what temporalio itself requires; nothing else.

The same inputs give the same bytes. Compiled parts are those of this machine: build on Linux, on the processor that the
function runs on. They bind to Python's stable interface, so any Python of Lambda's from 3.11 on will do.
"""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = {
    "handler.py": ROOT / "lambda" / "handler.py",
    "pipeline/__init__.py": ROOT / "pipeline" / "__init__.py",
    **{f"pipeline/contracts/{file.name}": file for file in (ROOT / "pipeline" / "contracts").glob("*.py")},
}
STUBS = {"types-protobuf"}
"""Required by temporalio for type checkers only."""

CODE = re.compile(r"[^.].*\.(py|so)")
"""What runs. temporalio's wheel holds 300 files of its Rust sources and their documents besides."""

UNUSED = ("temporalio/contrib/", "temporalio/testing/")

LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold: a build knows no clock."""


def main() -> None:
    """Write the zip to the path given, by default build/lambda.zip, and say how large it is."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "lambda.zip")
    target.parent.mkdir(parents=True, exist_ok=True)
    files = contents()
    unfinished = target.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name].read_bytes())
    unfinished.replace(target)
    print(f"{target}: {len(files)} files, {target.stat().st_size / 1e6:.1f} MB")


def contents() -> dict[str, Path]:
    """What goes into the zip: name in the zip -> file on disk."""
    files = dict(OURS)
    for name in required_by("temporalio"):
        for path in distribution(name).files or ():
            if CODE.fullmatch(str(path)) and not str(path).startswith(UNUSED):
                files[str(path)] = Path(str(path.locate()))
    return files


def required_by(name: str) -> Iterator[str]:
    """A distribution and everything it requires to run, as installed here; extras and other platforms' needs left out."""
    yield name
    for requirement in distribution(name).requires or ():
        needed = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if needed not in STUBS and ";" not in requirement:
            yield from required_by(needed)


if __name__ == "__main__":
    main()
