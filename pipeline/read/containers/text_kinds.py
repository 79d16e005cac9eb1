"""Recognise texts that are no table: pages, markup, mail, dumps of databases, by how they begin."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

_SQL = re.compile(
    rb"(INSERT\s+INTO|REPLACE\s+INTO|CREATE\s+(TABLE|DATABASE|SCHEMA|TEMP)|DROP\s+TABLE|COPY\s+\S+\s*(\([^)]*\))?\s+FROM"
    rb"|BEGIN(\s+TRANSACTION)?;|START\s+TRANSACTION;|PRAGMA\s+\w+|SET\s+[\w@ ]+\s*(=|TO)\s|USE\s+[\w`\[\]]+;\s*\n|LOCK\s+TABLES"
    rb"|ALTER\s+TABLE|DELETE\s+FROM|TRUNCATE\s)",
    re.IGNORECASE,
)
_ONE_CASE = re.compile(rb"[A-Z]+\b|[a-z]+\b")
_SQL_COMMENTS = re.compile(rb"(\s+|--[^\n]*(\n|$)|/\*.*?\*/;?|#[^\n]*(\n|$))*", re.DOTALL)
_MAIL = re.compile(
    rb"(Return-Path|Received|Delivered-To|MIME-Version|Message-ID|From|To|Date|Subject|Content-Type|X-[\w-]+):\s?\S",
    re.IGNORECASE,
)
_YAML_START = re.compile(rb"(%YAML|---\s*(#.*)?$|- [\w\"'-]+:(\s|$)|[\w\"'-]+:\s*(#.*)?$)")
_YAML_NEXT = re.compile(rb"\s*(- )?[\w\"'-]+:(\s|$)|\s*- ")
_SECTION = re.compile(rb"(?:[ \t]*(?:[#;][^\n]*)?\r?\n)*(\[)?\[[\w .:\"-]+\]\]?[ \t]*\r?\n(?:\s*[#;][^\n]*\n)*\s*[\w.\"-]+\s*=")
_SYLK = re.compile(rb"ID;P[A-Z0-9 ]*(;[NE])*\r?\n[A-Z];")


def _markup(head: bytes) -> tuple[str, str] | None:
    opening = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not opening.startswith(b"<"):
        return None
    folded = opening[:4096].lower()
    first = re.sub(rb"^(<\?xml.*?\?>|<!--.*?-->|\s+)*", b"", folded, flags=re.DOTALL)
    if first.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<table", b"<meta", b"<style")):
        if b"<table" in folded or b"schemas-microsoft-com:office:excel" in folded:
            return (
                "an HTML page with a table",
                "Open it in a browser, copy the table into a spreadsheet, and save that as CSV UTF-8 or xlsx.",
            )
        return "an HTML page, perhaps an error message or a sign-in page that was saved as a file", ""
    if b"urn:schemas-microsoft-com:office:spreadsheet" in folded or b'progid="excel.sheet"' in folded:
        return "an Excel 2003 workbook in XML", "Open it in Excel or LibreOffice, and save it as an Excel workbook (xlsx)."
    if first.startswith(b"<svg") or b"<!doctype svg" in folded:
        return "an SVG image", "An image has no table that can be read: upload the table that it shows."
    if b"<mediawiki" in folded:
        return "a dump of MediaWiki (XML)", "Make a table of it: one line a record, with its id and its parent's id."
    if b"<kml" in folded or b"opengis.net/gml" in folded:
        return "geographic data in XML (KML, GML)", "In QGIS: Export > Save Features As > Comma Separated Value."
    if b"<rdf:rdf" in folded or b"www.w3.org/2002/07/owl" in folded:
        return (
            "RDF or OWL in XML",
            "Make a table of it with a SPARQL query, or with rdflib or ROBOT export, and save it as CSV.",
        )
    if b"<plist" in folded:
        return "a property list of Apple (XML)", "Export the table from the program that made it."
    return "XML", "In Excel: Data > Get Data > From XML, or convert it to CSV or JSON with one record a line."


def _sql(head: bytes) -> tuple[str, str] | None:
    text = head.removeprefix(codecs.BOM_UTF8)
    commands = text[_SQL_COMMENTS.match(text).end() :] if text[:1] in b"-/# \r\n\t" else text  # type: ignore[union-attr]
    if not _SQL.match(commands) or not _ONE_CASE.match(commands):  # a header may begin with Set or Use
        return None
    return "a dump of a database, in SQL", "Load it into a database, and export the table as CSV with the column names."


def _mail(head: bytes) -> tuple[str, str] | None:
    lines = head.splitlines()[:12]
    mbox = bool(lines) and re.match(rb"From \S+@?\S* +\w{3} \w{3} ", lines[0]) is not None
    fields = {found[1].lower() for line in lines if (found := _MAIL.match(line))}
    if mbox or (len(fields) >= 3 and _MAIL.match(lines[0])):
        return "an e-mail message (eml)", "Save its attachment, and upload that."
    return None


def _yaml(head: bytes) -> tuple[str, str] | None:
    lines = [line for line in head[:2000].splitlines() if line.strip() and not line.lstrip().startswith(b"#")][:6]
    if (
        len(lines) < 2
        or not _YAML_START.match(lines[0])
        or not all(_YAML_NEXT.match(line) for line in lines[1:-1] or lines[1:])
    ):
        return None
    return "YAML", "Convert it to JSON, for instance: yq -o=json records.yaml > records.json."


def _sections(head: bytes) -> tuple[str, str] | None:
    """Recognise TOML, and INI files: names in brackets, and lines with an equals sign."""
    found = _SECTION.match(head)
    if not found:
        return None
    if found[1]:
        return "TOML", "Convert it to JSON, for instance: yq -p toml -o json records.toml > records.json."
    return "a configuration file (INI)", "Write one line a record, as CSV, with the names as the header."


def _sylk(head: bytes) -> tuple[str, str] | None:
    if not _SYLK.match(head):
        return None
    return "a spreadsheet in the symbolic link format (SYLK)", "Open it in Excel, and save it as CSV UTF-8 or xlsx."


def _graph(head: bytes) -> tuple[str, str] | None:
    """Recognise formats of graphs and ontologies that are texts."""
    if re.match(rb"(strict\s+)?(di)?graph\s+[\w\"]*\s*\{", head):
        return "a graph for Graphviz (dot)", "Make a table of it: one line a record, with its id and its parent's id."
    if re.match(rb"format-version:\s*1\.\d", head):
        return "an ontology (OBO)", "Make a table of it, for instance with ROBOT export, and save it as CSV."
    if re.match(rb"(@prefix|@base|PREFIX)\s", head):
        return "RDF (Turtle)", "Make a table of it with a SPARQL query, and save it as CSV."
    if head.startswith(b"BEGIN:V"):
        return "a calendar or address card (ics, vcf)", "Export it as CSV from the program that made it."
    return None


TEXT_KINDS: tuple[Callable[[bytes], tuple[str, str] | None], ...] = (_markup, _sql, _mail, _sylk, _graph, _yaml, _sections)
"""Each returns what the text is and what to do, or None."""
