"""Find the parts of an Excel workbook: through [Content_Types].xml and the _rels parts, wherever they are and however spelled.

Part names do not differ in case only (ECMA-376, part 2); some writers use backslashes. Strict OOXML has other namespaces, so
elements are compared by their local names, and relationships by the last word of their types.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree

from pipeline.errors import Unreadable
from pipeline.read.containers import zip_archive
from pipeline.read.limits import Limits
from pipeline.read.raw_tables import printable

_AGAIN = "Save it again in Excel."
_COPIED_CALC_ID = "124519"  # what libraries write that compute nothing


class Calculation(Enum):
    """What the workbook says about the values of its formulas."""

    DONE = "done"  # a spreadsheet program computed them
    UNKNOWN = "unknown"  # it does not say that any program did
    PENDING = "pending"  # they are to be computed when the workbook is opened


@dataclass(frozen=True)
class SheetPart:
    """A worksheet: its name, its part (as the archive spells it), and the parts of its tables."""

    name: str
    part: str
    is_visible: bool
    tables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Package:
    """The parts of a workbook, as the archive spells them; empty where there is none."""

    workbook: str
    sheets: tuple[SheetPart, ...]
    styles: str
    strings: str
    calculation: Calculation
    since_1904: bool  # dates are counted from 1904
    is_usual: bool  # every part is where Excel puts it, so that any reader finds it


def find_parts(archive: zipfile.ZipFile, limits: Limits) -> Package:
    """Find the parts. Raises Unreadable if one is missing, or broken."""
    names = _Names(archive, limits)
    workbook = _workbook(names)
    book, links = names.parsed(workbook), _links(names, workbook)
    sheets = tuple(_sheets(names, book, links))
    twice = [one.name for one in sheets if [other.name.casefold() for other in sheets].count(one.name.casefold()) > 1]
    if twice:
        raise Unreadable(f"The workbook has two sheets with the name {printable(twice[0])}.", hint=_AGAIN)
    styles, strings = (
        next((one.part for one in links.values() if one.kind == what), "") for what in ("styles", "sharedStrings")
    )
    read = [one for one in links.values() if one.kind in ("worksheet", "styles", "sharedStrings")]
    read += [one for one in _links(names, "").values() if one.kind == "officeDocument"] or [_Link("", "")]
    usual = (
        "_rels/.rels" in names.spelled
        and all(one.is_exact for one in read)
        and workbook == zip_archive.WORKBOOK
        and "xl/_rels/workbook.xml.rels" in names.spelled
        and styles in ("", "xl/styles.xml")
        and strings in ("", "xl/sharedStrings.xml")
        and all(re.fullmatch(r"xl/worksheets/[\w.-]+\.xml", one.part) for one in sheets)
        and _has_usual_names(names.read(workbook))
    )
    return Package(workbook, sheets, styles, strings, _calculation(book), _since_1904(book), usual)


def _has_usual_names(book: bytes) -> bool:
    """Return whether the sheets of a workbook's XML are written with the prefixes and the namespace that all readers know."""
    sheets = re.findall(rb"<(?:[\w.-]+:)?sheet\s[^<>]*>", book)
    return b"purl.oclc.org" not in book and all(re.search(rb"\sr:id\s*=", one) for one in sheets)


def local_name(tag: str) -> str:
    """Return a tag's or an attribute's name without its namespace."""
    return tag.rpartition("}")[2]


class _Names:
    """The parts by the names that refer to them."""

    def __init__(self, archive: zipfile.ZipFile, limits: Limits) -> None:
        self._archive, self._limits = archive, limits
        self.spelled = {entry.filename for entry in zip_archive.checked_entries(archive, limits)}
        self._parts: dict[str, str] = {}
        for name in sorted(self.spelled):
            other = self._parts.setdefault(_plain(name), name)
            if other != name:
                raise Unreadable(f"The workbook has the part {printable(name)} twice.", hint=_AGAIN)

    def find(self, name: str) -> str:
        """Return how the archive spells a part, or an empty string if it has no such part."""
        return self._parts.get(_plain(name), "")

    def read(self, part: str) -> bytes:
        """Return the bytes of a small part. Raises Unreadable if it is missing, too long or has entities."""
        if part not in self.spelled:
            raise Unreadable(f"The Excel workbook is damaged: it has no part {printable(part)}.", hint=_AGAIN)
        most = self._limits.record_bytes
        with self._archive.open(part) as file:
            text = file.read(most + 1)
        if len(text) > most:
            raise Unreadable(f"The workbook's part {printable(part)} is longer than {most:,} bytes.")
        check_entities(text, part)
        return text

    def parsed(self, part: str) -> ElementTree.Element:
        """Return the root of a small part. Raises Unreadable."""
        try:
            return ElementTree.fromstring(self.read(part))
        except ElementTree.ParseError as error:
            raise Unreadable(f"The Excel workbook is damaged: its part {printable(part)}: {error}.", hint=_AGAIN) from error


def parsed_part(archive: zipfile.ZipFile, part: str, limits: Limits) -> ElementTree.Element:
    """Return the root of a small part. Raises Unreadable."""
    return _Names(archive, limits).parsed(part)


def check_entities(text: bytes, part: str) -> None:
    """Raise Unreadable if the XML declares entities, or is UTF-16."""
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text or b"\0" in text:
        raise Unreadable(
            f"The workbook's part {printable(part)} declares entities, or is not UTF-8; no spreadsheet program writes that.",
            hint="Save the workbook again in Excel.",
        )


def _plain(name: str) -> str:
    return posixpath.normpath(name.replace("\\", "/").strip("/")).casefold()


def _workbook(names: _Names) -> str:
    """Return the part with the list of the sheets."""
    if types := names.find("[Content_Types].xml"):
        for one in names.parsed(types):
            if zip_archive.WORKBOOK_TYPE.search(one.get("ContentType", "")) and one.get("PartName"):
                return names.find(one.get("PartName", "")) or one.get("PartName", "")
    linked = (one.part for one in _links(names, "").values() if one.kind == "officeDocument")
    return next(linked, names.find(zip_archive.WORKBOOK) or zip_archive.WORKBOOK)


class _Link(NamedTuple):
    kind: str
    part: str
    is_exact: bool = False  # it names the part as the archive does


def _links(names: _Names, part: str) -> dict[str, _Link]:
    """Return what a part refers to, by id. There may be nothing."""
    folder, name = posixpath.split(part.replace("\\", "/").strip("/"))
    listed = names.find(posixpath.join(folder, "_rels", f"{name}.rels"))
    found: dict[str, _Link] = {}
    for link in names.parsed(listed) if listed else ():
        said = link.get("Target", "")
        target = said.replace("\\", "/")
        if link.get("TargetMode") != "External":
            at = posixpath.join("/", folder, target)
            spelled = names.find(at) or names.find(unquote(at)) or names.find(target) or posixpath.normpath(at).strip("/")
            is_exact = said in (f"/{spelled}", spelled.removeprefix(f"{folder}/"))
            found[link.get("Id", "")] = _Link(link.get("Type", "").rpartition("/")[2], spelled, is_exact)
    return found


def _sheets(names: _Names, book: ElementTree.Element, links: Mapping[str, _Link]) -> Iterator[SheetPart]:
    for sheet in book.iter():
        if local_name(sheet.tag) != "sheet":
            continue
        link = next((value for key, value in sheet.items() if local_name(key) == "id"), "")
        kind, part, _ = links.get(link, _Link("", ""))
        if not part or (kind == "worksheet" and part not in names.spelled):
            raise Unreadable(
                f"The Excel workbook is damaged: the sheet {printable(sheet.get('name', ''))} is missing.", hint=_AGAIN
            )
        if kind == "worksheet":
            tables = tuple(
                one.part for one in _links(names, part).values() if one.kind == "table" and one.part in names.spelled
            )
            yield SheetPart(sheet.get("name", ""), part, sheet.get("state", "visible") == "visible", tables)


def _calculation(book: ElementTree.Element) -> Calculation:
    said = next((one for one in book.iter() if local_name(one.tag) == "calcPr"), None)
    if said is None:
        return Calculation.UNKNOWN
    if said.get("fullCalcOnLoad") in ("1", "true"):
        return Calculation.PENDING
    return Calculation.UNKNOWN if said.get("calcId") == _COPIED_CALC_ID else Calculation.DONE


def _since_1904(book: ElementTree.Element) -> bool:
    said = next((one for one in book.iter() if local_name(one.tag) == "workbookPr"), None)
    return said is not None and said.get("date1904") in ("1", "true")
