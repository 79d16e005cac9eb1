"""Models of API keys, recipients and deliveries."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from pipeline.ledger.api_keys import Role
from pipeline.notify import targets
from pipeline.notify.recipients import NamedBy
from web.models.common import Given


class KeyPath(BaseModel):
    key_id: str = Field(description="Id of an API key")


class WebhookPath(BaseModel):
    webhook_id: str = Field(description="Id of a receiver; GET /v1/webhooks lists them")


class DeliveryPath(WebhookPath):
    import_id: str = Field(description="Id of the import that the message is about")


class KeyBody(Given):
    name: str = Field(min_length=1, max_length=200, description="Whose key it is, or what for")
    role: Role = Role.READER
    datasets: list[str] | None = Field(
        None, min_length=1, description="The only datasets that there are for this key; null: all, as always for an admin"
    )


class KeyModel(BaseModel):
    id: str
    name: str
    role: Role
    created_at: str
    last_used_at: str | None
    revoked_at: str | None
    datasets: list[str] | None = Field(description="The only datasets that there are for this key; null: all")


class MadeKey(KeyModel):
    key: str = Field(description="The key itself, shown here and never again")


class KeyList(BaseModel):
    items: list[KeyModel]
    next_cursor: None


class ReceiverModel(BaseModel):
    """Somebody who is told; of an address, nothing that may be a secret."""

    id: str
    channel: Literal["webhook", "email"]
    target: str
    named_by: NamedBy = Field(description="The settings, an admin (by POST /v1/webhooks), or one upload")
    datasets: list[str] | None = Field(description="Of whose imports it is told; null: of all")
    is_signed: bool
    off_at: str | None = Field(description="Since when it is told nothing; null: it is told")
    off_because: str


class Addressee(BaseModel):
    """Whom a message was for; of an address, nothing that may be a secret."""

    id: str
    channel: Literal["webhook", "email"]
    target: str


class MadeReceiver(ReceiverModel):
    """With what its messages are signed with, which no other answer shows. Empty for mail, which is not signed."""

    secret: str


class ReceiverBody(Given):
    target: str = Field(min_length=3, max_length=targets.CHARACTERS_MAX, description="An https or http address, or one of mail")
    datasets: list[str] | None = Field(None, min_length=1, description="Of whose imports; else of all")


class Receivers(BaseModel):
    items: list[ReceiverModel]
    next_cursor: None


class Sent(BaseModel):
    delivered: bool
    error: str = Field(description="What stood against it; empty if it arrived")


class DeliveryModel(BaseModel):
    import_id: str
    message_id: str = Field(description="The webhook-id, the same however often it is sent")
    receiver: Addressee
    attempts: int
    last_error: str
    created_at: str
    delivered_at: str | None


class DeliveryLog(BaseModel):
    items: list[DeliveryModel]
    next_cursor: None
