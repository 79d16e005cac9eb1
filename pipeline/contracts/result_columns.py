"""What Bulkhead adds to files that people download and correct: by these names one is recognised when it comes back."""

from __future__ import annotations

import re

ADDED = ("row", "code", "reason")
"""The last columns of a file of results; a fourth one, ``text``, has rows that could not be split into columns."""

TEXT = "text"

WORKBOOK_SHEETS = ("Records", "About", "Findings")
"""The sheets of a workbook of findings; the first one has the file's own columns behind one that numbers them."""

NUMBERED = ("row", "line", "record")
"""What that first column can be called."""

_DOWNLOADED = re.compile(
    r"(?:failed|unprocessed|succeeded|findings)-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b"
)


def import_in_name(filename: str) -> str | None:
    """Return the ID of the import whose results, or findings, a file of this name is; None for any other name."""
    found = _DOWNLOADED.search(filename)
    return found[1] if found else None
