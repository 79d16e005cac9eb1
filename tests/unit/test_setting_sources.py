"""Secrets from files, and where each value comes from."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AliasChoices, Field, SecretStr

from pipeline.errors import InvalidConfiguration
from pipeline.setting_sources import SECRET_BYTES_MOST, Origin, SourcedSettings
from pipeline.setting_types import SECRET, Secret, names_of, names_of_files, secret_names, text_of
from pipeline.settings import Settings, load_settings

READ_HERE = names_of_files(Settings)
SECRET_FIELDS = {
    name: attribute for attribute, field in Settings.model_fields.items() for name in names_of(field) if name in READ_HERE
}
URL = "postgresql://bulkhead:pw@db.internal/bulkhead"


@pytest.fixture(autouse=True)
def without_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def value_for(name: str) -> str:
    return (
        URL
        if name in ("DATABASE_URL", "DATABASE_READ_URL", "BULKHEAD_SQL_URL", "BULKHEAD_MIGRATION_DATABASE_URL")
        else f"https://{name.lower()}"
    )


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("name", SECRET_FIELDS)
def test_each_secret_can_be_a_file(name: str, end: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(f"{value_for(name)}{end}".encode())
    monkeypatch.setenv(f"{name}_FILE", str(file))
    settings = load_settings(tmp_path)
    value = getattr(settings, SECRET_FIELDS[name])
    assert (value[0] if isinstance(value, tuple) else text_of(value)) == value_for(name)
    assert settings.origin(SECRET_FIELDS[name]) == Origin("environment", f"{name}_FILE", str(file))
    assert value_for(name) not in repr(settings) and value_for(name) not in str(settings)


def test_what_looks_like_a_secret_is_marked_as_one() -> None:
    words = r"SECRET|TOKEN|PASSWORD|API_KEY|ACCESS_KEY|KEY_DATA|PAYLOAD_KEYS|DATABASE_URL|SQL_URL|SMTP_URL"
    names = [name for field in Settings.model_fields.values() for name in names_of(field)]
    looks_so = {name for name in names if re.search(words, name) and not name.endswith("_FILE")}
    assert looks_so - {*secret_names(Settings)} == set()


class WithFile(SourcedSettings):
    """Settings with a secret whose file other code reads."""

    key: Secret = Field(default="", validation_alias=AliasChoices("WITH_KEY"))
    key_file: str = Field(default="", validation_alias=AliasChoices("WITH_KEY_FILE"))


def test_a_file_that_is_a_setting_of_its_own_is_left_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WITH_KEY_FILE", str(tmp_path / "missing"))
    assert (WithFile().key, WithFile().key_file) == ("", str(tmp_path / "missing"))
    assert (secret_names(WithFile), names_of_files(WithFile)) == (["WITH_KEY"], [])


def test_only_the_line_end_of_a_secret_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("  a b\t\n\n")
    monkeypatch.setenv("BULKHEAD_SECRET_KEY_FILE", str(tmp_path / "secret"))
    assert load_settings(tmp_path).secret_key == "  a b\t\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "which is empty"),
        (b"\n", "which is empty"),
        (b"\xff\xfeSENTINEL", "is not UTF-8 text"),
        (b"SENTINEL" * SECRET_BYTES_MOST, "has more than 65,536 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_without_its_content(
    content: bytes | None, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("BULKHEAD_SECRET_KEY_FILE", str(file))
    with pytest.raises(InvalidConfiguration) as raised:
        load_settings(tmp_path)
    assert f"BULKHEAD_SECRET_KEY_FILE names {file}" in str(raised.value)
    assert reason in str(raised.value)
    assert "SENTINEL" not in str(raised.value)


def test_a_folder_and_a_file_without_permission(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BULKHEAD_SECRET_KEY_FILE", str(tmp_path))
    with pytest.raises(InvalidConfiguration, match="cannot be read: Is a directory"):
        load_settings(tmp_path)
    if os.geteuid():  # root may read everything
        (tmp_path / "secret").touch(mode=0)
        monkeypatch.setenv("BULKHEAD_SECRET_KEY_FILE", str(tmp_path / "secret"))
        with pytest.raises(InvalidConfiguration, match="cannot be read: Permission denied"):
            load_settings(tmp_path)


def test_all_wrong_files_are_in_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("BULKHEAD_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "missing"))
    with pytest.raises(InvalidConfiguration, match=r"BULKHEAD_SECRET_KEY_FILE .*; AWS_SECRET_ACCESS_KEY_FILE "):
        load_settings(tmp_path)


def test_a_value_and_a_file_are_a_contradiction(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("SENTINEL-1")
    monkeypatch.setenv("BULKHEAD_SECRET_KEY", "SENTINEL-2")
    monkeypatch.setenv("BULKHEAD_SECRET_KEY_FILE", str(tmp_path / "secret"))
    with pytest.raises(InvalidConfiguration, match="BULKHEAD_SECRET_KEY and BULKHEAD_SECRET_KEY_FILE are both set") as raised:
        load_settings(tmp_path)
    assert "SENTINEL" not in str(raised.value)


@pytest.mark.parametrize(("name", "value"), [("BULKHEAD_SECRET_KEY", ""), ("BULKHEAD_SECRET_KEY_FILE", "")])
def test_an_empty_variable_contradicts_nothing(name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from the file")
    monkeypatch.setenv("BULKHEAD_SECRET_KEY", "from the environment")
    monkeypatch.setenv("BULKHEAD_SECRET_KEY_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv(name, value)
    expected = "from the environment" if name.endswith("_FILE") else "from the file"
    assert load_settings(tmp_path).secret_key == expected


def test_which_source_takes_precedence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"file {name}")
    stack = tmp_path / "stack.env"

    def key_and_origin() -> tuple[str, Origin]:
        settings = load_settings(tmp_path)
        return settings.secret_key, settings.origin("secret_key")

    assert key_and_origin() == ("", Origin("default"))
    (tmp_path / ".env").write_text(f"BULKHEAD_SECRET_KEY_FILE={tmp_path / 'one'}\n")
    assert key_and_origin() == ("file one", Origin(".env", "BULKHEAD_SECRET_KEY_FILE", str(tmp_path / "one")))
    stack.write_text("BULKHEAD_SECRET_KEY=stack\n")
    assert key_and_origin() == ("stack", Origin(str(stack), "BULKHEAD_SECRET_KEY"))
    monkeypatch.setenv("BULKHEAD_SECRET_KEY_FILE", str(tmp_path / "two"))
    assert key_and_origin() == ("file two", Origin("environment", "BULKHEAD_SECRET_KEY_FILE", str(tmp_path / "two")))


def test_a_value_that_the_program_gives_says_so() -> None:
    assert Settings(secret_key="x").origin("secret_key") == Origin("set by the program")
    assert Settings().origin("bucket") == Origin("default")
    assert Settings().model_copy(update={"bucket": "b"}).origin("port") == Origin("default")


def test_a_setting_that_is_no_secret_has_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BULKHEAD_BUCKET_FILE", str(tmp_path / "missing"))
    assert load_settings(tmp_path).bucket == "bulkhead"


class Marked(SourcedSettings):
    """Settings of another module, with each way to say that a field is a secret."""

    typed: SecretStr = Field(default=SecretStr(""), validation_alias="MARKED_TYPED")
    optional: SecretStr | None = Field(default=None, validation_alias=AliasChoices("MARKED_OPTIONAL", "MARKED_OLD"))
    plain: Secret = Field(default="", validation_alias=AliasChoices("MARKED_PLAIN"))
    either: Secret | None = Field(default=None, validation_alias=AliasChoices("MARKED_EITHER"))
    marked: Annotated[str, SECRET] = Field(default="", validation_alias=AliasChoices("MARKED_MARKED"))
    many: dict[str, SecretStr] = Field(default_factory=dict, validation_alias=AliasChoices("MARKED_MANY"))
    public: str = Field(default="", validation_alias=AliasChoices("MARKED_PUBLIC"))


def test_every_way_to_mark_a_secret_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = ["MARKED_TYPED", "MARKED_OPTIONAL", "MARKED_OLD", "MARKED_PLAIN", "MARKED_EITHER", "MARKED_MARKED", "MARKED_MANY"]
    assert secret_names(Marked) == names
    (tmp_path / "secret").write_text("x\n")
    monkeypatch.setenv("MARKED_OLD_FILE", str(tmp_path / "secret"))
    read = Marked()
    assert text_of(read.optional) == "x"
    assert read.origin("optional") == Origin("environment", "MARKED_OLD_FILE", str(tmp_path / "secret"))
