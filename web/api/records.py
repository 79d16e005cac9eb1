"""The API of datasets, their records, and the validations of their files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Response

from pipeline.datasets.dataset import Dataset
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.warehouse.query import Page
from web.api.blueprint import ApiBlueprint, Example
from web.api.record_export import export
from web.app_context import app_context
from web.http import audit_log
from web.http.audit_log import recorded_as
from web.http.auth import for_role
from web.http.problems import Problem
from web.http.responses import as_json
from web.models.common import DatasetPath
from web.models.findings import ValidationRuns, ValidationsQuery
from web.models.records import (
    ChildrenCount,
    DatasetList,
    DatasetModel,
    DescendantsQuery,
    KinQuery,
    NumbersModel,
    RecordModel,
    RecordPage,
    RecordPath,
    RecordsQuery,
)
from web.services import key_scope, searching
from web.services.numbers import dataset_numbers
from web.services.validation_runs import validation_runs

api = ApiBlueprint("records", "/v1/datasets", "records")


@api.get("", summary="List datasets", responses={200: DatasetList})
@for_role(Role.READER)
def list_datasets() -> Response:
    """Each with its columns."""
    return as_json({"items": [described(dataset) for dataset in key_scope.datasets()], "next_cursor": None})


@api.get("/<name:dataset>", summary="Get a dataset", responses={200: DatasetModel})
@for_role(Role.READER)
def get_dataset(path: DatasetPath) -> Response:
    """Its columns, its key and its parent column."""
    return as_json(described(_dataset(path)))


@api.get("/<name:dataset>/numbers", summary="Get the numbers of a dataset", responses={200: NumbersModel})
@for_role(Role.READER)
def numbers(path: DatasetPath) -> Response:
    """Records, roots, depth and problems, as of the last count, which follows imports."""
    return as_json(dataset_numbers(_dataset(path)).to_json())


@api.get("/<name:dataset>/validations", summary="List validations", responses={200: ValidationRuns})
@for_role(Role.READER)
def validations(path: DatasetPath, query: ValidationsQuery) -> Response:
    """Newest first: records, errors, warnings, findings by code, and the expectations that were not met."""
    found, next_cursor = validation_runs(_dataset(path), query.cursor, query.limit)
    return as_json({"items": [run.to_json() for run in found], "next_cursor": next_cursor})


@api.get(
    "/<name:dataset>/records",
    summary="List records",
    responses={200: RecordPage},
    problems=("busy", "no_table", "no_search_index"),
    files=("csv", "json", "ndjson", "parquet", "arrow"),
    example=Example(query={"parentId": "FR", "limit": 100}),
)
@for_role(Role.READER)
@recorded_as(Action.EXPORT, "dataset", "dataset", when=audit_log.asks_for_file)
def list_records(path: DatasetPath, query: RecordsQuery) -> Response:
    """All records, the children of ``parentId``, the roots, or what ``search`` finds: a page; with ``format``, a file."""
    dataset, records = _dataset(path), app_context().records
    if sum((query.parentId is not None, query.root, query.id is not None, query.search is not None)) > 1:
        raise Problem("bad_request", "Send only one of parentId, root, id and search.")
    if query.format is not None and (query.id is not None or query.search is not None or query.cursor is not None):
        raise Problem("bad_request", "A file has all records: leave out id, search and cursor, or format.")
    if query.search is not None:
        return _shown(dataset, searching.page(dataset, query.search, cursor=query.cursor, limit=query.limit), query)
    if query.id is not None:
        found = records.one(dataset, query.id)
        return _shown(dataset, Page([found] if found else [], None), query)
    pages: Callable[..., Page] = records.roots if query.root else records.page
    if query.parentId is not None:
        pages = partial(records.children, parent=query.parentId)
    if query.format is not None:
        audit_log.describe(what="records", format=query.format)
        return export(dataset, query.format, lambda cursor, limit: pages(dataset, cursor=cursor, limit=limit))
    return _shown(dataset, pages(dataset, cursor=query.cursor, limit=query.limit), query)


@api.get("/<name:dataset>/records/<name:record_id>", summary="Get a record", responses={200: RecordModel})
@for_role(Role.READER)
def get_record(path: RecordPath) -> Response:
    """With its lineage: the import and the row it was loaded from, and when."""
    return as_json(_record(path)[1])


@api.get(
    "/<name:dataset>/records/<name:record_id>/children",
    summary="List the children of a record",
    responses={200: RecordPage},
    example=Example({"record_id": "FR"}, {"limit": 100, "counts": True}),
)
@for_role(Role.READER)
def children(path: RecordPath, query: KinQuery) -> Response:
    """By ID; with ``counts=true``, each with its number of children."""
    return _relatives(path, query, app_context().records.children)


@api.get(
    "/<name:dataset>/records/<name:record_id>/children_count",
    summary="Count the children of a record",
    responses={200: ChildrenCount},
    example=Example({"record_id": "FR"}),
)
@for_role(Role.READER)
def children_count(path: RecordPath) -> Response:
    """Direct children only. For all records of a page at once: ``counts=true``."""
    dataset, record = _record(path)
    record_id = record[dataset.key]
    return as_json({"id": record_id, "children": app_context().records.children_counts(dataset, [record_id])[record_id]})


@api.get(
    "/<name:dataset>/records/<name:record_id>/ancestors",
    summary="List the ancestors of a record",
    responses={200: RecordPage},
    example=Example(query={"limit": 10}),
)
@for_role(Role.READER)
def ancestors(path: RecordPath, query: KinQuery) -> Response:
    """Nearest first."""
    return _relatives(path, query, app_context().records.ancestors)


@api.get(
    "/<name:dataset>/records/<name:record_id>/descendants",
    summary="List the descendants of a record",
    responses={200: RecordPage},
    example=Example({"record_id": "FR"}, {"max_depth": 2}),
)
@for_role(Role.READER)
def descendants(path: RecordPath, query: DescendantsQuery) -> Response:
    """Depth first: a record, then all its descendants, then its next sibling; each with its depth."""
    dataset, record = _record(path)
    try:
        page = app_context().records.descendants(
            dataset, record[dataset.key], cursor=query.cursor, limit=query.limit, depth_max=query.max_depth
        )
    except LookupError as error:
        raise Problem("bad_request", "Invalid cursor. Send the next_cursor of the page before, unchanged.") from error
    return _shown(dataset, page, query)


def described(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset as the API shows it."""
    return {
        "name": dataset.name,
        "title": dataset.title,
        "key": dataset.key,
        "parent": dataset.parent,
        "rest": dataset.rest,
        "personal": list(dataset.personal),
        "columns": [{"name": c.name, "type": c.type, "required": c.required} for c in dataset.columns],
        "marts": [mart.to_json() for mart in app_context().marts.states(dataset.name)],
    }


def _dataset(path: DatasetPath) -> Dataset:
    return key_scope.dataset(path.dataset)


def _record(path: RecordPath) -> tuple[Dataset, dict[str, Any]]:
    dataset = _dataset(path)
    record = app_context().records.one(dataset, path.record_id)
    if record is None:
        raise Problem("unknown_record", f"The dataset {dataset.name!r} has no record {path.record_id!r}.")
    return dataset, record


def _relatives(path: RecordPath, query: KinQuery, read: Callable[..., Page]) -> Response:
    """Return a page of a record's relatives, as ``read`` finds them for a dataset and an ID."""
    dataset, record = _record(path)
    return _shown(dataset, read(dataset, record[dataset.key], cursor=query.cursor, limit=query.limit), query)


def _shown(dataset: Dataset, page: Page, query: KinQuery) -> Response:
    items = page.items
    if query.counts:
        counts = app_context().records.children_counts(dataset, [item[dataset.key] for item in items], query.counts_max)
        items = [{**item, "_children": counts[item[dataset.key]]} for item in items]
    return as_json({"items": items, "next_cursor": page.next_cursor})
