"""Commands that act on an import: retry, pause, resume, cancel."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import AsJson, Filename, ImportId, Timeout, Wait, app, client, there
from pipeline.cli.sending import send_file
from pipeline.cli.waiting import check_timeout, report_start
from pipeline.errors import InvalidRequest

if TYPE_CHECKING:
    from pipeline.client.api import ImportJson


class Which(StrEnum):
    """The records of an import that can be imported again."""

    FAILED = "failed"
    UNPROCESSED = "unprocessed"


@app.command(rich_help_panel="Imports")
def retry(
    import_id: ImportId,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", callback=there, help="The corrected records; - for stdin.")
    ] = None,
    only: Annotated[
        Which | None,
        typer.Option(help="Which records, if no file is given. Default: the failed ones, or else the unprocessed ones."),
    ] = None,
    patch: Annotated[
        bool, typer.Option("--patch", help="The whole file, with the edits of `bulkhead fix`: mapping and options stay.")
    ] = False,
    wait: Wait = False,
    filename: Filename = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Import the failed records of an import again, as they are or as corrected in FILE (download them with `results`).

    Example: `bulkhead retry 01990b3c-... failed.csv --wait`
    """
    check_timeout(timeout, wait)
    if file is not None and only is not None:
        raise typer.BadParameter("cannot be used with a file", param_hint="--only")
    if patch and (file is not None or only is not None):
        raise typer.BadParameter("cannot be used with a file or --only", param_hint="--patch")
    server = client()
    version = server.patches.get(import_id)["version"] if patch else None
    if patch and not version:
        raise InvalidRequest(f"This import has no edits. Make them: bulkhead fix {import_id} --set ROW:COLUMN=VALUE")
    made = (
        server.retry(import_id, only=only, patch=version)
        if file is None
        else send_file(file, filename, partial(server.retry, import_id))
    )
    report_start(server, made, wait=wait, timeout=timeout, as_json=as_json)


@app.command(rich_help_panel="Imports")
def pause(import_id: ImportId, as_json: AsJson = False) -> None:
    """Pause an import: parts being loaded are completed, no further parts are started. Later files of its dataset wait.

    Example: `bulkhead pause 01990b3c-...`
    """
    _print_state(client().pause(import_id), as_json)


@app.command(rich_help_panel="Imports")
def resume(import_id: ImportId, as_json: AsJson = False) -> None:
    """Resume a paused import.

    Example: `bulkhead resume 01990b3c-...`
    """
    _print_state(client().resume(import_id), as_json)


@app.command(rich_help_panel="Imports")
def cancel(import_id: ImportId, as_json: AsJson = False) -> None:
    """Cancel an import. Records already loaded stay; the counts show how many.

    Example: `bulkhead cancel 01990b3c-...`
    """
    _print_state(client().cancel(import_id), as_json)


def _print_state(shown: ImportJson, as_json: bool) -> None:
    """Print the state of an import after a request."""
    from pipeline.cli.terminal import print_json, print_line

    if as_json:
        print_json(shown)
    else:
        print_line(f"{shown['id']} {shown['state']}")
