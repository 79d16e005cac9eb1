"""Telling the user: a webhook that its receiver can verify, a mail that arrives, and no way into our own network."""

from __future__ import annotations

import email
import email.policy
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from pytest_httpserver import HTTPServer
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from temporalio.exceptions import ApplicationError
from werkzeug import Request, Response

from pipeline.errors import InvalidRequest, RecipientGone, Unreachable
from pipeline.notify import email as email_module
from pipeline.notify import webhook
from pipeline.notify.email import compose_email, send_email
from pipeline.notify.targets import check, is_public
from pipeline.notify.webhook import payload, send_webhook
from pipeline.orchestration.heartbeat_and_failures import converts_errors

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
IN_AN_HOUR = "in an hour"
SHOWN: dict[str, Any] = {
    "id": "0192f0c1-2a3b-7c4d-8e5f-0123456789ab",
    "dataset": "places",
    "state": "rejected",
    "reason": "3 errors",
    "source": {"filename": "a.csv\r\nBcc: all@example.org", "size_bytes": 1, "sha256": "", "key": "k"},
    "counts": {
        "total": 10,
        "valid": 7,
        "invalid": 3,
        "inserted": 0,
        "updated": 0,
        "unchanged": 0,
        "failed": 0,
        "unprocessed": 10,
    },
    "findings": {"errors": 3, "warnings": 0, "by_code": {"missing_parent": 2, "self_parent": 1}},
    "finished_at": "2026-01-01T00:00:00Z",
    "links": {"self": "http://x/v1/imports/1", "errors": "http://x/v1/imports/1/errors"},
}


def test_a_webhook_is_signed_so_that_the_official_library_verifies_it(httpserver: HTTPServer) -> None:
    seen: list[Request] = []
    httpserver.expect_request("/hook", method="POST").respond_with_handler(lambda request: seen.append(request) or Response())
    body = payload(SHOWN, page="http://x/imports/1")
    send_webhook(httpserver.url_for("/hook"), body, message_id="msg_1", secret=SECRET, allow_private=True)
    headers = {name.lower(): value for name, value in seen[0].headers.items()}
    assert Webhook(SECRET).verify(seen[0].data, headers) == body
    assert (headers["webhook-id"], body["type"]) == ("msg_1", "import.rejected")
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(seen[0].data.replace(b"10", b"11"), headers)


@pytest.mark.parametrize(
    ("status", "error"), [(500, Unreachable), (404, Unreachable), (302, Unreachable), (410, RecipientGone)]
)
def test_only_a_2xx_answer_counts_as_delivered(httpserver: HTTPServer, status: int, error: type[Exception]) -> None:
    httpserver.expect_request("/hook").respond_with_data("", status=status, headers={"Location": "/elsewhere"})
    with pytest.raises(error):
        send_webhook(httpserver.url_for("/hook"), {}, message_id="m", secret=SECRET, allow_private=True)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", (7, 7)),
        ("999999", (86_400, 86_400)),
        (IN_AN_HOUR, (3000, 3600)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("0", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_receiver_says_when_to_come_again(httpserver: HTTPServer, said: str, seconds: tuple[int, int] | None) -> None:
    # The hour begins now: between the collection of a long suite and this test there may be most of one.
    said = format_datetime(datetime.now(tz=UTC) + timedelta(hours=1)) if said == IN_AN_HOUR else said
    httpserver.expect_request("/hook").respond_with_data("", status=429, headers={"Retry-After": said})
    with pytest.raises(Unreachable) as raised:
        send_webhook(httpserver.url_for("/hook"), {}, message_id="m", secret=SECRET, allow_private=True)

    @converts_errors
    def step() -> None:
        raise raised.value

    with pytest.raises(ApplicationError) as told:
        step()
    delay = told.value.next_retry_delay
    assert (delay is None) == (seconds is None)
    if delay is not None and seconds is not None:
        assert seconds[0] <= delay.total_seconds() <= seconds[1]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost:8765/",
        "http://localhost./",
        "http://[::1]/",
        "http://0.0.0.0/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:10.0.0.1]/",
        "http://100.64.0.1/",
        "http://[fd00::1]/",
        "http://192.168.0.1/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://user@example.org/",
        "http:///nothing",
        "http://[64:ff9b::a00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:a00:1::]/",
        "http://[::10.0.0.1]/",
        "http://[fec0::1]/",
        "http://[fe80::1]/",
        "http://[ff02::1]/",
        "http://[::]/",
        "http://224.0.0.1/",
        "http://240.0.0.1/",
        "http://198.18.0.1/",
        "http://0x7f.1/",
        "http://127.1/",
        "https://1.1.1.1:22/",
        "http://1.1.1.1:25/",
        "http://1.1.1.1:5432/",
        "http://1.1.1.1:7233/",
        "ftp://example.org/",
        "http://user:password@1.1.1.1/",
        "//1.1.1.1/",
    ],
)
def test_no_webhook_reaches_into_our_own_network(url: str) -> None:
    with pytest.raises(InvalidRequest):
        send_webhook(url, {}, message_id="m", secret=SECRET)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"])
def test_what_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("odd", ["https://evil.test\\x.example.org/", "https://evil.test x.example.org/", "https://[::1/"])
def test_a_host_is_parsed_as_the_http_client_parses_it(odd: str) -> None:
    with pytest.raises(InvalidRequest):
        check(odd, allow_private=True, domains=["example.org"])


def test_a_name_that_is_another_when_it_is_called_gets_nothing(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: a public address when it is checked, our own when it is connected to."""
    real, asked = socket.getaddrinfo, []

    def rebound(host: str, port: int, *args: Any, **options: Any) -> Any:
        if host != "rebinding.example":
            return real(host, port, *args, **options)
        asked.append(port)
        return real("1.1.1.1" if len(asked) == 1 else httpserver.host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    httpserver.expect_request("/").respond_with_data("")
    with pytest.raises(InvalidRequest, match="now has a private address"):
        send_webhook(f"http://rebinding.example:{httpserver.port}/", {}, message_id="m", secret=SECRET)
    assert len(asked) == 2 and httpserver.log == []


def test_a_redirect_into_our_own_network_is_not_followed(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("", status=302, headers={"Location": httpserver.url_for("/inner")})
    with pytest.raises(Unreachable):
        send_webhook(httpserver.url_for("/hook"), {}, message_id="m", secret=SECRET, allow_private=True)
    assert [request.path for request, _ in httpserver.log] == ["/hook"]


def test_a_receiver_that_is_away_is_tried_again_later() -> None:
    with pytest.raises(Unreachable):
        send_webhook("http://127.0.0.1:1/", {}, message_id="m", secret=SECRET, allow_private=True)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "nowhere.invalid"])
def test_no_error_tells_the_address(host: str) -> None:
    with pytest.raises(Unreachable) as raised:
        send_webhook(f"http://{host}/services/s3cret?token=s3cret", {}, message_id="m", secret=SECRET, allow_private=True)
    assert "s3cret" not in str(raised.value)
    for wrong in (
        "ftp://example.org/s3cret-0123456789abcdef?s3cret",
        "http://1.1.1.1:22/?s3cret",
        "http://me:s3cret@example.org/",
    ):
        with pytest.raises(InvalidRequest) as refused:
            send_webhook(wrong, {}, message_id="m", secret=SECRET)
        assert "s3cret" not in str(refused.value)


def test_a_receiver_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "DEADLINE_SECONDS", 0.5)
    done = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 2")
            while not done.wait(0.1):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        began = time.monotonic()
        try:
            with pytest.raises(Unreachable):
                send_webhook(
                    f"http://127.0.0.1:{listener.getsockname()[1]}/", {}, message_id="m", secret=SECRET, allow_private=True
                )
            assert time.monotonic() - began < 10, "not as long as it likes"
        finally:
            done.set()
            thread.join()


def test_a_long_answer_of_a_recipient_is_not_waited_for(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_response(Response(iter([b"x"] * 1000), 204))
    send_webhook(httpserver.url_for("/hook"), {}, message_id="m", secret=SECRET, allow_private=True)


def test_a_mail_servers_password_goes_under_tls_if_it_has_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[str] = []

    class Server:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __enter__(self) -> Server:
            return self

        def __exit__(self, *_: object) -> None: ...

        def has_extn(self, name: str) -> bool:
            return name == "starttls"

        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: said.append(name)

    monkeypatch.setattr(email_module.smtplib, "SMTP", Server)
    message = compose_email(SHOWN, page="http://x/imports/1", sender="a@b.example", to="c@d.example", message_id="msg_1")
    send_email(message, smtp_url="smtp://me:pw@mail.example:587", outbox=tmp_path)
    assert said == ["ehlo_or_helo_if_needed", "starttls", "login", "send_message"]


def test_without_a_mail_server_the_mail_lies_in_the_outbox(tmp_path: Path) -> None:
    message = compose_email(SHOWN, page="http://x/imports/1", sender="a@b.example", to="c@d.example", message_id="msg_1")
    send_email(message, smtp_url="", outbox=tmp_path / "outbox")
    (file,) = (tmp_path / "outbox").iterdir()
    read = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert read["To"] == "c@d.example"
    assert read["Bcc"] is None
    assert read["Subject"].startswith("a.csv")
    text = read.get_content()
    assert "http://x/imports/1" in text
    assert "missing_parent" in text
    assert "3 errors" in text


def test_the_mail_says_what_most_findings_say() -> None:
    groups = [{"count": 1_000_000, "message": "The parent …\nis not there."}, *({"count": 1, "message": "x"} for _ in range(9))]
    given = {"page": "http://x", "sender": "a@b.example", "to": "c@d.example", "message_id": "m"}
    text = compose_email(SHOWN, **given, groups=groups).get_content()
    assert "   1,000,000 × The parent … is not there." in text
    assert text.count(" × x") == 4


class Mailbox:
    """What arrived."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.messages.append(envelope.content)
        return "250 OK"


def test_with_a_mail_server_the_mail_arrives(tmp_path: Path) -> None:
    mailbox = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        message = compose_email(SHOWN, page="p", sender="a@b.example", to="c@d.example", message_id="msg_1")
        send_email(message, smtp_url=f"smtp://127.0.0.1:{port}", outbox=tmp_path)
    finally:
        controller.stop()
    assert b"missing_parent" in mailbox.messages[0]
    assert not list(tmp_path.iterdir())


def test_a_mail_server_that_is_away_is_tried_again_later(tmp_path: Path) -> None:
    message = compose_email(SHOWN, page="p", sender="a@b.example", to="c@d.example", message_id="msg_1")
    with pytest.raises(Unreachable):
        send_email(message, smtp_url="smtp://127.0.0.1:1", outbox=tmp_path)
