"""`bulkhead dbt`: write a dbt package whose sources are the loaded datasets."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import AsJson, app, dataset_names
from pipeline.display import counted
from pipeline.errors import InvalidRequest

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write into.", file_okay=False)]
Datasets = Annotated[
    list[str] | None,
    typer.Option("--dataset", "-d", help="Only this dataset; can be given several times.", autocompletion=dataset_names),
]
Force = Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty, over files of the same names.")]


@app.command(rich_help_panel="Operation")
def dbt(folder: Folder, dataset: Datasets = None, force: Force = False, as_json: AsJson = False) -> None:
    """Write a dbt package: the loaded datasets as sources with tests and freshness, and macros for the hierarchy.

    It is made from the definitions: no server is needed, and no secret is written.

    Example: `bulkhead dbt analytics/bulkhead -d places`
    """
    from pipeline.cli.datasets_root import current_root
    from pipeline.cli.terminal import print_json, print_line, say, write_file
    from pipeline.dbt_package.project import project_files, read_datasets
    from pipeline.settings import load_settings

    root = current_root(load_settings())
    chosen = read_datasets(root, dataset or [])
    files = project_files(chosen, root)
    if not force:
        _check_empty(folder, files)
    for path, text in files.items():
        write_file(folder / path, [text.encode()])
    if as_json:
        print_json({"folder": str(folder), "datasets": [one.name for one in chosen], "written": [*files]})
        return
    for path in files:
        print_line(str(folder / path))
    say(f"A dbt package with {counted(len(chosen), 'dataset')}. What to do with it: {folder / 'README.md'}")


def _check_empty(folder: Path, files: Collection[str]) -> None:
    """Raise InvalidRequest, naming the files that would be overwritten, if a folder is not empty."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    there = [path for path in files if (folder / path).exists()]
    what = f"These files would be overwritten: {', '.join(there)}" if there else "None of its files would be overwritten"
    raise InvalidRequest(f"The folder {folder} is not empty. {what}. Give an empty folder, or write into this one by --force.")
