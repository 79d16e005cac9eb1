"""Every page and every read of the API, as a user waits for them: beside a table of ten million records and an import with a
million findings, on the real stack, over HTTP, until the last byte is here.

The table is written by PostgreSQL itself, as in benchmarks.reads; the findings come of a file that was uploaded and rejected.
What is asked differs from round to round where it can: another record, another row, another place in the list.

    python -m benchmarks.pages [--records 10000000] [--findings 1000000] [--rounds 40] [--keep FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import requests

from benchmarks import data, measure
from benchmarks.reads.table import Table
from benchmarks.scale import WAIT_SECONDS, a_stack
from pipeline.adapters.postgres import connect
from pipeline.client.api import Client
from pipeline.datasets.dataset import load_dataset
from pipeline.local.stack import Stack
from pipeline.local.up import sign_in_url
from pipeline.settings import ROOT
from pipeline.warehouse.dataset_numbers import NumbersOfDatasets

LIMIT_MS = 300
"""What no page may take, at the 95th percentile."""

EDITS = 10_000
"""So many cells are edited in one request."""

EDIT_LIMIT_SECONDS = 2.0
EDIT_ROUNDS = 5
PART_RECORDS = 2000
FINDINGS_A_RECORD = 2
"""Of data.make_file's bad records."""

_RARE = (
    'LAST,nobody,Parentless,kind 1,1.00,"A parent that is nowhere"\n'
    "RING-1,RING-2,One,kind 1,1.00,Round\nRING-2,RING-3,Two,kind 1,1.00,and\nRING-3,RING-1,Three,kind 1,1.00,round\n"
)
"""At the end of the file: codes that are looked for in vain in all of it before."""


@dataclass(frozen=True)
class Question:
    """What is asked for: a path, made anew for each round, or a form with its fields."""

    path: Callable[[], str]
    form: Callable[[], dict[str, str]] | None = None


@dataclass(frozen=True)
class Asker:
    """Return a session that is signed in."""

    url: str
    session: requests.Session

    @classmethod
    def of(cls, stack: Stack) -> Asker:
        """By a sign-in link, as a person does it; what an API key opens, the session opens too."""
        session = requests.Session()
        page = session.get(sign_in_url(stack), timeout=60).text
        fields = dict(re.findall(r'name="(csrf_token|token)" value="([^"]+)"', page))
        url = stack.environment["BULKHEAD_URL"]
        session.post(f"{url}/sign-in", data=fields, timeout=60).raise_for_status()
        return cls(url, session)

    def milliseconds(self, question: Question) -> float:
        """Until all of the answer is here. Raises if it is none."""
        began = time.perf_counter()
        if question.form is None:
            answer = self.session.get(self.url + question.path(), timeout=120)
        else:
            answer = self.session.post(self.url + question.path(), data=question.form(), timeout=120)
        took = time.perf_counter() - began
        if answer.status_code != 200:
            raise RuntimeError(f"{answer.request.url} was answered {answer.status_code}: {answer.text[:500]}")
        return took * 1000

    def token(self) -> str:
        """What a form needs to be believed."""
        page = self.session.get(f"{self.url}/sql", timeout=60).text
        return re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]


def questions(table: Table, loaded: str, import_id: str, findings: int, token: str) -> dict[str, Question]:
    """Every page and every read there is, by the name that it has in the results."""

    def wide() -> str:
        return str(random.randrange(table.wide))

    def leaf() -> str:
        return str(random.randrange(table.tree, table.records))

    def place() -> str:
        return str(random.randrange(findings))

    def fixed(path: str) -> Question:
        return Question(lambda: path)

    one, api = f"/imports/{import_id}", f"/v1/imports/{import_id}"
    records, read = f"/datasets/{data.DATASET}/records", f"/v1/datasets/{data.DATASET}/records"
    select = f'select id, name from {data.DATASET} where "parentId" = '
    return {
        "upload": fixed("/"),
        "imports": fixed("/imports"),
        "imports, by text": fixed("/imports?text=bench&state=rejected"),
        "import, rejected": fixed(one),
        "import, loaded": fixed(f"/imports/{loaded}"),
        "findings": fixed(f"{one}/findings"),
        "findings, further on": Question(lambda: f"{one}/findings?after={place()}"),
        "findings, a frequent code": Question(lambda: f"{one}/findings?code=expectation_failed&after={place()}"),
        "findings, a rare code": fixed(f"{one}/findings?code=missing_parent"),
        "findings, circles": fixed(f"{one}/findings?code=circular_reference"),
        "findings, by id or row": Question(lambda: f"{one}/findings?q={random.randrange(findings // FINDINGS_A_RECORD)}"),
        "findings, by a value of half of them": fixed(f"{one}/findings?q=nothing+known"),
        "findings, that value of another code": fixed(f"{one}/findings?q=nothing+known&code=missing_parent"),
        "findings, by what is not there": fixed(f"{one}/findings?q=nowhere+to+be+found"),
        "report": fixed(f"{one}/report"),
        "data docs": fixed(f"{api}/report/"),
        "validations": fixed(f"/datasets/{data.DATASET}/validations"),
        "datasets": fixed("/datasets"),
        "tree": fixed(records),
        "tree, all open": fixed(f"{records}?levels=all"),
        "tree, with columns": Question(lambda: f"{records}?under={wide()}&column=kind&column=amount&column=note"),
        "search, one of all": Question(lambda: f"{records}?search=record+number+{leaf()}"),
        "search, what all begin with": fixed(f"{records}?search=RECORD"),
        "search, what is not there": fixed(f"{records}?search=nothing"),
        "hierarchy": fixed(f"/datasets/{data.DATASET}/hierarchy"),
        "tree, hundreds below": Question(lambda: f"{records}?under={wide()}"),
        "record, with hundreds below": Question(lambda: f"{records}/{wide()}"),
        "record, a leaf": Question(lambda: f"{records}/{leaf()}"),
        "SQL": fixed("/sql"),
        "SQL, run": Question(lambda: "/sql", lambda: {"csrf_token": token, "do": "run", "sql": f"{select}'{wide()}'"}),
        "SQL, plan": Question(lambda: "/sql", lambda: {"csrf_token": token, "do": "plan", "sql": f"{select}'{wide()}'"}),
        "SQL, history": fixed("/sql/history"),
        "dataset": fixed(f"/datasets/{data.DATASET}"),
        "what is expected": fixed(f"/datasets/{data.DATASET}/suite"),
        "connect": fixed("/connect"),
        "guide": fixed("/docs/quick-start"),
        "try a read": Question(lambda: f"/docs/try/records_get_record?send=1&dataset={data.DATASET}&record_id={leaf()}"),
        "keys": fixed("/admin/keys"),
        "webhooks": fixed("/admin/webhooks"),
        "settings": fixed("/admin/settings"),
        "problems": fixed("/problems"),
        "sign in": fixed("/sign-in"),
        "API imports": fixed("/v1/imports"),
        "API import": fixed(api),
        "API import, loaded": fixed(f"/v1/imports/{loaded}"),
        "API errors": fixed(f"{api}/errors"),
        "API errors, further on": Question(lambda: f"{api}/errors?cursor={place()}"),
        "API errors, a rare code": fixed(f"{api}/errors?code=missing_parent"),
        "API errors, a rare code and severity": fixed(f"{api}/errors?code=missing_parent&severity=error"),
        "API errors, warnings": fixed(f"{api}/errors?severity=warning"),
        "API groups": fixed(f"{api}/errors/groups"),
        "API results": fixed(f"{api}/results"),
        "API failed": fixed(f"{api}/results/failed"),
        "API patch, 200 edits": Question(lambda: f"{api}/patch?first_row={random.randrange(1, EDITS)}&limit=200"),
        "API datasets": fixed("/v1/datasets"),
        "API dataset": fixed(f"/v1/datasets/{data.DATASET}"),
        "API validations": fixed(f"/v1/datasets/{data.DATASET}/validations"),
        "API records": fixed(read),
        "API search": Question(lambda: f"{read}?search=record+number+{leaf()}"),
        "API search, what all begin with": fixed(f"{read}?search=RECORD&limit=50"),
        "API numbers": fixed(f"/v1/datasets/{data.DATASET}/numbers"),
        "API roots": fixed(f"{read}?root=true&counts=true"),
        "API record": Question(lambda: f"{read}/{leaf()}"),
        "API children": Question(lambda: f"{read}/{wide()}/children?counts=true"),
        "API children, how many": Question(lambda: f"{read}/{wide()}/children_count"),
        "API ancestors": Question(lambda: f"{read}/{leaf()}/ancestors"),
        "API descendants": Question(lambda: f"{read}/{wide()}/descendants"),
        "API keys": fixed("/v1/keys"),
        "API description": fixed("/openapi.json"),
    }


def measured(records: int, findings: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of each: the first time that it is asked, and over all rounds, in turn, so that a slow spell meets all."""
    random.seed(6)
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        data.make_dataset(folder / "root", ROOT)
        _make_searchable(folder / "root")
        with a_stack(folder / "home", folder / "root") as stack:
            rejected = _reject(stack, folder, findings)
            table = Table(
                stack.environment["BULKHEAD_MIGRATION_DATABASE_URL"], load_dataset(data.DATASET, folder / "root"), records
            )
            cells = min(EDITS, rejected["counts"]["total"])
            edit_seconds = _edit(stack, rejected["id"], cells)
            fill_seconds = table.fill()
            count_seconds = _count(table)
            loaded = _end_load(table)
            asker = Asker.of(stack)
            asked = questions(table, loaded, rejected["id"], rejected["findings"]["errors"], asker.token())
            first = {name: asker.milliseconds(question) for name, question in asked.items()}
            seen: dict[str, list[float]] = {name: [] for name in asked}
            for _ in range(rounds):
                for name, question in asked.items():
                    seen[name].append(asker.milliseconds(question))
    return {
        "records": records,
        "findings": rejected["findings"],
        "rounds": rounds,
        "fill_seconds": round(fill_seconds, 1),
        "count_seconds": round(count_seconds, 1),
        "edited_cells": cells,
        "edit_seconds": edit_seconds,
        "milliseconds": {name: {"first": round(first[name], 1), **_told(times)} for name, times in seen.items()},
        "load average": round(os.getloadavg()[0], 1),
    }


def _reject(stack: Stack, folder: Path, findings: int) -> dict[str, Any]:
    """An import with so many findings and a few more; it and all that it left, as the API says it."""
    file = data.make_file(folder / "bench.csv", findings // FINDINGS_A_RECORD, bad=True)
    with file.open("a", encoding="utf-8") as opened:
        opened.write(_RARE)
    client = Client(stack.environment["BULKHEAD_URL"], stack.environment["BULKHEAD_API_KEY"])
    ended = client.wait(client.upload(file, data.DATASET)["id"], timeout=WAIT_SECONDS)
    file.unlink()
    if ended["state"] != "rejected" or ended["findings"]["errors"] < findings:
        raise RuntimeError(f"The file was to be rejected for {findings:,} findings: {ended}")
    return ended


def _edit(stack: Stack, import_id: str, cells: int) -> list[float]:
    """Edit so many cells of the rejected file in one request, EDIT_ROUNDS times with other values; the seconds of each."""
    calls = Client(stack.environment["BULKHEAD_URL"], stack.environment["BULKHEAD_API_KEY"]).patches
    took = []
    for version in range(EDIT_ROUNDS):
        edits = [{"row": row, "column": "name", "new": f"mended {version} {row}"} for row in range(1, cells + 1)]
        began = time.perf_counter()
        calls.change(import_id, version, edits=edits)
        took.append(round(time.perf_counter() - began, 2))
    return took


def _make_searchable(root: Path) -> None:
    """Have the names searched by an index."""
    file = root / "expectations" / f"{data.DATASET}.json"
    suite = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**suite, "meta": {**suite.get("meta", {}), "search": ["name"]}}), encoding="utf-8")


def _count(table: Table) -> float:
    """Count the table as a worker does after an import; the seconds. Raises if that fails."""
    engine = connect(table.url, statement_seconds=None)
    try:
        numbers, began = NumbersOfDatasets(engine), time.perf_counter()
        numbers.count(table.dataset, seconds=3600)
        found = numbers.of([table.dataset.name])[table.dataset.name]
        if found.error or found.records != table.records:
            raise RuntimeError(f"The table was not counted: {found}")
        return time.perf_counter() - began
    finally:
        engine.dispose()


def _end_load(table: Table) -> str:
    """The import that filled the table, as one that is over, with a part for each PART_RECORDS; its id."""
    counts = {"records": table.records, "dataset": table.dataset.name, "size": PART_RECORDS}
    with psycopg.connect(table.url) as connection:
        row = connection.execute(
            "update ledger.import set state = 'succeeded', filename = 'filled.csv', started_at = now(), finished_at = now(),"
            " records_total = %(records)s, records_valid = %(records)s, parts_total = ceil(%(records)s / %(size)s::float)"
            " where filename = '' and dataset = %(dataset)s returning id::text, parts_total",
            counts,
        ).fetchone()
        assert row is not None, "Table.fill opens an import"
        parts = "insert into ledger.part select %s, n, %s, %s, 0, 0, 0 from generate_series(1, %s) as n"
        connection.execute(parts, (row[0], PART_RECORDS, PART_RECORDS, row[1]))
    return str(row[0])


def _told(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "p50": round(ordered[len(ordered) // 2], 1),
        "p95": round(ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)], 1),
        "max": round(ordered[-1], 1),
    }


def main() -> None:
    """Measure, print, and with --keep write results/pages.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--findings", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    asked = parser.parse_args()
    found = measured(asked.records, asked.findings, asked.rounds)
    for name, one in found["milliseconds"].items():
        print(f"{name:40} " + "  ".join(f"{key} {value:7,.1f}" for key, value in one.items()))
    slow = [name for name, one in found["milliseconds"].items() if one["p95"] > LIMIT_MS]
    print(f"Over {LIMIT_MS} ms: {', '.join(slow) or 'none'}.")
    seconds = ", ".join(map(str, found["edit_seconds"]))
    print(f"{found['edited_cells']:,} cells in one patch: {seconds} s (at most {EDIT_LIMIT_SECONDS}).")
    if asked.keep:
        measure.keep(asked.keep, found)


if __name__ == "__main__":
    main()
