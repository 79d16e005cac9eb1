"""What the key in use may see of personal data: masks, or with the permission ``unmask`` the clear values.

What is stored for people is masked (pipeline/contracts/masking.py). This module finds the clear files for a key that may see
them, and withholds from the others what was stored before a column was tagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.adapters.s3 import NotThere
from pipeline.contracts.masking import PERSONAL, UNMASKED, is_personal
from pipeline.errors import InvalidConfiguration, UnknownDataset
from pipeline.ledger.audit_record import AuditRecord
from pipeline.ledger.models import ImportRecord
from web.app_context import app_context
from web.http.auth import key_in_use
from web.http.problems import Problem
from web.http.table_streams import open_parquet

SHOWN_CLEAR = ("message", "value", "hint", "cells", "id")
"""Fields of a finding that the ledger has masked."""


def may_unmask() -> bool:
    """Return whether the key in use sees personal data."""
    return key_in_use().unmask


def withheld(one: ImportRecord | AuditRecord, reading: dict[str, Any] | None = None) -> str:
    """Return why the values of an import or an audit are kept from this key; empty if they are not.

    They are if columns were tagged after its findings were stored, which are not masked then.
    """
    return withheld_of(one.dataset, one.reading if reading is None else reading)


def withheld_of(dataset: str, reading: dict[str, Any]) -> str:
    """Return the same for what was read as ``reading`` says."""
    if not reading or may_unmask():
        return ""
    try:
        personal = app_context().datasets.load(dataset, fresh=False).personal
    except (UnknownDataset, InvalidConfiguration):
        return ""
    if {*personal} <= {*reading.get(PERSONAL, ())}:
        return ""
    return (
        f"This was stored before columns of {dataset} were tagged as personal data, so its values are not masked. It is shown"
        " with a key that may unmask. Upload the file again, or start another audit, to have it masked."
    )


def check_shown(one: ImportRecord) -> None:
    """Raise Problem if the values of an import are kept from this key."""
    if said := withheld(one):
        raise Problem("forbidden", said)


def clear_prefix(one: ImportRecord | AuditRecord, prefix: str) -> str:
    """Return where the files of a report are that this key may see: ``prefix``, or the folder of the clear ones below it."""
    return prefix + UNMASKED if may_unmask() and is_personal(one.reading) else prefix


def with_clear_values(one: ImportRecord | AuditRecord, prefix: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return findings of the ledger with their clear values if this key may see them. ``prefix``: of the clear files."""
    if not rows or not (may_unmask() and is_personal(one.reading)):
        return [*rows]
    numbers = [row["finding_no"] for row in rows]
    try:
        clear = _numbered(prefix, numbers)
    except NotThere:
        return [*rows]
    return [{**row, **clear.get(row["finding_no"], {})} for row in rows]


def _numbered(prefix: str, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return the clear fields of the findings with these numbers; only the groups of rows that have them are read."""
    file, found = open_parquet(app_context().store, f"{prefix}findings.parquet"), {}
    at = file.schema_arrow.get_field_index("number")
    for group in range(file.num_row_groups):
        bounds = file.metadata.row_group(group).column(at).statistics
        if bounds is not None and not any(bounds.min <= number <= bounds.max for number in numbers):
            continue
        wanted = {*numbers}
        for row in file.read_row_group(group, columns=["number", *SHOWN_CLEAR]).to_pylist():
            if row["number"] in wanted:
                found[row.pop("number")] = row
    return found


def clear_key(key: str, prefix: str) -> str:
    """Return the key of a result file that this key may see. ``prefix``: of the import's results, with which it begins."""
    clear = prefix + UNMASKED + key.removeprefix(prefix)
    return clear if may_unmask() and app_context().store.head(clear) is not None else key
