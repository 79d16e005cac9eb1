"""Settings that work and are insecure, each with the reason and the remedy. Pure: it looks at the settings only.

What no process may start with (a missing secret, a known default) is refused by ``check_secrets`` of settings.py; it is
repeated here so that one list shows everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from pipeline.database_settings import database_part, database_urls
from pipeline.errors import InvalidConfiguration
from pipeline.secret_checks import NEW_SECRET, check_secrets, host_of, is_local, is_loopback
from pipeline.setting_types import text_of
from pipeline.settings import Settings

SECRET_CHARACTERS_MIN = 32
"""A session key shorter than this can be guessed; 32 hexadecimal digits are 128 bits."""

ENCRYPTED = re.compile(r"[?&]sslmode=(require|verify-ca|verify-full)(&|$)")
"""PostgreSQL's modes that never continue without TLS; its own default, prefer, does."""


@dataclass(frozen=True)
class InsecureSetting:
    """A setting that is insecure: its name, what may happen, and how to mend it. It contains no value of a secret."""

    name: str
    reason: str
    mend: str

    def to_json(self) -> dict[str, str]:
        """Return it as one object of `bulkhead settings --json`."""
        return asdict(self)

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.name}: {self.reason} {self.mend}"


def insecure_settings(settings: Settings) -> list[InsecureSetting]:
    """Return what is insecure in the settings, empty if nothing is. A stack on one machine may do without encryption."""
    found = [*_everywhere(settings)]
    return found if is_local(settings) else [*_secrets(settings), *_unencrypted(settings), *found]


def _secrets(settings: Settings) -> Iterator[InsecureSetting]:
    try:
        check_secrets(settings)
    except InvalidConfiguration as error:
        wrong, _, mend = str(error).partition(". Set a value")
        for one in wrong.split("; "):
            yield InsecureSetting(
                one.removeprefix("the password in ").split()[0], f"{one[0].upper()}{one[1:]}.", f"Set a value{mend}"
            )
    if 0 < len(settings.secret_key) < SECRET_CHARACTERS_MIN:
        yield InsecureSetting(
            "BULKHEAD_SECRET_KEY",
            f"It has fewer than {SECRET_CHARACTERS_MIN} characters, so that session cookies may be forged.",
            f"Set a longer one: {NEW_SECRET}",
        )


def _unencrypted(settings: Settings) -> Iterator[InsecureSetting]:
    """Yield the connections to other machines that are not encrypted, or need not be."""
    if urlsplit(settings.url).scheme == "http" and not is_loopback(host_of(settings.url)):
        yield InsecureSetting(
            "BULKHEAD_URL",
            "It begins with http://, so keys and files cross the network in clear text.",
            "Put a proxy with TLS before the web app and set an address that begins with https://.",
        )
    for name, url in database_urls(settings).items():
        if not is_loopback(database_part(url, "host", "v6")) and not ENCRYPTED.search(url):
            yield InsecureSetting(
                name, "The connection to PostgreSQL need not be encrypted.", "Add ?sslmode=verify-full to the URL, or require."
            )
    if not is_loopback(host_of(f"//{settings.temporal_address}")) and not _has_temporal_tls(settings):
        yield InsecureSetting(
            "TEMPORAL_ADDRESS",
            "The connection to Temporal is not encrypted.",
            "Set TEMPORAL_TLS=true where the server has TLS, or keep it on a network of its own.",
        )
    endpoints = {"AWS_ENDPOINT_URL_S3": settings.s3_endpoint, "BULKHEAD_PUBLIC_S3_ENDPOINT": settings.public_s3_endpoint}
    for name, endpoint in endpoints.items():
        if endpoint and urlsplit(endpoint).scheme == "http" and not is_loopback(host_of(endpoint)):
            yield InsecureSetting(name, "Files cross the network in clear text.", "Set an address that begins with https://.")
    lineage = settings.openlineage_url
    if settings.openlineage_api_key and urlsplit(lineage).scheme == "http" and not is_loopback(host_of(lineage)):
        yield InsecureSetting(
            "OPENLINEAGE_URL", "The API key crosses the network in clear text.", "Set an address that begins with https://."
        )


_TEMPORAL_TLS = ("temporal_tls_server_ca_cert_path", "temporal_tls_client_cert_path", "temporal_api_key", "temporal_profile")
"""Settings with which the SDK uses TLS, unless TEMPORAL_TLS says otherwise."""


def _has_temporal_tls(settings: Settings) -> bool:
    switch = str(getattr(settings, "temporal_tls", "")).lower()
    if switch in ("false", "0", "no", "off"):
        return False
    return switch in ("true", "1", "yes", "on") or any(text_of(getattr(settings, name, "")) for name in _TEMPORAL_TLS)


def _everywhere(settings: Settings) -> Iterator[InsecureSetting]:
    """Yield what is insecure on one machine, too."""
    if settings.webhook_allow_private:
        yield InsecureSetting(
            "BULKHEAD_WEBHOOK_ALLOW_PRIVATE",
            "An upload may name any address within your own network, and the worker sends a request to it.",
            "Set false, or name the allowed domains in BULKHEAD_NOTIFY_DOMAINS.",
        )
    if settings.webhook_urls and not settings.webhook_secret:
        yield InsecureSetting(
            "BULKHEAD_WEBHOOK_SECRET",
            "It is not set, so that receivers cannot tell messages of Bulkhead from forged ones.",
            "Set a secret of the form whsec_... and have the receivers check the signature.",
        )
    for url in settings.webhook_urls:
        if urlsplit(url).scheme == "http" and not is_loopback(host_of(url)):
            yield InsecureSetting(
                "BULKHEAD_WEBHOOK_URLS",
                f"Messages to {host_of(url)} cross the network in clear text.",
                "Set an address that begins with https://.",
            )
    smtp = urlsplit(settings.smtp_url)
    if smtp.scheme == "smtp" and smtp.password and not is_loopback(smtp.hostname or ""):
        yield InsecureSetting(
            "BULKHEAD_SMTP_URL",
            "The password is sent in clear text if the server, or an attacker in between, offers no STARTTLS.",
            "Use smtps://user:password@host:465.",
        )
    if settings.requests_per_minute == 0 and not is_loopback(settings.bind):
        yield InsecureSetting(
            "BULKHEAD_REQUESTS_PER_MINUTE", "One key may send any number of requests.", "Set a number, such as 6000."
        )
