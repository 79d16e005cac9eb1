"""Follow an import until it has ended, and report how it ended: what `--wait` and `watch` do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

import typer

from pipeline.cli.app import OF_STATE, Exit
from pipeline.contracts.states import State
from pipeline.errors import Unreachable

if TYPE_CHECKING:
    from pipeline.client.api import Client, ImportJson


def check_timeout(timeout: float | None, wait: bool) -> None:
    """Check that there is no --timeout without --wait. Raises BadParameter."""
    if timeout is not None and not wait:
        raise typer.BadParameter("needs --wait", param_hint="--timeout")


def report_start(server: Client, made: ImportJson, *, wait: bool, timeout: float | None, as_json: bool) -> NoReturn:
    """Report a started import, and with ``wait`` follow it. Raises typer.Exit with its exit code."""
    from pipeline.cli.terminal import print_json, print_line, say

    if not as_json:
        print_line(made["id"])
        sys.stdout.flush()  # the reader of our output can continue now
    if wait:
        made = follow(server, made["id"], timeout)
        report_end(made)
    else:
        say(f"Accepted. Follow it: bulkhead watch {made['id']}")
    if as_json:
        print_json(made)
    raise typer.Exit(OF_STATE[State(made["state"])] if wait else Exit.OK)


def follow(server: Client, import_id: str, timeout: float | None) -> ImportJson:
    """Follow an import and return it once it has ended. Ctrl-C stops watching; the import continues."""
    from pipeline.cli.progress import following
    from pipeline.cli.terminal import say
    from pipeline.client.api import TimedOut

    try:
        with following() as progress:
            return server.wait(import_id, on_progress=progress.seen, timeout=timeout)
    except KeyboardInterrupt:
        say(f"Stopped watching. The import continues. Follow it again: bulkhead watch {import_id}")
        raise
    except (TimedOut, Unreachable):
        say(f"The import continues. Follow it again: bulkhead watch {import_id}")
        raise


def report_end(ended: ImportJson) -> None:
    """Print the result of an import on stderr, and the commands that may be useful next."""
    from pipeline.cli.terminal import err, import_table, say

    err().print(import_table(ended))
    if ended.get("findings", {}).get("errors"):
        say(f"List the errors: bulkhead errors {ended['id']}")
    if ended["counts"].get("failed"):
        say(f"Download the failed records: bulkhead results {ended['id']}")
        say(f"Import them again, after correcting them: bulkhead retry {ended['id']} [FILE]")
    if ended["state"] == State.DUPLICATE:
        say(ended["reason"])
    if ended["state"] == State.VALIDATED:
        say(f"Nothing was written. Import the file: bulkhead promote {ended['id']}")
