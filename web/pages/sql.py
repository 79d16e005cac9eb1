"""The SQL page: run a query, explain it, download its result, share its address.

An address with a query only shows the query and does not run it: docs/decisions/0014.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from pipeline.datasets.dataset import Dataset
from pipeline.display import visible
from pipeline.errors import InvalidRequest
from pipeline.ledger.api_keys import Role
from pipeline.sqlfiles import quoted
from pipeline.warehouse.query import Answer
from web.http.auth import for_role
from web.http.problems import Problem
from web.http.sql_files import as_file
from web.services import key_scope

ROWS_SHOWN = 200
"""Rows shown on the page; a download has up to the limit of the console."""

ADDRESS_CHARACTERS_MAX = 6000
"""A longer query has no address: servers in between may refuse it."""

EXAMPLES_OF = 2
"""The number of datasets with example queries."""

_SCAN = re.compile(r'^\s*(?:->\s*)?(?:Parallel )?Seq Scan on ("(?:[^"]|"")+"|[^\s(]+)')
_BARE = re.compile(r"[a-z_][a-z0-9_]*")

pages = Blueprint("sql_pages", __name__)


@dataclass(frozen=True)
class Example:
    """A query that works on the present datasets."""

    title: str
    sql: str


@pages.get("/sql")
@for_role(Role.READER)
def sql_page() -> ResponseReturnValue:
    """Show the page; the query ``q`` is filled in, not run."""
    return _page(request.args.get("q", ""))


@pages.post("/sql")
@for_role(Role.READER)
def run_sql() -> ResponseReturnValue:
    """Run or explain the query and show the result or its error; send a download as a file."""
    sql, wanted = request.form.get("sql", ""), request.form.get("do", "run")
    console = key_scope.sql_login().console
    try:
        match wanted:
            case "run":
                return _page(sql, answer=console.run(sql, limit=ROWS_SHOWN))
            case "plan":
                return _page(sql, plan=console.plan(sql))
            case "csv" | "parquet":
                return as_file(console.run(sql), wanted, for_people=True)
    except InvalidRequest as error:
        return _page(sql, said=str(error)), 400
    raise Problem("bad_request", f"Unknown action {wanted!r}. Use run, plan, csv or parquet.")


def _page(sql: str, *, answer: Answer | None = None, plan: list[str] | None = None, said: str | None = None) -> str:
    datasets, login = key_scope.datasets(), key_scope.sql_login()
    return render_template(
        "sql.html",
        sql=sql,
        answer=answer,
        plan=plan,
        scans=scans(plan or []),
        said=said,
        address=address_of(sql),
        hidden=sorted({visible(one) for one in sql if visible(one, keep="\r\n\t") != one}),
        tables=login.catalog.tables(),
        examples=[(one.title, address_of(one.sql)) for one in examples(datasets)],
        seconds=login.console.seconds,
        rows_shown=ROWS_SHOWN,
        rows_max=login.console.rows_max,
    )


def address_of(sql: str) -> str | None:
    """Return the address of the page with a query filled in; None if the query is empty or too long."""
    written = quote(sql.replace("\r\n", "\n"), safe="")
    return f"/sql?q={written}" if sql.strip() and len(written) <= ADDRESS_CHARACTERS_MAX else None


def scans(plan: Sequence[str]) -> list[str]:
    """Return the tables that a plan reads completely, each once, in the order of the plan."""
    found = (match[1] for line in plan if (match := _SCAN.match(line)))
    return list(dict.fromkeys(found))


def examples(datasets: Sequence[Dataset]) -> list[Example]:
    """Return example queries for the datasets."""
    told = [example for dataset in datasets[:EXAMPLES_OF] for example in _examples_of(dataset)]
    findings = "select code, count(*) as findings\nfrom import_findings\ngroup by code\norder by findings desc"
    return [*told, Example("Most frequent findings", findings)]


def _examples_of(dataset: Dataset) -> list[Example]:
    table, key, parent = (_identifier(name) for name in (dataset.name, dataset.key, dataset.parent))
    below = (
        f"with recursive below as (\n    select {key}, {parent}, 1 as depth\n    from {table}\n"
        f"    where {parent} = (select {parent} from {table} where {parent} is not null limit 1)\n    union all\n"
        f"    select child.{key}, child.{parent}, below.depth + 1\n    from {table} as child\n"
        f"    inner join below on child.{parent} = below.{key}\n)\nselect * from below limit 100"
    )
    most = (
        f"select {parent}, count(*) as children\nfrom {table}\nwhere {parent} is not null\n"
        f"group by {parent}\norder by children desc\nlimit 10"
    )
    loaded = (
        f"select _import_id, count(*) as records, max(_loaded_at) as last_loaded\nfrom {table}\n"
        "group by _import_id\norder by last_loaded desc"
    )
    return [
        Example(
            f"Top-level records of {dataset.name}", f"select *\nfrom {table}\nwhere {parent} is null\norder by {key}\nlimit 20"
        ),
        Example(f"Records of {dataset.name} with the most children", most),
        Example(f"All descendants of one record of {dataset.name}", below),
        Example(f"Imports that wrote {dataset.name}", loaded),
    ]


def _identifier(name: str) -> str:
    """Return a name as SQL writes it, quoted if necessary."""
    return name if _BARE.fullmatch(name) else quoted(name)
