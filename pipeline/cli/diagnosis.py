"""Commands that find out what is wrong, and collect it for others: `bulkhead doctor`, `bulkhead support-bundle`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import AsJson, Exit, app

STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


@app.command(rich_help_panel="Operation")
def doctor(as_json: AsJson = False) -> None:
    """Check everything that Bulkhead needs, and say how to fix what is wrong; exit code 1 if something fails.

    A warning is something that works and is doubtful: insecure, nearly full, or expiring soon. No mail or webhook is sent.

    Example: `bulkhead doctor`
    """
    from pipeline.cli.doctor import checks
    from pipeline.cli.terminal import cell, out, print_json
    from pipeline.settings import load_settings

    found = []
    for result in checks(load_settings()):
        found.append(result)
        if not as_json:
            out().print(cell(f"{result.state:4}", STYLES[result.state]), cell(result.name, "bold"), cell(result.detail))
            if result.mend:
                where = f" ({result.where})" if result.where else ""
                out().print(cell(f"     to fix it{where}: {result.mend}"))
    if as_json:
        print_json([result.to_json() for result in found])
    if not all(result.ok for result in found):
        raise typer.Exit(Exit.ERROR)


@app.command(rich_help_panel="Operation")
def support_bundle(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE.zip]", help="Default: bulkhead-support-<time>.zip.", dir_okay=False)
    ] = None,
    with_names: Annotated[bool, typer.Option("--with-names", help="Include the names of imported files.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write what a helper needs into one zip: versions, settings, checks, counts, logs; no secret and no value of a record.

    It works without the servers, too: what cannot be collected is named in it. Look through it before you send it.

    Example: `bulkhead support-bundle problem.zip`
    """
    from datetime import UTC, datetime

    from pipeline.cli.support_bundle import write_bundle
    from pipeline.cli.terminal import print_json, print_line, say, working
    from pipeline.settings import load_settings

    to = file or Path(f"bulkhead-support-{datetime.now(tz=UTC):%Y%m%dT%H%M%SZ}.zip")
    with working("Collecting ..."):
        sums = write_bundle(load_settings(), to, with_names=with_names)
    if as_json:
        print_json({"file": str(to), "files": sums})
    else:
        print_line(str(to))
        say(f"{len(sums)} files without secrets and values of records. Look through them before you send them.")
