"""Recipients: those of the settings, those that an admin adds, those that an upload names; and those switched off."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import closing
from email import message_from_bytes, policy
from typing import Any, NamedTuple

import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError
from werkzeug import Request, Response

from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.workflows import notify_workflow_id
from pipeline.errors import Conflict, InvalidRequest
from pipeline.ledger.api_keys import Role
from pipeline.notify.recipients import Recipients, recipient_id
from pipeline.notify.targets import check
from pipeline.settings import Settings
from tests.support.bulkhead import tree
from tests.support.html_page import EVIL, Page
from tests.support.http import Caller, button, signed_in
from tests.support.waiting import wait_until
from tests.support.webhooks import SECRET
from tests.support.workers import running_worker
from web import create_app
from web.app_context import AppContext


class World(NamedTuple):
    """An app, an admin, and what webhooks have received."""

    edges: AppContext
    app: Any
    api: Caller
    seen: list[Request]
    http: HTTPServer

    def hook(self, path: str, status: int = 200) -> str:
        """The address of a webhook, which answers so."""
        handler = lambda request: self.seen.append(request) or Response(status=status)  # type: ignore[func-returns-value]  # noqa: E731
        self.http.expect_request(path).respond_with_handler(handler)
        return self.http.url_for(path)

    def ingest(self, dataset: str = "records", query: str = "", content: bytes = tree(3).encode()) -> str:
        """Return the id of an import that has ended, and whose recipients were notified, or were tried at least once."""
        answer = self.api.post(f"/v1/datasets/{dataset}/imports?force=true&filename=a.csv{query}", data=content)
        assert answer.status_code == 202, answer.text
        import_id: str = answer.json["id"]
        self.edges.temporal.announce(ObjectArrived(self.edges.store.bucket, self.edges.ledger.imports.known(import_id).key))
        wait_until(  # the worker's first file waits for its child to warm up
            lambda: asyncio.run(self._is_told(import_id)) or any(row["attempts"] for row in self.told(import_id)), seconds=600.0
        )
        wait_until(lambda: all(row["attempts"] for row in self.told(import_id)))
        return import_id

    async def _is_told(self, import_id: str) -> bool:
        """The workflow that tells has come to its end."""
        settings = self.edges.settings
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
        try:
            found = await client.get_workflow_handle(notify_workflow_id(import_id)).describe()
        except RPCError:  # it has not begun
            return False
        return found.status is WorkflowExecutionStatus.COMPLETED

    def told(self, import_id: str) -> list[dict[str, Any]]:
        """The log of an import's messages."""
        found: list[dict[str, Any]] = self.edges.ledger.deliveries.of_import(import_id)
        return found

    def mails(self) -> list[Any]:
        """What lies in the outbox."""
        return [
            message_from_bytes(file.read_bytes(), policy=policy.default)
            for file in self.edges.settings.outbox_dir.glob("*.eml")
        ]


@pytest.fixture
def world(settings: Settings, httpserver: HTTPServer) -> Iterator[World]:
    queue = f"receivers-{uuid.uuid4().hex[:8]}"
    other = settings.model_copy(update={"webhook_allow_private": True, "webhook_secret": SECRET, "task_queue": queue})
    with closing(AppContext.of(other)) as edges, running_worker(other):
        app = create_app(other, context=edges)
        yield World(edges, app, Caller(app.test_client(), edges.keys.create("an admin", Role.ADMIN)[0]), [], httpserver)


def headers(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def test_a_recipient_of_one_dataset_is_notified_of_its_imports_only_with_its_own_secret(world: World) -> None:
    hook = world.hook("/places")
    made = world.api.post("/v1/webhooks", json={"target": hook, "datasets": ["places"]})
    assert made.status_code == 201
    secret = made.json["secret"]
    assert secret.startswith("whsec_")
    assert secret != SECRET
    assert (made.json["id"], made.json["named_by"], made.json["datasets"]) == (
        recipient_id("webhook", hook),
        "admin",
        ["places"],
    )
    (listed,) = world.api.get("/v1/webhooks").json["items"]
    assert listed == {name: value for name, value in made.json.items() if name != "secret"}

    assert world.told(world.ingest("records")) == []
    places = world.ingest("places", content=b"id,parentId,name,kind\nFR,,France,Country\n")
    (request,) = world.seen
    body = Webhook(secret).verify(request.data, headers(request))
    assert (body["data"]["id"], body["data"]["dataset"]) == (places, "places")
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.data, headers(request))

    assert world.api("DELETE", f"/v1/webhooks/{listed['id']}").status_code == 204
    assert world.api.get("/v1/webhooks").json["items"] == []
    assert world.told(world.ingest("places", content=b"id,parentId,name,kind\nDE,,Germany,Country\n")) == []


def test_a_gone_recipient_is_not_notified_until_it_is_enabled(world: World) -> None:
    hook = world.hook("/gone", 410)
    made = world.api.post("/v1/webhooks", json={"target": hook}).json
    (row,) = world.told(world.ingest())
    assert (row["attempts"], row["delivered_at"]) == (1, None)
    assert "410" in row["last_error"]
    (off,) = world.api.get("/v1/webhooks").json["items"]
    assert off["off_at"] is not None
    assert "410" in off["off_because"]
    assert world.told(world.ingest()) == [], "it is not even tried"

    page = Page(signed_in(world.app, world.edges, Role.ADMIN).get("/admin/webhooks").text)
    assert "no messages since" in page.text
    assert world.api.post(f"/v1/webhooks/{made['id']}/enable").status_code == 204
    assert len(world.told(world.ingest())) == 1


def test_a_gone_recipient_of_the_settings_is_not_notified_either(settings: Settings, edges: AppContext) -> None:
    urls = ("https://receiver.example/a", "https://receiver.example/b")
    receivers = Recipients(edges.engine, settings.model_copy(update={"webhook_urls": urls, "email_to": ("me@example.org",)}))
    gone = receivers.all()[0]
    receivers.switch_off(gone, "gone")
    assert [one.target for one in receivers.of_import("places")] == [urls[1], "me@example.org"]
    assert [one.target for one in receivers.of_import("places", [urls[0]])] == [urls[1], "me@example.org"], (
        "wherever it is named"
    )
    with pytest.raises(Conflict, match="BULKHEAD_WEBHOOK_URLS"):
        receivers.remove(gone)
    receivers.switch_on(gone)
    assert len(receivers.of_import("places")) == 3


def test_a_gone_recipient_that_only_an_upload_named_can_be_enabled(caller_for: Any, edges: AppContext) -> None:
    admin, place = caller_for("admin"), "https://receiver.example/x"
    (named,) = edges.recipients.all([place])
    edges.recipients.switch_off(named, "gone")
    (off,) = admin.get("/v1/webhooks").json["items"]
    assert (off["named_by"], off["off_because"]) == ("upload", "gone")
    assert admin.post(f"/v1/webhooks/{off['id']}/enable").status_code == 204
    assert admin.get("/v1/webhooks").json["items"] == []
    edges.recipients.switch_off(named, "gone")
    added = edges.recipients.add(place)
    assert [one.key for one in edges.recipients.of_import("places")] == [added.key], "adding it switches it on"


def test_an_upload_names_recipients(world: World) -> None:
    hook = world.hook("/mine/0123456789abcdef0123456789abcdef")
    import_id = world.ingest(query=f"&notify=me@example.org,{hook}?token=s3cret")
    assert world.told(world.ingest()) == [], "another upload has no recipients"
    (request,) = world.seen
    assert Webhook(SECRET).verify(request.data, headers(request))["data"]["id"] == import_id
    (mail,) = world.mails()
    assert mail["To"] == "me@example.org"
    assert import_id in mail.get_content()

    shown = world.api.get(f"/v1/imports/{import_id}")
    assert shown.json["options"]["notify"][0] == "me@example.org"
    page = signed_in(world.app, world.edges, Role.READER).get(f"/imports/{import_id}").text
    for text in (shown.text, page, world.api.get(f"/v1/imports/{import_id}/deliveries").text):
        assert "s3cret" not in text
        assert "0123456789abcdef" not in text
        assert "/mine/…?…" in text
    assert world.api.get("/v1/webhooks").json["items"] == [], "it is a recipient of that upload only"

    again = world.api.post(f"/v1/webhooks/{recipient_id('email', 'me@example.org')}/deliveries/{import_id}/resend")
    assert again.json == {"delivered": True, "error": ""}
    assert (
        world.api.post(f"/v1/webhooks/{recipient_id('email', 'you@example.org')}/deliveries/{import_id}/resend").status_code
        == 404
    )


def test_no_message_is_sent_to_a_recipient_that_was_removed_meanwhile(world: World) -> None:
    hook = world.hook("/slow", 503)
    made = world.api.post("/v1/webhooks", json={"target": hook}).json
    import_id = world.ingest()
    assert world.api("DELETE", f"/v1/webhooks/{made['id']}").status_code == 204
    wait_until(lambda: "This recipient was removed" in str(world.told(import_id)[0]["last_error"]), seconds=30)
    assert len(world.seen) == 1


WRONG = (
    *(
        "x",
        "me@",
        "@example.org",
        "me at example.org",
        "ftp://example.org/",
        "http://user@example.org/",
        "http:///",
        "a@b\x00c.d",
    ),
    *(
        "http://127.0.0.1/",
        "http://localhost/",
        "http://[::1]:80/",
        "http://169.254.169.254/",
        "http://10.0.0.1/",
        "https://1.1.1.1:22/",
    ),
)


@pytest.mark.parametrize("wrong", WRONG)
def test_no_upload_and_no_admin_names_a_wrong_address(api: Caller, caller_for: Any, edges: AppContext, wrong: str) -> None:
    answers = [
        api.post("/v1/datasets/places/imports", query_string={"notify": wrong}, data=b"id,parentId\n1,\n"),
        api.post("/s3/multipart", json={"filename": "a", "metadata": {"dataset": "places", "notify": [wrong]}}),
        api.get("/s3/params", query_string={"filename": "a", "metadata[dataset]": "places", "metadata[notify]": wrong}),
        caller_for("admin").post("/v1/webhooks", json={"target": wrong}),
    ]
    assert [answer.status_code for answer in answers] == [422] * 4
    assert {answer.json["code"] for answer in answers} <= {"invalid_parameter", "invalid_receiver"}
    assert edges.ledger.imports.page() == []
    assert edges.recipients.all() == []


def test_at_most_five_and_only_where_the_settings_let(api: Caller, edges: AppContext, settings: Settings) -> None:
    many = ",".join(f"me{i}@example.org" for i in range(6))
    answer = api.post("/v1/datasets/places/imports", query_string={"notify": many}, data=b"x")
    assert (answer.status_code, "At most 5" in answer.json["detail"]) == (422, True)
    object.__setattr__(edges, "settings", settings.model_copy(update={"notify_domains": ("example.org",)}))
    asked = {"filename": "a", "metadata": {"dataset": "places"}}
    for address, status in (
        ("me@example.org", 200),
        ("me@mail.example.org", 200),
        ("https://hooks.example.org/x", 200),
        ("me@example.org.evil.test", 422),
        ("me@badexample.org", 422),
        ("https://evil.test/?example.org", 422),
    ):
        asked["metadata"] = {"dataset": "places", "notify": address}
        assert api.post("/s3/multipart", json=asked).status_code == status, address


def test_an_address_is_held_to_its_host_not_to_what_it_looks_like() -> None:
    with pytest.raises(InvalidRequest):
        check("https://example.org@evil.test/", domains=["example.org"])
    check("https://EXAMPLE.org./x", domains=["example.org"])


def test_the_same_twice_is_one_receiver(caller_for: Any) -> None:
    admin = caller_for("admin")
    assert admin.post("/v1/webhooks", json={"target": "me@example.org"}).json["secret"] == ""
    again = admin.post("/v1/webhooks", json={"target": "me@example.org"})
    assert (again.status_code, again.json["code"]) == (422, "invalid_receiver")
    assert admin.post("/v1/webhooks", json={"target": "you@example.org", "datasets": ["nonsense"]}).status_code == 404
    assert admin.post("/v1/webhooks", json={"target": "you@example.org", "datasets": []}).status_code == 422


def test_the_page_adds_and_removes(world: World) -> None:
    hook = world.hook("/by/form")
    client = signed_in(world.app, world.edges, Role.ADMIN)
    fields = button(client.get("/admin/webhooks").text.replace('class="filters" ', ""), "/admin/webhooks")
    token = {"csrf_token": fields["csrf_token"]}
    made = client.post("/admin/webhooks", data={**token, "target": f" {hook} ", "dataset": ["places"]})
    assert made.status_code == 201
    (one,) = world.edges.recipients.all()
    assert one.datasets == ("places",)
    assert one.secret in made.text
    assert one.secret not in client.get("/admin/webhooks").text
    tried = client.post("/admin/webhooks/test", data={**token, "receiver": one.id})
    assert "accepted the message" in tried.text
    assert Webhook(one.secret).verify(world.seen[0].data, headers(world.seen[0]))["type"] == "bulkhead.test"
    for target in ("", EVIL, hook):
        answer = client.post("/admin/webhooks", data={**token, "target": target})
        assert answer.status_code == 422
        Page(answer.text).assert_tame()
    assert client.post("/admin/webhooks/remove", data={**token, "receiver": one.id}).status_code == 303
    assert world.edges.recipients.all() == []
