"""Refuse to start with secrets that protect nothing, and say where a process of the stack may write.

On one machine, where nothing listens to another, known defaults are allowed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from urllib.parse import urlsplit

from pipeline.database_settings import database_part, database_urls
from pipeline.errors import BulkheadError, InvalidConfiguration
from pipeline.setting_types import is_secret, names_of, text_of
from pipeline.settings import Settings, load_settings

KNOWN_SECRETS = frozenset(
    {"change-me", "changeme", "bulkhead", "bulkhead-secret", "bulkhead-relay", "password", "postgres", "secret"}
)
"""Secrets in documentation and examples, ours or others': they protect nothing."""

NEW_SECRET = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"


def is_local(settings: Settings) -> bool:
    """Return whether everything in the settings is on this machine: where we listen, and what we connect to."""
    s3 = settings.s3_endpoint or "https://s3.amazonaws.com"
    hosts = [settings.bind, *(host_of(address) for address in (settings.url, f"//{settings.temporal_address}", s3))]
    return all(map(is_loopback, [*hosts, *(database_part(url, "host", "v6") for url in database_urls(settings).values())]))


def host_of(address: str) -> str:
    """Return the host of a URL, or the text itself if it has none."""
    try:
        return urlsplit(address).hostname or address
    except ValueError:
        return address


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine; a database without a host is reached through a socket of this machine."""
    try:
        return host in ("", "localhost") or ip_address(host).is_loopback
    except ValueError:
        return False


def check_secrets(settings: Settings, *needed: str) -> None:
    """Refuse to run with secrets that protect nothing, unless all is on this machine.

    ``needed`` names the settings that the process cannot do without; DATABASE_URL and BULKHEAD_RELAY_TOKEN not even on one
    machine. Raises InvalidConfiguration naming every setting at once, with a command that makes a good secret.
    """
    secrets = {names_of(field)[0]: name for name, field in type(settings).model_fields.items() if is_secret(field)}
    del secrets["AWS_ACCESS_KEY_ID"]  # a name, which may be anything
    values = {
        **{alias: text_of(getattr(settings, name)) for alias, name in secrets.items()},
        **{f"the password in {name}": database_part(url, "password") for name, url in database_urls(settings).items()},
    }
    local = is_local(settings)
    if "DATABASE_URL" in needed and not settings.database_url:
        raise InvalidConfiguration(
            "DATABASE_URL is not set: postgresql://user:password@host:5432/database. `bulkhead up` runs one of its own."
        )
    wrong = [f"{name} is not set" for name in needed if not values.get(name, "-") and (not local or "RELAY" in name)]
    if not local:
        known = [(name, value) for name, value in values.items() if value.strip().lower() in KNOWN_SECRETS]
        wrong += [f"{name} is {value!r}, which is a known default" for name, value in known]
        if settings.s3_access_key and not settings.s3_secret_key:
            wrong.append("AWS_SECRET_ACCESS_KEY is not set beside AWS_ACCESS_KEY_ID")
    if wrong:
        raise InvalidConfiguration(f"{'; '.join(wrong)}. Set a value of your own; this prints a good secret: {NEW_SECRET}")


def settings_for(*needed: str, folder: str | None = None) -> Settings:
    """Return the settings for a process of the stack that starts now; ``folder`` is one in the home that it will write to.

    Raises InvalidConfiguration if they cannot be used.
    """
    settings = load_settings()
    check_secrets(settings, *needed)
    if folder is not None:
        try:
            (settings.home / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"{error.filename}: {error.strerror}"
            raise InvalidConfiguration(f"{what}. Set BULKHEAD_HOME to a folder that this process may write to.") from error
    return settings


@contextmanager
def as_process(name: str) -> Iterator[None]:
    """End the process with one sentence and exit code 1 if a BulkheadError is raised inside."""
    try:
        yield
    except BulkheadError as error:
        sys.exit(f"bulkhead {name}: {error}")
