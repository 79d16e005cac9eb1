"""Call the API with a key, sign in, and read what a form sends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pipeline.ledger.api_keys import Role
from web.app_context import AppContext


class Caller:
    """Calls the API with a key."""

    def __init__(self, client: FlaskClient, key: str) -> None:
        self._client = client
        self.key = key

    def __call__(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        return self._client.open(path, method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self("GET", path, **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        return self("POST", path, **options)

    def upload(self, content: bytes, *, dataset: str = "places", filename: str = "places.csv", **options: Any) -> TestResponse:
        return self.post(f"/v1/datasets/{dataset}/imports?filename={filename}", data=content, **options)


def follow_link(client: FlaskClient, token: str, **options: Any) -> TestResponse:
    """Open the sign-in link with this token and press the button on its page."""
    page = client.get(f"/sign-in?token={token}", **options)
    fields = dict(re.findall(r'name="(csrf_token|token)" value="([^"]+)"', page.text))
    return client.post("/sign-in", data=fields, **options)


def signed_in(app: Any, edges: AppContext, role: Role, datasets: Sequence[str] | None = None) -> Any:
    """Return a client that has signed in with a new key of this role, for these datasets."""
    client = app.test_client()
    _, key = edges.keys.create("a user of a test", role, datasets)
    follow_link(client, edges.keys.sign_in_token(key.id))
    return client


def button(page: str, action: str, nth: int = 0) -> dict[str, str]:
    """Return the fields of the ``nth`` form with this action on a page, as a browser sends them."""
    form = re.findall(rf'<form method="post" action="{action}">(.*?)</form>', page, re.DOTALL)[nth]
    return dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form))


def csrf(client: Any, page: str) -> str:
    """Return the CSRF token in the form of the page at this address."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page).text)
    assert found is not None
    return found[1]
