"""The pages for admins: keys, receivers of messages, settings. Nothing secret is on them, but a new key, once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import AliasChoices, ValidationError

from pipeline.contracts import Delivery
from pipeline.errors import NotUsable
from pipeline.keys import Role
from web import granted, show
from web.access import for_role, key_in_use
from web.admin import make_key, revoke
from web.edges import edges
from web.imports import find
from web.models import KeyBody
from web.problems import Problem

IMPORTS_TOLD = 50
"""The log is of the deliveries of so many imports."""

pages = Blueprint("admin", __name__, url_prefix="/admin")


# --- keys ---


@pages.get("/keys")
@for_role(Role.ADMIN)
def keys_page() -> ResponseReturnValue:
    """Every key there ever was, and a form for a new one."""
    return _keys_page()


@pages.post("/keys")
@for_role(Role.ADMIN)
def create_key() -> ResponseReturnValue:
    """A new key, shown here and never again."""
    name = " ".join(request.form.get("name", "").split())
    given = {"name": name.replace("\0", ""), "role": request.form.get("role", ""), "datasets": request.form.getlist("dataset")}
    try:
        wanted = KeyBody.model_validate({**given, "datasets": given["datasets"] or None})
        key_text, made = make_key(wanted)
    except ValidationError:
        return _keys_page(said="A key needs a name of 1 to 200 characters and one of the roles."), 422
    except NotUsable as error:
        return _keys_page(said=str(error)), 400
    return _keys_page(made=made, key_text=key_text), 201


@pages.post("/keys/<name:key_id>/revoke")
@for_role(Role.ADMIN)
def revoke_key(key_id: str) -> ResponseReturnValue:
    """From the next request on it opens nothing."""
    revoke(key_id)
    return redirect(url_for("admin.keys_page"), 303)


def _keys_page(**more: Any) -> str:
    return render_template(
        "admin_keys.html",
        keys=edges().keys.list(),
        roles=list(Role),
        datasets=granted.datasets(),
        own=key_in_use().id,
        **more,
    )


# --- who is told ---


@dataclass(frozen=True)
class Receiver:
    """Somebody who is told of every import's end. ``id`` stands for the target where the target itself must not be shown."""

    channel: str
    target: str

    @property
    def id(self) -> str:
        return hashlib.sha256(f"{self.channel}\n{self.target}".encode()).hexdigest()[:24]


def receivers() -> list[Receiver]:
    """Those that the settings name."""
    settings = edges().settings
    webhooks = [Receiver("webhook", url) for url in settings.webhook_urls]
    return webhooks + [Receiver("email", to) for to in settings.email_to]


@pages.get("/webhooks")
@for_role(Role.ADMIN)
def webhooks_page() -> ResponseReturnValue:
    """Who is told, and what came of the last messages."""
    return _webhooks_page()


@pages.post("/webhooks/test")
@for_role(Role.ADMIN)
def test_receiver() -> ResponseReturnValue:
    """One message that is about nothing, now."""
    receiver = _asked_for()
    error = edges().orchestrator.send(Delivery("", receiver.channel, receiver.target))
    return _webhooks_page(tried=receiver, error=error)


@pages.post("/webhooks/resend")
@for_role(Role.ADMIN)
def resend() -> ResponseReturnValue:
    """The message of one import to one receiver, once more, under the id that it always had."""
    receiver, one = _asked_for(), find(request.form.get("import_id", ""))
    known = {(row["channel"], row["target"]) for row in edges().ledger.deliveries(one.id)}
    if (receiver.channel, receiver.target) not in known:
        raise Problem("unusable", "No message of this import was ever for this receiver.")
    error = edges().orchestrator.send(Delivery(one.id, receiver.channel, receiver.target))
    return _webhooks_page(tried=receiver, error=error)


def _asked_for() -> Receiver:
    """The receiver that the form names. Only those in the settings are ever called."""
    wanted = request.form.get("receiver", "")
    for receiver in receivers():
        if receiver.id == wanted:
            return receiver
    raise Problem("unusable", "The settings do not name this receiver any more.")


def _webhooks_page(**more: Any) -> str:
    settings = edges().settings
    known = receivers()
    ids = {(one.channel, one.target): one.id for one in known}
    told = [
        {**row, "receiver": ids.get((row["channel"], row["target"]))} for row in edges().ledger.recent_deliveries(IMPORTS_TOLD)
    ]
    return render_template(
        "admin_webhooks.html",
        receivers=known,
        told=told,
        is_signed=bool(settings.webhook_secret),
        smtp=settings.smtp_url,
        **more,
    )


# --- settings ---


@pages.get("/settings")
@for_role(Role.ADMIN)
def settings_page() -> ResponseReturnValue:
    """What is set, as this process read it."""
    settings = edges().settings
    shown = [
        {
            "name": name.choices[0],
            "value": show.setting(attribute, getattr(settings, attribute)),
            "is_set": attribute in settings.model_fields_set,
        }
        for attribute, field in type(settings).model_fields.items()
        if isinstance(name := field.validation_alias, AliasChoices)
    ]
    return render_template("admin_settings.html", settings=shown)
