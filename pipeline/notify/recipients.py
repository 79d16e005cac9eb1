"""The recipients of notifications: named by the settings, added by an admin, or named by an upload.

A recipient that an admin added may be limited to some datasets, and has its own secret for signatures. One that answers 410
(gone) is switched off until it is switched on again, wherever it was named.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, RowMapping, text

from pipeline.display import masked
from pipeline.errors import Conflict, InvalidRequest
from pipeline.notify.targets import EMAIL, WEBHOOK, channel_of
from pipeline.settings import Settings
from pipeline.sqlfiles import load

_SECRET_BYTES = 32
"""Standard Webhooks asks for 24 to 64."""


class NamedBy(StrEnum):
    """Where a recipient was named."""

    SETTINGS = "settings"
    ADMIN = "admin"
    UPLOAD = "upload"


@dataclass(frozen=True)
class Recipient:
    """One recipient. ``id`` identifies it where its target must not be shown."""

    channel: str
    target: str
    named_by: NamedBy = NamedBy.SETTINGS
    datasets: tuple[str, ...] | None = None  # sorted; None: all datasets, later ones included
    secret: str = ""  # signs webhooks; empty: not signed
    off_at: datetime | None = None  # switched off since then
    off_because: str = ""

    @property
    def id(self) -> str:
        """Return its permanent id, which does not reveal the target."""
        return recipient_id(self.channel, self.target)

    @property
    def key(self) -> tuple[str, str]:
        """Return what identifies it: channel and target."""
        return self.channel, self.target

    def wants(self, dataset: str) -> bool:
        """Return whether it is notified of the imports of a dataset."""
        return self.off_at is None and (self.datasets is None or dataset in self.datasets)

    def to_json(self) -> dict[str, Any]:
        """Return the recipient as the API shows it, with possible secrets of its address masked."""
        return {
            "id": self.id,
            "channel": self.channel,
            "target": masked(self.target),
            "named_by": str(self.named_by),
            "datasets": None if self.datasets is None else list(self.datasets),
            "is_signed": bool(self.secret),
            "off_at": self.off_at.isoformat() if self.off_at else None,
            "off_because": self.off_because,
        }


class Recipients:
    """All recipients; each method is one transaction. Safe to share between threads."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings

    def all(self, named: Iterable[str] = ()) -> list[Recipient]:
        """Return the recipients of settings and admins, those that an upload ``named``, and those switched off; each once."""
        found: dict[tuple[str, str], Recipient] = {}
        for one in (*self._of_settings(), *map(_added, self._rows("recipients/list")), *map(self._of_upload, named)):
            found.setdefault(one.key, one)
        for row in self._rows("recipients/off_list"):
            off = found.get((row["channel"], row["target"])) or self._of_upload(row["target"])
            found[off.key] = replace(off, off_at=row["off_at"], off_because=row["because"])
        return list(found.values())

    def of_import(self, dataset: str, named: Iterable[str] = ()) -> list[Recipient]:
        """Return the recipients of an import of ``dataset`` whose upload ``named`` additional ones."""
        named = tuple(named)
        return [one for one in self.all(named) if one.wants(dataset) or (one.off_at is None and one.target in named)]

    def find(self, channel: str, target: str, named: Iterable[str] = ()) -> Recipient | None:
        """Return a recipient by channel and target; None if it is not named anywhere."""
        return next((one for one in self.all(named) if one.key == (channel, target)), None)

    def by_id(self, wanted: str, named: Iterable[str] = ()) -> Recipient | None:
        """Return a recipient by id; None if neither the settings, nor an admin, nor the upload names it."""
        return next((one for one in self.all(named) if one.id == wanted), None)

    def add(self, target: str, datasets: Iterable[str] | None = None) -> Recipient:
        """Add a recipient for all datasets or for some, and return it; a webhook gets its own secret.

        Raises InvalidRequest for an invalid address and for an empty list of datasets, Conflict for a known recipient.
        """
        channel = channel_of(target)
        wanted = None if datasets is None else tuple(sorted(set(datasets)))
        if wanted == ():
            raise InvalidRequest("A recipient needs at least one dataset. Leave the list out for all datasets.")
        secret = _new_secret() if channel == WEBHOOK else ""
        made = Recipient(channel, target, NamedBy.ADMIN, wanted, secret)
        given = {"datasets": None if wanted is None else list(wanted), "secret": secret}
        known = self.find(channel, target)
        if (known and known.named_by is not NamedBy.UPLOAD) or not self._changed("recipients/add", made, **given):
            raise Conflict(f"{masked(target)} is already a recipient.")
        self.switch_on(made)
        return made

    def remove(self, recipient: Recipient) -> None:
        """Remove a recipient. Raises Conflict if it was not added by an admin."""
        if recipient.named_by is not NamedBy.ADMIN:
            why = {
                NamedBy.SETTINGS: "This recipient is set by BULKHEAD_WEBHOOK_URLS or BULKHEAD_EMAIL_TO. Remove it there.",
                NamedBy.UPLOAD: "Only uploads named this recipient. It gets messages about those imports alone.",
            }
            raise Conflict(why[recipient.named_by])
        self._changed("recipients/remove", recipient)
        self._changed("recipients/on", recipient)

    def switch_off(self, recipient: Recipient, because: str) -> None:
        """Send a recipient no more messages until it is switched on again."""
        self._changed("recipients/off", recipient, because=because)

    def switch_on(self, recipient: Recipient) -> None:
        """Send a recipient messages again."""
        self._changed("recipients/on", recipient)

    def _of_settings(self) -> list[Recipient]:
        settings = self._settings
        webhooks = [Recipient(WEBHOOK, url, secret=settings.webhook_secret) for url in settings.webhook_urls]
        return webhooks + [Recipient(EMAIL, to) for to in settings.email_to]

    def _of_upload(self, target: str) -> Recipient:
        """Return a recipient that an upload named; it is notified of that upload's import only."""
        secret = self._settings.webhook_secret
        channel = channel_of(target)
        return Recipient(channel, target, NamedBy.UPLOAD, (), secret if channel == WEBHOOK else "")

    def _changed(self, query: str, recipient: Recipient, **more: Any) -> bool:
        """Run a statement, and return whether it changed a row."""
        given = {"channel": recipient.channel, "target": recipient.target, **more}
        with self._engine.begin() as connection:
            return connection.execute(text(load(f"queries/{query}")), given).rowcount > 0

    def _rows(self, query: str) -> Sequence[RowMapping]:
        with self._engine.connect() as connection:
            return connection.execute(text(load(f"queries/{query}"))).mappings().all()


def recipient_id(channel: str, target: str) -> str:
    """Return the permanent id of a recipient for URLs and answers; it does not reveal the target."""
    return hashlib.sha256(f"{channel}\n{target}".encode()).hexdigest()[:24]


def _added(row: RowMapping) -> Recipient:
    datasets = None if row["datasets"] is None else tuple(row["datasets"])
    return Recipient(row["channel"], row["target"], NamedBy.ADMIN, datasets, row["secret"])


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
