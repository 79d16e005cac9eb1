"""How long things are kept, as it is written in the environment."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.contracts.object_keys import Kept
from pipeline.errors import InvalidConfiguration
from pipeline.local import temporal
from pipeline.local.home import Home
from pipeline.process_environment import export_for_lambda
from pipeline.secret_checks import check_secrets, is_local
from pipeline.settings import Settings, load_settings
from pipeline.temporal_access.options import TemporalAccess, access_from

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
    with pytest.raises(InvalidConfiguration, match="KEEP_RESULTS"):
        load_settings(tmp_path)


def test_by_default_only_what_can_be_made_again_is_removed() -> None:
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
    with pytest.raises(InvalidConfiguration, match="PUBLIC_S3_ENDPOINT"):
        load_settings(tmp_path)


ELSEWHERE = {
    "BULKHEAD_BIND": "0.0.0.0",
    "BULKHEAD_URL": "https://bulkhead.example.org",
    "DATABASE_URL": "postgresql://app:long-and-random@db.internal/bulkhead",
    "AWS_ENDPOINT_URL_S3": "https://s3.internal",
    "TEMPORAL_ADDRESS": "temporal.internal:7233",
}
HERE = {
    "DATABASE_URL": "postgresql://bulkhead:bulkhead@localhost/bulkhead",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:8333",
    "AWS_ACCESS_KEY_ID": "bulkhead",
    "AWS_SECRET_ACCESS_KEY": "bulkhead-secret",
}


def set_all(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_one_address_elsewhere_makes_a_stack_no_local_one(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_all(monkeypatch, HERE)
    local = load_settings(tmp_path)
    assert is_local(local)
    check_secrets(local, "DATABASE_URL", "BULKHEAD_SECRET_KEY")
    monkeypatch.setenv(name, ELSEWHERE[name])
    with pytest.raises(
        InvalidConfiguration, match="BULKHEAD_SECRET_KEY is not set; AWS_SECRET_ACCESS_KEY is 'bulkhead-secret'"
    ) as told:
        check_secrets(load_settings(tmp_path), "DATABASE_URL", "BULKHEAD_SECRET_KEY")
    assert ("the password in DATABASE_URL" in str(told.value)) == (name != "DATABASE_URL")
    assert "secrets.token_urlsafe(32)" in str(told.value)


def test_aws_itself_is_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql:///bulkhead?host=/run/postgresql")
    assert not is_local(load_settings(tmp_path))


def test_secrets_of_ones_own_will_do_and_a_process_needs_only_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_all(monkeypatch, ELSEWHERE)
    check_secrets(load_settings(tmp_path), "DATABASE_URL")  # a worker; its role in AWS has no key
    with pytest.raises(InvalidConfiguration, match="BULKHEAD_RELAY_TOKEN is not set"):
        check_secrets(load_settings(tmp_path), "BULKHEAD_RELAY_TOKEN")
    set_all(monkeypatch, {"BULKHEAD_SECRET_KEY": "x" * 32, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "y" * 32})
    check_secrets(load_settings(tmp_path), "DATABASE_URL", "BULKHEAD_SECRET_KEY")


@pytest.mark.parametrize("known", ["change-me", "bulkhead", "bulkhead-secret", "bulkhead-relay", " Change-Me "])
@pytest.mark.parametrize("name", ["BULKHEAD_SECRET_KEY", "BULKHEAD_RELAY_TOKEN", "AWS_SECRET_ACCESS_KEY"])
def test_a_known_default_is_refused(name: str, known: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_all(monkeypatch, {**ELSEWHERE, name: known})
    with pytest.raises(InvalidConfiguration, match=f"{name} is .*known default"):
        check_secrets(load_settings(tmp_path))


def test_a_relay_wants_a_token_on_any_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_all(monkeypatch, HERE)
    with pytest.raises(InvalidConfiguration, match="BULKHEAD_RELAY_TOKEN is not set"):
        check_secrets(load_settings(tmp_path), "BULKHEAD_RELAY_TOKEN")


def test_each_kind_of_kept_file_names_an_existing_setting() -> None:
    named = {field.validation_alias.choices[0] for field in Settings.model_fields.values()}  # type: ignore[union-attr]
    assert {what.setting for what in Kept} <= named


def test_a_profile_of_temporal_says_where_it_is_unless_a_variable_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text('[profile.prod]\naddress = "prod.acme.tmprl.cloud:7233"\nnamespace = "prod.acme"\napi_key = "k"\n')
    set_all(monkeypatch, {**HERE, "TEMPORAL_CONFIG_FILE": str(file), "TEMPORAL_PROFILE": "prod"})
    settings = load_settings(tmp_path)
    assert (settings.temporal_address, settings.temporal_namespace) == ("prod.acme.tmprl.cloud:7233", "prod.acme")
    assert not is_local(settings)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:7233")
    settings = load_settings(tmp_path)
    assert (settings.temporal_address, settings.temporal_namespace) == ("127.0.0.1:7233", "prod.acme")
    assert is_local(settings)
    monkeypatch.setenv("TEMPORAL_PROFILE", "none")
    with pytest.raises(InvalidConfiguration, match="Profile 'none' not found"):
        load_settings(tmp_path)


def test_an_embedded_server_is_not_reached_by_the_settings_of_another_cluster(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.port("temporal", 7233)
    cloud = {"TEMPORAL_API_KEY": "k", "TEMPORAL_TLS": "true", "TEMPORAL_PROFILE": "prod", "TEMPORAL_ADDRESS": "prod:1"}
    access = access_from({**cloud, **temporal.environment(home)})
    assert access == TemporalAccess(temporal.address(home), temporal.NAMESPACE)


def test_what_the_relay_hands_to_the_lambda_is_also_what_a_file_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if "TEMPORAL" not in name})
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("TEMPORAL_API_KEY=k\nBULKHEAD_TASK_QUEUE=another\nBULKHEAD_PAYLOAD_KEYS=k1:x\n")
    export_for_lambda(load_settings(tmp_path))
    access = access_from(os.environ)
    assert (access.api_key, access.tls, access.payload_keys) == ("k", True, "k1:x")
    assert os.environ["BULKHEAD_TASK_QUEUE"] == "another"


@pytest.mark.parametrize("name", ["BULKHEAD_PORT", "BULKHEAD_METRICS_PORT"])
def test_an_empty_port_is_one_that_is_not_set(name: str) -> None:
    found = Settings(**{name: ""})
    assert (found.port, found.metrics_port) == (None, None)
    assert "1234" in str(Settings(**{name: "1234"}))
