# ruff: noqa: E501 - a case is one line, however long
"""Containers and binary formats: read exactly, or refused by name. Most cases bear the names of the corpus (test_corpus.py)."""

from __future__ import annotations

import datetime
import gzip
import io
import random
import stat
import struct
import zipfile
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
import zstandard

from pipeline.datasets.dataset import load_dataset
from pipeline.errors import Unreadable
from pipeline.read import FileSummary, Limits
from pipeline.staging.cast import stage
from tests.support.staging import read_into, run_stage

RECORDS = load_dataset("records")
H = b"id,parentId,name\n"
SMALL = Limits(members=20, rows=10_000, row_groups=50, columns=50, cells=100_000, ratio_free_bytes=1 << 16, file_bytes=1 << 22)


class Read:
    """What one file became."""

    def __init__(self, reading: FileSummary, database: Path) -> None:
        self.reading = reading
        with duckdb.connect(str(database)) as connection:
            self.rows = connection.execute('select id, "parentId", name from raw order by _row').fetchall()
            self.numbers = [row for (row,) in connection.execute("select _row from raw order by 1").fetchall()]
            self.findings = connection.execute(
                'select code, severity, row, line, "column", message, hint from findings order by row, code'
            ).fetchall()
            self.lines = [
                line
                for (line,) in connection.execute(
                    "select first_line + raw._row - first_row from raw asof left join lines on raw._row >= first_row order by raw._row"
                ).fetchall()
            ]
            tables = [name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()]
            self.members = connection.execute("from members order by 1").fetchall() if "members" in tables else []


Reads = Callable[..., Read]
Content = bytes | Callable[[], bytes]
"""A file, or what makes it: a case that takes long to make is made by its test, not by each process of the run."""


@pytest.fixture
def reads(tmp_path: Path, database: Path) -> Reads:
    def run(content: Content, limits: Limits = SMALL) -> Read:
        (tmp_path / "source").write_bytes(content if isinstance(content, bytes) else content())
        return Read(read_into(database, tmp_path / "source", RECORDS, limits=limits), database)

    return run


# --- How the files are made ---


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def zipped(*members: tuple[str, bytes], mode: int = 0, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", compression) as archive:
        for name, content in members:
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = mode << 16, compression
            archive.writestr(entry, content)
    return sink.getvalue()


def encrypted(archive: bytes) -> bytes:
    """The same archive, its one file marked as encrypted in both places."""
    data = bytearray(archive)
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def overlapping(archive: bytes) -> bytes:
    """The same archive of two files, both of which lie where the first one does."""
    data = bytearray(archive)
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = bytes(4)
    return bytes(data)


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def book(*rows: Iterable[Any], fill: Callable[[Any, Any], None] | None = None, **options: Any) -> bytes:
    """A workbook of one sheet; ``fill`` gets the workbook and the sheet for what rows cannot say."""
    sink = io.BytesIO()
    with xlsxwriter.Workbook(sink, options) as workbook:
        sheet = workbook.add_worksheet("Places")
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
        if fill:
            fill(workbook, sheet)
    return sink.getvalue()


def rewritten(content: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    """The same archive with one part changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return zipped(
            *((name, change(archive.read(name)) if name == part else archive.read(name)) for name in archive.namelist())
        )


def computed(content: bytes) -> bytes:
    """The same workbook as if a spreadsheet program had computed its formulas."""
    return rewritten(
        content, "xl/workbook.xml", lambda part: part.replace(b' fullCalcOnLoad="1"', b"").replace(b"124519", b"191029")
    )


def openpyxl_book(*rows: list[Any]) -> bytes:
    workbook, sink = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        workbook.active.append(row)
    workbook.save(sink)
    return sink.getvalue()


def gzip_trailer_cut() -> bytes:
    """A Parquet file whose one compressed page has zeros where gzip's checksum was."""
    content = bytearray(
        parquet({"id": ["1" * 500], "parentId": pa.nulls(1, pa.string())}, compression="gzip", use_dictionary=False)
    )
    column = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).column(0)
    end = column.data_page_offset + column.total_compressed_size
    content[end - 8 : end] = bytes(8)
    return bytes(content)


IDS = {"id": ["1", "2"], "parentId": [None, "1"]}
TWO = [("1", None, "a"), ("2", "1", "b")]
HEADER = ["id", "parentId", "name"]
CSV = H + b"1,,a\n2,1,b\n"
ZSTD = zstandard.ZstdCompressor(write_checksum=True)
ENTITIES = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
WITH_CHECKSUMS = parquet(
    {"id": ["1" * 9], "parentId": ["2"]},
    write_page_checksum=True,
    write_statistics=False,
    compression="none",
    use_dictionary=False,
)
PLAIN_BOOK = book(HEADER, ["1", None, "a"], ["2", "1", "b"])
SHEET = "xl/worksheets/sheet1.xml"
LONG = b"".join(b"%d,,name %d\n" % (n, n) for n in range(2000))


def typed(name: Any) -> bytes:
    return parquet({**IDS, "name": name})


GOOD: list[tuple[str, bytes, list[tuple[str, str | None, str | None]]]] = [
    ("dictionary", parquet({"id": pa.array(["1", "2"]).dictionary_encode(), "parentId": pa.array([None, "1"]).dictionary_encode(), "name": ["a", "b"]}), TWO),
    ("large_string", parquet({"id": pa.array(["1", "2"], pa.large_string()), "parentId": pa.array([None, "1"], pa.large_string()), "name": ["a", "b"]}), TWO),
    ("integers", parquet({"id": pa.array([1, 2**64 - 1], pa.uint64()), "parentId": pa.array([None, 1], pa.int8()), "name": ["a", "b"]}), [("1", None, "a"), ("18446744073709551615", "1", "b")]),
    ("whole_decimals", parquet({"id": [Decimal(1), Decimal(10**30)], "parentId": pa.nulls(2), "name": ["a", "b"]}), [("1", None, "a"), ("1" + "0" * 30, None, "b")]),
    ("int96", parquet({**IDS, "name": [datetime.datetime(1, 1, 1), datetime.datetime(2024, 5, 31, 12, 30, 0, 250000)]}, use_deprecated_int96_timestamps=True), [("1", None, "0001-01-01 00:00:00.000000"), ("2", "1", "2024-05-31 12:30:00.250000")]),
    ("int96_nanoseconds", parquet({**IDS, "name": pa.array([1, 2000], pa.timestamp("ns"))}, use_deprecated_int96_timestamps=True), [("1", None, "1970-01-01 00:00:00.000000001"), ("2", "1", "1970-01-01 00:00:00.000002")]),
    ("decimal", typed([Decimal("0.0000001"), Decimal("12345.6000000")]), [("1", None, "0.0000001"), ("2", "1", "12345.6000000")]),
    ("date", typed([datetime.date(2024, 5, 31), None]), [("1", None, "2024-05-31"), ("2", "1", None)]),
    ("timestamp_zone", typed(pa.array([0, 1500], pa.timestamp("ms", "Europe/Berlin"))), [("1", None, "1970-01-01 00:00:00.000Z"), ("2", "1", "1970-01-01 00:00:01.500Z")]),
    ("time", typed([datetime.time(12, 30), datetime.time(0)]), [("1", None, "12:30:00.000000"), ("2", "1", "00:00:00.000000")]),
    ("boolean", typed([True, False]), [("1", None, "true"), ("2", "1", "false")]),
    ("double", typed([0.1, float("nan")]), [("1", None, "0.1"), ("2", "1", "nan")]),
    ("infinite", typed([float("inf"), 1e20]), [("1", None, "inf"), ("2", "1", "1e+20")]),
    ("binary", typed([b"a", "é".encode()]), [("1", None, "a"), ("2", "1", "é")]),
    ("fixed_binary", typed(pa.array([b"ab", b"cd"], pa.binary(2))), [("1", None, "ab"), ("2", "1", "cd")]),
    ("uuid", typed(pa.array([bytes(16), None], pa.uuid())), [("1", None, "00000000-0000-0000-0000-000000000000"), ("2", "1", None)]),
    ("nested", typed([{"x": [Decimal("1.50"), None]}, {"x": []}]), [("1", None, '{"x":[1.50,null]}'), ("2", "1", '{"x":[]}')]),
    ("nested_float", typed([[float("nan")], [1.5]]), [("1", None, '["nan"]'), ("2", "1", "[1.5]")]),
    ("nulls", typed(pa.nulls(2)), [("1", None, None), ("2", "1", None)]),
    ("empty_text_is_text", typed(["", "b"]), [("1", None, ""), ("2", "1", "b")]),
    ("gz_ok_concat", gzip.compress(H, mtime=0) + gzip.compress(b"1,,a\n2,1,b\n", mtime=0), TWO),
    ("gz_named_csv", gzip.compress(CSV, mtime=0), TWO),
    ("zst", ZSTD.compress(CSV), TWO),
    ("zst_two_frames", ZSTD.compress(H) + ZSTD.compress(b"1,,a\n2,1,b\n"), TWO),
    ("zst_skippable_frame", struct.pack("<II", 0x184D2A50, 3) + b"abc" + ZSTD.compress(CSV), TWO),
    ("zip", zipped(("places.csv", CSV)), TWO),
    ("zip_stored", zipped(("places.csv", CSV), compression=zipfile.ZIP_STORED), TWO),
    ("zip_chaff", zipped(("in/", b""), ("in/places.csv", CSV), ("__MACOSX/in/._places.csv", b"\0"), ("in/.DS_Store", b"\0")), TWO),
    ("zip_of_parquet", zipped(("a", parquet({**IDS, "name": ["a", "b"]}))), TWO),
    ("zip_of_workbook", zipped(("a", PLAIN_BOOK)), TWO),
    ("zst_of_parquet", ZSTD.compress(parquet({**IDS, "name": ["a", "b"]})), TWO),
    ("gz_of_workbook", gzip.compress(PLAIN_BOOK, mtime=0), TWO),
    ("cached_value", book(HEADER, fill=lambda _, s: (s.write_row(1, 0, ["1", None]), s.write_formula(1, 2, '="a"', None, "a"))), [("1", None, "a")]),
    ("formula_gives_nothing", computed(rewritten(book(HEADER, fill=lambda _, s: (s.write_row(1, 0, ["1"]), s.write_formula(1, 2, '=""', None, ""))), SHEET, lambda part: part.replace(b'<c r="C2">', b'<c r="C2" t="str">'))), [("1", None, None)]),
    ("hidden", book(fill=lambda b, s: (s.write_row(0, 0, ["secret"]), s.hide(), (t := b.add_worksheet("Shown")), t.activate(), t.set_first_sheet(), t.write_row(0, 0, HEADER), t.write_row(1, 0, ["1", None, "a"]))), [("1", None, "a")]),
    ("table_not_in_the_corner", book(fill=lambda _, s: (s.write_row(3, 2, HEADER), s.write_row(5, 2, ["1", None, "a"]))), [("1", None, "a")]),
    ("xlsx_values", book(HEADER, fill=lambda b, s: (
        s.write_row(1, 0, ["001", None, True]), s.write_row(2, 0, ["2", "001", 0.1]), s.write_row(3, 0, ["3", "2", 1e-7]),
        s.write_row(4, 0, ["4", "2", 42]), s.write_row(5, 0, ["5", "2"]), s.write_datetime(5, 2, datetime.datetime(2024, 5, 31), b.add_format({"num_format": "yyyy-mm-dd"})),
        s.write_row(6, 0, ["6", "2"]), s.write_datetime(6, 2, datetime.datetime(2024, 5, 31, 12, 30), b.add_format({"num_format": "yyyy-mm-dd hh:mm"})),
        s.write_row(7, 0, ["7", "2", " #REF! "]))),
     [("001", None, "true"), ("2", "001", "0.1"), ("3", "2", "0.0000001"), ("4", "2", "42"), ("5", "2", "2024-05-31"), ("6", "2", "2024-05-31T12:30:00"), ("7", "2", " #REF! ")]),
]  # fmt: skip


@pytest.mark.parametrize(("content", "rows"), [pytest.param(c, r, id=n) for n, c, r in GOOD])
def test_what_is_good_is_read_exactly(reads: Reads, content: bytes, rows: list[Any]) -> None:
    got = reads(content)
    assert got.rows == rows
    assert got.findings == []
    assert got.numbers == list(range(1, len(rows) + 1))
    assert got.reading.records == len(rows)


REFUSED: list[tuple[str, Content, str, str]] = [
    ("wrong_schema", parquet({"code": ["1"], "parent": ["2"]}), "missing_column", "It has: code, parent"),
    ("truncated_parquet", parquet(IDS)[:300], "unreadable_file", "is incomplete"),
    ("zero_footer", b"PAR1" + bytes(4) + b"PAR1", "unreadable_file", "no footer"),
    ("no_footer", b"PAR1PAR1", "unreadable_file", "Parquet"),
    ("wild_footer", b"PAR1" + b"\xff" * 60 + struct.pack("<I", 40) + b"PAR1", "unreadable_file", "damaged"),
    ("bitflip_page", WITH_CHECKSUMS.replace(b"1" * 9, b"1" * 8 + b"0", 1), "unreadable_file", "damaged"),
    ("nested_id", parquet({"id": [{"a": 1}], "parentId": ["1"]}), "invalid_type", "struct"),
    ("list_id", parquet({"id": [["1"]], "parentId": ["1"]}), "invalid_type", "list"),
    ("id_float", parquet({"id": [1.5], "parentId": ["1"]}), "invalid_type", "double"),
    ("boolean_parent", parquet({"id": ["1"], "parentId": [True]}), "invalid_type", "parentId"),
    ("decimal_id", parquet({"id": [Decimal("1.5")], "parentId": ["1"]}), "invalid_type", "decimal"),
    ("date_id", parquet({"id": [datetime.date(2024, 1, 1)], "parentId": ["1"]}), "invalid_type", "date"),
    ("duplicate_column_parquet", parquet({**IDS, "ID": ["1", "2"]}), "duplicate_column", "case"),
    ("encrypted", b"PARE" + bytes(20) + b"PARE", "unreadable_file", "encrypted Parquet"),
    ("parquet_bomb", parquet({"id": ["x"] * 20_000, "parentId": ["y"] * 20_000}), "unreadable_file", "declares 20,000 rows"),
    ("parquet_bomb_by_growth", parquet({"id": ["x" * 1000] * 9000, "parentId": ["y"] * 9000}), "unreadable_file", "unpacks to more than"),
    ("parquet_bomb_by_footer", parquet({"id": ["x" * 1000] * 3000, "parentId": ["y"] * 3000}, use_dictionary=False, compression="zstd"), "unreadable_file", "unpacks to more than"),
    ("gzip_page_no_footer", gzip_trailer_cut(), "unreadable_file", "damaged"),
    ("many_row_groups", parquet({"id": ["x"] * 60, "parentId": ["y"] * 60}, row_group_size=1), "unreadable_file", "60 row groups"),
    ("parquet_too_many_columns", parquet({**IDS, **{f"c{n}": ["", ""] for n in range(60)}}), "too_many_columns", "62 columns"),
    ("parquet_without_rows", parquet({"id": pa.array([], pa.string()), "parentId": pa.array([], pa.string())}), "empty_file", "no records"),
    ("gz_truncated", gzip.compress(CSV, mtime=0)[:-20], "unreadable_file", "ends in the middle"),
    ("gz_cut_trailer", gzip.compress(CSV, mtime=0)[:-4], "unreadable_file", "ends in the middle"),
    ("gz_bad_crc", flipped(gzip.compress(CSV, mtime=0), -8 + len(gzip.compress(CSV, mtime=0))), "unreadable_file", "damaged"),
    ("gz_trailing_junk", gzip.compress(CSV, mtime=0) + b"junk", "unreadable_file", "damaged"),
    ("gz_short_refill", gzip.compress(CSV, mtime=0) + b"\x1f\x8b\x08\x00", "unreadable_file", "ends in the middle"),
    ("gz_bomb", gzip.compress(H + b"1,,a\n" * (1 << 19), mtime=0), "unreadable_file", "200 times"),
    ("nested_gz", gzip.compress(gzip.compress(CSV), mtime=0), "unreadable_file", "a second time"),
    ("tar", bytes(257) + b"ustar" + bytes(300), "unreadable_file", "tar"),
    ("7z", b"7z\xbc\xaf\x27\x1c" + bytes(20), "unreadable_file", "7-Zip"),
    ("bzip2", b"BZh91AY&SY", "unreadable_file", "bzip2"),
    ("zst_truncated", ZSTD.compress(H + LONG)[:-6], "unreadable_file", "ends in the middle"),
    ("zst_cut_checksum", ZSTD.compress(CSV)[:-2], "unreadable_file", "ends in the middle"),
    ("zst_bad_checksum", flipped(ZSTD.compress(CSV), len(ZSTD.compress(CSV)) - 1), "unreadable_file", "damaged"),
    ("zst_trailing_junk", ZSTD.compress(CSV) + b"junk and more", "unreadable_file", "damaged"),
    ("zst_bomb", ZSTD.compress(H + bytes(1 << 22)), "unreadable_file", "200 times"),
    ("zst_window", ZSTD.compress(CSV)[:4] + b"\x00\xa8" + ZSTD.compress(CSV)[6:], "unreadable_file", "damaged"),
    ("zst_in_gz", gzip.compress(ZSTD.compress(CSV), mtime=0), "unreadable_file", "a second time"),
    ("zst_of_nothing", ZSTD.compress(b""), "empty_file", "is empty"),
    ("zip_truncated", zipped(("a.csv", CSV))[:-30], "unreadable_file", "damaged or incomplete"),
    ("zip_bytes_gone", zipped(("a.csv", CSV))[:20] + zipped(("a.csv", CSV))[24:], "unreadable_file", "bytes are missing"),
    ("zip_empty", zipped(), "empty_file", "no files"),
    ("zip_of_an_empty_file", zipped(("a.csv", b"")), "empty_file", "is empty"),
    ("zip_bad_crc", zipped(("a.csv", CSV), compression=zipfile.ZIP_STORED).replace(b"2,1,b", b"2,1,c"), "unreadable_file", "CRC"),
    ("zip_encrypted", encrypted(zipped(("a.csv", CSV))), "unreadable_file", "is encrypted"),
    ("zip_in_zip", zipped(("a.zip", zipped(("a.csv", CSV)))), "unreadable_file", "a ZIP archive"),
    ("zip_in_gz", gzip.compress(zipped(("a.csv", CSV))), "unreadable_file", "a ZIP archive"),
    ("gz_in_zip", zipped(("a.csv.gz", gzip.compress(CSV, mtime=0))), "unreadable_file", "a second time"),
    ("zip_bzip2", zipped(("a.csv", CSV), compression=zipfile.ZIP_BZIP2), "unreadable_file", "method 12"),
    ("zip_too_many", zipped(*((f"{n}.csv", CSV) for n in range(21))), "unreadable_file", "21 entries"),
    ("zip_link", zipped(("a.csv", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777), "unreadable_file", "a link"),
    ("zip_bomb", zipped(("a.csv", H + bytes(1 << 20))), "unreadable_file", "200 times"),
    ("zip_of_pdf", zipped(("a.pdf", b"%PDF-1.7 ...")), "unreadable_file", "PDF"),
    ("zip_two_formats", zipped(("a.csv", CSV), ("b.json", b'[{"id":"3","parentId":null}]')), "unreadable_file", "a.csv is csv, b.json is json"),
    ("zip_other_columns", zipped(("a.csv", CSV), ("b.csv", b"id,parentId,title\n3,,c\n")), "missing_column", "b.csv lacks name and has title besides"),
    ("zip_second_is_broken", zipped(("a.csv", CSV), ("b.csv", H + b"3,,\xff\n")), "invalid_encoding", "In b.csv: Line 2"),
    ("zip_slip", zipped(("../../x.csv", CSV)), "unreadable_file", "out of the archive"),
    ("zip_slip_windows", zipped(("..\\x.csv", CSV)), "unreadable_file", "out of the archive"),
    ("zip_absolute", zipped(("/etc/x.csv", CSV)), "unreadable_file", "out of the archive"),
    ("zip_drive", zipped(("C:x.csv", CSV)), "unreadable_file", "out of the archive"),
    ("zip_overlap_bomb", overlapping(zipped(("a.csv", CSV), ("b.csv", CSV))), "unreadable_file", "overlaps"),
    ("xlsx_xxe", rewritten(PLAIN_BOOK, "xl/sharedStrings.xml", lambda part: ENTITIES + part), "unreadable_file", "entities"),
    ("billion_laughs", rewritten(PLAIN_BOOK, SHEET, lambda part: ENTITIES + part), "unreadable_file", "entities"),
    ("xlsx_utf16", rewritten(PLAIN_BOOK, SHEET, lambda part: part.decode().encode("utf-16")), "unreadable_file", "not UTF-8"),
    ("xlsx_zip_bomb", rewritten(PLAIN_BOOK, SHEET, lambda part: part + b" " * (1 << 21)), "unreadable_file", "200 times"),
    ("xlsx_cells_far_apart", lambda: book(HEADER, ["1"], fill=lambda _, s: s.write(1_000_000, 16_000, "x")), "unreadable_file", "1,000,001 rows and 16,001 columns"),
    ("formula_in_the_header", openpyxl_book(["id", "parentId", "=1+1"], ["1"]), "malformed_row", "C1"),
    ("no_visible_rows", book(fill=lambda b, s: (s.write_row(0, 0, HEADER), s.hide(), b.add_worksheet("Shown").activate())), "empty_file", "hidden"),
    ("title_above_two_tables", book(["Our places"], HEADER, ["1", "", "a"], HEADER), "missing_column", "It has: Our places"),
    ("xlsx_header_only", book(HEADER), "empty_file", "no records"),
    ("xlsx_broken_sheet", rewritten(PLAIN_BOOK, SHEET, lambda part: part[: part.index(b"</sheetData>")]), "unreadable_file", "damaged"),
    ("xlsx_without_links", rewritten(PLAIN_BOOK, "xl/_rels/workbook.xml.rels", lambda part: b"<"), "unreadable_file", "damaged"),
    ("docx", zipped(("[Content_Types].xml", b"<x/>"), ("word/document.xml", b"<x/>")), "unreadable_file", "Word"),
    ("ods", zipped(("mimetype", b"x"), ("content.xml", b"<x/>")), "unreadable_file", "OpenDocument"),
    ("xls_password", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "unreadable_file", "password"),
    ("exe", b"MZ\x90\0" + bytes(60), "unreadable_file", "program"),
    ("elf", b"\x7fELF" + bytes(60), "unreadable_file", "program"),
    ("pdf", b"%PDF-1.7\n", "unreadable_file", "PDF"),
    ("png", b"\x89PNG\r\n\x1a\n", "unreadable_file", "PNG"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "code", "said"), [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_what_cannot_be_read_is_refused_by_name(reads: Reads, tmp_path: Path, content: Content, code: str, said: str) -> None:
    with pytest.raises(Unreadable) as caught:
        reads(content)
    assert (caught.value.code, said in str(caught.value)) == (code, True), str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"], "nothing is left behind"


FAULTY: list[tuple[str, bytes, list[tuple[str, str, int | None, int | None, str | None]], str]] = [
    ("parquet_bytes_that_are_no_text", typed([b"\xff", b"b"]), [("invalid_encoding", "error", 1, None, "name")], "not UTF-8"),
    ("parquet_nul", typed(["a\0b", "b"]), [("invalid_character", "error", 1, None, "name")], "U+0000"),
    ("xlsx_formula_cells", openpyxl_book(HEADER, ["1", None, "=1+1"]), [("invalid_type", "error", 1, 2, "name")], "C2 contains a formula that was never computed"),
    ("error_cell", book(HEADER, ["1"], [], fill=lambda _, s: (s.write_row(3, 0, ["2"]), s.write_formula(3, 1, "=1/0", None, "#DIV/0!"))), [("invalid_type", "error", 2, 4, "parentId")], "B4 contains an error"),
    ("xlsx_numeric_ids", book(HEADER, [1, None, "a"], [2, 1, "b"]), [("numeric_ids", "warning", None, None, None)], "A2 is 1, A3 is 2, B3 is 1"),
    ("xlsx_dates_for_ids", book(HEADER, fill=lambda b, s: s.write_datetime(1, 0, datetime.datetime(2024, 1, 2), b.add_format({"num_format": "yyyy-mm-dd"}))), [("numeric_ids", "warning", None, None, None)], "A2 is 2024-01-02"),
    ("xlsx_fractions_for_ids", book(HEADER, ["1", 1.5]), [("invalid_type", "error", 1, 2, "parentId")], "B2 is neither"),
    ("xlsx_booleans_for_ids", book(HEADER, [True]), [("invalid_type", "error", 1, 2, "id")], "A2 is neither"),
    ("xlsx_many_sheets", book(HEADER, ["1", None, "a"], fill=lambda b, _: b.add_worksheet("More").write_row(0, 0, HEADER)), [("several_sheets", "warning", None, None, None)], "Only the sheet Places was read, not More"),
    ("merged", book(HEADER, ["1", None, "a"], fill=lambda _, s: s.merge_range(1, 2, 2, 2, "a")), [("merged_cells", "warning", None, None, None)], "C2:C3"),
    ("xlsx_beyond_the_header", book(HEADER, ["1", None, "a", None, "x"], ["2"]), [("malformed_row", "error", 1, 2, None)], "E2 is outside"),
    ("zip_of_json", zipped(("a.json", b'[{"id":" 1","parentId":null}]'), ("b.json", b'[{"id":"2","parentId":null,"name":"b"}]')), [("invalid_character", "error", 1, 1, "id")], "space"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "found", "said"), [pytest.param(*rest, id=name) for name, *rest in FAULTY])
def test_a_fault_is_named_and_the_rest_is_read(reads: Reads, content: bytes, found: list[Any], said: str) -> None:
    got = reads(content)
    assert [finding[:5] for finding in got.findings] == found
    assert said in got.findings[0][5]


def test_what_was_read_is_said(reads: Reads) -> None:
    said = [
        (one.format, one.compression, one.encoding, one.delimiter, one.sheet, one.members)
        for one in (
            reads(content).reading
            for content in (gzip.compress(CSV.replace(b",", b";"), mtime=0), PLAIN_BOOK, ZSTD.compress(parquet(IDS | {"name": ["a", "b"]})),
                            zipped(("a.csv", CSV), ("b.csv", CSV.decode().encode("utf-16"))))
        )
    ]  # fmt: skip
    assert said == [
        ("csv", "gzip", "utf-8", ";", "", 1),
        ("xlsx", "none", "", "", "Places", 1),
        ("parquet", "zstd", "", "", "", 1),
        ("csv", "zip", "utf-8, utf-16-le", ",", "", 2),
    ]


def test_rows_of_a_sheet_keep_the_numbers_that_excel_shows(reads: Reads) -> None:
    got = reads(book([], HEADER, ["1", None, "a"], [], [], ["2", "1", "b"]))
    assert (got.numbers, got.lines) == ([1, 2], [3, 6])


def test_several_files_are_one_table_and_each_counts_its_own_lines(reads: Reads) -> None:
    got = reads(zipped(
        ("b.csv", b"name,id,parentId\nc,3,1\n\nd,4\ne,5,1\n"), ("c.csv", H), ("a.csv", H + b'1,,"a\nb"\n2,1\n'), ("d.csv", H + b" 6,1,f\n")
    ))  # fmt: skip
    assert got.rows == [("1", None, "a\nb"), ("3", "1", "c"), ("5", "1", "e"), (" 6", "1", "f")]
    assert got.numbers == [1, 3, 5, 6]
    assert got.lines == [2, 2, 5, 2]
    assert [finding[:4] for finding in got.findings] == [
        ("malformed_row", "error", 2, 4), ("malformed_row", "error", 4, 4), ("invalid_character", "error", 6, 2),
    ]  # fmt: skip
    assert got.members == [(1, "a.csv"), (3, "b.csv"), (6, "d.csv")]


def test_several_files_with_typed_columns_are_typed_as_one_table(tmp_path: Path, database: Path) -> None:
    """What one file's reader cast in passing is not taken for all of them."""
    head = b"id,parentId,name,kind,numeric_code\n"
    (tmp_path / "source").write_bytes(
        zipped(("a.csv", head + b"FR,,France,Country,250\n"), ("b.csv", head + b"AT,,Austria,Country,40\nXX,,X,Country,x\n"))
    )
    places = load_dataset("places")
    read_into(database, tmp_path / "source", places)
    run_stage(stage, database, places)
    with duckdb.connect(str(database)) as connection:
        assert connection.execute("select _row, numeric_code from incoming order by 1").fetchall() == [
            (1, 250),
            (2, 40),
            (3, None),
        ]
        assert connection.execute("select row, code from findings").fetchall() == [(3, "invalid_type")]


@pytest.mark.parametrize(
    ("form", "pack"), [("gzip", gzip.compress), ("zstd", ZSTD.compress), ("zip", lambda text: zipped(("a.csv", text)))]
)
def test_a_flipped_bit_is_never_read_over(reads: Reads, form: str, pack: Callable[[bytes], bytes]) -> None:
    good, chance = pack(H + LONG[:4000]), random.Random(5)
    rows = reads(good).rows
    for _ in range(40):
        at = chance.randrange(4, len(good))
        try:
            got = reads(flipped(good, at))
        except Unreadable:
            continue
        assert got.rows == rows


@pytest.mark.parametrize("pack", [ZSTD.compress, lambda text: zipped(("a.csv", text))], ids=["zstd", "zip"])
def test_a_file_cut_anywhere_is_never_read_short(reads: Reads, pack: Callable[[bytes], bytes]) -> None:
    good = pack(H + LONG[:2000])
    for size in range(8, len(good), 23):
        with pytest.raises(Unreadable):
            reads(good[:size])


@pytest.mark.parametrize("chunk", [64, 1000])
def test_a_sheet_is_seen_the_same_however_its_xml_is_cut(reads: Reads, chunk: int) -> None:
    rows = [[str(n), None, f"=1+{n}" if n % 7 == 0 else f"é{n}"] for n in range(1, 60)]
    got = reads(openpyxl_book(HEADER, *rows), Limits(chunk_bytes=chunk))
    assert [finding[3] for finding in got.findings] == [line for line in range(2, 61) if (line - 1) % 7 == 0]
    assert len(got.rows) == 59
