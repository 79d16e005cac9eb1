"""Signing in at a real identity provider: sessions, their limits, and everything that must not work."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import psycopg
import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Wanted
from pipeline.settings import Settings
from tests.support.fake_issuer import FakeIssuer, fake_issuer
from tests.support.http import csrf
from tests.support.oidc_provider import OidcProvider
from tests.support.threaded_server import serving
from web import create_app
from web.app_context import AppContext

RULES = [{"claim": "groups", "contains": "data-team", "role": "uploader", "datasets": ["places"]}]
START, CALLBACK = "/sign-in/sso", "/sign-in/sso/callback"
HTML = {"Accept": "text/html"}


@pytest.fixture
def make_app(settings: Settings, edges: AppContext, oidc: OidcProvider) -> Callable[..., Flask]:
    """Makes the app as a client of the provider, with these settings."""
    oidc.setup(redirect_uris=[settings.url + CALLBACK])

    def make(**more: Any) -> Flask:
        given = {**oidc.settings(oidc_rules=json.dumps(RULES)), **more}
        return create_app(settings.model_copy(update=given), context=edges)

    return make


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def at_provider(client: FlaskClient, oidc: OidcProvider, account: str = "ada", query: str = "", **more: Any) -> str:
    """Begin a sign-in and sign in by the provider's pages; return the path that the browser is sent back to."""
    back = oidc.walk(client.get(START + query).location, account, **more)
    return back.removeprefix("http://127.0.0.1:1")


def sign_in(client: FlaskClient, oidc: OidcProvider, account: str = "ada", query: str = "") -> TestResponse:
    return client.get(at_provider(client, oidc, account, query), headers=HTML)


def events(edges: AppContext, action: str) -> list[Any]:
    return edges.ledger.audit_log.page(Wanted(action=action))


def sql(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.database_url) as connection:
        cursor = connection.execute(statement)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


# --- the way in and out ---


def test_a_person_signs_in_uploads_and_signs_out(
    client: FlaskClient, oidc: OidcProvider, edges: AppContext, settings: Settings
) -> None:
    door = client.get("/imports?state=queued")
    assert door.location == "/sign-in?next=%2Fimports%3Fstate%3Dqueued"
    assert "Sign in with Example ID" in client.get(door.location).text
    answer = sign_in(client, oidc, query="?next=/imports%3Fstate%3Dqueued")
    assert (answer.status_code, answer.location) == (302, "/imports?state=queued")
    page = client.get("/").text
    assert "Ada Example" in page and "as ada@example.org; your role is uploader, for places" in page
    assert client.get("/admin/keys", headers=HTML).status_code == 403
    assert client.get("/datasets/records", headers=HTML).status_code == 404, "the rule names places only"
    token = csrf(client, "/")
    sent = {"data": b"id,parentId,name,kind\n", "headers": {"X-CSRF-Token": token, "Idempotency-Key": "the same"}}
    made = client.post("/v1/datasets/places/imports?filename=a.csv", **sent)
    assert made.status_code == 202, made.text
    assert client.post("/v1/datasets/places/imports?filename=a.csv", **sent).get_json()["id"] == made.get_json()["id"]
    person_id = str(sql(settings, "select id from access.person")[0][0])
    assert client.get(f"/v1/imports/{made.get_json()['id']}").get_json()["created_by"] == {
        "id": person_id,
        "name": "Ada Example",
    }
    assert client.post("/v1/datasets/records/imports", **sent).status_code == 404

    left = client.post("/sign-out", data={"csrf_token": token})
    leaving = parse_qs(urlsplit(left.headers["Refresh"].partition("url=")[2]).query)
    assert leaving["post_logout_redirect_uri"] == ["http://127.0.0.1:1/sign-in"] and leaving["id_token_hint"]
    assert "Ada" not in left.text
    assert client.get("/").location == "/sign-in"
    assert sql(settings, "select * from access.session") == []
    for action in ("sign_in", "upload", "sign_out"):
        found = [one for one in events(edges, action) if one["actor_kind"] == "user"]
        assert found and {(one["actor_id"], one["actor_name"]) for one in found} == {(person_id, "Ada Example")}, action


def test_the_cookie_has_no_session_but_its_token_and_the_database_has_its_hash(
    client: FlaskClient, oidc: OidcProvider, settings: Settings
) -> None:
    answer = sign_in(client, oidc)
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    with client.session_transaction() as session:
        assert set(session) == {"session", "_permanent"}
        assert session["session"] not in str(sql(settings, "select * from access.session"))


@pytest.mark.parametrize(("url", "is_secure"), [("https://127.0.0.1:1", True), ("http://127.0.0.1:1", False)])
def test_the_cookie_is_secure_with_https(make_app: Callable[..., Flask], url: str, is_secure: bool) -> None:
    answer = make_app(url=url).test_client().get(START, base_url=url)
    assert ("Secure" in answer.headers["Set-Cookie"]) is is_secure
    assert parse_qs(urlsplit(answer.location).query)["redirect_uri"] == [url + CALLBACK]


def test_a_session_begins_under_a_new_id_and_ends_the_one_before(
    client: FlaskClient, app: Flask, oidc: OidcProvider, settings: Settings
) -> None:
    client.get("/sign-in")
    with client.session_transaction() as session:
        before = session["csrf_token"]
    sign_in(client, oidc)
    with client.session_transaction() as session:
        first = dict(session)
    assert "csrf_token" not in first, f"{before[:4]}... is no more"
    fixed = app.test_client()
    with fixed.session_transaction() as session:
        session.update(first)
    assert fixed.get("/").status_code == 200
    sign_in(client, oidc)
    with client.session_transaction() as session:
        assert session["session"] != first["session"]
    assert fixed.get("/").location == "/sign-in"
    assert len(sql(settings, "select * from access.session")) == 1


@pytest.mark.parametrize(
    "wanted",
    [
        *(
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "///evil.example",
        ),
        *("javascript:alert(1)", "evil.example", "", "/sign-out", "/sign-in/sso", "/x\r\nSet-Cookie: a=b", "/é"),
    ],
)
def test_no_sign_in_leads_to_another_site(client: FlaskClient, oidc: OidcProvider, wanted: str) -> None:
    answer = sign_in(client, oidc, query="?" + urlencode({"next": wanted}))
    assert answer.status_code == 302 and answer.location in ("/", "/%C3%A9")


def test_only_the_configured_redirect_uri_is_used(client: FlaskClient) -> None:
    answer = client.get(START, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert parse_qs(urlsplit(answer.location).query)["redirect_uri"] == ["http://127.0.0.1:1" + CALLBACK]


# --- what must not work ---


def refused(answer: TestResponse, status: int, said: str) -> None:
    assert answer.status_code == status, answer.text
    assert said in answer.text
    assert "API key" in answer.text, "keys still work"


def test_a_state_counts_once_also_with_an_old_cookie(client: FlaskClient, oidc: OidcProvider, edges: AppContext) -> None:
    back = at_provider(client, oidc)
    with client.session_transaction() as session:
        old = dict(session)
    assert client.get(back).status_code == 302
    refused(client.get(back), 400, "was used already")
    with client.session_transaction() as session:
        session.clear()
        session.update(old)
    refused(client.get(back), 400, "was used already")
    assert [one["reason"] for one in events(edges, "sign_in_failed")] == ["unknown or used state"] * 2


def test_a_code_counts_once(client: FlaskClient, oidc: OidcProvider) -> None:
    """Put into the answer to another sign-in of the same browser, the provider refuses it (and its verifier is another)."""
    first = parse_qs(urlsplit(at_provider(client, oidc)).query)
    second = parse_qs(urlsplit(at_provider(client, oidc)).query)
    replayed = {"code": first["code"][0], "state": second["state"][0], "iss": oidc.issuer}
    refused(client.get(f"{CALLBACK}?{urlencode(replayed)}"), 401, "could not be verified")
    assert client.get("/").location == "/sign-in"


def test_a_code_of_another_browser_signs_in_as_no_one(client: FlaskClient, app: Flask, oidc: OidcProvider) -> None:
    """An attacker's code in a victim's answer: PKCE."""
    attacker = app.test_client()
    stolen = parse_qs(urlsplit(at_provider(attacker, oidc)).query)["code"][0]
    own = parse_qs(urlsplit(client.get(START).location).query)["state"][0]
    query = urlencode({"code": stolen, "state": own, "iss": oidc.issuer})
    refused(client.get(f"{CALLBACK}?{query}"), 401, "could not be verified")
    refused(app.test_client().get(at_provider(attacker, oidc)), 400, "in another browser")


@pytest.mark.parametrize("query", ["", "?state=x&code=y", "?code=y", "?state=&code=", "?error=access_denied"])
def test_an_answer_without_a_sign_in_is_refused(client: FlaskClient, query: str) -> None:
    refused(client.get(CALLBACK + query), 400, "began in another browser")


def test_an_old_sign_in_is_refused(client: FlaskClient, oidc: OidcProvider) -> None:
    back = at_provider(client, oidc)
    with client.session_transaction() as session:
        (state, one), *_ = session["sign_ins"].items()
        session["sign_ins"] = {state: {**one, "at": one["at"] - 601}}
    refused(client.get(back), 400, "more than ten minutes")


def test_another_issuer_in_the_answer_is_refused(client: FlaskClient, oidc: OidcProvider) -> None:
    back = at_provider(client, oidc)
    assert "&iss=" in back
    refused(client.get(re.sub("iss=[^&]*", "iss=https%3A%2F%2Fevil.example", back)), 401, "could not be verified")
    refused(client.get(re.sub("&iss=[^&]*", "", at_provider(client, oidc))), 401, "could not be verified")


def test_the_providers_refusal_is_said_without_its_text(client: FlaskClient, oidc: OidcProvider) -> None:
    state = parse_qs(urlsplit(client.get(START).location).query)["state"][0]
    query = urlencode({"state": state, "error": "access_denied", "error_description": "<b>markup", "iss": oidc.issuer})
    answer = client.get(f"{CALLBACK}?{query}")
    refused(answer, 401, "Example ID did not sign you in (access_denied)")
    assert "markup" not in answer.text


def test_several_tabs_can_sign_in(client: FlaskClient, oidc: OidcProvider) -> None:
    tabs = [at_provider(client, oidc, query=f"?next=/imports%3Fpage%3D{tab}") for tab in range(3)]
    assert client.get(tabs[0]).location == "/imports?page=0"


def test_a_person_without_a_rule_is_told_which_claim_is_missing(
    client: FlaskClient, oidc: OidcProvider, edges: AppContext, settings: Settings
) -> None:
    answer = sign_in(client, oidc, "bob")
    refused(answer, 403, "no rule of Bulkhead gives you access: the claim groups is missing")
    assert "data-team" not in answer.text and "Use another account" in answer.text
    assert client.get("/").location == "/sign-in"
    assert sql(settings, "select * from access.person") == []
    assert [one["reason"] for one in events(edges, "sign_in_failed")] == ["no rule: the claim groups is missing"]


def test_an_address_that_is_not_verified_matches_no_rule(make_app: Callable[..., Flask], oidc: OidcProvider) -> None:
    rules = [{"claim": "email", "ends_with": "@example.org", "role": "reader"}]
    app = make_app(oidc_rules=json.dumps(rules))
    assert sign_in(app.test_client(), oidc, "ada").status_code == 302
    refused(sign_in(app.test_client(), oidc, "bob"), 403, "e-mail address is not verified")
    trusting = make_app(oidc_rules=json.dumps([{**rules[0], "unverified": True}]))
    assert sign_in(trusting.test_client(), oidc, "bob").status_code == 302


@pytest.mark.parametrize("role", list(Role))
def test_a_rule_gives_its_role(make_app: Callable[..., Flask], oidc: OidcProvider, role: Role) -> None:
    rules = json.dumps([{"claim": "groups", "contains": "data-team", "role": str(role)}])
    client = make_app(oidc_rules=rules).test_client()
    sign_in(client, oidc)
    assert (client.get("/admin/keys", headers=HTML).status_code == 200) is (role == Role.ADMIN)
    token = csrf(client, "/sql")
    sent = client.post("/v1/datasets/records/imports?filename=a.csv", data=b"x", headers={"X-CSRF-Token": token})
    assert (sent.status_code == 202) is (role != Role.READER)
    assert client.post("/v1/datasets/records/imports?filename=a.csv", data=b"x").status_code == 403, "no CSRF token"


# --- limits ---


@pytest.mark.parametrize(
    ("shift", "is_over"),
    [
        ("last_used_at = now() - interval '59 minutes'", False),
        ("last_used_at = now() - interval '61 minutes'", True),
        ("expires_at = now() - interval '1 second'", True),
    ],
)
def test_a_session_ends_when_idle_and_at_its_limit(
    client: FlaskClient, oidc: OidcProvider, settings: Settings, shift: str, is_over: bool
) -> None:
    sign_in(client, oidc)
    limits = sql(settings, "select expires_at - started_at from access.session")
    assert round(limits[0][0].total_seconds()) == 12 * 3600
    sql(settings, f"update access.session set {shift}")
    assert (client.get("/").status_code == 200) is not is_over
    assert (client.get("/v1/imports").status_code == 200) is not is_over
    if not is_over:
        assert sql(settings, "select last_used_at > now() - interval '1 minute' from access.session") == [(True,)]


def test_a_session_ends_when_the_rules_change(client: FlaskClient, make_app: Callable[..., Flask], oidc: OidcProvider) -> None:
    sign_in(client, oidc)
    with client.session_transaction() as session:
        token = session["session"]
    other = make_app(oidc_rules=json.dumps([{**RULES[0], "role": "reader"}])).test_client()
    with other.session_transaction() as session:
        session["session"] = token
    assert other.get("/").location == "/sign-in"
    assert client.get("/").status_code == 200


def test_without_single_sign_on_there_is_no_route_and_no_session(
    client: FlaskClient, oidc: OidcProvider, settings: Settings, edges: AppContext
) -> None:
    sign_in(client, oidc)
    plain = create_app(settings, context=edges).test_client()
    with client.session_transaction() as session, plain.session_transaction() as other:
        other.update(session)
    assert plain.get(START).status_code == plain.get(CALLBACK).status_code == 404
    assert plain.get("/").location == "/sign-in"


def test_the_clean_up_deletes_what_is_over(
    client: FlaskClient, oidc: OidcProvider, settings: Settings, edges: AppContext
) -> None:
    sign_in(client, oidc)
    removals, now = edges.ledger.removals, datetime.now(UTC)
    assert removals.expire_sign_ins(now, dry_run=False) == 0
    later = now + timedelta(hours=13)
    assert (removals.expire_sign_ins(later, dry_run=True), removals.expire_sign_ins(later, dry_run=False)) == (1, 1)
    assert sql(settings, "select * from access.used_state") == sql(settings, "select * from access.session") == []


# --- the provider away, or with other keys ---


def test_keys_work_while_the_provider_is_down(make_app: Callable[..., Flask], edges: AppContext) -> None:
    client = make_app(oidc_issuer="http://127.0.0.1:9").test_client()
    answer = client.get(START, headers=HTML)
    refused(answer, 503, "Example ID does not answer")
    assert answer.headers["Retry-After"]
    text, _ = edges.keys.create("a user of a test", Role.READER)
    form = {"key": text, "csrf_token": csrf(client, "/sign-in")}
    assert client.post("/sign-in", data=form).location == "/"


def test_the_provider_may_change_its_keys(app: Flask, oidc: OidcProvider) -> None:
    assert sign_in(app.test_client(), oidc).status_code == 302
    documents = app.extensions["sso"].provider._documents
    documents._keys_at -= 61  # a minute later
    oidc.setup(rotate=True)
    assert sign_in(app.test_client(), oidc).status_code == 302


@pytest.fixture
def forger() -> Iterator[FakeIssuer]:
    with fake_issuer() as issuer:
        yield issuer


@pytest.mark.parametrize(
    "other", [{"nonce": "another"}, {"aud": "another"}, {"iss": "https://evil.example"}, {"exp": 1}], ids=str
)
def test_a_wrong_token_begins_no_session(
    make_app: Callable[..., Flask], forger: FakeIssuer, settings: Settings, other: dict[str, Any]
) -> None:
    """Which tokens are wrong is in tests/unit/web/test_identity_provider.py."""
    client = make_app(oidc_issuer=forger.url).test_client()
    for changes in (other, {}):
        asked = parse_qs(urlsplit(client.get(START).location).query)
        forger.id_token = forger.sign(forger.claims(**{"nonce": asked["nonce"][0], "groups": ["data-team"], **changes}))
        answer = client.get(f"{CALLBACK}?{urlencode({'state': asked['state'][0], 'code': 'x'})}")
        assert answer.status_code == (401 if changes else 302)
        assert len(sql(settings, "select * from access.session")) == (0 if changes else 1)


# --- single sign-on required ---


def test_pages_are_only_for_people_and_break_glass_keys_if_that_is_required(
    make_app: Callable[..., Flask], oidc: OidcProvider, edges: AppContext
) -> None:
    app = make_app(oidc_required=True)
    plain, _ = edges.keys.create("an admin", Role.ADMIN)
    emergency, _ = edges.keys.create("in the safe", Role.ADMIN, is_break_glass=True)

    def enter(key: str) -> tuple[FlaskClient, TestResponse]:
        client = app.test_client()
        return client, client.post("/sign-in", data={"key": key, "csrf_token": csrf(client, "/sign-in")}, headers=HTML)

    client, answer = enter(plain)
    assert answer.status_code == 403 and "Pages require single sign-on here" in answer.text
    assert client.get("/").location == "/sign-in"
    bearer = {"Authorization": f"Bearer {plain}"}
    assert client.get("/imports", headers=bearer).status_code == 403
    assert client.get("/v1/imports", headers=bearer).status_code == 200, "the API stays with keys"
    client, answer = enter(emergency)
    assert answer.location == "/" and client.get("/").status_code == 200
    person = app.test_client()
    assert sign_in(person, oidc).status_code == 302
    assert person.get("/imports").status_code == 200


def test_a_keys_session_from_before_ends_when_single_sign_on_is_required(
    make_app: Callable[..., Flask], edges: AppContext
) -> None:
    text, _ = edges.keys.create("an admin", Role.ADMIN)
    client, strict = make_app().test_client(), make_app(oidc_required=True).test_client()
    client.post("/sign-in", data={"key": text, "csrf_token": csrf(client, "/sign-in")})
    with client.session_transaction() as session, strict.session_transaction() as other:
        other.update(session)
    assert client.get("/").status_code == 200
    assert strict.get("/").location == "/sign-in"


# --- back-channel logout ---


@contextmanager
def served(settings: Settings, oidc: OidcProvider) -> Iterator[str]:
    with serving(settings.model_copy(update=oidc.settings(oidc_rules=json.dumps(RULES)))) as url:
        oidc.setup(redirect_uris=[url + CALLBACK], backchannel_logout_uri=f"{url}{START}/logout")
        yield url


def test_a_session_ends_when_the_person_signs_out_of_the_provider(
    settings: Settings, oidc: OidcProvider, edges: AppContext
) -> None:
    with served(settings, oidc) as url:
        browser, other = requests.Session(), requests.Session()
        for one in (browser, other):
            back = oidc.walk(one.get(url + START, allow_redirects=False, timeout=300).headers["Location"], "ada", one)
            assert one.get(back, timeout=300).url == f"{url}/"
        page = browser.get(f"{oidc.issuer}/session/end", timeout=300).text
        form = re.search(r'action="([^"]+)"', page)
        fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', page))
        assert form is not None
        assert browser.post(form[1], data={**fields, "logout": "yes"}, timeout=300).ok
        assert browser.get(url, timeout=300).url.startswith(f"{url}/sign-in")
        assert other.get(url, timeout=300).url == f"{url}/", "another session of the same person at the provider"
    assert [one["details"]["how"] for one in events(edges, "sign_out")] == ["back-channel logout"]


def test_a_logout_without_a_valid_token_ends_nothing(client: FlaskClient, oidc: OidcProvider) -> None:
    sign_in(client, oidc)
    with client.session_transaction() as session:
        assert "session" in session
    for token in ("", "a.b.c"):
        assert client.post(f"{START}/logout", data={"logout_token": token}).status_code == 400
    assert client.get("/").status_code == 200
