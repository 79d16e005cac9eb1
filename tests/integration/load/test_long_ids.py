"""Every id that validation accepts can be loaded, quarantined, refused, reported, browsed, exported and retried."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import requests

from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.states import State
from pipeline.ledger.models import ImportRecord
from pipeline.read.limits import Limits
from pipeline.settings import Settings
from tests.support.web_app import Server
from tests.support.workers import running_worker
from web.app_context import AppContext

MOST = Limits().id_bytes
LENGTHS = (1, 2, 3, 126, 127, 128, 255, 256, 511, 512, 700, 1000, MOST - 1, MOST)
Record = dict[str, Any]


def an_id(chance: random.Random, length: int) -> str:
    """So many bytes of UTF-8 that no index and no URL can shorten; 512 characters at most, as the suite asks for."""
    wide = (length - 1) // 3 if length > 500 else chance.randrange((length - 1) // 3 + 1)
    text = [chr(chance.randrange(0x4E00, 0x9FA0)) for _ in range(wide)]
    text += [chr(chance.choice([*range(0x23, 0x7F)])) for _ in range(length - 3 * wide)]
    chance.shuffle(text)
    made = "".join(text)
    return made if made not in (".", "..") else "x" * length


def ndjson(*records: Record) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


class Reader:
    """A client of a real server, whose request lines have a limit."""

    def __init__(self, server: Server, edges: AppContext) -> None:
        self._server, self._edges, self.url = server, edges, server.url

    def get(self, path: str, **query: str) -> requests.Response:
        answer = requests.get(f"{self._server.url}{path}", params=query, headers=self._server.headers, timeout=300)
        assert answer.status_code == 200, (path[:80], answer.status_code, self._server.log.read_text()[-2000:])
        return answer

    def ids(self, path: str, **query: str) -> list[str]:
        """The ids of all pages, one record a page, by the links from page to page."""
        answer = self.get(path, limit="1", **query)
        found = [item["id"] for item in answer.json()["items"]]
        while "next" in answer.links:
            answer = self.get(answer.links["next"]["url"].removeprefix(self.url))
            found += [item["id"] for item in answer.json()["items"]]
        assert answer.json()["next_cursor"] is None
        return found

    def upload(self, content: bytes, path: str = "/v1/datasets/records/imports", **query: str) -> ImportRecord:
        answer = requests.post(
            f"{self._server.url}{path}", params=query, data=content, headers=self._server.headers, timeout=300
        )
        assert answer.status_code == 202, answer.text
        import_id = answer.json()["id"]
        self._edges.temporal.announce(ObjectArrived(self._edges.store.bucket, self._edges.ledger.imports.known(import_id).key))
        until = time.monotonic() + 120
        while not (one := self._edges.ledger.imports.known(import_id)).state.is_final:
            assert time.monotonic() < until, one
            time.sleep(0.05)
        return one


@pytest.fixture
def reader(settings: Settings, serve: Callable[[Settings], Server], edges: AppContext) -> Reader:
    return Reader(serve(settings), edges)


BASE = "/v1/datasets/records/records"


@pytest.mark.thorough
def test_ids_of_every_length_in_every_role(reader: Reader, settings: Settings, edges: AppContext) -> None:
    chance = random.Random(11)
    chains = [[an_id(chance, length) for _ in range(3)] for length in LENGTHS]
    records = [
        {"id": id_, "parentId": chain[place - 1] if place else None, "name": f"{len(id_)} {place}"}
        for chain in chains
        for place, id_ in enumerate(chain)
    ]
    with running_worker(settings):
        loaded = reader.upload(ndjson(*records), filename="a.ndjson")
        assert (loaded.state, loaded.inserted) == (State.SUCCEEDED, len(records)), loaded.reason
        _is_browsed(reader, chains)
        _comes_back(reader, records)
        _is_quarantined_and_reported(reader, edges, chance)
        _is_refused_and_retried(reader, settings, chains)


def _is_browsed(reader: Reader, chains: list[list[str]]) -> None:
    assert sorted(reader.ids(BASE)) == sorted(id_ for chain in chains for id_ in chain)
    assert sorted(reader.ids(BASE, root="true")) == sorted(chain[0] for chain in chains)
    for first, second, third in chains:
        path = f"{BASE}/{quote(first, safe='')}"
        assert reader.get(path).json()["id"] == first
        assert reader.ids(f"{path}/children") == [second]
        assert reader.ids(f"{path}/descendants") == [second, third]
        assert reader.ids(f"{BASE}/{quote(third, safe='')}/ancestors") == [second, first]
        assert reader.ids(BASE, parentId=second) == [third]
        assert reader.get(BASE, id=second).json()["items"][0]["parentId"] == first
        pages = "/datasets/records/records"
        assert "record" in reader.get(f"{pages}/{quote(third, safe='')}").text
        assert reader.get(pages, under=first, after=second).text
        assert reader.get(pages, id=second).url.startswith(f"{reader.url}{pages}/")


def _comes_back(reader: Reader, records: list[Record]) -> None:
    export = reader.get(BASE, format="ndjson").content
    told = [json.loads(line) for line in export.splitlines()]
    assert sorted((one["id"], one["parentId"] or "") for one in told) == sorted((r["id"], r["parentId"] or "") for r in records)
    again = reader.upload(export, filename="again.ndjson")
    assert (again.state, again.unchanged) == (State.SUCCEEDED, len(records)), again.reason


def _is_quarantined_and_reported(reader: Reader, edges: AppContext, chance: random.Random) -> None:
    """At the limit below what is bad, and beyond it: refused with a finding that says so, and nothing else is lost."""
    orphans = [an_id(chance, length) for length in LENGTHS[3:]]
    nowhere = [an_id(chance, length) for length in LENGTHS[3:]]
    beyond = ["y" + an_id(chance, MOST), *("".join(chr(chance.randrange(33, 127)) for _ in range(n)) for n in (4000, 9000))]
    below = [an_id(chance, MOST) for _ in range(len(beyond) + len(orphans))]
    bad = [{"id": id_, "parentId": none} for id_, none in zip(orphans, nowhere, strict=True)]
    bad += [{"id": id_, "parentId": None} for id_ in beyond]
    bad += [{"id": id_, "parentId": above} for id_, above in zip(below, [*beyond, *orphans], strict=True)]
    one = reader.upload(ndjson({"id": "good", "parentId": None}, *bad), filename="q.ndjson", on_error="quarantine")
    assert (one.state, one.inserted, one.failed) == (State.PARTIALLY_SUCCEEDED, 1, len(bad)), one.reason
    failures = edges.ledger.failures.page(one.id, limit=1000)
    assert [failure["id"] for failure in failures] == [record["id"] for record in bad]
    findings = reader.get(f"/v1/imports/{one.id}/errors", limit="1000").json()["items"]
    too_long = {item["row"] for item in findings if item["code"] == "value_too_long" and item["column"] == "id"}
    rows_beyond = set(range(2 + len(orphans), 2 + len(orphans) + len(beyond)))
    assert rows_beyond <= too_long
    assert f"The value is longer than {MOST:,} bytes." in {item["message"] for item in findings if item["row"] in rows_beyond}
    for id_ in orphans:
        (found,) = edges.ledger.findings.page(one.id, wanted=id_, codes=["missing_parent"], limit=2)
        assert found["id"] == id_
        assert [each["import_id"] for each in edges.ledger.failures.of_record("records", id_, imports=5, limit=5)] == [one.id]
        page = reader.get(f"/imports/{one.id}/findings", q=id_)
        assert "missing_parent" in page.text
    for id_ in beyond:
        assert [each["import_id"] for each in edges.ledger.failures.of_record("records", id_, imports=5, limit=5)] == [one.id]
    results = reader.get(f"/v1/imports/{one.id}/results/failed", format="native").content
    assert sorted(json.loads(line)["id"] for line in results.splitlines()) == sorted(record["id"] for record in bad)


def _is_refused_and_retried(reader: Reader, settings: Settings, chains: list[list[str]]) -> None:
    """The warehouse refuses the heads of the trees, so that all below them fails too; then it does not, and all is retried."""
    _run(settings, "alter table warehouse.records add constraint no_poison check (name <> 'poison') not valid")
    poisoned = [{"id": chain[0], "parentId": None, "name": "poison"} for chain in chains]
    changed = [{"id": id_, "parentId": above, "name": "new"} for chain in chains for above, id_ in pairwise(chain)]
    one = reader.upload(ndjson(*poisoned, *changed), filename="p.ndjson")
    assert (one.state, one.failed) == (State.PARTIALLY_SUCCEEDED, len(poisoned) + len(changed)), one.reason
    _run(settings, "alter table warehouse.records drop constraint no_poison")
    again = reader.upload(b"", f"/v1/imports/{one.id}/retry")
    assert (again.state, again.updated) == (State.SUCCEEDED, len(poisoned) + len(changed)), again.reason


def _run(settings: Settings, statement: str) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(statement)  # type: ignore[call-overload]
