"""Put records into the warehouse and page through them."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg

from pipeline.settings import Settings

BASE = "/v1/datasets/records/records"
IMPORT_ID = uuid.uuid4()
ODD_IDS = [
    *(
        "a/b",
        "a/children",
        "/",
        "//",
        "a//b/",
        "a?b",
        "a#b",
        "a%2Fb",
        "%",
        "ü",
        "日本",
        "a b",
        "a+b",
        "'",
        '"',
        "<script>",
        "\\",
    ),
    *("..a", "x" * 512, "a\nb", "a;b", "null", ".", "..", "e\u0301"),
]


def put(settings: Settings, *edges: tuple[str, str | None]) -> None:
    """Insert records, given by id and parent, straight into the table."""
    with psycopg.connect(settings.database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            'insert into warehouse.records (id, "parentId", name, attributes, _import_id, _row) values (%s, %s, %s, %s, %s, 1)',
            [(child, parent, f"the {child}", '{"n": 1}', IMPORT_ID) for child, parent in edges],
        )


def walked(api: Any, path: str, **query: Any) -> list[dict[str, Any]]:
    """Return all items of all pages."""
    items, cursor = [], None
    while True:
        answer = api.get(path, query_string={**query, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        assert len(answer.json["items"]) <= query.get("limit", 100)
        items += answer.json["items"]
        if (cursor := answer.json["next_cursor"]) is None:
            return items


def ids(items: list[dict[str, Any]]) -> list[str]:
    """Return the ids of the items."""
    return [item["id"] for item in items]


TREE = [
    ("r", None),
    ("s", None),
    *[(f"r{i}", "r") for i in range(5)],
    *[(f"r1{i}", "r1") for i in range(3)],
    ("r110", "r11"),
]
