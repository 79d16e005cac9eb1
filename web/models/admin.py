"""Define the models of API keys, recipients and deliveries."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field

from pipeline.ledger.api_keys import LONGEST_OVERLAP, Role
from pipeline.notify import targets
from pipeline.notify.recipients import NamedBy
from web.models.common import Given


class KeyPath(BaseModel):
    key_id: str = Field(description="ID of an API key")


class WebhookPath(BaseModel):
    webhook_id: str = Field(description="ID of a recipient; GET /v1/webhooks lists all")


class DeliveryPath(WebhookPath):
    import_id: str = Field(description="ID of the import that the message is about")


class KeyBody(Given):
    name: str = Field(min_length=1, max_length=200, description="Name of the key: its owner or its purpose")
    role: Role = Role.READER
    datasets: list[str] | None = Field(
        None, min_length=1, description="Datasets that the key has access to; null: all, as always for an admin"
    )
    expires_at: AwareDatetime | None = Field(None, description="From then on the key is refused; null: it does not expire")
    unmask: bool | None = Field(None, description="Whether the key sees personal data without masks; null: an admin's does")


class RotateBody(Given):
    overlap_seconds: int = Field(
        7 * 86400, ge=0, le=LONGEST_OVERLAP.days * 86400, description="How long the secret before still works"
    )
    expires_at: AwareDatetime | None = Field(None, description="Another expiry of the key; null: it stays as it is")


class KeyModel(BaseModel):
    id: str
    name: str
    role: Role
    created_at: str
    last_used_at: str | None = Field(description="When it was last used, to the minute")
    revoked_at: str | None
    datasets: list[str] | None = Field(description="Datasets that the key has access to; null: all")
    expires_at: str | None = Field(description="From then on the key is refused; null: it does not expire")
    rotated_at: str | None = Field(description="When its secret was last replaced")
    previous_until: str | None = Field(description="Until then the secret before the last rotation works, too")
    last_address: str = Field(description="Address of the client that last used it")
    is_break_glass: bool = Field(description="Whether it is for emergencies: each use is recorded and told to admins")
    unmask: bool = Field(description="Whether the key sees personal data without masks")


class MadeKey(KeyModel):
    key: str = Field(description="The key itself. It is shown only in this response")


class KeyList(BaseModel):
    items: list[KeyModel]
    next_cursor: None


class ReceiverModel(BaseModel):
    """A recipient of notifications. Parts of its address that may be secret are masked."""

    id: str
    channel: Literal["webhook", "email"]
    target: str
    named_by: NamedBy = Field(description="What added it: the settings, an admin (POST /v1/webhooks), or an upload")
    datasets: list[str] | None = Field(description="Datasets whose imports it is notified of; null: all")
    is_signed: bool
    off_at: str | None = Field(description="When notifications were turned off; null: they are on")
    off_because: str


class Addressee(BaseModel):
    """The recipient of a message. Parts of its address that may be secret are masked."""

    id: str
    channel: Literal["webhook", "email"]
    target: str


class MadeReceiver(ReceiverModel):
    """A new recipient with the secret that signs its messages, shown only here. It is empty for e-mail, which is not signed."""

    secret: str


class ReceiverBody(Given):
    target: str = Field(
        min_length=3, max_length=targets.CHARACTERS_MAX, description="A public http(s) URL or an e-mail address"
    )
    datasets: list[str] | None = Field(None, min_length=1, description="Datasets whose imports it is notified of; null: all")


class Receivers(BaseModel):
    items: list[ReceiverModel]
    next_cursor: None


class Sent(BaseModel):
    delivered: bool
    error: str = Field(description="Error message; empty if delivered")


class DeliveryModel(BaseModel):
    import_id: str
    message_id: str = Field(description="The webhook-id, which is the same for every attempt")
    receiver: Addressee
    attempts: int
    last_error: str
    created_at: str
    delivered_at: str | None


class DeliveryLog(BaseModel):
    items: list[DeliveryModel]
    next_cursor: None
