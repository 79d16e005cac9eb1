"""Build and drop a table's indexes after a change of its definition, while the table is read and loaded."""

from __future__ import annotations

from pipeline.adapters.postgres import LONG_SECONDS, connect, raw_connection
from pipeline.adapters.postgres_access import to_database
from pipeline.adapters.postgres_errors import DATABASE_ERRORS, in_words
from pipeline.datasets.dataset import Dataset
from pipeline.errors import BulkheadError
from pipeline.settings import Settings
from pipeline.warehouse import table_changes, table_plan
from pipeline.warehouse.migrate import alone


def renew_indexes(settings: Settings, dataset: Dataset) -> list[str]:
    """Bring the indexes to the definition, which no transaction can do; return in words why not, if that fails.

    The definition is in use already: without an index, a search of a large table says that it lacks one.
    """
    engine = connect(to_database(settings), pool_size=2, name="bulkhead indexes", statement_seconds=LONG_SECONDS)
    try:
        with alone(engine, lambda line: None), raw_connection(engine) as raw:
            table_changes.apply(raw, table_plan.plan(raw, dataset))
        return []
    except (BulkheadError, *DATABASE_ERRORS) as error:
        said = str(error) if isinstance(error, BulkheadError) else in_words(error)
        return [f"indexes not built: {said.rstrip('.')}; run bulkhead dataset apply"]
    finally:
        engine.dispose()
