"""Commands that show imports: the state of one, until it has ended, or the newest ones."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import OF_STATE, AsJson, ImportId, Timeout, app, client, dataset_names
from pipeline.cli.waiting import follow
from pipeline.contracts.states import State

if TYPE_CHECKING:
    from pipeline.client.api import ImportJson


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
    ended = follow(client(), import_id, timeout)
    _show(ended, as_json)
    raise typer.Exit(OF_STATE[State(ended["state"])])


def _show(shown: ImportJson, as_json: bool) -> None:
    from pipeline.cli.terminal import import_table, out, print_json

    if as_json:
        print_json(shown)
    else:
        out().print(import_table(shown))


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
