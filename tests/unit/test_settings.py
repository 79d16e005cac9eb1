"""How long things are kept, as it is written in the environment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.contracts import Kept
from pipeline.errors import NotUsable
from pipeline.settings import Settings, load_settings

KEPT = ("batches", "uploads", "sources", "results", "reports")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("0", timedelta(0)),
        ("90", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("36h", timedelta(hours=36)),
        (" 7 D ", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("forever", None),
        ("Forever", None),
    ],
)
def test_a_time_is_read(written: str, kept: timedelta | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for one in KEPT:
        monkeypatch.setenv(f"BULKHEAD_KEEP_{one.upper()}", written)
    settings = load_settings(tmp_path)
    assert [getattr(settings, f"keep_{one}") for one in KEPT] == [kept] * len(KEPT)


@pytest.mark.parametrize("written", ["", "a day", "-1", "1.5h", "1y", "P1D", "never", "9999999d", "999999999999w"])
def test_what_is_no_time_is_refused_and_never_taken_for_a_short_one(
    written: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BULKHEAD_KEEP_RESULTS", written)
    with pytest.raises(NotUsable, match="KEEP_RESULTS"):
        load_settings(tmp_path)


def test_unless_somebody_asks_for_it_nothing_goes_that_could_not_be_made_again() -> None:
    settings = Settings()
    assert (settings.keep_batches, settings.keep_uploads) == (timedelta(days=1), timedelta(hours=24))
    assert (settings.keep_sources, settings.keep_results, settings.keep_reports) == (None, None, None)


@pytest.mark.parametrize("written", ["", "https://files.example.org", "http://127.0.0.1:8333/"])
def test_a_public_address_of_s3(written: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BULKHEAD_PUBLIC_S3_ENDPOINT", written)
    assert load_settings(tmp_path).public_s3_endpoint == written


@pytest.mark.parametrize(
    "written", ["files.example.org", "ftp://x", "https://x; script-src *", "https://x/bucket", "https://a b"]
)
def test_what_is_no_address_is_refused(written: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BULKHEAD_PUBLIC_S3_ENDPOINT", written)
    with pytest.raises(NotUsable, match="PUBLIC_S3_ENDPOINT"):
        load_settings(tmp_path)


def test_what_was_removed_is_told_with_the_name_of_a_setting_that_there_is() -> None:
    named = {field.validation_alias.choices[0] for field in Settings.model_fields.values()}  # type: ignore[union-attr]
    assert {what.setting for what in Kept} <= named
