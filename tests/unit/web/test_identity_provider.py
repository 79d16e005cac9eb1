"""What an identity provider's tokens are accepted for, and what they are refused for."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry

from pipeline.settings import Settings
from tests.support.fake_issuer import CLIENT_ID, FakeIssuer, fake_issuer
from web.http.identity_provider import LOGOUT_EVENT, IdentityProvider, Start
from web.http.provider_documents import KEYS_EVERY_SECONDS, METADATA_SECONDS, ProviderAway, SignInRefused

START = Start("the state", "the nonce", "v" * 43)
RULES = '[{"claim": "groups", "contains": "x", "role": "reader"}]'
LEEWAY = 60


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeIssuer]:
    with fake_issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer(shared: FakeIssuer) -> FakeIssuer:
    """An issuer as it was made, but for its key."""
    shared.more, shared.user_info, shared.keys_fetched = {}, {}, 0
    return shared


class Clock:
    """A clock that only a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def settings_of(issuer: FakeIssuer, **more: Any) -> Settings:
    return Settings(oidc_issuer=issuer.url, oidc_client_id=CLIENT_ID, oidc_client_secret="s", oidc_rules=RULES, **more)


@pytest.fixture
def provider(issuer: FakeIssuer, clock: Clock) -> IdentityProvider:
    return IdentityProvider(settings_of(issuer), clock)


def test_a_valid_token_says_who_signed_in(issuer: FakeIssuer, provider: IdentityProvider) -> None:
    issuer.id_token = issuer.sign(issuer.claims())
    found = provider.redeem("a code", START)
    assert (found.claims["sub"], found.claims["groups"], found.id_token) == ("ada", ["x"], issuer.id_token)


def unsigned(issuer: FakeIssuer) -> str:
    parts = ({"alg": "none"}, issuer.claims())
    return ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts) + "."


def by_another_key(issuer: FakeIssuer) -> str:
    return issuer.sign(issuer.claims(), RSAKey.generate_key(2048, {"kid": issuer.key.kid}))


def by_an_unknown_key(issuer: FakeIssuer) -> str:
    return issuer.sign(issuer.claims(), RSAKey.generate_key(2048, {"kid": "unknown"}))


def by_a_key_in_its_header(issuer: FakeIssuer) -> str:
    own = RSAKey.generate_key(2048, {"kid": issuer.key.kid})
    return issuer.sign(issuer.claims(), own, jwk=own.as_dict(private=False))


def with_claims(**other: Any) -> Callable[[FakeIssuer], str]:
    return lambda issuer: issuer.sign(issuer.claims(**other))


def with_time(claim: str, seconds: int) -> Callable[[FakeIssuer], str]:
    """Make a token whose claim is so many seconds from now: when the test runs, which may be an hour after this module came."""
    return lambda issuer: issuer.sign(issuer.claims(**{claim: int(time.time()) + seconds}))


WRONG: Mapping[str, tuple[Callable[[FakeIssuer], str], str]] = {
    "another issuer": (with_claims(iss="https://other.example"), "invalid_claim iss"),
    "no issuer": (with_claims(iss=None), "missing_claim iss"),
    "another audience": (with_claims(aud="another client"), "invalid_claim aud"),
    "no audience": (with_claims(aud=None), "missing_claim aud"),
    "for another party": (with_claims(aud=[CLIENT_ID, "other"], azp="other"), "invalid_claim azp"),
    "for two without a party": (with_claims(aud=[CLIENT_ID, "other"]), "missing_claim azp"),
    "another nonce": (with_claims(nonce="of another sign-in"), "invalid_claim nonce"),
    "no nonce": (lambda issuer: issuer.sign({**issuer.claims(), "nonce": ""}), "claim nonce"),
    "expired": (with_time("exp", -LEEWAY - 30), "expired_token"),
    "no expiry": (with_claims(exp=None), "missing_claim exp"),
    "from the future": (with_time("iat", 3600), "iat"),
    "not yet valid": (with_time("nbf", 3600), "nbf"),
    "an expiry that is a text": (with_claims(exp="tomorrow"), "exp"),
    "no subject": (with_claims(sub=None), "missing_claim sub"),
    "a subject that is a number": (with_claims(sub=7), "sub"),
    "another access token": (with_claims(at_hash="AAAAAAAAAAAAAAAAAAAAAA"), "invalid_claim at_hash"),
    "alg none": (unsigned, "token"),
    "HS256 by the public key": (lambda issuer: issuer.sign_by_public_key(issuer.claims()), "algorithm that is not allowed"),
    "another key of the same name": (by_another_key, "no key of the provider"),
    "an unknown key": (by_an_unknown_key, "no key of the provider"),
    "a key that it brings itself": (by_a_key_in_its_header, "a token is"),
    "three dots": (lambda issuer: "a.b.c", "malformed"),
    "empty": (lambda issuer: "", "malformed"),
}


@pytest.mark.parametrize(("make", "reason"), WRONG.values(), ids=list(WRONG))
def test_a_token_is_refused(
    make: Callable[[FakeIssuer], str], reason: str, issuer: FakeIssuer, provider: IdentityProvider
) -> None:
    issuer.id_token = make(issuer)
    with pytest.raises(SignInRefused, match=reason):
        provider.redeem("a code", START)


def test_a_header_that_is_not_known_is_ignored(issuer: FakeIssuer, provider: IdentityProvider) -> None:
    header = {"alg": "RS256", "kid": issuer.key.kid, "vendor": "x"}
    registry = JWSRegistry(strict_check_header=False, algorithms=["RS256"])
    issuer.id_token = jwt.encode(header, issuer.claims(), issuer.key, registry=registry)
    assert provider.redeem("a code", START).claims["sub"] == "ada"


def test_clocks_may_differ_a_little(issuer: FakeIssuer, provider: IdentityProvider) -> None:
    issuer.id_token = issuer.sign(issuer.claims(exp=int(time.time()) - LEEWAY + 30))
    assert provider.redeem("a code", START).claims["sub"] == "ada"


def test_a_new_key_is_fetched_at_once_and_unknown_keys_not_more_than_once_a_minute(
    issuer: FakeIssuer, provider: IdentityProvider, clock: Clock
) -> None:
    issuer.id_token = issuer.sign(issuer.claims())
    provider.redeem("a code", START)
    clock.now += KEYS_EVERY_SECONDS
    issuer.rotate("three")
    issuer.id_token = issuer.sign(issuer.claims())
    assert provider.redeem("a code", START).claims["sub"] == "ada"
    assert issuer.keys_fetched == 2
    issuer.id_token = by_an_unknown_key(issuer)
    for _ in range(5):
        with pytest.raises(SignInRefused):
            provider.redeem("a code", START)
    assert issuer.keys_fetched == 2, "within the minute"
    clock.now += KEYS_EVERY_SECONDS
    with pytest.raises(SignInRefused):
        provider.redeem("a code", START)
    assert issuer.keys_fetched == 3


def test_a_key_that_the_provider_withdrew_is_not_trusted_after_an_hour(
    issuer: FakeIssuer, provider: IdentityProvider, clock: Clock
) -> None:
    issuer.id_token = issuer.sign(issuer.claims())
    provider.redeem("a code", START)
    issuer.rotate("four")
    clock.now += METADATA_SECONDS
    with pytest.raises(SignInRefused, match="no key"):
        provider.redeem("a code", START)


def test_claims_that_a_rule_needs_are_asked_for(issuer: FakeIssuer, provider: IdentityProvider) -> None:
    issuer.id_token = issuer.sign(issuer.claims(groups=None, name="Ada"))
    issuer.user_info = {"sub": "ada", "groups": ["x"], "name": "of less weight"}
    claims = provider.redeem("a code", START).claims
    assert (claims["groups"], claims["name"]) == (["x"], "Ada")
    issuer.user_info = {"sub": "another", "groups": ["x"]}
    with pytest.raises(SignInRefused, match="another person"):
        provider.redeem("a code", START)


def test_a_discovery_document_of_another_issuer_is_refused(issuer: FakeIssuer, provider: IdentityProvider) -> None:
    issuer.more = {"issuer": "https://other.example"}
    with pytest.raises(ProviderAway, match=r"other\.example"):
        provider.authorization_url(START)


def test_the_answer_of_another_issuer_is_refused(issuer: FakeIssuer, provider: IdentityProvider) -> None:
    provider.check_issuer(None)
    provider.check_issuer(issuer.url)
    with pytest.raises(SignInRefused):
        provider.check_issuer("https://other.example")


def test_an_answer_without_an_issuer_is_refused_where_the_provider_names_it(
    issuer: FakeIssuer, provider: IdentityProvider
) -> None:
    issuer.more = {"authorization_response_iss_parameter_supported": True}
    with pytest.raises(SignInRefused):
        provider.check_issuer(None)


def test_the_request_has_state_nonce_and_the_challenge_but_not_the_verifier(provider: IdentityProvider) -> None:
    url = provider.authorization_url(START)
    for expected in ("state=the+state", "nonce=the+nonce", "code_challenge_method=S256", "response_type=code", "scope=openid+"):
        assert expected in url
    assert START.verifier not in url


@pytest.mark.parametrize(
    ("secret", "supported", "method"),
    [
        ("", ["client_secret_basic"], "none"),
        ("plain", None, "client_secret_basic"),
        ("plain", ["client_secret_post"], "client_secret_post"),
        ("pl+in%", ["client_secret_basic", "client_secret_post"], "client_secret_post"),
        ("pl+in%", ["client_secret_basic"], "client_secret_basic"),
    ],
)
def test_how_the_client_proves_itself(issuer: FakeIssuer, secret: str, supported: Any, method: str) -> None:
    issuer.more = {"token_endpoint_auth_methods_supported": supported}
    settings = settings_of(issuer).model_copy(update={"oidc_client_secret": secret})
    assert IdentityProvider(settings)._authentication() == method


# --- back-channel logout ---


def logout_claims(issuer: FakeIssuer, **other: Any) -> dict[str, Any]:
    known = {"nonce": None, "jti": "1", "sid": "s", "events": {LOGOUT_EVENT: {}}}
    return issuer.claims(**{**known, **other})


def test_a_logout_token_names_a_person_and_a_session(issuer: FakeIssuer, provider: IdentityProvider) -> None:
    assert provider.logged_out(issuer.sign(logout_claims(issuer))) == ("ada", "s")
    assert provider.logged_out(issuer.sign(logout_claims(issuer, sid=None))) == ("ada", "")


@pytest.mark.parametrize(
    "other",
    [
        {"nonce": "as an ID token has"},
        {"events": None},
        {"events": {"another event": {}}},
        {"sub": None, "sid": None},
        {"iss": "https://other.example"},
        {"aud": "another client"},
        {"iat": int(time.time()) - 3600},
        {"exp": int(time.time()) - 3600},
        {"jti": None},
        {"sub": ["ada"]},
    ],
    ids=lambda other: "-".join(other),
)
def test_another_token_is_no_logout(other: dict[str, Any], issuer: FakeIssuer, provider: IdentityProvider) -> None:
    with pytest.raises(SignInRefused):
        provider.logged_out(issuer.sign(logout_claims(issuer, **other)))


def test_an_id_token_is_no_logout_token(issuer: FakeIssuer, provider: IdentityProvider) -> None:
    with pytest.raises(SignInRefused):
        provider.logged_out(issuer.sign(issuer.claims()))
