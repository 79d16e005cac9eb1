"""Settings in words: value, unit, source, and the comment of .env.example."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.setting_texts import EXAMPLE, comments_of, setting_texts, value_text, written
from pipeline.setting_types import names_of
from pipeline.settings import Settings, load_settings


def text(name: str, value: Any) -> str:
    return value_text(name, Settings.model_fields[name], value)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("webhook_secret", "x", "set, not shown"),
        ("webhook_secret", "a://b", "set, not shown"),
        ("webhook_secret", "", "not set"),
        ("webhook_secret", SecretStr("x"), "set, not shown"),
        ("webhook_secret", SecretStr(""), "not set"),
        ("s3_secret_key", None, "not set"),
        ("database_url", "host=x password=y", "set, not shown"),
        ("database_url", "postgresql://me:y@x/z?password=y", "postgresql://me:…@x/z?…"),
        ("webhook_urls", ("http://a/?x", "http://b/"), "http://a/?…, http://b/"),
        ("webhook_urls", (), "not set"),
        ("keep_results", None, "forever"),
        ("keep_results", timedelta(0), "not at all"),
        ("keep_results", timedelta(hours=36), "1 day and 12 hours"),
        ("keep_idempotency_keys", timedelta(days=7), "7 days"),
        ("reconcile_seconds", 60, "1 minute"),
        ("sql_seconds", 0.5, "0.5 seconds"),
        ("max_upload_bytes", 50 << 30, "50 GiB"),
        ("max_upload_bytes", 1000, "1000 bytes"),
        ("sql_rows", 10000, "10,000"),
        ("relay_port", 8766, "8766"),
        ("port", None, "not set"),
        ("webhook_allow_private", True, "yes"),
        ("bucket", "b", "b"),
    ],
)
def test_a_value_as_people_read_it(name: str, value: Any, shown: str) -> None:
    assert text(name, value) == shown


def test_a_value_as_it_is_written() -> None:
    kept = [written(timedelta(seconds=seconds)) for seconds in (0, 90, 900, 129_600, 1_209_600)]
    assert kept == ["0", "90s", "15m", "36h", "14d"]
    assert [written(value) for value in (True, ("a", "b"), 5, None)] == ["true", "a,b", "5", ""]


def test_every_setting_says_what_it_does_and_belongs_to_a_section() -> None:
    shown = {one.name: one for one in setting_texts(Settings())}
    assert len(shown) == len(Settings.model_fields)
    assert {one for field in Settings.model_fields.values() for one in names_of(field)[:1]} == {*shown}
    assert [name for name, one in shown.items() if not one.description.strip().endswith((".", ")", "verify-full"))] == []
    assert [name for name, one in shown.items() if not one.section or one.section == "Other"] == []
    assert [*shown] == [name for name in comments_of(EXAMPLE) if name in shown], "in the order of .env.example"


def test_comments_belong_to_the_lines_after_them(tmp_path: Path) -> None:
    example = tmp_path / "example"
    example.write_text("# About all.\n\n# --- One ---\n# First,\n# second.\nA=\nB=1\n# Third.\nC=\n\n# Lost.\n\nD=\n")
    both = ("One", "First, second.")
    assert comments_of(example) == {"A": both, "B": both, "C": ("One", "Third."), "D": ("One", "")}
    assert comments_of(tmp_path / "none") == {}


def test_no_secret_is_in_any_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:SENTINEL@db/x?password=SENTINEL")
    (tmp_path / "key").write_text("SENTINEL")
    monkeypatch.setenv("BULKHEAD_SECRET_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("BULKHEAD_MAX_UPLOAD_BYTES", "1048576")
    shown = {one.name: one for one in setting_texts(load_settings(tmp_path))}
    assert "SENTINEL" not in "".join(str(one.to_json()) for one in shown.values())
    key = shown["BULKHEAD_SECRET_KEY"]
    assert (key.value, key.source, key.file, key.is_secret) == ("set, not shown", "environment", str(tmp_path / "key"), True)
    limit = shown["BULKHEAD_MAX_UPLOAD_BYTES"].to_json()
    assert (limit["value"], limit["text"], limit["default"], limit["is_default"]) == ("1048576", "1 MiB", "50 GiB", False)
