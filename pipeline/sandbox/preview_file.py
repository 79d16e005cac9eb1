"""Read the beginning of a file as an import would read it: its format, its columns, its first rows.

What was sent may end anywhere; of a text, the complete records are shown. Runs in the sandbox. No rule of the dataset is
applied, since a preview is most useful for a file that would be refused for its columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.contracts.options import ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.errors import Unreadable
from pipeline.read import Limits, column_mapping, read
from pipeline.read.containers.unpack import Content, TextContent, unpack
from pipeline.read.formats.delimited_header import found_options
from pipeline.sandbox.json_beginning import whole_values
from pipeline.sqlfiles import quoted
from pipeline.staging.database import StagingDatabase

ROWS = 8
TEXT_BYTES = 512 << 10
"""How much of a text is read; a larger record cannot be shown."""

VALUE_CHARACTERS = 200
_LIMITS = Limits(cells=2_000_000, ratio_free_bytes=64 << 20)


@dataclass(frozen=True)
class ColumnPreview:
    """A column of the file. ``becomes``: its name after the automatic mapping; ``meant``: what it probably means, or empty.

    ``becomes`` is a column of the dataset, or the name itself where the dataset accepts any; None: it would be refused.
    """

    name: str
    becomes: str | None
    meant: str


@dataclass(frozen=True)
class Preview:
    """``delimiter`` and ``sheet`` are empty where the format has none; ``rows`` are the first ones, texts or None."""

    format: str
    compression: str
    encoding: str
    delimiter: str
    sheet: str
    members: int  # files in the archive, of which this is the first; 1 without an archive
    columns: tuple[ColumnPreview, ...]
    rows: tuple[tuple[str | None, ...], ...]
    takes: tuple[str, ...]  # columns of the dataset that a file may have
    needs: tuple[str, ...]  # and those that it must have
    takes_others: bool


def preview(source: Path, dataset: Dataset, options: ReadOptions, is_whole: bool, filename: str = "") -> Preview:
    """Return a preview of ``source``, a file or its beginning. Raises Unreadable if no record can be shown."""
    with unpack(source, _LIMITS, options.encoding) as upload:
        content = next(upload.contents)
        path, options = _readable_beginning(content, source, dataset, options, is_whole)
        with StagingDatabase.in_memory(source.parent) as database, database.connect() as connection:
            reading = read(
                path,
                _without_rules(replace(dataset, options=options)),
                connection=connection,
                filename=filename,
                options=options,
                limits=_LIMITS,
            )
            shown = ", ".join(f"left({quoted(name)}, {VALUE_CHARACTERS})" for name in reading.columns)
            rows = connection.execute(f"select {shown} from raw order by _row limit {ROWS}").fetchall()
    return Preview(
        reading.format,
        upload.compression,
        content.encoding if isinstance(content, TextContent) else "",
        reading.delimiter,
        reading.sheet,
        len(upload.names),
        _column_previews(reading.original_columns, dataset),
        tuple(rows),
        takes=tuple(name for name in dataset.names if name != dataset.rest),
        needs=tuple(column_mapping.required(dataset)),
        takes_others=dataset.rest is not None,
    )


def _column_previews(originals: tuple[str, ...], dataset: Dataset) -> tuple[ColumnPreview, ...]:
    probable = column_mapping.probable_columns(originals, dataset)
    becomes = column_mapping.mapped_names(originals, dataset)
    refused = [column_mapping.is_unknown(name, dataset) for name in becomes]
    return tuple(
        ColumnPreview(original, None if unknown else name, probable.get(original, ""))
        for original, name, unknown in zip(originals, becomes, refused, strict=True)
    )


def _without_rules(dataset: Dataset) -> Dataset:
    """Return a dataset that accepts any columns under their own names and requires none; its trees are as in the real one."""
    free: dict[str, Any] = {"mapping": {"defaults": {dataset.key: "-", dataset.parent: "-"}}}
    if dataset.shape.children:
        free["shape"] = {"children": dataset.shape.children}
    plain = replace(dataset.options, shape={})
    return replace(dataset, columns=(), rest=dataset.rest or "-", suite={"name": dataset.name, "meta": free}, options=plain)


def _readable_beginning(
    content: Content, source: Path, dataset: Dataset, options: ReadOptions, is_whole: bool
) -> tuple[Path, ReadOptions]:
    """Return a file for the reader, with a text cut to complete records in UTF-8, and the options with its delimiter."""
    if not isinstance(content, TextContent):
        return content.path, options
    options = replace(options, encoding=None)
    text, is_cut = _beginning(content.chunks, is_whole)
    is_json = text.lstrip().startswith(("[", "{"))
    if is_cut:
        text = whole_values(text) if is_json else _whole_lines(text)
    path = source.with_name("beginning")
    path.write_text(text, encoding="utf-8", newline="")
    return path, options if is_json else found_options(text, dataset, options)


def _beginning(chunks: Iterator[bytes], is_whole: bool) -> tuple[str, bool]:
    """Return the first characters of a text, and whether there is more. A compressed file that was cut ends with an error."""
    found = b""
    try:
        for chunk in chunks:
            found += chunk
            if len(found) > TEXT_BYTES:
                return found[:TEXT_BYTES].decode(errors="ignore"), True
    except Unreadable:
        if is_whole or not found:
            raise
    return found.decode(errors="ignore"), not is_whole


def _whole_lines(text: str) -> str:
    """Return the text up to the last line end outside quotes."""
    end = "\n" if "\n" in text else "\r"
    at = text.rfind(end)
    while at >= 0 and text.count('"', 0, at) % 2:
        at = text.rfind(end, 0, at)
    if at < 0:
        raise Unreadable("The first record is too long to be shown.", code="value_too_long")
    return text[: at + 1]
