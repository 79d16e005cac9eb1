"""Make the blueprints of the API. A route's decorator says what its models do not: problems, files, headers, an example."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from web.http.problems import PROBLEM_TYPES, ProblemModel
from web.http.responses import CONTENT_TYPES

Json = dict[str, Any]
View = TypeVar("View", bound=Callable[..., Any])

TAGS = {
    "imports": "One import per uploaded file",
    "before an upload": "Templates, previews and column mappings",
    "direct uploads": "Files of any size, uploaded by the client to S3 with presigned URLs",
    "reports": "Findings, failed records and result files of an import",
    "records": "Datasets, and their records in the warehouse",
    "datasets": "Datasets from files: proposals, definitions and their versions",
    "audits": "Every rule of a dataset, checked over all that is loaded",
    "SQL": "Read-only SQL over the warehouse",
    "database logins": "Logins for programs that read the database themselves",
    "keys": "API keys",
    "audit log": "Who did what, from where, with what result",
    "webhooks": "Recipients of notifications, by webhook or e-mail",
}
"""The groups of the API's operations."""


@dataclass(frozen=True)
class Example:
    """An example of a request: values of parameters in its path and its query, and its body."""

    path: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class RouteDescription:
    """What the OpenAPI document says of a route beyond its models.

    ``problems``: codes of problems, beside those that its parameters imply. ``files``: forms of the file that it can answer
    with. ``headers``: names of response headers, beside those of every answer. ``takes_headers``: request headers.
    """

    problems: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    takes_headers: tuple[Json, ...] = ()
    example: Example = Example()

    def __post_init__(self) -> None:
        """Raise ValueError for a code or a form that does not exist."""
        unknown = [*({*self.problems} - PROBLEM_TYPES.keys()), *({*self.files} - CONTENT_TYPES.keys())]
        if unknown:
            raise ValueError(f"No problem and no form of a file is called {', '.join(sorted(unknown))}.")


_OWN = {one.name for one in fields(RouteDescription)}


class ApiBlueprint(APIBlueprint):
    """A blueprint whose routes need a key and answer errors with problems.

    Its decorators take the fields of RouteDescription too, which ``described`` has by the view's name. ``tag``: one of TAGS.
    """

    def __init__(self, name: str, prefix: str, tag: str) -> None:
        super().__init__(
            name,
            "web.api",
            url_prefix=prefix,
            abp_tags=[Tag(name=tag, description=TAGS[tag])],
            abp_security=[{"key": []}],
            abp_responses={"default": ProblemModel},
        )
        self.described: dict[str, RouteDescription] = {}

    def get(self, rule: str, **given: Any) -> Callable[[View], View]:
        return self._route(super().get, rule, given)

    def post(self, rule: str, **given: Any) -> Callable[[View], View]:
        return self._route(super().post, rule, given)

    def put(self, rule: str, **given: Any) -> Callable[[View], View]:
        return self._route(super().put, rule, given)

    def patch(self, rule: str, **given: Any) -> Callable[[View], View]:
        return self._route(super().patch, rule, given)

    def delete(self, rule: str, **given: Any) -> Callable[[View], View]:
        return self._route(super().delete, rule, given)

    def _route(self, decorator: Callable[..., Any], rule: str, given: Json) -> Callable[[View], View]:
        described = RouteDescription(**{name: given.pop(name) for name in _OWN & given.keys()})
        register = decorator(rule, **given)

        def mark(view: View) -> View:
            if given.get("doc_ui", True):
                self.described[view.__name__] = described
            register(view)
            return view

        return mark
