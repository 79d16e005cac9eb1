"""The API of those who are told how imports end: who they are, what came of each message, a test, and a message once more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from pipeline.contracts import Delivery
from pipeline.keys import Role
from pipeline.ledger import Import
from web import show
from web.access import for_role
from web.answers import as_json
from web.edges import edges
from web.imports import find
from web.models import DeliveryLog, DeliveryPath, ImportPath, Receivers, Sent, WebhookPath
from web.problems import Problem, ProblemModel

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


@dataclass(frozen=True)
class Receiver:
    """Somebody who is told of every import's end. ``id`` stands for the target where the target itself must not be shown."""

    channel: str
    target: str

    @property
    def id(self) -> str:
        return hashlib.sha256(f"{self.channel}\n{self.target}".encode()).hexdigest()[:24]

    def to_json(self) -> dict[str, str]:
        """The receiver as the API shows it: of an address, nothing that may be a secret."""
        return {"id": self.id, "channel": self.channel, "target": show.target(self.target)}


def receivers() -> list[Receiver]:
    """Those that the settings name."""
    settings = edges().settings
    webhooks = [Receiver("webhook", url) for url in settings.webhook_urls]
    return webhooks + [Receiver("email", to) for to in settings.email_to]


def receiver_of(wanted: str) -> Receiver:
    """The receiver of that id. Only those in the settings are ever called: raises Problem for any other."""
    for receiver in receivers():
        if receiver.id == wanted:
            return receiver
    raise Problem("unknown_webhook", "The settings do not name this receiver. GET /v1/webhooks lists those they do.")


def try_out(receiver: Receiver) -> str:
    """Send a message that is about nothing, now, once; what stood against it, or nothing if it arrived."""
    return edges().orchestrator.send(Delivery("", receiver.channel, receiver.target))


def send_again(receiver: Receiver, one: Import) -> str:
    """Send the message of an import once more, under the id that it always had; what stood against it, or nothing."""
    known = {(row["channel"], row["target"]) for row in edges().ledger.deliveries(one.id)}
    if (receiver.channel, receiver.target) not in known:
        raise Problem("unknown_delivery", "No message of this import was ever for this receiver.")
    return edges().orchestrator.send(Delivery(one.id, receiver.channel, receiver.target))


@api.get("/webhooks", summary="Who is told", responses={200: Receivers})
@for_role(Role.ADMIN)
def list_receivers() -> Response:
    """Those that the settings name, by webhook and by e-mail."""
    return as_json({"items": [receiver.to_json() for receiver in receivers()], "next_cursor": None})


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
    own = [row for row in rows if (row["channel"], row["target"]) == (receiver.channel, receiver.target)]
    return as_json({"items": [_shown(row) for row in own], "next_cursor": None})


@api.post(
    "/webhooks/<name:webhook_id>/deliveries/<name:import_id>/resend", summary="Send a message again", responses={200: Sent}
)
@for_role(Role.ADMIN)
def resend_delivery(path: DeliveryPath) -> Response:
    """What a receiver was told of an import, now and once, under the ``webhook-id`` that it always had."""
    return _sent(send_again(receiver_of(path.webhook_id), find(path.import_id)))


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
    receiver = Receiver(row["channel"], row["target"])
    kept = {name: row[name] for name in ("import_id", "message_id", "attempts", "last_error")}
    return {**kept, **at, "receiver": receiver.to_json()}
