"""Check everything that Bulkhead needs; each check says what it found, and how to fix it if something is wrong.

The only change that a check makes is one small object in S3, which it deletes again. Checks run side by side, each for a
bounded time, and none depends on another's result, so that all faults of a machine are reported at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence

from pipeline.cli.doctor import configuration, database, machine, messages, object_store, orchestrator
from pipeline.cli.doctor.results import Doubtful, Probe, Result, Wrong
from pipeline.cli.doctor.running import run
from pipeline.display import masked
from pipeline.settings import Settings

__all__ = ["PROBES", "Doubtful", "Probe", "Result", "Wrong", "checked", "checks"]


def _postgres(settings: Settings) -> str:
    return masked(settings.database_url)


def _temporal(settings: Settings) -> str:
    return settings.temporal_address


PROBES = (
    Probe("Python", machine.python),
    Probe("disk", machine.disk, lambda settings: str(settings.home)),
    Probe("binaries", machine.binaries),
    Probe("port", machine.port, lambda settings: settings.url),
    Probe("datasets", machine.datasets, lambda settings: str(settings.datasets_root)),
    Probe("settings", configuration.complete),
    Probe("security", configuration.secure),
    Probe("PostgreSQL", database.versions, _postgres),
    Probe("role", database.role, _postgres),
    Probe("space", database.space, _postgres),
    Probe("reads", database.reads, lambda settings: masked(settings.database_read_url)),
    # after the reads: its rolled back changes reach a replica too, which would lag for a moment
    Probe("tables", database.tables, _postgres, after="reads"),
    Probe("audit log", database.audit_log, _postgres),
    Probe("keys", database.keys, _postgres),
    Probe("marts", database.marts, _postgres),
    Probe("S3", object_store.object_store, lambda settings: settings.s3_endpoint or "AWS"),
    Probe("Temporal", orchestrator.workers, _temporal),
    Probe("namespace", orchestrator.namespace, _temporal),
    Probe("web", machine.web, lambda settings: settings.url),
    Probe("mail", messages.mail, lambda settings: masked(settings.smtp_url)),
    Probe("webhooks", messages.webhooks),
    Probe("lineage", messages.lineage, lambda settings: masked(settings.openlineage_url)),
)
"""All checks, in the order in which the parts are needed."""


def checks(settings: Settings, names: Sequence[str] = ()) -> Iterator[Result]:
    """Run every check, or those of these names, and yield the results in their order."""
    _import_heavy()
    yield from run([probe for probe in PROBES if not names or probe.name in names], settings)


def checked(name: str, settings: Settings) -> Result:
    """Run one check."""
    return next(checks(settings, [name]))


def _import_heavy() -> None:
    """Import what checks use, so that the time this takes does not count as theirs."""
    for name in ("pipeline.adapters.s3_health", "pipeline.adapters.temporal", "pipeline.warehouse.migrate"):
        importlib.import_module(name)
