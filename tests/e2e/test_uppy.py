"""Uppy's own client, unchanged, in a real browser, against our routes for uploads straight to S3."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium import webdriver

from pipeline.contracts.states import State
from tests.support.web_app import Server
from web.app_context import AppContext

pytestmark = pytest.mark.gunicorn

PAGE = b"""<!doctype html><title>Uppy</title><script src="/uppy.min.js"></script><script>
const uppy = new Uppy.Uppy({meta: {dataset: "records", dry_run: true}})
uppy.use(Uppy.AwsS3, {companionEndpoint: location.origin, shouldUseMultipart: file => file.size > 1e6})
const row = (_, n) => `r${n},,a record of some length\\n`
const rows = count => "id,parentId,name\\n" + Array.from({length: count}, row).join("")
const add = count => uppy.addFile({name: "some.csv", type: "text/csv", data: new Blob([rows(count)], {type: "text/csv"})})
const outcome = result => ({
  failed: result.failed.map(file => String(file.error)), sent: result.successful.map(file => file.response.body.key)})
</script>"""
ROWS, SMALL = 450_000, 3
CONTENT = ("id,parentId,name\n" + "".join(f"r{n},,a record of some length\n" for n in range(ROWS))).encode()


class Front(BaseHTTPRequestHandler):
    """A page of another site that proxies Bulkhead and holds the key: one origin to the browser."""

    server_url = key = ""
    uppy = Path()

    def do_GET(self) -> None:
        if self.path.startswith("/s3/"):
            self._pass_on()
        else:
            is_script = self.path == "/uppy.min.js"
            self._answer(200, "text/javascript" if is_script else "text/html", self.uppy.read_bytes() if is_script else PAGE)

    def do_POST(self) -> None:
        self._pass_on()

    def do_DELETE(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": self.headers.get("Content-Type") or ""}
        answer = requests.request(self.command, self.server_url + self.path, data=body, headers=headers, timeout=300)
        self._answer(answer.status_code, answer.headers["Content-Type"], answer.content)

    def _answer(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said: object) -> None:
        """Log nothing."""


@pytest.fixture
def page(
    open_browser: Callable[..., webdriver.Chrome], server: Server, browser_file: Callable[[str], Path]
) -> Iterator[webdriver.Chrome]:
    names = {"server_url": server.url, "key": server.key, "uppy": browser_file("uppy/dist/uppy.min.js")}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("FrontHere", (Front,), names)) as front:
        threading.Thread(target=front.serve_forever, daemon=True).start()
        browser = open_browser()
        browser.set_script_timeout(60)
        browser.get(f"http://127.0.0.1:{front.server_port}/")
        yield browser
        front.shutdown()


def run(page: webdriver.Chrome, script: str) -> Any:
    """What the script gives to ``done``."""
    return page.execute_async_script("const done = arguments[0]; " + script)


def is_all_there(edges: AppContext, key: str) -> None:
    stored = edges.store.get_bytes(key)
    assert hashlib.sha256(stored).hexdigest() == hashlib.sha256(CONTENT).hexdigest()
    [one] = edges.ledger.imports.page(limit=5)
    assert (one.key, one.state, one.size_bytes, one.filename) == (key, State.QUEUED, len(CONTENT), "some.csv")
    assert one.options.dry_run


def test_a_large_file_goes_in_parts(page: webdriver.Chrome, edges: AppContext) -> None:
    assert len(CONTENT) > 12_000_000
    done = run(page, f"add({ROWS}); uppy.upload().then(result => done(outcome(result)))")
    assert done["failed"] == []
    [one] = edges.ledger.imports.page(limit=5)
    is_all_there(edges, one.key)


def test_paused_after_its_first_part_it_goes_on(page: webdriver.Chrome, edges: AppContext) -> None:
    """Uppy asks what S3 has, and sends the rest."""
    run(
        page,
        f"""window.sent = []; add({ROWS});
        uppy.on("s3-multipart:part-uploaded", (file, part) => {{
          sent.push(part.PartNumber)
          if (sent.length === 1) {{ uppy.pauseAll(); setTimeout(() => done(), 500) }}
        }});
        window.ended = uppy.upload()""",
    )
    [one] = edges.ledger.imports.page(limit=5)
    [uploads] = edges.store.uploads(one.key)
    assert [part.number for part in edges.store.parts(one.key, uploads[0].upload_id)] == [1]
    assert one.state is State.AWAITING_UPLOAD
    done = run(page, "uppy.resumeAll(); ended.then(result => done({...outcome(result), parts: sent}))")
    assert (done["failed"], done["parts"]) == ([], [1, 2, 3])
    is_all_there(edges, one.key)


def test_given_up_it_leaves_nothing(page: webdriver.Chrome, edges: AppContext) -> None:
    run(
        page,
        f"""add({ROWS});
        uppy.on("s3-multipart:part-uploaded", () => {{ uppy.cancelAll(); setTimeout(() => done(), 1500) }});
        uppy.upload()""",
    )
    assert edges.ledger.imports.page(limit=5) == []
    assert [*edges.store.uploads("incoming/")] == []
    assert [*edges.store.list("incoming/")] == []


def test_a_small_file_goes_by_a_signed_form(page: webdriver.Chrome, edges: AppContext) -> None:
    done = run(page, f"add({SMALL}); uppy.upload().then(result => done(outcome(result)))")
    assert done["failed"] == []
    [one] = edges.ledger.imports.page(limit=5)
    assert edges.store.get_bytes(one.key) == b"\n".join(CONTENT.split(b"\n")[: SMALL + 1]) + b"\n"
    assert one.options.dry_run, "what it asks for goes with the form too"
