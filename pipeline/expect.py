"""Great Expectations: one suite of the dataset's expectations and the SQL checks' results, its verdicts, its pages.

DuckDB is not among the databases that Great Expectations knows. Through SQLAlchemy it works, if one connection stays open for
the whole run (otherwise results are gone before they are read) and if regular expressions are asked for as in PostgreSQL.
Importing this module takes seconds: only the sandbox's fork server does it ahead of time.
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import great_expectations as gx
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.datasource.fluent import SQLDatasource
    from great_expectations.execution_engine import SqlAlchemyExecutionEngine
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
import sqlalchemy.dialects.postgresql

from pipeline.datasets import Dataset

STYLESHEET = Path(__file__).with_name("docs.css")
SITE = "site"
_FROM_ELSEWHERE = re.compile(r"<script\b.*?</script>|<link\b[^>]*\bhref=\"https?:[^>]*>", re.DOTALL | re.IGNORECASE)
_RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["_row"],
    "partial_unexpected_count": 20,
    "include_unexpected_rows": False,
}


@dataclass(frozen=True)
class Query:
    """A check that was run already: ``rows`` offenders are in ``table``, where none may be."""

    description: str
    table: str
    rows: int
    severity: str = "error"


@dataclass(frozen=True)
class Judged:
    """An expectation of the suite that the file does not meet. ``rows_query`` selects *all* offending rows, with their _row;
    None if the expectation is about the file as a whole."""

    code: str
    severity: str
    message: str
    hint: str
    column: str | None
    rows_query: str | None
    rows: int


class _Engine(SqlAlchemyExecutionEngine):
    """Great Expectations' engine on DuckDB."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dialect_module = sqlalchemy.dialects.postgresql  # whose regular expressions DuckDB understands

    @contextmanager
    def get_connection(self) -> Iterator[Any]:
        """The one connection, kept open: DuckDB drops a result together with its connection."""
        if not self._connection:
            self._connection = self.engine.connect()
        yield self._connection


class DuckDB(SQLDatasource):
    """A data source of our own; the name registers it as ``context.data_sources.add_duckdb``."""

    type: Literal["duckdb"] = "duckdb"  # type: ignore[assignment]

    @property
    def execution_engine_type(self) -> type[SqlAlchemyExecutionEngine]:
        """What evaluates on it."""
        return _Engine


def judge(database: Path, dataset: Dataset, queries: Sequence[Query], *, docs: Path, run_name: str) -> list[Judged]:
    """Evaluate the suite and ``queries`` on the file ``database``, write the pages, and return what is not met.

    Raises RuntimeError if an expectation raised, was left out, or contradicts the table that its check left behind.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        source = context.data_sources.add_duckdb(
            "warehouse", connection_string=f"duckdb:///{database}?access_mode=read_only", create_temp_table=False
        )
        try:
            batch = source.add_table_asset(dataset.name, table_name="incoming").add_batch_definition_whole_table("file")
            configurations = [*_from_suite(dataset), *map(_from_query, queries)]
            expectations = [
                one.to_domain_obj() for one in configurations
            ]  # added one by one, like ones would overwrite
            suite = context.suites.add(gx.ExpectationSuite(dataset.name, expectations=expectations))
            definition = context.validation_definitions.add(
                gx.ValidationDefinition(name=dataset.name, data=batch, suite=suite)
            )
            _add_site(context, docs)
            result = definition.run(run_id=RunIdentifier(run_name=run_name), result_format=_RESULT_FORMAT)
            context.build_data_docs(site_names=[SITE])
        finally:
            _let_go(source)
    _make_self_contained(docs)
    results = [one.to_json_dict() for one in result.results]
    _distrust(results, len(configurations), queries)
    return [_judged(one) for one in results if not one["success"] and not _query_of(one, queries)]


def _let_go(source: DuckDB) -> None:
    """Great Expectations opens the file twice; until both are closed nobody else can write to it."""
    engine = source.get_execution_engine()
    if engine._connection:
        engine._connection.close()
    engine.engine.dispose()
    source.get_engine().dispose()


def _from_suite(dataset: Dataset) -> Iterator[ExpectationConfiguration]:
    for number, one in enumerate(dataset.suite.get("expectations", [])):
        meta = {**one.get("meta", {}), "bulkhead": number}
        description = one.get("description") or one.get("meta", {}).get("message")
        yield ExpectationConfiguration(
            type=one["type"], kwargs=one.get("kwargs", {}), meta=meta, description=description,
            severity=_gx_severity(meta.get("severity", "error")),
        )  # fmt: skip


def _from_query(query: Query) -> ExpectationConfiguration:
    return ExpectationConfiguration(
        type="unexpected_rows_expectation",
        kwargs={"unexpected_rows_query": f'select * from "{query.table}" /* {{batch}} */'},
        meta={"table": query.table},
        description=query.description,
        severity=_gx_severity(query.severity),
    )


def _gx_severity(severity: str) -> str:
    return "critical" if severity == "error" else "warning"


# --- Verdicts ---


def _distrust(results: list[dict[str, Any]], wanted: int, queries: Sequence[Query]) -> None:
    """Every expectation was evaluated, none raised, and each check's verdict is what its own table says."""
    if len(results) != wanted:
        raise RuntimeError(f"Great Expectations evaluated {len(results)} of {wanted} expectations.")
    for one in results:
        raised = _exceptions(one.get("exception_info") or {})
        if raised:
            raise RuntimeError(
                f"Great Expectations could not evaluate {one['expectation_config']['type']}: {raised[0]}"
            )
    for one in results:
        query = _query_of(one, queries)
        if query and one["success"] != (query.rows == 0):
            raise RuntimeError(f"Great Expectations' verdict contradicts the offenders found: {query.description}")


def _exceptions(info: dict[str, Any]) -> list[str]:
    """The messages of what was raised: one for the expectation, or one for each of its metrics."""
    if "raised_exception" in info:
        return [str(info.get("exception_message"))] if info["raised_exception"] else []
    return [message for one in info.values() if isinstance(one, dict) for message in _exceptions(one)]


def _query_of(result: dict[str, Any], queries: Sequence[Query]) -> Query | None:
    table = (result["expectation_config"].get("meta") or {}).get("table")
    return next((query for query in queries if query.table == table), None)


def _judged(result: dict[str, Any]) -> Judged:
    config, details = result["expectation_config"], result["result"]
    meta, kwargs = config.get("meta") or {}, config["kwargs"]
    return Judged(
        code=meta.get("code", "expectation_failed"),
        severity=meta.get("severity", "error"),
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


# --- Pages ---


def _add_site(context: EphemeralDataContext, docs: Path) -> None:
    shutil.rmtree(docs, ignore_errors=True)
    context.add_data_docs_site(
        SITE,
        {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )


def _make_self_contained(docs: Path) -> None:
    """Great Expectations' pages take scripts and styles from other people's servers; ours bring one stylesheet along."""
    shutil.rmtree(docs / "static", ignore_errors=True)
    shutil.copy(STYLESHEET, docs / "docs.css")
    for page in docs.rglob("*.html"):
        up = "../" * (len(page.relative_to(docs).parts) - 1)
        text = _FROM_ELSEWHERE.sub("", page.read_text(encoding="utf-8"))
        link = f'<link rel="stylesheet" href="{up}docs.css"><meta name="viewport" content="width=device-width">'
        page.write_text(text.replace("</head>", f"{link}</head>", 1), encoding="utf-8")
