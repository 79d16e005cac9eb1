"""The web app with TLS of its own: what of this machine asks it, and what says that its certificate is not trusted."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.cli.doctor import machine
from pipeline.cli.doctor.results import Wrong
from pipeline.client import Client
from pipeline.errors import InvalidConfiguration, Unreachable
from pipeline.local import health_check
from pipeline.local.answers import answered
from pipeline.local.component import Component
from pipeline.local.home import Home
from pipeline.local.metrics import with_ports
from pipeline.settings import Settings, load_settings
from tests.support.certificates import Authority


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"{}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of refused handshakes, which some tests want."""


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of a server whose certificate a private authority has signed."""
    issued = Authority(tmp_path).issue("web", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    with Server(("127.0.0.1", 0), Healthy) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def of(port: int, authority: Path | str = "") -> Settings:
    files = {"tls_certificate": "web.pem", "tls_key": "web.key"}
    return Settings(url=f"https://127.0.0.1:{port}", port=port, ca_certificate=str(authority), **files)


def test_the_checks_of_this_machine_need_no_authority(port: int) -> None:
    assert answered(f"https://127.0.0.1:{port}/healthz", seconds=20) == 200
    health_check.web(of(port))
    with pytest.raises((OSError, HTTPException)):
        answered(f"http://127.0.0.1:{port}/healthz", seconds=20)
    with pytest.raises(Unreachable):
        health_check.web(Settings(port=port))


def test_the_doctor_trusts_the_named_authority_only(port: int, tmp_path: Path) -> None:
    assert "is healthy, TLS, certificate valid until" in machine.web(of(port, tmp_path / "authority.pem"))
    with pytest.raises(Wrong, match="its certificate is not accepted; BULKHEAD_CA_CERTIFICATE names a private authority"):
        machine.web(of(port))


def test_the_client_trusts_the_named_authority_only(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BULKHEAD_HOME", str(tmp_path))
    monkeypatch.setenv("BULKHEAD_URL", f"https://127.0.0.1:{port}")
    with pytest.raises(Unreachable, match=r"certificate of https.* is not accepted .*set BULKHEAD_CA_CERTIFICATE"):
        Client().datasets()
    monkeypatch.setenv("BULKHEAD_CA_CERTIFICATE", str(tmp_path / "authority.pem"))
    assert Client().datasets() == {}


def test_settings_that_do_not_fit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BULKHEAD_TLS_CERTIFICATE", "web.pem")
    with pytest.raises(InvalidConfiguration, match="BULKHEAD_TLS_CERTIFICATE and BULKHEAD_TLS_KEY belong together"):
        load_settings(tmp_path)
    monkeypatch.setenv("BULKHEAD_TLS_KEY", "web.key")
    assert load_settings(tmp_path).has_tls
    monkeypatch.setenv("BULKHEAD_CA_CERTIFICATE", str(tmp_path / "none.pem"))
    with pytest.raises(InvalidConfiguration, match=r"there is no file .*none\.pem"):
        load_settings(tmp_path)


@pytest.mark.parametrize(("scheme", "labels"), [("http", {}), ("https", {"__scheme__": "https"})])
def test_prometheus_is_told_of_the_web_apps_scheme(tmp_path: Path, scheme: str, labels: dict[str, str]) -> None:
    components = [Component(name, [], lambda: True, {}) for name in ("relay", "web")]
    with_ports(Home(tmp_path), components, 9464, web_scheme=scheme)
    targets = json.loads((tmp_path / "metrics" / "targets.json").read_text())
    assert [one["labels"] for one in targets] == [{"process": "relay"}, {"process": "web", **labels}]
