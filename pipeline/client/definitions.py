"""Calls of the API about the definitions of datasets. They need an admin's key."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from pipeline.client.http import Body, HttpClient

Json = dict[str, Any]


class DefinitionCalls:
    """The calls about definitions of one client. Every method raises ApiError if the server refuses."""

    def __init__(self, http: HttpClient, answer: Callable[..., Json]) -> None:
        self._http, self._json = http, answer

    def propose(self, source: Path | BinaryIO, *, name: str = "", filename: str | None = None) -> Json:
        """Return the dataset that the server proposes for a file."""
        called = filename or (source.name if isinstance(source, Path) else "stdin.csv")
        body = Body(source, lambda *_: None)
        headers = {"Content-Type": "application/octet-stream"}
        return self._json("POST", "/v1/datasets/propose", body=body, headers=headers, params={"name": name, "filename": called})

    def create(
        self, *, definition: Mapping[str, Any] | None = None, name: str = "", files: Mapping[str, str] | None = None
    ) -> Json:
        """Create a dataset from a definition, as ``propose`` returns it, or from the texts of the two files."""
        return self._json("POST", "/v1/datasets", json=_body(definition, name, files))

    def get(self, name: str, *, version: int | None = None) -> Json:
        """Return the definition of a dataset: the version in use, or an earlier one."""
        return self._json("GET", _path(name, "definition"), params={} if version is None else {"version": version})

    def change(
        self,
        name: str,
        version: int,
        *,
        definition: Mapping[str, Any] | None = None,
        files: Mapping[str, str] | None = None,
        dry_run: bool = False,
    ) -> Json:
        """Change a definition that is at ``version``; with ``dry_run`` only say what that means."""
        return self._json(
            "PUT",
            _path(name, "definition"),
            json=_body(definition, name, files),
            params={"dry_run": json.dumps(dry_run)},
            headers={"If-Match": f'"{version}"'},
        )

    def drop(self, name: str, *, confirm: str) -> Json:
        """Drop a dataset with all its records; ``confirm`` is its name once more."""
        return self._json("DELETE", _path(name), params={"confirm": confirm})


def _body(definition: Mapping[str, Any] | None, name: str, files: Mapping[str, str] | None) -> Json:
    return {"definition": definition} if definition is not None else {"name": name, "files": files}


def _path(name: str, *more: str) -> str:
    return "/".join(["/v1/datasets", quote(name, safe=""), *more])
