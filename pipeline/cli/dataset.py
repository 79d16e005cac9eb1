"""`bulkhead dataset`: new datasets from a file; definitions shown, exported, imported and dropped, by the server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import AsJson, Commands, Exit, InputFile, app, client, dataset_names, in_words
from pipeline.display import counted, visible
from pipeline.errors import InvalidRequest

if TYPE_CHECKING:
    from pipeline.client.definitions import DefinitionCalls

datasets_app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Create datasets from files; show, export, import and drop their definitions."
)
app.add_typer(datasets_app, name="dataset", rich_help_panel="Operation")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The dataset's name.", autocompletion=dataset_names)]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="The new dataset's name: a-z, 0-9 and _.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def _calls() -> DefinitionCalls:
    return client().definitions


@datasets_app.command()
def new(name: NewName, file: InputFile, yes: Yes = False, as_json: AsJson = False) -> None:
    """Propose a dataset for a file, by all of its values, and create it once that is confirmed.

    With --json and without --yes the proposal is printed, and nothing is created. Then correct it and give it to the API, or
    export the dataset later, change the two files, and import them.

    Example: `bulkhead dataset new products products.csv --yes`
    """
    from pipeline.cli.terminal import print_json, say, working

    calls = _calls()
    with working(f"Looking at {file} ..."):
        source = sys.stdin.buffer if str(file) == "-" else file
        proposal = calls.propose(source, name=name)
    if as_json and not yes:
        print_json(proposal)
        raise typer.Exit(Exit.REJECTED if proposal["problem"] else Exit.OK)
    if not as_json:
        _print_proposal(proposal)
    if proposal["problem"]:
        raise InvalidRequest(proposal["problem"])
    if not yes and not typer.confirm(f"Create the dataset {name}?", err=True):
        say("Nothing was created.")
        raise typer.Exit(Exit.CANCELED)
    made = calls.create(definition=proposal["definition"])
    if as_json:
        print_json(made)
    say(f"The dataset {name} was created. Import the file: bulkhead upload {file} -d {name}")


def _print_proposal(proposal: dict[str, Any]) -> None:
    from pipeline.cli.terminal import out, rows_table, say

    definition, seen = proposal["definition"], {column["name"]: column for column in proposal["columns"]}
    roles = {definition["key"]: "key", definition["parent"]: "parent"}
    rows = []
    for column in definition["columns"]:
        facts = seen[column["name"]]
        rules = [name for name in ("required", "unique") if column[name]]
        rules += [f"one of {', '.join(column['values'])}"] if column["values"] else []
        rules += [f"at most {column['max_length']:,} characters"] if column["max_length"] else []
        rules += ["searched"] if column["search"] else []
        refused = "; ".join(one["sentence"] for one in facts["refuses"].values())
        rows.append(
            [
                *(column["name"], facts["header"], column["type"], roles.get(column["name"], "")),
                *(", ".join(rules), facts["reason"], refused),
            ]
        )
    out().print(rows_table(["column", "in the file", "type", "role", "rules", "why", "in this file"], rows))
    for note in proposal["notes"]:
        say(visible(note))
    say(f"{counted(proposal['records'], 'record')}; {counted(proposal['refused'], 'record')} of them would be refused.")


@datasets_app.command()
def show(
    name: Name,
    version: Annotated[int | None, typer.Option("--version", help="An earlier version.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Print the definition of a dataset as its two files, or with --json as the API returns it.

    Example: `bulkhead dataset show places`
    """
    from pipeline.cli.terminal import print_json, print_line, say

    one = _calls().get(name, version=version)
    if as_json:
        print_json(one)
        return
    say(f"{name} is defined by files." if one["in_files"] else f"{name}, version {one['version']} of {len(one['versions'])}")
    print_line(one["files"]["suite"])
    print_line(one["files"]["table"])


@datasets_app.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """List all datasets, and where each is defined.

    Example: `bulkhead dataset list`
    """
    from pipeline.cli.terminal import out, print_json, rows_table

    calls = _calls()
    shown = [calls.get(one["name"]) for one in client().datasets()["items"]]
    rows = [
        {"name": one["name"], "title": one["title"], "version": one["version"], "in_files": one["in_files"]} for one in shown
    ]
    if as_json:
        print_json(rows)
        return
    told = [[one["name"], one["title"], "files" if one["in_files"] else f"version {one['version']}"] for one in rows]
    out().print(rows_table(["dataset", "title", "defined by"], told))


@datasets_app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write into.", file_okay=False)],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these. Default: all that the database defines.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write definitions as the two files that a checkout has: expectations/NAME.json and sql/tables/NAME.sql.

    Example: `bulkhead dataset export definitions/`
    """
    from pipeline.cli.terminal import print_json, print_line

    calls, written = _calls(), []
    for one in map(calls.get, names or [one["name"] for one in client().datasets()["items"]]):
        if names or not one["in_files"]:
            for path, text in zip(_paths(folder, one["name"]), (one["files"]["suite"], one["files"]["table"]), strict=True):
                _write(path, text)
                written.append(str(path))
    if as_json:
        print_json({"written": written})
    else:
        for line in written:
            print_line(line)


@datasets_app.command("import")
def import_definitions(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that export wrote.", exists=True, file_okay=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what changes of existing datasets mean.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create the datasets of a folder that are not there, and change those that are.

    Example: `bulkhead dataset import definitions/`
    """
    from pipeline.cli.terminal import print_json, print_line

    suites = sorted((folder / "expectations").glob("*.json"))
    if not suites:
        raise InvalidRequest(f"{folder} has no expectations/*.json. Give a folder that `bulkhead dataset export` wrote.")
    done = [_imported(folder, suite.stem, dry_run=dry_run) for suite in suites]
    if as_json:
        print_json(done)
    else:
        for one in done:
            print_line(f"{one['name']}: {'; '.join(one['changes']) or 'as it was'}")


def _imported(folder: Path, name: str, *, dry_run: bool) -> dict[str, Any]:
    from pipeline.client.api import ApiError

    calls = _calls()
    try:
        suite, table = (path.read_text(encoding="utf-8") for path in _paths(folder, name))
    except OSError as error:
        raise InvalidRequest(in_words(error)) from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The files of {name} are not UTF-8 text: {error}.") from error
    files = {"suite": suite, "table": table}
    try:
        now = calls.get(name)
    except ApiError as error:
        if error.code != "unknown_dataset":
            raise
        if not dry_run:
            calls.create(name=name, files=files)
        return {"name": name, "changes": ["would be created" if dry_run else "created"]}
    done = calls.change(name, now["version"] or 0, files=files, dry_run=dry_run)
    return {"name": name, "changes": done["changes"], "version": done["version"], "loaded": done["loaded"]}


@datasets_app.command()
def drop(
    name: Name,
    confirm: Annotated[
        str | None, typer.Option("--confirm", metavar="NAME", help="The name once more, instead of a question.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Drop a dataset with all its records, once its name is given once more. A dump is kept in the bucket for a while.

    Example: `bulkhead dataset drop products`
    """
    from pipeline.cli.terminal import print_json, say

    given = (
        typer.prompt(f"This removes all records of {name}. Give its name once more", err=True) if confirm is None else confirm
    )
    dropped = _calls().drop(name, confirm=given)
    if as_json:
        print_json(dropped)
    until = f" until {dropped['kept_until']}" if dropped["kept_until"] else ""
    say(f"{name} was dropped. {counted(dropped['records'], 'record')} are kept{until} under {dropped['dump']}.")


@datasets_app.command("apply")
def apply_definitions(as_json: AsJson = False) -> None:
    """Bring tables and views of all datasets to their definitions, in the database of the settings, as `migrate` does.

    Creating or changing a dataset does it by itself; this is for a table that was lost or changed by hand.

    Example: `bulkhead dataset apply`
    """
    from dataclasses import asdict

    from pipeline.adapters.postgres_access import to_database, to_owner
    from pipeline.cli.server import needed
    from pipeline.cli.terminal import print_json, print_line, say
    from pipeline.settings import load_settings
    from pipeline.warehouse.dataset_source import source_of
    from pipeline.warehouse.migrate import migrate

    settings = load_settings()
    needed(settings.database_url)
    done = migrate(to_database(settings), owner=to_owner(settings), root=source_of(settings).root(), say=say)
    if as_json:
        print_json([asdict(one) for one in done])
    else:
        for one in done:
            print_line(str(one))


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    """Return where a checkout has the two files of a dataset."""
    return folder / "expectations" / f"{name}.json", folder / "sql" / "tables" / f"{name}.sql"


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"Cannot write {path}: {error.strerror}.") from error
