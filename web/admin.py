"""The API of keys, for admins."""

from __future__ import annotations

import uuid

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from pipeline.keys import Role
from web.access import for_role
from web.answers import as_json
from web.edges import edges
from web.models import KeyBody, KeyList, KeyPath, MadeKey
from web.problems import Problem, ProblemModel

api = APIBlueprint(
    "keys",
    __name__,
    url_prefix="/v1/keys",
    abp_tags=[Tag(name="keys", description="Who may come in")],
    abp_security=[{"key": []}],
    abp_responses={"default": ProblemModel},
)


@api.post("", summary="Make a key", responses={201: MadeKey})
@for_role(Role.ADMIN)
def create_key(body: KeyBody) -> Response:
    """The answer is the only place where the key itself is ever shown."""
    key_text, key = edges().keys.create(body.name, body.role)
    return as_json({**key.to_json(), "key": key_text}, 201)


@api.get("", summary="List the keys", responses={200: KeyList})
@for_role(Role.ADMIN)
def list_keys() -> Response:
    """Without their secrets, which nobody knows."""
    return as_json({"items": [key.to_json() for key in edges().keys.list()], "next_cursor": None})


@api.delete("/<name:key_id>", summary="Revoke a key", responses={204: None})
@for_role(Role.ADMIN)
def revoke_key(path: KeyPath) -> Response:
    """From the next request on it opens nothing, and neither do sessions begun with it."""
    try:
        known = edges().keys.revoke(str(uuid.UUID(path.key_id)))
    except ValueError:
        known = False
    if not known:
        raise Problem("unknown_key", f"There is no key {path.key_id!r}. GET /v1/keys lists those there are.")
    return Response(status=204)
