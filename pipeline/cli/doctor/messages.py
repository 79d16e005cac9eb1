"""Checks of where messages go: the mail server, webhooks, and the receiver of lineage. Nothing is delivered."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterable
from urllib.parse import urlsplit

from pipeline.cli.doctor.network import certificate, reach
from pipeline.cli.doctor.results import ANSWER_SECONDS, Doubtful, Wrong
from pipeline.display import masked
from pipeline.errors import InvalidRequest, Unreachable
from pipeline.settings import Settings

WEBHOOKS_MAX = 20
"""Webhooks to look at; each has 5 s."""


def mail(settings: Settings) -> str:
    """Check that the mail server greets and, if it can, encrypts. It is given neither password nor message."""
    if not settings.smtp_url:
        addressed = " although BULKHEAD_EMAIL_TO is set" if settings.email_to else ""
        said = f"BULKHEAD_SMTP_URL is not set: e-mails are written to {settings.outbox_dir}{addressed}"
        if settings.email_to:
            raise Doubtful(said, "Set BULKHEAD_SMTP_URL.")
        return said
    at = urlsplit(settings.smtp_url)
    host, secure = at.hostname or "localhost", at.scheme == "smtps"
    number = at.port or (465 if secure else 25)
    kind = smtplib.SMTP_SSL if secure else smtplib.SMTP
    try:
        with kind(host, number, timeout=ANSWER_SECONDS) as server:
            server.ehlo()
            if not secure and server.has_extn("starttls"):
                server.starttls(context=ssl.create_default_context())
                server.ehlo()
                secure = True
            found = certificate(host, server.sock) if isinstance(server.sock, ssl.SSLSocket) else "no TLS"
    except ssl.SSLCertVerificationError as error:
        raise Wrong(f"the certificate of {host} is not accepted: {error.verify_message}", "Renew or correct it.") from error
    except (OSError, smtplib.SMTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise Wrong(f"the mail server {host}:{number} does not answer: {why}", "Check BULKHEAD_SMTP_URL.") from error
    if at.password and not secure:
        raise Doubtful(f"{host}:{number} offers no TLS, so the password crosses the network in clear text", "Use smtps://.")
    return f"{host}:{number} answers, {found}"


def webhooks(settings: Settings) -> str:
    """Check that the recipients of all messages may be called, have an address, and can be reached."""
    if not settings.webhook_urls:
        return "none is set in BULKHEAD_WEBHOOK_URLS"
    found, wrong = [], []
    for url in settings.webhook_urls[:WEBHOOKS_MAX]:
        try:
            found.append(f"{masked(url)}: {_webhook(url, settings)}")
        except Wrong as error:
            wrong.append(error)
    return _together(found, wrong)


def _webhook(url: str, settings: Settings) -> str:
    from pipeline.notify.targets import check_target, web_parts

    try:
        check_target(url, allow_private=settings.webhook_allow_private)
    except (InvalidRequest, Unreachable) as error:
        raise Wrong(f"{masked(url)}: {error}", "Correct BULKHEAD_WEBHOOK_URLS.") from error
    scheme, host, number = web_parts(url)
    return reach(host, number, tls=scheme == "https")


def _together(found: Iterable[str], wrong: list[Wrong]) -> str:
    """Return what was found, or raise what is worst, with all that is wrong."""
    if wrong:
        worst = Doubtful if all(isinstance(one, Doubtful) for one in wrong) else Wrong
        raise worst("; ".join(map(str, wrong)), " ".join(dict.fromkeys(one.mend for one in wrong)))
    return "; ".join(found)


def lineage(settings: Settings) -> str:
    """Check that the receiver of OpenLineage events can be reached."""
    from pipeline.lineage import sender

    if not sender.is_on(settings):
        return "off: neither OPENLINEAGE_URL nor OPENLINEAGE_CONFIG is set, or OPENLINEAGE_DISABLED is"
    sender.make_client(settings)  # reads the configuration
    if settings.openlineage_config:
        return f"by the file {settings.openlineage_config}"
    at = urlsplit(settings.openlineage_url)
    secure = at.scheme == "https"
    return f"{masked(settings.openlineage_url)}: {reach(at.hostname or '', at.port or (443 if secure else 80), tls=secure)}"
