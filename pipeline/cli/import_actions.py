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
    server = client()
    made = server.retry(import_id, only=only) if file is None else send_file(file, filename, partial(server.retry, import_id))
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
