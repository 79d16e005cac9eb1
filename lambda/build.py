"""Build the Lambda's zip: the handler, the contracts, and temporalio with its own requirements; nothing else.

The same inputs give the same bytes. Compiled modules are those of this machine: build on Linux, on the function's processor
architecture. They use Python's stable ABI, so every Lambda runtime from Python 3.11 on can load them.
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
"""Files that run. temporalio's wheel also contains 300 files of Rust sources and documentation."""

UNUSED = ("temporalio/contrib/", "temporalio/testing/")

LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can store, so that the zip does not depend on the time of the build."""


def main() -> None:
    """Write the zip to the given path (default build/lambda.zip) and print its size."""
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
    """Return the files of the zip: name in the zip -> file on disk."""
    files = dict(OURS)
    for name in required_by("temporalio"):
        for path in distribution(name).files or ():
            if CODE.fullmatch(str(path)) and not str(path).startswith(UNUSED):
                files[str(path)] = Path(str(path.locate()))
    return files


def required_by(name: str) -> Iterator[str]:
    """Yield a distribution and everything it requires to run here, without extras and requirements of other platforms."""
    yield name
    for requirement in distribution(name).requires or ():
        needed = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if needed not in STUBS and ";" not in requirement:
            yield from required_by(needed)


if __name__ == "__main__":
    main()
