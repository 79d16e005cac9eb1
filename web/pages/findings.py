"""The pages of an import's findings, each with its row of the file and the wrong cell marked.

They read the ledger by keyset pagination, so a page costs the same at a hundred findings and at a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from pipeline.contracts.object_keys import Kept
from pipeline.display import meant, place_and_record, place_of, record_at
from pipeline.ledger.api_keys import Role
from pipeline.ledger.models import ImportRecord
from web.app_context import app_context
from web.http.auth import for_role
from web.http.cursors import cursor_row
from web.http.problems import Problem
from web.pages import cycle_diagram
from web.services.imports import find, removal

FINDINGS_SHOWN = 50
CIRCLES_SHOWN = 6
CIRCULAR = "circular_reference"

pages = Blueprint("finding_pages", __name__)


@dataclass(frozen=True)
class Cell:
    """A value of a row with a finding; ``text`` is None if the file has no value."""

    name: str
    text: str | None
    is_bad: bool


@dataclass(frozen=True)
class Circle:
    """A circular reference, with its drawing if it is short enough; ``place``: where it is reported."""

    place: str
    path: list[str]
    ring: cycle_diagram.Ring | None


@pages.get("/imports/<name:import_id>/findings")
@for_role(Role.READER)
def findings_page(import_id: str) -> ResponseReturnValue:
    """Show a page of findings: all, those of one ``code``, or those found by ``q`` (an ID, a value, a place or a code)."""
    one = find(import_id)
    wanted = request.args.get("q", "").strip() or None
    code = request.args.get("code") or _code_named(one, wanted)
    if code == _code_named(one, wanted):
        wanted = None if code else wanted
    codes = [code] if code else [*one.findings_by_code] if wanted else None
    found = _found(one, wanted, codes) if not one.report_removed_at else []
    items = found[:FINDINGS_SHOWN]
    return render_template(
        "findings.html",
        one=one,
        removed=removal(one, Kept.REPORT),
        code=code,
        wanted=wanted,
        codes=sorted(one.findings_by_code.items(), key=lambda item: -item[1]),
        rows=[(finding, cells_of(finding, one.reading)) for finding in items],
        names=_names(one.reading, items),
        circles=_circles(one) if not wanted and code in (None, CIRCULAR) and "after" not in request.args else [],
        more=items[-1]["finding_no"] if len(found) > FINDINGS_SHOWN else None,
        is_first="after" not in request.args,
    )


def _code_named(one: ImportRecord, wanted: str | None) -> str | None:
    """Return the code that a search term names, as code or in words; None if it names none."""
    name = (wanted or "").lower().replace(" ", "_")
    return name if name in one.findings_by_code else None


def _found(one: ImportRecord, wanted: str | None, codes: list[str] | None) -> list[dict[str, Any]]:
    if codes and not {*codes} <= {*one.findings_by_code}:
        known = sorted(one.findings_by_code)
        said = f"This import has no findings with the code {codes[0]!r}.{meant(codes[0], known)}"
        raise Problem("bad_request", f"{said} Codes of its findings: {', '.join(known) or 'none'}.")
    after = cursor_row(request.args.get("after"))
    row = record_at(wanted, one.reading) if wanted else None
    if row is not None and not app_context().ledger.findings.page(one.id, wanted=wanted, codes=codes, limit=1):
        wanted = str(row)  # a place in the file, unless an ID or a value looks like one
    return app_context().ledger.findings.page(one.id, wanted=wanted, codes=codes, after=after, limit=FINDINGS_SHOWN + 1)


def _circles(one: ImportRecord) -> list[Circle]:
    """Return the first circular references of an import."""
    if CIRCULAR not in one.findings_by_code or one.report_removed_at:
        return []
    found = app_context().ledger.findings.page(one.id, codes=[CIRCULAR], limit=CIRCLES_SHOWN)
    return [
        Circle(place_and_record(place_of(each, one.reading), each["row"]), each["cycle"], cycle_diagram.ring(each["cycle"]))
        for each in found
        if each["cycle"]
    ]


def cells_of(finding: dict[str, Any], reading: dict[str, Any]) -> list[Cell]:
    """Return the row of a finding as it is in the file. The wrong cell is found by either name of its column."""
    given = finding["cells"] or []
    originals = [str(name) for name in reading.get("original_columns", [])]
    names = [str(name) for name in reading.get("columns", [])]
    bad = next((known.index(finding["column"]) for known in (names, originals) if finding["column"] in known), None)
    return [Cell(name, text, place == bad) for place, (name, text) in enumerate(zip(originals, given, strict=False))]


def _names(reading: dict[str, Any], items: Sequence[dict[str, Any]]) -> list[str]:
    """Return the columns of the table: those of the file, as far as their cells are stored."""
    widest = max((len(finding["cells"] or []) for finding in items), default=0)
    return [str(name) for name in reading.get("original_columns", [])[:widest]]
