"""What the identity provider publishes: its discovery document and its keys, kept for an hour; and tokens that those keys sign.

A key that is not known yet, as after a rotation, is looked up at once, but at most once a minute: anyone can send a token that
names an unknown key. Signatures are joserfc's, which is loaded at the first sign-in only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pipeline.settings import Settings

if TYPE_CHECKING:
    from joserfc.jwk import Key

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Signatures by a private key of the provider. Neither ``none`` nor HS256, by which anyone with the public key could sign."""

_KEY_TYPES = ("RSA", "EC", "OKP")
METADATA_SECONDS = 3600.0
"""How long discovery document and keys are used before they are fetched again."""

KEYS_EVERY_SECONDS = 60.0
"""Keys are fetched anew for a token of an unknown key at most this often."""

TIMEOUT = (3.05, 10.0)
"""Seconds to connect to the provider, and to wait for its answer."""


class ProviderAway(Exception):
    """The identity provider does not answer, or not as a provider does. The text is for the log."""


class SignInRefused(Exception):
    """The provider's answer does not prove who the person is. The text is for the log; it has no value of a token."""


class ProviderDocuments:
    """The documents of the provider that the settings name. Safe to share between threads."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._metadata: dict[str, Any] = {}
        self._metadata_at = self._keys_at = float("-inf")
        self._keys: list[Key] = []

    def metadata(self) -> Mapping[str, Any]:
        """Return the discovery document; an old one if the provider does not answer now. Raises ProviderAway."""
        if self._clock() - self._metadata_at < METADATA_SECONDS:
            return self._metadata
        try:
            found = fetch_json(f"{self._settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self._settings.oidc_issuer:
                raise ProviderAway(f"the discovery document is of the issuer {found.get('issuer')!r}")
        except ProviderAway:
            if self._metadata:
                return self._metadata
            raise
        with self._lock:
            self._metadata, self._metadata_at = found, self._clock()
        return found

    def endpoint(self, name: str) -> str:
        """Return the address of one of the provider's endpoints. Raises ProviderAway if it has none, or one without TLS."""
        url = self.metadata().get(name)
        is_plain = self._settings.oidc_issuer.startswith("http://")
        if not isinstance(url, str) or not url.startswith(("https://", "http://") if is_plain else "https://"):
            raise ProviderAway(f"the discovery document has no usable {name}")
        return url

    def verified(self, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return header and claims of a token that one of the provider's keys signed. Raises SignInRefused, ProviderAway."""
        from joserfc import jws
        from joserfc.errors import JoseError

        try:
            kid = jws.extract_compact(token.encode()).headers().get("kid")
        except (JoseError, ValueError, TypeError) as error:
            raise SignInRefused("a token is malformed") from error
        if self._clock() - self._keys_at >= METADATA_SECONDS:
            self._fetch_keys(every=0)
        found = self._signed_by(kid, token)
        if found is None and self._fetch_keys(every=KEYS_EVERY_SECONDS):
            found = self._signed_by(kid, token)
        if found is None:
            raise SignInRefused("a token is signed by no key of the provider")
        return found

    def _signed_by(self, kid: Any, token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return header and claims if a known key signed the token. Raises SignInRefused for an algorithm not allowed."""
        from joserfc import jwt
        from joserfc.errors import JoseError, UnsupportedAlgorithmError
        from joserfc.jws import JWSRegistry

        registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)  # unknown headers are ignored (RFC 7515)
        for key in self._keys:
            if kid is not None and key.kid != kid:
                continue
            try:
                found = jwt.decode(token, key, registry=registry)
                return dict(found.header), dict(found.claims)
            except UnsupportedAlgorithmError as error:
                raise SignInRefused("a token has an algorithm that is not allowed") from error
            except (JoseError, ValueError, TypeError):  # signed by another key, or one of another type
                continue
        return None

    def _fetch_keys(self, *, every: float) -> bool:
        """Fetch the provider's keys, unless that was done within ``every`` seconds; return whether they were."""
        with self._lock:
            if self._clock() - self._keys_at < every:
                return False
            before, self._keys_at = self._keys_at, self._clock()
        try:
            self._keys = _imported(fetch_json(self.endpoint("jwks_uri")))
        except ProviderAway:
            if not self._keys:
                self._keys_at = before
                raise
        return True


def fetch_json(url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the JSON object at an address of the provider. Raises ProviderAway."""
    import requests

    with reaching(url):
        answer = requests.get(url, headers=headers, timeout=TIMEOUT, allow_redirects=False)
        answer.raise_for_status()
        found = answer.json()
    if not isinstance(found, dict):
        raise ProviderAway(f"{url} answered no object")
    return found


@contextmanager
def reaching(what: str) -> Iterator[None]:
    """Turn errors of the connection, and answers that are no JSON, into ProviderAway."""
    from requests import RequestException

    try:
        yield
    except RequestException as error:  # also of an answer that is no JSON
        raise ProviderAway(f"{what}: {type(error).__name__}") from error


def _imported(document: Mapping[str, Any]) -> list[Key]:
    """Return the public keys of a JWK set that are for signatures, without those of unknown types."""
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    keys = []
    for one in document.get("keys") or ():
        if not isinstance(one, dict) or one.get("kty") not in _KEY_TYPES or one.get("use", "sig") != "sig":
            continue
        with suppress(JoseError, ValueError, TypeError):
            keys.append(import_key(one))
    return keys
