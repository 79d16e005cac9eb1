"""Find masks in a file: values of personal columns that were masked when the file was downloaded, and must not be loaded."""

from __future__ import annotations

import duckdb

from pipeline.contracts.masking import MASK
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.personal_columns import is_visible
from pipeline.sqlfiles import quoted

_HINT = (
    "Enter the value; or leave this record out and retry the import itself, which uses the original records; or have the file"
    " downloaded with a key that may unmask."
)


def find_masks(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """Add a finding for each cell of ``raw`` that is a mask, in the columns that are masked."""
    if not dataset.personal:
        return
    names = [str(row[0]) for row in connection.execute("describe raw").fetchall()]
    for name in names:
        if name == "_row" or is_visible(dataset, name):
            continue
        connection.execute(
            f"""insert into findings by name
            select 'masked_value' as code, 'error' as severity, _row as row,
                'The value of ' || $name || ' is masked.' as message,
                $name as "column", $mask as value, $hint as hint
            from raw where trim({quoted(name)}::varchar) = $mask""",
            {"name": name, "mask": MASK, "hint": _HINT},
        )
