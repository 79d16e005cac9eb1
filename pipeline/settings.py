"""Read the environment, once in each entry point, into one frozen object. Every name is documented in .env.example.

Standard names are used as they are (``AWS_*``, ``TEMPORAL_*``, ``DATABASE_URL``); our own begin with ``BULKHEAD_``. A
running embedded stack leaves its own values in ``$BULKHEAD_HOME/stack.env``; the real environment wins over them. A setting of
the type Secret (or SecretStr) may also be a file: ``NAME_FILE`` names it (setting_sources.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from pipeline.database_settings import DatabaseSettings
from pipeline.errors import InvalidConfiguration
from pipeline.root import ROOT as ROOT
from pipeline.setting_types import SECRET, Secret, names_of
from pipeline.sso_settings import SsoSettings
from pipeline.temporal_settings import TemporalSettings
from pipeline.tracing_settings import TracingSettings
from pipeline.units import GIB, audit_period, length_of_time


def _named(*names: str) -> AliasChoices:
    return AliasChoices(*names)


def _time(value: Any) -> Any:
    """Return ``90``, ``15m``, ``36h``, ``7d`` or ``2w`` as a duration, and ``forever`` as None."""
    return length_of_time(value, endless="forever") if isinstance(value, str) else value


def _period(value: Any) -> Any:
    """Return a period in the same way, and ``never`` as None."""
    return audit_period(value) if isinstance(value, str) else value


Keep = Annotated[timedelta | None, BeforeValidator(_time)]
"""How long something is kept; None: for ever."""

Period = Annotated[timedelta | None, BeforeValidator(_period)]
"""How often something is done; None: never."""


class Settings(DatabaseSettings, TemporalSettings, TracingSettings, SsoSettings):
    """All settings. Sizes are bytes, times are seconds, unless the name says otherwise."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    home: Path = Field(default=Path(".bulkhead"), validation_alias=_named("BULKHEAD_HOME"))
    url: str = Field(default="http://127.0.0.1:8765", validation_alias=_named("BULKHEAD_URL"))
    docs_url: str = Field(default="", pattern=r"^(https?://[^\s\"'<>]+)?$", validation_alias=_named("BULKHEAD_DOCS_URL"))
    port: int | None = Field(default=None, validation_alias=_named("BULKHEAD_PORT"))
    api_key: Secret = Field(default="", validation_alias=_named("BULKHEAD_API_KEY"))
    secret_key: Secret = Field(default="", validation_alias=_named("BULKHEAD_SECRET_KEY"))
    bind: str = Field(default="127.0.0.1", validation_alias=_named("BULKHEAD_BIND"))
    tls_certificate: str = Field(default="", validation_alias=_named("BULKHEAD_TLS_CERTIFICATE"))
    tls_key: str = Field(default="", validation_alias=_named("BULKHEAD_TLS_KEY"))
    ca_certificate: str = Field(default="", validation_alias=_named("BULKHEAD_CA_CERTIFICATE"))
    relay_port: int = Field(default=8766, validation_alias=_named("BULKHEAD_RELAY_PORT"))
    relay_token: Secret = Field(default="", validation_alias=_named("BULKHEAD_RELAY_TOKEN"))

    bucket: str = Field(default="bulkhead", validation_alias=_named("BULKHEAD_BUCKET"))
    s3_endpoint: str | None = Field(default=None, validation_alias=_named("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
    public_s3_endpoint: str | None = Field(
        default=None, pattern=r"^(https?://[^/?#\s]+/?)?$", validation_alias=_named("BULKHEAD_PUBLIC_S3_ENDPOINT")
    )
    s3_region: str = Field(default="us-east-1", validation_alias=_named("AWS_REGION", "AWS_DEFAULT_REGION"))
    s3_access_key: Secret | None = Field(default=None, validation_alias=_named("AWS_ACCESS_KEY_ID"))
    s3_secret_key: Secret | None = Field(default=None, validation_alias=_named("AWS_SECRET_ACCESS_KEY"))
    s3_session_token: Secret | None = Field(default=None, validation_alias=_named("AWS_SESSION_TOKEN"))

    requests_per_minute: int = Field(default=6000, ge=0, le=1_000_000, validation_alias=_named("BULKHEAD_REQUESTS_PER_MINUTE"))
    max_upload_bytes: int = Field(default=50 * GIB, validation_alias=_named("BULKHEAD_MAX_UPLOAD_BYTES"))
    max_file_bytes: int = Field(default=100 * GIB, validation_alias=_named("BULKHEAD_MAX_FILE_BYTES"))
    max_parallel_files: int = Field(default=4, ge=1, le=64, validation_alias=_named("BULKHEAD_MAX_PARALLEL_FILES"))
    max_parallel_parts: int = Field(default=2, ge=1, le=64, validation_alias=_named("BULKHEAD_MAX_PARALLEL_PARTS"))
    max_parts_per_import: int = Field(default=0, ge=0, le=256, validation_alias=_named("BULKHEAD_MAX_PARTS_PER_IMPORT"))
    batch_records: int = Field(default=200, ge=100, le=200, validation_alias=_named("BULKHEAD_BATCH_RECORDS"))
    batches_per_part: int = Field(default=250, ge=1, validation_alias=_named("BULKHEAD_BATCHES_PER_PART"))
    validation_memory_bytes: int = Field(default=4 * GIB, validation_alias=_named("BULKHEAD_VALIDATION_MEMORY_BYTES"))
    validation_seconds: int = Field(default=3600, validation_alias=_named("BULKHEAD_VALIDATION_SECONDS"))
    warm_seconds: float = Field(default=300.0, ge=0, validation_alias=_named("BULKHEAD_WARM_SECONDS"))
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
    keep_dropped: Keep = Field(default=timedelta(days=30), validation_alias=_named("BULKHEAD_KEEP_DROPPED"))
    keep_audits: Keep = Field(default=timedelta(days=90), validation_alias=_named("BULKHEAD_KEEP_AUDITS"))
    keep_drafts: Keep = Field(default=timedelta(days=1), validation_alias=_named("BULKHEAD_KEEP_DRAFTS"))
    audit_every: Period = Field(default=None, validation_alias=_named("BULKHEAD_AUDIT_EVERY"))
    keep_audit_log: Keep = Field(
        default=timedelta(days=400), ge=timedelta(days=30), validation_alias=_named("BULKHEAD_KEEP_AUDIT_LOG")
    )
    audit_sql: Literal["hash", "text"] = Field(default="hash", validation_alias=_named("BULKHEAD_AUDIT_SQL"))
    trusted_proxies: int = Field(default=0, ge=0, le=10, validation_alias=_named("BULKHEAD_TRUSTED_PROXIES"))
    backups: str = Field(default="", validation_alias=_named("BULKHEAD_BACKUPS"))
    sql_seconds: float = Field(default=10.0, gt=0, validation_alias=_named("BULKHEAD_SQL_SECONDS"))
    sql_rows: int = Field(default=10_000, ge=1, validation_alias=_named("BULKHEAD_SQL_ROWS"))

    webhook_urls: Annotated[tuple[str, ...], NoDecode, SECRET] = Field(
        default=(), validation_alias=_named("BULKHEAD_WEBHOOK_URLS")
    )
    notify_domains: Annotated[tuple[str, ...], NoDecode] = Field(default=(), validation_alias=_named("BULKHEAD_NOTIFY_DOMAINS"))
    webhook_secret: Secret = Field(default="", validation_alias=_named("BULKHEAD_WEBHOOK_SECRET"))
    webhook_allow_private: bool = Field(default=False, validation_alias=_named("BULKHEAD_WEBHOOK_ALLOW_PRIVATE"))
    email_to: Annotated[tuple[str, ...], NoDecode] = Field(default=(), validation_alias=_named("BULKHEAD_EMAIL_TO"))
    email_from: str = Field(default="bulkhead@localhost", validation_alias=_named("BULKHEAD_EMAIL_FROM"))
    smtp_url: Secret = Field(default="", validation_alias=_named("BULKHEAD_SMTP_URL"))
    metrics_port: int | None = Field(default=None, ge=1, le=65535, validation_alias=_named("BULKHEAD_METRICS_PORT"))
    metrics_bind: str = Field(default="127.0.0.1", validation_alias=_named("BULKHEAD_METRICS_BIND"))
    metrics_token: Secret = Field(default="", validation_alias=_named("BULKHEAD_METRICS_TOKEN"))
    metrics_datasets: int = Field(default=50, ge=0, le=1000, validation_alias=_named("BULKHEAD_METRICS_DATASETS"))
    metrics_certificates: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), validation_alias=_named("BULKHEAD_METRICS_CERTIFICATES")
    )
    openlineage_url: str = Field(default="", pattern=r"^(https?://\S+)?$", validation_alias=_named("OPENLINEAGE_URL"))
    openlineage_endpoint: str = Field(default="api/v1/lineage", validation_alias=_named("OPENLINEAGE_ENDPOINT"))
    openlineage_api_key: Secret = Field(default="", validation_alias=_named("OPENLINEAGE_API_KEY"))
    openlineage_config: str = Field(default="", validation_alias=_named("OPENLINEAGE_CONFIG"))
    openlineage_namespace: str = Field(default="bulkhead", min_length=1, validation_alias=_named("OPENLINEAGE_NAMESPACE"))
    openlineage_disabled: bool = Field(default=False, validation_alias=_named("OPENLINEAGE_DISABLED"))
    log_format: str = Field(default="console", validation_alias=_named("BULKHEAD_LOG_FORMAT"))

    datasets_root: Path = Field(default=ROOT, validation_alias=_named("BULKHEAD_DATASETS_ROOT"))

    @field_validator("webhook_urls", "email_to", "notify_domains", "metrics_certificates", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Split a list, which has commas in the environment."""
        if isinstance(value, str):
            return tuple(piece.strip() for piece in value.split(",") if piece.strip())
        return value

    @field_validator("port", "metrics_port", mode="before")
    @classmethod
    def _may_be_empty(cls, value: Any) -> Any:
        """Take an empty text for a port that is not set, as .env.example and Compose files write it."""
        return None if value == "" else value

    @field_validator("ca_certificate")
    @classmethod
    def _is_there(cls, value: str) -> str:
        if value and not Path(value).is_file():
            raise ValueError(f"there is no file {value}")
        return value

    @model_validator(mode="after")
    def _has_both(self) -> Settings:
        """Refuse a certificate without its key, and a key without its certificate."""
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("BULKHEAD_TLS_CERTIFICATE and BULKHEAD_TLS_KEY belong together; one of them is not set")
        return self

    def of(self, environment: Mapping[str, str]) -> Settings:
        """Return these settings with the values of a stack's environment in place of their own."""
        changed = {}
        for name, field in type(self).model_fields.items():
            given = [environment[alias] for alias in names_of(field) if alias in environment]
            if given:
                kind: Any = field.annotation
                changed[name] = TypeAdapter(kind).validate_python(given[0])
        return self.model_copy(update=changed)

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
    def has_metrics(self) -> bool:
        """Return whether the web app serves metrics; worker and relay do so on a port only."""
        return self.metrics_port is not None or bool(self.metrics_token)

    @property
    def has_tls(self) -> bool:
        """Return whether the web app itself speaks TLS; a proxy before it needs none of this."""
        return bool(self.tls_certificate)

    @property
    def temporal_environment(self) -> dict[str, str]:
        """Return the variables that say how Temporal is reached (temporal_access/options.py reads them)."""
        metadata = {name: value for name, value in os.environ.items() if name.startswith("TEMPORAL_GRPC_META_")}
        names = [name for name in TemporalSettings.model_fields if name.startswith(("temporal_", "payload_keys"))]
        fields = {_variable(name): getattr(self, name) for name in names}
        return metadata | fields


def _variable(field: str) -> str:
    alias = Settings.model_fields[field].validation_alias
    assert isinstance(alias, AliasChoices)
    return str(alias.choices[0])


def load_settings(home: Path | None = None) -> Settings:
    """Return the settings from the environment, and for names that are not set there from a running stack's ``stack.env``.

    Raises InvalidConfiguration naming every wrong value at once.
    """
    home = home or Path(os.environ.get("BULKHEAD_HOME") or ".bulkhead")
    try:
        return _with_profile(Settings(_env_file=(".env", home / "stack.env"), home=home.absolute()))  # type: ignore[call-arg]
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidConfiguration(
            f"These settings cannot be used: {wrong}. See .env.example for what each one takes."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidConfiguration(
            f"The file .env, or stack.env in {home}, is not UTF-8 text: {error}. Save it as UTF-8."
        ) from error


def _with_profile(settings: Settings) -> Settings:
    """Return the settings with address and namespace of the Temporal profile that they name, where they set none."""
    if not (settings.temporal_profile or settings.temporal_config_file):
        return settings
    from pipeline.temporal_access.options import access_from  # loads the SDK, which few commands need

    environment = settings.temporal_environment
    for name in {"temporal_address", "temporal_namespace"} - settings.model_fields_set:
        del environment[_variable(name)]
    access = access_from(environment)
    return settings.model_copy(update={"temporal_address": access.address, "temporal_namespace": access.namespace})
