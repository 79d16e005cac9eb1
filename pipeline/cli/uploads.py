"""Commands that start an import: of a file, or of the file of a dry run."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from pipeline.cli.app import (
    AsJson,
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
)
from pipeline.cli.reading_options import reads_a_file
from pipeline.cli.sending import check_way, hint_at_resume, send_file
from pipeline.cli.waiting import check_timeout, report_start
from pipeline.contracts.options import Options, ReadOptions
from pipeline.errors import InvalidRequest


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

    check_timeout(timeout, wait)
    check_way(file, direct, resume)
    server = client()
    options = Options(*(dry_run, on_error, max_errors, max_error_ratio, force), notify=_addresses(notify), **vars(reading))
    send = partial(server.upload, dataset=dataset, options=options, direct=direct, resume=resume, tell=say)
    with hint_at_resume(server.url, dataset, file, resume=resume):
        made = send_file(file, filename, send)
    report_start(server, made, wait=wait, timeout=timeout, as_json=as_json)


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
    check_timeout(timeout, wait)
    server = client()
    report_start(server, server.promote(import_id), wait=wait, timeout=timeout, as_json=as_json)


def _addresses(given: list[str] | None) -> tuple[str, ...]:
    from pipeline.notify import targets

    try:
        return targets.listed(",".join(given or ()))
    except InvalidRequest as error:
        raise typer.BadParameter(str(error), param_hint="--notify") from error
