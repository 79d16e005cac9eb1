"""Commands for an upgrade: migrate what is stored, then have the new build do the work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import AsJson, app
from pipeline.cli.server import needed
from pipeline.errors import InvalidConfiguration, NotReady, Unreachable

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from pipeline.warehouse.migrate import Migrated


@app.command(rich_help_panel="Operation")
def migrate(as_json: AsJson = False) -> None:
    """Migrate the database (ledger, datasets' tables, marts); create the bucket, schedules and search attributes.

    Safe to repeat. Imports and reads may continue meanwhile. A change that would block them is refused, and then nothing is
    changed.

    Example: `bulkhead migrate`
    """
    from pipeline.adapters.postgres_access import to_database, to_owner
    from pipeline.adapters.s3 import Store
    from pipeline.cli.terminal import print_json, print_line, say
    from pipeline.secret_checks import check_secrets
    from pipeline.settings import load_settings
    from pipeline.warehouse.dataset_source import source_of
    from pipeline.warehouse.migrate import Migrated, migrate

    settings = load_settings()
    check_secrets(settings)
    needed(settings.database_url)
    done = migrate(to_database(settings), owner=to_owner(settings), root=source_of(settings).root(), say=say)
    _record_migration(settings, done)
    if settings.s3_endpoint:  # in AWS the bucket is created together with its notification
        Store.of(settings).ensure_bucket()
        done.append(Migrated(f"bucket {settings.bucket}"))
    done += [Migrated(*one) for one in _prepared_namespace(settings, say)]
    if as_json:
        print_json([asdict(one) for one in done])
    else:
        for one in done:
            print_line(str(one))


def _record_migration(settings: Settings, done: list[Migrated]) -> None:
    """Record in the audit log what a migration changed; one that changed nothing is recorded, too."""
    from pipeline.adapters.postgres import connect
    from pipeline.adapters.postgres_access import to_database
    from pipeline.ledger.audit_log import Action, AuditLog, Event, cli_actor

    engine = connect(to_database(settings), pool_size=1, name="bulkhead migrate")
    try:
        changed = "; ".join(str(one) for one in done if one.done)
        ledger = str(done[0]) if done else ""
        details = {"ledger": ledger, "changed": changed or "nothing"}
        AuditLog(engine).record(Event(Action.MIGRATION, cli_actor(), "warehouse", details=details))
    finally:
        engine.dispose()


def _prepared_namespace(settings: Settings, say: Callable[[str], None]) -> list[tuple[str, tuple[str, ...]]]:
    """Bring Temporal's namespace up to date, and return what was checked and done; what cannot be done is said.

    It is not required: workers do it too, and Temporal may be away, or leave it to an operator.
    """
    from pipeline.adapters.temporal import TemporalClient
    from pipeline.adapters.temporal_schedules import keep_schedules
    from pipeline.datasets.audit_periods import audit_periods
    from pipeline.warehouse.dataset_source import source_of

    found: list[tuple[str, tuple[str, ...]]] = []
    try:
        with closing(TemporalClient.of(settings)) as temporal:
            audits = audit_periods(source_of(settings).root(), settings.audit_every)
            for name, was in keep_schedules(temporal, settings, audits).items():
                found.append((f"schedule {name}", (was,) if was else ()))
            made = temporal.make_search_attributes()
            found.append((f"search attributes of namespace {settings.temporal_namespace}", ("created",) if made else ()))
    except Unreachable as error:
        say(f"Temporal's schedules and search attributes were not checked; a worker does it when it starts. {error}")
    except NotReady as error:
        say(str(error))
    return found


@app.command(rich_help_panel="Operation")
def rollout(
    build_id: Annotated[str, typer.Argument(help="The build. Default: BULKHEAD_BUILD_ID.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Also if Temporal sees no worker of that build.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have all work go to the workers of one build from now on; the previous workers can then be stopped.

    Running imports move over at their next step. To go back, roll out the former build.

    Example: `bulkhead rollout 2026-12-01`
    """
    from pipeline.adapters.temporal import TemporalClient
    from pipeline.cli.terminal import print_json, print_line
    from pipeline.settings import load_settings

    settings = load_settings()
    build_id = build_id or settings.build_id
    if not build_id:
        raise InvalidConfiguration("Which build? Name it, or set BULKHEAD_BUILD_ID as for its workers.")
    deployment = settings.deployment_name
    with closing(TemporalClient.of(settings)) as temporal:
        before = temporal.current_build(deployment)
        if before != build_id:
            temporal.set_current_build(deployment, build_id, force=force)
    if as_json:
        print_json({"deployment": deployment, "build_id": build_id, "previous_build_id": before})
    else:
        print_line(
            f"{deployment}: work goes to build {build_id}" + (f", before to {before}" if before not in ("", build_id) else "")
        )
