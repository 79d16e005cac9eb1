# ruff: noqa: E501 - a case is one line, however long
"""The corpus of bad inputs, and of odd but good ones: what each of them becomes on its way from bytes to findings.

Every case has a number and a name, and is read, staged and checked as an upload is (but for Great Expectations, which have
tests of their own); or it names the test elsewhere that covers it, or says why there is none. Where we do otherwise than one
might expect, a comment says why.
"""

from __future__ import annotations

import ast
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.errors import Unreadable
from pipeline.read import Limits
from pipeline.staging.cast import stage
from pipeline.validate.sql_check_file import read_check
from pipeline.validate.sql_checks import run_checks
from pipeline.validate.tree_overlay import add_edges, ask_for
from tests.support.staging import SHARED, read_into, run_stage
from tests.support.tree_edges import write_edges

ROOT = Path(__file__).resolve().parents[3]
BY_SUITE = load_dataset("records")
RECORDS = replace(BY_SUITE, suite={**BY_SUITE.suite, "expectations": []})  # so that staging itself says what is missing
CHECKS = [read_check(path) for path in RECORDS.check_files]
SMALL = Limits(value_bytes=20_000, record_bytes=60_000, columns=1000, header_bytes=20_000, ratio_free_bytes=1 << 16)
H = b"id,parentId,name\n"
CONTAINERS = "tests/unit/read/test_read_containers.py"

Row = tuple[str | None, str | None, str | None]
Found = tuple[str, int | None, int | None]
Content = bytes | Callable[[], bytes]


@dataclass(frozen=True)
class Accepted:
    """It is read, and nothing is wrong: (id, parentId, name) of the rows, or how many there are."""

    content: Content
    rows: list[Row] | int
    warehouse: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True)
class Refused:
    """There is no table to speak of: code, words of the message, and the line."""

    content: Content
    code: str
    said: str
    line: int | None = None


@dataclass(frozen=True)
class Faulty:
    """Rows are wrong: (code, row, line) of each finding that is an error."""

    content: Content
    found: list[Found] | int
    warehouse: tuple[tuple[str, str | None], ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class Elsewhere:
    """Another test covers it."""

    file: str
    test: str


@dataclass(frozen=True)
class InContainers:
    """The test of containers has a case of that name."""

    name: str


Case = Accepted | Refused | Faulty | Elsewhere | InContainers


def rows(*texts: str) -> list[Row]:
    """``1,,a`` -> ("1", None, "a")."""
    return [tuple(value or None for value in text.split(",")) for text in texts]  # type: ignore[misc]


def ring(size: int) -> bytes:
    return H + b"".join(b"%d,%d,\n" % (n, (n + 1) % size) for n in range(size))


def xlsx(*names: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return sink.getvalue()


def tar() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        member = tarfile.TarInfo("records.csv")
        member.size = len(H)
        archive.addfile(member, io.BytesIO(H))
    return sink.getvalue()


def wide(columns: int) -> bytes:
    return b"id,parentId," + b",".join(b"c%d" % n for n in range(columns)) + b"\n1,\n"


A = rows("1,,a")
GZ = gzip.compress(H + b"1,,a\n" * 50, mtime=0)

ENCODING: list[tuple[int, str, Case]] = [
    (1, "utf8_bom", Accepted(b"\xef\xbb\xbf" + H + b"1,,a\n", A)),
    (2, "utf16le_bom", Accepted((H + b"1,,a\n").decode().encode("utf-16"), A)),
    (3, "utf16be_no_bom", Refused((H * 3).decode().encode("utf-16-be"), "invalid_encoding", "looks like UTF-16")),
    (4, "utf32", Refused(H.decode().encode("utf-32"), "invalid_encoding", "UTF-32")),
    # The file, not the row: in which other encoding it was meant, nobody can say, and every other row is as doubtful.
    (5, "latin1", Refused(H + b"1,,caf\xe9\n", "invalid_encoding", "Line 2 contains the byte 0xE9, which is not UTF-8. Its encoding is likely Windows-1252", 2)),
    (6, "cp1252_smart_quotes", Refused(H + b"1,,\x93a\x94\n", "invalid_encoding", "0x93, which is not UTF-8. Its encoding is likely Windows-1252", 2)),
    (7, "bad_utf8_late", Refused(lambda: H + b"1,,a\n" * 3000 + b"\xff\xfe\n", "invalid_encoding", "Line 3002", 3002)),
    (8, "overlong_utf8", Refused(H + b"1,,\xc0\xaf\n", "invalid_encoding", "0xC0", 2)),
    (8, "overlong_utf8_of_three", Refused(H + b"1,,\xe0\x80\xaf\n", "invalid_encoding", "0xE0", 2)),
    (9, "surrogates_cesu8", Refused(H + b"1,,\xed\xa0\x80\n", "invalid_encoding", "0xED", 2)),
    (10, "nul_in_value", Faulty(H + b"1,,a\x00b\n", [("invalid_character", 1, 2)])),
    (11, "nul_padding", Refused(lambda: H + b"1,,a\n" * 1000 + b"\0" * (1 << 20), "unreadable_file", "binary or truncated copy", 1002)),
    (13, "control_chars", Faulty(H + b"\x01a,,a\n\x1b[31mb,,\n\x7fc,,\x1b[31m\n", [("invalid_character", 1, 2), ("invalid_character", 2, 3), ("invalid_character", 3, 4)])),
    (13, "control_chars_in_a_payload", Accepted(H + b"1,,\x1b[31m\n", rows("1,,\x1b[31m"))),
    (14, "mojibake_valid", Accepted(H + "1,,cafÃ©\n".encode(), rows("1,,cafÃ©"))),
]  # fmt: skip

SHAPE: list[tuple[int, str, Case]] = [
    (15, "empty_file", Refused(b"", "empty_file", "no bytes")),
    (16, "header_only", Refused(H, "empty_file", "no records")),
    (17, "header_no_newline", Refused(H.strip(), "empty_file", "no records")),
    (18, "whitespace_only", Refused(b"\n\n \n", "empty_file", "white space")),
    (19, "no_header", Refused(b"1,,a\n2,1,b\n", "missing_column", "first line looks like data", 1)),
    (20, "reordered_header", Accepted(b"name,parentId,id\na,,1\n", A)),
    (21, "missing_parentId_col", Refused(b"id,name\n1,a\n", "missing_column", "lacks the column parentId. It has: id, name", 1)),
    (22, "dup_header", Refused(b"id,id,parentId\n1,1,\n", "duplicate_column", "'id' appears twice (columns 1 and 2)", 1)),
    (23, "case_dup_header", Refused(b"id,ID,parentId\n1,1,\n", "duplicate_column", "differ in case only", 1)),
    (24, "header_case_space", Accepted(b" Id , PARENT_ID,name\n1,,a\n", A)),
    (24, "header_case_space_with_aliases", Elsewhere("tests/unit/read/test_columns.py", "test_aliases_and_defaults_hold_for_every_format")),
    (25, "header_bom_quotes", Accepted(b'\xef\xbb\xbf"id","parentId","name"\n1,,a\n', A)),
    (26, "extra_columns", Accepted(b"id,parentId,name,colour\n1,,a,red\n", A)),
    (26, "extra_columns_without_a_place", Elsewhere("tests/unit/read/test_read.py", "test_columns_the_dataset_does_not_have_are_named_once")),
    (27, "ragged_short", Faulty(H + b"1,,a\n2,1\n", [("malformed_row", 2, 3)], hint="A value is missing.")),
    (28, "ragged_long", Faulty(H + b"1,,a\n2,1,b,EXTRA\n", [("malformed_row", 2, 3)], hint="must be in quotes")),
    (29, "trailing_comma_all", Accepted(H + b"1,,a,\n2,1,b,\n", rows("1,,a", "2,1,b"))),
    (29, "trailing_comma_all_with_header", Accepted(b"id,parentId,name,\n1,,a,\n2,1,b,\n", rows("1,,a", "2,1,b"))),
    (29, "extra_value_in_all", Refused(H + b"1,,a,x\n2,1,b,y\n", "malformed_row", "Every record has 4 fields; the header has 3", 2)),
    (30, "unterminated_quote", Refused(H + b'1,,"abc\n2,1,b\n', "malformed_row", "begins on line 2, and never closed", 2)),
    # Here 60 kB are a long record; the bound is on what is looked at, however much follows.
    (31, "unterminated_quote_huge", Refused(lambda: H + b'1,,"abc\n' + b"2,1,b\n" * 50_000, "value_too_long", "perhaps a quote is opened", 2)),
    (32, "quote_in_unquoted", Accepted(H + b'1,,ab"c\n', rows('1,,ab"c'))),
    (34, "backslash_escape", Faulty(H + b'1,,"a\\"b"\n2,,b\n', [("malformed_row", 1, 2)], hint="written twice")),
    (35, "embedded_newline", Faulty(H + b'1,,"a\nb"\n2,1,"c\r\nd"\n3,9,e\n', [("missing_parent", 3, 6)])),
    (36, "crlf", Accepted(b"id,parentId,name\r\n1,,a\r\n", A)),
    (37, "cr_only", Accepted(b"id,parentId,name\r1,,a\r", A)),
    (38, "mixed_newlines", Accepted(H + b"1,,a\r\n2,1,b\r3,1,c\n", rows("1,,a", "2,1,b", "3,1,c"))),
    (40, "semicolon", Accepted(b"id;parentId;name\n1;;a\n", A)),
    (40, "tab", Accepted(b"id\tparentId\tname\n1\t\ta\n", A)),
    (40, "pipe", Accepted(b"id|parentId|name\n1||a\n", A)),
    (40, "another_than_chosen", Elsewhere("tests/unit/read/test_read.py", "test_a_chosen_delimiter_is_used_exactly")),
    (41, "decimal_comma_semicolon", Accepted(b'id;parentId;name\n1;;"1,5"\n', [("1", None, "1,5")])),
    (42, "sep_line", Accepted(b"sep=;\r\nid;parentId;name\r\n1;;a\r\n", A)),
    (43, "comment_line", Accepted(H + b"#1,,a\n", rows("#1,,a"))),
    (44, "blank_lines", Faulty(H + b"\n1,,a\n\n2,9,b\n\n\n", [("missing_parent", 2, 5)])),
    (45, "no_final_newline", Accepted(H + b"1,,a", A)),
    (46, "ctrl_z_eof", Accepted(H + b"1,,a\r\n\x1a", A)),
    (48, "1M_columns", Refused(lambda: wide(1_000_000), "too_many_columns", "header is longer than 20,000 bytes", 1)),
    (48, "1001_columns", Refused(lambda: wide(999), "too_many_columns", "1,001 columns; at most 1,000", 1)),
    # The file, not the row: most often it is a quote that was never closed, and then no row after it is what it seems.
    (49, "100MB_field", Refused(lambda: H + b"1,," + b"x" * 100_000 + b"\n2,,b\n", "value_too_long", "begins on line 2", 2)),
    # Here 20,000 rows; a hundred million are for the benchmark, which watches the memory.
    (50, "100M_tiny_rows", Faulty(lambda: b"id,parentId\n" + b"1,\n" * 20_000, 19_999)),
    # Reading knows no difference between nothing and an empty text in CSV: neither does any spreadsheet. JSON does.
    (51, "all_quoted_empty", Faulty(H + b'"","",""\n', [("missing_id", 1, 2)])),
    (52, "html_as_csv", Refused(b"<!DOCTYPE html><html><body>Sign in</body></html>", "unreadable_file", "HTML")),
    (53, "csv_in_utf8_with_rtl_override", Faulty(H + "1\u202e2,,a\n".encode(), [("invalid_character", 1, 2)])),
]  # fmt: skip

VALUES: list[tuple[int, str, Case]] = [
    (54, "id_empty", Faulty(H + b",,a\n", [("missing_id", 1, 2)])),
    (54, "id_missing", Faulty(b'[{"id":"1","parentId":null},{"parentId":"1"}]', [("missing_id", 2, 1)])),
    (54, "id_empty_by_the_suite", Elsewhere("tests/unit/validate/test_expectations.py", "test_everything_wrong_is_found_at_once_and_nothing_twice")),
    (55, "id_spaces", Faulty(H + b' 1 ,,a\n"2 ",,b\n', [("invalid_character", 1, 2), ("invalid_character", 2, 3)], hint="Write '1', here")),
    (56, "id_nbsp_zwsp", Faulty(H + "1\u00a0,,a\n1\u200b,,b\n\ufeff1,,c\n".encode(), [("invalid_character", row, row + 1) for row in (1, 2)])),
    # Two ids, as they are written. That they look the same is said, as a warning, by a check; it rejects nothing.
    (58, "id_nfc_nfd", Accepted(H + "\u00e9,,a\ne\u0301,,b\n".encode(), rows("\u00e9,,a", "e\u0301,,b"))),
    (59, "id_homoglyph", Accepted(H + "\u0430,,a\na,,b\n".encode(), rows("\u0430,,a", "a,,b"))),
    (60, "id_leading_zero", Accepted(H + b"001,,a\n1,001,b\n", rows("001,,a", "1,001,b"))),
    (61, "id_sci", Accepted(H + b"1e5,,a\n100000,1e5,b\n", rows("1e5,,a", "100000,1e5,b"))),
    (63, "id_float_parquet", InContainers("id_float")),
    (64, "id_date", Accepted(H + b"2024-01-02,,a\n", rows("2024-01-02,,a"))),
    # Ordinary text: whoever writes NULL as an id has a record of that name.
    (65, "id_NaN / NULL / null / None / N/A", Accepted(H + b"NaN,,a\nNULL,,b\nnull,,c\nNone,,d\nN/A,,e\n", rows("NaN,,a", "NULL,,b", "null,,c", "None,,d", "N/A,,e"))),
    (66, "parent_empty", Accepted(H + b'1,"",a\n2,,a\n', rows("1,,a", "2,,a"))),
    (66, "parent_null_in_json", Accepted(b'[{"id":"1","parentId":null,"name":"a"},{"id":"2","name":"a"},{"id":"3","parentId":"","name":"a"}]', [("1", None, "a"), ("2", None, "a"), ("3", None, "a")])),
    (66, "parent_literal_NULL", Faulty(H + b"1,NULL,a\n2,\\N,b\n", [("missing_parent", 1, 2), ("missing_parent", 2, 3)])),
    (67, "id_too_long_300", Accepted(lambda: H + b"x" * 300 + b",,a\n", 1)),
    (67, "id_too_long_10kB", Faulty(lambda: H + b"x" * 10_000 + b",,a\n", [("value_too_long", 1, 2)])),
    # Named, not collapsed: two equal rows are one row too many, and only their author knows whether another was meant.
    (68, "dup_identical", Faulty(H + b"1,,a\n1,,a\n", [("duplicate_id", 2, 3)])),
    (69, "dup_conflicting", Faulty(H + b"1,,a\n2,,b\n1,2,a\n", [("conflicting_duplicate", 1, 2), ("conflicting_duplicate", 3, 4)])),
    (70, "dup_across_batches", Faulty(lambda: H + b"x,,a\n" + b"".join(b"%d,,\n" % n for n in range(500)) + b"x,,b\n", [("conflicting_duplicate", 1, 2), ("conflicting_duplicate", 502, 503)])),
    (71, "self_parent", Faulty(H + b"1,1,a\n", [("self_parent", 1, 2)])),
    (72, "two_cycle", Faulty(H + b"a,b,\nb,a,\n", [("circular_reference", 1, 2)])),
    # Here 20,000; a million are for the benchmark.
    (73, "long_cycle", Faulty(lambda: ring(20_000), [("circular_reference", 1, 2)])),
    # Here 2,000; a hundred thousand are for the benchmark.
    (75, "many_cycles", Faulty(lambda: H + b"".join(b"%d,%d,\n" % (n, n ^ 1) for n in range(4000)), [("circular_reference", n, n + 1) for n in range(1, 4000, 2)])),
    (76, "cycle_via_warehouse", Faulty(H + b"b,a,\n", [("circular_reference", 1, 2)], warehouse=(("a", "b"),), hint="In the warehouse: a → b")),
    # Here 20,000 levels; a million are for the benchmark.
    (79, "deep_chain_1M", Accepted(lambda: H + b"0,,\n" + b"".join(b"%d,%d,\n" % (n, n - 1) for n in range(1, 20_000)), 20_000)),
    (80, "parent_later", Accepted(lambda: H + b"1,last,\n" + b"".join(b"x%d,,\n" % n for n in range(5000)) + b"last,,\n", 5002)),
    (81, "parent_missing", Faulty(H + b"1,,a\n2,9,b\n", [("missing_parent", 2, 3)])),
    (82, "parent_in_warehouse", Accepted(H + b"2,9,b\n", rows("2,9,b"), warehouse=(("9", None),))),
    # The fault is said where it is, and rejects the file; what quarantine does with those below is for its own tests.
    (83, "parent_rejected", Faulty(H + b" 1,,a\n2, 1,b\n", [("invalid_character", 1, 2), ("invalid_character", 2, 3)])),
    # A dataset is a table, and only that table is asked: an id from another is as missing as any.
    (84, "parent_other_dataset", Faulty(H + b"FR-75,FR,Paris\n", [("missing_parent", 1, 2)])),
    # Here 20,000; a million are for the benchmark.
    (85, "star_1M_children", Accepted(lambda: H + b"0,,\n" + b"".join(b"%d,0,\n" % n for n in range(1, 20_000)), 20_000)),
    (86, "two_files_one_cycle", Elsewhere("tests/integration/receive/test_import_journey.py", "test_two_files_that_form_a_cycle_only_together")),
]  # fmt: skip

R1, R2 = b'{"id":"1","parentId":null,"name":"a"}', b'{"id":"2","parentId":"1","name":"b"}'

JSON: list[tuple[int, str, Case]] = [
    (87, "array", Accepted(b"[%s,%s]" % (R1, R2), rows("1,,a", "2,1,b"))),
    (87, "ndjson", Accepted(R1 + b"\n" + R2 + b"\n", rows("1,,a", "2,1,b"))),
    (87, "concatenated", Accepted(R1 + R2, rows("1,,a", "2,1,b"))),
    (88, "single_object", Accepted(R1, A)),
    (89, "wrapped", Accepted(b'{"data":[%s]}' % R1, A)),
    (91, "trailing_comma", Refused(b"[%s,\n]" % R1, "unreadable_file", "not valid JSON at line 2", 2)),
    (93, "nan", Refused(b'[{"id":NaN,"parentId":null}]', "unreadable_file", "NaN", 1)),
    (93, "inf", Refused(b'[{"id":"1","parentId":null,"name":-Infinity}]', "unreadable_file", "Infinity", 1)),
    (94, "deep_nesting", Refused(b"[" * 100_000, "unreadable_file", "nested more than 64 deep", 1)),
    (94, "deep_nesting_in_a_value", Faulty(b'[{"id":"1","parentId":null,"name":%s1%s}]' % (b"[" * 100, b"]" * 100), [("malformed_row", 1, 1)])),
    (95, "huge_int", Accepted(b'[{"id":9007199254740993,"parentId":null,"name":123456789012345678901234567890}]', [("9007199254740993", None, "123456789012345678901234567890")])),
    (96, "mixed_types", Faulty(b'[{"id":1,"parentId":null},{"id":"x"},{"id":{"a":1}},{"id":[1]},\n{"id":true},{"id":1.5},{"id":1e5}]', [("invalid_type", 3, 1), ("invalid_type", 4, 1), ("invalid_type", 5, 2), ("invalid_type", 6, 2), ("invalid_type", 7, 2)])),
    (97, "truncated_array", Refused(b"[%s,%s" % (R1, R2[:9]), "unreadable_file", "ends in the middle", 1)),
    (97, "truncated_ndjson", Refused(R1 + b"\n" + R2[:9], "unreadable_file", "ends in the middle", 2)),
    (99, "escaped_nul", Faulty(b'[{"id":"1","parentId":null,"name":"a\\u0000b"}]', [("invalid_character", 1, 1)])),
    (100, "lone_surrogate", Faulty(b'[{"id":"1","parentId":null,"name":"\\ud800"}]', [("invalid_character", 1, 1)])),
    (101, "proto_keys", Accepted(b'[{"id":"1","parentId":null,"name":"a","__proto__":{"x":1},"constructor":"y"}]', A)),
    (102, "big_record", Refused(lambda: b'[{"id":"1","parentId":null,"name":"%s"}]' % (b"x" * 100_000), "unreadable_file", "longer than 60,000 bytes", 1)),
    (103, "single_quotes", Refused(b"[{'id':'1'}]", "unreadable_file", "not valid JSON at line 1", 1)),
    (103, "comments", Refused(b'[{"id":"1"} /* one */]', "unreadable_file", "not valid JSON at line 1", 1)),
    (103, "json5", Refused(b'[{id:"1"}]', "unreadable_file", "not valid JSON at line 1", 1)),
    (104, "empty_array", Refused(b"[]", "empty_file", "no records")),
    (104, "empty_object", Refused(b"{}", "missing_column", "lacks the columns id, parentId", 1)),
    # Neither { nor [: so it is a delimited text, of one column with a strange name.
    (104, "null", Refused(b"null", "missing_column", "It has: null", 1)),
    (104, "empty_text", Refused(b'""', "missing_column", "first line looks like data", 1)),
]  # fmt: skip

CONTAINED: list[tuple[int, str, Case]] = [
    *((number, name, InContainers(name)) for number, name in (
        (105, "wrong_schema"), (106, "truncated_parquet"), (107, "zero_footer"), (108, "bitflip_page"), (109, "nested_id"), (110, "dictionary"), (110, "int96"), (110, "decimal"), (110, "large_string"), (111, "encrypted"), (112, "parquet_bomb"), (114, "gzip_page_no_footer"), (115, "many_row_groups"),
    )),
    (116, "gz_ok_concat", Accepted(gzip.compress(H, mtime=0) + gzip.compress(b"1,,a\n", mtime=0), A)),
    (117, "gz_truncated", Refused(GZ[:-20], "unreadable_file", "ends in the middle")),
    (117, "cut trailer", Refused(GZ[:-4], "unreadable_file", "ends in the middle")),
    (118, "gz_bad_crc", Refused(GZ[:-8] + b"\0\0\0\0" + GZ[-4:], "unreadable_file", "damaged")),
    (118, "bit flip", Elsewhere("tests/unit/read/test_read.py", "test_a_flipped_bit_in_a_gzip_file_is_never_read_over")),
    # What DuckDB's own gzip stumbled over never comes to it: zlib unpacks, in pieces of any size.
    (120, "gz_short_refill", Elsewhere("tests/unit/read/test_read.py", "test_json_is_the_same_however_the_text_is_cut")),
    (121, "gz_bomb", Refused(lambda: gzip.compress(H + b"\n" * (8 << 20), mtime=0), "unreadable_file", "more than 200 times")),
    (121, "nested .gz.gz", Refused(gzip.compress(GZ, mtime=0), "unreadable_file", "gzip a second time")),
    (122, "gz_named_csv", Accepted(gzip.compress(H + b"1,,a\n", mtime=0), A)),
    (122, "csv_named_gz", Accepted(H + b"1,,a\n", A)),
    (123, "tar", Refused(tar(), "unreadable_file", "a tar archive")),
    (123, "7z", Refused(b"7z\xbc\xaf\x27\x1c" + bytes(40), "unreadable_file", "7-Zip")),
    *((number, name, InContainers(name)) for number, name in (
        (123, "zip"), (123, "zst"), (124, "zip_slip"), (125, "zip_overlap_bomb"), (126, "xlsx_xxe"), (126, "billion_laughs"), (127, "xlsx_zip_bomb"), (128, "xlsx_formula_cells"), (129, "xlsx_numeric_ids"), (130, "xlsx_many_sheets"), (130, "hidden"), (130, "merged"),
    )),
    (131, "xls_password", Refused(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "unreadable_file", "old Excel workbook (xls), or one with a password")),
    (132, "exe renamed .csv", Refused(b"MZ\x90\0" + bytes(range(256)), "unreadable_file", "a program")),
    (132, "pdf renamed .csv", Refused(b"%PDF-1.7\n", "unreadable_file", "PDF")),
    (132, "png renamed .csv", Refused(b"\x89PNG\r\n\x1a\n" + bytes(20), "unreadable_file", "PNG")),
]  # fmt: skip

UPLOAD = "tests/integration/web/api/test_uploads.py"
FORMULAS = ["=cmd|'/c calc'!A1", "+1", "-1", "@x", "\tx", "\rx", "\nx", " =1", "\u00a0=1", "a\n=1", "＝1"]
ODD = [
    "'); DROP TABLE x;--",
    "%s",
    ":x",
    "{0}",
    "\\",
    "<script>",
    '"><svg onload=>',
    "{{7*7}}",
    "\x1b]0;x\x07",
    "\nERROR forged",
]


def exactly(texts: list[str]) -> Accepted:
    """Every one of the texts is kept as it is."""
    records = [{"id": str(n), "parentId": None, "name": text} for n, text in enumerate(texts)]
    return Accepted(json.dumps(records).encode(), [(str(n), None, text) for n, text in enumerate(texts)])


UPLOADED: list[tuple[int, str, Case]] = [
    # Content-Type says nothing of what a file is: its content does, and nothing here even looks at the header.
    (134, "content_type_mismatch", Elsewhere(UPLOAD, "test_names")),
    (135, "no_file / two files / empty name", Elsewhere(UPLOAD, "test_refused_forms")),
    (136, "path_traversal", Elsewhere(UPLOAD, "test_names")),
    (137, "nul_crlf_name", Elsewhere("tests/unit/web/test_formatting.py", "test_a_download_cannot_break_out_of_its_header")),
    (138, "unicode_name", Elsewhere(UPLOAD, "test_names")),
    (139, "long_name", Elsewhere(UPLOAD, "test_names")),
    (140, "html_name", Elsewhere("tests/integration/web/pages/test_pages.py", "test_no_text_of_a_user_becomes_markup")),
    (142, "wrong_length", Elsewhere(UPLOAD, "test_bodies_that_stop_half_way")),
    (143, "too_big", Elsewhere(UPLOAD, "test_too_large")),
    (145, "formula_cells", exactly(FORMULAS)),
    (145, "formula_cells_exported", Elsewhere("tests/unit/report/test_findings.py", "test_no_cell_is_a_formula")),
    (146, "sql_meta", exactly(ODD)),
    (146, "sql_meta_in_the_warehouse", Elsewhere("tests/integration/load/test_load_part.py", "test_every_text_comes_out_as_it_went_in_and_empty_is_not_nothing")),
    (147, "html_js_value", Elsewhere("tests/integration/web/pages/test_pages.py", "test_no_text_of_a_user_becomes_markup")),
    (147, "html_js_value_in_data_docs", Elsewhere("tests/unit/validate/test_expectations.py", "test_the_page_shows_values_and_runs_nothing")),
    (148, "ansi_osc", Elsewhere("tests/unit/cli/test_cli.py", "test_nothing_from_a_file_reaches_the_terminal_unescaped")),
    (149, "log_injection", Elsewhere("tests/unit/read/test_corpus.py", "test_a_line_of_the_log_is_one_line")),
    (150, "glob/url in dataset name", Elsewhere("tests/unit/contracts/test_contracts.py", "test_a_key_names_a_dataset_only_below_incoming")),
]  # fmt: skip

CORPUS = [*ENCODING, *SHAPE, *VALUES, *JSON, *CONTAINED, *UPLOADED]
GAPS = {12, 33, 39, 47, 57, 62, 74, 77, 78, 90, 92, 98, 113, 119, 133, 141, 144}  # numbers that nothing bears


def test_the_corpus_is_whole() -> None:
    numbers = [number for number, _, _ in CORPUS]
    assert numbers == sorted(numbers)
    assert {*numbers} == {*range(1, 151)} - GAPS


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{number}-{name}") for number, name, case in CORPUS])
def test_corpus(case: Case, tmp_path: Path) -> None:
    match case:
        case Elsewhere(file, test):
            assert test in names_in(file)
        case InContainers(name):
            assert name in names_in(CONTAINERS)
        case Refused(content, code, said, line):
            with pytest.raises(Unreadable) as caught:
                judged(content, tmp_path)
            assert (caught.value.code, caught.value.line) == (code, line)
            assert said in str(caught.value)
        case Accepted(content, expected, warehouse):
            got, found, _ = judged(content, tmp_path, warehouse)
            assert (found, got if isinstance(expected, list) else len(got)) == ([], expected)
        case Faulty(content, wrong, warehouse, hint):
            _, found, hints = judged(content, tmp_path, warehouse)
            assert (found if isinstance(wrong, list) else len(found)) == wrong
            assert any(hint in one for one in hints)


def judged(
    content: Content, folder: Path, warehouse: Any = (), dataset: Dataset = RECORDS
) -> tuple[list[Row], list[Found], list[str]]:
    """Read, stage and check: the rows, (code, row, line) of what is an error, and the hints."""
    (folder / "source").write_bytes(content if isinstance(content, bytes) else content())
    database, edges = SHARED, folder / "edges.parquet"
    read_into(database, folder / "source", dataset, limits=SMALL)
    run_stage(stage, database, dataset)
    run_stage(ask_for, database, dataset, folder / "wanted.parquet")
    write_edges(edges, warehouse)
    run_stage(add_edges, database, edges)
    with duckdb.connect(str(database)) as connection:
        run_checks(connection, CHECKS)
        for check in (check for check in CHECKS if check.severity == "error"):
            given = connection.execute(f'select * from "{check.table}" limit 0').description
            hint = "coalesce(hint, $hint)" if "hint" in {column[0] for column in given} else "$hint"
            connection.execute(
                f"""insert into findings by name select $code as code, 'error' as severity, '' as message, _row as row,
                {hint} as hint from "{check.table}"\n""",
                {"code": check.code, "hint": check.hint},
            )
        got = connection.execute('select id, "parentId", name from incoming order by _row').fetchall()
        found = connection.execute(
            """select code, row, coalesce(line, first_line + row - first_row), coalesce(hint, '')
            from findings asof left join lines on row >= first_row where severity = 'error' order by row, code"""
        ).fetchall()
    return got, [finding[:3] for finding in found], [finding[3] for finding in found]


@cache
def names_in(file: str) -> set[str]:
    """The names of a test file's functions, and its texts, which are the names of cases."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return functions | {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
