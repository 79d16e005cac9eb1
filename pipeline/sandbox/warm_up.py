"""Run one small validation while the fork server starts: what Great Expectations builds at its first use (templates,
registries, dialects) takes 0.2 seconds, and every child that is forked afterwards has it already.

Nothing but these caches remains: the databases and their threads are gone when the import is done. Only the fork server imports
this module.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb

from pipeline.datasets.dataset import blank_dataset
from pipeline.staging.database import StagingDatabase
from pipeline.validate.expectations import Query, judge
from pipeline.validate.kept_configuration import keep_configurations


def _warm_up() -> None:
    """Judge one record of one finding, with Data Docs."""
    with (
        tempfile.TemporaryDirectory(prefix="bulkhead-warm-") as folder,
        StagingDatabase.in_memory(Path(folder)) as database,
        database.connect() as connection,
    ):
        connection.execute("set threads = 1")  # a fork copies no thread but the one that forks
        connection.execute("create table incoming as select 1 as _row, '1' as id, null::varchar as \"parentId\"")
        connection.execute("create table offenders as select 1 as _row, 'x' as value")
        queries = [Query("", "offenders", 1)]
        judge(connection, blank_dataset("warm"), queries, docs=Path(folder) / "docs", run_name="", records=1)


keep_configurations()
_warm_up()
duckdb.default_connection().close()  # duckdb-sqlalchemy asked it for the reserved words
