"""The API of those who are told how imports end: who they are, what came of each message, a test, and a message once more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from pipeline.contracts.messages import Delivery
from pipeline.errors import NotUsable, Unreachable
from pipeline.ledger.api_keys import Role
from pipeline.ledger.imports import Import
from pipeline.notify import targets
from pipeline.notify.recipients import Receiver, receiver_id
from web.api.imports import find
from web.app_context import edges
from web.http.auth import for_role, key_in_use
from web.http.problems import Problem, ProblemModel
from web.http.responses import as_json
from web.models.imports import DeliveryLog, DeliveryPath, ImportPath, MadeReceiver, ReceiverBody, Receivers, Sent, WebhookPath
from web.services import key_scope

log = structlog.get_logger(__name__)

IMPORTS_TOLD = 50
"""The log of a receiver is of the deliveries of so many imports; that of an import has them all."""

api = APIBlueprint(
    "webhooks",
    __name__,
    url_prefix="/v1",
    abp_tags=[Tag(name="webhooks", description="Who is told how imports end, by webhook or by e-mail")],
    abp_security=[{"key": []}],
    abp_responses={"default": ProblemModel},
)


def receiver_of(wanted: str, *also: str) -> Receiver:
    """The receiver of that id, of those that are told of imports; ``also`` of those addresses.

    Only they are ever called: raises Problem for any other.
    """
    for receiver in edges().receivers.all(also):
        if receiver.id == wanted:
            return receiver
    raise Problem("unknown_webhook", "GET /v1/webhooks lists those there are.")


def add(wanted: ReceiverBody) -> Receiver:
    """Somebody more who is told. Raises Problem for an address that may not be called, UnknownDataset for one of no dataset."""
    for name in wanted.datasets or ():
        key_scope.dataset(name)
    settings = edges().settings
    try:
        targets.check(wanted.target, domains=settings.notify_domains, allow_private=settings.webhook_allow_private)
        if targets.channel_of(wanted.target) == targets.WEBHOOK:
            targets.check_target(wanted.target, allow_private=settings.webhook_allow_private)
        made = edges().receivers.add(wanted.target, wanted.datasets)
    except (NotUsable, Unreachable) as error:
        raise Problem("invalid_receiver", str(error)) from error
    log.info("receiver added", receiver=made.id, datasets=wanted.datasets, key_id=key_in_use().id)
    return made


def remove(receiver: Receiver) -> None:
    """It is told nothing any more. Raises Problem if no admin added it."""
    try:
        edges().receivers.remove(receiver)
    except NotUsable as error:
        raise Problem("named_elsewhere", str(error)) from error
    log.info("receiver removed", receiver=receiver.id, key_id=key_in_use().id)


def switch_on(receiver: Receiver) -> None:
    """It is told again, from the next import's end on."""
    edges().receivers.switch_on(receiver)
    log.info("receiver switched on", receiver=receiver.id, key_id=key_in_use().id)


def try_out(receiver: Receiver) -> str:
    """Send a message that is about nothing, now, once; what stood against it, or nothing if it arrived."""
    return edges().orchestrator.send(Delivery("", receiver.channel, receiver=receiver.id))


def send_again(wanted: str, one: Import) -> tuple[Receiver, str]:
    """Send the message of an import once more, under the id it always had; to whom, and what stood against it, if anything."""
    receiver = receiver_of(wanted, *one.options.notify)
    if receiver.place not in {(row["channel"], row["target"]) for row in edges().ledger.deliveries(one.id)}:
        raise Problem("unknown_delivery", "No message of this import was ever for this receiver.")
    return receiver, edges().orchestrator.send(Delivery(one.id, receiver.channel, receiver=receiver.id))


@api.get("/webhooks", summary="Who is told", responses={200: Receivers})
@for_role(Role.ADMIN)
def list_receivers() -> Response:
    """Those that the settings name, and those that were added, by webhook and by e-mail."""
    return as_json({"items": [receiver.to_json() for receiver in edges().receivers.all()], "next_cursor": None})


@api.post("/webhooks", summary="Add a receiver", responses={201: MadeReceiver})
@for_role(Role.ADMIN)
def add_receiver(body: ReceiverBody) -> Response:
    """Told of the imports of all datasets, or of some. The answer is the only place where its secret is ever shown."""
    made = add(body)
    return as_json({**made.to_json(), "secret": made.secret}, 201)


@api.delete("/webhooks/<name:webhook_id>", summary="Remove a receiver", responses={204: None})
@for_role(Role.ADMIN)
def remove_receiver(path: WebhookPath) -> Response:
    """One that was added. What it was told stays in the log."""
    remove(receiver_of(path.webhook_id))
    return Response(status=204)


@api.post("/webhooks/<name:webhook_id>/enable", summary="Tell a receiver again", responses={204: None})
@for_role(Role.ADMIN)
def enable_receiver(path: WebhookPath) -> Response:
    """One that has said that it is gone (410) is told nothing until then."""
    switch_on(receiver_of(path.webhook_id))
    return Response(status=204)


@api.post("/webhooks/<name:webhook_id>/test", summary="Send a test", responses={200: Sent})
@for_role(Role.ADMIN)
def test_receiver(path: WebhookPath) -> Response:
    """A message that is about nothing, signed as every other, now and once; the answer says whether it arrived."""
    return _sent(try_out(receiver_of(path.webhook_id)))


@api.get("/webhooks/<name:webhook_id>/deliveries", summary="What came of a receiver's messages", responses={200: DeliveryLog})
@for_role(Role.ADMIN)
def list_deliveries(path: WebhookPath) -> Response:
    """Those of the last fifty imports, newest first."""
    receiver = receiver_of(path.webhook_id)
    rows = edges().ledger.recent_deliveries(IMPORTS_TOLD)
    own = [row for row in rows if (row["channel"], row["target"]) == receiver.place]
    return as_json({"items": [_shown(row) for row in own], "next_cursor": None})


@api.post(
    "/webhooks/<name:webhook_id>/deliveries/<name:import_id>/resend", summary="Send a message again", responses={200: Sent}
)
@for_role(Role.ADMIN)
def resend_delivery(path: DeliveryPath) -> Response:
    """What a receiver was told of an import, now and once, under the ``webhook-id`` that it always had."""
    _, error = send_again(path.webhook_id, find(path.import_id))
    return _sent(error)


@api.get("/imports/<name:import_id>/deliveries", summary="Who was told of an import's end", responses={200: DeliveryLog})
@for_role(Role.ADMIN)
def deliveries_of_import(path: ImportPath) -> Response:
    """How often each message was tried, whether it arrived, and what stood against it last."""
    one = find(path.import_id)
    rows = [{**row, "import_id": one.id} for row in edges().ledger.deliveries(one.id)]
    return as_json({"items": [_shown(row) for row in rows], "next_cursor": None})


def _sent(error: str) -> Response:
    return as_json({"delivered": not error, "error": error})


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    at = {name: row[name].isoformat() if row[name] else None for name in ("created_at", "delivered_at")}
    receiver = {
        "id": receiver_id(row["channel"], row["target"]),
        "channel": row["channel"],
        "target": targets.masked(row["target"]),
    }
    kept = {name: row[name] for name in ("import_id", "message_id", "attempts", "last_error")}
    return {**kept, **at, "receiver": receiver}
