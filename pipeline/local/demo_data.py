"""Real data for the demo and the tests: ISO 3166's countries and their subdivisions, as pycountry carries them.

A subdivision lies in another one where the standard says so (a department in its region), else in its country; a
country lies in nothing. So the places make a forest of four levels.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

COLUMNS = ("id", "parentId", "name", "kind", "alpha_3", "numeric_code", "flag")


def places_csv(path: Path) -> int:
    """Write the places to ``path``, in the order of pycountry, and return how many there are."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for place in places():
            writer.writerow(place)
            count += 1
    return count


def places() -> Iterator[tuple[str, ...]]:
    """One tuple of COLUMNS a place; what a place has not got is empty."""
    import pycountry

    for country in pycountry.countries:
        yield (
            country.alpha_2,
            "",
            country.name,
            "Country",
            country.alpha_3,
            str(int(country.numeric)),  # a number in our table: 004 is 4
            country.flag,
        )
    for part in pycountry.subdivisions:
        yield part.code, parent_of(part.country_code, part.parent_code), part.name, part.type, "", "", ""


def parent_of(country: str, parent: str | None) -> str:
    """The id of the place that a subdivision lies in: ``parent`` may be given with its country's prefix or without."""
    if not parent:
        return country
    return parent if "-" in parent else f"{country}-{parent}"


def broken_csv(path: Path) -> None:
    """Write a small file with one mistake of each kind: an id given twice, a parent that nobody has, a circle."""
    path.write_text(
        "id,parentId,name,kind\n"
        "XA,,Atlantis,Country\n"
        "XA,,Atlantis Nova,Country\n"
        "XA-1,XB,Lost Valley,Province\n"
        "XC,XC-2,Penrose,Country\n"
        "XC-1,XC,Ascending,Region\n"
        "XC-2,XC-1,Descending,Region\n",
        encoding="utf-8",
    )
