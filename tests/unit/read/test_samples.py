"""One sample file a format and container, tests/samples/: all of them hold the same records.

``write_samples`` wrote them, and writes one for a new format too:
python -c "import runpy; runpy.run_path('tests/unit/read/test_samples.py')['write_samples']()"
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
import zstandard

from pipeline.datasets.dataset import load_dataset
from pipeline.read import FORMATS
from tests.support.staging import read_into

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
COLUMNS = ("id", "parentId", "name", "kind")
RECORDS = [
    ("FR", None, "France", "Country"),
    ("FR-BRE", "FR", "Bretagne, Breizh", "Region"),
    ("FR-29", "FR-BRE", 'Finistère ("end of the earth")', "Department"),
    ("001", None, "World", "Region"),
    ("é", "001", None, "Place"),
]


def delimited(delimiter: str, rows: list[tuple[str | None, ...]], columns: tuple[str, ...] = COLUMNS) -> bytes:
    text = io.StringIO(newline="")
    table = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    table.writerows([columns, *rows])
    return text.getvalue().encode()


def parquet(rows: list[tuple[str | None, ...]]) -> bytes:
    sink = io.BytesIO()
    columns = [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
    pq.write_table(pa.table(columns, names=list(COLUMNS)), sink, write_page_checksum=True)
    return sink.getvalue()


def workbook(rows: list[tuple[str | None, ...]]) -> bytes:
    sink = io.BytesIO()
    with xlsxwriter.Workbook(sink, {"strings_to_numbers": False}) as book:
        sheet = book.add_worksheet("Places")
        for number, row in enumerate([COLUMNS, *rows]):
            sheet.write_row(number, 0, row)
    return sink.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return sink.getvalue()


def as_json(row: tuple[str | None, ...]) -> dict[str, str | None]:
    return dict(zip(COLUMNS, row, strict=True))


MADE: dict[str, Callable[[], bytes]] = {
    "places.csv": lambda: delimited(",", RECORDS),
    "places.tsv": lambda: delimited("\t", RECORDS),
    "places.json": lambda: json.dumps(list(map(as_json, RECORDS)), ensure_ascii=False, indent=1).encode(),
    "places.ndjson": lambda: "\n".join(json.dumps(as_json(row)) for row in RECORDS).encode(),
    "places.parquet": lambda: parquet(RECORDS),
    "places.xlsx": lambda: workbook(RECORDS),
    "places.csv.gz": lambda: gzip.compress(delimited(",", RECORDS), mtime=0),
    "places.csv.zst": lambda: zstandard.ZstdCompressor(write_checksum=True).compress(delimited(",", RECORDS)),
    "places.parquet.gz": lambda: gzip.compress(parquet(RECORDS), mtime=0),
    "places.zip": lambda: zipped({"b.csv": delimited(",", [(d, c, b, a) for a, b, c, d in RECORDS[2:]], COLUMNS[::-1]),
                                  "a.csv": delimited(";", RECORDS[:2])}),
}  # fmt: skip
"""The archive's second file has its columns in another order: the names count."""


def write_samples() -> None:
    for name, make in MADE.items():
        (SAMPLES / name).write_bytes(make())


FILES = sorted(path.name for path in SAMPLES.iterdir() if path.is_file())


@pytest.mark.parametrize("name", FILES)
def test_every_sample_holds_the_same_records(tmp_path: Path, database: Path, name: str) -> None:
    (tmp_path / "source").write_bytes((SAMPLES / name).read_bytes())
    reading = read_into(database, tmp_path / "source", load_dataset("records"))
    with duckdb.connect(str(database)) as connection:
        rows = connection.execute('select id, "parentId", name, kind from raw order by _row').fetchall()
        findings = connection.execute("select code, message from findings").fetchall()
    assert rows == RECORDS
    assert findings == []
    assert reading.records == len(RECORDS)


def test_every_format_has_a_sample_and_every_sample_is_made_here(tmp_path: Path, database: Path) -> None:
    found = set()
    for name in FILES:
        (tmp_path / "source").write_bytes((SAMPLES / name).read_bytes())
        found.add(read_into(database, tmp_path / "source", load_dataset("records")).format)
    assert found == set(FORMATS)
    assert sorted(MADE) == FILES
