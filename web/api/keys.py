"""The API of API keys, for admins."""

from __future__ import annotations

from flask import Response

from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from web.api.blueprint import ApiBlueprint, Example
from web.api.openapi_examples import NEW_KEY
from web.app_context import app_context
from web.http.audit_log import recorded_as
from web.http.auth import for_role
from web.http.responses import as_json
from web.models.admin import KeyBody, KeyList, KeyPath, MadeKey, RotateBody
from web.services.keys import make_key, revoke, rotate

api = ApiBlueprint("keys", "/v1/keys", "keys")


@api.post(
    "",
    summary="Create an API key",
    responses={201: MadeKey},
    problems=("unknown_dataset",),
    example=Example(body=NEW_KEY),
)
@for_role(Role.ADMIN)
@recorded_as(Action.KEY_CREATED, "key", "key_id")
def create_key(body: KeyBody) -> Response:
    """The key itself is shown only in this response."""
    key_text, key = make_key(body)
    return as_json({**key.to_json(), "key": key_text}, 201)


@api.post(
    "/<name:key_id>/rotate",
    summary="Rotate an API key",
    responses={201: MadeKey},
    problems=("unusable",),
    example=Example(body={"overlap_seconds": 86400}),
)
@for_role(Role.ADMIN)
@recorded_as(Action.KEY_ROTATED, "key", "key_id")
def rotate_key(path: KeyPath, body: RotateBody) -> Response:
    """The key gets another secret, shown only in this response. The one before works until the overlap ends.

    Sessions that began with an earlier secret end with it. A secret from before the last rotation stops working at once.
    """
    key_text, key = rotate(path.key_id, body)
    return as_json({**key.to_json(), "key": key_text}, 201)


@api.get("", summary="List API keys", responses={200: KeyList})
@for_role(Role.ADMIN)
def list_keys() -> Response:
    """Without the keys themselves, of which only hashes are stored."""
    return as_json({"items": [key.to_json() for key in app_context().keys.list()], "next_cursor": None})


@api.delete("/<name:key_id>", summary="Revoke an API key", responses={204: None})
@for_role(Role.ADMIN)
@recorded_as(Action.KEY_REVOKED, "key", "key_id")
def revoke_key(path: KeyPath) -> Response:
    """From the next request on, the key and all sessions started with it are invalid."""
    revoke(path.key_id)
    return Response(status=204)
