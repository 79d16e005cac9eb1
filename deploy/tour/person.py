"""A person with a browser: signs in at the identity provider by the real redirects, and works on the pages' side of the API."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from deploy.tour.telling import NotAsItShouldBe, waited
from tests.support.oidc_provider import OidcProvider

HTML = {"Accept": "text/html"}
SECONDS, IMPORT_SECONDS = 60, 180.0
FINAL = {"succeeded", "partially_succeeded", "rejected", "failed", "canceled"}


class Browser:
    """Requests to one server, whose certificate's authority is trusted; cookies are kept. ``key``: an API key to send."""

    def __init__(self, url: str, authority: Path, key: str = "") -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy before this machine's own addresses
        self._session.verify = str(authority)
        if key:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def page(self, path: str) -> requests.Response:
        """Return a page, after the redirects."""
        return self._session.get(f"{self.url}{path}", headers=HTML, timeout=SECONDS)

    def json(self, path: str) -> Any:
        """Return an answer of the API. Raises NotAsItShouldBe if it is refused."""
        answer = self._session.get(f"{self.url}{path}", timeout=SECONDS)
        if not answer.ok:
            raise NotAsItShouldBe(f"GET {path} was answered with {answer.status_code}: {answer.text}")
        return answer.json()

    def sign_in(self, provider: OidcProvider, account: str) -> requests.Response:
        """Follow the button of the sign-in page to the provider and back; return the page where one arrives."""
        there = self._session.get(f"{self.url}/sign-in/sso?next=/imports", allow_redirects=False, timeout=SECONDS)
        if not there.headers.get("Location", "").startswith(provider.issuer):
            raise NotAsItShouldBe(f"/sign-in/sso does not lead to the provider: {there.status_code} {there.headers}")
        back = provider.walk(there.headers["Location"], account)
        return self.page(back.removeprefix(self.url))

    def upload(self, dataset: str, name: str, content: bytes) -> dict[str, Any]:
        """Upload a file as the upload page does, wait for the end of its import, and return that."""
        token = re.search(r'name="csrf[_-]token" (?:value|content)="([^"]+)"', self.page("/").text)
        headers = {"Referer": f"{self.url}/", "X-CSRF-Token": token[1] if token else ""}
        path = f"{self.url}/v1/datasets/{dataset}/imports?filename={name}"
        answer = self._session.post(path, data=content, headers=headers, timeout=SECONDS)
        if answer.status_code != 202:
            raise NotAsItShouldBe(f"The upload of {name} was answered with {answer.status_code}: {answer.text}")
        made: dict[str, Any] = answer.json()
        address = f"/v1/imports/{made['id']}"
        waited(lambda: self.json(address)["state"] in FINAL, IMPORT_SECONDS, f"the import of {name} has ended")
        ended: dict[str, Any] = self.json(address)
        return ended


def path_of(answer: requests.Response) -> str:
    """Return the path where redirects ended."""
    return urlsplit(answer.url).path
