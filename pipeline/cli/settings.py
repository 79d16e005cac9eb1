"""The command that shows the settings: value, source, and what each one does."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import AsJson, Exit, app

if TYPE_CHECKING:
    from pipeline.setting_texts import SettingText


@app.command(rich_help_panel="Operation")
def settings(
    name: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Show only these settings.")] = None,
    changed: Annotated[bool, typer.Option("--changed", help="Show only settings that differ from the default.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 if a setting is insecure.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show each setting with its value, where that comes from, and what it does. Secrets are not shown.

    Settings that work and are insecure are listed at the end.

    Example: `bulkhead settings --changed`
    """
    from pipeline.cli.terminal import out, print_json, say
    from pipeline.errors import NotFound
    from pipeline.insecure_settings import insecure_settings
    from pipeline.setting_texts import setting_texts
    from pipeline.settings import load_settings

    loaded = load_settings()
    shown = [*setting_texts(loaded)]
    unknown = sorted({*(name or ())} - {one.name for one in shown})
    if unknown:
        raise NotFound(f"There is no setting {', '.join(unknown)}. List all: bulkhead settings")
    shown = [one for one in shown if (not name or one.name in name) and not (changed and one.is_default)]
    insecure = insecure_settings(loaded)
    if as_json:
        print_json({"settings": [one.to_json() for one in shown], "insecure": [one.to_json() for one in insecure]})
    else:
        for section, members in groupby(shown, key=lambda one: one.section):
            out().print(section, style="bold", end="\n\n")
            for one in members:
                _print_setting(one)
    for fault in insecure:
        say(f"Insecure: {fault}", "yellow")
    if strict and insecure:
        raise typer.Exit(Exit.ERROR)


def _print_setting(one: SettingText) -> None:
    """Print a setting in two or three lines: its name and value, its source, what it does."""
    from rich.padding import Padding

    from pipeline.cli.terminal import cell, out

    source = f"from the file {one.file}, named in: {one.source}" if one.file else one.source
    console = out()
    console.print(cell(one.name, "cyan"), cell("="), cell(one.value), cell(f"({source})", "dim"))
    console.print(Padding(cell(one.description), (0, 0, 1, 4), expand=False))
