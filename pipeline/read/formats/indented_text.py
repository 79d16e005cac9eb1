"""Read a plain text whose lines are the records, such as pci.ids: no header, one column.

Blank lines and comments are skipped."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from pipeline.errors import Unreadable
from pipeline.read import column_mapping
from pipeline.read.raw_tables import RawTables
from pipeline.read.read_result import ReadResult
from pipeline.read.row_writer import RowWriter


def read_lines_of_text(chunks: Iterator[bytes], staging: RawTables) -> ReadResult:
    """Fill ``raw`` from a text, one row a line, in the column that the shape names. Raises Unreadable for a line too long."""
    said = staging.dataset.shape.said
    name, comment = str(said["column"]), str(said.get("comment", ""))
    names = column_mapping.raw_names((name,), staging.dataset, staging.limits)
    writer = RowWriter(names, staging)
    longest, has_nul, is_plain = 0, False, True
    for number, line in enumerate(_lines(chunks, staging.limits.record_bytes), 1):
        text = line.rstrip()
        if not text or (comment and text.lstrip().startswith(comment)):
            continue
        longest, has_nul = max(longest, len(text.encode())), has_nul or "\0" in text
        is_plain = is_plain and text.isascii() and text.lstrip("\t").isprintable()
        writer.add(writer.rows + 1, number, (text,))
    writer.flush()
    return ReadResult(writer.rows, names, longest, has_nul, originals=(name,), is_plain=is_plain)


def _lines(chunks: Iterator[bytes], most: int) -> Iterator[str]:
    """Yield the lines of a text in UTF-8 that comes in chunks, with their ends."""
    decode, rest = codecs.getincrementaldecoder("utf-8")().decode, ""
    for chunk in chunks:
        *whole, rest = (rest + decode(chunk)).split("\n")
        yield from whole
        if len(rest) > most:
            raise Unreadable(f"A line is longer than {most:,} bytes.", code="value_too_long", hint="Shorten it.")
    if rest:
        yield rest
