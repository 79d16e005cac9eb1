"""`bulkhead gx`: write the datasets as a Great Expectations project, which the library opens and runs on the loaded tables."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import AsJson, app, dataset_names, in_words
from pipeline.errors import InvalidRequest


@app.command(rich_help_panel="Records")
def gx(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write into.", file_okay=False)],
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", "-d", help="Only this dataset; may be repeated.", autocompletion=dataset_names),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a Great Expectations project: the suites, a data source on the loaded tables, and a checkpoint per dataset.

    No file has a password: the project reads the address of the database from GX_DATABASE_URL. With --force files of an
    earlier project are replaced; other files stay.

    Example: `bulkhead gx quality/ -d places`
    """
    from pipeline.cli.datasets_root import current_root
    from pipeline.cli.terminal import print_json, print_line, say
    from pipeline.datasets.dataset import dataset_names as all_names
    from pipeline.datasets.dataset import load_dataset
    from pipeline.datasets.gx_project import ADDRESS, project_files, write_project
    from pipeline.settings import load_settings

    root = current_root(load_settings())
    files, exported = project_files([load_dataset(name, root) for name in dict.fromkeys(dataset or all_names(root))])
    try:
        if not force and folder.exists() and any(folder.iterdir()):
            raise InvalidRequest(f"{folder} is not empty. Name a new folder, or replace the project in it with --force.")
        write_project(files, folder)
    except OSError as error:
        raise InvalidRequest(f"Cannot write into {folder}: {in_words(error)}") from error
    if as_json:
        datasets = [{**asdict(one), "left_out": [*one.left_out]} for one in exported]
        print_json({"folder": str(folder), "address_from": ADDRESS, "files": sorted(files), "datasets": datasets})
        return
    for one in exported:
        print_line(f"{one.dataset}: {one.expectations} expectations")
        for rule in one.left_out:
            say(f"{one.dataset}: not in the project: {rule}.")
    say(f"Set {ADDRESS} to a read-only address of the warehouse; {folder / 'README.md'} says how to run it.")
