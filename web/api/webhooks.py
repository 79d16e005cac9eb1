"""The API of recipients of notifications: add, remove, enable, test, list deliveries, resend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from pipeline import display
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.notify.recipients import recipient_id
from web.api.blueprint import ApiBlueprint, Example
from web.api.openapi_examples import ADDED_ID, NEW_RECIPIENT
from web.app_context import app_context
from web.http.audit_log import recorded_as
from web.http.auth import for_role
from web.http.responses import as_json
from web.models.admin import DeliveryLog, DeliveryPath, MadeReceiver, ReceiverBody, Receivers, Sent, WebhookPath
from web.models.common import ImportPath
from web.services.imports import find
from web.services.recipients import IMPORTS_LISTED, add, enable, find_recipient, remove, resend_message, send_test

api = ApiBlueprint("webhooks", "/v1", "webhooks")


@api.get("/webhooks", summary="List recipients", responses={200: Receivers})
@for_role(Role.ADMIN)
def list_receivers() -> Response:
    """Recipients from the settings and those that were added, by webhook and e-mail."""
    return as_json({"items": [receiver.to_json() for receiver in app_context().recipients.all()], "next_cursor": None})


@api.post(
    "/webhooks",
    summary="Add a recipient",
    responses={201: MadeReceiver},
    problems=("invalid_receiver", "unknown_dataset"),
    example=Example(body=NEW_RECIPIENT),
)
@for_role(Role.ADMIN)
@recorded_as(Action.RECIPIENT_ADDED, "recipient", "webhook_id")
def add_receiver(body: ReceiverBody) -> Response:
    """For imports of all datasets or of some. The secret that signs its messages is shown only in this response."""
    made = add(body)
    return as_json({**made.to_json(), "secret": made.secret}, 201)


@api.delete(
    "/webhooks/<name:webhook_id>",
    summary="Remove a recipient",
    responses={204: None},
    problems=("named_elsewhere",),
    example=Example({"webhook_id": ADDED_ID}),
)
@for_role(Role.ADMIN)
@recorded_as(Action.RECIPIENT_REMOVED, "recipient", "webhook_id")
def remove_receiver(path: WebhookPath) -> Response:
    """Only one that was added here. Its deliveries stay in the log."""
    remove(find_recipient(path.webhook_id))
    return Response(status=204)


@api.post("/webhooks/<name:webhook_id>/enable", summary="Enable a recipient", responses={204: None})
@for_role(Role.ADMIN)
@recorded_as(Action.RECIPIENT_ENABLED, "recipient", "webhook_id")
def enable_receiver(path: WebhookPath) -> Response:
    """A webhook that answered 410 Gone gets no messages until it is enabled again."""
    enable(find_recipient(path.webhook_id))
    return Response(status=204)


@api.post("/webhooks/<name:webhook_id>/test", summary="Send a test message", responses={200: Sent})
@for_role(Role.ADMIN)
def test_receiver(path: WebhookPath) -> Response:
    """Send one test message now, signed like any other. The response says whether it was delivered."""
    return _sent(send_test(find_recipient(path.webhook_id)))


@api.get("/webhooks/<name:webhook_id>/deliveries", summary="List the deliveries to a recipient", responses={200: DeliveryLog})
@for_role(Role.ADMIN)
def list_deliveries(path: WebhookPath) -> Response:
    """Deliveries for the last 50 imports, newest first."""
    receiver = find_recipient(path.webhook_id)
    rows = app_context().ledger.deliveries.recent(IMPORTS_LISTED)
    own = [row for row in rows if (row["channel"], row["target"]) == receiver.key]
    return as_json({"items": [_shown(row) for row in own], "next_cursor": None})


@api.post(
    "/webhooks/<name:webhook_id>/deliveries/<name:import_id>/resend",
    summary="Resend a message",
    responses={200: Sent},
    problems=("unknown_delivery",),
)
@for_role(Role.ADMIN)
def resend_delivery(path: DeliveryPath) -> Response:
    """Send the message about an import once more, now, with the same ``webhook-id``."""
    _, error = resend_message(path.webhook_id, find(path.import_id))
    return _sent(error)


@api.get("/imports/<name:import_id>/deliveries", summary="List the deliveries for an import", responses={200: DeliveryLog})
@for_role(Role.ADMIN)
def deliveries_of_import(path: ImportPath) -> Response:
    """Number of attempts, time of delivery, and the last error of each message."""
    one = find(path.import_id)
    rows = [{**row, "import_id": one.id} for row in app_context().ledger.deliveries.of_import(one.id)]
    return as_json({"items": [_shown(row) for row in rows], "next_cursor": None})


def _sent(error: str) -> Response:
    return as_json({"delivered": not error, "error": error})


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    at = {name: row[name].isoformat() if row[name] else None for name in ("created_at", "delivered_at")}
    receiver = {
        "id": recipient_id(row["channel"], row["target"]),
        "channel": row["channel"],
        "target": display.masked(row["target"]),
    }
    kept = {name: row[name] for name in ("import_id", "message_id", "attempts", "last_error")}
    return {**kept, **at, "receiver": receiver}
