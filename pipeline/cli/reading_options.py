"""The options that say how a file is read, for each command that reads one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from pipeline.contracts.options import ReadOptions
from pipeline.errors import InvalidRequest
from pipeline.option_texts import CLEAN_EXAMPLE, PARSERS, SHAPE_EXAMPLE

_PANEL = "Reading the file"
_HELP = {
    "delimiter": "comma, semicolon, tab, pipe, space, spaces (two or more), or 1 to 8 characters. Default: detect it.",
    "quote": "double, single, another character, or none if quotes are data. Default: double.",
    "encoding": "Encoding of the text, such as cp1252 or shift_jis. Default: UTF-8, or UTF-16 by its mark.",
    "header_row": "Number of the line, or of the sheet's row, that has the columns' names.",
    "sheet": "Name of the workbook's sheet. Default: the first one that fits.",
    "records_at": "Where a JSON document has its records: keys with dots, such as data.items.",
    "merged": "fill: write the value of merged cells into each of them.",
    "repeated_columns": "Columns with the same name: number them, or keep their values as one list.",
    "no_parent_values": "Values of the parent column that mean no parent, separated by commas: 0,NULL",
    "parent_by": "Column whose value the parent column gives, instead of an ID, such as name; id,name: an ID, or else a name; "
    "name > name: the path of names from a root, with the characters between them.",
    "shape": f"How the hierarchy is written, as JSON: {SHAPE_EXAMPLE}",
    "clean": f"Rules that change values before they are checked, as JSON: {CLEAN_EXAMPLE}",
}


def _mapping(pairs: list[str] | None) -> list[str]:
    """Check the form of each pair, FROM=TO or FROM=. Raises BadParameter."""
    for pair in pairs or []:
        if "=" not in pair:
            raise typer.BadParameter(f"{pair!r} is neither FROM=TO nor FROM= (which skips the column FROM).")
    return pairs or []


def mapping_of(pairs: list[str] | None) -> dict[str, str]:
    """Return the column mapping of --map; a name in the file may contain a ``=``, and may be empty."""
    return {name: column for name, _, column in (pair.rpartition("=") for pair in pairs or [])}


def _parsed(name: str) -> Callable[[str | None], Any]:
    def parse(text: str | None) -> Any:
        try:
            return None if text is None else PARSERS[name](text)
        except InvalidRequest as error:
            raise typer.BadParameter(str(error)) from None

    return parse


def _parameter(name: str, annotation: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[annotation, option])


def _parameters() -> list[inspect.Parameter]:
    """Return a parameter for each option of reading, and for the mapping of columns."""
    options = [
        _parameter(
            name,
            str | None,
            typer.Option(f"--{name.replace('_', '-')}", help=text, callback=_parsed(name), rich_help_panel=_PANEL),
        )
        for name, text in _HELP.items()
    ]
    mapping = typer.Option(
        "--map",
        metavar="FROM=TO",
        help="Import the file's column FROM as TO; FROM= skips it. May be repeated.",
        callback=_mapping,
        rich_help_panel=_PANEL,
    )
    return [_parameter("columns", list[str] | None, mapping), *options]


def reads_a_file(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of reading; it gets them as its keyword argument ``reading``, a ReadOptions."""
    own = inspect.signature(command, eval_str=True)
    added = _parameters()

    @functools.wraps(command)
    def wrapper(*args: Any, **given: Any) -> None:
        asked = {name: given.pop(name, None) for name in (one.name for one in added)}
        columns = mapping_of(asked.pop("columns"))
        said = {name: value for name, value in asked.items() if value is not None}
        command(*args, **given, reading=ReadOptions(**said, mapping=columns))

    kept = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own.parameters.values() if one.name != "reading"]
    wrapper.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {}
    return wrapper
