"""The API of SQL queries."""

from __future__ import annotations

from flask import Response

from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from web.api.blueprint import ApiBlueprint, Example
from web.api.openapi_examples import QUERY
from web.http import audit_log
from web.http.audit_log import recorded_as
from web.http.auth import for_role
from web.http.responses import as_json
from web.http.sql_files import as_file, shown
from web.models.records import QueryAnswer, QueryBody, QueryQuery
from web.services import key_scope

api = ApiBlueprint("sql", "/v1", "SQL")


@api.post(
    "/query",
    summary="Run one SELECT over the warehouse",
    responses={200: QueryAnswer},
    problems=("query_refused", "query_too_slow", "query_too_large"),
    files=("csv", "parquet", "arrow", "xlsx"),
    headers=("X-Truncated",),
    example=Example(query={"format": "json"}, body=QUERY),
)
@for_role(Role.READER)
@recorded_as(Action.SQL, "warehouse")
def query(query: QueryQuery, body: QueryBody) -> Response:
    """Read-only, with limits of time, rows and bytes; ``truncated`` says that the result was cut."""
    audit_log.describe(do=query.format, **audit_log.sql_details(body.sql))
    answer = key_scope.sql_login().console.run(body.sql, limit=body.limit)
    if query.format == "json":
        return as_json(shown(answer))
    return as_file(answer, query.format)
