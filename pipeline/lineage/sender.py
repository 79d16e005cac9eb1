"""Send OpenLineage events by the official client, to an HTTP endpoint or wherever its configuration file says.

The client is imported with the first event only: it takes a while with the classes of its facets, and most installations send
none.
"""

from __future__ import annotations

import json
import threading
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from pipeline.adapters.s3 import NotThere, Store
from pipeline.contracts.object_keys import manifest_key, report_prefix
from pipeline.contracts.states import State
from pipeline.database_settings import database_part, database_port
from pipeline.datasets.dataset import Dataset, blank_dataset
from pipeline.errors import BulkheadError, InvalidConfiguration, Unreachable
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.settings import Settings
from pipeline.warehouse.dataset_source import source_of

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient

    from pipeline.lineage.events import Checked, Place

log = structlog.get_logger()

TIMEOUT_SECONDS = 5.0
"""The time to connect, and to wait for each byte of the answer."""

REPORT_BYTES_MAX = 32 << 20
"""A larger report has the values of very many offending rows; then the event has no assertions."""


def is_on(settings: Settings) -> bool:
    """Return whether events are to be sent."""
    return not settings.openlineage_disabled and bool(settings.openlineage_url or settings.openlineage_config)


class LineageSender:
    """Sends the events of imports. Safe to share between threads."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger
        self._lock = threading.Lock()
        self._client: OpenLineageClient | None = None

    @property
    def is_on(self) -> bool:
        """Return whether events are to be sent."""
        return is_on(self._settings)

    def send(self, import_id: str, state: State) -> None:
        """Send the event that tells of an import's state.

        Raises Unreachable if it was not received, which may be retried, and InvalidConfiguration for a wrong configuration.
        """
        if not self.is_on:  # switched off since the event was planned
            return
        from pipeline.lineage.events import run_event

        known = self._ledger.imports.known(import_id)
        event = run_event(known, self._dataset(known), state, place_of(self._settings), self._checked(known, state))
        client = self._connected()
        try:
            client.emit(event)
        except Exception as error:  # each transport of the client has errors of its own
            answered = getattr(getattr(error, "response", None), "status_code", None)
            why = f"answered {answered}" if answered else f"did not take it: {type(error).__name__}"
            raise Unreachable(f"The OpenLineage receiver {why}.") from error
        log.info("lineage sent", import_id=import_id, state=state)

    def _dataset(self, known: ImportRecord) -> Dataset:
        try:
            return source_of(self._settings).load(known.dataset)
        except BulkheadError:  # it was removed, or never existed, and the import was rejected for that
            return blank_dataset(known.dataset)

    def _checked(self, known: ImportRecord, state: State) -> Checked:
        """Return what the report says about the rules, as far as there is a report."""
        from pipeline.lineage.events import Checked

        if state is State.VALIDATING:
            return Checked()
        results = (self._json(f"{report_prefix(known.id)}docs/validation.json") or {}).get("results", ())
        parts = (self._json(manifest_key(known.id)) or {}).get("parts", ())
        size = sum(part["size_bytes"] for part in parts) if parts else None
        return Checked(tuple(results), size)

    def _json(self, key: str) -> dict[str, Any] | None:
        """Return a JSON object in S3; None if there is none, as after its retention, or if it is very large."""
        found = self._store.head(key)
        if found is None or found.size_bytes > REPORT_BYTES_MAX:
            return None
        try:
            content: dict[str, Any] = json.loads(self._store.get_bytes(key))
        except NotThere:
            return None
        return content

    def _connected(self) -> OpenLineageClient:
        with self._lock:
            if self._client is None:
                self._client = make_client(self._settings)
            return self._client


def make_client(settings: Settings) -> OpenLineageClient:
    """Return the client for OPENLINEAGE_URL, or for the file OPENLINEAGE_CONFIG, which takes precedence.

    Temporal retries an event, so the client itself does not: an attempt takes a few seconds at most.
    """
    from openlineage.client import OpenLineageClient
    from openlineage.client.transport import get_default_factory

    config = _configuration(settings)
    try:
        return OpenLineageClient(transport=get_default_factory().create(config["transport"]), config=config)
    except Exception as error:  # of any transport; the message may quote a secret
        kind = type(error).__name__
        raise InvalidConfiguration(
            f"OpenLineage events cannot be sent: {kind}. Check OPENLINEAGE_URL, or the file OPENLINEAGE_CONFIG."
        ) from error


def _configuration(settings: Settings) -> dict[str, Any]:
    """Return the client's configuration, as its documentation describes it."""
    if not settings.openlineage_config:
        auth = {"type": "api_key", "apiKey": settings.openlineage_api_key} if settings.openlineage_api_key else {}
        return {
            "transport": {
                "type": "http",
                "url": settings.openlineage_url,
                "endpoint": settings.openlineage_endpoint,
                "timeout": TIMEOUT_SECONDS,
                "retry": {"total": 0},
                **({"auth": auth} if auth else {}),
            }
        }
    import yaml

    try:
        config = yaml.safe_load(Path(settings.openlineage_config).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidConfiguration(
            f"The file {settings.openlineage_config} (OPENLINEAGE_CONFIG) cannot be read: {type(error).__name__}."
        ) from error
    if not isinstance(config, dict) or not isinstance(config.get("transport"), dict):
        raise InvalidConfiguration(
            f"The file {settings.openlineage_config} (OPENLINEAGE_CONFIG) has no transport; write for instance:"
            " transport: {type: file, log_file_path: events.jsonl, append: true}"
        )
    return config


def place_of(settings: Settings) -> Place:
    """Return where jobs and tables are. The names follow the spec's (https://openlineage.io/docs/spec/naming)."""
    from pipeline.lineage.events import Place

    url = settings.database_url
    host = database_part(url, "host", "v6") or "localhost"
    return Place(
        job_namespace=settings.openlineage_namespace,
        table_namespace=f"postgres://{f'[{host}]' if ':' in host else host}:{database_port(url)}",
        database=database_part(url, "database") or "postgres",
        version=_version(),
    )


def _version() -> str:
    try:
        return metadata.version("bulkhead")
    except metadata.PackageNotFoundError:
        return ""
