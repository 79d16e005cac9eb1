"""Search records for the API and the pages alike, and say in words why a search is not possible."""

from __future__ import annotations

from pipeline.datasets.dataset import Dataset
from pipeline.warehouse.query import NotSearchable, Page
from web.app_context import app_context
from web.http.problems import Problem


def page(dataset: Dataset, wanted: str, *, cursor: str | None, limit: int) -> Page:
    """Return a page of the records that match. Raises Problem for an empty text, an invalid cursor, or a missing index."""
    if not wanted.strip():
        raise Problem("bad_request", "Enter the beginning of a value to search for.")
    try:
        return app_context().records.search(dataset, wanted.strip(), cursor=cursor, limit=limit)
    except LookupError as error:
        raise Problem("bad_request", "Invalid cursor. Send the next_cursor of the page before, unchanged.") from error
    except NotSearchable as error:
        raise Problem("no_search_index", str(error)) from error
