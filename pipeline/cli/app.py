"""What all commands share: options, and errors as exit codes with one sentence.

0 ok    1 error    2 usage    3 rejected by validation    4 partially succeeded    5 canceled
6 timed out waiting    7 unreachable    130 interrupted
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Mapping
from enum import IntEnum, StrEnum
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from pipeline.contracts.options import OnError
from pipeline.contracts.states import State
from pipeline.errors import BulkheadError, InvalidRequest, RejectedFile, Unreachable

if TYPE_CHECKING:
    from pipeline.client.api import Client


IDS_OFFERED = 20


def there(file: Path | None) -> Path | None:
    """Return a path that can be read: a file, a pipe, or - for stdin. Raises BadParameter."""
    if file is None:
        return None
    if str(file) != "-" and not file.exists():
        raise typer.BadParameter(f"{file} does not exist.")
    if file.is_dir():
        raise typer.BadParameter(f"{file} is a folder. Give one file.")
    return file


def dataset_names(incomplete: str) -> list[str]:
    """Complete the name of a dataset: from the server, or without one from this checkout."""
    from pipeline.datasets import dataset
    from pipeline.settings import load_settings

    try:
        names = [one["name"] for one in client().datasets()["items"]]
    except BulkheadError:
        names = dataset.dataset_names(load_settings().datasets_root)
    return [name for name in names if name.startswith(incomplete)]


def import_ids(incomplete: str) -> list[tuple[str, str]]:
    """Complete the id of an import: the newest ones, each with its dataset, file and state."""
    try:
        newest = [*islice(client().list(), IDS_OFFERED)]
    except BulkheadError:
        return []
    return [
        (one["id"], f"{one['dataset']}, {one['source'].get('filename', '')}, {one['state']}")
        for one in newest
        if one["id"].startswith(incomplete)
    ]


InputFile = Annotated[Path, typer.Argument(metavar="FILE", callback=there, help="A file, or - for stdin.")]
ImportId = Annotated[
    str,
    typer.Argument(metavar="ID", help="The import's ID, as printed by `upload` and `list`.", autocompletion=import_ids),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]

Wait = Annotated[bool, typer.Option("--wait", help="Wait until the import has ended; its outcome is the exit code.")]
Filename = Annotated[
    str | None, typer.Option(help="The file name when reading stdin; its extension tells the format. Default: stdin.csv.")
]
Timeout = Annotated[float | None, typer.Option(help="Stop waiting after this many seconds (exit code 6).", min=0)]


OnErrorOption = Annotated[
    OnError | None, typer.Option("--on-error", help="What to do with records that have errors. Default: the dataset's setting.")
]
MaxErrors = Annotated[int | None, typer.Option(help="Reject the file if more records than this have errors.", min=0)]
MaxErrorRatio = Annotated[float | None, typer.Option(help="The same limit as a share of all records.", min=0, max=1)]


class Exit(IntEnum):
    """The exit codes, on which scripts rely."""

    OK = 0
    ERROR = 1
    USAGE = 2
    REJECTED = 3
    PARTIAL = 4
    CANCELED = 5
    TIMED_OUT = 6
    UNREACHABLE = 7
    INTERRUPTED = 130


OF_STATE: Mapping[State, Exit] = {
    State.SUCCEEDED: Exit.OK,
    State.DUPLICATE: Exit.OK,
    State.VALIDATED: Exit.OK,
    State.PARTIALLY_SUCCEEDED: Exit.PARTIAL,
    State.REJECTED: Exit.REJECTED,
    State.CANCELED: Exit.CANCELED,
    State.FAILED: Exit.ERROR,
    State.EXPIRED: Exit.ERROR,
}
"""The exit code of each final state."""


class TableFormat(StrEnum):
    """The formats of findings."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"
    XLSX = "xlsx"


class Commands(TyperGroup):
    """All commands; the only place of the command line that handles errors."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Raises typer.Exit with the exit code of its error."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None
        except BulkheadError as error:
            give_up(error)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output has ended; typer handles that
                raise
            give_up(InvalidRequest(in_words(error) if error.filename else f"The output cannot be written: {in_words(error)}"))


def in_words(error: OSError) -> str:
    """Return the operating system's message, with the file that it is about."""
    what = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {what}." if error.filename else f"{what}."


_OF_THE_API = re.compile(
    r"\b(GET|HEAD|POST|PUT|PATCH|DELETE) (/|the\b)|/v1/|/s3/|/openapi\.json|Authorization:|Retry-After|Idempotency-Key"
)
"""Phrases of messages that only help users of the HTTP API."""

TABLES_SQL = "select table_name from information_schema.tables where table_schema = 'warehouse'"
COMMANDS_FOR = {
    "unknown_import": "List the imports: bulkhead list",
    "unknown_key": "List the keys: bulkhead key list",
    "not_finished": "Wait until it has ended: bulkhead watch ID",
    "query_refused": f"List the tables: bulkhead sql {quote(TABLES_SQL)}",
}
"""The next command to suggest, by problem code."""


def in_commands(text: str) -> str:
    """Return a message of the server without its sentences about the HTTP API; it may become empty."""
    return " ".join(sentence for sentence in re.split(r"(?<=[.!?]) +", text) if not _OF_THE_API.search(sentence))


def give_up(error: BulkheadError) -> NoReturn:
    """Print what went wrong. Raises typer.Exit with the exit code of the error."""
    from pipeline.cli.terminal import say
    from pipeline.client.api import ApiError, TimedOut

    if isinstance(error, ApiError):
        say(f"bulkhead: {in_commands(str(error)) or error.title or f'The server answered {error.status}.'}", "red")
        if error.code in COMMANDS_FOR:
            say(COMMANDS_FOR[error.code])
    else:
        say(f"bulkhead: {error}", "red")
    if isinstance(error, ApiError) and error.status in (401, 403):
        say("The key is read from BULKHEAD_API_KEY. On the machine of `bulkhead up` its key is found under BULKHEAD_HOME.")
    if isinstance(error, RejectedFile) and error.hint:
        say(error.hint)
    for note in getattr(error, "__notes__", ()):
        say(note)
    codes = {TimedOut: Exit.TIMED_OUT, Unreachable: Exit.UNREACHABLE, RejectedFile: Exit.REJECTED}
    raise typer.Exit(next((code for kind, code in codes.items() if isinstance(error, kind)), Exit.ERROR)) from error


app = typer.Typer(
    name="bulkhead",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"bulkhead {version('bulkhead')}")
        except PackageNotFoundError:
            typer.echo("bulkhead, not installed (run from its checkout)")
        raise typer.Exit


@app.callback()
def bulkhead(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Import files of hierarchical records: every record is loaded into the warehouse, or reported with the reason.

    Exit codes: 0 ok, 1 error, 2 usage, 3 rejected by validation, 4 partially succeeded, 5 canceled, 6 timed out
    waiting, 7 unreachable, 130 interrupted.
    """


def client() -> Client:
    """Return a client for the server and the API key of the settings."""
    from pipeline.client.api import Client

    return Client()


def deliver(chunks: Iterable[bytes], output: Path | None) -> None:
    """Write a file to ``output``, or to stdout."""
    from pipeline.cli.terminal import print_chunks, say, write_file

    if output is None:
        print_chunks(chunks)
    else:
        try:
            write_file(output, chunks)
        except OSError as error:
            raise InvalidRequest(f"Cannot write {output}: {error.strerror}.") from error
        say(f"Written to {output}.")
