"""`make demo`: import real data end to end on the real components, in a temporary home.

As for any user, a file is uploaded over HTTP and stored in S3, its event starts the workflow, it is validated, split into parts
and loaded, and SQL reads it. Each step compares its result with the expected one; a wrong result ends the demo with exit
code 1. If BULKHEAD_HOME is set, that home is used, and kept.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.panel import Panel

from pipeline import display
from pipeline.cli import terminal
from pipeline.cli.progress import following
from pipeline.client.api import Client, ImportJson
from pipeline.contracts.options import Options
from pipeline.errors import BulkheadError
from pipeline.local.demo_data import broken_csv, places, places_csv
from pipeline.local.stack import Stack
from pipeline.local.up import local_stack, sign_in_url, stop_on_signals
from pipeline.process_environment import environment

DATASET = "places"
IMPORT_SECONDS = 120
PARENT = "FR"
CHILDREN_SQL = f"""select id, name, kind from warehouse.places where "parentId" = '{PARENT}' order by id"""
COUNT_SQL = "select count(*) as places from warehouse.places"
CYCLE = {"XC", "XC-1", "XC-2"}
SHOWN_ROWS = 8


class WrongResult(BulkheadError):
    """A result differs from the expected one."""


def main() -> int:
    """Run the demo, and return its exit code."""
    stop_on_signals()
    began = time.monotonic()
    try:
        with _home() as home, tempfile.TemporaryDirectory(prefix="bulkhead-demo-") as files:
            page = _run(home, Path(files))
    except KeyboardInterrupt:
        terminal.say("Interrupted. Everything is stopped.")
        return 130
    except BulkheadError as error:
        terminal.say(f"\nThe demo failed: {error}", "bold red")
        return 1
    _say(f"\nDone in {terminal.since(began)}. Nothing is left running.", "bold green")
    stays = "with this BULKHEAD_HOME" if environment().get("BULKHEAD_HOME") else "that keeps its imports"
    _say(f"`make up` starts a stack {stays}. The page of the import was:\n  {page}")
    return 0


def _run(home: Path, files: Path) -> str:
    """Run all steps, and return the URL of the page of the import that loaded the file."""
    title = "A file of hierarchical records becomes rows in a warehouse,\nor a list of exactly what is wrong with it."
    terminal.out().print(Panel(title, title="Bulkhead", border_style="blue", expand=False, padding=(0, 2)))
    stack = local_stack(home, say=lambda line: _say(f"  {line}", "dim"))
    try:
        _step("Starting all components on this machine")
        stack.start()
        client = Client(stack.environment["BULKHEAD_URL"], stack.environment["BULKHEAD_API_KEY"])
        fresh = _count(client) == 0
        loaded = _load(client, files / "places.csv", fresh=fresh)
        count = int(loaded["counts"]["total"])
        _ask(client)
        _load_again(client, files / "places.csv", count)
        _reject(client, files / "broken.csv", count)
        page = f"{stack.environment['BULKHEAD_URL']}/imports/{loaded['id']}"
        _where(stack, page)
    finally:
        _step("Stopping everything")
        stack.stop()
    return page


# --- the steps ---


def _load(client: Client, file: Path, *, fresh: bool) -> ImportJson:
    """Import the real file into the warehouse."""
    count = places_csv(file)
    _step(f"Uploading {count:,} countries and subdivisions of ISO 3166, each with the place it belongs to as its parent")
    ended = _import(client, file, Options(force=not fresh))
    _expect("state", ended["state"], "succeeded")
    _expect_counts(ended, total=count, valid=count, **({"inserted": count} if fresh else {}))
    _expect("number of places in the warehouse", _count(client), count)
    return ended


def _ask(client: Client) -> None:
    """Query the loaded records with SQL, and compare them with the source."""
    _step(f"Querying the warehouse for the children of {PARENT}")
    _say(f"  {CHILDREN_SQL}\n", "cyan")
    rows = [tuple(row) for row in client.query(CHILDREN_SQL)["rows"]]
    _show(terminal.rows_table(("id", "name", "kind"), rows[:SHOWN_ROWS]))
    if len(rows) > SHOWN_ROWS:
        _say(f"  ... and {len(rows) - SHOWN_ROWS} more")
    wanted = sorted((place[0], place[2], place[3]) for place in places() if place[1] == PARENT)
    _expect(f"children of {PARENT}", sorted(rows), wanted)


def _load_again(client: Client, file: Path, count: int) -> None:
    """Upload the same file again: it is recognized as a duplicate, and importing it again changes no record."""
    _step("Uploading the same file again: it is a duplicate, and the reason names the import that loaded it")
    ended = _import(client, file)
    _expect("state", ended["state"], "duplicate")
    _say(f"  {ended['reason']}", "dim")
    _step("Importing it again with --force: every record is unchanged, nothing is duplicated")
    ended = _import(client, file, Options(force=True))
    _expect("state", ended["state"], "succeeded")
    _expect_counts(ended, total=count, valid=count, unchanged=count)
    _expect("number of places in the warehouse", _count(client), count)


def _reject(client: Client, file: Path, count: int) -> None:
    """Upload a broken file: it is rejected as a whole, and every error is listed."""
    broken_csv(file)
    _step("Uploading a broken file: it is rejected as a whole, and every error is listed")
    ended = _import(client, file)
    _expect("state", ended["state"], "rejected")
    findings = list(client.errors(ended["id"]))
    _show(terminal.findings_view(findings))
    codes = Counter(finding["code"] for finding in findings)
    for code in ("conflicting_duplicate", "missing_parent", "circular_reference"):
        if not codes[code]:
            raise WrongResult(f"The broken file has a {code}, but no finding says so: {dict(codes)}.")
    cycle = next(finding["cycle"] for finding in findings if finding["code"] == "circular_reference")
    _expect("places in the cycle", set(cycle or ()), CYCLE)
    _say(f"  The cycle: {' → '.join(cycle)}", "bold")
    _expect("number of places in the warehouse", _count(client), count)


def _where(stack: Stack, page: str) -> None:
    """Print the URLs for a browser, and how to start a stack that keeps running."""
    _step("The same in a browser")
    _say(f"  {sign_in_url(stack)}  signs you in")
    _say(f"  {page}  is the page of the first import")
    _say("  This stack stops now; `make up` starts one that keeps running, and prints such a link.", "dim")


# --- show and check a step ---


def _import(client: Client, file: Path, options: Options | None = None) -> ImportJson:
    """Upload a file, follow its import until it has ended, and show its counts."""
    with following() as progress:
        made = client.upload(file, DATASET, options=options, on_sent=progress.sent)
        progress.uploaded()
        ended = client.wait(made["id"], on_progress=progress.seen, timeout=IMPORT_SECONDS)
    _show(terminal.import_table(ended))
    return ended


def _count(client: Client) -> int:
    return int(client.query(COUNT_SQL)["rows"][0][0])


def _expect_counts(ended: ImportJson, **wanted: int) -> None:
    for name, number in wanted.items():
        _expect(f"{name} records", ended["counts"][name], number)


def _expect(what: str, seen: Any, wanted: Any) -> None:
    if seen != wanted:
        raise WrongResult(f"Wrong {what}: expected {wanted!r}, got {seen!r}.")


def _step(text: str) -> None:
    _say(f"\n● {text}", "bold")


def _say(text: str, style: str | None = None) -> None:
    terminal.out().print(display.visible(text, keep="\n"), style=style, soft_wrap=True)


def _show(shown: RenderableType) -> None:
    terminal.out().print(Padding(shown, (0, 0, 0, 2), expand=False))


@contextmanager
def _home() -> Iterator[Path]:
    """Return BULKHEAD_HOME for the block if it is set, else a temporary folder."""
    given = environment().get("BULKHEAD_HOME")
    if given:
        yield Path(given).absolute()
        return
    with tempfile.TemporaryDirectory(prefix="bulkhead-") as folder:
        yield Path(folder)


if __name__ == "__main__":
    sys.exit(main())
