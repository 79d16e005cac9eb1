"""The API of keys, for admins."""

from __future__ import annotations

import uuid

import structlog
from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from pipeline.ledger.api_keys import Key, Role
from web.app_context import edges
from web.http.auth import for_role, key_in_use
from web.http.problems import Problem, ProblemModel
from web.http.responses import as_json
from web.models.imports import KeyBody, KeyList, KeyPath, MadeKey
from web.services import key_scope

log = structlog.get_logger(__name__)

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
    key_text, key = make_key(body)
    return as_json({**key.to_json(), "key": key_text}, 201)


def make_key(wanted: KeyBody) -> tuple[str, Key]:
    """A new key and its text. Raises UnknownDataset for a dataset that is not there, NotUsable for an admin of some."""
    for name in wanted.datasets or ():
        key_scope.dataset(name)
    made = edges().keys.create(wanted.name, wanted.role, wanted.datasets)
    log.info("key made", made_id=made[1].id, role=str(wanted.role), datasets=wanted.datasets, key_id=key_in_use().id)
    return made


@api.get("", summary="List the keys", responses={200: KeyList})
@for_role(Role.ADMIN)
def list_keys() -> Response:
    """Without their secrets, which nobody knows."""
    return as_json({"items": [key.to_json() for key in edges().keys.list()], "next_cursor": None})


@api.delete("/<name:key_id>", summary="Revoke a key", responses={204: None})
@for_role(Role.ADMIN)
def revoke_key(path: KeyPath) -> Response:
    """From the next request on it opens nothing, and neither do sessions begun with it."""
    revoke(path.key_id)
    return Response(status=204)


def revoke(key_id: str) -> None:
    """Have a key open nothing any more. Raises Problem if there is none of that id."""
    try:
        known = edges().keys.revoke(str(uuid.UUID(key_id)))
    except ValueError:
        known = False
    if not known:
        raise Problem("unknown_key", f"There is no key {key_id!r}. GET /v1/keys lists those there are.")
    log.info("key revoked", revoked_id=str(uuid.UUID(key_id)), key_id=key_in_use().id)
