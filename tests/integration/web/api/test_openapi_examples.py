"""Every example in /openapi.json: requests go to a stack in which there is what they speak of, answers fit their schemas."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator

from pipeline.contracts.dataset_messages import AuditResult, CodeCount, DatasetMessage
from pipeline.contracts.states import State
from pipeline.datasets.definition import definition_from_json
from pipeline.datasets.definition_files import render
from pipeline.ledger.api_keys import Role
from pipeline.notify import webhook
from pipeline.notify.dataset_messages import dataset_payload
from pipeline.option_texts import PARSERS
from pipeline.settings import Settings
from pipeline.warehouse.definition_changes import DefinitionChanges
from tests.support.example_data import DONE, an_audit, populate
from tests.support.html_page import Page
from tests.support.http import Caller
from tests.support.workers import running_worker
from web import API_BLUEPRINTS
from web.api.definition_examples import DEFINITION_BODY
from web.api.openapi import operations
from web.api.openapi_examples import CSV, IMPORT_ID, SCHEMAS, UPLOAD_KEY
from web.api.openapi_webhooks import ENDED, WEBHOOK_SCHEMAS
from web.app_context import AppContext
from web.http.problems import PROBLEM_TYPES

WAYS: dict[str, tuple[State, ...]] = {  # other ways than DONE; the first step, to be queued, goes without saying
    "control.cancel_import": (),
    "control.pause_import": (State.VALIDATING,),
    "control.resume_import": (State.VALIDATING,),
    "control.promote_import": (State.VALIDATING, State.VALIDATED),
}
ALL_SCHEMAS = {**SCHEMAS, **WEBHOOK_SCHEMAS}
ENDPOINTS = [f"{blueprint.name}.{view}" for blueprint in API_BLUEPRINTS for view in blueprint.described]
NEEDS_A_DEFINITION = ("definitions.get_definition", "definitions.change_definition", "records.drop_dataset")
NEEDS_A_WORKER = ("webhooks.test_receiver", "webhooks.resend_delivery")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With the receiver that the examples speak of."""
    return settings.model_copy(update={"webhook_urls": ("https://receiver.example/imports",), "webhook_allow_private": True})


@pytest.fixture
def admin(app: Any, edges: AppContext) -> tuple[Caller, str]:
    """Return an admin's caller and the id of its key."""
    text, key = edges.keys.create("an admin", Role.ADMIN)
    return Caller(app.test_client(), text), key.id


@pytest.fixture
def described(app: Any) -> dict[str, Any]:
    """The document."""
    found: dict[str, Any] = app.test_client().get("/openapi.json").json
    return found


def fits(described: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    """What of a value is not as its schema says."""
    root = {**schema, "components": described["components"]}
    return [f"{'/'.join(map(str, e.path))}: {e.message}" for e in Draft202012Validator(root).iter_errors(value)]


# --- what is written in the document ---


def test_the_document_is_sound(described: dict[str, Any]) -> None:
    for name, schema in described["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert schema.get("examples") == [ALL_SCHEMAS[name]], name
        assert fits(described, schema, ALL_SCHEMAS[name]) == [], name
    assert set(ALL_SCHEMAS) == set(described["components"]["schemas"])


def test_every_operation_has_its_examples(described: dict[str, Any]) -> None:
    found = {operation["operationId"] for _, _, operation in operations(described)}
    assert found == {endpoint.replace(".", "_") for endpoint in ENDPOINTS}
    for path, method, operation in operations(described):
        for parameter in operation.get("parameters", ()):
            if "example" in parameter:
                assert fits(described, parameter["schema"], parameter["example"]) == [], (path, parameter["name"])
            assert "example" in parameter or parameter["in"] != "path"
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            assert fits(described, content["schema"], content["example"]) == [], (method, path, kind)


def test_every_option_of_reading_has_an_example(described: dict[str, Any]) -> None:
    reading = [
        (path, [one for one in operation["parameters"] if one["in"] == "query" and one["name"] in PARSERS])
        for path, method, operation in operations(described)
        if method == "post" and any(one["name"] == "records_at" for one in operation.get("parameters", ()))
    ]
    assert len(reading) > 1
    for path, parameters in reading:
        assert {one["name"] for one in parameters} == set(PARSERS), path
        for one in parameters:
            example = one.get("example", one["schema"].get("example"))
            assert example is not None, (path, one["name"])
            assert fits(described, one["schema"], example) == [], (path, one["name"])
            PARSERS[one["name"]](str(example))  # raises for what is not possible


def test_every_answer_has_an_example_that_fits(described: dict[str, Any]) -> None:
    for path, method, operation in operations(described):
        for status, answer in operation["responses"].items():
            assert answer["description"], (method, path, status)
            assert "X-Request-Id" in answer["headers"]
            for kind, content in answer.get("content", {}).items():
                given = [content["example"]] if "example" in content else [one["value"] for one in content["examples"].values()]
                assert given, (method, path, status, kind)
                for value in given:
                    assert fits(described, content["schema"], value) == [], (method, path, status, kind)


def test_every_code_is_documented(described: dict[str, Any]) -> None:
    said = {
        code
        for _, _, operation in operations(described)
        for answer in operation["responses"].values()
        for code in answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    elsewhere = {"csrf", "method_not_allowed", "unusable"}  # of pages, and of addresses that no operation has
    assert said | elsewhere == set(PROBLEM_TYPES)


def test_the_page_shows_every_operation(app: Any, described: dict[str, Any]) -> None:
    page = app.test_client().get("/docs")
    assert page.status_code == 200
    Page(page.text).assert_tame()
    for path, _, operation in operations(described):
        assert path in page.text
        assert f'id="{operation["operationId"]}"' in page.text


def test_the_messages_are_described(described: dict[str, Any]) -> None:
    webhooks = described["webhooks"]
    assert set(ENDED) == {state for state in State if state.is_final}
    assert {f"import.{state}" for state in ENDED} <= set(webhooks)
    operation_ids = [item["post"]["operationId"] for item in webhooks.values()]
    operation_ids += [operation["operationId"] for _, _, operation in operations(described)]
    assert len(operation_ids) == len(set(operation_ids))
    for name, item in webhooks.items():
        (content,) = item["post"]["requestBody"]["content"].values()
        assert content["example"]["type"] == name
        assert fits(described, content["schema"], content["example"]) == [], name
        assert fits(described, content["schema"], {**content["example"], "data": {}}), name


@pytest.mark.parametrize(
    "message",
    [
        DatasetMessage("places", since="2026-03-01T08:00:00Z", expected_seconds=3600),
        DatasetMessage("places", since="2026-03-01T08:00:00Z", expected_seconds=3600, ended_at="2026-03-02T08:00:00Z"),
        DatasetMessage("places", audit=AuditResult("a", "2026-03-02T08:00:00Z", 3, 0, 0, 0)),
        DatasetMessage("places", audit=AuditResult("a", "2026-03-02T08:00:00Z", 3, 1, 1, 0, (CodeCount("c", "error", 1, 1),))),
    ],
)
def test_what_is_sent_about_a_dataset_is_as_described(described: dict[str, Any], message: DatasetMessage) -> None:
    assert fits_its_type(described, dataset_payload(message, url="http://127.0.0.1")) == []


def test_what_is_sent_about_an_import_is_as_described(described: dict[str, Any], edges: AppContext, settings: Settings) -> None:
    assert fits_its_type(described, webhook.sample_payload(page=settings.url)) == []
    populate(edges, settings, DONE)
    one = edges.ledger.imports.get(IMPORT_ID)
    assert one is not None
    assert fits_its_type(described, webhook.payload(one.to_json(settings.url), page=settings.url)) == []


def fits_its_type(described: dict[str, Any], body: dict[str, Any]) -> list[str]:
    """What of a message is not as the webhook of its type says; a field that is not described is wrong too."""
    (content,) = described["webhooks"][body["type"]]["post"]["requestBody"]["content"].values()
    assert set(body["data"]) == set(content["example"]["data"])
    assert set(body["data"]["links"]) == set(content["example"]["data"]["links"])
    return fits(described, content["schema"], json.loads(json.dumps(body)))


# --- what is sent ---


@pytest.fixture
def world(edges: AppContext, settings: Settings) -> Callable[[str, str], dict[str, str]]:
    """Makes what the example of an operation speaks of; gives what S3 calls it, where S3 chooses the name."""

    def make(endpoint: str, key_id: str) -> dict[str, str]:
        if endpoint.startswith("multipart."):
            return _an_upload(edges, key_id, endpoint)
        populate(edges, settings, WAYS.get(endpoint, DONE), dry_run=endpoint == "control.promote_import")
        if endpoint.startswith("audits."):
            an_audit(edges, ended=endpoint != "audits.cancel")
        if endpoint in NEEDS_A_DEFINITION:
            changes, definition = (
                DefinitionChanges(edges.engine, edges.datasets),
                definition_from_json(DEFINITION_BODY["definition"]),
            )
            changes.create("products", render(definition), by=key_id)
        if endpoint == "webhooks.remove_receiver":
            edges.recipients.add("https://receiver.example/places", ["places"])
        edges.ledger.deliveries.open(IMPORT_ID, "webhook", settings.webhook_urls[0], "msg_1")
        return {}

    return make


def _an_upload(edges: AppContext, key_id: str, endpoint: str) -> dict[str, str]:
    edges.ledger.imports.open(
        IMPORT_ID, dataset="places", filename="places.csv", bucket=edges.store.bucket, key=UPLOAD_KEY, created_by=key_id
    )
    upload_id = edges.store.begin_upload(UPLOAD_KEY, metadata={"import-id": IMPORT_ID})
    sent = requests.put(edges.store.sign_part(UPLOAD_KEY, upload_id, 1, seconds=60), data=CSV.encode(), timeout=300)
    assert sent.headers["ETag"] == SCHEMAS["PartGiven"]["ETag"]
    return {"upload_id": upload_id}


def _bodies(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """How to send each example of a body; once nothing, where there is none."""
    contents = operation.get("requestBody", {}).get("content", {})
    if not contents:
        yield {}
    for kind, content in contents.items():
        example = content["example"]
        if kind == "multipart/form-data":
            yield {"data": {name: (io.BytesIO(text.encode()), "places.csv") for name, text in example.items()}}
        elif kind == "application/json":
            yield {"json": example}
        else:
            yield {"data": example.encode(), "content_type": kind}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_request_is_answered_as_described(
    endpoint: str,
    admin: tuple[Caller, str],
    world: Callable[[str, str], dict[str, str]],
    described: dict[str, Any],
    settings: Settings,
) -> None:
    caller, key_id = admin
    named = world(endpoint, key_id)
    path, method, operation = next(one for one in operations(described) if one[2]["operationId"] == endpoint.replace(".", "_"))
    given = {parameter["name"]: parameter["example"] for parameter in operation.get("parameters", ()) if "example" in parameter}
    queried = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"}
    address = path.format_map({**given, **named})
    query = {name: value for name, value in given.items() if name in queried}
    required = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "header" and p.get("required")}
    headers = {name: given[name] for name in required}
    query = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
    precondition = [(p["name"], p["example"]) for p in operation.get("parameters", ()) if p["name"] == "If-Match"]
    with running_worker(settings) if endpoint in NEEDS_A_WORKER else nullcontext():
        for body in _bodies(operation):
            answer = caller(method.upper(), address, query_string=query, headers={**headers, **dict(precondition)}, **body)
            assert 200 <= answer.status_code < 300, answer.text
            described_answer = operation["responses"][str(answer.status_code)]
            if not described_answer.get("content"):
                assert answer.data == b""
                continue
            kind = answer.content_type
            content = described_answer["content"][kind if kind in described_answer["content"] else answer.mimetype]
            if answer.mimetype == "application/json":
                assert fits(described, content["schema"], answer.json) == []
            else:
                assert answer.data
