"""`bulkhead validate`: the same reading and the same rules as an import's, on this machine, without any server."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import Exit, InputFile, app
from pipeline.errors import NotUsable

if TYPE_CHECKING:
    from pipeline.datasets import Dataset
    from pipeline.settings import Settings

ON_SCREEN_ROWS = 50


@app.command(rich_help_panel="Imports")
def validate(
    file: InputFile,
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="The dataset whose rules apply.")] = "records",
    filename: Annotated[str | None, typer.Option(help="The file's name, if stdin is not CSV.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Keep the whole report in this folder.", file_okay=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Check a file by its dataset's rules without a server; exit 3 if an import would be rejected.

    Parents are looked for in the file only, not in the warehouse.

    Example: `bulkhead validate places.csv -d places`
    """
    from pipeline.datasets import load_dataset
    from pipeline.settings import load_settings
    from pipeline.terminal import print_json, working

    settings = load_settings()
    rules = load_dataset(dataset, settings.datasets_root)
    with tempfile.TemporaryDirectory(prefix="bulkhead-") as scratch:
        folder = Path(scratch)
        name = _bring(file, folder, filename)
        with working(f"Checking {name} ..."):
            verdict = _judge(folder, rules, name, settings)
        groups = json.loads((folder / "report" / "groups.json").read_bytes())["items"]
        if output is not None:
            _keep(folder / "report", output)
    if as_json:
        print_json(verdict)
    else:
        _tell(verdict, groups, name, output)
    if "missing_parent" in verdict["by_code"]:
        _say("Parents were looked for in this file only: those that the warehouse has would not be missing in an import.")
    raise typer.Exit(Exit.REJECTED if verdict["errors"] else Exit.OK)


def _bring(file: Path, folder: Path, filename: str | None) -> str:
    """Put the file where validation looks for it; its name, by which its format is known."""
    from pipeline.validation import SOURCE

    try:
        if file.is_file():
            (folder / SOURCE).symlink_to(file.absolute())
            return filename or file.name
        with (folder / SOURCE).open("wb") as copy:
            if str(file) == "-":
                shutil.copyfileobj(sys.stdin.buffer, copy)
            else:
                with file.open("rb") as stream:
                    shutil.copyfileobj(stream, copy)
    except OSError as error:
        raise NotUsable(f"Cannot read {file}: {error.strerror}.") from error
    return filename or ("stdin.csv" if str(file) == "-" else file.name)


def _judge(folder: Path, rules: Dataset, name: str, settings: Settings) -> dict[str, Any]:
    """What an import of the file would find, in the child process that an import would use."""
    from pipeline import sandbox, validation

    found = sandbox.run(
        validation.validate,
        folder,
        rules,
        name,
        "offline",
        None,
        memory_bytes=settings.validation_memory_bytes,
        seconds=settings.validation_seconds,
        answer=lambda parents: None,
    )
    return {
        "file": name,
        "dataset": rules.name,
        "accepted": found.errors == 0,
        "records": found.records,
        "errors": found.errors,
        "warnings": found.warnings,
        "by_code": found.by_code,
        "findings": json.loads((folder / "report" / "findings.json").read_bytes()),
    }


def _keep(report: Path, output: Path) -> None:
    try:
        shutil.copytree(report, output, dirs_exist_ok=True)
    except OSError as error:
        raise NotUsable(f"Cannot write into {output}: {error}.") from error


def _tell(verdict: dict[str, Any], groups: list[dict[str, Any]], name: str, output: Path | None) -> None:
    from pipeline.terminal import groups_view, out

    if groups:
        out().print(groups_view(groups[:ON_SCREEN_ROWS]))
    if len(verdict["findings"]) > sum(len(group["first"]) for group in groups[:ON_SCREEN_ROWS]):
        _say(f"{len(verdict['findings']):,} findings; all of them: --json, or --output FOLDER")
    counts = ", ".join(_counted(verdict[f"{thing}s"], thing) for thing in ("record", "error", "warning"))
    _say(f"{name}: {counts}. " + ("It would be rejected." if verdict["errors"] else "It would be accepted."))
    if output is not None:
        _say(f"The report: {output / 'docs' / 'index.html'}")


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def _say(text: str) -> None:
    from pipeline.terminal import say

    say(text)
