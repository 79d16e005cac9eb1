# ruff: noqa: E501 - a case is one line, however long
"""Reading: what people really have is read exactly, and what cannot be is refused by name, with the line."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.contracts.options import ReadOptions
from pipeline.datasets.dataset import load_dataset
from pipeline.errors import InvalidRequest, Unreadable
from pipeline.read import FileSummary, Limits
from pipeline.read.formats.delimited_scan import Scan
from tests.support.cases import seeds
from tests.support.staging import read_into

RECORDS, PLACES = load_dataset("records"), load_dataset("places")
H = b"id,parentId,name\n"
SMALL = Limits(value_bytes=1000, record_bytes=3000, columns=50, header_bytes=2000, ratio_free_bytes=1 << 16, file_bytes=1 << 22)


class Read:
    """What one file became."""

    def __init__(self, reading: FileSummary, database: Path) -> None:
        self.reading = reading
        with duckdb.connect(str(database)) as connection:
            self.rows = connection.execute('select id, "parentId", name from raw order by _row').fetchall()
            self.numbers = [row[0] for row in connection.execute("select _row from raw order by _row").fetchall()]
            self.findings = connection.execute(
                "select code, row, line, message, hint from findings order by row, code"
            ).fetchall()
            self.malformed = connection.execute("select * from malformed order by _row").fetchall()
            self.lines = connection.execute(
                "select raw._row, first_line + raw._row - first_row from raw asof join lines on raw._row >= first_row order by 1"
            ).fetchall()


Reader = Callable[..., Read]


@pytest.fixture
def reads(tmp_path: Path, database: Path) -> Reader:
    def run(content: bytes, *, dataset: Any = RECORDS, limits: Limits = SMALL, **options: Any) -> Read:
        source = tmp_path / "source"
        source.write_bytes(content)
        return Read(read_into(database, source, dataset, limits=limits, options=ReadOptions(**options)), database)

    return run


GOOD: list[tuple[str, bytes, list[tuple[str, str | None, str | None]]]] = [
    ("plain", H + b"1,,a\n2,1,b\n", [("1", None, "a"), ("2", "1", "b")]),
    ("no_final_newline", H + b"1,,a\n2,1,b", [("1", None, "a"), ("2", "1", "b")]),
    ("utf8_bom", b"\xef\xbb\xbf" + H + b"1,,a\n", [("1", None, "a")]),
    ("utf16le_bom", (H + b"1,,\xc3\xa9\n").decode().encode("utf-16"), [("1", None, "é")]),
    ("utf16be_bom", b"\xfe\xff" + (H + b"1,,a\n").decode().encode("utf-16-be"), [("1", None, "a")]),
    ("header_bom_quotes", b'\xef\xbb\xbf"id","parentId","name"\n1,,a\n', [("1", None, "a")]),
    ("reordered_header", b"name,parentId,id\na,,1\n", [("1", None, "a")]),
    ("crlf", H.replace(b"\n", b"\r\n") + b"1,,a\r\n2,1,b\r\n", [("1", None, "a"), ("2", "1", "b")]),
    ("cr_only", H.replace(b"\n", b"\r") + b"1,,a\r2,1,b\r", [("1", None, "a"), ("2", "1", "b")]),
    ("mixed_newlines", H + b"1,,a\r\n2,1,b\n", [("1", None, "a"), ("2", "1", "b")]),
    ("blank_lines", H + b"1,,a\n\n2,1,b\n\n\n", [("1", None, "a"), ("2", "1", "b")]),
    ("embedded_newline", H + b'1,,"a\nb"\n2,1,"c\r\nd"\n', [("1", None, "a\nb"), ("2", "1", "c\r\nd")]),
    ("quotes", H + b'1,,"a ""b"" c"\n', [("1", None, 'a "b" c')]),
    ("quote_in_unquoted", H + b'1,,ab"c\n', [("1", None, 'ab"c')]),
    ("comment_line", H + b"#1,,a\n", [("#1", None, "a")]),
    ("semicolon", b"id;parentId;name\n1;;a,b\n", [("1", None, "a,b")]),
    ("tab", b"id\tparentId\tname\n1\t\ta\n", [("1", None, "a")]),
    ("pipe", b"id|parentId|name\n1||a\n", [("1", None, "a")]),
    ("trailing_comma_everywhere", H.replace(b"\n", b",\n") + b"1,,a,\n2,1,b,\n", [("1", None, "a"), ("2", "1", "b")]),
    ("trailing_comma_in_the_records", H + b"1,,a,\n2,1,b,\n", [("1", None, "a"), ("2", "1", "b")]),
    ("trailing_commas_in_the_header", H.replace(b"\n", b",,\n") + b"1,,a\n2,1,b,,\n", [("1", None, "a"), ("2", "1", "b")]),
    ("sep_line", b"sep=;\r\nid;parentId;name\r\n1;;a,b\r\n", [("1", None, "a,b")]),
    ("sep_line_quoted", b'"SEP=|"\nid|parentId|name\n1||a\n', [("1", None, "a")]),
    ("sep_stranger", b"sep=:\nid:parentId:name\n1::a\n", [("1", None, "a")]),
    ("sep_tab", b"sep=\t\nid\tparentId\tname\n1\t\ta\n", [("1", None, "a")]),
    ("ctrl_z", H + b"1,,a\n\x1a", [("1", None, "a")]),
    ("ctrl_z_after_a_value", H + b"1,,a\x1a", [("1", None, "a")]),
    ("separators_of_unicode", "id,parentId,name,a\u2028b\n1,,\u2028\x0c\x1c,2\n".encode(), [("1", None, "\u2028\x0c\x1c")]),
    ("leading_zeros", H + b"001,,a\n1,001,b\n1e5,1,c\n100000,1,d\n", [*((("001", None, "a"), ("1", "001", "b"))), ("1e5", "1", "c"), ("100000", "1", "d")]),
    ("literal_null", H + b"NULL,,NaN\nN/A,NULL,null\n", [("NULL", None, "NaN"), ("N/A", "NULL", "null")]),
    ("empty_is_nothing", H + b'"1","",""\n', [("1", None, None)]),
    ("formula", H + b"1,,=cmd|'/c calc'!A1\n", [("1", None, "=cmd|'/c calc'!A1")]),
    ("gzip", gzip.compress(H + b"1,,a\n", mtime=0), [("1", None, "a")]),
    ("gzip_two_members", gzip.compress(H, mtime=0) + gzip.compress(b"1,,a\n", mtime=0), [("1", None, "a")]),
    ("json_array", b'[{"id":"1","parentId":null,"name":"a"},{"id":"2","parentId":"1","name":"b"}]', [("1", None, "a"), ("2", "1", "b")]),
    ("ndjson", b'{"id":"1","parentId":null,"name":"a"}\n{"id":"2","parentId":"1","name":"b"}\n', [("1", None, "a"), ("2", "1", "b")]),
    ("concatenated", b'{"id":"1","parentId":null,"name":"a"}{"id":"2","parentId":"1","name":"b"}', [("1", None, "a"), ("2", "1", "b")]),
    ("json_bom_gzip", gzip.compress(b'\xef\xbb\xbf[{"id":"1","parentId":null,"name":"a"}]', mtime=0), [("1", None, "a")]),
    ("json_numbers", b'[{"id":9007199254740993,"parentId":null,"name":1.50},{"id":123456789012345678901234567890,"parentId":9007199254740993,"name":true}]',
     [("9007199254740993", None, "1.50"), ("123456789012345678901234567890", "9007199254740993", "true")]),
    ("json_missing_keys", b'[{"id":"1","name":"a"},{"id":"2","parentId":"1"}]', [("1", None, "a"), ("2", "1", None)]),
]  # fmt: skip


@pytest.mark.parametrize(("content", "rows"), [pytest.param(c, r, id=n) for n, c, r in GOOD])
def test_what_is_good_is_read_exactly(reads: Reader, content: bytes, rows: list[Any]) -> None:
    got = reads(content)
    assert got.rows == rows
    assert got.findings == []
    assert got.reading.records == len(rows)


REFUSED: list[tuple[str, bytes, str, str, int | None]] = [
    ("empty_file", b"", "empty_file", "no bytes", None),
    ("whitespace_only", b"\n\n \n", "empty_file", "white space", None),
    ("header_only", H, "empty_file", "no records", None),
    ("header_no_newline", H.strip(), "empty_file", "no records", None),
    ("empty_array", b"[]", "empty_file", "no records", None),
    ("gzip_of_nothing", gzip.compress(b"", mtime=0), "empty_file", "is empty", None),
    ("no_header", b"1,,a\n2,1,b\n", "missing_column", "looks like data", 1),
    ("missing_parent_column", b"id,name\n1,a\n", "missing_column", "parentId", 1),
    ("header_case", b"IDD,PARENT,name\n1,,a\n", "missing_column", "id, parentId", 1),
    ("json_without_parents", b'[{"id":"1"}]', "missing_column", "parentId", 1),
    ("dup_header", b"id,id,parentId\n1,2,\n", "duplicate_column", "twice", 1),
    ("case_dup_header", b"id,ID,parentId\n1,2,\n", "duplicate_column", "case", 1),
    ("too_many_columns", b"id,parentId," + b",".join(b"c%d" % i for i in range(100)) + b"\n", "too_many_columns", "at most 50", 1),
    ("reserved_name", b"id,parentId,_row\n1,,a\n", "unknown_column", "reserved for Bulkhead", 1),
    ("nul_padding", H + b"1,,a\n" * 2000 + b"\0" * 2000, "unreadable_file", "truncated copy", 2002),
    ("long_line", H + b"1,,a\n" + b"x," * 5000, "value_too_long", "line 3", 3),
    ("long_record", H + b'1,,"a\n' + b"\n" * 3000 + b'"\n', "value_too_long", "line 2", 2),
    ("sep_then_another", b"sep=;\nid,parentId,name\n1,,a\n", "missing_column", "lacks the columns id, parentId", 2),
    ("every_record_ragged", H + b"1,,a,b\n2,1,b,c\n", "malformed_row", "Every record has 4 fields; the header has 3", 2),
    ("unterminated_quote", H + b'1,,a\n2,,"abc\n3,,d\n', "malformed_row", "line 3", 3),
    ("huge_value", H + b"1,," + b"x" * 5000 + b"\n", "value_too_long", "line 2", 2),
    ("latin1", H + b"1,,caf\xe9\n", "invalid_encoding", "0xE9", 2),
    ("bad_utf8_late", H + b"1,,a\n" * 3000 + b"\xff\xfe,,x\n", "invalid_encoding", "Line 3002", 3002),
    ("overlong_utf8", H + b"1,,\xc0\xaf\n", "invalid_encoding", "0xC0", 2),
    ("surrogate_bytes", H + b"1,,\xed\xa0\x80\n", "invalid_encoding", "0xED", 2),
    ("utf16be_no_bom", (H * 3).decode().encode("utf-16-be"), "invalid_encoding", "UTF-16", None),
    ("utf32", H.decode().encode("utf-32"), "invalid_encoding", "UTF-32", None),
    ("html", b"<!DOCTYPE html><html><body>Sign in</body></html>", "unreadable_file", "HTML", None),
    ("pdf", b"%PDF-1.7\n%...", "unreadable_file", "PDF", None),
    ("zip", b"PK\x03\x04" + b"\0" * 40, "unreadable_file", "ZIP", None),
    ("parquet", b"PAR1....PAR1", "unreadable_file", "Parquet", None),
    ("zstd", b"\x28\xb5\x2f\xfd....", "unreadable_file", "Zstandard", None),
    ("program", b"\x7fELF" + bytes(range(200)), "unreadable_file", "program", None),
    ("binary", bytes(range(32)) * 100, "unreadable_file", "binary", None),
    ("gzip_truncated", gzip.compress(H + b"1,,a\n" * 100, mtime=0)[:-20], "unreadable_file", "ends in the middle", None),
    ("gzip_cut_trailer", gzip.compress(H + b"1,,a\n", mtime=0)[:-4], "unreadable_file", "ends in the middle", None),
    ("gzip_bad_crc", gzip.compress(H + b"1,,a\n", mtime=0)[:-8] + b"\0\0\0\0" + gzip.compress(H + b"1,,a\n", mtime=0)[-4:], "unreadable_file", "damaged", None),
    ("gzip_in_gzip", gzip.compress(gzip.compress(H), mtime=0), "unreadable_file", "a second time", None),
    ("gzip_bomb", gzip.compress(H + b"\n" * (3 << 20), mtime=0), "unreadable_file", "200 times", None),
    ("too_long_a_text", H + b"1,,a\n" * (1 << 20), "unreadable_file", "longer than", None),
    ("json_truncated", b'[{"id":"1","parentId":null},', "unreadable_file", "ends in the middle", 1),
    ("json_no_close", b'[{"id":"1","parentId":null}', "unreadable_file", "closing ]", 1),
    ("ndjson_truncated", b'{"id":"1","parentId":null}\n{"id":"2","par', "unreadable_file", "line 2", 2),
    ("trailing_comma", b'[{"id":"1","parentId":null},]', "unreadable_file", "not valid JSON", 1),
    ("nan", b'[{"id":"1","parentId":null},\n{"id":NaN}]', "unreadable_file", "NaN", 2),
    ("single_quotes", b"[{'id':'1'}]", "unreadable_file", "not valid JSON", 1),
    ("wrapped", b'{"data":[{"code":"1"}]}', "unreadable_file", "'data'", 1),
    ("something_after", b'[{"id":"1","parentId":null}] x', "unreadable_file", "follows", 1),
    ("deep", b"[" * 100_000, "unreadable_file", "not valid JSON", 1),
]  # fmt: skip


@pytest.mark.parametrize(("content", "code", "said", "line"), [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_what_cannot_be_read_is_refused_by_name(
    reads: Reader, tmp_path: Path, content: bytes, code: str, said: str, line: int | None
) -> None:
    with pytest.raises(Unreadable) as caught:
        reads(content)
    assert caught.value.code == code
    assert said in str(caught.value)
    assert caught.value.line == line
    assert [path.name for path in tmp_path.iterdir()] == ["source"], "nothing is left behind"


FAULTY: list[tuple[str, bytes, list[tuple[str, int, int]], int]] = [
    ("ragged_short", H + b"1,,a\n2,1\n3,1,c\n", [("malformed_row", 2, 3)], 2),
    ("ragged_long", H + b"1,,a\n2,1,b,EXTRA\n3,1,c\n", [("malformed_row", 2, 3)], 2),
    ("after_the_quote", H + b'1,,"a\\"b"\n2,,b\n', [("malformed_row", 1, 2)], 1),
    ("nul_in_value", H + b"1,,a\x00b\n", [("invalid_character", 1, 2)], 1),
    ("space_around_id", H + b"1,,a\n 2,1,b\n3,1 ,c\n", [("invalid_character", 2, 3), ("invalid_character", 3, 4)], 3),
    ("zero_width", H + "1,,a\n2\u200b,1,b\n".encode(), [("invalid_character", 2, 3)], 2),
    ("rtl_override", H + "1\u202e2,,a\n".encode(), [("invalid_character", 1, 2)], 1),
    ("id_too_long", H + b"x" * 800 + b"y" * 0 + b",,a\n", [], 1),
    ("space_after_the_quote", H + b'1,,"a" \n2,1,b\n', [("malformed_row", 1, 2)], 1),
    ("after_line_breaks", H + b'1,,"a\n\n\nb"\n2,1\n', [("malformed_row", 2, 6)], 1),
    ("not_a_record", b'[1,{"id":"1","parentId":null,"name":"a"},[],null]', [("malformed_row", 1, 1), ("malformed_row", 3, 1), ("malformed_row", 4, 1)], 1),
    ("wrong_ids", b'[{"id":true,"parentId":null,"name":"a"},\n{"id":{"a":1},"parentId":null},\n{"id":1.5,"parentId":[1,2]}]',
     [("invalid_type", 1, 1), ("invalid_type", 2, 2), ("invalid_type", 3, 3), ("invalid_type", 3, 3)], 3),
    ("key_twice", b'[{"id":"1","id":"2","parentId":null,"name":"a"}]', [("malformed_row", 1, 1)], 1),
    ("nested_key_twice", b'[{"id":"1","parentId":null,"name":{"a":[{"b":1,"b":1}]}},\n{"id":"2","parentId":"1","name":[{"a":1},{"a":1}]}]', [("malformed_row", 1, 1)], 2),
    ("lone_surrogate", b'[{"id":"1","parentId":null,"name":"\\ud800"}]', [("invalid_character", 1, 1)], 1),
    ("escaped_nul", b'[{"id":"1","parentId":null,"name":"a\\u0000"}]', [("invalid_character", 1, 1)], 1),
]  # fmt: skip


MALFORMED: list[tuple[str, bytes, list[tuple[int, int, str]]]] = [
    ("ragged", H + b'1,,"a\nb"\r\n2,1\r\n\n3,1,"c\r\nd",e\n', [(2, 4, "2,1\r\n"), (3, 6, '3,1,"c\r\nd",e\n')]),
    ("broken_quote", H + b'1,,"a" b\n2,1,c\n', [(1, 2, '1,,"a" b\n')]),
    ("no_final_newline", H + b"1,,a\n2", [(2, 3, "2")]),
    ("json", b'[{"id":"1","parentId":null,"name":"a"},\n[1.50,"\xc3\xa9"]]', [(2, 2, '[1.50,"\u00e9"]')]),
]


@pytest.mark.parametrize(("content", "kept"), [pytest.param(*rest, id=name) for name, *rest in MALFORMED])
def test_a_malformed_record_keeps_its_own_text(reads: Reader, content: bytes, kept: list[Any]) -> None:
    got = reads(content)
    assert got.malformed == kept
    assert {row for row, _, _ in kept}.isdisjoint(got.numbers)
    assert len(got.numbers) + len(kept) == got.reading.records


@pytest.mark.parametrize(("content", "found", "rows"), [pytest.param(*rest, id=name) for name, *rest in FAULTY])
def test_a_faulty_row_is_named_and_the_others_are_read(reads: Reader, content: bytes, found: list[Any], rows: int) -> None:
    got = reads(content)
    assert [finding[:3] for finding in got.findings] == found
    assert len(got.rows) == rows


def test_a_key_that_stands_twice_is_named_with_its_place(reads: Reader) -> None:
    got = reads(
        b'{"id":"1","parentId":null,"attributes":{"a":[{"b":1,"b":1}]}}\n{"id":"2","parentId":"1","name":"x","name":"y"}'
    )
    assert [finding[3] for finding in got.findings] == [
        "The key 'b' appears twice in attributes.a[0].",
        "The key 'name' appears twice in the record.",
    ]


def test_columns_the_dataset_does_not_have_are_named_once(reads: Reader) -> None:
    got = reads(b"id,parentId,name,kind,colour\nFR,,France,Country,blue\nDE,,Germany,Country,red\n", dataset=PLACES)
    assert [finding[0] for finding in got.findings] == ["unknown_column"]
    assert "colour" in got.findings[0][3]


def test_a_header_that_is_nearly_right_is_guessed(reads: Reader) -> None:
    with pytest.raises(Unreadable) as caught:
        reads(b"id,parent,name\n1,,a\n")
    assert "'parent'" in caught.value.hint


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_chosen_or_else_the_detected_one_and_always_reported(reads: Reader, delimiter: str) -> None:
    content = H.replace(b",", delimiter.encode()) + delimiter.join(["1", "", "a"]).encode() + b"\n"
    for chosen in (delimiter, None):
        got = reads(content, delimiter=chosen)
        assert (got.rows, got.reading.delimiter) == ([("1", None, "a")], delimiter)


def test_a_chosen_delimiter_is_used_exactly(reads: Reader) -> None:
    content = b"id;parentId;name;a,b,c,d,e\n1;;x;2\n"
    assert reads(content, delimiter=";").rows == [("1", None, "x")]
    with pytest.raises(Unreadable) as caught:
        reads(content, delimiter="|")
    assert "separated by ';'" in caught.value.hint
    with pytest.raises(InvalidRequest, match="cannot be the delimiter"):
        reads(content, delimiter=';"')


def test_a_line_after_a_note_of_the_delimiter_is_still_a_physical_line(reads: Reader) -> None:
    got = reads(b"sep=;\nid;parentId;name\n1;;a\n2;1\n")
    assert [finding[:3] for finding in got.findings] == [("malformed_row", 2, 4)]
    assert got.lines == [(1, 3)]


def test_a_value_in_a_trailing_column_is_one_finding_each(reads: Reader) -> None:
    got = reads(H + b"1,,a,\n2,1,b,x\n3,1,c,\n")
    assert [finding[:3] for finding in got.findings] == [("malformed_row", 2, 3)]
    assert got.numbers == [1, 3]


def test_lines_are_physical_lines(reads: Reader) -> None:
    got = reads(H + b'1,,"a\nb"\n2,1,c\n3,1,"d\r\ne\nf"\n4,1,g\n')
    assert got.lines == [(1, 2), (2, 4), (3, 5), (4, 8)]


@pytest.mark.parametrize(
    "content",
    [
        H + b"1,,a\n2,1,b\n",
        H + b"1,,a\n2,1,b",
        b"\xef\xbb\xbf" + H + b"1,,a\n",
        (H + b'1,,"a, b"\n2,1,"c\nd"\n').replace(b"\n", b"\r\n"),
        gzip.compress(H + b"1,,a\n", mtime=0),
        (H + b"1,,\xc3\xa9\n").decode().encode("utf-16"),
    ],
)
def test_a_regular_text_is_not_read_record_by_record(reads: Reader, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.read.formats.delimited._read_slowly", None)
    assert reads(content).reading.records >= 1


# --- Against another reader ---


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Random texts, ten a block; ``--many`` asks for more."""
    if "block" in metafunc.fixturenames:
        metafunc.parametrize("block", range(50 * metafunc.config.getoption("--many")))


def random_csv(chance: random.Random) -> bytes:
    pieces = ["a", "b c", "é", "", '"', '""', ",", "\n", "\r\n", "x" * 40, "'", "\\", ";", " "]

    quoted = chance.choice([0.85, 1, 1])

    def field() -> str:
        text = "".join(chance.choice(pieces) for _ in range(chance.randrange(4)))
        return '"' + text.replace('"', '""') + '"' if chance.random() < quoted else text

    end = chance.choice(["\n", "\r\n"])
    rows = [",".join([f"r{n}", "", field()]) for n in range(chance.randrange(1, 30))]
    if chance.random() < 0.2:
        rows.insert(chance.randrange(len(rows)), "")
    padding = "p," + "," + "y" * chance.randrange(60)
    return ("id,parentId,name" + end + padding + end + end.join(rows) + (end if chance.random() < 0.7 else "")).encode()


def across_boundaries(chance: random.Random, record_bytes: int) -> bytes:
    """A text in which a random piece begins a few bytes before or after the end of one of DuckDB's buffers.

    These hold sixteen of the longest records that are allowed.
    """
    head, rest = random_csv(chance).split(b"\n", 1)
    head += b"\n"
    end = b"\r\n" if head.endswith(b"\r\n") else b"\n"
    wanted = chance.randrange(1, 3) * 16 * record_bytes - chance.randrange(-8, 60)
    filler = [b"f%d,," % n + b"z" * chance.randrange(1, record_bytes // 2) + end for n in range(wanted // 30)]
    lengths = list(itertools.accumulate(map(len, filler), initial=len(head)))
    filler = filler[: sum(length < wanted - record_bytes for length in lengths)]
    short = wanted - len(head) - sum(map(len, filler)) - len(b"g,," + end)
    return head + b"".join(filler) + b"g,," + b"z" * max(short, 1) + end + rest


def by_python(content: bytes) -> list[list[str]] | None:
    """The records that Python's csv module reads, without the header and blank rows; None if it refuses."""
    lines, rows, last = list(io.StringIO(content.decode(), newline="")), list[list[str]](), 0
    reader = csv.reader(lines, strict=True)
    try:
        for row in reader:
            text, last = "".join(lines[last : reader.line_num]), reader.line_num
            if row and ('"' in text or any(map(str.strip, row))):
                rows.append(row)
    except csv.Error:
        return None
    return rows[1:]


def agree(got: Read | None, expected: list[list[str]] | None) -> None:
    """Both read the same rows, or both refuse; and of single records too. Spaces before quotes have a test of their own."""
    if got is None:
        assert expected is None
        return
    if any("spaces before the quote" in message for _, _, _, message, _ in got.findings):
        return
    faulty = {finding[1] for finding in got.findings if finding[0] == "malformed_row"}
    assert {row for row, _, _ in got.malformed} == faulty
    if expected is None:
        assert faulty
        return
    assert got.rows == [tuple(value or None for value in row) for n, row in enumerate(expected, 1) if n not in faulty]
    assert faulty == {n for n, row in enumerate(expected, 1) if len(row) != 3}


def test_we_read_what_pythons_own_reader_reads_or_both_refuse(reads: Reader, block: int) -> None:
    for seed in range(block * 10, block * 10 + 10):
        chance = random.Random(seed)
        limits = Limits(record_bytes=chance.randrange(200, 400), chunk_bytes=chance.randrange(1, 65))
        content = across_boundaries(chance, limits.record_bytes) if seed % 2 else random_csv(chance)
        expected = by_python(content)
        packed = gzip.compress(content, 1, mtime=0) if seed % 4 > 1 else content  # in small chunks, or in one
        try:
            got = reads(packed, limits=limits)
        except Unreadable as refusal:
            if "longer than" not in str(refusal):
                agree(None, expected)
        else:
            agree(got, expected)


@pytest.mark.parametrize("piece", ['"a,\r\nb"', '"a""b"', "é€😀", '"\n"', '""', ""])
def test_no_buffers_end_changes_what_is_read(reads: Reader, piece: str) -> None:
    limits = Limits(record_bytes=128, chunk_bytes=16)
    filler = "".join(f"{n},,{'z' * 50}\n" for n in range(33))
    for padding in range(0, 40, 3):
        content = f"id,parentId,name\n{filler}{'y' * padding},,\n" + "".join(f"p{n},,{piece}\n" for n in range(40))
        expected = by_python(content.encode()) or []
        assert reads(content.encode(), limits=limits).rows == [tuple(value or None for value in row) for row in expected]


@pytest.mark.parametrize("seed", seeds(60, daily=20))
def test_the_scan_counts_the_same_however_the_text_is_cut(seed: int) -> None:
    chance = random.Random(seed)
    content = random_csv(chance)
    whole, pieces = Scan(), Scan()
    whole.feed(content)
    at = 0
    while at < len(content):
        step = chance.randrange(1, 9)
        pieces.feed(content[at : at + step])
        at += step
    whole.finish()
    pieces.finish()
    for name in ("records", "lines", "quotes", "returned", "loose_returns", "loose_quotes", "longest_bytes", "anchors"):
        assert getattr(whole, name) == getattr(pieces, name), name


@pytest.mark.parametrize("chunk", [64, 1000, 1 << 20])
def test_json_is_the_same_however_the_text_is_cut(reads: Reader, chunk: int) -> None:
    records = [{"id": str(n), "parentId": str(n // 2) if n else None, "name": f"é{n}" * (n % 9)} for n in range(400)]
    for text in (json.dumps(records), "\n".join(map(json.dumps, records)), json.dumps(records, ensure_ascii=False, indent=2)):
        got = reads(gzip.compress(text.encode(), mtime=0), limits=Limits(chunk_bytes=chunk))
        assert got.rows == [(r["id"], r["parentId"], r["name"] if r["name"] is not None else None) for r in records]


def test_a_flipped_bit_in_a_gzip_file_is_never_read_over(reads: Reader) -> None:
    good, chance = gzip.compress(H + b"".join(b"%d,,name %d\n" % (n, n) for n in range(200))), random.Random(5)
    rows = reads(good).rows
    for _ in range(60):
        data = bytearray(good)
        place = chance.randrange(10, len(data))
        data[place] ^= 1 << chance.randrange(8)
        try:
            got = reads(bytes(data))
        except (Unreadable, zlib.error):
            continue
        assert got.rows == rows
