"""The pages for admins: API keys, recipients of messages, settings. The only secret ever shown is a new one, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from pipeline.errors import InvalidRequest, NotFound
from pipeline.insecure_settings import insecure_settings
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.notify.recipients import Recipient, recipient_id
from pipeline.setting_texts import setting_texts
from web.app_context import app_context
from web.http.audit_log import recorded_as
from web.http.auth import for_role, key_in_use
from web.http.problems import PROBLEM_TYPES, Problem
from web.models.admin import KeyBody, ReceiverBody, RotateBody
from web.services import key_scope
from web.services.imports import find
from web.services.keys import make_key, revoke, rotate
from web.services.recipients import IMPORTS_LISTED, add, enable, find_recipient, remove, resend_message, send_test

LIFETIMES = ((30, "in 30 days"), (90, "in 90 days"), (180, "in 180 days"), (365, "in a year"))
"""What the page offers: a key that never expires is the exception."""

pages = Blueprint("admin", __name__, url_prefix="/admin")


# --- keys ---


@pages.get("/keys")
@for_role(Role.ADMIN)
def keys_page() -> ResponseReturnValue:
    """Show all keys, and a form for a new one."""
    return _keys_page()


@pages.post("/keys")
@for_role(Role.ADMIN)
@recorded_as(Action.KEY_CREATED, "key", "key_id")
def create_key() -> ResponseReturnValue:
    """Create a key and show it, once."""
    name = " ".join(request.form.get("name", "").split())
    given = {"name": name.replace("\0", ""), "role": request.form.get("role", ""), "datasets": request.form.getlist("dataset")}
    try:
        wanted = KeyBody.model_validate(
            {**given, "datasets": given["datasets"] or None, "expires_at": _expiry(), "unmask": _unmask()}
        )
        key_text, made = make_key(wanted)
    except ValidationError:
        return _keys_page(said="Enter a name of 1 to 200 characters and choose a role."), 422
    except (InvalidRequest, NotFound) as error:
        return _keys_page(said=str(error)), 400
    except Problem as problem:
        return _keys_page(said=problem.detail), PROBLEM_TYPES[problem.code].status
    return _keys_page(made=made, key_text=key_text), 201


def _unmask() -> bool | None:
    """Return whether the form says that the key sees personal data; None: as its role has it."""
    return {"yes": True, "no": False}.get(request.form.get("unmask", ""))


@pages.post("/keys/<name:key_id>/rotate")
@for_role(Role.ADMIN)
@recorded_as(Action.KEY_ROTATED, "key", "key_id")
def rotate_key(key_id: str) -> ResponseReturnValue:
    """Give a key another secret and show it, once."""
    try:
        overlap = int(request.form.get("overlap_days", "7")) * 86400
        key_text, made = rotate(key_id, RotateBody.model_validate({"overlap_seconds": overlap, "expires_at": _expiry()}))
    except (ValueError, InvalidRequest) as error:
        said = str(error) if isinstance(error, InvalidRequest) else "Choose how long the old key still works."
        return _keys_page(said=said), 400
    return _keys_page(made=made, key_text=key_text, is_rotated=True), 201


def _expiry() -> datetime | None:
    """Return when the key of the form is to expire; None: never, or for a rotation as before. Raises Problem."""
    days = request.form.get("expires_days", "")
    if days and not (days.isascii() and days.isdigit() and 0 < int(days[:6]) <= 36500):
        raise Problem("bad_request", "The key expires in 1 to 36,500 days, or never.")
    return datetime.now(UTC) + timedelta(days=int(days)) if days else None


@pages.post("/keys/<name:key_id>/revoke")
@for_role(Role.ADMIN)
@recorded_as(Action.KEY_REVOKED, "key", "key_id")
def revoke_key(key_id: str) -> ResponseReturnValue:
    """Revoke a key, effective with the next request."""
    revoke(key_id)
    return redirect(url_for("admin.keys_page"), 303)


def _keys_page(**more: Any) -> str:
    return render_template(
        "admin_keys.html",
        keys=app_context().keys.list(),
        roles=list(Role),
        datasets=key_scope.datasets(),
        own=key_in_use().id,
        lifetimes=LIFETIMES,
        **more,
    )


# --- recipients ---


@pages.get("/webhooks")
@for_role(Role.ADMIN)
def webhooks_page() -> ResponseReturnValue:
    """Show the recipients, and the last messages with their outcome."""
    return _webhooks_page()


@pages.post("/webhooks")
@for_role(Role.ADMIN)
@recorded_as(Action.RECIPIENT_ADDED, "recipient")
def add_receiver() -> ResponseReturnValue:
    """Add a recipient; the secret of a webhook is shown once."""
    given = {"target": request.form.get("target", "").strip(), "datasets": request.form.getlist("dataset") or None}
    try:
        made = add(ReceiverBody.model_validate(given))
    except ValidationError:
        return _webhooks_page(said="Enter a webhook URL (https://...) or an e-mail address."), 422
    except Problem as problem:
        return _webhooks_page(said=problem.detail), PROBLEM_TYPES[problem.code].status
    return _webhooks_page(made=made), 201


@pages.post("/webhooks/remove")
@for_role(Role.ADMIN)
@recorded_as(Action.RECIPIENT_REMOVED, "recipient")
def remove_receiver() -> ResponseReturnValue:
    """Remove a recipient."""
    remove(_receiver_of_form())
    return redirect(url_for("admin.webhooks_page"), 303)


@pages.post("/webhooks/enable")
@for_role(Role.ADMIN)
@recorded_as(Action.RECIPIENT_ENABLED, "recipient")
def enable_receiver() -> ResponseReturnValue:
    """Turn a recipient on again that had answered 410 (gone)."""
    enable(_receiver_of_form())
    return redirect(url_for("admin.webhooks_page"), 303)


@pages.post("/webhooks/test")
@for_role(Role.ADMIN)
def test_receiver() -> ResponseReturnValue:
    """Send a test message now."""
    receiver = _receiver_of_form()
    error = send_test(receiver)
    return _webhooks_page(tried=receiver, error=error)


@pages.post("/webhooks/resend")
@for_role(Role.ADMIN)
def resend() -> ResponseReturnValue:
    """Send the message about one import to one recipient again, with the same message ID."""
    receiver, error = resend_message(request.form.get("receiver", ""), find(request.form.get("import_id", "")))
    return _webhooks_page(tried=receiver, error=error)


def _receiver_of_form() -> Recipient:
    return find_recipient(request.form.get("receiver", ""))


def _called(row: Mapping[str, Any], receivers: Sequence[Recipient]) -> str:
    """Return the ID of a message's recipient; empty if it was removed: then the message cannot be sent again."""
    is_named = row["target"] in (row["named"] or ()) or (row["channel"], row["target"]) in {one.key for one in receivers}
    return recipient_id(row["channel"], row["target"]) if is_named else ""


def _webhooks_page(**more: Any) -> str:
    receivers = app_context().recipients.all()
    return render_template(
        "admin_webhooks.html",
        receivers=receivers,
        datasets=key_scope.datasets(),
        told=[{**row, "receiver": _called(row, receivers)} for row in app_context().ledger.deliveries.recent(IMPORTS_LISTED)],
        smtp=app_context().settings.smtp_url,
        **more,
    )


# --- settings ---


@pages.get("/settings")
@for_role(Role.ADMIN)
def settings_page() -> ResponseReturnValue:
    """Show the settings as this process read them."""
    """Show the settings as this process read them, in words, and those that are insecure."""
    settings = app_context().settings
    sections = [(title, [*members]) for title, members in groupby(setting_texts(settings), key=lambda one: one.section)]
    return render_template("admin_settings.html", sections=sections, insecure=insecure_settings(settings))
