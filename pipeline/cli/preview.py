"""`bulkhead preview`: the first rows of a file as an import would read it, and the tree of its hierarchy, without a server."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import AsJson, Filename, InputFile, app, dataset_names
from pipeline.cli.offline import place_file
from pipeline.cli.reading_options import reads_a_file
from pipeline.contracts.options import ReadOptions
from pipeline.display import counted, dialect_text

if TYPE_CHECKING:
    from pipeline.sandbox.preview_model import Preview, TreePreview


@app.command(rich_help_panel="Imports")
@reads_a_file
def preview(
    file: InputFile,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            help="The dataset that it is for; default: the one that it fits best.",
            autocompletion=dataset_names,
        ),
    ] = None,
    filename: Filename = None,
    as_json: AsJson = False,
    *,
    reading: ReadOptions,
) -> None:
    """Show the first rows of a file as an import would read them, what its columns become and probably are, and its tree.

    Without a dataset, the one that the file fits best is found. What would certainly be rejected is said; `bulkhead validate`
    checks the other rules.

    Example: `bulkhead preview tree.csv --shape '{"kind": "path", "column": "path", "separator": "/"}'`
    """
    from pipeline.cli.datasets_root import current_root
    from pipeline.cli.terminal import print_json, working
    from pipeline.datasets import dataset as definitions
    from pipeline.sandbox import process
    from pipeline.sandbox.preview_file import preview_among
    from pipeline.settings import load_settings

    settings = load_settings()
    root = current_root(settings)
    names = [dataset] if dataset else definitions.dataset_names(root)
    among = tuple(definitions.load_dataset(name, root) for name in names)
    if dataset:
        among[0].check_mapping(reading.mapping)
        among[0].check_options(reading)
    with tempfile.TemporaryDirectory(prefix="bulkhead-") as scratch:
        name = place_file(file, Path(scratch), filename)
        with working(f"Reading {name} ..."):
            seen = process.run(
                preview_among,
                *(Path(scratch) / "source", among, reading, True, name, dataset),
                memory_bytes=settings.validation_memory_bytes,
                seconds=settings.validation_seconds,
            )
    if as_json:
        print_json({"file": name, **_shown(seen)})
    else:
        _print(seen, name, is_chosen=dataset is not None)


def _shown(seen: Preview) -> dict[str, Any]:
    return {**asdict(seen), "text": dialect_text(vars(seen)), "new_dataset": seen.dataset is None}


def _print(seen: Preview, name: str, *, is_chosen: bool) -> None:
    from pipeline.cli.terminal import out, print_line, rows_table, say

    out().print(rows_table([column.name for column in seen.columns], seen.rows))
    for line in _tree_lines(seen.tree):
        print_line(line)
    say(f"{name}: {dialect_text(vars(seen))}.")
    if not is_chosen:
        best = next((one for one in seen.datasets if one.dataset == seen.dataset), None)
        say(f"It fits {best.dataset} best. {best.reason}" if best else "It fits no dataset: it needs a new one.")
    for line in _column_lines(seen):
        say(line)
    for offer in seen.offers:
        say(f"{offer.sentence} ({offer.option}{': used' if offer.is_used else ''})")
    for one in seen.would_reject:
        say(f"It would be rejected{f' for {one.cell}' if one.cell else ''}: {one.sentence} {one.hint}".rstrip())
    if seen.tree and seen.tree.problem:
        say(seen.tree.problem)


def _column_lines(seen: Preview) -> Iterator[str]:
    """Yield what becomes of each column that does not simply keep its name."""
    for column, match in zip(seen.columns, seen.matches, strict=True):
        suggested = match.suggested if match.by not in (None, "header") else None
        if column.becomes is None or column.becomes != column.name or suggested:
            become = f"becomes {column.becomes}" if column.becomes else "is no column of the dataset"
            meant = f"; probably {suggested} is meant: --map. {match.reason}" if suggested else "."
            yield f"{column.name} {become}{meant}"


def _tree_lines(tree: TreePreview | None) -> Iterator[str]:
    """Yield the size of the tree and its first records, indented, as text."""
    if tree is None or not tree.records:
        return
    made = f", of which {tree.generated:,} would be generated" if tree.generated else ""
    yield f"{counted(tree.records, 'record')}{made}; {counted(tree.roots, 'root')}, {counted(tree.levels, 'level')}"
    for node in tree.nodes:
        named = f"  {node.name}" if node.name and node.name != node.id else ""
        below = f"  ({node.children:,} below)" if node.children else ""
        yield f"{'  ' * node.level}{node.id}{named}{below}"
