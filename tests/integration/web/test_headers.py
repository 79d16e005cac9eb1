"""What stands in the head of every answer: request ids, quotas, ETags, the way to the next page, when to ask again."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import psycopg
import pyarrow as pa

from pipeline.settings import Settings
from tests.support.endpoints import NEEDS
from tests.support.http import Caller
from web import create_app
from web.app_context import AppContext


def test_every_route_tells_its_request_id_and_the_quota(caller_for: Callable[[str], Any]) -> None:
    admin = caller_for("admin")
    for _, method, path, options, _ in NEEDS:
        headers = {"X-Request-Id": "mine-1", **options.get("headers", {})}
        answer = admin(method, path, **{**options, "headers": headers})
        assert answer.headers["X-Request-Id"] == "mine-1", path
        assert answer.headers["RateLimit-Policy"] == '"key";q=6000;w=60', path
        assert answer.headers["RateLimit"].startswith('"key";r='), path


def test_what_can_be_read_is_sent_only_if_it_has_changed(caller_for: Callable[[str], Any]) -> None:
    admin = caller_for("admin")
    read = [path for _, method, path, _, status in NEEDS if method == "GET" and status == 200 and path.startswith("/v1/")]
    for path in [path for path in read if path != "/v1/keys" and "/template" not in path]:  # asking is noted in keys; a file
        tag = admin.get(path).headers["ETag"]
        again = admin.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.data) == (304, b""), path
        assert admin.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_page_links_to_the_next(api: Any, settings: Settings) -> None:
    with psycopg.connect(settings.database_url) as connection:
        for place in ("AA", "BB", "CC"):
            connection.execute(
                "insert into warehouse.places (id, name, kind, _import_id, _row) values (%s, 'n', 'k', gen_random_uuid(), 1)",
                (place,),
            )
    seen, address = [], "/v1/datasets/places/records?limit=1&counts=true"
    while address:
        answer = api.get(address)
        seen += [(one["id"], one["_children"]) for one in answer.json["items"]]
        link = answer.headers.get("Link", "")
        assert bool(link) == (answer.json["next_cursor"] is not None)
        address = link.partition(">")[0].removeprefix("<http://localhost")
    assert seen == [("AA", 0), ("BB", 0), ("CC", 0)]


def test_a_rate_limited_client_gets_retry_after(settings: Settings, edges: AppContext) -> None:
    app = create_app(settings.model_copy(update={"requests_per_minute": 3}), context=edges)
    one, other = (Caller(app.test_client(), edges.keys.create(name, "reader")[0]) for name in ("one", "other"))
    assert [one.get("/v1/imports").status_code for _ in range(3)] == [200] * 3
    refused = one.get("/v1/imports")
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
    assert 1 <= int(refused.headers["Retry-After"]) <= 20
    assert refused.headers["RateLimit"].startswith('"key";r=0;t=')
    assert other.get("/v1/imports").status_code == 200
    assert one.get("/healthz").status_code == 200


def test_arrow(api: Any) -> None:
    body = {"sql": "select n as id, 'x' || n as name, null as nothing from generate_series(1, 5000) as n"}
    answer = api.post("/v1/query?format=arrow", json=body)
    assert answer.content_type == "application/vnd.apache.arrow.stream"
    assert answer.headers["X-Truncated"] == "false"
    with pa.ipc.open_stream(io.BytesIO(answer.data)) as stream:
        batches = [*stream]
    assert [batch.num_rows for batch in batches] == [2000, 2000, 1000]
    assert pa.Table.from_batches(batches)["id"].to_pylist() == [*range(1, 5001)]
