"""Great Expectations: evaluate one suite of the dataset's expectations and the SQL checks' results, and write its page.

Great Expectations does not support DuckDB itself. It works through SQLAlchemy if one connection stays open for the whole run
(otherwise results are gone before they are read) and regular expressions are written as in PostgreSQL. An exception inside an
expectation looks like bad data by default: here it is raised. Importing this module takes seconds, so the sandbox's fork server
does it in advance.
"""

from __future__ import annotations

import functools
import json
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline import processes
from pipeline.validate.deferred_import import defer_import

with warnings.catch_warnings(), processes.no_garbage_collection():
    warnings.simplefilter("ignore")
    for name in ("altair", "scipy.stats", "jsonschema"):  # for few of the expectations, and half of the import's time
        defer_import(name)
    import great_expectations as gx
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )
    from great_expectations.datasource.fluent import SQLDatasource
    from great_expectations.datasource.fluent.interfaces import Batch
    from great_expectations.execution_engine import SqlAlchemyExecutionEngine
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from tqdm import tqdm

    from pipeline.validate.data_docs import OffendingRows, bounded, without_values, write_page
import duckdb
import sqlalchemy.dialects.postgresql
from duckdb_sqlalchemy import ConnectionWrapper

from pipeline.contracts.masking import UNMASKED
from pipeline.datasets.dataset import Dataset
from pipeline.staging.database import another_connection

tqdm.monitor_interval = 0  # no thread that watches progress bars: none is shown, and a fork would not copy the thread

ERROR, WARNING = "error", "warning"
_GX_SEVERITY = {ERROR: "critical", WARNING: "warning"}
_COUNTS_AND_OFFENDERS = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["_row"],
    "partial_unexpected_count": 20,
    "include_unexpected_rows": False,
}
_COUNTS = {**_COUNTS_AND_OFFENDERS, "result_format": "BASIC"}
_FAILS_TOO = "Current transaction is aborted"
_IN_MEMORY = DataContextConfig(
    store_backend_defaults=InMemoryStoreBackendDefaults(),
    analytics_enabled=False,
    progress_bars=ProgressBarsConfig(globally=False),
)


@dataclass(frozen=True)
class Query:
    """The result of a check: ``table`` has its ``rows`` offenders, and should be empty."""

    description: str  # what is true of a good file
    table: str
    rows: int
    severity: str = ERROR


@dataclass(frozen=True)
class Judged:
    """An expectation of the suite that the file does not meet.

    ``rows_query`` selects *all* offending rows, with their _row; None if the expectation is about the file as a whole.
    """

    code: str
    severity: str
    message: str
    hint: str
    column: str | None
    rows_query: str | None
    rows: int


@dataclass(frozen=True)
class Judgement:
    """The verdict; ``unmet`` are expectations of the suite only, since the results of the queries are known."""

    accepted: bool  # no expectation of severity error failed
    unmet: tuple[Judged, ...]


class _Engine(SqlAlchemyExecutionEngine):  # type: ignore[misc]
    """Great Expectations' engine on DuckDB."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connection: Any
        self.dialect_module = sqlalchemy.dialects.postgresql  # DuckDB understands its regular expressions

    @contextmanager
    def get_connection(self) -> Iterator[Any]:
        """The one connection, kept open: DuckDB drops a result together with its connection.

        The columns are looked up through a second one, from the pool. The dialect's default pool for a database in memory would
        lend the first one again. A second transaction in it fails, and then Great Expectations computes all metrics once more.
        """
        if not self._connection:
            self._connection = self.engine.connect()
        yield self._connection


class DuckDB(SQLDatasource):  # type: ignore[misc]
    """A data source on DuckDB; its name registers it as ``context.data_sources.add_duckdb``."""

    type: Literal["duckdb"] = "duckdb"

    @property
    def execution_engine_type(self) -> Any:
        """Return the class of the engine."""
        return _Engine


def judge(
    connection: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    queries: Sequence[Query],
    *,
    docs: Path,
    run_name: str,
    records: int,
) -> Judgement:
    """Evaluate the suite and ``queries`` on the staged file, write the page, and return what is not met.

    Below ``docs``: index.html to read, validation.json as Great Expectations gives it. Raises RuntimeError if an
    expectation raised, was left out, or contradicts the table that its check left behind.
    """
    configurations = [*_from_suite(dataset), *map(_from_query, queries)]
    wanted = [*map(_named, range(len(dataset.suite.get("expectations", [])))), *(query.table for query in queries)]
    shutil.rmtree(docs, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = _evaluate(connection, dataset.name, configurations, run_name)
        results = result.to_json_dict()["results"]
        _require_consistency(results, wanted, queries)
        _write_docs(result, dataset, docs, run_name, records)
    failed = [one for one in results if not one["success"]]
    return Judgement(
        accepted=not any(_severity_of(one) == ERROR for one in failed),
        unmet=tuple(_judged(one) for one in failed if not _query_of(one, queries)),
    )


def _write_docs(result: ExpectationSuiteValidationResult, dataset: Dataset, docs: Path, run_name: str, records: int) -> None:
    """Write the page and validation.json; of a dataset with personal data without values, and with them in a folder apart."""
    versions = {docs: result}
    if dataset.personal:
        versions = {docs: without_values(result), docs.parent / UNMASKED / docs.name: result}
    for folder, shown in versions.items():
        verdicts = json.dumps(bounded(shown.to_json_dict()), ensure_ascii=False)
        write_page(shown, folder, dataset=dataset.name, title=dataset.title, run_name=run_name, records=records)
        (folder / "validation.json").write_text(verdicts, encoding="utf-8")


def _evaluate(
    connection: duckdb.DuckDBPyConnection, name: str, configurations: Sequence[ExpectationConfiguration], run_name: str
) -> ExpectationSuiteValidationResult:
    """Run the expectations in an ephemeral context, which leaves no files.

    Neither the suite nor a validation definition is added to the context: its stores would write all of it as YAML and JSON,
    and the results too, and read it again, though none of it is used a second time.
    """
    source = DuckDB(
        name="staging",
        connection_string="duckdb:///:memory:",
        create_temp_table=False,
        kwargs={
            "creator": lambda: ConnectionWrapper(another_connection(connection)),  # the database that is open already
            "poolclass": sqlalchemy.pool.QueuePool,  # see _Engine.get_connection
        },
    )
    try:
        source.add_table_asset(name, table_name="incoming").add_batch_definition_whole_table("file")
        source = _context().data_sources.add_or_update_duckdb(source)
        batch = source.get_asset(name).get_batch_definition("file")
        result = _validate(batch.get_batch(), name, configurations)
        run = RunIdentifier(run_name=run_name)
        result.meta.update(run_id=run, validation_time=run.run_time)
        return result
    finally:
        _close_engines(source)


def _validate(batch: Batch, name: str, configurations: Sequence[ExpectationConfiguration]) -> ExpectationSuiteValidationResult:
    """Evaluate the expectations; those with offenders once more, since listing these is a third of the work.

    All at once: added to a suite one by one, a query would replace the query before it.
    """
    suite = gx.ExpectationSuite(name, expectations=[one.to_domain_obj() for one in configurations])
    result = batch.validate(suite, result_format=_COUNTS)
    offended = {_identity_of(one) for one in result.results if not one.success or one.result.get("unexpected_count")}
    if not offended or any(_exceptions(one.exception_info or {}) for one in result.results):
        return result
    listed = [one.to_domain_obj() for one in configurations if one.meta["bulkhead"] in offended]
    again = batch.validate(gx.ExpectationSuite(name, expectations=listed), result_format=_COUNTS_AND_OFFENDERS)
    found = {_identity_of(one): one for one in again.results}
    result.results = [found.get(_identity_of(one), one) for one in result.results]
    return result


def _identity_of(result: ExpectationValidationResult) -> str:
    return str(result.expectation_config.meta["bulkhead"])


@functools.cache
def _context() -> EphemeralDataContext:
    """Return the one context of this process. Each run puts its own data source into the place of the one before."""
    return gx.get_context(mode="ephemeral", project_config=_IN_MEMORY)


def _close_engines(source: DuckDB) -> None:
    """Close the two engines with which Great Expectations opens the database, and their connections."""
    engine = source.get_execution_engine()
    if engine._connection:
        engine._connection.close()
    engine.engine.dispose()
    source.get_engine().dispose()


def _from_suite(dataset: Dataset) -> Iterator[ExpectationConfiguration]:
    for number, one in enumerate(dataset.suite.get("expectations", [])):
        meta = one.get("meta", {})
        severity = meta.get("severity", WARNING if one.get("severity") in ("warning", "info") else ERROR)
        yield ExpectationConfiguration(
            type=one["type"],
            kwargs=one.get("kwargs", {}),
            meta={**meta, "severity": severity, "bulkhead": _named(number)},
            description=one.get("description"),
            notes=one.get("notes"),
            severity=_GX_SEVERITY[severity],
        )


def _named(number: int) -> str:
    return f"expectation {number}"


def _from_query(query: Query) -> ExpectationConfiguration:
    return ExpectationConfiguration(
        type=OffendingRows.expectation_type,
        kwargs={"unexpected_rows_query": f'select * from "{query.table}" /* {{batch}} */'},
        meta={"severity": query.severity, "bulkhead": query.table},
        description=query.description,
        severity=_GX_SEVERITY[query.severity],
    )


# --- Verdicts ---


def _require_consistency(results: Sequence[dict[str, Any]], wanted: Sequence[str], queries: Sequence[Query]) -> None:
    """Raise RuntimeError unless every expectation was evaluated, none raised, and each check's verdict fits its table."""
    seen = Counter(_identity(one) for one in results)
    if seen != Counter(wanted):
        missing = ", ".join((Counter(wanted) - seen).elements())
        raise RuntimeError(f"Great Expectations evaluated {len(results)} of {len(wanted)} expectations: no {missing}.")
    raised = [
        f"Great Expectations could not evaluate {one['expectation_config']['type']}: {message}"
        for one in results
        for message in _exceptions(one.get("exception_info") or {})
    ]
    if raised:  # after the first one all others fail too, with a message that says only that
        raise RuntimeError(min(raised, key=lambda message: _FAILS_TOO in message))
    for one in results:
        query = _query_of(one, queries)
        if query and (one["result"]["observed_value"], one["success"]) != (query.rows, query.rows == 0):
            raise RuntimeError(f"Great Expectations' verdict contradicts the {query.rows} offenders found: {query.description}")
        if _is_contradiction(one):
            raise RuntimeError(f"Great Expectations' verdict contradicts its own count: {one['expectation_config']['type']}")


def _is_contradiction(result: dict[str, Any]) -> bool:
    """Return whether a result counts offenders and passes, or counts none and fails, though it has no ``mostly``."""
    counted = result["result"].get("unexpected_count")
    if counted is None or result["expectation_config"]["kwargs"].get("mostly", 1) != 1:
        return False
    return bool(result["success"] != (counted == 0))


def _exceptions(info: dict[str, Any]) -> list[str]:
    """Return the messages of the exceptions: one for the expectation, or one for each of its metrics."""
    if "raised_exception" in info:
        return [str(info.get("exception_message"))] if info["raised_exception"] else []
    return [message for one in info.values() if isinstance(one, dict) for message in _exceptions(one)]


def _identity(result: dict[str, Any]) -> str:
    return str((result["expectation_config"].get("meta") or {}).get("bulkhead"))


def _severity_of(result: dict[str, Any]) -> str:
    return str(result["expectation_config"]["meta"]["severity"])


def _query_of(result: dict[str, Any], queries: Sequence[Query]) -> Query | None:
    return next((query for query in queries if query.table == _identity(result)), None)


def _judged(result: dict[str, Any]) -> Judged:
    config, details = result["expectation_config"], result["result"]
    meta, kwargs = config["meta"], config["kwargs"]
    return Judged(
        code=meta.get("code", "expectation_failed"),
        severity=_severity_of(result),
        message=meta.get("message") or config.get("description") or _in_words(config["type"], kwargs, details),
        hint=meta.get("hint", ""),
        column=kwargs.get("column"),
        rows_query=details.get("unexpected_index_query"),
        rows=int(details.get("unexpected_count") or 0),
    )


def _in_words(type_: str, kwargs: dict[str, Any], details: dict[str, Any]) -> str:
    said = ", ".join(f"{name} {value}" for name, value in kwargs.items() if name != "batch_id")
    found = f"; found {details['observed_value']}" if "observed_value" in details else ""
    return f"{type_.replace('_', ' ').capitalize()} ({said}){found}."
