"""Reach a server without asking anything of it: resolve its name, connect, and look at its certificate."""

from __future__ import annotations

import socket
import ssl
import time
from datetime import UTC, datetime

from pipeline.cli.doctor.results import ANSWER_SECONDS, Doubtful, Wrong

CERTIFICATE_DAYS_MIN = 21
"""A certificate that expires sooner should have been renewed: automatic renewal is 30 days before."""


def reach(host: str, port: int, *, tls: bool, authority: str = "") -> str:
    """Connect, with TLS if asked, and return what was found. Raises Wrong if that fails, Doubtful for an old certificate.

    ``authority``: a file with the authority to trust, if it is a private one.
    """
    try:
        with socket.create_connection((host, port), timeout=ANSWER_SECONDS) as plain:
            if not tls:
                return "reachable"
            with ssl.create_default_context(cafile=authority or None).wrap_socket(plain, server_hostname=host) as secured:
                return certificate(host, secured)
    except ssl.SSLCertVerificationError as error:
        raise Wrong(f"the certificate of {host} is not accepted: {error.verify_message}", "Renew or correct it.") from error
    except ssl.SSLError as error:
        raise Wrong(f"{host}:{port} does not speak TLS: {error.reason}", "Check the scheme and the port.") from error
    except socket.gaierror as error:
        raise Wrong(f"the name {host} has no address", "Check the name, and this machine's DNS.") from error
    except OSError as error:
        why = error.strerror or "no answer in time"
        raise Wrong(f"{host}:{port} cannot be reached: {why}", "Check the address, and the firewalls in between.") from error


def certificate(host: str, secured: ssl.SSLSocket) -> str:
    """Return for how long the server's certificate is valid. Raises Doubtful if that is not long."""
    ends = str((secured.getpeercert() or {}).get("notAfter", ""))
    if not ends:
        return "TLS"
    seconds = ssl.cert_time_to_seconds(ends)
    day = datetime.fromtimestamp(seconds, UTC).date().isoformat()
    if seconds - time.time() < CERTIFICATE_DAYS_MIN * 86_400:
        raise Doubtful(f"the certificate of {host} expires on {day}", "Renew it, and check why that did not happen by itself.")
    return f"TLS, certificate valid until {day}"
