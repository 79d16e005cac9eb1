"""The SQL page: run a query, explain it, draw or download its result, share its address.

An address with a query only shows the query and does not run it: docs/decisions/0014. Saved queries and the last ones are in
saved_queries.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import structlog
from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from pipeline.datasets.dataset import Dataset
from pipeline.display import visible
from pipeline.errors import InvalidRequest
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.ledger.saved_queries import SavedQuery
from pipeline.warehouse.query import Answer
from web.app_context import app_context
from web.http import audit_log
from web.http.audit_log import recorded_as
from web.http.auth import for_role, key_in_use
from web.http.problems import Problem
from web.http.sql_files import as_file
from web.pages import result_charts
from web.pages.sql_examples import examples
from web.pages.sql_tokens import KEYWORDS
from web.services import key_scope

log = structlog.get_logger(__name__)

ROWS_SHOWN = 200
"""Rows shown on the page; a download has up to the limit of the console."""

ADDRESS_CHARACTERS_MAX = 6000
"""A longer query has no address: servers in between may refuse it."""

ACTIONS = ("run", "plan", "chart", "csv", "xlsx", "parquet")

_SCAN = re.compile(r'^\s*(?:->\s*)?(?:Parallel )?Seq Scan on ("(?:[^"]|"")+"|[^\s(]+)')

pages = Blueprint("sql_pages", __name__)


@pages.get("/sql")
@for_role(Role.READER)
def sql_page() -> ResponseReturnValue:
    """Show the page; the query ``q`` is filled in, not run."""
    return page(request.args.get("q", ""))


@pages.post("/sql")
@for_role(Role.READER)
@recorded_as(Action.SQL, "warehouse")
def run_sql() -> ResponseReturnValue:
    """Run or explain the query and show the result, as a chart too, or its error; send a download as a file."""
    sql, wanted = request.form.get("sql", ""), request.form.get("do", "run")
    audit_log.describe(do=wanted if wanted in ACTIONS else "", **audit_log.sql_details(sql))
    console = key_scope.sql_login().console
    try:
        match wanted:
            case "run":
                answer = console.run(sql, limit=ROWS_SHOWN)
                _note(sql, answer)
                return page(sql, answer=answer)
            case "chart":
                return _charted(sql, console.run(sql, limit=ROWS_SHOWN))
            case "plan":
                return page(sql, plan=console.plan(sql))
            case "csv" | "parquet" | "xlsx":
                answer = console.run(sql)
                _note(sql, answer)
                return as_file(answer, wanted, for_people=True)
    except InvalidRequest as error:
        return page(sql, said=str(error)), 400
    raise Problem("bad_request", f"Unknown action {wanted!r}. Use {', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}.")


def _charted(sql: str, answer: Answer) -> ResponseReturnValue:
    """Return the page with a result and the chart of it that the form asks for, or what to choose instead."""
    chosen = [request.form.get(name, "") for name in ("kind", "labels", "values")]
    try:
        wanted = result_charts.asked(answer, *chosen)
    except InvalidRequest as error:
        return page(sql, answer=answer, said=str(error)), 400
    return page(sql, answer=answer, wanted=wanted, chart=result_charts.drawn(answer, wanted))


def _note(sql: str, answer: Answer) -> None:
    """Note among the last queries of the key that it was run. Its result is shown even if that fails."""
    kept = app_context().ledger.saved_queries
    try:
        kept.note_run(key_in_use(), sql, seconds=answer.seconds, rows=len(answer.rows), truncated=answer.truncated)
    except (InvalidRequest, SQLAlchemyError) as error:
        log.warning("query not noted", why=type(error).__name__)


def page(
    sql: str,
    *,
    answer: Answer | None = None,
    wanted: result_charts.Wanted | None = None,
    plan: list[str] | None = None,
    said: str | None = None,
    saved: SavedQuery | None = None,
    **more: Any,
) -> str:
    """Return the page with a query, and what came of it."""
    datasets, login = key_scope.datasets(), key_scope.sql_login()
    chosen = _chosen(datasets)
    return render_template(
        "sql.html",
        sql=sql,
        answer=answer,
        numbers=result_charts.numeric_columns(answer) if answer else [],
        wanted=wanted or (result_charts.suggested(answer) if answer else None),
        plan=plan,
        scans=scans(plan or []),
        said=said,
        saved=saved,
        name=saved.name if saved else request.form.get("name", ""),
        queries=app_context().ledger.saved_queries.list(key_in_use()),
        address=address_of(sql),
        hidden=sorted({visible(one) for one in sql if visible(one, keep="\r\n\t") != one}),
        tables=login.catalog.tables(),
        datasets=datasets,
        chosen=chosen,
        examples=[(one.title, _example_address(one.sql, chosen)) for one in examples(chosen)],
        keywords=" ".join(sorted(KEYWORDS)),
        seconds=login.console.seconds,
        rows_shown=ROWS_SHOWN,
        rows_max=login.console.rows_max,
        **more,
    )


def _chosen(datasets: Sequence[Dataset]) -> Dataset | None:
    """Return the dataset that the examples are about: the one that is asked for, or the first."""
    name = request.values.get("dataset", "")
    return next((one for one in datasets if one.name == name), datasets[0] if datasets else None)


def _example_address(sql: str, chosen: Dataset | None) -> str:
    return "/sql?" + urlencode({"q": sql, **({"dataset": chosen.name} if chosen else {})}, quote_via=quote)


def address_of(sql: str) -> str | None:
    """Return the address of the page with a query filled in; None if the query is empty or too long."""
    written = quote(sql.replace("\r\n", "\n"), safe="")
    return f"/sql?q={written}" if sql.strip() and len(written) <= ADDRESS_CHARACTERS_MAX else None


def scans(plan: Sequence[str]) -> list[str]:
    """Return the tables that a plan reads completely, each once, in the order of the plan."""
    found = (match[1] for line in plan if (match := _SCAN.match(line)))
    return list(dict.fromkeys(found))
