"""Read the environment, once in each entry point, into one frozen object. Every name is documented in .env.example.

Standard names are used as they are (``AWS_*``, ``TEMPORAL_*``, ``DATABASE_URL``); our own begin with ``BULKHEAD_``. A
running embedded stack leaves its own values in ``$BULKHEAD_HOME/stack.env``; the real environment wins over them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.errors import BulkheadError, InvalidConfiguration
from pipeline.units import GIB

ROOT = Path(__file__).resolve().parents[1]
"""The checkout (or the image's copy of it): where sql/ and expectations/ are."""


_DATABASE = re.compile(
    r"postgres(?:ql)?(?:\+\w+)?://(?:[^:/]*(?::(?P<password>[^@]*))?@)?(?:\[(?P<v6>[^/?]+)\]|(?P<host>[^/:?]*))(?::[0-9]*)?(?:[/?].*)?"
)
"""The URL of a database, as SQLAlchemy reads it: a password may contain any character but @."""


def _named(*names: str) -> AliasChoices:
    return AliasChoices(*names)


_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONGEST = timedelta(days=100 * 365)


def _time(value: Any) -> Any:
    """Return ``90``, ``15m``, ``36h``, ``7d`` or ``2w`` as a duration, and ``forever`` as None."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "forever":
        return None
    written = re.fullmatch(r"([0-9]{1,12}) *([smhdw]?)", value.strip().lower())
    if written is None:
        raise ValueError(f"{value!r} is not a time: write 0, 90 (seconds), 15m, 36h, 7d, 2w or forever")
    seconds = int(written[1]) * timedelta(**{_UNITS[written[2]]: 1}).total_seconds()
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"{value!r} is more than a hundred years: write forever")
    return timedelta(seconds=seconds)


Keep = Annotated[timedelta | None, BeforeValidator(_time)]
"""How long something is kept; None: for ever."""


class Settings(BaseSettings):
    """All settings. Sizes are bytes, times are seconds, unless the name says otherwise."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    home: Path = Field(default=Path(".bulkhead"), validation_alias=_named("BULKHEAD_HOME"))
    url: str = Field(default="http://127.0.0.1:8765", validation_alias=_named("BULKHEAD_URL"))
    port: int | None = Field(default=None, validation_alias=_named("BULKHEAD_PORT"))
    api_key: str = Field(default="", validation_alias=_named("BULKHEAD_API_KEY"))
    secret_key: str = Field(default="", validation_alias=_named("BULKHEAD_SECRET_KEY"))
    bind: str = Field(default="127.0.0.1", validation_alias=_named("BULKHEAD_BIND"))
    relay_port: int = Field(default=8766, validation_alias=_named("BULKHEAD_RELAY_PORT"))
    relay_token: str = Field(default="", validation_alias=_named("BULKHEAD_RELAY_TOKEN"))

    database_url: str = Field(default="", validation_alias=_named("DATABASE_URL"))
    database_read_url: str = Field(default="", validation_alias=_named("DATABASE_READ_URL"))
    database_sql_url: str = Field(default="", validation_alias=_named("BULKHEAD_SQL_URL"))

    bucket: str = Field(default="bulkhead", validation_alias=_named("BULKHEAD_BUCKET"))
    s3_endpoint: str | None = Field(default=None, validation_alias=_named("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
    public_s3_endpoint: str | None = Field(
        default=None, pattern=r"^(https?://[^/?#\s]+/?)?$", validation_alias=_named("BULKHEAD_PUBLIC_S3_ENDPOINT")
    )
    s3_region: str = Field(default="us-east-1", validation_alias=_named("AWS_REGION", "AWS_DEFAULT_REGION"))
    s3_access_key: str | None = Field(default=None, validation_alias=_named("AWS_ACCESS_KEY_ID"))
    s3_secret_key: str | None = Field(default=None, validation_alias=_named("AWS_SECRET_ACCESS_KEY"))
    s3_session_token: str | None = Field(default=None, validation_alias=_named("AWS_SESSION_TOKEN"))

    temporal_address: str = Field(default="127.0.0.1:7233", validation_alias=_named("TEMPORAL_ADDRESS"))
    temporal_namespace: str = Field(default="default", validation_alias=_named("TEMPORAL_NAMESPACE"))
    temporal_ui_url: str = Field(default="", pattern=r"^(https?://\S+)?$", validation_alias=_named("BULKHEAD_TEMPORAL_UI_URL"))
    task_queue: str = Field(default="bulkhead", validation_alias=_named("BULKHEAD_TASK_QUEUE"))

    requests_per_minute: int = Field(default=6000, ge=0, le=1_000_000, validation_alias=_named("BULKHEAD_REQUESTS_PER_MINUTE"))
    max_upload_bytes: int = Field(default=50 * GIB, validation_alias=_named("BULKHEAD_MAX_UPLOAD_BYTES"))
    max_file_bytes: int = Field(default=100 * GIB, validation_alias=_named("BULKHEAD_MAX_FILE_BYTES"))
    max_parallel_files: int = Field(default=4, ge=1, le=64, validation_alias=_named("BULKHEAD_MAX_PARALLEL_FILES"))
    max_parallel_parts: int = Field(default=2, ge=1, le=64, validation_alias=_named("BULKHEAD_MAX_PARALLEL_PARTS"))
    batch_records: int = Field(default=200, ge=100, le=200, validation_alias=_named("BULKHEAD_BATCH_RECORDS"))
    batches_per_part: int = Field(default=250, ge=1, validation_alias=_named("BULKHEAD_BATCHES_PER_PART"))
    validation_memory_bytes: int = Field(default=4 * GIB, validation_alias=_named("BULKHEAD_VALIDATION_MEMORY_BYTES"))
    validation_seconds: int = Field(default=3600, validation_alias=_named("BULKHEAD_VALIDATION_SECONDS"))
    mart_seconds: float = Field(default=600.0, gt=0, validation_alias=_named("BULKHEAD_MART_SECONDS"))
    reconcile_seconds: int = Field(default=60, ge=1, validation_alias=_named("BULKHEAD_RECONCILE_SECONDS"))
    clean_seconds: int = Field(default=3600, ge=1, validation_alias=_named("BULKHEAD_CLEAN_SECONDS"))
    keep_batches: Keep = Field(default=timedelta(days=1), validation_alias=_named("BULKHEAD_KEEP_BATCHES"))
    keep_uploads: Keep = Field(default=timedelta(hours=24), validation_alias=_named("BULKHEAD_KEEP_UPLOADS"))
    keep_sources: Keep = Field(default=None, validation_alias=_named("BULKHEAD_KEEP_SOURCES"))
    keep_results: Keep = Field(default=None, validation_alias=_named("BULKHEAD_KEEP_RESULTS"))
    keep_reports: Keep = Field(default=None, validation_alias=_named("BULKHEAD_KEEP_REPORTS"))
    keep_dry_runs: Keep = Field(default=timedelta(days=7), validation_alias=_named("BULKHEAD_KEEP_DRY_RUNS"))
    keep_idempotency_keys: Keep = Field(default=timedelta(days=7), validation_alias=_named("BULKHEAD_KEEP_IDEMPOTENCY_KEYS"))
    keep_outbox: Keep = Field(default=timedelta(days=30), validation_alias=_named("BULKHEAD_KEEP_OUTBOX"))
    keep_dead_letters: Keep = Field(default=timedelta(days=30), validation_alias=_named("BULKHEAD_KEEP_DEAD_LETTERS"))
    keep_work: Keep = Field(default=timedelta(days=1), validation_alias=_named("BULKHEAD_KEEP_WORK"))
    sql_seconds: float = Field(default=10.0, gt=0, validation_alias=_named("BULKHEAD_SQL_SECONDS"))
    sql_rows: int = Field(default=10_000, ge=1, validation_alias=_named("BULKHEAD_SQL_ROWS"))

    webhook_urls: Annotated[tuple[str, ...], NoDecode] = Field(default=(), validation_alias=_named("BULKHEAD_WEBHOOK_URLS"))
    notify_domains: Annotated[tuple[str, ...], NoDecode] = Field(default=(), validation_alias=_named("BULKHEAD_NOTIFY_DOMAINS"))
    webhook_secret: str = Field(default="", validation_alias=_named("BULKHEAD_WEBHOOK_SECRET"))
    webhook_allow_private: bool = Field(default=False, validation_alias=_named("BULKHEAD_WEBHOOK_ALLOW_PRIVATE"))
    email_to: Annotated[tuple[str, ...], NoDecode] = Field(default=(), validation_alias=_named("BULKHEAD_EMAIL_TO"))
    email_from: str = Field(default="bulkhead@localhost", validation_alias=_named("BULKHEAD_EMAIL_FROM"))
    smtp_url: str = Field(default="", validation_alias=_named("BULKHEAD_SMTP_URL"))
    log_format: str = Field(default="console", validation_alias=_named("BULKHEAD_LOG_FORMAT"))

    datasets_root: Path = Field(default=ROOT, validation_alias=_named("BULKHEAD_DATASETS_ROOT"))

    @field_validator("webhook_urls", "email_to", "notify_domains", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Split a list, which has commas in the environment."""
        if isinstance(value, str):
            return tuple(piece.strip() for piece in value.split(",") if piece.strip())
        return value

    @field_validator("database_url", "database_read_url", "database_sql_url")
    @classmethod
    def _of_postgresql(cls, value: str) -> str:
        """Refuse another URL, with a message that does not repeat the value: it contains a password."""
        if value and not _DATABASE.fullmatch(value):
            raise ValueError("it is not of the form postgresql://user:password@host:5432/database")
        return value

    @property
    def work_dir(self) -> Path:
        """Return the worker's temporary folder, with one folder an import; anything in it can be made again."""
        return self.home / "work"

    @property
    def outbox_dir(self) -> Path:
        """Return the folder for e-mail when no SMTP server is set."""
        return self.home / "outbox"

    @property
    def relay_dir(self) -> Path:
        """Return the folder where an event relay on this machine keeps events until the Lambda has accepted them."""
        return self.home / "relay"

    @property
    def dead_letters_dir(self) -> Path:
        """Return the folder of dead letters: events that the Lambda did not accept, or that could not be read."""
        return self.relay_dir / "dead-letters"

    @property
    def read_url(self) -> str:
        """Return the URL for heavy reads: the replica's if there is one."""
        return self.database_read_url or self.database_url


def load_settings(home: Path | None = None) -> Settings:
    """Return the settings from the environment, and for names that are not set there from a running stack's ``stack.env``.

    Raises InvalidConfiguration naming every wrong value at once.
    """
    home = home or Path(os.environ.get("BULKHEAD_HOME") or ".bulkhead")
    try:
        return Settings(_env_file=(".env", home / "stack.env"), home=home.absolute())  # type: ignore[call-arg]
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidConfiguration(
            f"These settings cannot be used: {wrong}. See .env.example for what each one takes."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidConfiguration(
            f"The file .env, or stack.env in {home}, is not UTF-8 text: {error}. Save it as UTF-8."
        ) from error


# --- secrets ---

KNOWN_SECRETS = frozenset(
    {"change-me", "changeme", "bulkhead", "bulkhead-secret", "bulkhead-relay", "password", "postgres", "secret"}
)
"""Secrets in documentation and examples, ours or others': they protect nothing."""

NEW_SECRET = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"


def is_local(settings: Settings) -> bool:
    """Return whether everything in the settings is on this machine: where we listen, and what we connect to."""
    s3 = settings.s3_endpoint or "https://s3.amazonaws.com"
    hosts = [settings.bind, *(_host(address) for address in (settings.url, f"//{settings.temporal_address}", s3))]
    return all(map(_is_loopback, [*hosts, *(_database_part(url, "host", "v6") for url in _database_urls(settings).values())]))


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or address
    except ValueError:
        return address


def _database_part(url: str, *names: str) -> str:
    """Return the first of these parts of a database's URL that is not empty, else an empty string."""
    found = _DATABASE.fullmatch(url)
    return next((unquote(found[name]) for name in names if found[name]), "") if found else ""


def _is_loopback(host: str) -> bool:
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
    values = {
        "BULKHEAD_SECRET_KEY": settings.secret_key,
        "BULKHEAD_RELAY_TOKEN": settings.relay_token,
        "AWS_SECRET_ACCESS_KEY": settings.s3_secret_key or "",
        **{f"the password in {name}": _database_part(url, "password") for name, url in _database_urls(settings).items()},
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


def _database_urls(settings: Settings) -> dict[str, str]:
    urls = (settings.database_url, settings.database_read_url, settings.database_sql_url)
    return {name: url for name, url in zip(("DATABASE_URL", "DATABASE_READ_URL", "BULKHEAD_SQL_URL"), urls, strict=True) if url}


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


def environment() -> dict[str, str]:
    """Return a copy of the environment, for the processes that the supervisor starts."""
    return dict(os.environ)


_CHILD_NEEDS = re.compile(
    r"PATH|HOME|TMPDIR|TZ|LANG|LANGUAGE|LC_[A-Z]+|LD_LIBRARY_PATH|LD_PRELOAD|MALLOC_[A-Z_]+"
    r"|PYTHON(HOME|UTF8|HASHSEED|WARNINGS|IOENCODING|DONTWRITEBYTECODE|PYCACHEPREFIX)"
)
"""What Python, the C library and the loader read. Only names listed here are handed on, so no credential can be."""


def child_environment() -> dict[str, str]:
    """Return the environment of the processes that read uploaded files; what else they need comes as arguments."""
    needed = {name: value for name, value in os.environ.items() if _CHILD_NEEDS.fullmatch(name)}
    # Arrow's allocator (mimalloc) takes a GiB of addresses at its first use, which would count as memory of the child; in KiB.
    return needed | {"GX_ANALYTICS_ENABLED": "false", "MIMALLOC_ARENA_RESERVE": str(64 << 10)}
