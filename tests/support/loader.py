"""Load parts of the dataset `records` into a database."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.messages import PartResult
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.load.load_part import load_part
from pipeline.load.part_file import PartFile

Record = tuple[str, str | None, str | None]


class Loader:
    """Parts of the dataset ``records`` on their way into a fresh database."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.dataset: Dataset = load_dataset("records")
        self.connection = psycopg.connect(url)
        self.import_id = self.new_import()

    def new_import(self) -> str:
        self.import_id = str(uuid.uuid4())
        with psycopg.connect(self.url) as connection:
            connection.execute("update ledger.import set state = 'succeeded'")  # one import of a dataset is at work
            connection.execute(
                "insert into ledger.import (id, dataset, state) values (%s, 'records', 'loading')", (self.import_id,)
            )
        return self.import_id

    def part(self, records: list[Record], *, batch: int = 200) -> tuple[Path, str]:
        table = pa.table(
            {
                "_batch": pa.array([place // batch + 1 for place in range(len(records))], pa.int32()),
                "_row": pa.array(range(1, len(records) + 1), pa.int64()),
                "id": [record[0] for record in records],
                "parentId": pa.array([record[1] for record in records], pa.string()),
                "name": pa.array([record[2] for record in records], pa.string()),
                "attributes": ["{}"] * len(records),
            }
        )
        path = self.folder / f"{uuid.uuid4().hex}.parquet"
        pq.write_table(table, path, write_page_checksum=True)
        return path, hashlib.sha256(path.read_bytes()).hexdigest()

    def load(self, records: list[Record], *, part_no: int = 1, batch: int = 200, connection: Any = None) -> PartResult:
        path, sha256 = self.part(records, batch=batch)
        return load_part(connection or self.connection, self.dataset, PartFile(path, self.import_id, part_no, sha256))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]

    def run(self, statement: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def failures(self) -> dict[str, str]:
        return dict(self.rows("select id, code from ledger.failure"))


def flat(count: int) -> list[Record]:
    """Return ``count`` records without a parent."""
    return [(f"r{i:04d}", None, f"name {i}") for i in range(count)]
