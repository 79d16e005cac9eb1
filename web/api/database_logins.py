"""The API of logins to the database, for programs that read it themselves."""

from __future__ import annotations

from flask import Response

from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from web.api.blueprint import ApiBlueprint, Example
from web.api.openapi_examples import NEW_DATABASE_LOGIN
from web.http.audit_log import recorded_as
from web.http.auth import for_role
from web.http.responses import as_json
from web.models.database_logins import DatabaseLoginBody, DatabaseLoginList, DatabaseLoginPath, MadeDatabaseLogin
from web.services import database_logins

api = ApiBlueprint("database_logins", "/v1/database-logins", "database logins")


@api.post(
    "",
    summary="Create a login to the database",
    responses={201: MadeDatabaseLogin},
    example=Example(body=NEW_DATABASE_LOGIN),
)
@for_role(Role.READER)
@recorded_as(Action.DATABASE_LOGIN_CREATED, "database_login", "login_id")
def create_login(body: DatabaseLoginBody) -> Response:
    """A role in PostgreSQL that reads what SQL of this key reads, and nothing else. Its password is shown only here.

    It ends when the key is revoked or expires, when its datasets change, and after 90 days at most.
    """
    return as_json(database_logins.shown_once(*database_logins.make(body.label, body.days)), 201)


@api.get("", summary="List logins to the database", responses={200: DatabaseLoginList})
@for_role(Role.READER)
def list_logins() -> Response:
    """Those of this key, or for an admin of all, also revoked ones; the newest 500, without passwords."""
    return as_json({"items": [one.to_json() for one in database_logins.listed()], "next_cursor": None})


@api.delete("/<name:login_id>", summary="Revoke a login to the database", responses={204: None})
@for_role(Role.READER)
@recorded_as(Action.DATABASE_LOGIN_REVOKED, "database_login", "login_id")
def revoke_login(path: DatabaseLoginPath) -> Response:
    """Its sessions end at once, and PostgreSQL does not know it any more."""
    database_logins.revoke(path.login_id)
    return Response(status=204)
