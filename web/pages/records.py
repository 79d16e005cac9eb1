"""The pages of records: the tree of a dataset, its picture, and each record with its ancestors, children, siblings and history.

Everything is read by keyset pagination or from the last count, so a page costs the same at a thousand records and at
ten million.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.search_columns import searched_columns
from pipeline.datasets.table import LINEAGE
from pipeline.display import place_and_record, place_of_record
from pipeline.ledger.api_keys import Role
from web.app_context import app_context
from web.http.auth import for_role
from web.http.problems import Problem
from web.pages.formatting import cut
from web.pages.hierarchy_picture import HEIGHT, WIDTH, icicle
from web.pages.record_queries import findings_sql, level_sql, record_sql, search_sql
from web.pages.record_tree import (
    ANCESTORS_SHOWN,
    FOLDERS,
    NODES_OPEN_MAX,
    NODES_SHOWN,
    View,
    ancestors_of,
    choices,
    counts_of,
    label_of,
    level_of,
    node_of,
    nodes_of,
    record_url,
)
from web.pages.record_values import rows_of
from web.services import key_scope, searching
from web.services.numbers import dataset_numbers, numbers_of
from web.services.personal_data import may_unmask, withheld_of

__all__ = ["ANCESTORS_SHOWN", "IMPORTS_SEARCHED", "NODES_SHOWN", "label_of", "pages", "record_url"]

IMPORTS_SEARCHED = 200
REFUSALS_SHOWN = 10
"""Failures of a record in the last IMPORTS_SEARCHED imports of its dataset."""

FINDINGS_SHOWN = 20
"""The same for findings, of which there may be several in an import."""

pages = Blueprint("record_pages", __name__)


@pages.get("/datasets")
@for_role(Role.READER)
def datasets_page() -> ResponseReturnValue:
    """Show the datasets with their numbers."""
    shown = key_scope.datasets()
    return render_template(
        "datasets.html",
        datasets=shown,
        marts={one.name: app_context().marts.states(one.name) for one in shown},
        numbers=numbers_of(shown),
    )


@pages.get("/datasets/<name:dataset>/records")
@for_role(Role.READER)
def tree_page(dataset: str) -> ResponseReturnValue:
    """Show the roots, or with ``under`` the children of a record; ``search`` finds records, ``id`` one of them.

    ``column`` (several) are shown beside each record, ``levels`` are open, ``after`` is the page's cursor.
    """
    known = key_scope.dataset(dataset)
    wanted = request.args.get("id")
    if wanted in FOLDERS:
        return record_page(dataset, wanted)
    if wanted and app_context().records.one(known, wanted) is not None:
        return redirect(record_url(known.name, wanted))
    view = View.of_request(known)
    if request.args.get("search", "").strip():
        return _found(view, request.args["search"].strip())
    under = request.args.get("under")
    above = ancestors_of(view, under) if under is not None else []
    if under is not None and not above:
        raise _unknown(known, under)
    page = render_template(
        "records.html",
        **_common(view, under),
        above=[*above[:-1]],
        here=above[-1] if above else None,
        level=level_of(view, under),
        is_first="after" not in request.args,
        wanted=wanted,
        nodes_open_max=NODES_OPEN_MAX,
        sql=level_sql(known, under, [label_of(known), *view.columns] if label_of(known) else view.columns),
    )
    return page, 404 if wanted else 200


@pages.get("/datasets/<name:dataset>/hierarchy")
@for_role(Role.READER)
def hierarchy_page(dataset: str) -> ResponseReturnValue:
    """Draw the largest part of the tree, as of the last count."""
    known = key_scope.dataset(dataset)
    numbers, top = dataset_numbers(known), app_context().numbers.top(known.name)
    boxes = icicle(top, numbers.counted.records or 0)
    records, label = app_context().records.some(known, [box.id for box in boxes]), label_of(known)
    labels = {one: cut(record.get(label), 160) for one, record in records.items()} if label else {}
    shown = [(box, cut(box.id, 120), labels.get(box.id, ""), record_url(known.name, box.id)) for box in boxes]
    return render_template("hierarchy.html", dataset=known, numbers=numbers, shown=shown, width=WIDTH, height=HEIGHT)


@pages.get("/datasets/<name:dataset>/records/<name:record_id>")
@for_role(Role.READER)
def record_page(dataset: str, record_id: str) -> ResponseReturnValue:
    """Show one record: its values, its kin, and the imports known to have changed, criticised or refused it."""
    known = key_scope.dataset(dataset)
    record = app_context().records.one(known, record_id)
    if record is None:
        raise _unknown(known, record_id)
    view = View.of_request(known)
    above = ancestors_of(view, record_id)
    written_by, row = key_scope.import_of(str(record["_import_id"])), record["_row"]
    types = {column.name: column.type for column in known.shown_columns}
    before, after = app_context().records.neighbours(known, record)
    return render_template(
        "record.html",
        dataset=known,
        record=record,
        node=above[-1],
        above=above[:-1],
        values=rows_of({name: value for name, value in record.items() if name not in LINEAGE}, types),
        level=level_of(view, record_id),
        is_first="after" not in request.args,
        count=counts_of(known, [record_id])[record_id],
        siblings=[(word, node_of(view, one, 0)) for word, one in (("Previous", before), ("Next", after)) if one],
        siblings_url=view.url(under=record[known.parent]),
        written_by=written_by,
        from_place=place_and_record(place_of_record(row, written_by.reading if written_by else {}), row),
        row_url=url_for("finding_pages.findings_page", import_id=written_by.id, q=f"record {row}") if written_by else "",
        refusals=_refusals(known.name, record_id),
        findings=_findings(known.name, record_id),
        imports_searched=IMPORTS_SEARCHED,
        findings_sql=findings_sql(known.name, record_id),
        sql=record_sql(known, record_id),
        json_url=f"/v1/datasets/{quote(known.name)}/records?id={quote(record_id, safe='')}",
    )


def _found(view: View, wanted: str) -> ResponseReturnValue:
    """Show the records that a search finds: a lone ID at once; in a table too large for a search, the record with this ID."""
    known, said, after = view.dataset, "", request.args.get("after")
    items: list[dict[str, Any]] = []
    following = None
    try:
        page = searching.page(known, wanted, cursor=after, limit=NODES_SHOWN)
        items, following = page.items, page.next_cursor
    except Problem as problem:
        if problem.code != "no_search_index":
            raise
        said = problem.detail
        items = [{**one, "_matched": known.key} for one in [app_context().records.one(known, wanted)] if one]
    if len(items) == 1 and after is None and items[0]["_matched"] == known.key and not said:
        return redirect(record_url(known.name, wanted))
    nodes = nodes_of(view, items)
    found = [
        (node, item["_matched"], item[item["_matched"]], item[known.parent]) for node, item in zip(nodes, items, strict=True)
    ]
    page_shown = render_template(
        "search.html",
        **_common(view, None),
        wanted=wanted,
        found=found,
        said=said,
        is_first=after is None,
        next=view.url(search=wanted, after=following) if following else None,
        record_url=record_url,
        sql=search_sql(known, wanted, view.columns, searched_columns(known)),
    )
    return page_shown, 200


def _common(view: View, under: str | None) -> dict[str, Any]:
    """Return what the tree and the results of a search both have: the forms for columns and for a search."""
    return {
        "dataset": view.dataset,
        "view": view,
        "under": under,
        "choices": choices(view.dataset),
        "searched": [view.dataset.key, *searched_columns(view.dataset)],
    }


def _refusals(dataset: str, record_id: str) -> list[dict[str, Any]]:
    """Return where the record failed of late, as this key may see it."""
    found = app_context().ledger.failures.of_record(
        dataset, record_id, imports=IMPORTS_SEARCHED, limit=REFUSALS_SHOWN, is_clear=may_unmask()
    )
    return [{**one, "message": withheld_of(dataset, one["reading"]) or one["message"]} for one in found]


def _findings(dataset: str, record_id: str) -> list[dict[str, Any]]:
    """Return what was found in the record of late: codes only, which quote no value."""
    return app_context().ledger.findings.of_record(dataset, record_id, imports=IMPORTS_SEARCHED, limit=FINDINGS_SHOWN)


def _unknown(dataset: Dataset, record_id: str) -> Problem:
    return Problem("unknown_record", f'No record of {dataset.name} has the ID "{record_id}".')
