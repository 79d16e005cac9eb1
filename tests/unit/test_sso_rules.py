"""Rules of single sign-on, and the settings that they are part of."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InvalidConfiguration
from pipeline.settings import load_settings
from pipeline.sso_rules import Rule, claim_of, digest, first_match, parse_rules, why_none

ISSUER = "https://id.example.org/realms/main"
GROUPS = {"claim": "groups", "contains": "data-team", "role": "uploader", "datasets": ["places"]}
MAIL = {"claim": "email", "ends_with": "@example.org", "role": "reader"}


def rule(**given: Any) -> Rule:
    return Rule.model_validate({"role": "reader", **given})


@pytest.mark.parametrize(
    ("given", "claims", "is_match"),
    [
        ({"claim": "groups", "contains": "a"}, {"groups": ["b", "a"]}, True),
        ({"claim": "groups", "contains": "a"}, {"groups": ["aa", "A"]}, False),
        ({"claim": "groups", "contains": "a"}, {"groups": "a list written as text, with a"}, False),
        ({"claim": "groups", "contains": "a"}, {"groups": {"a": 1}}, False),
        ({"claim": "groups", "contains": "a"}, {}, False),
        ({"claim": "hd", "equals": "example.org"}, {"hd": "example.org"}, True),
        ({"claim": "hd", "equals": "example.org"}, {"hd": "example.org.evil"}, False),
        ({"claim": "is_staff", "equals": True}, {"is_staff": True}, True),
        ({"claim": "is_staff", "equals": True}, {"is_staff": 1}, False),
        ({"claim": "is_staff", "equals": True}, {"is_staff": "true"}, False),
        ({"claim": "upn", "ends_with": "@example.org"}, {"upn": "ada@example.org"}, True),
        ({"claim": "upn", "ends_with": "@example.org"}, {"upn": ["ada@example.org"]}, False),
        ({"claim": "realm_access.roles", "contains": "a"}, {"realm_access": {"roles": ["a"]}}, True),
        ({"claim": "https://example.org/roles", "contains": "a"}, {"https://example.org/roles": ["a"]}, True),
        ({"claim": "email", "equals": "ada@example.org"}, {"email": "Ada@Example.org", "email_verified": True}, True),
        ({"claim": "email", "equals": "ada@example.org"}, {"email": "ada@example.org", "email_verified": "true"}, True),
        ({"claim": "email", "equals": "ada@example.org"}, {"email": "ada@example.org", "email_verified": False}, False),
        ({"claim": "email", "equals": "ada@example.org"}, {"email": "ada@example.org"}, False),
        ({"claim": "email", "equals": "ada@example.org", "unverified": True}, {"email": "ada@example.org"}, True),
        ({"claim": "email", "ends_with": "@example.org"}, {"email": "a@evil-example.org", "email_verified": True}, False),
    ],
)
def test_a_rule_matches(given: dict[str, Any], claims: dict[str, Any], is_match: bool) -> None:
    assert rule(**given).matches(claims) is is_match


def test_the_first_rule_that_matches_decides() -> None:
    """One role on one list: not the highest role of one rule on the datasets of another."""
    rules = parse_rules(json.dumps([GROUPS, {"claim": "sub", "equals": "ada", "role": "reader"}]))
    assert first_match(rules, {"sub": "ada", "groups": ["data-team"]}) is rules[0]
    assert first_match(rules, {"sub": "ada"}) is rules[1]
    assert first_match(rules, {"sub": "bob"}) is None


def test_why_no_rule_matches_names_claims_and_no_value() -> None:
    rules = parse_rules(json.dumps([GROUPS, MAIL]))
    said = why_none(rules, {"email": "ada@secret.example", "email_verified": False})
    assert said == "the e-mail address is not verified (claim email_verified); the claim groups is missing"
    said = why_none(rules, {"email": "ada@secret.example", "email_verified": True, "groups": ["secret"]})
    assert said == "the claim email has no value that a rule names; the claim groups has no value that a rule names"


def test_a_claim_by_its_path() -> None:
    assert claim_of({"a": {"b": [1]}, "a.b": 2}, "a.b") == 2
    assert claim_of({"a": [1]}, "a.b") is None


def test_other_rules_have_another_digest() -> None:
    one, two = parse_rules(json.dumps([GROUPS])), parse_rules(json.dumps([{**GROUPS, "datasets": ["products"]}]))
    assert digest(one) != digest(two)
    assert digest(one) == digest(parse_rules(json.dumps([dict(reversed(GROUPS.items()))], indent=1)))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[{", "not JSON"),
        ("no-such-file.json", "cannot be read"),
        ('[{"claim": "x", "role": "reader"}]', "rule 1: it has no condition"),
        ('[{"claim": "x", "contains": "a", "equals": "a", "role": "reader"}]', "contains and equals"),
        ('[{"claim": "x", "contains": "a", "role": "owner"}]', "rule 1: role"),
        ('[{"claim": "x", "contains": "a", "role": "admin", "datasets": ["places"]}]', "an admin sees every dataset"),
        ('[{"claim": "x", "contains": "a", "role": "reader", "datasets": []}]', "rule 1: datasets"),
        ('[{"claim": "x", "contains": "a", "role": "reader", "dataset": "places"}]', "rule 1: dataset"),
        ('[{"claim": "email", "ends_with": "example.org", "role": "reader"}]', "begins with @"),
        ('[{"claim": "x", "contains": "a", "role": "reader"}, 7]', "rule 2"),
    ],
)
def test_wrong_rules_are_refused_and_named(written: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_rules(written)


def environment(monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    known = {"ISSUER": ISSUER, "CLIENT_ID": "bulkhead", "RULES": json.dumps([GROUPS])}
    for name, value in {**known, **changes}.items():
        monkeypatch.setenv(f"BULKHEAD_OIDC_{name}", value)


def test_the_settings_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rules, secret = tmp_path / "rules.json", tmp_path / "secret"
    rules.write_text(json.dumps([GROUPS, MAIL]), encoding="utf-8")
    secret.write_text("of the client\n", encoding="utf-8")
    environment(monkeypatch, RULES=str(rules), CLIENT_SECRET_FILE=str(secret), SESSION_IDLE="15m", CLOCK_LEEWAY="0")
    settings = load_settings(tmp_path)
    assert settings.has_sso and settings.sso_name == "id.example.org" and settings.oidc_client_secret == "of the client"
    assert [one.role for one in settings.sso_rules] == ["uploader", "reader"]
    assert (settings.oidc_session_idle, settings.oidc_session_limit) == (timedelta(minutes=15), timedelta(hours=12))
    assert settings.oidc_clock_leeway == timedelta(0)
    assert "of the client" not in repr(settings)
    monkeypatch.setenv("BULKHEAD_OIDC_ISSUER", "")
    assert not load_settings(tmp_path).has_sso


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ISSUER": "http://id.example.org"}, "https"),
        ({"ISSUER": "https://id.example.org/?a=b"}, "not the address of an issuer"),
        ({"ISSUER": "id.example.org"}, "not the address of an issuer"),
        ({"ISSUER": "", "REQUIRED": "true"}, "OIDC_REQUIRED is set and BULKHEAD_OIDC_ISSUER is not"),
        ({"CLIENT_ID": ""}, "CLIENT_ID"),
        ({"RULES": ""}, "has no rule"),
        ({"RULES": "[]"}, "has no rule"),
        ({"RULES": "[{}]"}, "rule 1"),
        ({"SCOPES": "profile email"}, "openid"),
        ({"SESSION_IDLE": "10s"}, "SESSION_IDLE"),
        ({"SESSION_LIMIT": "soon"}, "not a time"),
        ({"CLOCK_LEEWAY": "1h"}, "CLOCK_LEEWAY"),
    ],
    ids=str,
)
def test_half_a_configuration_is_refused(
    changes: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment(monkeypatch, **changes)
    with pytest.raises(InvalidConfiguration, match=said):
        load_settings(tmp_path)
