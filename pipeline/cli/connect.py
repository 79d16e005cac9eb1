"""`bulkhead connect`: logins to the database for programs that read it themselves."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from pipeline.cli.app import AsJson, Commands, app, client

connect_app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Create, list and revoke logins to the database, for psql, DBeaver and others."
)
app.add_typer(connect_app, name="connect", rich_help_panel="Records")


@connect_app.command("create")
def connect_create(
    label: Annotated[str, typer.Argument(metavar="PROGRAM", help="The program that the login is for.")],
    days: Annotated[int | None, typer.Option(help="How many days it works. Default: as long as it may.", min=1, max=90)] = None,
    as_json: AsJson = False,
) -> None:
    """Create a login that reads what this key's SQL reads, and print its address with user and password, once.

    Example: `psql "$(bulkhead connect create psql)"`
    """
    from pipeline.cli.terminal import print_json, print_line, say

    made = client().create_database_login(label, days=days)
    if as_json:
        print_json(made)
    else:
        print_line(made["url"])
    if not made["host"]:
        say("PostgreSQL listens on a socket there, so other programs may not reach it (BULKHEAD_CONNECT_ADDRESS).")
    say(f"It is shown only once. The login {made['user']} works until {made['expires_at'][:16].replace('T', ' ')} UTC.")


@connect_app.command("list")
def connect_list(as_json: AsJson = False) -> None:
    """List the logins to the database that were created with this key; for an admin, all.

    Example: `bulkhead connect list`
    """
    from pipeline.cli.terminal import out, print_json, rows_table

    found = client().database_logins()["items"]
    if as_json:
        print_json(found)
        return
    columns = ("id", "user", "label", "owner", "datasets", "expires_at", "revoked_at")
    rows = [
        {**one, "owner": one["owner"]["name"], "datasets": "all" if one["datasets"] is None else ", ".join(one["datasets"])}
        for one in found
    ]
    out().print(rows_table(columns, [[row[name] for name in columns] for row in rows]))


@connect_app.command("revoke")
def connect_revoke(
    login_id: Annotated[UUID, typer.Argument(metavar="ID", help="The login's ID, as printed by `connect list`.")],
    as_json: AsJson = False,
) -> None:
    """Revoke a login: its sessions end at once.

    Example: `bulkhead connect revoke 01990b3c-...`
    """
    from pipeline.cli.terminal import print_json, say

    client().revoke_database_login(str(login_id))
    say(f"Revoked {login_id}.")
    if as_json:
        print_json({"id": str(login_id), "revoked": True})
