"""Who may come in: keys, roles, sign-in links, sessions, CSRF."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from pipeline.errors import InvalidRequest
from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.settings import Settings
from tests.support.endpoints import CSV, NEEDS
from tests.support.http import csrf, follow_link

# --- keys ---


def test_a_key_is_shown_once_and_kept_nowhere(keys: ApiKeys, settings: Settings) -> None:
    text, key = keys.create("me", Role.UPLOADER)
    prefix, key_id, secret = text.split("_")
    assert (prefix, uuid.UUID(key_id), key.role) == ("bk", uuid.UUID(key.id), Role.UPLOADER)
    assert len(bytes.fromhex(secret)) * 8 >= 160
    with psycopg.connect(settings.database_url) as connection:
        kept = str(connection.execute("select * from access.api_key").fetchall())
    assert secret not in kept
    assert keys.create("me", "reader")[0] != text


def test_check(keys: ApiKeys) -> None:
    text, key = keys.create("me", Role.READER)
    found = keys.check(text)
    assert found is not None
    assert (found.id, found.role, found.name) == (key.id, Role.READER, "me")
    other, _ = keys.create("other", Role.ADMIN)
    for wrong in (
        *("", "bk", "bk__", text[:-1], text + "0", text.upper(), " " + text, text.replace("bk_", "sk_")),
        *(
            text.rsplit("_", 1)[0] + "_" + other.rsplit("_", 1)[1],
            f"bk_{uuid.uuid4().hex}_{'0' * 48}",
            "bk_" + "é" * 80,
        ),
    ):
        assert keys.check(wrong) is None, wrong


def test_last_used_is_noted_once_a_minute(keys: ApiKeys) -> None:
    text, key = keys.create("me", Role.READER)
    assert key.last_used_at is None
    keys.check(text)
    first = keys.list()[0].last_used_at
    keys.check(text)
    assert first is not None
    assert keys.list()[0].last_used_at == first


def test_revoked(keys: ApiKeys) -> None:
    text, key = keys.create("me", Role.READER)
    token = keys.sign_in_token(key.id)
    assert keys.revoke(key.id)
    assert keys.check(text) is None
    assert keys.get(key.id) is None
    assert keys.redeem(token) is None
    assert keys.revoke(key.id)
    assert not keys.revoke(str(uuid.uuid4()))


def test_an_unknown_role(keys: ApiKeys) -> None:
    with pytest.raises(InvalidRequest, match="reader, uploader, admin"):
        keys.create("me", "king")


def test_a_sign_in_token_works_once(keys: ApiKeys) -> None:
    _, key = keys.create("me", Role.READER)
    token = keys.sign_in_token(key.id)
    with ThreadPoolExecutor(5) as pool:
        redeemed = [*pool.map(lambda _: keys.redeem(token), range(10))]
    assert [one.id for one in redeemed if one] == [key.id]
    late = keys.sign_in_token(key.id, seconds=0)
    assert keys.redeem(late) is None
    assert keys.redeem("") is None


# --- roles, over HTTP ---


def test_each_route_is_for_its_role(caller_for: Callable[[str], Any], app: Any) -> None:
    callers = {role: caller_for(role) for role in Role}
    for needed, method, path, options, status in NEEDS:
        stranger = app.test_client().open(path, method=method, **options)
        assert (stranger.status_code, stranger.json["code"]) == (401, "unauthorized"), path
        assert stranger.headers["WWW-Authenticate"].startswith("Bearer")
        for role, caller in callers.items():
            answer = caller(method, path, **options)
            if role.covers(Role(needed)):
                assert answer.status_code == status, (role, path, answer.text)
            else:
                assert (answer.status_code, answer.json["code"]) == (403, "forbidden"), (role, path)
                assert needed in answer.json["detail"]


def test_no_route_is_forgotten(app: Any) -> None:
    listed = {
        (method, re.sub(r"/(x|places|1)(?=/|$)", "/*", path.partition("?")[0]).replace("/report/p", "/report/*"))
        for _, method, path, _, _ in NEEDS
    }
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(("/v1/", "/s3/")):
            pieces = ["*" if piece.startswith("<") else piece for piece in rule.rule.split("/")]
            for method in rule.methods - {"HEAD", "OPTIONS"}:
                assert (method, "/".join(pieces)) in listed


def test_a_view_that_says_nothing_is_closed(app: Any, caller_for: Callable[[str], Any]) -> None:
    app.add_url_rule("/v1/forgotten", view_func=lambda: "secret", endpoint="forgotten")
    assert app.test_client().get("/v1/forgotten").status_code == 401
    assert caller_for("admin").get("/v1/forgotten").status_code == 403


def test_wrong_keys(app: Any, api: Any) -> None:
    for header in (
        "Bearer",
        "Bearer nonsense",
        f"Bearer {api.key[:-1]}",
        f"Basic {api.key}",
        api.key,
        "Bearer " + "x" * 5000,
    ):
        answer = app.test_client().get("/v1/imports", headers={"Authorization": header})
        assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")
    fine = app.test_client().get("/v1/imports", headers={"Authorization": f"bearer  {api.key}"})
    assert fine.status_code == 200


def test_keys_over_http(caller_for: Callable[[str], Any], app: Any) -> None:
    admin = caller_for("admin")
    made = admin.post("/v1/keys", json={"name": "for the <nightly> job", "role": "uploader"}).json
    listed = admin.get("/v1/keys").json["items"]
    assert [one["name"] for one in listed] == ["for the <nightly> job", "a test's admin"]
    assert made["key"] not in str(listed)
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert app.test_client().get("/v1/imports", headers=headers).status_code == 200
    began = time.monotonic()
    assert admin("DELETE", f"/v1/keys/{made['id']}").status_code == 204
    assert app.test_client().get("/v1/imports", headers=headers).status_code == 401
    assert time.monotonic() - began < 20
    assert admin("DELETE", f"/v1/keys/{uuid.uuid4()}").json["code"] == "unknown_key"
    for body in ({}, {"name": ""}, {"name": "n", "role": "king"}, {"name": "n", "secret": "x"}, [], "x"):
        assert admin.post("/v1/keys", json=body).json["code"] == "invalid_parameter"
    assert admin.post("/v1/keys", data="{", content_type="application/json").json["code"] == "invalid_parameter"


# --- people ---


def test_a_sign_in_link(app: Any, keys: ApiKeys) -> None:
    _, key = keys.create("me", Role.READER)
    token = keys.sign_in_token(key.id)
    client = app.test_client()
    assert client.get("/imports").location == "/sign-in"
    for _ in range(3):  # as those do who look at the links of a mail
        scanner = app.test_client()
        assert scanner.get(f"/sign-in?token={token}").status_code == 200
        assert scanner.get("/imports").location == "/sign-in"
    assert app.test_client().post("/sign-in", data={"token": token}).status_code == 403, "no page of another site can use it"
    answer = follow_link(client, token)
    assert (answer.status_code, answer.location) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    assert client.get("/imports").status_code == 200
    assert client.get("/v1/imports").status_code == 200  # for reading, the cookie will do
    again = follow_link(app.test_client(), token)
    assert again.status_code == 401
    assert "already used" in again.text
    keys.revoke(key.id)
    assert client.get("/imports").location == "/sign-in"
    assert client.get("/v1/imports").status_code == 401


def test_cookies_are_for_https_where_the_address_is(settings: Settings, edges: Any) -> None:
    from web import create_app

    app = create_app(settings.model_copy(update={"url": "https://bulkhead.example"}), context=edges)
    _, key = edges.keys.create("me", Role.READER)
    client, link = app.test_client(), edges.keys.sign_in_token(key.id)
    headers = {"Referer": "https://bulkhead.example/sign-in"}
    answer = follow_link(client, link, base_url="https://bulkhead.example", headers=headers)
    assert "Secure" in answer.headers["Set-Cookie"]


def test_signing_in_with_a_key_and_out(app: Any, keys: ApiKeys) -> None:
    text, _ = keys.create("me <b>", Role.READER)
    client = app.test_client()
    token = csrf(client, "/sign-in")
    assert client.post("/sign-in", data={"key": text}).status_code == 403  # no token
    assert client.post("/sign-in", data={"key": "wrong", "csrf_token": token}).status_code == 401
    assert client.post("/sign-in", data={"key": f" {text}\n", "csrf_token": token}).status_code == 303
    page = client.get("/imports").text
    assert "me &lt;b&gt;" in page
    assert client.post("/sign-out").status_code == 403
    assert client.post("/sign-out", data={"csrf_token": csrf(client, "/")}).status_code == 303
    assert client.get("/imports").location == "/sign-in"


def test_a_cookie_alone_changes_nothing(browser: Any, app: Any) -> None:
    path = "/v1/datasets/places/imports"
    for method, path_, options in (("POST", path, {"data": CSV}), ("POST", "/v1/query", {"json": {"sql": "select 1"}})):
        for headers in ({}, {"X-CSRF-Token": "nonsense"}, {"Origin": "https://evil.example"}):
            answer = browser.open(path_, method=method, headers=headers, **options)
            assert (answer.status_code, answer.json["code"]) == (403, "csrf")
    token = csrf(browser, "/")
    assert browser.post(path, data=CSV, headers={"X-CSRF-Token": token}).status_code == 202
    stranger = app.test_client()
    assert stranger.post(path, data=CSV, headers={"X-CSRF-Token": csrf(stranger, "/sign-in")}).status_code == 401


def test_a_cookie_alone_opens_no_import_by_a_get(browser: Any, edges: Any) -> None:
    """Uppy's protocol signs a form, and opens an import, with a GET, which any page can have a browser send."""
    path = "/s3/params?filename=a.csv&metadata[dataset]=places"
    for site in (None, "cross-site", "same-site", "none"):
        answer = browser.get(path, headers={"Sec-Fetch-Site": site} if site else {})
        assert (answer.status_code, answer.json["code"]) == (403, "csrf"), site
        assert browser.head(path).status_code == 403
    assert edges.ledger.imports.page(limit=5) == []
    assert browser.get(path, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert browser.get(path, headers={"X-CSRF-Token": csrf(browser, "/")}).status_code == 200
    assert len(edges.ledger.imports.page(limit=5)) == 2


def test_a_wrong_key_is_not_made_good_by_a_cookie(browser: Any) -> None:
    assert browser.get("/v1/imports", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_a_forged_session(app: Any, keys: ApiKeys) -> None:
    client = app.test_client()
    client.set_cookie("bulkhead_1", "eyJrZXlfaWQiOiJ4In0.aaaa.bbbb")
    assert client.get("/imports").location == "/sign-in"
