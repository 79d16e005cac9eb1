"""Say why a file would certainly be rejected: what no look into the warehouse, and no rule of the suite, could change.

It is read and staged as an import would do it. A parent that the file lacks may be loaded, so that is no reason.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.contracts.options import OnError
from pipeline.datasets.dataset import Dataset
from pipeline.errors import RejectedFile
from pipeline.read import Limits, read
from pipeline.sandbox.matching.places import Places
from pipeline.sandbox.preview_model import Refusal, TreePreview
from pipeline.staging.cast import stage
from pipeline.staging.database import StagingDatabase

MOST = 20
_ONLY_IF_WHOLE = ("missing_parent", "ambiguous_parent")
"""What more of the file could change."""

_CODES = {"cycle": "circular_reference", "missing_id": "missing_id"}
"""The codes of misfits of the tree that no import accepts; duplicates may be equal, and parents may be loaded."""


def refusals_of(
    file: Path, asked: Dataset, limits: Limits, filename: str, *, is_whole: bool, header: int | None, tree: TreePreview | None
) -> tuple[Refusal, ...]:
    """Return why the file would certainly be rejected, at most MOST. ``asked``: the dataset with the upload's options."""
    with StagingDatabase.in_memory(file.parent) as database, database.connect() as connection:
        try:
            reading = read(file, asked, connection=connection, filename=filename, options=asked.options, limits=limits)
        except RejectedFile as error:
            return (Refusal(error.code, str(error), error.hint, error.line),)
        stage(connection, asked)
        if asked.tolerance.on_error is OnError.QUARANTINE:
            return ()
        found = connection.execute(
            """select code, message, coalesce(hint, ''), row, line, "column" from findings
            where severity = 'error' order by coalesce(row, 0), line limit $most""",
            {"most": MOST},
        ).fetchall()
    places = Places(reading, header)
    called = dict(zip(reading.columns, reading.original_columns, strict=True))
    certain = [
        Refusal(code, said, hint, places.row(row, line), called.get(column, column), places.cell(row, column, line))
        for code, said, hint, row, line, column in found
        if is_whole or code not in _ONLY_IF_WHOLE
    ]
    told = {(one.code, one.row) for one in certain}
    wrong = [one for one in (tree.misfits if tree else ()) if one.kind in _CODES and (_CODES[one.kind], one.row) not in told]
    said_rows = {one.row for one in certain if one.column == called.get(asked.key, asked.key)}
    certain += [
        Refusal(_CODES[one.kind], one.sentence, _HINTS[one.kind], one.row, cell=one.cell)
        for one in wrong
        if not (one.kind == "missing_id" and one.row in said_rows)
    ]
    return tuple(certain[:MOST])


_HINTS = {
    "cycle": "Correct one of the parents of the circle.",
    "missing_id": "Give every record its own ID, or leave the row out.",
}
