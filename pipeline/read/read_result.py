"""What a format's reader returns, besides the rows that it wrote."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadResult:
    """The table as a whole. ``longest_bytes`` and ``has_nul`` tell which checks of values can be skipped.

    ``columns`` are the names in ``raw``, ``originals`` what the file calls them, one for one; none if it calls them the same.
    """

    records: int
    columns: tuple[str, ...]
    longest_bytes: int
    has_nul: bool
    delimiter: str = ""
    originals: tuple[str, ...] = ()
    is_plain: bool = False  # every character is printable ASCII, so no character is one that ids may not have
    sheet: str = ""  # of a workbook
    sheets: int = 0  # of a workbook: those that are shown and hold anything
    letters: tuple[str, ...] = ()  # of a workbook: what Excel calls the columns, one for one
    hint: str = ""  # what the format's reader knows to do about columns that are missing
    is_results: bool = False  # it is a file of results, which has the parents already
    ids_made_of: tuple[str, ...] = ()  # the columns, as the shape names them, that ids were made of; none: ids are the file's
    left_out: int = 0  # rows that a patch leaves out; the others keep their numbers
    generated: int = 0  # records that the file's shape implies and the file does not list; they are the last ones
