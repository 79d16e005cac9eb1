"""Merged cells: only the first of them has the value, so in the columns of ids the others are errors, or are filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.display import cell_name, listed
from pipeline.errors import Unreadable
from pipeline.read.limits import Limits
from pipeline.read.raw_tables import RawTables


@dataclass
class MergedRange:
    """One range; numbers count from 1, and ``first`` is the text of its first cell, once that row was read."""

    top: int
    left: int
    bottom: int
    right: int
    first: str | None = None

    @property
    def name(self) -> str:
        """Return the range as Excel names it."""
        return f"{cell_name(self.top, self.left)}:{cell_name(self.bottom, self.right)}"


class MergedRanges:
    """The merged ranges below the header, asked for row by row in ascending order."""

    def __init__(
        self, found: Sequence[tuple[tuple[int, int], tuple[int, int]]] | None, header: int, last: int, limits: Limits
    ) -> None:
        """Take ranges whose corners count from 0. Raises Unreadable if they cover too many rows to look at."""
        ranges = [MergedRange(top + 1, left + 1, bottom + 1, right + 1) for (top, left), (bottom, right) in found or ()]
        below = [one for one in ranges if one.bottom >= header and (one.bottom > one.top or one.right > one.left)]
        covered = sum(max(min(one.bottom, last) - one.top + 1, 0) for one in below)
        if covered > limits.cells:
            raise Unreadable(f"Merged cells of the workbook cover {covered:,} rows.", hint="Unmerge them.")
        self.all = sorted(below, key=lambda one: (one.top, one.left))
        self._waiting = self.all[::-1]
        self._active: list[MergedRange] = []

    def at(self, line: int) -> Sequence[MergedRange]:
        """Return the ranges that cover this row."""
        if not self._waiting and not self._active:
            return ()
        while self._waiting and self._waiting[-1].top <= line:
            self._active.append(self._waiting.pop())
        self._active = [one for one in self._active if one.bottom >= line]
        return self._active


def warn_of_merged(ranges: Sequence[MergedRange], is_filled: bool, staging: RawTables) -> None:
    """Warn about merged cells outside the columns of ids, or about all that were filled."""
    if not ranges:
        return
    cells = f"Cells are merged: {listed([one.name for one in ranges])}."
    if is_filled:
        message, hint = f"{cells} The value of each was written into all its cells (merged=fill).", ""
    else:
        message = f"{cells} Only the first cell of each has the value."
        hint = "Unmerge them, and write the value into each cell, or choose merged=fill."
    staging.add_finding("merged_cells", message, hint=hint, severity="warning")
