"""What is asked of a patch -> its edits, checked against what is known of the file; and edits as the API shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pipeline.contracts.masking import MASK
from pipeline.contracts.patches import EDITS_MAX
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.personal_columns import is_visible
from pipeline.display import meant
from pipeline.ledger.models import ImportRecord, rfc3339
from pipeline.receive.patches import SKIPPED, Cell, Edit, EditKind, Patch
from web.app_context import app_context
from web.http.auth import key_in_use
from web.http.problems import Problem
from web.services import key_scope

CONFLICTS_SHOWN = 100
"""How many cells a problem lists; all are in the patch."""


@dataclass(frozen=True)
class CellChange:
    """A new value for a cell; ``old``: the value that is to be replaced, if the user said it."""

    row: int
    column: str
    new: str | None
    old: str | None = None


@dataclass(frozen=True)
class Like:
    """Something to do to every row with a finding of the same code, column and value; ``kind`` says what."""

    code: str
    column: str | None
    value: str | None
    kind: EditKind
    new: str | None = None


@dataclass(frozen=True)
class Changes:
    """What to change in a patch."""

    edits: Sequence[CellChange] = ()
    undo: Sequence[Cell] = ()
    skip_rows: Sequence[int] = ()
    unskip_rows: Sequence[int] = ()
    roots: Sequence[int] = ()
    like: Like | None = None


@dataclass(frozen=True)
class Editor:
    """What is known of the import whose cells are edited."""

    one: ImportRecord
    dataset: Dataset
    columns: tuple[str, ...]
    named: Mapping[str, str] = field(default_factory=dict)  # name in findings, and the file's own -> name in findings
    rows: int = 0  # the last row that the file itself has

    @classmethod
    def of(cls, one: ImportRecord) -> Editor:
        """Return the editor of an import's cells."""
        columns = tuple(one.reading.get("columns") or ())
        own = tuple(one.reading.get("original_columns") or columns)
        dataset = key_scope.dataset(one.dataset).for_upload(one.options)
        rows = one.records_total - int(one.reading.get("generated") or 0) + int(one.reading.get("left_out") or 0)
        named = {**dict(zip(own, columns, strict=False)), **dict(zip(columns, columns, strict=True))}
        return cls(one, dataset, columns, named, rows)

    def is_shown(self, column: str) -> bool:
        """Return whether this key may see values of a column."""
        return key_in_use().unmask or not self._is_masked(column)

    def _is_masked(self, column: str) -> bool:
        """Return whether findings quote a mask for the values of a column, also to a key that may see them."""
        return bool(self.dataset.personal and column) and not is_visible(self.dataset, column)

    def shown(self, patch: Patch, edit: Edit) -> dict[str, Any]:
        """Return an edit as the API shows it, with masks for values that this key may not see."""
        is_shown = self.is_shown(edit.column)
        return {
            "row": edit.row,
            "column": edit.column or None,
            "kind": str(edit.kind),
            "old": edit.old if edit.old is None or is_shown else MASK,
            "new": edit.new if edit.new is None or is_shown else MASK,
            "by": {"id": edit.by, "name": patch.names.get(edit.by)},
            "at": edit.at,
            "version": edit.version,
        }

    # --- what is asked for ---

    def cells_of(self, changes: Changes) -> set[Cell]:
        """Return the cells that changes are about."""
        said = {(change.row, self.named.get(change.column, change.column)) for change in changes.edits}
        said |= {*self.undone(changes)}
        said |= {(row, SKIPPED) for row in changes.skip_rows} | {(row, self.dataset.parent) for row in changes.roots}
        if changes.like:
            said |= {(row, self._column_of(changes.like)) for row in self._alike(changes.like)}
        return said

    def undone(self, changes: Changes) -> Iterator[Cell]:
        """Yield the cells whose edits are to be taken back."""
        yield from ((row, self.named.get(column, column)) for row, column in changes.undo)
        yield from ((row, SKIPPED) for row in changes.unskip_rows)

    def edits_of(self, changes: Changes, version: int) -> list[Edit]:
        """Return the edits that are asked for. Raises Problem for those that are not possible."""
        made: dict[str, Any] = {"by": key_in_use().id, "at": rfc3339(datetime.now(UTC)) or "", "version": version}
        cells = [replace(change, column=self._column(change.column)) for change in changes.edits]
        self._check_rows([*(change.row for change in cells), *changes.skip_rows, *changes.roots])
        known = self._known_values([*(change.row for change in cells), *changes.roots])
        self._check_old(cells, known)
        edits = [
            Edit(
                change.row,
                change.column,
                EditKind.EDIT,
                change.old if change.old is not None else known.get((change.row, change.column)),
                change.new or None,
                **made,
            )
            for change in cells
        ]
        edits += [Edit(row, SKIPPED, EditKind.SKIP, None, None, **made) for row in changes.skip_rows]
        parent = self._parent() if changes.roots else ""
        edits += [Edit(row, parent, EditKind.ROOT, known.get((row, parent)), None, **made) for row in changes.roots]
        if changes.like:
            edits += self._edits_like(changes.like, made)
        return edits

    def _edits_like(self, like: Like, made: Mapping[str, Any]) -> Iterator[Edit]:
        """Yield the edit of each row that has a finding like that."""
        if like.value is not None and like.column and self._is_masked(self.named.get(like.column, like.column)):
            detail = f"The values of {like.column} are stored masked, so which rows are alike cannot be told. Edit them singly."
            raise Problem("invalid_parameter", detail)
        column = self._column_of(like)
        rows = self._alike(like)
        if len(rows) > EDITS_MAX:
            raise Problem("too_many_edits")
        old = like.value if like.column == column else None
        for row in rows:
            yield Edit(row, column, like.kind, old, (like.new or None) if like.kind is EditKind.EDIT else None, **made)

    def _column_of(self, like: Like) -> str:
        """Return the column that an edit of all rows alike is about."""
        if like.kind is EditKind.SKIP:
            return SKIPPED
        return self._parent() if like.kind is EditKind.ROOT else self._column(like.column or "")

    def _alike(self, like: Like) -> list[int]:
        column = None if like.column is None else self.named.get(like.column, like.column)
        found = app_context().ledger.patches.alike(self.one.id, like.code, column, like.value, EDITS_MAX + 1)
        return [row for row in found if row <= self.rows]

    # --- checks ---

    def _column(self, name: str) -> str:
        found = self.named.get(name)
        if found is None:
            raise Problem("invalid_parameter", f"The file has no column {name!r}.{meant(name, [*self.named])}")
        return found

    def _parent(self) -> str:
        """Return the parent column. Raises Problem if parents are not written in a column."""
        if self.dataset.parent not in self.columns or (self.dataset.shape.kind and not self.dataset.options.without):
            detail = "The parents in this file follow from its shape, not from a column: edit the cells that they are made of."
            raise Problem("invalid_parameter", detail)
        return self.dataset.parent

    def _check_rows(self, rows: Sequence[int]) -> None:
        wrong = next((row for row in rows if not 1 <= row <= self.rows), None)
        if wrong is not None:
            raise Problem("invalid_parameter", f"The file has no row {wrong:,}; its last one is {self.rows:,}.")

    def _known_values(self, rows: Sequence[int]) -> dict[Cell, str]:
        """Return the values that findings quote in full, of columns that this key may see."""
        found = app_context().ledger.patches.values(self.one.id, sorted({*rows})) if rows else {}
        return {cell: value for cell, value in found.items() if not self._is_masked(cell[1])}

    def _check_old(self, cells: Sequence[CellChange], known: Mapping[Cell, str]) -> None:
        """Raise Problem if a finding quotes another value than the one that the user wants to replace."""
        others = [
            change
            for change in cells
            if change.old is not None and known.get((change.row, change.column), change.old) != change.old
        ]
        if not others:
            return
        first = others[0]
        detail = (
            f"Row {first.row:,} has {known[first.row, first.column]!r} in {first.column}, not {first.old!r}."
            " Nothing was changed. Reload the findings."
        )
        cells_told = [
            {"row": one.row, "column": one.column, "old": one.old, "is": known[one.row, one.column]}
            for one in others[:CONFLICTS_SHOWN]
        ]
        raise Problem("other_value", detail, cells=cells_told)

    def told(self, now: Patch, cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
        """Yield what the present edits of these cells are; of one that was taken back, only where it was."""
        for cell in cells:
            if cell in now.edits:
                yield self.shown(now, now.edits[cell])
            else:
                yield {"row": cell[0], "column": cell[1] or None, "kind": "undone"}
