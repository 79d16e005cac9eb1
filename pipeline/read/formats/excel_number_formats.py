"""Show whole numbers as a sheet shows them, where a cell's number format adds zeros or literal text: 123 as 00123.

Only formats of digits and literal text are understood. Others (dates, fractions, thousands) change nothing here.
"""

from __future__ import annotations

import re
import zipfile
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.display import column_letters
from pipeline.read.containers import zip_archive
from pipeline.read.formats.excel_cells import column_number
from pipeline.read.formats.excel_package import local_name, parsed_part
from pipeline.read.formats.excel_xml_scan import OPEN, whole_cells
from pipeline.read.limits import Limits

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|(?P<space>_.)|(?P<fill>\*.)|\[[^\]]*\]|(?P<digit>[0#])'
    r"|(?P<plain>[-+$() :!&^'~{}=<>])"
)
_NOT_A_DIGIT_FORMAT = re.compile(r"\[[<>=]")  # a condition


@dataclass(frozen=True)
class DigitFormat:
    """A number format of digits and literal text: ``parts`` are "0" and "#" for digits, and literals after an apostrophe."""

    parts: tuple[str, ...]

    def display(self, number: int) -> str:
        """Return a number that is not negative as the sheet shows it."""
        digits, shown = str(number) if number else "", []
        left = sum(part in ("0", "#") for part in self.parts)
        for part in reversed(self.parts):
            if part not in ("0", "#"):
                shown.append(part[1:])
                continue
            left -= 1
            if not left:  # the first place takes all digits that are left
                shown.append(digits or ("0" if part == "0" else ""))
                digits = ""
            elif digits:
                shown.append(digits[-1])
                digits = digits[:-1]
            elif part == "0":
                shown.append("0")
        return "".join(reversed(shown))


def digit_format(code: str) -> DigitFormat | None:
    """Return the format of positive numbers, if it shows whole numbers otherwise than as their digits; else None."""
    if _NOT_A_DIGIT_FORMAT.search(code):
        return None
    parts: list[str] = []
    place = 0
    while place < len(code) and code[place] != ";":
        found = _TOKEN.match(code, place)
        if not found:
            return None
        place = found.end()
        literal = found["quoted"] or found["escaped"] or found["plain"]
        if found["digit"]:
            parts.append(found["digit"])
        elif literal:
            parts.append(f"'{literal}")
    literals = "".join(part[1:] for part in parts if part[0] == "'")
    if parts.count("0") + parts.count("#") == 0 or (parts.count("0") <= 1 and not literals.strip()):
        return None
    return DigitFormat(tuple(parts))


def digit_formats(archive: zipfile.ZipFile, styles: str, limits: Limits) -> dict[int, DigitFormat]:
    """Return the formats that add zeros or text, by the number of the style that cells name."""
    if not styles:
        return {}
    codes: dict[str, str] = {}
    used: list[str] = []
    for element in parsed_part(archive, styles, limits).iter():
        name = local_name(element.tag)
        if name == "numFmts":
            codes.update((one.get("numFmtId", ""), one.get("formatCode", "")) for one in element)
        elif name == "cellXfs":
            used = [one.get("numFmtId", "") for one in element]
    known = {key: digit_format(code) for key, code in codes.items()}
    return {number: form for number, key in enumerate(used) if (form := known.get(key))}


class SheetFormats:
    """Which cells of some columns have which of these formats."""

    def __init__(self, formats: Mapping[int, DigitFormat]) -> None:
        self._formats = list(formats.values())
        self._place = {style: place for place, style in enumerate(formats, 1)}
        self._columns: dict[int, array[int]] = {}

    def find(self, archive: zipfile.ZipFile, part: str, columns: Sequence[int], rows: int, limits: Limits) -> None:
        """Look through a sheet in which every cell has an address. ``columns`` count from 1."""
        if not self._place or not columns:
            return
        self._columns = {column: array("H", bytes(2 * (rows + 1))) for column in columns}
        styles = "|".join(map(str, self._place))
        letters = "|".join(column_letters(column) for column in columns)
        style = re.compile(rf"""(?:^|\s)s\s*=\s*["']({styles})["']""".encode())
        address = re.compile(rf"""(?:^|\s)r\s*=\s*["']({letters})([0-9]+)["']""".encode())
        for piece in whole_cells(zip_archive.chunks_of(archive, archive.getinfo(part), limits), limits):
            for attributes in OPEN.findall(piece):
                if (has := style.search(attributes)) and (at := address.search(attributes)) and int(at[2]) <= rows:
                    self._columns[column_number(at[1].decode())][int(at[2])] = self._place[int(has[1])]

    def at(self, line: int, column: int) -> DigitFormat | None:
        """Return the format of a cell; both numbers count from 1."""
        places = self._columns.get(column)
        place = places[line] if places is not None and line < len(places) else 0
        return self._formats[place - 1] if place else None
