"""The pages of the findings of an import or an audit, each with its row and the wrong cell marked, and of the whole report.

They read the ledger by keyset pagination, so a page costs the same at a hundred findings and at a million.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue

from pipeline.display import TABLE_FORMAT, meant, place_and_record, place_of, record_at
from pipeline.ledger.api_keys import Role
from pipeline.ledger.models import ImportRecord
from web.http.auth import for_role
from web.http.cursors import cursor_row
from web.http.problems import Problem
from web.pages import cycle_diagram
from web.pages.cell_editors import bad_place
from web.pages.fixing import Fixing, fixing_of
from web.services.imports import find
from web.services.reports import Report, of_import

FINDINGS_SHOWN = 50
CYCLES_SHOWN = 6
CIRCULAR = "circular_reference"

pages = Blueprint("finding_pages", __name__)


@dataclass(frozen=True)
class ReportPage:
    """A report, and what its pages say of whose it is and where they are.

    ``above``: address and name of each page above. ``record_page``: the address of a record by its ID, if it is loaded.
    """

    report: Report
    subject: str
    records: int
    above: Sequence[tuple[str, str]]
    api: str
    here: str  # the address of the page of findings
    record_page: Callable[[str], str] | None = None
    fixing: Callable[[Sequence[dict[str, Any]]], Fixing] | None = None  # what can be corrected at findings
    verdicts: str = ""  # the address of Great Expectations' result as a download; empty: it is a file of the report


@dataclass(frozen=True)
class Cell:
    """A value of a row with a finding; ``text`` is None if the file has no value."""

    name: str
    text: str | None
    is_bad: bool


@dataclass(frozen=True)
class Cycle:
    """A circular reference, with its drawing if it is short enough; ``place``: where it is reported."""

    place: str
    path: list[str]
    ring: cycle_diagram.Ring | None


def of_import_page(one: ImportRecord, unsaved: Mapping[tuple[int, int], str] | None = None, said: str = "") -> ReportPage:
    """Return the pages of an import's report.

    ``unsaved``: what was typed into cells and could not be saved. ``said``: why.
    """
    name = one.filename or "upload"
    above = [(url_for("pages.imports_page"), "Imports"), (url_for("pages.import_page", import_id=one.id), name)]
    here = url_for("finding_pages.findings_page", import_id=one.id)
    report = of_import(one)
    fixing = partial(fixing_of, report, here=_here(here), unsaved=unsaved or {}, said=said)
    api = f"/v1/imports/{one.id}"
    return ReportPage(report, name, one.records_total, above, api, here, fixing=fixing, verdicts=f"{api}/validation")


def _here(page: str) -> str:
    """Return the address of the present page of findings."""
    asked = {name: value for name in ("code", "q", "after") if (value := request.args.get(name))}
    return _address(page, asked)


@pages.get("/imports/<name:import_id>/findings")
@for_role(Role.READER)
def findings_page(import_id: str) -> ResponseReturnValue:
    """Show a page of findings: all, those of one ``code``, or those found by ``q`` (an ID, a value, a place or a code)."""
    return show_findings(of_import_page(find(import_id)))


def show_findings(page: ReportPage) -> str:
    """Return the page of findings that the request asks for: all, those of a ``code``, or those found by ``q``."""
    report, one = page.report, page.report.one
    wanted = request.args.get("q", "").strip() or None
    code = request.args.get("code") or _code_named(report, wanted)
    if code == _code_named(report, wanted):
        wanted = None if code else wanted
    codes = [code] if code else [*one.findings_by_code] if wanted else None
    found = _found(report, wanted, codes) if not report.removed else []
    items = found[:FINDINGS_SHOWN]
    asked = {name: value for name, value in (("code", code), ("q", wanted)) if value}
    after = {"after": items[-1]["finding_no"]} if len(found) > FINDINGS_SHOWN else None
    return render_template(
        "findings.html",
        **_shared(page),
        records=page.records,
        code=code,
        wanted=wanted,
        codes=sorted(one.findings_by_code.items(), key=lambda item: -item[1]),
        report_page=url_for("pages.report_page", import_id=one.id) if isinstance(one, ImportRecord) else None,
        rows=[(finding, cells_of(finding, one.reading)) for finding in items],
        names=_names(one.reading, items),
        fix=page.fixing(items) if page.fixing and not report.removed else None,
        cycles=_cycles(report) if not wanted and code in (None, CIRCULAR) and "after" not in request.args else [],
        is_first="after" not in request.args,
        first_page=_address(page.here, asked),
        next_page=_address(page.here, {**asked, **after}) if after else None,
    )


def show_report(page: ReportPage) -> str:
    """Return the page with the Data Docs of a report. Raises Problem if they are not kept, or never existed."""
    page.report.check_kept()
    if not page.report.has_page():
        raise Problem("no_report", f"This {page.report.noun} has no report; it is {page.report.one.state}.")
    docs = f"{page.api}/report/"
    verdicts = page.verdicts or f"{docs}validation.json"
    return render_template("report.html", **_shared(page), docs=docs, verdicts=verdicts, findings_page=page.here)


def _shared(page: ReportPage) -> dict[str, Any]:
    report = page.report
    named = {"one": report.one, "noun": report.noun, "removed": report.removed, "subject": page.subject}
    return {**named, "above": page.above, "api": page.api, "here": page.here, "record_page": page.record_page}


def _address(page: str, asked: dict[str, Any]) -> str:
    return f"{page}?{urlencode(asked)}" if asked else page


def _code_named(report: Report, wanted: str | None) -> str | None:
    """Return the code that a search term names, as code or in words; None if it names none."""
    name = (wanted or "").lower().replace(" ", "_")
    return name if name in report.one.findings_by_code else None


def _found(report: Report, wanted: str | None, codes: list[str] | None) -> list[dict[str, Any]]:
    one = report.one
    if codes and not {*codes} <= {*one.findings_by_code}:
        known = sorted(one.findings_by_code)
        said = f"This {report.noun} has no findings with the code {codes[0]!r}.{meant(codes[0], known)}"
        raise Problem("bad_request", f"{said} Codes of its findings: {', '.join(known) or 'none'}.")
    after = cursor_row(request.args.get("after"))
    row = record_at(wanted, one.reading) if wanted and one.reading.get("format") != TABLE_FORMAT else None
    if row is not None and not report.page(wanted=wanted, codes=codes, limit=1):
        wanted = str(row)  # a place in the file, unless an ID or a value looks like one
    return report.page(wanted=wanted, codes=codes, after=after, limit=FINDINGS_SHOWN + 1)


def _cycles(report: Report) -> list[Cycle]:
    """Return the first circular references of a report."""
    one = report.one
    if CIRCULAR not in one.findings_by_code or report.removed:
        return []
    found = report.page(codes=[CIRCULAR], limit=CYCLES_SHOWN)
    is_table = one.reading.get("format") == TABLE_FORMAT
    return [
        Cycle(
            "" if is_table else place_and_record(place_of(each, one.reading), each["row"]),
            each["cycle"],
            cycle_diagram.ring(each["cycle"]),
        )
        for each in found
        if each["cycle"]
    ]


def cells_of(finding: dict[str, Any], reading: dict[str, Any]) -> list[Cell]:
    """Return the row of a finding as it is in the file. The wrong cell is found by either name of its column."""
    originals, bad = [str(name) for name in reading.get("original_columns", [])], bad_place(finding, reading)
    given = finding["cells"] or []
    return [Cell(name, text, place == bad) for place, (name, text) in enumerate(zip(originals, given, strict=False))]


def _names(reading: dict[str, Any], items: Sequence[dict[str, Any]]) -> list[str]:
    """Return the columns of the table: those of the file, as far as their cells are stored."""
    widest = max((len(finding["cells"] or []) for finding in items), default=0)
    return [str(name) for name in reading.get("original_columns", [])[:widest]]
