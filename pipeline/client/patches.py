"""Calls of the API about patches: edits of an import's file, which a retry applies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

PatchJson = dict[str, Any]
"""A version of a patch as the API returns it."""

CHANGES_AT_ONCE = 10_000
"""As many edits as one request takes."""


class PatchCalls:
    """The calls about patches of one client. Every method raises ApiError if the server refuses."""

    def __init__(self, json: Callable[..., PatchJson], pages: Callable[..., Iterator[PatchJson]]) -> None:
        self._json, self._pages = json, pages

    def get(self, import_id: str) -> PatchJson:
        """Return the version and the counts of an import's edits, with the first ones as ``items``."""
        return self._json("GET", _path(import_id))

    def edits(self, import_id: str) -> Iterator[dict[str, Any]]:
        """Yield all edits of an import's file, in the order of rows and columns, fetched page by page."""
        for page in self._pages(_path(import_id), {"limit": "1000"}):
            yield from page["items"]

    def change(self, import_id: str, version: int, **changes: Any) -> PatchJson:
        """Change a version of the edits, by what PATCH takes: edits, undo, skip_rows, unskip_rows, roots, like.

        Raises ApiError, with the code patch_conflict if there is a later version.
        """
        return self._json("PATCH", _path(import_id), json=changes, headers={"If-Match": f'"{version}"'})

    def discard(self, import_id: str, version: int) -> PatchJson:
        """Take back all edits of a version."""
        return self._json("DELETE", _path(import_id), headers={"If-Match": f'"{version}"'})


def _path(import_id: str) -> str:
    return f"/v1/imports/{quote(import_id, safe='')}/patch"
