"""When TLS certificates expire: those in files, and those that servers present."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from pipeline.telemetry.catalog import CERTIFICATE_EXPIRY
from pipeline.telemetry.metric import Reading

ANSWER_SECONDS = 3.0
AT_ONCE = 8

_SERVER = re.compile(r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")

log = structlog.get_logger()


def read_expiries(places: Sequence[str]) -> Iterator[Reading]:
    """Yield when each certificate expires, in Unix time; 0, which alerts, for one that cannot be read.

    A place is a file in PEM format, whose first certificate to expire counts, or ``host:port`` of a TLS server. The label of a
    file is its name without the folder.
    """
    with ThreadPoolExecutor(AT_ONCE, "certificate") as pool:
        for place, expiry in zip(places, pool.map(_expiry, places), strict=True):
            name = place if _SERVER.fullmatch(place) else Path(place).name
            yield Reading(CERTIFICATE_EXPIRY, expiry, {"certificate": name})


def _expiry(place: str) -> float:
    from cryptography import x509

    try:
        found = _SERVER.fullmatch(place)
        if found:
            certificates = [x509.load_der_x509_certificate(_presented(found["host"].strip("[]"), int(found["port"])))]
        else:
            certificates = x509.load_pem_x509_certificates(Path(place).read_bytes())
        return min(one.not_valid_after_utc.timestamp() for one in certificates)
    except (OSError, ValueError) as error:
        log.warning("certificate not read", certificate=place, error=str(error))
        return 0.0


def _presented(host: str, port: int) -> bytes:
    """Return the certificate that a server presents, in DER format. It is not verified: an expired one is to be seen."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout=ANSWER_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        return secure.getpeercert(binary_form=True) or b""
