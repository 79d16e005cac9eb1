"""What a support bundle may tell: secrets are removed however they are written, and of a log line little remains."""

from __future__ import annotations

import json

import pytest

from pipeline.cli.support_bundle.log_lines import reduce_line, reduced
from pipeline.cli.support_bundle.redaction import Redactor
from pipeline.settings import Settings

SETTINGS = Settings(
    database_url="postgresql://app:p%40ss-word-1@db.example.org:5432/bulkhead",
    s3_secret_key="s3-secret-key-1",
    webhook_urls=("https://hooks.example.org/services/T0000AAAA/abcdef0123?sig=signature-1",),
    email_to=("person@example.org",),
    smtp_url="smtp://user:mail-word-1@mail.example.org",
    secret_key="bulkhead",
)

SECRETS = (
    *("s3-secret-key-1", "p%40ss-word-1", "p@ss-word-1", "abcdef0123", "signature-1", "mail-word-1", "hidden-1", "a1a1"),
    *("aGlkZGVuLTE", "IOSFODNN7", "eyJzdWIi"),
)


@pytest.mark.parametrize(
    "text",
    [
        "s3-secret-key-1",
        "p%40ss-word-1",
        "p@ss-word-1",
        "abcdef0123",
        "signature-1",
        "mail-word-1",
        "https://other:hidden-1@example.org/x",
        "https://example.org/x?X-Amz-Signature=hidden-1",
        "someone.else+hidden-1@example.co.uk",
        "bk_" + "0" * 32 + "_" + "a1" * 24,
        "Authorization: Bearer hidden-1",
        'password = "hidden-1"',
        "api_key=hidden-1",
        "whsec_aGlkZGVuLTE=",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    ],
)
def test_no_secret_remains(text: str) -> None:
    said = Redactor(SETTINGS).text(f"before {text} after")
    assert said.startswith("before ") and said.endswith(" after") and "…" in said
    for secret in SECRETS:
        assert secret not in said


def test_a_known_default_is_no_secret_and_a_document_stays_one() -> None:
    redactor = Redactor(SETTINGS)
    assert redactor.text("bulkhead worker") == "bulkhead worker"
    tree = {"token": None, "password": 3, "of person@example.org": ["p@ss-word-1", True]}
    assert json.loads(json.dumps(redactor.tree(tree))) == {"token": None, "password": 3, "of …": ["…", True]}


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (
            "2026-11-29T20:35:32.1Z [info     ] finished                       failed=0"
            " import_id=01a22905-085d-742d-a81b-19b1a16fa404 name='VALUE 1' state=succeeded",
            "2026-11-29T20:35:32.1Z info finished failed=0"
            " import_id=01a22905-085d-742d-a81b-19b1a16fa404 name=… state=succeeded",
        ),
        (
            '{"event": "VALUE 1", "level": "error", "rows": 3, "timestamp": "2026-11-29T20:35:32Z", "x": {"a": "VALUE"}}',
            '{"event": "…", "level": "error", "rows": 3, "timestamp": "2026-11-29T20:35:32Z", "x": "…"}',
        ),
        (
            '2026-11-29 20:35:32.123 UTC [77] ERROR:  duplicate key value violates unique constraint "VALUE"',
            "2026-11-29 20:35:32.123 UTC [77] ERROR: duplicate key value violates …",
        ),
        ("2026-11-29 20:35:32.123 UTC [77] DETAIL:  Key (id)=(VALUE) already exists.", "2026-11-29 20:35:32.123 UTC …"),
        ("2026-11-29 20:35:32.123 UTC [77] STATEMENT:  insert into x values ('VALUE')", "2026-11-29 20:35:32.123 UTC …"),
        ("\tinsert into x values ('VALUE')", ""),
        ('  File "/a/b/pipeline/load/upsert.py", line 7, in upsert', "  load/upsert.py, line 7, in upsert"),
        ("psycopg.errors.UniqueViolation: VALUE", "psycopg.errors.UniqueViolation: …"),
        ("ValueError: VALUE", "ValueError: …"),
        ("[2026-11-29 20:35:32 +0000] [77] [INFO] GET /VALUE", "2026-11-29 20:35:32 …"),
        ("VALUE", ""),
    ],
)
def test_a_line_of_a_log(line: str, kept: str) -> None:
    assert reduce_line(line) == kept
    assert "VALUE" not in kept


def test_lines_that_are_left_out_are_counted() -> None:
    assert [*reduced(["VALUE", "VALUE", "ValueError: x", "VALUE"])] == [
        "… 2 lines left out",
        "ValueError: …",
        "… 1 lines left out",
    ]
