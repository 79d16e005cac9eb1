"""Write all files of findings of a report; of a dataset with personal data twice: with masks, and clear in a folder apart.

The masked files are where every reader looks; who may see the clear ones is for the web app to decide.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb

from pipeline.contracts.masking import PERSONAL, UNMASKED
from pipeline.contracts.messages import Verdict
from pipeline.datasets.dataset import Dataset
from pipeline.report import finding_groups, findings, findings_workbook
from pipeline.report.findings import Counted
from pipeline.report.masked_tables import masked_tables
from pipeline.staging.database import StagingDatabase, reading_of


def write_all(database: StagingDatabase, dataset: Dataset, folder: Path, verdict: Verdict) -> Counted:
    """Write the findings, their groups and the workbook into ``folder``. The counts have how the file was read.

    Raises RuntimeError if they are not those of the verdict.
    """
    if not dataset.personal:
        with database.connect() as connection:
            return _write(connection, dataset, folder, verdict)
    with database.connect() as connection:
        _write(connection, dataset, folder / UNMASKED, verdict)
    with database.connect() as connection, masked_tables(connection, dataset):
        counted = _write(connection, dataset, folder, verdict)
    return replace(counted, reading={**counted.reading, PERSONAL: list(dataset.personal)})


def _write(connection: duckdb.DuckDBPyConnection, dataset: Dataset, folder: Path, verdict: Verdict) -> Counted:
    counted = findings.write_findings(connection, dataset, folder)
    if (counted.errors, counted.warnings) != (verdict.errors, verdict.warnings):
        raise RuntimeError(f"The verdict was {verdict}, but the report says {counted}.")
    finding_groups.write_groups(connection, folder)
    findings_workbook.write_workbook(connection, dataset, folder, counted)
    return replace(counted, reading=reading_of(connection))
