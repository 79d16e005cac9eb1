"""Read and make the cursors of keyset pagination: the next page begins after the last row of the page before, by an index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from web.http.problems import Problem

Row = TypeVar("Row")


def cursor_row(cursor: str | None) -> int:
    """Return the number of the last row of the page before, 0 for the first page. Raises Problem for an invalid cursor."""
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise Problem("bad_request", "Invalid cursor. Send the next_cursor of the page before, unchanged.")
    return int(cursor)


def page_of(found: Sequence[Row], limit: int, cursor: Callable[[Row], object]) -> tuple[Sequence[Row], str | None]:
    """Return the rows of a page and the cursor of the next one; None if this is the last page.

    ``found``: the rows of a query for ``limit`` + 1 rows. The additional one shows that there is a next page.
    """
    rows = found[:limit]
    return rows, str(cursor(rows[-1])) if len(found) > limit else None
