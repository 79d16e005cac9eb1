"""When certificates expire: in files, at servers, and what cannot be read."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.monitoring.certificates import read_expiries
from tests.support.certificates import write_certificate


def test_a_file_with_several_counts_the_first_to_expire(tmp_path: Path) -> None:
    files = [write_certificate(tmp_path / f"{days}.pem", days=days) for days in (90, 10, 300)]
    chain = tmp_path / "chain.pem"
    chain.write_bytes(b"".join(file.read_bytes() for file in files))
    both = list(read_expiries([str(chain), str(files[1])]))
    assert [one.labels["certificate"] for one in both] == ["chain.pem", "10.pem"]
    assert abs(both[0].value - both[1].value) < 60


@pytest.mark.parametrize("text", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_cannot_be_read_has_expired(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "web.pem"
    if text is not None:
        file.write_text(text)
    assert [one.value for one in read_expiries([str(file)])] == [0]


def test_a_server_is_asked_and_need_not_be_trusted(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_certificate(tmp_path / "web.pem", days=-1, key_file=key), key)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with suppress(OSError), context.wrap_socket(listening.accept()[0], server_side=True) as one:
                one.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        place = f"127.0.0.1:{listening.getsockname()[1]}"
        (found,) = read_expiries([place])
        thread.join()
    (own,) = read_expiries([str(tmp_path / "web.pem")])
    assert (found.value, found.labels["certificate"]) == (own.value, place)
    assert [one.value for one in read_expiries([place])] == [0]
