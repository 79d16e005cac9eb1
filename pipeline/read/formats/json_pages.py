"""Recognise that a JSON document is one page of several, by what an API writes beside the records."""

from __future__ import annotations

from typing import Any

from pipeline.datasets.column_forms import loose_form
from pipeline.read.raw_tables import RawTables

_NEXT = frozenset(
    map(
        loose_form,
        (
            *("next", "nextLink", "@odata.nextLink", "odata.nextLink", "next_page", "next_page_url", "next_url", "nextPageUrl"),
            *("next_page_uri", "nextPageToken", "next_token", "NextToken", "next_cursor", "nextCursor", "nextRecordsUrl"),
            *("has_more", "hasMore", "has_next", "hasNext", "hasNextPage", "has_next_page", "more", "isTruncated"),
            *("LastEvaluatedKey", "NextMarker", "ContinuationToken", "continue", "nextPage"),
        ),
    )
)
_TOTALS = frozenset(
    map(
        loose_form,
        (
            *("total", "totalCount", "total_count", "totalElements", "total_elements", "totalSize", "total_size", "totalItems"),
            *("total_items", "totalResults", "total_results", "total_records", "recordsTotal", "@odata.count", "odata.count"),
            *("numFound", "count", "total_rows", "hits_total"),
        ),
    )
)
AROUND = frozenset(
    map(
        loose_form,
        (
            *("links", "_links", "meta", "_meta", "metadata", "_metadata", "page", "pageInfo", "page_info", "paging", "info"),
            *("pagination", "response_metadata", "result_info", "total", "pager", "cursors"),
        ),
    )
)
"""Objects beside the records that may say so, in the form that loose_form gives."""

_DEPTH = 3


class Pages:
    """What the documents of one file say about other pages."""

    def __init__(self) -> None:
        self._next = ""  # of the last document: the key that names another page
        self._total: tuple[str, int] = ("", 0)

    def begin(self) -> None:
        """Begin a document: what counts is whether the last one has a next page."""
        self._next = ""

    def see(self, key: str, value: Any, depth: int = 0) -> None:
        """See a value that stands beside the records."""
        form = loose_form(key)
        if form in _NEXT and _is_given(value):
            self._next = self._next or key
        elif form in _TOTALS and isinstance(value, str) and value.isdecimal() and len(value) < 15:
            self._total = max(self._total, (key, int(value)), key=lambda one: one[1])
        elif form == "done" and value is False:  # Salesforce
            self._next = self._next or key
        elif isinstance(value, dict) and depth < _DEPTH and (form in AROUND or depth):
            for inner, one in value.items():
                if form == "total" and inner == "value":  # Elasticsearch
                    self.see(key, one, _DEPTH)
                else:
                    self.see(inner, one, depth + 1)

    def finish(self, records: int, staging: RawTables) -> None:
        """Remember what the documents of this file said, and how many records they had."""
        staging.pages.append((self._next, *self._total, records))


def report_pages(staging: RawTables) -> None:
    """Add a warning if records are missing: no file has the last page, or one says that there are more records than in all."""
    if not staging.pages:
        return
    nexts = [key for key, *_ in staging.pages]
    key, total = max(((key, total) for _, key, total, _ in staging.pages), key=lambda one: one[1])
    records = sum(count for *_, count in staging.pages)
    said = ""
    if all(nexts):
        said = f"{nexts[0]!r} says that there are more"
    elif total > records:
        said = f"{key!r} says that there are {total:,} records, and {records:,} were read"
    if said:
        hint = "Fetch the other pages too, and upload all of them, for instance in one ZIP archive."
        message = f"The document seems to be one page of several: {said}."
        staging.add_finding("incomplete_file", message, severity="warning", hint=hint)


def _is_given(value: Any) -> bool:
    if isinstance(value, dict):  # HAL: {"href": ...}
        return bool(value.get("href") or value.get("url") or (value and "href" not in value and "url" not in value))
    return value is True or (isinstance(value, str) and value not in ("", "0", "false"))
