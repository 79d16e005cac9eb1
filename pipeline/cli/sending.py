"""Send a file to the server, with its progress; if that is interrupted, say how to continue."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from pipeline.errors import InvalidRequest, TransientError

if TYPE_CHECKING:
    from pipeline.client.api import ImportJson


def check_way(file: Path, direct: bool | None, resume: bool) -> None:
    """Check --direct and --resume against the source: a stream can only be sent through the server. Raises BadParameter."""
    if resume and direct is False:
        raise typer.BadParameter("only an upload straight to S3 can be resumed", param_hint="--no-direct")
    if (resume or direct) and not file.is_file():
        raise typer.BadParameter("needs a file, not a stream", param_hint="--resume" if resume else "--direct")


@contextmanager
def hint_at_resume(server: str, dataset: str, file: Path, *, resume: bool) -> Iterator[None]:
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


def send_file(file: Path, filename: str | None, send: Callable[..., ImportJson]) -> ImportJson:
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
