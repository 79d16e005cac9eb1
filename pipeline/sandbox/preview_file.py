"""Read the beginning of a file as an import would read it: its format, its columns, its first rows.

What was sent may end anywhere; of a text, the complete records are shown. Runs in the sandbox. No rule of the dataset is
applied, since a preview is most useful for a file that would be refused for its columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from pipeline.contracts.options import QUOTE_NONE, ReadOptions
from pipeline.datasets.dataset import Dataset, blank_dataset
from pipeline.datasets.shape_meta import Shape
from pipeline.errors import RejectedFile, Unreadable
from pipeline.read import FileSummary, Limits, RawTables, column_mapping, missing_columns, read
from pipeline.read.containers.unpack import Content, StoredFile, TextContent, unpack
from pipeline.read.formats.delimited_header import found_options
from pipeline.read.formats.indented_text import read_lines_of_text
from pipeline.read.read_file import seems_json
from pipeline.read.shapes.edges import is_same_file
from pipeline.read.synonyms import Words, words_of
from pipeline.sandbox.json_beginning import whole_values
from pipeline.sandbox.matching.choice import Look, chosen
from pipeline.sandbox.matching.column_facts import measure
from pipeline.sandbox.matching.judgement import File, judged, planned
from pipeline.sandbox.matching.offers import encoding_offers
from pipeline.sandbox.matching.openings import Opening, opening_of_text, opening_of_workbook
from pipeline.sandbox.preview_model import ColumnPreview, Preview
from pipeline.sqlfiles import quoted
from pipeline.staging.database import StagingDatabase

ROWS = 8
TEXT_BYTES = 512 << 10
"""How much of a text is read, if its beginning was sent; a larger record cannot be shown."""

WHOLE_TEXT_BYTES = 8 << 20
"""How much of a text that was sent as a whole: its columns are measured, and its tree is drawn."""

VALUE_CHARACTERS = 200
_LIMITS = Limits(cells=2_000_000, ratio_free_bytes=64 << 20)


def preview(source: Path, dataset: Dataset, options: ReadOptions, is_whole: bool, filename: str = "") -> Preview:
    """Return a preview of ``source``, a file or its beginning, for one dataset. Raises Unreadable if no record can be shown."""
    return preview_among(source, (dataset,), options, is_whole, filename, dataset.name)


def preview_among(
    source: Path,
    datasets: tuple[Dataset, ...],
    options: ReadOptions,
    is_whole: bool,
    filename: str = "",
    asked: str | None = None,
    guesses: bool = True,
) -> Preview:
    """Return a preview for the dataset that is asked for, or else for the one of ``datasets`` that fits best.

    What ``options.mapping`` says of a column is followed; other columns are as suggested, unless ``guesses`` is off. A text
    that is not UTF-8 is shown in its likeliest encoding, which is offered; an import would refuse it without that option.
    Raises Unreadable if no record can be shown, InvalidRequest for a mapping to a column that is not there.
    """
    try:
        return _preview_among(source, datasets, options, is_whole, filename, asked, guesses)
    except Unreadable as error:
        if options.encoding or not error.encodings:
            raise
        likely = error.encodings
        with suppress(Unreadable):
            seen = _preview_among(source, datasets, replace(options, encoding=likely[0][0]), is_whole, filename, asked, guesses)
            return replace(seen, offers=(*encoding_offers(likely), *seen.offers))
        raise


def _preview_among(
    source: Path,
    datasets: tuple[Dataset, ...],
    options: ReadOptions,
    is_whole: bool,
    filename: str,
    asked: str | None,
    guesses: bool,
) -> Preview:
    known = next((one for one in datasets if one.name == asked), None)
    reader = known or datasets[0] if len(datasets) == 1 else known or replace(blank_dataset(""), rest="-")
    words = words_of(reader.root)
    with unpack(source, _LIMITS, options.encoding) as upload:
        content = _first_of_records(upload, reader, options)
        path, reading_options, opening, is_cut = _readable_beginning(
            content, source, (reader, *datasets), words, options, is_whole
        )
        is_all = is_whole and not is_cut
        plain, is_text = _without_rules(replace(reader, options=reading_options)), _is_lines(reader, options)
        with StagingDatabase.in_memory(source.parent) as database, database.connect() as connection:
            if is_text:
                reading = _lines_of_text(path, reader, reading_options, connection)
            else:
                reading = read(path, plain, connection=connection, filename=filename, options=reading_options, limits=_LIMITS)
            shown = ", ".join(f"left({quoted(name)}, {VALUE_CHARACTERS})" for name in reading.columns)
            rows = connection.execute(f"select {shown} from raw order by _row limit {ROWS}").fetchall()
            facts = measure(connection, reading.columns, reading.original_columns, reading.records)
            look = Look(facts, words, options, datasets, asked, guesses)
            choice = chosen(look)
            if known is None and choice.dataset.shape != Shape() and choice.name:
                return _preview_among(source, datasets, options, is_whole, filename, choice.name, guesses)
            is_pair = _shape(reader, options).kind == "edges"
            file = File(source if is_pair else path, filename, reading, opening, is_all, is_text)
            plan = planned(choice, look, file, reading_options)
        told = judged(plan, file, _LIMITS)  # once the first database has given its memory back
    dataset = choice.dataset
    return Preview(
        reading.format,
        upload.compression,
        content.encoding if isinstance(content, TextContent) else "",
        reading.delimiter,
        reading.sheet,
        len(upload.names),
        _column_previews(reading.original_columns, dataset) if choice.name else _unknown_columns(reading.original_columns),
        tuple(rows),
        takes=tuple(name for name in dataset.names if name != dataset.rest) if choice.name else (),
        needs=tuple(column_mapping.required(dataset)) if choice.name else (),
        takes_others=dataset.rest is not None and bool(choice.name),
        tree=told.tree,
        dataset=choice.name,
        datasets=choice.fits,
        matches=tuple(choice.found.matches),
        offers=told.offers,
        would_reject=told.would_reject,
        first_rows=opening.rows,
        header_row=opening.header,
        sheets=opening.sheets,
        records=reading.records,
        is_whole=is_all,
    )


def _unknown_columns(originals: tuple[str, ...]) -> tuple[ColumnPreview, ...]:
    return tuple(ColumnPreview(name, None, "") for name in originals)


def _shape(dataset: Dataset, options: ReadOptions) -> Shape:
    return replace(dataset, options=options).shape


def _first_of_records(upload: StoredFile, dataset: Dataset, options: ReadOptions) -> Content:
    """Return the first file that has records: not that of edges, which names them only."""
    shape, first = _shape(dataset, options), next(upload.contents)
    if shape.kind == "edges" and len(upload.names) > 1 and is_same_file(first.name, str(shape.said["file"])):
        return next(upload.contents)
    return first


def _is_lines(dataset: Dataset, options: ReadOptions) -> bool:
    """Return whether the lines of the text are its records, without a header."""
    return bool(_shape(dataset, options).said.get("text"))


def _lines_of_text(path: Path, dataset: Dataset, options: ReadOptions, connection: duckdb.DuckDBPyConnection) -> FileSummary:
    """Read the lines of a text into ``raw``. Raises Unreadable if it has none."""
    asked = replace(dataset, options=options)
    with RawTables(connection, asked, _LIMITS, path.parent, options) as staging:
        table = read_lines_of_text(iter([path.read_bytes()]), staging)
    if not table.records:
        raise Unreadable("The file contains no records.", code="empty_file", hint="Add at least one record.")
    return FileSummary(table.records, "text", "", "", "", table.columns, table.originals, dataset.version, "", 0, (), (), 1)


def _column_previews(originals: tuple[str, ...], dataset: Dataset) -> tuple[ColumnPreview, ...]:
    probable = missing_columns.probable_columns(originals, dataset)
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
    content: Content, source: Path, datasets: Sequence[Dataset], words: Words, options: ReadOptions, is_whole: bool
) -> tuple[Path, ReadOptions, Opening, bool]:
    """Return a file for the reader, with a text cut to complete records in UTF-8, the options with its delimiter and header,
    its first rows, and whether it was cut. The first of ``datasets`` is the one that it is read for.
    """
    dataset = datasets[0]
    if not isinstance(content, TextContent):
        if content.format != "xlsx":
            return content.path, options, Opening(), False
        opening = opening_of_workbook(content.path, datasets[1:], words, options, _LIMITS)
        return content.path, _with_header(options, opening), opening, False
    options = replace(options, encoding=None)
    text, is_cut = _beginning(content.chunks, is_whole)
    is_text = _is_lines(dataset, options)
    is_json = not is_text and seems_json(text.encode())
    if is_cut:
        has_quotes = not is_text and options.quote != QUOTE_NONE
        text = whole_values(text) if is_json else _whole_lines(text, '"' if has_quotes else "")
    path = source.with_name("beginning")
    path.write_text(text, encoding="utf-8", newline="")
    if is_json or is_text:
        return path, options, Opening(), is_cut
    return path, *_options_of_text(text, datasets, words, options), is_cut


def _with_header(options: ReadOptions, opening: Opening) -> ReadOptions:
    """Return the options with the header and the sheet that were recognised, where an import would take others."""
    row = opening.header if options.header_row is None and not opening.is_first else options.header_row
    is_first = not opening.sheets or opening.sheet == opening.sheets[0]
    return replace(options, header_row=row, sheet=options.sheet if is_first else options.sheet or opening.sheet or None)


def _options_of_text(text: str, datasets: Sequence[Dataset], words: Words, options: ReadOptions) -> tuple[ReadOptions, Opening]:
    """Return the options with what the beginning of a delimited text says, and its first rows.

    A header that an import finds by itself is used before one that is recognised by words.
    """
    try:
        found = found_options(text, datasets[0], options)
    except RejectedFile:
        opening = opening_of_text(text, datasets[1:], words, options)
        if options.header_row or opening.is_first or opening.header is None:
            raise
        return found_options(text, datasets[0], replace(options, header_row=opening.header)), opening
    opening = opening_of_text(text, datasets[1:], words, replace(options, delimiter=found.delimiter, quote=found.quote))
    if found.header_row is not None:
        return found, replace(opening, header=found.header_row, is_first=options.header_row is None)
    if opening.is_first or opening.header is None:
        return found, opening
    with suppress(RejectedFile):
        return found_options(text, datasets[0], replace(options, header_row=opening.header)), opening
    return found, replace(opening, header=opening.rows[0].row, is_first=True)


def _beginning(chunks: Iterator[bytes], is_whole: bool) -> tuple[str, bool]:
    """Return the first characters of a text, and whether there is more. A compressed file that was cut ends with an error."""
    found, most = b"", WHOLE_TEXT_BYTES if is_whole else TEXT_BYTES
    try:
        for chunk in chunks:
            found += chunk
            if len(found) > most:
                return found[:most].decode(errors="ignore"), True
    except Unreadable:
        if is_whole or not found:
            raise
    return found.decode(errors="ignore"), not is_whole


def _whole_lines(text: str, quote: str) -> str:
    """Return the text up to the last line end outside quotes; ``quote`` is empty where they are data."""
    end = "\n" if "\n" in text else "\r"
    at = text.rfind(end)
    while at >= 0 and quote and text.count(quote, 0, at) % 2:
        at = text.rfind(end, 0, at)
    if at < 0:
        raise Unreadable("The first record is too long to be shown.", code="value_too_long")
    return text[: at + 1]
