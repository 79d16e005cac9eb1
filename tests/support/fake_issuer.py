"""A tiny issuer that signs whatever a test wants: for tokens that no real provider gives."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID = "bulkhead"


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@dataclass
class FakeIssuer:
    """Keys, and the answer of the token endpoint. ``keys_fetched`` counts how often the keys were asked for."""

    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    id_token: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    user_info: Mapping[str, Any] = field(default_factory=dict)
    keys_fetched: int = 0

    def claims(self, nonce: str = "the nonce", **other: Any) -> dict[str, Any]:
        """Return valid claims of an ID token, with these changes; None removes one."""
        now = int(time.time())
        known = {"iss": self.url, "aud": CLIENT_ID, "sub": "ada", "nonce": nonce, "iat": now, "exp": now + 300, "groups": ["x"]}
        return {name: value for name, value in {**known, **other}.items() if value is not None}

    def sign(self, claims: Mapping[str, Any], key: RSAKey | None = None, **header: Any) -> str:
        """Return a token signed by its key, or by another."""
        key = key or self.key
        return jwt.encode({"alg": "RS256", "kid": key.kid, **header}, dict(claims), key)

    def sign_by_public_key(self, claims: Mapping[str, Any]) -> str:
        """Return a token whose HMAC was made with the public key as its secret: the confusion of algorithms."""
        parts = ({"alg": "HS256", "kid": self.key.kid}, claims)
        signed = ".".join(_encoded(json.dumps(one).encode()) for one in parts)
        return f"{signed}.{_encoded(hmac.digest(self.key.as_pem(private=False), signed.encode(), 'sha256'))}"

    def rotate(self, kid: str = "two") -> None:
        """Use another key from now on."""
        self.key = RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})

    def answer(self, path: str) -> Mapping[str, Any]:
        """Return the JSON at a path."""
        if path == "/jwks":
            self.keys_fetched += 1
            return {"keys": [self.key.as_dict(private=False), {"kty": "oct", "k": "AAAA"}, {"kty": "AKP", "pub": "x"}]}
        if path == "/token":
            return {"access_token": "opaque", "token_type": "Bearer", "id_token": self.id_token}
        if path == "/me":
            return self.user_info
        endpoints = {
            "authorization_endpoint": "/auth",
            "token_endpoint": "/token",
            "jwks_uri": "/jwks",
            "userinfo_endpoint": "/me",
        }
        return {"issuer": self.url, **{name: f"{self.url}{path}" for name, path in endpoints.items()}, **self.more}


def _handler(issuer: FakeIssuer) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.dumps(issuer.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name is the base class's

        def log_message(self, *_: Any) -> None:
            return

    return Handler


@contextmanager
def fake_issuer() -> Iterator[FakeIssuer]:
    """Serve an issuer on a free port."""
    issuer = FakeIssuer()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(issuer)) as server:
        issuer.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.05))
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
