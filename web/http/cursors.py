"""Cursors of keyset pagination."""

from __future__ import annotations

from web.http.problems import Problem


def row_in(cursor: str | None) -> int:
    """The number of the last row of the page before, 0 if there was none."""
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise Problem("bad_request", "The cursor is none of ours: send next_cursor of the page before, as it came.")
    return int(cursor)
