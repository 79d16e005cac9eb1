"""The pages for admins: keys, recipients, settings."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks.webhooks import Webhook
from werkzeug import Request, Response

from pipeline.contracts.states import State
from pipeline.ledger.api_keys import Role
from pipeline.settings import Settings
from tests.support.html_page import EVIL, Page
from tests.support.http import button, signed_in
from tests.support.webhooks import SECRET
from tests.support.workers import running_worker
from web import create_app
from web.app_context import AppContext

PAGES = ("/admin/keys", "/admin/webhooks", "/admin/settings")
CHANGES = (
    *("/admin/keys", "/admin/keys/x/revoke", "/admin/webhooks", "/admin/webhooks/remove", "/admin/webhooks/enable"),
    *("/admin/webhooks/test", "/admin/webhooks/resend"),
)


def test_they_are_for_admins(app: Any, edges: AppContext) -> None:
    for role in (Role.READER, Role.UPLOADER):
        client = signed_in(app, edges, role)
        token = Page(client.get("/").text).field("csrf_token")
        assert "/admin/" not in client.get("/").text
        answers = [client.get(path) for path in PAGES] + [client.post(path, data={"csrf_token": token}) for path in CHANGES]
        assert [answer.status_code for answer in answers] == [403] * len(answers)
    stranger = app.test_client()
    assert [stranger.get(path).location for path in PAGES] == ["/sign-in"] * 3
    assert [stranger.post(path).status_code for path in CHANGES] == [401] * len(CHANGES)


def test_every_change_needs_the_token_of_its_form(browser: Any, edges: AppContext) -> None:
    assert "/admin/keys" in browser.get("/").text
    before = edges.keys.list()
    for path in CHANGES:
        for data in ({}, {"csrf_token": "wrong", "name": "n", "role": "admin"}):
            assert browser.post(path, data=data).status_code == 403, path
    assert edges.keys.list() == before


def test_a_key_is_made_shown_once_and_revoked(browser: Any, app: Any, edges: AppContext) -> None:
    token = Page(browser.get("/admin/keys").text).field("csrf_token")
    made = browser.post("/admin/keys", data={"csrf_token": token, "name": f"  {EVIL}\n", "role": "uploader"})
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    page = Page(made.text)
    page.assert_tame()
    assert page.text.count(EVIL) >= 2
    (key_text,) = re.findall(r"bk_[0-9a-f]{32}_[0-9a-f]{48}", made.text)
    found = edges.keys.check(key_text)
    assert found is not None
    assert (found.name, found.role) == (EVIL, Role.UPLOADER)
    again = browser.get("/admin/keys").text
    assert key_text not in again
    assert key_text.rsplit("_", 1)[1] not in again
    assert browser.post(f"/admin/keys/{found.id}/revoke", data={"csrf_token": token}).location == "/admin/keys"
    assert edges.keys.check(key_text) is None
    assert "Revoked" in browser.get("/admin/keys").text
    for wrong in ("x", str(uuid.uuid4())):
        assert browser.post(f"/admin/keys/{wrong}/revoke", data={"csrf_token": token}).status_code == 404


def test_a_key_without_a_name_or_role_is_refused(browser: Any, edges: AppContext) -> None:
    token = Page(browser.get("/admin/keys").text).field("csrf_token")
    for name, role in (("", "reader"), (" \n ", "reader"), ("\0", "reader"), ("x" * 201, "reader"), ("n", "king"), ("n", "")):
        answer = browser.post("/admin/keys", data={"csrf_token": token, "name": name, "role": role})
        assert answer.status_code == 422
        assert "bk_" not in answer.text
    assert len(edges.keys.list()) == 1


SECRETS = {
    **{name: f"SENTINEL-{name}" for name in ("api_key", "secret_key", "relay_token", "webhook_secret")},
    **{name: f"SENTINEL-{name}" for name in ("s3_access_key", "s3_secret_key", "s3_session_token")},
    "smtp_url": "smtps://me:SENTINEL@mail.example:465",
    "database_read_url": "postgresql://me:SENTINEL@db.example/x?password=SENTINEL",
    "database_sql_url": "host=db.example password=SENTINEL",
    "webhook_urls": ("https://hooks.example/services/SENTINEL-0123456789?token=SENTINEL",),
}


def test_settings_are_shown_and_no_secret(settings: Settings, edges: AppContext) -> None:
    app = create_app(settings.model_copy(update=SECRETS), context=edges)
    object.__setattr__(edges, "settings", settings.model_copy(update=SECRETS))
    client = signed_in(app, edges, Role.ADMIN)
    for path in PAGES:
        answer = client.get(path)
        assert answer.status_code == 200
        Page(answer.text).assert_tame()
        assert "SENTINEL" not in answer.text, path
    shown = client.get("/admin/settings").text
    named = {field.validation_alias.choices[0] for field in Settings.model_fields.values()}  # type: ignore[union-attr]
    assert all(f"<code>{name}</code>" in shown for name in named)
    assert "https://hooks.example/services/…?…" in shown
    assert "smtps://me:…@mail.example:465" in shown
    assert "The largest upload that the API accepts." in shown and "50 GiB" in shown
    assert not Page(shown).all("textarea")


def test_insecure_settings_are_named(settings: Settings, edges: AppContext) -> None:
    object.__setattr__(edges, "settings", settings.model_copy(update={"webhook_allow_private": False}))
    client = signed_in(create_app(edges.settings, context=edges), edges, Role.ADMIN)
    assert not Page(client.get("/admin/settings").text).all("section")
    object.__setattr__(edges, "settings", settings.model_copy(update={"webhook_allow_private": True}))
    page = client.get("/admin/settings").text
    assert "Set false, or name the allowed domains in BULKHEAD_NOTIFY_DOMAINS." in page
    assert 'href="#BULKHEAD_WEBHOOK_ALLOW_PRIVATE"' in page and 'id="BULKHEAD_WEBHOOK_ALLOW_PRIVATE"' in page


@pytest.fixture
def told(settings: Settings, httpserver: HTTPServer) -> Iterator[tuple[AppContext, list[Request]]]:
    """Edges with a webhook that answers, one that does not, and a mail address; and what the webhook got."""
    seen: list[Request] = []
    httpserver.expect_request("/hook").respond_with_handler(lambda request: seen.append(request) or Response())  # type: ignore[func-returns-value]
    httpserver.expect_request("/full").respond_with_data("", 507)
    urls = (httpserver.url_for("/hook"), httpserver.url_for("/full"))
    wishes = {"webhook_urls": urls, "webhook_secret": SECRET, "webhook_allow_private": True, "email_to": ("me@example.org",)}
    other = settings.model_copy(update={**wishes, "task_queue": f"told-{uuid.uuid4().hex[:8]}"})
    with closing(AppContext.of(other)) as edges, running_worker(other):
        yield edges, seen


def test_a_test_and_a_message_once_more(told: tuple[AppContext, list[Request]]) -> None:
    edges, seen = told
    client = signed_in(create_app(edges.settings, context=edges), edges, Role.ADMIN)
    hook = edges.settings.webhook_urls[0]
    page = client.get("/admin/webhooks").text
    tried = client.post("/admin/webhooks/test", data=button(page, "/admin/webhooks/test"))
    assert "accepted the message" in tried.text
    (request,) = seen
    body = Webhook(SECRET).verify(request.data, {key.lower(): value for key, value in request.headers.items()})
    assert body["type"] == "bulkhead.test"
    full = client.post("/admin/webhooks/test", data=button(page, "/admin/webhooks/test", 1))
    assert "could not be reached" in full.text
    assert "answered 507" in full.text
    mail = client.post("/admin/webhooks/test", data=button(page, "/admin/webhooks/test", 2))
    assert "accepted the message" in mail.text
    assert len(list(edges.settings.outbox_dir.glob("*.eml"))) == 1

    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(import_id, dataset="places", filename=EVIL, bucket="b", key="k", state=State.QUEUED)
    edges.ledger.imports.move(import_id, State.CANCELED)
    edges.ledger.deliveries.open(import_id, "webhook", hook, "msg_1")
    edges.ledger.deliveries.open(import_id, "webhook", "http://former.example/", "msg_2")
    page = client.get("/admin/webhooks").text
    Page(page).assert_tame()
    assert EVIL in Page(page).text
    assert page.count('action="/admin/webhooks/resend"') == 1  # who is not in the settings any more is not called
    for _ in range(2):
        assert "accepted the message" in client.post("/admin/webhooks/resend", data=button(page, "/admin/webhooks/resend")).text
    bodies = [
        Webhook(SECRET).verify(request.data, {key.lower(): value for key, value in request.headers.items()})
        for request in seen[1:]
    ]
    assert [(body["type"], body["data"]["id"]) for body in bodies] == [("import.canceled", import_id)] * 2
    assert [request.headers["webhook-id"] for request in seen[1:]] == ["msg_1", "msg_1"]
    (row, _) = sorted(edges.ledger.deliveries.of_import(import_id), key=lambda row: str(row["message_id"]))
    assert (row["attempts"], row["last_error"]) == (2, "")
    assert row["delivered_at"] <= datetime.now(tz=UTC)


def test_no_unknown_recipient_is_ever_called(told: tuple[AppContext, list[Request]]) -> None:
    edges, seen = told
    client = signed_in(create_app(edges.settings, context=edges), edges, Role.ADMIN)
    fields = button(client.get("/admin/webhooks").text, "/admin/webhooks/test")
    for receiver in ("", "x", "http://127.0.0.1:1/", EVIL):
        for path in ("/admin/webhooks/test", "/admin/webhooks/resend"):
            assert client.post(path, data={**fields, "receiver": receiver}).status_code == 404
    assert client.post("/admin/webhooks/resend", data={**fields, "import_id": EVIL}).status_code == 404
    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(import_id, dataset="places", filename="a", bucket="b", key="k")
    assert client.post("/admin/webhooks/resend", data={**fields, "import_id": import_id}).status_code == 404
    assert seen == []


def test_operators_find_the_workflow(settings: Settings, edges: AppContext, app: Any) -> None:
    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(import_id, dataset="places", filename="a", bucket="b", key="k")
    path = f"/imports/{import_id}"
    assert "in Temporal" not in signed_in(app, edges, Role.ADMIN).get(path).text
    object.__setattr__(edges, "settings", settings.model_copy(update={"temporal_ui_url": "http://temporal.example:8233/"}))
    link = f"http://temporal.example:8233/namespaces/{settings.temporal_namespace}/workflows/import%2F{import_id}"
    assert link in signed_in(app, edges, Role.ADMIN).get(path).text
    assert link not in signed_in(app, edges, Role.UPLOADER).get(path).text


@pytest.mark.parametrize("wrong", ["temporal.example", "javascript:alert(1)", "http://a b"])
def test_a_wrong_address_of_temporal_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="String should match pattern"):
        Settings(temporal_ui_url=wrong)
