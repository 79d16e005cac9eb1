"""`bulkhead fix`: edit cells of an import's file, leave rows out, make roots, and import it again."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import AsJson, ImportId, Timeout, Wait, app, client, in_words, there
from pipeline.cli.waiting import check_timeout, report_start
from pipeline.display import counted
from pipeline.errors import InvalidRequest

if TYPE_CHECKING:
    from pipeline.client.api import Client

COLUMNS = ("row", "column", "new")
_SHOWN = ("row", "column", "kind", "old", "new")


@app.command(rich_help_panel="Imports")
def fix(
    import_id: ImportId,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="ROW:COLUMN=VALUE", help="A new value for a cell; empty: no value.")
    ] = None,
    skip: Annotated[list[int] | None, typer.Option(metavar="ROW", help="Leave this row out.")] = None,
    root: Annotated[list[int] | None, typer.Option(metavar="ROW", help="Make a root of this record.")] = None,
    undo: Annotated[
        list[str] | None, typer.Option(metavar="ROW[:COLUMN]", help="Take back the edit of a cell, or the skip of a row.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="CSV", callback=there, help="A file with the columns row, column, new; - for stdin."),
    ] = None,
    discard: Annotated[bool, typer.Option("--discard", help="First take back all edits that there are.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Import the file again, with all its edits.")] = False,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Correct the file of an import without changing it: edits are kept beside it. Without options, list them.

    Rows and columns are those of `bulkhead errors`.

    Example: `bulkhead fix 01990b3c-... --set 7:parentId=FR --skip 9 --again --wait`
    """
    check_timeout(timeout, wait)
    if wait and not again:
        raise typer.BadParameter("needs --again", param_hint="--wait")
    edits = [*map(_cell_set, sets or ()), *(_edits_in(source) if source else ())]
    cells, rows = _undone(undo or ())
    server = client()
    changes = {"edits": edits, "skip_rows": skip or [], "roots": root or [], "undo": cells, "unskip_rows": rows}
    changed = _change(server, import_id, {name: values for name, values in changes.items() if values}, discard=discard)
    if again:
        version = changed["version"]
        report_start(server, server.retry(import_id, patch=version), wait=wait, timeout=timeout, as_json=as_json)
    _print(server, import_id, changed, as_json=as_json)


def _change(server: Client, import_id: str, changes: dict[str, Any], *, discard: bool) -> dict[str, Any]:
    """Make the changes, in several requests if they are many; return the version that there is now."""
    from pipeline.client.patches import CHANGES_AT_ONCE

    now = server.patches.get(import_id)
    if discard and now["edits"] + now["skipped_rows"]:
        now = server.patches.discard(import_id, now["version"])
    for at in range(0, max(map(len, changes.values()), default=0), CHANGES_AT_ONCE):
        some = {name: values[at : at + CHANGES_AT_ONCE] for name, values in changes.items()}
        now = server.patches.change(import_id, now["version"], **some)
    return now


def _cell_set(text: str) -> dict[str, Any]:
    """Return the edit in ``ROW:COLUMN=VALUE``. Raises BadParameter."""
    place, is_set, value = text.partition("=")
    row, has_column, column = place.partition(":")
    if not (is_set and has_column and column and row.isascii() and row.isdigit()):
        raise typer.BadParameter(f"{text!r} is not like 7:parentId=FR", param_hint="--set")
    return {"row": int(row), "column": column, "new": value or None}


def _undone(texts: Sequence[str]) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the cells and the rows in ``ROW:COLUMN`` and ``ROW``. Raises BadParameter."""
    cells, rows = [], []
    for text in texts:
        row, has_column, column = text.partition(":")
        if not (row.isascii() and row.isdigit()) or (has_column and not column):
            raise typer.BadParameter(f"{text!r} is not like 7:parentId, or 7 for a row", param_hint="--undo")
        if has_column:
            cells.append({"row": int(row), "column": column})
        else:
            rows.append(int(row))
    return cells, rows


def _edits_in(source: Path) -> Iterator[dict[str, Any]]:
    """Yield the edits in a CSV file with the columns row, column and new; ``old`` may be there, too. Raises InvalidRequest."""
    try:
        text = sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidRequest(f"Cannot read {source}: {in_words(error)}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{source} is not UTF-8.") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        raise InvalidRequest(f"{source} lacks the column {missing[0]}: it needs {', '.join(COLUMNS)}.")
    for line in reader:
        row = (line["row"] or "").strip()
        if not (row.isascii() and row.isdigit()) or not line["column"]:
            raise InvalidRequest(
                f"{source}, line {reader.line_num}: {row!r} is not the number of a row, or the column is empty."
            )
        yield {
            "row": int(row),
            "column": line["column"],
            "new": line["new"] or None,
            **({"old": line["old"]} if line.get("old") else {}),
        }


def _print(server: Client, import_id: str, changed: dict[str, Any], *, as_json: bool) -> None:
    from pipeline.cli.terminal import out, print_json, rows_table, say

    edits = [*server.patches.edits(import_id)]
    if as_json:
        print_json(
            {**{name: changed[name] for name in ("import_id", "version", "edits", "skipped_rows", "roots")}, "items": edits}
        )
        return
    if edits:
        out().print(rows_table(_SHOWN, [[one[name] for name in _SHOWN] for one in edits]))
        say(f"{counted(changed['edits'], 'edit')}, {counted(changed['skipped_rows'], 'row')} skipped.")
        say(f"Import the file again with them: bulkhead fix {import_id} --again --wait")
    else:
        say("There are no edits.")
