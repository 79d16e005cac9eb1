"""Read Parquet: check the limits by the footer, then read the pages batch by batch, each value as exact text.

Dates become ISO dates, decimals plain digits, nested values JSON. Ids must be text or whole numbers (parquet_ids.py): a
large float has lost the digits in which two ids may differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import Unreadable
from pipeline.read import column_mapping, missing_columns
from pipeline.read.formats.parquet_ids import has_decimals, may_be_id, whole_texts, wrong_type
from pipeline.read.limits import Limits
from pipeline.read.raw_tables import RawTables, printable
from pipeline.read.read_result import ReadResult
from pipeline.sqlfiles import quoted
from pipeline.units import MIB

_BATCH_ROWS = 8192
_THRIFT_STRING_BYTES = 16 * MIB
_THRIFT_ITEMS = 1_000_000
_TEXT = pa.large_string()
_NANOSECONDS = (-(2**63) // 1000, 2**63 // 1000)  # how far they reach in 64 bits, in microseconds


def read_parquet(path: Path, staging: RawTables) -> ReadResult:
    """Fill ``raw`` from a Parquet file. Raises Unreadable for a broken one, or one whose columns cannot be used."""
    with _damage_as_unreadable():
        _check_ends(path, staging.limits)
        file = _open(path, "us")
        _check_footer(file.metadata, path.stat().st_size, staging.limits)
        originals = file.schema_arrow.names
        names = column_mapping.raw_names(originals, staging.dataset, staging.limits)
        _check_columns(file.schema_arrow, names, staging)
        for name, original in zip(names, originals, strict=True):
            staging.check_unknown_column(name, original)
        writer = _RawWriter(names, staging)
        for batch in _batches(file, path, staging.limits):
            writer.add(batch)
    if writer.rows != file.metadata.num_rows:
        raise Unreadable(f"The Parquet file declares {file.metadata.num_rows:,} rows and contains {writer.rows:,}.")
    return ReadResult(writer.rows, names, writer.longest_bytes, writer.has_nul, originals=tuple(originals))


@contextmanager
def _damage_as_unreadable() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowIndexError, OSError) as error:
        why = (str(error).splitlines() or [""])[0][:300]
        raise Unreadable(
            f"The Parquet file is damaged, or written in a way that is not supported: {printable(why)}",
            hint="Write it again, or upload it again.",
        ) from error


def _open(path: Path, int96_unit: str) -> pq.ParquetFile:
    return pq.ParquetFile(
        path,
        coerce_int96_timestamp_unit=int96_unit,
        thrift_string_size_limit=_THRIFT_STRING_BYTES,
        thrift_container_size_limit=_THRIFT_ITEMS,
        page_checksum_verification=True,
        pre_buffer=False,
    )


# --- Before a page is read ---


def _check_ends(path: Path, limits: Limits) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - 8, 0))
        tail = file.read()
    if size < 12 or tail[4:] not in (b"PAR1", b"PARE"):
        raise Unreadable("The Parquet file is incomplete: its end is missing.", hint="Upload it again, from where it is whole.")
    footer = int.from_bytes(tail[:4], "little")
    if footer == 0 or footer > size - 12:
        raise Unreadable("The Parquet file has no footer, which describes its content.", hint="Write the file again.")
    if footer > limits.footer_bytes:
        raise Unreadable(f"The Parquet file's footer is longer than {limits.footer_bytes:,} bytes.", hint=_FEWER_GROUPS)


_FEWER_GROUPS = "Write the file with fewer and larger row groups."


def _check_footer(footer: pq.FileMetaData, size: int, limits: Limits) -> None:
    """Raise Unreadable if the footer declares more than the limits; nothing has been unpacked yet."""
    if footer.num_rows > limits.rows:
        raise Unreadable(f"The file declares {footer.num_rows:,} rows; at most {limits.rows:,} can be read.")
    if footer.num_row_groups > limits.row_groups:
        announced = f"The file has {footer.num_row_groups:,} row groups; at most {limits.row_groups:,} can be read."
        raise Unreadable(announced, hint=_FEWER_GROUPS)
    if footer.num_columns > limits.columns:
        raise Unreadable(
            f"The file has {footer.num_columns:,} columns, nested ones counted singly; at most {limits.columns:,} can be read.",
            code="too_many_columns",
            hint="Leave out the columns that the dataset does not need.",
        )
    _check_unpacked_size(sum(footer.row_group(number).total_byte_size for number in range(footer.num_row_groups)), size, limits)


def _check_unpacked_size(unpacked: int, size: int, limits: Limits) -> None:
    if unpacked > limits.file_bytes:
        raise Unreadable(f"The file unpacks to more than {limits.file_bytes:,} bytes.", hint="Upload it in several files.")
    if unpacked > limits.ratio_free_bytes and unpacked > size * limits.ratio:
        raise Unreadable(
            f"The Parquet file unpacks to more than {limits.ratio} times its size, which no table of records does.",
            hint="Upload the records as CSV or JSON.",
        )


def _check_columns(schema: pa.Schema, names: tuple[str, ...], staging: RawTables) -> None:
    dataset = staging.dataset
    refusal = missing_columns.missing_columns(names, dataset, schema.names)
    if refusal:
        refusal.line = None
        raise refusal
    for name, field in zip(names, schema, strict=True):
        if name in (dataset.key, dataset.parent) and not may_be_id(field.type):
            raise wrong_type(column_mapping.display_name(name, field.name), field.type)


# --- Batch by batch ---


class _RawWriter:
    """Writes batches into ``raw``."""

    def __init__(self, names: tuple[str, ...], staging: RawTables) -> None:
        self._names, self._staging = names, staging
        self.rows, self.longest_bytes, self.has_nul = 0, 0, False
        kinds = ", ".join(f"{quoted(name)} varchar" for name in names)
        staging.connection.execute(f"create or replace table raw (_row bigint, {kinds})")

    def add(self, batch: pa.RecordBatch) -> None:
        """Append a batch, every value as text."""
        texts = [self._text(name, column) for name, column in zip(self._names, batch.columns, strict=True)]
        for text in texts:
            self.longest_bytes = max(self.longest_bytes, pc.max(pc.binary_length(text)).as_py() or 0)
            self.has_nul = self.has_nul or bool(pc.any(pc.match_substring(text, "\0")).as_py())
        numbers = pa.array(range(self.rows + 1, self.rows + 1 + batch.num_rows), pa.int64())
        self._staging.insert("raw", pa.Table.from_arrays([numbers, *texts], ["_row", *self._names]))
        self.rows += batch.num_rows

    def _text(self, name: str, column: pa.Array) -> pa.Array:
        dataset = self._staging.dataset
        if name not in (dataset.key, dataset.parent) or not has_decimals(column.type):
            return self._valid_text(name, texts_of(column))
        text = whole_texts(column, name, self.rows + 1)
        self._staging.note(
            "whole_numbers",
            f"The column {name} is of the type {column.type}; its values, which are all whole, were read as whole numbers.",
            "Data frames do this to a column with empty values. In pandas, use the type Int64 for it.",
        )
        return text

    def _valid_text(self, name: str, text: pa.Array) -> pa.Array:
        """Return the text if all of it is UTF-8; else without the values that are not, each of which is a finding."""
        try:
            text.validate(full=True)
            return text
        except pa.ArrowInvalid:
            values = [self._decoded(name, row, value) for row, value in enumerate(_bytes_of(text), self.rows + 1)]
            return pa.array(values, _TEXT)

    def _decoded(self, name: str, row: int, value: bytes | None) -> str | None:
        try:
            return None if value is None else value.decode()
        except UnicodeDecodeError:
            shown = value.decode(errors="backslashreplace") if value else ""
            hint = "Write the column as text in UTF-8."
            self._staging.add_finding(
                "invalid_encoding", "The value is not UTF-8.", row=row, column=name, value=shown, hint=hint
            )
            return None


def _bytes_of(text: pa.Array) -> list[bytes | None]:
    raw: list[bytes | None] = text.cast(pa.large_binary()).to_pylist()
    return raw


def _batches(file: pq.ParquetFile, path: Path, limits: Limits) -> Iterator[pa.RecordBatch]:
    """Yield the file's batches. Raises Unreadable if they exceed the limit of unpacked bytes."""
    unpacked, size = 0, path.stat().st_size
    for batch in _with_old_timestamps(file, path):
        unpacked += batch.nbytes
        _check_unpacked_size(unpacked, size, limits)
        yield batch


def _with_old_timestamps(file: pq.ParquetFile, path: Path) -> Iterator[pa.RecordBatch]:
    """Read old 96-bit timestamps twice: they have nanoseconds and any year, Arrow's have either the one or the other."""
    found = file.iter_batches(_BATCH_ROWS, use_threads=False)
    old = [name for name in file.schema_arrow.names if _is_int96(file.schema, name)]
    if not old:
        yield from found
        return
    finer = _open(path, "ns").iter_batches(_BATCH_ROWS, columns=old, use_threads=False)
    for batch, fine in zip(found, finer, strict=True):
        for name in old:
            place = batch.schema.get_field_index(name)
            micro = batch.column(place).cast(pa.int64())
            reached = pc.and_(pc.greater(micro, _NANOSECONDS[0]), pc.less(micro, _NANOSECONDS[1]))
            text = pc.if_else(reached, texts_of(fine.column(fine.schema.get_field_index(name))), texts_of(batch.column(place)))
            batch = batch.set_column(place, name, text)
        yield batch


def _is_int96(schema: pq.ParquetSchema, name: str) -> bool:
    return any(schema.column(n).path == name and schema.column(n).physical_type == "INT96" for n in range(len(schema)))


# --- Values to text ---


def texts_of(column: pa.Array) -> pa.Array:
    """Return the values as exact text, as staging reads it. Text that is not UTF-8 is returned unchanged."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return texts_of(column.dictionary_decode())
    if isinstance(kind, pa.UuidType):
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], _TEXT)
    if isinstance(kind, pa.BaseExtensionType):
        return texts_of(column.storage)
    if pa.types.is_nested(kind):
        return pa.array([None if value is None else _json(value) for value in column.to_pylist()], _TEXT)
    if pa.types.is_decimal(kind):
        return pa.array([None if value is None else format(value, "f") for value in column.to_pylist()], _TEXT)
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind):
        return texts_of(column.cast(pa.large_binary()))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.Array.from_buffers(_TEXT, len(column), column.cast(pa.large_binary()).buffers(), offset=column.offset)
    if pa.types.is_duration(kind):
        return pc.binary_join_element_wise(column.cast(pa.int64()).cast(_TEXT), kind.unit, " ")
    if pa.types.is_timestamp(kind) and kind.tz:
        column = column.cast(pa.timestamp(kind.unit, "UTC"))
    text = column.cast(_TEXT)
    if (pa.types.is_timestamp(kind) or pa.types.is_time64(kind)) and kind.unit == "ns":
        return pc.replace_substring_regex(text, r"(\.\d{6})000(Z?)$", r"\1\2")
    return text


def _json(value: Any) -> str:
    """Return a nested value as JSON; numbers keep their digits, and values that JSON does not have become text."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_json(str(key))}:{_json(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_json, value)) + "]"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float) and not re.fullmatch("-?[0-9.e+-]+", repr(value)):
        value = repr(value)
    if isinstance(value, datetime | date | time):
        value = value.isoformat()
    if isinstance(value, bytes):
        value = value.decode(errors="backslashreplace")
    return json.dumps(value if isinstance(value, str | int | float | None) else str(value), ensure_ascii=False)
