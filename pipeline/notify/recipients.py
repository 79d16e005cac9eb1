"""Who is told how imports end: those that the settings name, those that an admin added, and those that an upload names.

A receiver that was added may be for some datasets only, and has a secret of its own that its messages are signed with. One
that says that it is gone (410) is told nothing more until somebody wants it again, whoever named it.
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
    """Where a receiver comes from."""

    SETTINGS = "settings"
    ADMIN = "admin"
    UPLOAD = "upload"


@dataclass(frozen=True)
class Recipient:
    """Somebody who is told. ``id`` stands for the target where the target itself must not be shown."""

    channel: str
    target: str
    named_by: NamedBy = NamedBy.SETTINGS
    datasets: tuple[str, ...] | None = None  # sorted; None: all there are, and all that will be
    secret: str = ""  # what webhooks are signed with; empty: they are not
    off_at: datetime | None = None  # told nothing since then
    off_because: str = ""

    @property
    def id(self) -> str:
        return receiver_id(self.channel, self.target)

    @property
    def place(self) -> tuple[str, str]:
        """What tells one from another: channel and target."""
        return self.channel, self.target

    def wants(self, dataset: str) -> bool:
        """It is to be told of the imports of that dataset."""
        return self.off_at is None and (self.datasets is None or dataset in self.datasets)

    def to_json(self) -> dict[str, Any]:
        """The receiver as the API shows it: of an address, nothing that may be a secret."""
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
    """The receivers of one Bulkhead; each method is one transaction. Safe to share between threads."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings

    def all(self, named: Iterable[str] = ()) -> list[Recipient]:
        """Those of the settings, those that were added, whoever an upload has ``named``, and who is off; each once."""
        found: dict[tuple[str, str], Recipient] = {}
        for one in (*self._of_settings(), *map(_added, self._rows("recipients/list")), *map(self._of_upload, named)):
            found.setdefault(one.place, one)
        for row in self._rows("recipients/off_list"):
            off = found.get((row["channel"], row["target"])) or self._of_upload(row["target"])
            found[off.place] = replace(off, off_at=row["off_at"], off_because=row["because"])
        return list(found.values())

    def to_tell(self, dataset: str, named: Iterable[str] = ()) -> list[Recipient]:
        """Those who are told of an import of ``dataset`` whose upload has ``named`` some more."""
        named = tuple(named)
        return [one for one in self.all(named) if one.wants(dataset) or (one.off_at is None and one.target in named)]

    def find(self, channel: str, target: str, named: Iterable[str] = ()) -> Recipient | None:
        """The one there; None if nobody names it."""
        return next((one for one in self.all(named) if one.place == (channel, target)), None)

    def called(self, name: str, named: Iterable[str] = ()) -> Recipient | None:
        """The receiver with that id; None if neither the settings, an admin nor the upload names it."""
        return next((one for one in self.all(named) if one.id == name), None)

    def add(self, target: str, datasets: Iterable[str] | None = None) -> Recipient:
        """A new receiver, of all datasets or of some; a webhook gets a secret of its own.

        Raises InvalidRequest for an invalid address and for an empty list of datasets, Conflict for a known recipient.
        """
        channel = channel_of(target)
        wanted = None if datasets is None else tuple(sorted(set(datasets)))
        if wanted == ():
            raise InvalidRequest("A receiver is told of all datasets, or of one at least.")
        secret = _new_secret() if channel == WEBHOOK else ""
        made = Recipient(channel, target, NamedBy.ADMIN, wanted, secret)
        given = {"datasets": None if wanted is None else list(wanted), "secret": secret}
        known = self.find(channel, target)
        if (known and known.named_by is not NamedBy.UPLOAD) or not self._done("recipients/add", made, **given):
            raise Conflict(f"{masked(target)} is a receiver already.")
        self.switch_on(made)
        return made

    def remove(self, receiver: Recipient) -> None:
        """It is told nothing any more. Raises Conflict if no admin added it."""
        if receiver.named_by is not NamedBy.ADMIN:
            where = {
                NamedBy.SETTINGS: "The settings name it (BULKHEAD_WEBHOOK_URLS, BULKHEAD_EMAIL_TO): take it out there.",
                NamedBy.UPLOAD: "Only uploads named it: it is told of them alone, and of none while it is off.",
            }
            raise Conflict(where[receiver.named_by])
        self._done("recipients/remove", receiver)
        self._done("recipients/on", receiver)

    def switch_off(self, receiver: Recipient, because: str) -> None:
        """It is told nothing until it is switched on again."""
        self._done("recipients/off", receiver, because=because)

    def switch_on(self, receiver: Recipient) -> None:
        """It is told again."""
        self._done("recipients/on", receiver)

    def _of_settings(self) -> list[Recipient]:
        settings = self._settings
        webhooks = [Recipient(WEBHOOK, url, secret=settings.webhook_secret) for url in settings.webhook_urls]
        return webhooks + [Recipient(EMAIL, to) for to in settings.email_to]

    def _of_upload(self, target: str) -> Recipient:
        """For no dataset in particular: it is told of the imports that name it, and of those alone."""
        secret = self._settings.webhook_secret
        channel = channel_of(target)
        return Recipient(channel, target, NamedBy.UPLOAD, (), secret if channel == WEBHOOK else "")

    def _done(self, query: str, receiver: Recipient, **more: Any) -> bool:
        """Whether the statement has changed anything."""
        given = {"channel": receiver.channel, "target": receiver.target, **more}
        with self._engine.begin() as connection:
            return connection.execute(text(load(f"queries/{query}")), given).rowcount > 0

    def _rows(self, query: str) -> Sequence[RowMapping]:
        with self._engine.connect() as connection:
            return connection.execute(text(load(f"queries/{query}"))).mappings().all()


def receiver_id(channel: str, target: str) -> str:
    """What stands for a receiver in addresses and answers: the same for ever, and it does not tell the target."""
    return hashlib.sha256(f"{channel}\n{target}".encode()).hexdigest()[:24]


def _added(row: RowMapping) -> Recipient:
    datasets = None if row["datasets"] is None else tuple(row["datasets"])
    return Recipient(row["channel"], row["target"], NamedBy.ADMIN, datasets, row["secret"])


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
