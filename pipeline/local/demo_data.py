"""Real data for the demo and the tests: the countries and subdivisions of ISO 3166, from pycountry.

The parent of a subdivision is another one if the standard says so (a department in its region), else its country; a country has
no parent. So the places form a forest of four levels.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

COLUMNS = ("id", "parentId", "name", "kind", "alpha_3", "numeric_code", "flag")


def places_csv(path: Path) -> int:
    """Write the places to ``path`` as CSV, in the order of pycountry, and return their number."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for place in places():
            writer.writerow(place)
            count += 1
    return count


def places() -> Iterator[tuple[str, ...]]:
    """Yield a tuple of COLUMNS for each place; missing values are empty."""
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
    """Return the id of a subdivision's parent; ``parent`` may be given with or without the prefix of its country."""
    if not parent:
        return country
    return parent if "-" in parent else f"{country}-{parent}"


def broken_csv(path: Path) -> None:
    """Write a small CSV file with one error of each kind: a duplicate id, a missing parent, a cycle."""
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
