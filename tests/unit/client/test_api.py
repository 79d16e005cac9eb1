"""The API's client: streams, retries under one Idempotency-Key, problems as exceptions, pages."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from pipeline.client import http
from pipeline.client.api import ApiError, Client, TimedOut
from pipeline.errors import InvalidConfiguration, InvalidRequest, Unreachable

IMPORT_ID = "01990b3c-0000-7000-8000-000000000001"
ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"id": "some"}'


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries are tested, not how long one waits between them."""
    monkeypatch.setattr(http, "pause", lambda state: 0.0)


@pytest.fixture
def client(httpserver: HTTPServer) -> Client:
    return Client(httpserver.url_for(""), "bk_secret")


def an_import(state: str = "queued", **more: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("total", "valid", "invalid", "inserted", "updated", "unchanged", "failed", "unprocessed"), 0)
    return {"id": IMPORT_ID, "dataset": "records", "state": state, "source": {}, "counts": counts, **more}


class Uploads:
    """The server's side of uploads: keeps them, and answers with the given statuses."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[dict[str, str], bytes]] = []

    def __call__(self, request: Request) -> Response:
        body = request.get_data()
        self.seen.append(({**dict(request.headers), "?filename": request.args["filename"]}, body))
        status = self.answers.pop(0) if self.answers else 202
        if status != 202:
            return Response("{}", status, content_type="application/problem+json")
        made = an_import(source={"sha256": hashlib.sha256(body).hexdigest()})
        return Response(json.dumps(made), 202, content_type="application/json")


# --- uploads ---


def test_upload_sends_the_file_as_it_is(httpserver: HTTPServer, client: Client, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    file = tmp_path / "räume & co.csv"
    file.write_bytes(content)
    uploads, sent = Uploads(), []
    httpserver.expect_request("/v1/datasets/records/imports", method="POST").respond_with_handler(uploads)

    made = client.upload(file, "records", on_sent=lambda done, total: sent.append((done, total)))

    [(headers, body)] = uploads.seen
    assert made["id"] == IMPORT_ID
    assert body == content
    assert headers["Content-Length"] == str(len(content))
    assert headers["Authorization"] == "Bearer bk_secret"
    assert headers["?filename"] == "räume & co.csv"
    assert sent[-1] == (len(content), len(content))
    assert [done for done, _ in sent] == sorted(done for done, _ in sent)


def test_upload_of_an_empty_file_is_sent_too(httpserver: HTTPServer, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "empty.csv"
    file.touch()
    uploads = Uploads()
    httpserver.expect_request("/v1/datasets/records/imports", method="POST").respond_with_handler(uploads)

    client.upload(file, "records")

    assert uploads.seen[0][1] == b""
    assert uploads.seen[0][0]["Content-Length"] == "0"


def test_upload_of_a_stream_has_no_length(client: Client) -> None:
    """httpserver reads no chunked bodies, so this one listens for itself."""
    with OneShot(ACCEPTED) as server:
        Client(server.url).upload(io.BytesIO(b"id,parentId\n1,\n"), "records")
    [request] = server.requests
    assert b"Transfer-Encoding: chunked" in request
    assert b"filename=stdin.csv" in request
    assert b"f\r\nid,parentId\n1,\n\r\n0\r\n\r\n" in request


def test_an_upload_is_sent_again_under_the_same_key(httpserver: HTTPServer, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"id,parentId\n1,\n")
    uploads = Uploads(503, 503)
    httpserver.expect_request("/v1/datasets/records/imports", method="POST").respond_with_handler(uploads)

    client.upload(file, "records")

    assert [body for _, body in uploads.seen] == [b"id,parentId\n1,\n"] * 3
    assert len({headers["Idempotency-Key"] for headers, _ in uploads.seen}) == 1


def test_an_upload_whose_first_try_is_still_at_work_is_asked_for_again(
    httpserver: HTTPServer, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"id,parentId\n1,\n")
    path, in_flight = "/v1/datasets/records/imports", {"code": "upload_in_flight"}
    httpserver.expect_ordered_request(path).respond_with_json(in_flight, 409, headers={"Retry-After": "2"})
    httpserver.expect_ordered_request(path).respond_with_json(an_import(), 202)
    assert client.upload(file, "records")["id"] == IMPORT_ID


def test_two_uploads_have_two_keys(httpserver: HTTPServer, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"id,parentId\n1,\n")
    uploads = Uploads()
    httpserver.expect_request("/v1/datasets/records/imports", method="POST").respond_with_handler(uploads)

    client.upload(file, "records")
    client.upload(file, "records")

    assert len({headers["Idempotency-Key"] for headers, _ in uploads.seen}) == 2


def test_a_stream_that_was_read_is_not_sent_again(httpserver: HTTPServer, client: Client) -> None:
    uploads = Uploads(503)
    httpserver.expect_request("/v1/datasets/records/imports", method="POST").respond_with_handler(uploads)

    with pytest.raises(ApiError) as caught:
        client.upload(io.BytesIO(b"id,parentId\n1,\n"), "records")

    assert caught.value.status == 503
    assert len(uploads.seen) == 1, "half of a stream would be sent as if it were all of it"


def test_a_connection_that_breaks_is_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"id,parentId\n1,\n")
    with OneShot(b"", ACCEPTED) as server:
        assert Client(server.url).upload(file, "records") == {"id": "some"}
    first, second = server.requests
    assert key_in(first) == key_in(second) != b""


def test_a_file_that_arrives_changed_is_an_error(httpserver: HTTPServer, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"id,parentId\n1,\n")
    httpserver.expect_request("/v1/datasets/records/imports").respond_with_json(
        an_import(source={"sha256": "0" * 64}), status=202
    )
    with pytest.raises(ApiError) as caught:
        client.upload(file, "records")
    assert caught.value.code == "damaged_upload"


def test_a_file_that_shrinks_is_an_error(client: Client, httpserver: HTTPServer, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"x" * (3 << 20))

    def shrink(done: int, total: int | None) -> None:
        with file.open("r+b") as stream:
            stream.truncate(1 << 20)

    with pytest.raises(InvalidRequest, match="shorter"):
        client.upload(file, "records", on_sent=shrink)


# --- refusals ---


def test_a_problem_becomes_an_error(httpserver: HTTPServer, client: Client) -> None:
    problem = {"type": "about:blank", "status": 404, "code": "no_such_import", "title": "Not found", "detail": "None."}
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(problem, status=404)
    with pytest.raises(ApiError) as caught:
        client.get(IMPORT_ID)
    assert (caught.value.status, caught.value.code, caught.value.title) == (404, "no_such_import", "Not found")
    assert str(caught.value) == caught.value.detail == "None."


@pytest.mark.parametrize("body", ["", "<html>Bad gateway</html>", "[1]", '"text"'])
def test_a_refusal_without_a_problem_is_an_error_all_the_same(httpserver: HTTPServer, client: Client, body: str) -> None:
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_data(body, status=502)
    with pytest.raises(ApiError) as caught:
        client.get(IMPORT_ID)
    assert caught.value.status == 502
    assert "BAD GATEWAY" in str(caught.value).upper()


def test_another_server_under_our_url(httpserver: HTTPServer, client: Client) -> None:
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_data("<html>Router</html>")
    with pytest.raises(ApiError, match="BULKHEAD_URL"):
        client.get(IMPORT_ID)


@pytest.mark.parametrize("url", ["", "localhost:80", "ftp://127.0.0.1", "http://", "http://.example"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(InvalidConfiguration, match="BULKHEAD_URL"):
        Client(url).get(IMPORT_ID)


def test_a_server_that_is_not_there_says_how_to_start() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(Unreachable, match="bulkhead up"):
        Client(f"http://127.0.0.1:{port}").get(IMPORT_ID)
    assert time.monotonic() - began < 20, "a server that is not there is not waited for"


def test_a_server_that_keeps_breaking_off() -> None:
    with OneShot(*[b""] * http.ATTEMPTS) as server, pytest.raises(Unreachable, match="broke off"):
        Client(server.url).get(IMPORT_ID)
    assert len(server.requests) == http.ATTEMPTS


def test_a_proxy_is_not_asked_for_this_machine(httpserver: HTTPServer, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(an_import())
    assert client.get(IMPORT_ID)["id"] == IMPORT_ID


def test_an_id_cannot_lead_elsewhere(httpserver: HTTPServer, client: Client) -> None:
    with pytest.raises(ApiError):
        client.get("../datasets?x=#y")
    [(request, _)] = httpserver.log
    assert request.path == "/v1/imports/../datasets?x=#y"


# --- waiting ---


def test_wait_follows_to_the_end(httpserver: HTTPServer, client: Client) -> None:
    for state in ("queued", "validating", "loading", "succeeded"):
        httpserver.expect_ordered_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(an_import(state))
    seen: list[str] = []
    ended = client.wait(IMPORT_ID, on_progress=lambda shown: seen.append(shown["state"]), timeout=30)
    assert ended["state"] == "succeeded"
    assert seen == ["queued", "validating", "loading", "succeeded"]


def test_wait_gives_up_in_time(httpserver: HTTPServer, client: Client) -> None:
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json(an_import("loading"))
    began = time.monotonic()
    with pytest.raises(TimedOut) as caught:
        client.wait(IMPORT_ID, timeout=0.5)
    assert 0.4 < time.monotonic() - began < 20
    assert caught.value.last["state"] == "loading"


# --- lists and files ---


def test_errors_come_page_by_page(httpserver: HTTPServer, client: Client) -> None:
    path = f"/v1/imports/{IMPORT_ID}/errors"
    pages = {"": (["a", "b"], "2"), "2": (["c"], None)}

    def answer(request: Request) -> Response:
        assert request.args["code"] == "missing_parent"
        items, following = pages[request.args.get("cursor", "")]
        page = {"items": [{"code": code} for code in items], "next_cursor": following, "total": 3}
        return Response(json.dumps(page), content_type="application/json")

    httpserver.expect_request(path).respond_with_handler(answer)
    assert [item["code"] for item in client.errors(IMPORT_ID, code="missing_parent")] == ["a", "b", "c"]


def test_list_asks_for_no_more_pages_than_are_read(httpserver: HTTPServer, client: Client) -> None:
    httpserver.expect_request("/v1/imports").respond_with_json({"items": [an_import()], "next_cursor": "more"})
    assert next(client.list(dataset="places"))["id"] == IMPORT_ID
    assert len(httpserver.log) == 1
    assert httpserver.log[0][0].args.to_dict() == {"dataset": "places"}


def test_a_file_comes_as_it_is(httpserver: HTTPServer, client: Client) -> None:
    content = bytes(range(256)) * 10_000
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/results/failed", query_string="format=native").respond_with_data(
        content
    )
    with client.results(IMPORT_ID) as file:
        assert b"".join(file) == content


def test_a_file_that_is_being_written_is_waited_for(httpserver: HTTPServer, client: Client) -> None:
    asked = {"uri": f"/v1/imports/{IMPORT_ID}/results/succeeded", "query_string": "format=parquet"}
    httpserver.expect_ordered_request(**asked).respond_with_json({"state": "being_written"}, status=202)
    httpserver.expect_ordered_request(**asked).respond_with_data(b"rows")
    with client.results(IMPORT_ID, "succeeded", file_format="parquet") as file:
        assert b"".join(file) == b"rows"


def test_a_refused_file_is_refused_before_its_first_chunk(httpserver: HTTPServer, client: Client) -> None:
    httpserver.expect_request(f"/v1/imports/{IMPORT_ID}/errors").respond_with_json({"detail": "no"}, status=404)
    with pytest.raises(ApiError):
        client.errors_file(IMPORT_ID, "csv")


def test_a_file_that_breaks_off_is_no_file() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it"
    with (
        OneShot(half) as server,
        Client(server.url).results(IMPORT_ID) as file,
        pytest.raises(Unreachable, match="broke off"),
    ):
        list(file)


def test_query(httpserver: HTTPServer, client: Client) -> None:
    httpserver.expect_request("/v1/query", method="POST", json={"sql": "select 1", "limit": 5}).respond_with_json(
        {"rows": [[1]]}
    )
    assert client.query("select 1", limit=5) == {"rows": [[1]]}


def test_the_report_is_fetched_with_what_it_links_to(httpserver: HTTPServer, client: Client) -> None:
    base = f"/v1/imports/{IMPORT_ID}/report/"
    index = """<a href="pages/a.html#top">a</a> <link href="static/style.css?v=1"> <a href="/v1/keys">no</a>
        <a href="../../../../etc/passwd">no</a> <a href="%2e%2e/up.html">no</a> <a href="https://elsewhere.example/">no</a>
        <a href="//elsewhere.example/x">no</a> <a href="javascript:alert(1)">no</a>"""
    httpserver.expect_request(base).respond_with_data(index, content_type="text/html")
    httpserver.expect_request(base + "pages/a.html").respond_with_data(
        '<a href="../">back</a> <img src="b.png">', content_type="text/html"
    )
    httpserver.expect_request(base + "static/style.css").respond_with_data("body {}", content_type="text/css")
    httpserver.expect_request(base + "pages/b.png").respond_with_data(b"\x89PNG", content_type="image/png")
    assert dict(client.report(IMPORT_ID)) == {
        "index.html": index.encode(),
        "pages/a.html": b'<a href="../">back</a> <img src="b.png">',
        "static/style.css": b"body {}",
        "pages/b.png": b"\x89PNG",
    }
    assert len(httpserver.log) == 4


# --- a server of our own, for what a decent server does not do ---


class OneShot:
    """Takes one connection for each answer given: reads the request, sends those bytes, hangs up."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.requests: list[bytes] = []

    def _serve(self) -> None:
        for answer in self._answers:
            connection, _ = self._socket.accept()
            with connection:
                self.requests.append(self._request(connection))
                connection.sendall(answer)

    def _request(self, connection: socket.socket) -> bytes:
        connection.settimeout(5)
        received = b""
        while not self._is_whole(received):
            received += connection.recv(1 << 16)
        return received

    @staticmethod
    def _is_whole(received: bytes) -> bool:
        head, blank, body = received.partition(b"\r\n\r\n")
        if b"chunked" in head:
            return body.endswith(b"0\r\n\r\n")
        lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
        return bool(blank) and len(body) >= sum(lengths)

    def __enter__(self) -> OneShot:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._thread.join(10)
        self._socket.close()
        assert not self._thread.is_alive(), "fewer connections came than were expected"


def key_in(request: bytes) -> bytes:
    [line] = [line for line in request.split(b"\r\n") if line.lower().startswith(b"idempotency-key:")]
    return line.partition(b":")[2].strip()
