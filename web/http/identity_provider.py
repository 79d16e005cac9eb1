"""Sign-in and sign-out at the identity provider (OpenID Connect): addresses, and the tokens that it gives for a code.

OAuth and the claims of an ID token are Authlib's, which is loaded at the first sign-in only. Specifications: OpenID Connect
Core 1.0 and Discovery 1.0, RFC 7636 (PKCE), RFC 9207 (the issuer in the answer), Back-Channel Logout 1.0.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from pipeline.settings import Settings
from pipeline.sso_rules import claim_of
from web.http.provider_documents import TIMEOUT, ProviderAway, ProviderDocuments, SignInRefused, fetch_json, reaching

if TYPE_CHECKING:
    from authlib.integrations.requests_client import OAuth2Session

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_SECONDS = 300
"""A logout token that is older is refused: it might be sent again."""


@dataclass(frozen=True)
class Start:
    """What a sign-in began with, and is checked against: nonce and PKCE verifier are secrets of one browser."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True)
class SignedIn:
    """What the provider says of a person."""

    claims: Mapping[str, Any]
    id_token: str


class IdentityProvider:
    """The provider that the settings name. Safe to share between threads."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._documents = ProviderDocuments(settings, clock)
        self._claims_needed = {rule.claim for rule in settings.sso_rules}

    # --- signing in ---

    def authorization_url(self, start: Start, *, prompt: str = "") -> str:
        """Return the address at the provider where a person signs in. Raises ProviderAway."""
        more = {"prompt": prompt} if prompt else {}
        with self._client() as client:
            url, _ = client.create_authorization_url(
                self._documents.endpoint("authorization_endpoint"),
                state=start.state,
                nonce=start.nonce,
                code_verifier=start.verifier,
                **more,
            )
        return str(url)

    def check_issuer(self, given: str | None) -> None:
        """Refuse an answer that another provider gave (RFC 9207). Raises SignInRefused, ProviderAway."""
        is_due = self._documents.metadata().get("authorization_response_iss_parameter_supported") is True
        if given != self._settings.oidc_issuer and (given is not None or is_due):
            raise SignInRefused("another issuer answered")

    def redeem(self, code: str, start: Start) -> SignedIn:
        """Return who signed in, for the code that the provider sent. Raises SignInRefused, ProviderAway."""
        tokens = self._tokens(code, start)
        id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str):
            raise SignInRefused("no ID token")
        claims = self._id_claims(id_token, start.nonce, access_token)
        return SignedIn(self._with_user_info(claims, access_token), id_token)

    def _tokens(self, code: str, start: Start) -> Mapping[str, Any]:
        from authlib.common.errors import AuthlibBaseError

        with self._client() as client, reaching("the token endpoint"):
            try:
                url = self._documents.endpoint("token_endpoint")
                found = client.fetch_token(url, code=code, code_verifier=start.verifier, timeout=TIMEOUT, allow_redirects=False)
            except AuthlibBaseError as error:
                raise SignInRefused(f"code not accepted: {error.error}") from error
            except ValueError as error:  # requests' errors of JSON are RequestExceptions, and are handled as such
                raise ProviderAway("the token endpoint answered no JSON object") from error
        if not isinstance(found, Mapping):
            raise ProviderAway("the token endpoint answered no object")
        return found

    def _id_claims(self, id_token: str, nonce: str, access_token: Any) -> dict[str, Any]:
        """Return the claims of an ID token, which is valid (OpenID Connect Core 1.0, section 3.1.3.7)."""
        from authlib.oidc.core import CodeIDToken
        from joserfc.errors import JoseError

        header, claims = self._documents.verified(id_token)
        settings = self._settings
        options = {"iss": {"essential": True, "value": settings.oidc_issuer}}
        options |= {"aud": {"essential": True, "value": settings.oidc_client_id}}
        params = {"nonce": nonce, "client_id": settings.oidc_client_id, "access_token": access_token}
        try:
            CodeIDToken(claims, header, options, params).validate(leeway=int(settings.oidc_clock_leeway.total_seconds()))
        except JoseError as error:
            raise SignInRefused(f"ID token: {error.error} {getattr(error, 'claim', '') or ''}".strip()) from error
        except (TypeError, ValueError) as error:  # a claim of another type than it may have
            raise SignInRefused("ID token: malformed claims") from error
        if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
            raise SignInRefused("ID token: invalid_claim sub")
        return claims

    def _with_user_info(self, claims: dict[str, Any], access_token: Any) -> dict[str, Any]:
        """Return the claims, with those that only the userinfo endpoint gives if a rule needs one of them."""
        url = self._documents.metadata().get("userinfo_endpoint")
        if not url or not access_token or all(claim_of(claims, name) is not None for name in self._claims_needed):
            return claims
        more = fetch_json(url, {"Authorization": f"Bearer {access_token}"})
        if more.get("sub") != claims["sub"]:
            raise SignInRefused("userinfo is about another person")
        return more | claims

    # --- signing out ---

    def logout_url(self, id_token: str, back: str) -> str | None:
        """Return the address where a person signs out of the provider; None if it has none, or does not answer."""
        from authlib.common.urls import add_params_to_uri

        try:
            url = self._documents.metadata().get("end_session_endpoint")
        except ProviderAway:
            return None
        if not isinstance(url, str):
            return None
        client = self._settings.oidc_client_id
        given = [("id_token_hint", id_token), ("client_id", client), ("post_logout_redirect_uri", back)]
        return str(add_params_to_uri(url, given))

    def logged_out(self, logout_token: str) -> tuple[str, str]:
        """Return the subject and the provider's session that a logout token names; one of them may be empty.

        Raises SignInRefused for an invalid token (Back-Channel Logout 1.0, section 2.6), ProviderAway.
        """
        from joserfc.errors import JoseError
        from joserfc.jwt import JWTClaimsRegistry

        _, claims = self._documents.verified(logout_token)
        settings = self._settings
        leeway = int(settings.oidc_clock_leeway.total_seconds())
        registry = JWTClaimsRegistry(
            leeway=leeway,
            iss={"essential": True, "value": settings.oidc_issuer},
            aud={"essential": True, "value": settings.oidc_client_id},
            iat={"essential": True},
            jti={"essential": True},
        )
        try:
            registry.validate(claims)
            is_old = time.time() - claims["iat"] > LOGOUT_SECONDS + leeway
        except (JoseError, TypeError, ValueError) as error:
            raise SignInRefused("logout token: invalid claims") from error
        events, subject, session = claims.get("events"), claims.get("sub", ""), claims.get("sid", "")
        names_one = isinstance(subject, str) and isinstance(session, str) and bool(subject or session)
        if is_old or "nonce" in claims or not isinstance(events, Mapping) or LOGOUT_EVENT not in events or not names_one:
            raise SignInRefused("logout token: not for a logout, or too old")
        return subject, session

    # --- requests ---

    def _client(self) -> OAuth2Session:
        from authlib.integrations.requests_client import OAuth2Session

        settings = self._settings
        return OAuth2Session(
            settings.oidc_client_id,
            settings.oidc_client_secret or None,
            token_endpoint_auth_method=self._authentication(),
            scope=settings.oidc_scopes,
            redirect_uri=redirect_uri(settings),
            code_challenge_method="S256",
        )

    def _authentication(self) -> str:
        """Return how the client proves itself; a provider that names nothing supports client_secret_basic."""
        if not self._settings.oidc_client_secret:
            return "none"
        supported = self._documents.metadata().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        secret = self._settings.oidc_client_secret
        is_plain = quote_plus(secret) == secret  # otherwise providers differ in how they decode the header (RFC 6749, 2.3.1)
        use_header = "client_secret_basic" in supported and (is_plain or "client_secret_post" not in supported)
        return "client_secret_basic" if use_header else "client_secret_post"


def redirect_uri(settings: Settings) -> str:
    """Return the one address that the provider may send people back to."""
    return f"{settings.url.rstrip('/')}/sign-in/sso/callback"
