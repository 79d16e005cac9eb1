"""dlt merges a CSV into PostgreSQL: run with the Python of an environment that has dlt, which this project's own has not.

    python dlt_merge.py URL FILE arrow|rows SCHEMA FOLDER

Prints the seconds from opening the file to the end of the merge, without the imports. Arrow tables go by dlt's quickest way
into PostgreSQL, COPY of CSV files; rows are dictionaries, with everything as dlt has it by itself.
"""

import csv
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHUNK = 100_000


def tables(file: Path) -> Iterator[Any]:
    """The file as Arrow tables, as strings where they are strings."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    kinds = {name: pa.string() for name in ("id", "parentId", "name", "kind", "note")}
    options = pacsv.ConvertOptions(column_types={**kinds, "amount": pa.decimal128(12, 2)}, strings_can_be_null=True)
    with pacsv.open_csv(file, convert_options=options, read_options=pacsv.ReadOptions(block_size=8 << 20)) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])


def rows(file: Path) -> Iterator[Any]:
    """The file as dictionaries, so many at once."""
    with file.open(newline="", encoding="utf-8") as opened:
        some: list[dict[str, Any]] = []
        for row in csv.DictReader(opened):
            some.append({**row, "parentId": row["parentId"] or None, "amount": float(row["amount"])})
            if len(some) == CHUNK:
                yield some
                some = []
        yield some


def main(url: str, file: str, kind: str, schema: str, folder: str) -> None:
    """Merge on ``id`` into ``SCHEMA.records``, and say how long it took."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"
    import dlt

    resource = dlt.resource(
        {"arrow": tables, "rows": rows}[kind](Path(file)), name="records", primary_key="id", write_disposition="merge"
    )
    pipeline = dlt.pipeline(schema, pipelines_dir=folder, destination=dlt.destinations.postgres(url), dataset_name=schema)
    began = time.perf_counter()
    pipeline.run(resource, loader_file_format="csv" if kind == "arrow" else None).raise_on_failed_jobs()
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
