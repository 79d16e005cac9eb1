"""What runs in the sandbox: the halves of validation, before and after the warehouse is asked, and the cutting into parts.

Each function works in one import's folder and takes and gives only what can be pickled. The same functions serve the worker
and the offline ``bulkhead validate``.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipeline import batch, check, report
from pipeline.datasets import Dataset
from pipeline.errors import FileIsWrong
from pipeline.read import Limits, Staging, read
from pipeline.read.staging import quoted
from pipeline.report import Counted
from pipeline.stage import stage

SOURCE = "source"
STAGED = "staging.duckdb"
PARENTS = "parents.parquet"
EDGES = "edges.parquet"
REPORT = "report"


def read_and_stage(folder: Path, dataset: Dataset, filename: str) -> None:
    """``source`` -> the staging database; ``parents.parquet`` if some parents are not in the file.

    Raises FileIsWrong if there is no table to speak of.
    """
    read(folder / SOURCE, dataset, database=folder / STAGED, filename=filename)
    _stage(folder, dataset)


def refuse(folder: Path, dataset: Dataset, error: FileIsWrong) -> None:
    """A staging database without records, for a file that could not be read: its one finding says why."""
    with Staging(folder / STAGED, dataset, Limits()) as staging:
        columns = ", ".join(f"{quoted(name)} varchar" for name in dataset.names)
        staging.connection.execute(f"create table raw (_row bigint, {columns})")
        staging.record(pa.table({"records": pa.array([0], pa.int64())}))
        staging.find(error.code, str(error), line=error.line, hint=error.hint)
    stage(folder / STAGED, dataset)


def _stage(folder: Path, dataset: Dataset) -> None:
    database, parents = folder / STAGED, folder / PARENTS
    stage(database, dataset)
    if not check.external_parents(database, dataset, parents):
        parents.unlink()


def judge(folder: Path, dataset: Dataset, edges: Path | None, run_name: str) -> Counted:
    """Run every check and expectation, and write the report: findings in three formats, and ``docs/``."""
    database = folder / STAGED
    check.check(database, dataset, edges=edges, docs=folder / REPORT / "docs", run_name=run_name)
    return report.write_findings(database, dataset, folder / REPORT)


def stage_edges(folder: Path, dataset: Dataset, edges: Path | None) -> None:
    """Lay the warehouse's edges beside the file's, for a worker that prepares what another one judged."""
    check.add_edges(folder / STAGED, edges)


def prepare(folder: Path, dataset: Dataset, import_id: str, batch_records: int, batches_per_part: int) -> batch.Manifest:
    """Cut the staged records into parts below ``parts/``."""
    return batch.cut(
        folder / STAGED,
        dataset,
        import_id=import_id,
        folder=folder / "parts",
        batch_records=batch_records,
        batches_per_part=batches_per_part,
    )
