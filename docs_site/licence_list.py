"""The licences of what Bulkhead needs at run time: ``make licences`` writes them to build/licences.csv."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Package(NamedTuple):
    """An installed package with the licence that its metadata names."""

    name: str
    version: str
    licence: str


def pinned() -> list[str]:
    """Return the names in requirements.txt: what the application needs, and all that these need."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    return re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]+\])?==", text, re.MULTILINE)


@cache
def runtime() -> list[Package]:
    """Return those of them that are installed, by name; a pin for another system is not."""
    options = ["--from", "mixed", "--format", "json", "--python", sys.executable, "--packages", *pinned()]
    command = [sys.executable, "-m", "piplicenses", *options]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return sorted(Package(one["Name"], one["Version"], one["License"]) for one in found)


def main() -> None:
    """Write them as CSV."""
    target = ROOT / "build" / "licences.csv"
    target.parent.mkdir(exist_ok=True)
    with target.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([Package._fields, *runtime()])


if __name__ == "__main__":
    main()
