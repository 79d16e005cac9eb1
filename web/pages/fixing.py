"""What can be corrected on a page of findings: its editors, what was changed so far, and the imports that followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from flask import get_flashed_messages, url_for

from pipeline.contracts.masking import MASK, PERSONAL
from pipeline.display import TABLE_FORMAT, counted
from pipeline.ledger.api_keys import Role
from pipeline.ledger.models import ImportRecord
from pipeline.receive.patches import EditKind, Patch
from web.app_context import app_context
from web.http.auth import key_in_use
from web.http.problems import Problem
from web.pages.cell_editors import Change, Changes, Editor, bad_place, column_names, editors
from web.services import key_scope
from web.services.patches import check_editable, current_patch, edits_of_rows, shown_edits
from web.services.reports import Report

ALIKE_COUNTED = 1000
"""Findings that are alike are counted up to this number: counting more would take longer and help little."""

RETRIES_SHOWN = 5


@dataclass(frozen=True)
class Fixing:
    """What a page of findings shows beside them.

    ``may``: whether this key may correct them; ``why_not``: why that is impossible for all.
    ``told``: what was changed in all, in words; empty if nothing was. ``said``: what the last act did.
    """

    action: str
    discard: str
    may: bool = False
    why_not: str = ""
    editors: Mapping[int, Editor] = field(default_factory=dict)
    told: str = ""
    last: Change | None = None
    version: int = 0
    retry_of: ImportRecord | None = None
    retries: Sequence[ImportRecord] = ()
    said: str = ""

    @property
    def is_changed(self) -> bool:
        """Return whether there is anything to import again."""
        return bool(self.told)


def fixing_of(
    report: Report, findings: Sequence[Mapping[str, Any]], *, here: str, unsaved: Mapping[tuple[int, int], str], said: str = ""
) -> Fixing:
    """Return what can be corrected at a page of findings of an import. ``here``: the page's address.

    ``unsaved``: what was typed into cells that another person changed meanwhile, by row and place. ``said``: what the page is
    to say of it.
    """
    one = report.one
    assert isinstance(one, ImportRecord)
    retry_of, retries = kin_of(one)
    none = Fixing(here, url_for("fix_pages.discard", import_id=one.id), retry_of=retry_of, retries=retries)
    if not may_fix(one):
        return replace(none, why_not=_why_not(one))
    patch = current_patch(one)
    changes = changes_of(one, patch, [finding["row"] for finding in findings if finding["row"] is not None])
    return replace(
        none,
        may=True,
        editors=editors(findings, one.reading, changes, _alike(one, findings), unsaved),
        told=told(patch),
        last=_last(patch),
        version=patch.version,
        said=said or " ".join(map(str, get_flashed_messages())),
    )


def may_fix(one: ImportRecord) -> bool:
    """Return whether this key may correct the file of an import, and whether there is anything to correct."""
    if not key_in_use().role.covers(Role.UPLOADER) or not one.findings_by_code or one.reading.get("format") == TABLE_FORMAT:
        return False
    try:
        check_editable(one)
    except Problem:
        return False
    return True


def kin_of(one: ImportRecord) -> tuple[ImportRecord | None, list[ImportRecord]]:
    """Return the import that this one retries, if any, and the last of those that retry this one, oldest first."""
    retries = app_context().ledger.imports.retries(one.id)[-RETRIES_SHOWN:]
    found = [key_scope.import_of(import_id) for import_id in retries]
    return key_scope.import_of(one.retry_of) if one.retry_of else None, [each for each in found if each is not None]


def changes_of(one: ImportRecord, patch: Patch, rows: Sequence[int]) -> Changes:
    """Return the changes of these rows, with masks for what this key may not see."""
    cells: dict[tuple[int, str], Change] = {}
    skipped: dict[int, Change] = {}
    roots: dict[int, Change] = {}
    edits = [edit for of_row in edits_of_rows(patch, rows).values() for edit in of_row] if patch.edits else []
    for shown in shown_edits(one, patch, edits) if edits else ():
        change = Change(
            shown["version"],
            shown["by"]["name"] or "",
            datetime.fromisoformat(shown["at"]),
            shown["old"],
            shown["new"],
            is_hidden=MASK in (shown["old"], shown["new"]),
        )
        if shown["kind"] == EditKind.SKIP:
            skipped[shown["row"]] = change
        elif shown["kind"] == EditKind.ROOT:
            roots[shown["row"]] = change
        else:
            cells[shown["row"], shown["column"]] = change
    return Changes(cells, skipped, roots)


def told(patch: Patch) -> str:
    """Return what a patch changes: ``12 edits, 3 rows skipped``; empty for nothing."""
    edits, skipped, roots = patch.counts
    parts = [
        counted(edits - roots, "edit") if edits > roots else "",
        f"{counted(skipped, 'row')} skipped" if skipped else "",
        f"{counted(roots, 'record')} made {'a root' if roots == 1 else 'roots'}" if roots else "",
    ]
    return ", ".join(filter(None, parts))


def _last(patch: Patch) -> Change | None:
    """Return the last change of a patch that is in force; None if there is none."""
    if not patch.edits:
        return None
    last = max(patch.edits.values(), key=lambda edit: edit.version)
    return Change(last.version, patch.names.get(last.by, ""), datetime.fromisoformat(last.at))


def _alike(one: ImportRecord, findings: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Return how many findings are like each one. Those of personal columns are not: all values have the same mask."""
    names, personal = column_names(one.reading), {*one.reading.get(PERSONAL, ())}

    def is_shown(finding: Mapping[str, Any]) -> bool:
        place = bad_place(finding, one.reading)
        return finding["column"] not in personal and (place is None or names[place] not in personal)

    kinds: dict[tuple[Any, ...], list[int]] = {}
    for finding in findings:
        if finding["row"] is not None and is_shown(finding):
            kinds.setdefault((finding["code"], finding["column"], finding["value"]), []).append(finding["finding_no"])
    counted_at = [numbers[0] for numbers in kinds.values()]  # often all findings of a page are alike
    found = app_context().ledger.findings.count_alike(one.id, counted_at, limit=ALIKE_COUNTED + 1)
    return {number: found.get(numbers[0], 1) for numbers in kinds.values() for number in numbers}


def _why_not(one: ImportRecord) -> str:
    """Return why nothing of an import can be corrected, if the role is not the reason."""
    if not key_in_use().role.covers(Role.UPLOADER) or not one.state.is_final:
        return ""
    try:
        check_editable(one)
    except Problem as problem:
        return problem.detail
    return ""
