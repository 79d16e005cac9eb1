"""`make demo`: the main job on real data, end to end, on the real parts, in a home of its own that goes afterwards.

It goes the way of any user: a file is uploaded over HTTP, lands in S3, its event starts the workflow, it is checked,
cut and loaded, and SQL finds it. Every step compares what it shows with what must come out; a wrong result ends the
demo with exit code 1. With BULKHEAD_HOME set, that home is used, and kept.
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
from pipeline.settings import environment

DATASET = "places"
IMPORT_SECONDS = 120
PARENT = "FR"
CHILDREN_SQL = f"""select id, name, kind from warehouse.places where "parentId" = '{PARENT}' order by id"""
COUNT_SQL = "select count(*) as places from warehouse.places"
CYCLE = {"XC", "XC-1", "XC-2"}
SHOWN_ROWS = 8


class WrongResult(BulkheadError):
    """The demo saw something other than what must come out."""


def main() -> int:
    """Run the demo; 0 if all went as it must."""
    stop_on_signals()
    began = time.monotonic()
    try:
        with _home() as home, tempfile.TemporaryDirectory(prefix="bulkhead-demo-") as files:
            page = _run(home, Path(files))
    except KeyboardInterrupt:
        terminal.say("Interrupted; everything is stopped.")
        return 130
    except BulkheadError as error:
        terminal.say(f"\nThe demo failed: {error}", "bold red")
        return 1
    _say(f"\nDone in {terminal.since(began)}. Nothing is left running.", "bold green")
    stays = "with this BULKHEAD_HOME" if environment().get("BULKHEAD_HOME") else "where imports stay"
    _say(f"The page of the import that it made; `make up` starts a stack {stays}:\n  {page}")
    return 0


def _run(home: Path, files: Path) -> str:
    """All the steps; where the page of the import that loaded the file is."""
    title = "A file of hierarchical records becomes rows in a warehouse,\nor a list of exactly what is wrong with it."
    terminal.out().print(Panel(title, title="Bulkhead", border_style="blue", expand=False, padding=(0, 2)))
    stack = local_stack(home, say=lambda line: _say(f"  {line}", "dim"))
    try:
        _step("Starting the real parts on this machine")
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
    """The real file's way into the warehouse."""
    count = places_csv(file)
    _step(f"Uploading {count:,} countries and subdivisions of ISO 3166, each below the place it lies in")
    ended = _import(client, file, Options(force=not fresh))
    _expect("state", ended["state"], "succeeded")
    _expect_counts(ended, total=count, valid=count, **({"inserted": count} if fresh else {}))
    _expect("number of places in the warehouse", _count(client), count)
    return ended


def _ask(client: Client) -> None:
    """One SQL query over what was loaded, compared with the source."""
    _step(f"Asking the warehouse for the children of {PARENT}")
    _say(f"  {CHILDREN_SQL}\n", "cyan")
    rows = [tuple(row) for row in client.query(CHILDREN_SQL)["rows"]]
    _show(terminal.rows_table(("id", "name", "kind"), rows[:SHOWN_ROWS]))
    if len(rows) > SHOWN_ROWS:
        _say(f"  ... and {len(rows) - SHOWN_ROWS} more")
    wanted = sorted((place[0], place[2], place[3]) for place in places() if place[1] == PARENT)
    _expect(f"children of {PARENT}", sorted(rows), wanted)


def _load_again(client: Client, file: Path, count: int) -> None:
    """The same file once more changes nothing: it is known, and if it is loaded all the same, every record is as it was."""
    _step("Uploading the same file again: its content is known, and the answer names the import that loaded it")
    ended = _import(client, file)
    _expect("state", ended["state"], "duplicate")
    _say(f"  {ended['reason']}", "dim")
    _step("And once more with --force: every record is unchanged, nothing is doubled")
    ended = _import(client, file, Options(force=True))
    _expect("state", ended["state"], "succeeded")
    _expect_counts(ended, total=count, valid=count, unchanged=count)
    _expect("number of places in the warehouse", _count(client), count)


def _reject(client: Client, file: Path, count: int) -> None:
    """A broken file is refused as a whole, and every mistake is named."""
    broken_csv(file)
    _step("Uploading a broken file: rejected as a whole, and every mistake is named")
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
    """The door, for those who read while it is open; and how to open it for longer."""
    _step("The same in a browser")
    _say(f"  {sign_in_url(stack)}  signs you in")
    _say(f"  {page}  is the page of the first import")
    _say("  This stack stops now; `make up` starts one that stays, and prints such a link.", "dim")


# --- how a step is shown and judged ---


def _import(client: Client, file: Path, options: Options | None = None) -> ImportJson:
    """Upload a file, follow it to its end, show its counts."""
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
        raise WrongResult(f"The {what} must be {wanted!r}; it is {seen!r}.")


def _step(text: str) -> None:
    _say(f"\n● {text}", "bold")


def _say(text: str, style: str | None = None) -> None:
    terminal.out().print(display.visible(text, keep="\n"), style=style, soft_wrap=True)


def _show(shown: RenderableType) -> None:
    terminal.out().print(Padding(shown, (0, 0, 0, 2), expand=False))


@contextmanager
def _home() -> Iterator[Path]:
    """BULKHEAD_HOME if it is set; else a fresh folder that goes afterwards."""
    given = environment().get("BULKHEAD_HOME")
    if given:
        yield Path(given).absolute()
        return
    with tempfile.TemporaryDirectory(prefix="bulkhead-") as folder:
        yield Path(folder)


if __name__ == "__main__":
    sys.exit(main())
