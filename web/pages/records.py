"""The pages of records: the tree of a dataset, and each record with its ancestors, its children and its origin.

Everything is read by keyset pagination, and children are counted up to CHILDREN_COUNTED only, so a page costs the same at a
thousand records and at ten million.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.table import LINEAGE
from pipeline.display import place_and_record, place_of_record
from pipeline.ledger.api_keys import Role
from pipeline.warehouse.query import Page
from web.app_context import app_context
from web.http.auth import for_role
from web.http.problems import Problem
from web.pages.formatting import CHILDREN_COUNTED
from web.services import key_scope

NODES_SHOWN = 50
"""Records on a page of the tree."""

ANCESTORS_SHOWN = 20
"""The nearest ancestors of a record."""

IMPORTS_SEARCHED = 200
REFUSALS_SHOWN = 10
"""Failures of a record in the last IMPORTS_SEARCHED imports of its dataset."""

_LABELS = ("name", "title", "label")
_FOLDERS = (".", "..")
"""IDs that cannot end a path: browsers read them as folders."""

pages = Blueprint("record_pages", __name__)


@dataclass(frozen=True)
class Node:
    """A record in the tree. ``children`` is counted up to one more than CHILDREN_COUNTED."""

    id: str
    label: str
    children: int
    page: str
    below: str  # the address of its children in the tree


@dataclass(frozen=True)
class Level:
    """One page of siblings."""

    nodes: list[Node]
    next: str | None  # the address of the next page
    pages: str  # the address of the dataset's tree


@pages.get("/datasets")
@for_role(Role.READER)
def datasets_page() -> ResponseReturnValue:
    """Show the datasets."""
    shown = key_scope.datasets()
    return render_template(
        "datasets.html", datasets=shown, marts={one.name: app_context().marts.states(one.name) for one in shown}
    )


@pages.get("/datasets/<name:dataset>/records")
@for_role(Role.READER)
def tree_page(dataset: str) -> ResponseReturnValue:
    """Show the roots, or with ``under`` the children of a record; ``id`` finds a record, ``after`` is the page's cursor."""
    known = key_scope.dataset(dataset)
    wanted = request.args.get("id")
    if wanted in _FOLDERS:
        return record_page(dataset, wanted)
    if wanted and app_context().records.one(known, wanted) is not None:
        return redirect(record_url(known.name, wanted))
    under = request.args.get("under")
    above = _ancestors(known, under) if under is not None else []
    if under is not None and not above:
        raise _unknown(known, under)
    page = render_template(
        "records.html",
        dataset=known,
        above=[*above[:-1]],
        here=above[-1] if above else None,
        level=_level(known, under),
        is_first="after" not in request.args,
        wanted=wanted,
    )
    return page, 404 if wanted else 200


@pages.get("/datasets/<name:dataset>/records/<name:record_id>")
@for_role(Role.READER)
def record_page(dataset: str, record_id: str) -> ResponseReturnValue:
    """Show one record: its columns, its ancestors and children, and the imports known to have changed or refused it."""
    known = key_scope.dataset(dataset)
    record = app_context().records.one(known, record_id)
    if record is None:
        raise _unknown(known, record_id)
    above = _ancestors(known, record_id)
    written_by, row = key_scope.import_of(str(record["_import_id"])), record["_row"]
    types = {column.name: column.type for column in known.columns}
    return render_template(
        "record.html",
        dataset=known,
        record=record,
        node=above[-1],
        above=above[:-1],
        values=[(name, types.get(name, ""), value) for name, value in record.items() if name not in LINEAGE],
        level=_level(known, record_id),
        is_first="after" not in request.args,
        count=_counts(known, [record_id])[record_id],
        written_by=written_by,
        from_place=place_and_record(place_of_record(row, written_by.reading if written_by else {}), row),
        refusals=app_context().ledger.failures.of_record(known.name, record_id, imports=IMPORTS_SEARCHED, limit=REFUSALS_SHOWN),
        imports_searched=IMPORTS_SEARCHED,
        findings_sql=_findings_sql(known.name, record_id),
        json_url=f"/v1/datasets/{quote(known.name)}/records?id={quote(record_id, safe='')}",
    )


def record_url(dataset: str, record_id: str) -> str:
    """Return the address of a record's page, for any ID."""
    if record_id in _FOLDERS:
        return url_for("record_pages.tree_page", dataset=dataset, id=record_id)
    return url_for("record_pages.record_page", dataset=dataset, record_id=record_id)


def label_of(dataset: Dataset) -> str:
    """Return the column that describes a record best beside its ID; empty if there is none."""
    told = [c.name for c in dataset.columns if c.type == "text" and c.name not in (dataset.key, dataset.parent)]
    return next((name for name in _LABELS if name in told), told[0] if told else "")


def _level(dataset: Dataset, parent: str | None) -> Level:
    """Return the page of siblings that the request asks for."""
    read, after = app_context().records, request.args.get("after")
    if parent is None:
        page = read.roots(dataset, cursor=after, limit=NODES_SHOWN)
    else:
        page = read.children(dataset, parent, cursor=after, limit=NODES_SHOWN)
    base = url_for("record_pages.tree_page", dataset=dataset.name)
    return Level(
        nodes=_nodes(dataset, page),
        next=url_for("record_pages.tree_page", dataset=dataset.name, under=parent, after=page.next_cursor)
        if page.next_cursor is not None
        else None,
        pages=base,
    )


def _nodes(dataset: Dataset, page: Page) -> list[Node]:
    label = label_of(dataset)
    counts = _counts(dataset, [record[dataset.key] for record in page.items])
    return [_node(dataset, record, label, counts.get(record[dataset.key], 0)) for record in page.items]


def _node(dataset: Dataset, record: dict[str, Any], label: str, children: int) -> Node:
    record_id = record[dataset.key]
    return Node(
        id=record_id,
        label=record.get(label) or "",
        children=children,
        page=record_url(dataset.name, record_id),
        below=url_for("record_pages.tree_page", dataset=dataset.name, under=record_id),
    )


def _counts(dataset: Dataset, ids: list[str]) -> dict[str, int]:
    return app_context().records.children_counts(dataset, ids, CHILDREN_COUNTED + 1)


def _ancestors(dataset: Dataset, record_id: str) -> list[Node | None]:
    """Return the nodes from the top to the record, None first if there are more above; empty if there is no such record."""
    record = app_context().records.one(dataset, record_id)
    if record is None:
        return []
    page = app_context().records.ancestors(dataset, record_id, cursor=None, limit=ANCESTORS_SHOWN)
    label = label_of(dataset)
    way: list[Node | None] = [_node(dataset, one, label, 1) for one in [record, *page.items]]
    return [*([None] if page.next_cursor is not None else []), *way[::-1]]


def _findings_sql(dataset: str, record_id: str) -> str:
    """Return a query for the findings with this ID. They have no index by ID, so it runs within the limits of the SQL page."""
    name, wanted = (text.replace("'", "''") for text in (dataset, record_id))
    return (
        "select imported_at, filename, row, code, message\nfrom import_findings\n"
        f"where dataset = '{name}' and id = '{wanted}'\norder by imported_at desc\nlimit 100"
    )


def _unknown(dataset: Dataset, record_id: str) -> Problem:
    return Problem("unknown_record", f'No record of {dataset.name} has the ID "{record_id}".')
