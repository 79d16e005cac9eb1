"""Write events of the audit log as files, in constant memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pipeline.ledger.audit_log import COLUMNS
from pipeline.spreadsheet_cells import safe_cell

_CHUNK_EVENTS = 500


def as_ndjson(events: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """Yield one JSON object a line, with everything that the hash of an event covers: such a file can be verified."""
    while some := [*islice(events, _CHUNK_EVENTS)]:
        yield "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in some).encode()


def as_csv(events: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """Yield CSV for people: text that a spreadsheet would run as a formula is made safe."""
    yield _written([COLUMNS])
    while some := [*islice(events, _CHUNK_EVENTS)]:
        yield _written([_cells(event) for event in some])


def _written(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cells(event: Mapping[str, Any]) -> list[Any]:
    shown = {**event, "details": json.dumps(event["details"], ensure_ascii=False, sort_keys=True)}
    return [safe_cell(shown[name]) if isinstance(shown[name], str) else shown[name] for name in COLUMNS]
