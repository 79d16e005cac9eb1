"""Build the Lambda's zip: the handler, what it imports of Bulkhead, temporalio, cryptography, and what these require.

The same inputs give the same bytes. Compiled modules are those of the packages that Python finds: of this machine, or of the
folder in PYTHONPATH into which `make lambda ARCH=arm64` puts those of Lambda's runtime. With ``--pins`` instead of a path,
print the requirements of that folder, with hashes.
"""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
OURS = {
    "handler.py": ROOT / "lambda" / "handler.py",
    "entry.py": ROOT / "lambda" / "entry.py",
    "pipeline/__init__.py": ROOT / "pipeline" / "__init__.py",
    "pipeline/errors.py": ROOT / "pipeline" / "errors.py",
    **{
        f"pipeline/{package}/{file.name}": file
        for package in ("contracts", "temporal_access")
        for file in (ROOT / "pipeline" / package).glob("*.py")
    },
}
THEIRS = ("temporalio", "cryptography")
STUBS = {"types-protobuf"}
"""Required by temporalio for type checkers only."""

CODE = re.compile(r"[^.].*\.(py|so)")
"""Files that run. temporalio's wheel also contains 300 files of Rust sources and documentation."""

UNUSED = ("temporalio/contrib/", "temporalio/testing/", "cffi/", "pycparser/")
"""Cryptography needs cffi's compiled module only, not its compiler."""

LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can store, so that the zip does not depend on the time of the build."""


def main() -> None:
    """Write the zip to the given path (default build/lambda.zip) and print its size, or print the pins."""
    if sys.argv[1:] == ["--pins"]:
        print(pins((ROOT / "requirements.txt").read_text()), end="")
        return
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
    for name in {needed for one in THEIRS for needed in required_by(one)}:
        for path in distribution(name).files or ():
            if CODE.fullmatch(str(path)) and not str(path).startswith(UNUSED):
                files[str(path)] = Path(str(path.locate()))
    return files


def pins(requirements: str) -> str:
    """Return the lines of a requirements.txt that pin the distributions in the zip, with their hashes."""
    wanted = {_normalized(needed) for one in THEIRS for needed in required_by(one)}
    blocks = re.findall(r"^\S.*(?:\n[ \t].*)*\n", requirements, re.MULTILINE)
    return "".join(block for block in blocks if _normalized(re.split(r"[\[=; ]", block, maxsplit=1)[0]) in wanted)


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required_by(name: str) -> Iterator[str]:
    """Yield a distribution and everything it requires to run here, without extras and requirements of other platforms."""
    yield name
    for requirement in map(Requirement, distribution(name).requires or ()):
        is_needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if is_needed and requirement.name not in STUBS:
            yield from required_by(requirement.name)


if __name__ == "__main__":
    main()
