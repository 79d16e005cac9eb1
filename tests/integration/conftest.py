"""The web app on real servers: in this process behind Flask's client, or behind gunicorn on a port of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from pipeline.adapters.s3 import Store
from pipeline.ledger.api_keys import Role
from pipeline.sandbox import process
from pipeline.settings import Settings
from tests.support.bulkhead import Bulkhead
from tests.support.http import Caller, follow_link
from tests.support.oidc_provider import oidc, oidc_process
from tests.support.web_app import Server, edges, keys, serve
from tests.support.workers import running_worker
from web import create_app
from web.app_context import AppContext

__all__ = ["edges", "keys", "oidc", "oidc_process", "serve"]


@pytest.fixture
def app(settings: Settings, edges: AppContext) -> Flask:
    """The app on this test's own edges."""
    return create_app(settings, context=edges)


@pytest.fixture
def key_for(edges: AppContext) -> Callable[[str], str]:
    """Makes a key for a role."""
    return lambda role: edges.keys.create(f"a test's {role}", Role(role))[0]


@pytest.fixture
def caller_for(app: Flask, key_for: Callable[[str], str]) -> Callable[[str], Caller]:
    """Makes a caller with a key for a role."""
    return lambda role: Caller(app.test_client(), key_for(role))


@pytest.fixture
def api(caller_for: Callable[[str], Caller]) -> Caller:
    """An uploader."""
    return caller_for("uploader")


@pytest.fixture
def browser(app: Flask, edges: AppContext) -> FlaskClient:
    """A client that has signed in; not a real browser, which the e2e tests have."""
    client = app.test_client()
    _, key = edges.keys.create("a user of a test", Role.ADMIN)
    assert follow_link(client, edges.keys.sign_in_token(key.id)).status_code == 303
    return client


@pytest.fixture
def server(settings: Settings, serve: Callable[[Settings], Server]) -> Server:
    """The app behind gunicorn, on this test's own edges, with an uploader's key."""
    return serve(settings)


@pytest.fixture
def bulkhead(settings: Settings, store: Store) -> Iterator[Bulkhead]:
    """The application on this test's own servers, with a worker in a thread of this process."""
    one = Bulkhead(settings, store)
    with running_worker(settings):
        yield one
    one.close()


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the arguments that name the file or import of each validation in a child process of this test's workers."""
    seen: list[str] = []
    real: Callable[..., Any] = process.run

    def run(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if function.__name__ == "validate":
            seen.append(args[3])
        return real(function, *args, **options)

    monkeypatch.setattr(process, "run", run)
    return seen
