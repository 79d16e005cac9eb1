"""Commands that start, follow and stop imports, over the HTTP API as any other client might."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, NoReturn

import typer

from pipeline.cli.app import (
    OF_STATE,
    AsJson,
    Delimiter,
    Exit,
    ImportId,
    InputFile,
    Map,
    MaxErrorRatio,
    MaxErrors,
    OnErrorOption,
    app,
    client,
    dataset_names,
    mapping_of,
    there,
)
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.errors import InvalidRequest, TransientError, Unreachable

if TYPE_CHECKING:
    from pipeline.client.api import Client, ImportJson

Timeout = Annotated[float | None, typer.Option(help="Stop waiting after so many seconds (exit 6).", min=0)]


class Which(StrEnum):
    """The records that a retry may be of."""

    FAILED = "failed"
    UNPROCESSED = "unprocessed"


@app.command(rich_help_panel="Imports")
def upload(
    file: InputFile,
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", help="The dataset that it is for.", autocompletion=dataset_names)
    ] = "records",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the import's end; its outcome is the exit code.")] = False,
    filename: Annotated[str | None, typer.Option(help="The file's name, if stdin is not CSV.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Validate only, and say what a load would do.")] = False,
    on_error: OnErrorOption = None,
    max_errors: MaxErrors = None,
    max_error_ratio: MaxErrorRatio = None,
    delimiter: Delimiter = None,
    columns: Map = None,
    force: Annotated[bool, typer.Option("--force", help="Load it even if this very content was loaded before.")] = False,
    notify: Annotated[
        list[str] | None,
        typer.Option(
            "--notify", help="Whom to tell of its end, by mail or webhook: me@example.org, https://...; may be repeated."
        ),
    ] = None,
    direct: Annotated[
        bool | None,
        typer.Option("--direct/--no-direct", help="Straight to S3, in parts, or through the server; else by size (64 MiB)."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an upload to S3 that broke off.")] = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Upload a file and start its import; prints the import's id. `bulkhead promote` loads a dry run.

    Example: `bulkhead upload places.csv -d places --wait`
    """
    from pipeline.cli.terminal import say

    _check_timeout(timeout, wait)
    _check_way(file, direct, resume)
    server = client()
    options = Options(
        dry_run, on_error, max_errors, max_error_ratio, delimiter, force, mapping=mapping_of(columns), notify=_addresses(notify)
    )
    send = partial(server.upload, dataset=dataset, options=options, direct=direct, resume=resume, tell=say)
    with _how_to_go_on(server.url, dataset, file, resume=resume):
        made = _send(file, filename, send)
    _begun(server, made, wait=wait, timeout=timeout, as_json=as_json)


def _begun(server: Client, made: ImportJson, *, wait: bool, timeout: float | None, as_json: bool) -> NoReturn:
    """An import is on its way: say so, or follow it, and end with the code that fits."""
    from pipeline.cli.terminal import print_json, print_line, say

    if not as_json:
        print_line(made["id"])
        sys.stdout.flush()  # whoever reads our output may go on from here
    if wait:
        made = _follow(server, made["id"], timeout)
        _tell(made)
    else:
        say(f"Accepted. Watch it: bulkhead watch {made['id']}")
    if as_json:
        print_json(made)
    raise typer.Exit(OF_STATE[State(made["state"])] if wait else Exit.OK)


@app.command(rich_help_panel="Imports")
def promote(
    import_id: ImportId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the import's end; its outcome is the exit code.")] = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Load what a dry run has validated: the very same bytes, validated once more.

    Example: `bulkhead promote 01990b3c-... --wait`
    """
    _check_timeout(timeout, wait)
    server = client()
    _begun(server, server.promote(import_id), wait=wait, timeout=timeout, as_json=as_json)


def _addresses(given: list[str] | None) -> tuple[str, ...]:
    from pipeline.notify import targets

    try:
        return targets.listed(",".join(given or ()))
    except InvalidRequest as error:
        raise typer.BadParameter(str(error), param_hint="--notify") from error


def _check_timeout(timeout: float | None, wait: bool) -> None:
    if timeout is not None and not wait:
        raise typer.BadParameter("there is nothing to time out without --wait", param_hint="--timeout")


def _check_way(file: Path, direct: bool | None, resume: bool) -> None:
    """Parts are of a file: what comes but once, in its order, goes through the server."""
    if resume and direct is False:
        raise typer.BadParameter("only an upload straight to S3 can go on", param_hint="--no-direct")
    if (resume or direct) and not file.is_file():
        raise typer.BadParameter("that needs a file, not a stream", param_hint="--resume" if resume else "--direct")


@contextmanager
def _how_to_go_on(server: str, dataset: str, file: Path, *, resume: bool) -> Iterator[None]:
    """If the upload breaks off, and can go on, say how."""
    from pipeline.cli.terminal import say
    from pipeline.client import resume_state
    from pipeline.client.http import ApiError

    before = None if resume else resume_state.find(server, dataset, file)
    try:
        yield
    except (KeyboardInterrupt, TransientError, ApiError) as error:
        left = resume_state.find(server, dataset, file)
        if left is not None and left != before:
            hint = f"What S3 has of it is kept. Go on with: bulkhead upload {shlex.quote(str(file))} -d {dataset} --resume"
            if isinstance(error, KeyboardInterrupt):
                say(hint)
            else:
                error.add_note(hint)
        raise


def _send(file: Path, filename: str | None, send: Callable[..., ImportJson]) -> ImportJson:
    """The import that the server made of the file; what is no regular file is sent as it comes."""
    from pipeline.cli.progress import following
    from pipeline.cli.terminal import say

    try:
        with ExitStack() as stack:
            source: Path | BinaryIO = file
            if str(file) == "-":
                source, filename = sys.stdin.buffer, filename or "stdin.csv"
            elif not file.is_file():
                source, filename = stack.enter_context(file.open("rb")), filename or file.name
            progress = stack.enter_context(following())
            made = send(source, filename=filename, on_sent=progress.sent)
            progress.uploaded()
            return made
    except KeyboardInterrupt:
        say("Interrupted: the upload was broken off, nothing is imported.")
        raise
    except OSError as error:
        raise InvalidRequest(f"Cannot read {file}: {error.strerror}.") from error


@app.command(rich_help_panel="Imports")
def status(import_id: ImportId, as_json: AsJson = False) -> None:
    """Show where an import stands.

    Example: `bulkhead status 01990b3c-...`
    """
    _show(client().get(import_id), as_json)


@app.command(rich_help_panel="Imports")
def watch(import_id: ImportId, timeout: Timeout = None, as_json: AsJson = False) -> None:
    """Follow an import to its end; its outcome is the exit code. Ctrl-C stops watching, not the import.

    Example: `bulkhead watch 01990b3c-... --timeout 60`
    """
    ended = _follow(client(), import_id, timeout)
    _show(ended, as_json)
    raise typer.Exit(OF_STATE[State(ended["state"])])


def _follow(server: Client, import_id: str, timeout: float | None) -> ImportJson:
    """The import at its end. Ctrl-C lets go of it: the import goes on without us."""
    from pipeline.cli.progress import following
    from pipeline.cli.terminal import say
    from pipeline.client.api import TimedOut

    try:
        with following() as progress:
            return server.wait(import_id, on_progress=progress.seen, timeout=timeout)
    except KeyboardInterrupt:
        say(f"No longer watching import {import_id}; it goes on. Watch it again: bulkhead watch {import_id}")
        raise
    except (TimedOut, Unreachable):
        say(f"It goes on. Watch it again: bulkhead watch {import_id}")
        raise


def _show(shown: ImportJson, as_json: bool) -> None:
    from pipeline.cli.terminal import import_table, out, print_json

    if as_json:
        print_json(shown)
    else:
        out().print(import_table(shown))


def _tell(ended: ImportJson) -> None:
    """The end of an import, for whoever watches, and where to go from there."""
    from pipeline.cli.terminal import err, import_table, say

    err().print(import_table(ended))
    if ended.get("findings", {}).get("errors"):
        say(f"See what is wrong: bulkhead errors {ended['id']}")
    if ended["counts"].get("failed"):
        say(f"See which records failed: bulkhead results {ended['id']}")
        say(f"Try them again, mended if need be: bulkhead retry {ended['id']} [FILE]")
    if ended["state"] == State.DUPLICATE:
        say(ended["reason"])
    if ended["state"] == State.VALIDATED:
        say(f"Nothing was written. Load it: bulkhead promote {ended['id']}")


@app.command(name="list", rich_help_panel="Imports")
def list_imports(
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="Only this dataset's.", autocompletion=dataset_names)
    ] = None,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List imports, newest first.

    Example: `bulkhead list -d places --state rejected`
    """
    from pipeline.cli.terminal import out, print_json, rows_table

    found = list(islice(client().list(dataset=dataset, state=state), limit))
    if as_json:
        print_json(found)
        return
    columns = ("id", "dataset", "state", "file", "records", "findings", "created")
    out().print(rows_table(columns, [_line(one) for one in found]))


def _line(one: ImportJson) -> tuple[Any, ...]:
    found, counts = one["findings"], one["counts"]
    name = one["source"]["filename"]
    return one["id"], one["dataset"], one["state"], name, counts["total"], found["errors"], one["created_at"]


@app.command(rich_help_panel="Imports")
def retry(
    import_id: ImportId,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", callback=there, help="The failed records, corrected; - for stdin.")
    ] = None,
    only: Annotated[
        Which | None, typer.Option(help="Which records, without a file; else the failed ones, or if none did the unprocessed.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the import's end; its outcome is the exit code.")] = False,
    filename: Annotated[str | None, typer.Option(help="The file's name, if stdin is not CSV.")] = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Import the failed records of an import again: as they are, or as FILE has them (`results` gives it, to be mended).

    Example: `bulkhead retry 01990b3c-... failed.csv --wait`
    """
    _check_timeout(timeout, wait)
    if file is not None and only is not None:
        raise typer.BadParameter("a file says by itself which records are meant", param_hint="--only")
    server = client()
    made = server.retry(import_id, only=only) if file is None else _send(file, filename, partial(server.retry, import_id))
    _begun(server, made, wait=wait, timeout=timeout, as_json=as_json)


@app.command(rich_help_panel="Imports")
def pause(import_id: ImportId, as_json: AsJson = False) -> None:
    """Pause an import: what is under way is loaded, nothing further is begun. Later files of its dataset wait behind it.

    Example: `bulkhead pause 01990b3c-...`
    """
    _asked(client().pause(import_id), as_json)


@app.command(rich_help_panel="Imports")
def resume(import_id: ImportId, as_json: AsJson = False) -> None:
    """Have a paused import go on where it stood.

    Example: `bulkhead resume 01990b3c-...`
    """
    _asked(client().resume(import_id), as_json)


@app.command(rich_help_panel="Imports")
def cancel(import_id: ImportId, as_json: AsJson = False) -> None:
    """Cancel an import; what is loaded stays, and its counts say what.

    Example: `bulkhead cancel 01990b3c-...`
    """
    _asked(client().cancel(import_id), as_json)


def _asked(asked: ImportJson, as_json: bool) -> None:
    """What was asked of an import is on its way; here is how it stands now."""
    from pipeline.cli.terminal import print_json, print_line

    if as_json:
        print_json(asked)
    else:
        print_line(f"{asked['id']} {asked['state']}")
