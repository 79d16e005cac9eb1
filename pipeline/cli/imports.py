"""Commands that start, follow and stop imports over the HTTP API."""

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
    Exit,
    Filename,
    ImportId,
    InputFile,
    MaxErrorRatio,
    MaxErrors,
    OnErrorOption,
    Timeout,
    Wait,
    app,
    client,
    dataset_names,
    there,
)
from pipeline.cli.reading_options import reads_a_file
from pipeline.contracts.options import Options, ReadOptions
from pipeline.contracts.states import State
from pipeline.errors import InvalidRequest, TransientError, Unreachable

if TYPE_CHECKING:
    from pipeline.client.api import Client, ImportJson


class Which(StrEnum):
    """The records of an import that can be imported again."""

    FAILED = "failed"
    UNPROCESSED = "unprocessed"


@app.command(rich_help_panel="Imports")
@reads_a_file
def upload(
    file: InputFile,
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", help="The dataset to import into.", autocompletion=dataset_names)
    ] = "records",
    wait: Wait = False,
    filename: Filename = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only validate, and report what an import would change.")] = False,
    on_error: OnErrorOption = None,
    max_errors: MaxErrors = None,
    max_error_ratio: MaxErrorRatio = None,
    force: Annotated[bool, typer.Option("--force", help="Import again even if this file was already imported.")] = False,
    notify: Annotated[
        list[str] | None,
        typer.Option("--notify", help="Also notify this e-mail address or webhook URL when the import ends. May be repeated."),
    ] = None,
    direct: Annotated[
        bool | None,
        typer.Option(
            "--direct/--no-direct", help="Upload straight to S3 in parts, or through the server. Default: by size (64 MiB)."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted upload to S3.")] = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
    *,
    reading: ReadOptions,
) -> None:
    """Upload a file, start its import and print the import's ID. `bulkhead promote` loads a dry run.

    Example: `bulkhead upload places.csv -d places --wait`
    """
    from pipeline.cli.terminal import say

    _check_timeout(timeout, wait)
    _check_way(file, direct, resume)
    server = client()
    options = Options(*(dry_run, on_error, max_errors, max_error_ratio, force), notify=_addresses(notify), **vars(reading))
    send = partial(server.upload, dataset=dataset, options=options, direct=direct, resume=resume, tell=say)
    with _hint_at_resume(server.url, dataset, file, resume=resume):
        made = _send(file, filename, send)
    _started(server, made, wait=wait, timeout=timeout, as_json=as_json)


def _started(server: Client, made: ImportJson, *, wait: bool, timeout: float | None, as_json: bool) -> NoReturn:
    """Report a started import, and with ``wait`` follow it. Raises typer.Exit with its exit code."""
    from pipeline.cli.terminal import print_json, print_line, say

    if not as_json:
        print_line(made["id"])
        sys.stdout.flush()  # the reader of our output can continue now
    if wait:
        made = _follow(server, made["id"], timeout)
        _report_end(made)
    else:
        say(f"Accepted. Follow it: bulkhead watch {made['id']}")
    if as_json:
        print_json(made)
    raise typer.Exit(OF_STATE[State(made["state"])] if wait else Exit.OK)


@app.command(rich_help_panel="Imports")
def promote(
    import_id: ImportId,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Import the file of a successful dry run; it is validated again first.

    Example: `bulkhead promote 01990b3c-... --wait`
    """
    _check_timeout(timeout, wait)
    server = client()
    _started(server, server.promote(import_id), wait=wait, timeout=timeout, as_json=as_json)


def _addresses(given: list[str] | None) -> tuple[str, ...]:
    from pipeline.notify import targets

    try:
        return targets.listed(",".join(given or ()))
    except InvalidRequest as error:
        raise typer.BadParameter(str(error), param_hint="--notify") from error


def _check_timeout(timeout: float | None, wait: bool) -> None:
    if timeout is not None and not wait:
        raise typer.BadParameter("needs --wait", param_hint="--timeout")


def _check_way(file: Path, direct: bool | None, resume: bool) -> None:
    """Check --direct and --resume against the source: a stream can only be sent through the server. Raises BadParameter."""
    if resume and direct is False:
        raise typer.BadParameter("only an upload straight to S3 can be resumed", param_hint="--no-direct")
    if (resume or direct) and not file.is_file():
        raise typer.BadParameter("needs a file, not a stream", param_hint="--resume" if resume else "--direct")


@contextmanager
def _hint_at_resume(server: str, dataset: str, file: Path, *, resume: bool) -> Iterator[None]:
    """If the upload in the block is interrupted and can be resumed, tell the user how."""
    from pipeline.cli.terminal import say
    from pipeline.client import resume_state
    from pipeline.client.http import ApiError

    before = None if resume else resume_state.find(server, dataset, file)
    try:
        yield
    except (KeyboardInterrupt, TransientError, ApiError) as error:
        left = resume_state.find(server, dataset, file)
        if left is not None and left != before:
            hint = f"The parts in S3 are kept. Continue with: bulkhead upload {shlex.quote(str(file))} -d {dataset} --resume"
            if isinstance(error, KeyboardInterrupt):
                say(hint)
            else:
                error.add_note(hint)
        raise


def _send(file: Path, filename: str | None, send: Callable[..., ImportJson]) -> ImportJson:
    """Send a file, or a stream if it is not a regular file, and return its import."""
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
        say("The upload was interrupted. Nothing was imported.")
        raise
    except OSError as error:
        raise InvalidRequest(f"Cannot read {file}: {error.strerror}.") from error


@app.command(rich_help_panel="Imports")
def status(import_id: ImportId, as_json: AsJson = False) -> None:
    """Show the state of an import.

    Example: `bulkhead status 01990b3c-...`
    """
    _show(client().get(import_id), as_json)


@app.command(rich_help_panel="Imports")
def watch(import_id: ImportId, timeout: Timeout = None, as_json: AsJson = False) -> None:
    """Follow an import until it has ended; its outcome is the exit code. Ctrl-C stops watching, not the import.

    Example: `bulkhead watch 01990b3c-... --timeout 60`
    """
    ended = _follow(client(), import_id, timeout)
    _show(ended, as_json)
    raise typer.Exit(OF_STATE[State(ended["state"])])


def _follow(server: Client, import_id: str, timeout: float | None) -> ImportJson:
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


def _show(shown: ImportJson, as_json: bool) -> None:
    from pipeline.cli.terminal import import_table, out, print_json

    if as_json:
        print_json(shown)
    else:
        out().print(import_table(shown))


def _report_end(ended: ImportJson) -> None:
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


@app.command(name="list", rich_help_panel="Imports")
def list_imports(
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="Only imports of this dataset.", autocompletion=dataset_names)
    ] = None,
    state: Annotated[State | None, typer.Option(help="Only imports in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The maximum number of imports, newest first.")] = 20,
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
    _check_timeout(timeout, wait)
    if file is not None and only is not None:
        raise typer.BadParameter("cannot be used with a file", param_hint="--only")
    server = client()
    made = server.retry(import_id, only=only) if file is None else _send(file, filename, partial(server.retry, import_id))
    _started(server, made, wait=wait, timeout=timeout, as_json=as_json)


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
