"""The API of people's own SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from pipeline.ledger.api_keys import Role
from web.http.auth import for_role
from web.http.problems import ProblemModel
from web.http.responses import as_json
from web.http.sql_files import as_file, shown
from web.models.records import QueryAnswer, QueryBody, QueryQuery
from web.services import key_scope

if TYPE_CHECKING:
    pass

api = APIBlueprint(
    "sql",
    __name__,
    url_prefix="/v1",
    abp_tags=[Tag(name="SQL", description="People's own SQL")],
    abp_security=[{"key": []}],
    abp_responses={"default": ProblemModel},
)


@api.post("/query", summary="Run one SELECT over the warehouse", responses={200: QueryAnswer})
@for_role(Role.READER)
def query(query: QueryQuery, body: QueryBody) -> Response:
    """Read-only, within limits of time, rows and bytes; ``truncated`` says that there was more."""
    answer = key_scope.reader().console.run(body.sql, limit=body.limit)
    if query.format == "json":
        return as_json(shown(answer))
    return as_file(answer, query.format)
