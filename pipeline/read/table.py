"""What a format's reader found, besides the rows themselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """The table as a whole. ``longest_bytes`` and ``has_nul`` tell which checks of values are worth their time."""

    records: int
    columns: tuple[str, ...]
    longest_bytes: int
    has_nul: bool
    delimiter: str = ""
    is_plain: bool = False  # every character is printable ASCII, so none of those that ids may not have can be there
