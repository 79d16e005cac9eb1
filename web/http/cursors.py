"""Read the cursors of keyset pagination: the next page begins after the last row of the page before, found by an index."""

from __future__ import annotations

from web.http.problems import Problem


def cursor_row(cursor: str | None) -> int:
    """Return the number of the last row of the page before, 0 for the first page. Raises Problem for an invalid cursor."""
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise Problem("bad_request", "Invalid cursor. Send the next_cursor of the page before, unchanged.")
    return int(cursor)
