"""`bulkhead key`: create, list, rotate and revoke API keys, in the database of the settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from pipeline.cli.app import AsJson, Commands, app
from pipeline.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from pipeline.ledger.api_keys import ApiKey, ApiKeys
    from pipeline.ledger.audit_log import Action, Event

keys_app = typer.Typer(cls=Commands, no_args_is_help=True, help="Create, list, rotate and revoke API keys.")
app.add_typer(keys_app, name="key", rich_help_panel="Operation")

_LIFETIME = re.compile(r"([0-9]{1,6}) *([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

KeyId = Annotated[UUID, typer.Argument(metavar="ID", help="The key's ID, as printed by `key list`.")]
Expires = Annotated[
    str | None, typer.Option(metavar="TIME", help="When it expires: 90d, 12w, 36h, or a day such as 2027-01-31 (UTC).")
]


class Role(StrEnum):
    """The permissions of a key; each role includes the ones before it."""

    READER = "reader"
    UPLOADER = "uploader"
    ADMIN = "admin"


def lasting(text: str) -> timedelta:
    """Return ``90d``, ``12w``, ``36h``, ``15m`` or ``0`` as a length of time. Raises InvalidRequest."""
    if text.strip() == "0":
        return timedelta(0)
    written = _LIFETIME.fullmatch(text.strip().lower())
    if written is None:
        raise InvalidRequest(f"{text!r} is not a length of time. Write 15m, 36h, 90d or 12w.")
    return timedelta(**{_UNITS[written[2]]: int(written[1])})


def moment(text: str | None) -> datetime | None:
    """Return a length of time from now, or the beginning of a day in UTC; None for None. Raises InvalidRequest."""
    if text is None:
        return None
    try:
        return datetime.combine(date.fromisoformat(text.strip()), time.min, UTC)
    except ValueError:
        pass
    try:
        return datetime.now(UTC) + lasting(text)
    except OverflowError as error:
        raise InvalidRequest(f"{text!r} is too long. A key without --expires does not expire.") from error


@keys_app.command("create")
def key_create(
    name: Annotated[str, typer.Argument(help="The owner or the purpose of the key.")],
    role: Annotated[Role | None, typer.Option(help="The permissions of the key. Default: uploader.")] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", "-d", help="Limit the key to this dataset. May be repeated. Default: all datasets."),
    ] = None,
    expires: Expires = None,
    break_glass: Annotated[
        bool,
        typer.Option(
            "--break-glass", help="An admin's key for emergencies: it works without SSO; each use is recorded and told."
        ),
    ] = False,
    unmask: Annotated[
        bool | None,
        typer.Option("--unmask/--no-unmask", help="Whether it sees personal data. Default: only an admin's key does."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create an API key and print it. It is shown only once, since only its hash is stored.

    Example: `bulkhead key create "nightly export" --role uploader --dataset places --expires 90d`
    """
    from pipeline.cli.datasets_root import current_root
    from pipeline.cli.terminal import say
    from pipeline.datasets.dataset import load_dataset
    from pipeline.ledger.audit_log import Action
    from pipeline.settings import load_settings

    for one in dataset or ():
        load_dataset(one, current_root(load_settings()))
    chosen = role or (Role.ADMIN if break_glass else Role.UPLOADER)
    with _keys() as keys:
        text, made = keys.create(
            name,
            chosen,
            dataset or None,
            expires_at=moment(expires),
            is_break_glass=break_glass,
            unmask=unmask,
            event=_event(Action.KEY_CREATED),
        )
    _print_key(text, made, as_json=as_json)
    say("Store it now: it is not shown again. Set it as BULKHEAD_API_KEY, or send it as the header Authorization: Bearer ...")
    if made.expires_at:
        say(f"It expires on {made.expires_at:%Y-%m-%d %H:%M} UTC. Rotate it before that: bulkhead key rotate {made.id}")
    if break_glass:
        say("Keep it offline. Each use is in the audit log, and the recipients for all datasets get a message.")


@keys_app.command("list")
def key_list(as_json: AsJson = False) -> None:
    """List the API keys, without their secrets.

    Example: `bulkhead key list`
    """
    from pipeline.cli.terminal import out, print_json, rows_table

    with _keys() as keys:
        found = keys.list()
    if as_json:
        print_json([key.to_json() for key in found])
        return
    columns = ("id", "name", "role", "datasets", "state", "created_at", "expires_at", "last_used_at", "last_address")
    rows = [{**key.to_json(), "datasets": _scope(key), "state": _state(key)} for key in found]
    out().print(rows_table(columns, [[row[name] for name in columns] for row in rows]))


def _scope(key: ApiKey) -> str:
    return "all" if key.datasets is None else ", ".join(key.datasets)


def _state(key: ApiKey) -> str:
    """Return in words whether a key works."""
    if key.revoked_at:
        return "revoked"
    state = "valid" if key.is_valid else "expired"
    state = "expires soon" if key.expires_soon else state
    more = [*(["two secrets"] if key.overlaps else []), *(["break-glass"] if key.is_break_glass else [])]
    more += ["may unmask"] if key.unmask else []
    return ", ".join([state, *more])


@keys_app.command("rotate")
def key_rotate(
    key_id: KeyId,
    overlap: Annotated[str, typer.Option(metavar="TIME", help="How long the old secret still works: 0, 36h, 7d.")] = "7d",
    expires: Expires = None,
    as_json: AsJson = False,
) -> None:
    """Give an API key another secret and print it, once. The old one works until the overlap ends.

    Example: `bulkhead key rotate 01990b3c-... --overlap 7d --expires 90d`
    """
    from pipeline.cli.terminal import say
    from pipeline.ledger.audit_log import Action

    with _keys() as keys:
        text, made = keys.rotate(
            str(key_id), overlap=lasting(overlap), expires_at=moment(expires), event=_event(Action.KEY_ROTATED)
        )
    _print_key(text, made, as_json=as_json)
    until = f"works until {made.previous_until:%Y-%m-%d %H:%M} UTC" if made.overlaps else "does not work any more"
    say(f"Store it now: it is not shown again. The old secret {until}.")


@keys_app.command("revoke")
def key_revoke(key_id: KeyId, as_json: AsJson = False) -> None:
    """Revoke an API key; it is rejected from now on.

    Example: `bulkhead key revoke 01990b3c-...`
    """
    from pipeline.cli.terminal import print_json, say
    from pipeline.ledger.audit_log import Action

    with _keys() as keys:
        if not keys.revoke(str(key_id), _event(Action.KEY_REVOKED)):
            raise NotFound(f"There is no active key {key_id}. List the keys: bulkhead key list")
    _end_logins(str(key_id))
    say(f"Revoked {key_id}.")
    if as_json:
        print_json({"id": str(key_id), "revoked": True})


def _end_logins(key_id: str) -> None:
    """Revoke the logins to the database that were created with a key; a worker would within a minute."""
    from pipeline.database_logins import DatabaseLogins
    from pipeline.settings import load_settings

    with database() as engine:
        DatabaseLogins(engine, load_settings()).end_of(key_id, "Its API key was revoked.")


def _print_key(text: str, made: ApiKey, *, as_json: bool) -> None:
    from pipeline.cli.terminal import print_json, print_line

    if as_json:
        print_json({**made.to_json(), "key": text})
    else:
        print_line(text)


def _event(action: Action) -> Event:
    from pipeline.ledger.audit_log import Event, cli_actor

    return Event(action, cli_actor())


@contextmanager
def _keys() -> Iterator[ApiKeys]:
    """Open the API keys in the database of the settings for the block."""
    from pipeline.ledger.api_keys import ApiKeys

    with database() as engine:
        yield ApiKeys(engine)


@contextmanager
def database() -> Iterator[Any]:
    """Connect to the database of the settings for the block. Raises Unreachable if it does not answer."""
    from sqlalchemy.exc import OperationalError

    from pipeline.adapters import postgres
    from pipeline.adapters.postgres_access import to_database
    from pipeline.adapters.postgres_errors import unreachable
    from pipeline.cli.server import needed
    from pipeline.settings import load_settings

    settings = load_settings()
    needed(settings.database_url)
    engine = postgres.connect(to_database(settings), pool_size=2, name="bulkhead")
    try:
        yield engine
    except OperationalError as error:
        raise unreachable(error) from error
    finally:
        engine.dispose()
