"""What is seen of a file's beginning, wherever it was cut."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter

from pipeline.contracts.options import ReadOptions
from pipeline.datasets.dataset import load_dataset
from pipeline.errors import Unreadable
from pipeline.sandbox.preview_file import ROWS, TEXT_BYTES, VALUE_CHARACTERS, preview
from pipeline.sandbox.preview_model import ColumnPreview, Preview, TreeNode
from pipeline.staging.database import StagingDatabase
from tests.support.shapes import archive
from tests.support.staging import empty

Look = Callable[..., Preview]
RECORDS = [{"id": str(n), "parentId": None, "name": f"n {n}"} for n in range(20)]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Looks at bytes as if they were posted."""

    def run(body: bytes, dataset: str = "records", *, whole: bool = False, **options: Any) -> Preview:
        (tmp_path / "source").write_bytes(body)
        return preview(tmp_path / "source", load_dataset(dataset), ReadOptions(**options), whole)

    return run


@pytest.fixture
def in_one_database(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All previews of the test are read into one database, which is empty before each: 450 of them would take 8 s to make."""

    @contextmanager
    def emptied(_folder: Path) -> Iterator[StagingDatabase]:
        with duckdb.connect(str(empty(database))) as root:
            yield StagingDatabase(root)

    monkeypatch.setattr(StagingDatabase, "in_memory", emptied)


def as_csv(records: list[dict[str, Any]]) -> bytes:
    return "\n".join(["id,parentId,name", *(f"{one['id']},,{one['name']}" for one in records)]).encode()


def as_parquet(records: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records, pa.schema([(name, pa.string()) for name in records[0]])), sink)
    return sink.getvalue()


def as_workbook(records: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet("Of all things")
        for row, values in enumerate([list(records[0]), *([*one.values()] for one in records)]):
            for column, value in enumerate(values):
                if value is not None:
                    sheet.write_string(row, column, value)
    return file.getvalue()


def zipped(body: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", body)
    return file.getvalue()


WHOLE = {
    "csv": as_csv(RECORDS),
    "json": json.dumps(RECORDS, indent=1).encode(),
    "ndjson": "\n".join(map(json.dumps, RECORDS)).encode(),
    "parquet": as_parquet(RECORDS),
    "xlsx": as_workbook(RECORDS),
}


@pytest.mark.parametrize("form", WHOLE)
@pytest.mark.parametrize("packed", ["", "gzip", "zip"])
def test_the_first_rows_of_a_whole_file(look: Look, form: str, packed: str) -> None:
    body = {"": WHOLE[form], "gzip": gzip.compress(WHOLE[form], mtime=0), "zip": zipped(WHOLE[form])}[packed]
    seen = look(body, whole=True)
    assert (seen.format, seen.compression, seen.members) == (form, packed or "none", 1)
    assert seen.rows == tuple((str(n), None, f"n {n}") for n in range(ROWS))
    assert [(one.name, one.becomes, one.meant) for one in seen.columns] == [(n, n, "") for n in ("id", "parentId", "name")]
    assert seen.sheet == ("Of all things" if form == "xlsx" else "")


CUTS, DAILY_CUTS = 67, 29
"""So many beginnings of a file are looked at, in a thorough run and in each."""


@pytest.mark.usefixtures("in_one_database")
@pytest.mark.parametrize("form", ["csv", "json", "ndjson"])
def test_a_text_may_be_cut_anywhere(look: Look, pytestconfig: pytest.Config, form: str) -> None:
    body, cuts = WHOLE[form], CUTS if pytestconfig.getoption("--thorough") else DAILY_CUTS
    some = []
    for cut in range(1, len(body), len(body) // cuts):
        try:
            some.append(len(look(body[:cut]).rows))
        except Unreadable:
            some.append(0)
    assert some == sorted(some), "more of the file never shows less of it"
    assert (some[0], some[-1]) == (0, ROWS)


def test_a_quoted_line_end_is_none(look: Look) -> None:
    seen = look(b'id,parentId,name\n1,,"a\nb"\n2,,"c\nd')
    assert seen.rows == (("1", None, "a\nb"),)
    assert look(b"id;parentId\r1;\r2;", delimiter=";").rows == (("1", None),)


def test_the_beginning_of_what_is_compressed(look: Look) -> None:
    lines = [f"{n},,{n * 7919 % 100_003}é" for n in range(300_000)]
    packed = gzip.compress("\n".join(["id,parentId,name", *lines]).encode(), mtime=0)
    assert len(packed) > 200_000
    seen = look(packed[:65_536])
    assert (seen.compression, len(seen.rows), seen.rows[1]) == ("gzip", ROWS, ("1", None, "7919é"))
    assert look(b"\xff\xfe" + "id,parentId\n1,\n2".encode("utf-16-le")[:-1]).encoding == "utf-16-le"


@pytest.mark.parametrize("whole", [False, True])
def test_a_text_that_is_not_utf8_is_shown_as_it_likely_is(look: Look, whole: bool) -> None:
    body = "id,parentId,name\nZH,,Zürich\nGE,,Genève\nSG,,Sankt Gallen für Grüße\n".encode("cp1252")
    seen = look(body, whole=whole)
    assert (seen.encoding, seen.rows[0]) == ("cp1252", ("ZH", None, "Zürich"))
    offer = seen.offers[0]
    assert (offer.option, offer.value, offer.is_used) == ("encoding", "windows-1252", True)
    assert "not UTF-8. It was read as Windows-1252, its likeliest encoding" in offer.sentence
    assert [one.is_used for one in seen.offers if one.option == "encoding"][1:] == [False] * (len(seen.offers) - 1)
    assert not [one for one in look(body, whole=whole, encoding="windows-1252").offers if one.option == "encoding"]
    marked = look("id,parentId,name\n1,,Zürich\n".encode("utf-16-le"), whole=whole)
    assert (marked.rows, marked.offers[0].value) == ((("1", None, "Zürich"),), "utf-16-le")
    with pytest.raises(Unreadable, match="contains the byte 0xFC, which is not UTF-8"):
        look(body, whole=whole, encoding="utf-8")


def test_what_the_columns_would_be_and_probably_are(look: Look) -> None:
    seen = look(b"Id;parent_id;Name;kind;weight\nFR;;France;Country;1\n", "places")
    assert (seen.delimiter, seen.takes_others, seen.needs) == (";", False, ("id", "parentId", "name", "kind"))
    assert seen.columns == (
        ColumnPreview("Id", "id", ""),
        ColumnPreview("parent_id", "parentId", ""),
        ColumnPreview("Name", "name", ""),
        ColumnPreview("kind", "kind", ""),
        ColumnPreview("weight", None, ""),
    )
    loose = look(b"Idd,parent,Nam,weight\nFR,,France,1\n", "records")
    assert [(one.becomes, one.meant) for one in loose.columns] == [
        ("Idd", "id"),
        ("parent", "parentId"),
        ("Nam", ""),  # the file would be taken as it is, so nothing is guessed
        ("weight", ""),
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no bytes"),
        (b"%PDF-1.7 and so on", "a PDF document"),
        ("id,parentId\n1,\n".encode("utf-32"), "UTF-32"),
        (WHOLE["xlsx"][:3000], "ZIP archive is damaged"),
        (zipped(WHOLE["csv"])[:20] + zipped(WHOLE["csv"])[24:], "bytes are missing"),
        (b"id,parentId\n", "no records"),
        (b"id,id\n1,2\n", "appears twice"),
        (b'{"data": [{"code": 1}]}', "wrapped"),
        (b'"' + b"x" * (TEXT_BYTES + 1), "too long to be shown"),
        (b"[" + b" " * (TEXT_BYTES + 1), "too long to be shown"),
    ],
)
def test_a_file_without_a_preview_gets_the_reason(look: Look, body: bytes, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        look(body, whole=len(body) < 4000)


def test_long_values_are_cut(look: Look) -> None:
    seen = look(b"id,parentId,name\n1,," + b"x" * 10_000 + b"\n", whole=True)
    assert seen.rows == (("1", None, "x" * VALUE_CHARACTERS),)


MANY = [{"id": str(n), "parentId": None, "name": "x" * 200} for n in range(5_000)]


@pytest.mark.parametrize(
    "document",
    [{"meta": {"n": 1}, "data": {"items": MANY}}, {one["id"]: {"parentId": None, "name": one["name"]} for one in MANY}],
    ids=["below a key", "keyed"],
)
def test_records_are_found_wherever_they_are(look: Look, document: Any) -> None:
    seen = look(json.dumps(document).encode()[: TEXT_BYTES + 1])
    assert {column.name for column in seen.columns} == {"id", "parentId", "name"}
    assert [dict(zip([column.name for column in seen.columns], row, strict=True))["id"] for row in seen.rows] == [
        str(n) for n in range(ROWS)
    ]


def test_columns_are_those_of_an_import(look: Look) -> None:
    seen = look(b",ID,Parent_Id,Labels,Labels\n0,1,,a,b\n1,2,1.0,,c\n", whole=True)
    assert [(column.name, column.becomes) for column in seen.columns] == [
        ("ID", "id"),
        ("Parent_Id", "parentId"),
        ("Labels", "Labels"),
    ]
    assert seen.rows[0] == ("1", None, '["a","b"]')
    numbered = look(b"id,parentId,Labels,Labels\n1,,a,b\n", whole=True, repeated_columns="number")
    assert [column.becomes for column in numbered.columns] == ["id", "parentId", "Labels", "Labels 2"]
    wrapped = look(b'{"data": {"items": [{"id": 1}], "x": [{"id": 2}]}}', whole=True, records_at="data.items")
    assert wrapped.rows == (("1",),)


def test_quotes_are_what_the_options_say(look: Look) -> None:
    body = b"id,parentId,name\n1,,'a, b'\n"
    assert look(body, whole=True, quote="'").rows == (("1", None, "a, b"),)
    text = b'id\tparentId\tname\n1\t\t"a"\n'
    assert look(text, whole=True).rows == (("1", None, "a"),)
    assert look(text, whole=True, quote="none").rows == (("1", None, '"a"'),)


def test_merged_cells_are_filled_on_demand(look: Look) -> None:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        for row, values in enumerate([["id", "parentId", "name"], ["1", "", "a"], ["2", "1", "b"], ["3", "", "c"]]):
            sheet.write_row(row, 0, values)
        sheet.merge_range("B3:B4", "1")
    assert [row[1] for row in look(file.getvalue(), whole=True).rows] == [None, "1", None]
    assert [row[1] for row in look(file.getvalue(), whole=True, merged="fill").rows] == [None, "1", "1"]


LEVELS = {"kind": "levels", "columns": ["Region", "Country"]}
TREES: dict[str, tuple[bytes, dict[str, Any], tuple[int, int, int, int]]] = {
    "levels": (b"Region,Country\nEurope,France\nEurope,Spain\nAsia,Japan\n", LEVELS, (5, 2, 2, 2)),
    "nested": (
        b'[{"id": 1, "items": [{"id": 2, "items": [{"id": 3}]}]}]',
        {"kind": "nested", "children": "items"},
        (3, 0, 1, 3),
    ),
    "ids that are paths": (b"id\n/a\n/a/b\n", {"path_separator": "/"}, (2, 0, 1, 2)),
    "edges": (
        archive(edges="child,parent\n2,1\n3,1\n", nodes="id,name\n1,a\n2,b\n3,c\n"),
        {"kind": "edges", "file": "edges.csv", "id": "child", "parent": "parent"},
        (3, 0, 1, 2),
    ),
}


@pytest.mark.parametrize("name", TREES)
def test_the_tree_of_a_shape(look: Look, name: str) -> None:
    body, shape, (records, generated, roots, levels) = TREES[name]
    tree = look(body, whole=True, shape=shape).tree
    assert tree and not tree.problem
    assert (tree.records, tree.generated, tree.roots, tree.levels) == (records, generated, roots, levels)


def test_the_first_nodes_of_a_tree_are_its_first_roots_with_their_first_children(look: Look) -> None:
    lines = [f"r{root},c{child}" for root in range(5) for child in range(5)]
    tree = look("\n".join(["Region,Country", *lines]).encode(), whole=True, shape=LEVELS).tree
    assert tree and tree.nodes == tuple(
        TreeNode(*node)
        for root in range(3)
        for node in ((1, f"r{root}", f"r{root}", 5), *((2, f"r{root}/c{child}", f"c{child}", 0) for child in range(3)))
    )


def test_a_preview_shows_the_file_as_it_is_and_the_tree_cleaned(look: Look) -> None:
    seen = look(b"Region,Country\nEurope,France\n Europe,Spain\n", whole=True, shape=LEVELS, clean={"trim": True})
    assert seen.rows[1] == (" Europe", "Spain")
    assert seen.tree and (seen.tree.roots, seen.tree.records) == (1, 3)


def test_what_is_wrong_with_a_shape_is_told_beside_the_rows(look: Look) -> None:
    lacking = look(b"Region,Land\nEurope,France\n", whole=True, shape=LEVELS)
    assert lacking.rows and lacking.tree and "lacks the column Country" in lacking.tree.problem
    gap = look(b"Region,Country\n,France\n,Spain\n", whole=True, shape=LEVELS).tree
    assert gap and gap.problem.startswith("Record 1: The level Region is empty") and gap.problem.endswith("And 1 more.")
    assert look(b"id,name\n1,\n", whole=True).tree is None


def test_a_text_of_lines_is_shown_as_lines(look: Look) -> None:
    shape = {"kind": "outline", "column": "name", "text": True, "comment": "#"}
    body = b'# list\n0001  A "vendor\n\t0002  B, of A\n' + b"".join(b"\t%04x  C\n" % n for n in range(60_000))
    seen = look(body, whole=False, shape=shape)
    assert [column.name for column in seen.columns] == ["name"]
    assert seen.rows[:2] == (('0001  A "vendor',), ("\t0002  B, of A",))
    assert seen.tree and (seen.tree.roots, seen.tree.levels) == (1, 2) and seen.tree.records > 40_000


@pytest.mark.parametrize("rows", [3, 60_000])
def test_bracketed_names_are_no_json_wherever_the_file_is_cut(look: Look, rows: int) -> None:
    body = b"[id],[parentId],[name]\n" + b"".join(b"%d,,name\n" % n for n in range(rows))
    seen = look(body[:-1])
    assert (seen.format, [column.name for column in seen.columns]) == ("csv", ["id", "parentId", "name"])
    assert seen.rows[0] == ("0", None, "name")
