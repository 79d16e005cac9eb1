"""Describe the messages that Bulkhead sends: ``webhooks`` of the OpenAPI document, with schemas and examples.

The examples are written by the functions that write what is sent; only the time of writing is replaced by a fixed one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from pipeline.contracts.dataset_messages import AuditResult, CodeCount, DatasetMessage
from pipeline.contracts.states import State
from pipeline.notify.dataset_messages import dataset_payload
from pipeline.notify.webhook import payload, sample_payload
from web.api.openapi_examples import AUDIT_ID, IMPORT_ID, SCHEMAS
from web.models.webhook_messages import MESSAGES

Json = dict[str, Any]

_URL, _AT = "https://bulkhead.example", "2026-03-02T08:15:00+00:00"
_SILENT_SINCE, _ARRIVED = "2026-03-01T08:00:00+00:00", "2026-03-02T08:14:31+00:00"
_IMPORT = SCHEMAS["ImportModel"]

ENDED = {
    State.SUCCEEDED: "All records of the file were loaded",
    State.PARTIALLY_SUCCEEDED: "Some records were loaded; the others are in the results",
    State.REJECTED: "The file has errors; no record was loaded",
    State.FAILED: "The import failed because of a fault of the system",
    State.CANCELED: "The import was canceled",
    State.EXPIRED: "The upload was not completed, or the dry run not promoted, in time",
    State.DUPLICATE: "The file has been imported before",
    State.VALIDATED: "The dry run has ended without an error; the file can be promoted",
}
"""What each final state of an import says to a receiver."""

HEADERS: Mapping[str, tuple[str, str]] = {
    "webhook-id": (
        "The same in all attempts to deliver a message: process each id once",
        "msg_2f1d6c7a8e905f0c9a523c1e4a7e9f0e",
    ),
    "webhook-timestamp": (
        "When this attempt was sent, in seconds since 1970; refuse what is older than 5 minutes",
        "1772439300",
    ),
    "webhook-signature": (
        "One or more signatures, separated by spaces: v1, and the HMAC-SHA256 of id.timestamp.body in Base64 "
        "(Standard Webhooks). Absent if the recipient has no secret",
        "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    ),
}


def _fixed(body: Json) -> Json:
    return {**body, "timestamp": _AT}


def _import_example(state: State) -> Json:
    preview = SCHEMAS["PreviewModel"] if state is State.VALIDATED else None
    return payload({**_IMPORT, "state": str(state), "preview": preview}, page=f"{_URL}/imports/{IMPORT_ID}")


def _silence_example(ended_at: str) -> Json:
    message = DatasetMessage("places", since=_SILENT_SINCE, expected_seconds=86_400, ended_at=ended_at)
    return _fixed(dataset_payload(message, url=_URL))


def _audit_example(errors: int) -> Json:
    codes = (CodeCount("missing_parent", "error", errors, errors),) if errors else ()
    audit = AuditResult(AUDIT_ID, _AT, records=3, invalid=errors, errors=errors, warnings=0, codes=codes)
    return _fixed(dataset_payload(DatasetMessage("places", audit=audit), url=_URL))


def _messages() -> dict[str, tuple[str, str, Json]]:
    """Return summary, name of the schema and example of each type of message."""
    ended = {f"import.{state}": (said, "ImportMessage", _import_example(state)) for state, said in ENDED.items()}
    return {
        **ended,
        "dataset.silent": ("No file of a dataset arrives, though one is expected", "SilenceMessage", _silence_example("")),
        "dataset.resumed": ("Files of a dataset arrive again", "SilenceMessage", _silence_example(_ARRIVED)),
        "dataset.audited": ("A scheduled audit found errors in a dataset's table", "AuditMessage", _audit_example(1)),
        "dataset.clean": ("The errors that audits found are gone", "AuditMessage", _audit_example(0)),
        "bulkhead.test": ("A test that an admin sent", "TestMessage", _fixed(sample_payload(page=_URL))),
    }


MESSAGE_TYPES = _messages()
"""Summary, name of the schema and example of each type of message."""

_FROM_IMPORT, _FROM_AUDIT = MESSAGE_TYPES["import.succeeded"][2]["data"], MESSAGE_TYPES["dataset.audited"][2]["data"]
WEBHOOK_SCHEMAS: Json = {
    "ImportMessage": MESSAGE_TYPES["import.succeeded"][2],
    "ImportOutcome": _FROM_IMPORT,
    "ImportLinks": _FROM_IMPORT["links"],
    "SilenceMessage": MESSAGE_TYPES["dataset.silent"][2],
    "Silence": MESSAGE_TYPES["dataset.silent"][2]["data"],
    "AuditMessage": MESSAGE_TYPES["dataset.audited"][2],
    "AuditOutcome": _FROM_AUDIT,
    "MessageCodeCount": _FROM_AUDIT["codes"][0],
    "TestMessage": MESSAGE_TYPES["bulkhead.test"][2],
    "TestLinks": MESSAGE_TYPES["bulkhead.test"][2]["data"],
    "PageLink": _FROM_AUDIT["links"],
}
"""An example of each schema that only webhooks have."""


def describe(described: Json) -> None:
    """Add the messages and their schemas to the OpenAPI document."""
    template = "#/components/schemas/{model}"
    _, made = models_json_schema([(one, "serialization") for one in MESSAGES], ref_template=template)
    schemas = described["components"]["schemas"]
    schemas.update({name: schema for name, schema in made["$defs"].items() if name not in schemas})
    described["webhooks"] = {
        name: {"post": _operation(name, summary, schema, example)} for name, (summary, schema, example) in MESSAGE_TYPES.items()
    }


def _operation(name: str, summary: str, schema: str, example: Json) -> Json:
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}
    return {
        "operationId": f"webhook_{name.replace('.', '_')}",
        "tags": ["webhooks"],
        "summary": summary,
        "description": "Sent to each webhook that is a recipient of the dataset's messages.",
        "security": [],
        "parameters": [
            {
                "name": header,
                "in": "header",
                "required": header != "webhook-signature",
                "description": said,
                "schema": {"type": "string"},
                "example": shown,
            }
            for header, (said, shown) in HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "2XX": {"description": "Received. Answer within 20 seconds"},
            "410": {"description": "No longer wanted: the webhook gets no more messages until an admin switches it on again"},
            "default": {"description": "Sent again later, for up to three days; Retry-After is respected"},
        },
    }
