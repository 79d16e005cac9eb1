"""The page of people's own SQL: write, run, see the plan, take the answer away, pass the question on.

A query can be in the page's address, and opening that address only shows it: docs/decisions/0014.
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
"""A file has as many as a query may give."""

ADDRESS_CHARACTERS_MAX = 6000
"""A longer query is not put into an address, which servers on the way may refuse."""

EXAMPLES_OF = 2
"""Datasets."""

_SCAN = re.compile(r'^\s*(?:->\s*)?(?:Parallel )?Seq Scan on ("(?:[^"]|"")+"|[^\s(]+)')
_BARE = re.compile(r"[a-z_][a-z0-9_]*")

pages = Blueprint("sql_pages", __name__)


@dataclass(frozen=True)
class Example:
    """A question that the datasets can answer as they are."""

    title: str
    sql: str


@pages.get("/sql")
@for_role(Role.READER)
def sql_page() -> ResponseReturnValue:
    """A place to ask the warehouse something; the query ``q`` is shown, never run."""
    return _page(request.args.get("q", ""))


@pages.post("/sql")
@for_role(Role.READER)
def run_sql() -> ResponseReturnValue:
    """What was asked for, or what is wrong with the question, below it; an export comes as a file."""
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
    """The address of the page that shows a query; None if it is empty or too long for one."""
    written = quote(sql.replace("\r\n", "\n"), safe="")
    return f"/sql?q={written}" if sql.strip() and len(written) <= ADDRESS_CHARACTERS_MAX else None


def scans(plan: Sequence[str]) -> list[str]:
    """The tables that a plan reads from end to end, each once, in the order of the plan."""
    found = (match[1] for line in plan if (match := _SCAN.match(line)))
    return list(dict.fromkeys(found))


def examples(datasets: Sequence[Dataset]) -> list[Example]:
    """Questions to begin with."""
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
    """A name as a query has to write it."""
    return name if _BARE.fullmatch(name) else quoted(name)
