"""Where a setting's value comes from: the environment, an env file, or for a secret a file of its own that ``NAME_FILE`` names.

Docker, Compose and Kubernetes mount a secret as a file, so that it is in no environment, process list or crash report. A field
of Settings that is a secret (setting_types.py) is read from the file that ``NAME_FILE`` names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, PydanticBaseSettingsSource

from pipeline.errors import InvalidConfiguration
from pipeline.setting_types import is_secret, names_of, names_of_files

ENVIRONMENT = "environment"
DEFAULT = "default"
PROGRAM = "set by the program"
"""The origins of a value that have no file; the others are the path of an env file."""

SECRET_BYTES_MOST = 64 << 10
"""A secret is short: a password, a token, a private key. A larger file is a mistake, or a device without an end."""


@dataclass(frozen=True)
class Origin:
    """Where a value comes from: ``kind`` is the environment, the path of an env file, or the default.

    ``name`` is the variable that was read, ``file`` the file of a secret.
    """

    kind: str
    name: str = ""
    file: str = ""

    def __str__(self) -> str:
        """Return it in words: ``default``, ``environment``, ``.env``, ``environment (DATABASE_URL_FILE: /run/secrets/url)``."""
        return f"{self.kind} ({self.name}: {self.file})" if self.file else self.kind


# --- the sources ---


class _Files(Mapping[str, str | None]):
    """The variables of one source with each secret that ``NAME_FILE`` names read from its file, and where each came from."""

    def __init__(self, kind: str, variables: Mapping[str, str | None], secrets: list[str]) -> None:
        self._kind = kind
        self._variables = dict(variables)
        self._files: dict[str, str] = {}
        wrong = []
        for name in secrets:
            file = variables.get(f"{name}_FILE".lower()) or ""
            if not file:
                continue
            try:
                if variables.get(name.lower()):
                    raise InvalidConfiguration(f"{name} and {name}_FILE are both set; set one of them")
                self._variables[name.lower()] = read_secret(name, Path(file))
            except InvalidConfiguration as error:
                wrong.append(str(error))
            self._files[name.lower()] = file
        if wrong:
            raise InvalidConfiguration(f"These settings cannot be used: {'; '.join(wrong)}.")

    def __getitem__(self, name: str) -> str | None:
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def origin(self, name: str) -> Origin | None:
        """Return where the variable ``name`` comes from; None if this source does not have it."""
        if self._variables.get(name.lower()) is None:
            return None
        file = self._files.get(name.lower(), "")
        return Origin(self._kind, f"{name}_FILE" if file else name, file)


def read_secret(name: str, file: Path) -> str:
    """Return the secret in a file, without the line end that editors and ``echo`` add.

    Raises InvalidConfiguration with the reason and without the content.
    """
    variable = f"{name}_FILE"
    try:
        with file.open("rb") as stream:
            content = stream.read(SECRET_BYTES_MOST + 1)
    except OSError as error:
        raise InvalidConfiguration(f"{variable} names {file}, which cannot be read: {error.strerror}") from error
    if len(content) > SECRET_BYTES_MOST:
        raise InvalidConfiguration(
            f"{variable} names {file}, which has more than {SECRET_BYTES_MOST:,} bytes: no secret is so long"
        )
    try:
        text = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InvalidConfiguration(f"{variable} names {file}, which is not UTF-8 text") from None
    if not text:
        raise InvalidConfiguration(f"{variable} names {file}, which is empty")
    return text


def sources(
    settings_class: type[BaseSettings], environment: PydanticBaseSettingsSource, env_files: PydanticBaseSettingsSource
) -> list[PydanticBaseSettingsSource]:
    """Return the sources of the environment and of each env file, the one that takes precedence first, with their secrets read.

    Each env file is a source of its own: a name in one and its ``_FILE`` in another are no contradiction.
    """
    assert isinstance(environment, EnvSettingsSource) and isinstance(env_files, DotEnvSettingsSource)
    secrets = names_of_files(settings_class)
    environment.env_vars = _Files(ENVIRONMENT, environment.env_vars, secrets)
    found: list[PydanticBaseSettingsSource] = [environment]
    for file in reversed(_paths(env_files.env_file)):
        source = DotEnvSettingsSource(settings_class, env_file=file)
        source.env_vars = _Files(str(file), source.env_vars, secrets)
        found.append(source)
    return found


def _paths(env_file: Any) -> list[Path]:
    if env_file is None:
        return []
    return [Path(env_file)] if isinstance(env_file, str | os.PathLike) else [Path(one) for one in env_file]


# --- settings that know their sources ---

_READ_BEFORE = frozenset({"home"})
"""load_settings reads it itself, since stack.env is found there."""

_reading: ContextVar[dict[str, Origin]] = ContextVar("origins of the settings that are being read")


class SourcedSettings(BaseSettings):
    """Settings that read secrets from files, know where each value comes from, and show no secret when printed."""

    _origins: dict[str, Origin] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from, the one that takes precedence first. Raises InvalidConfiguration for a wrong file."""
        found = sources(settings_cls, env_settings, dotenv_settings)
        _reading.set(_origins_of(settings_cls, {*init_settings()} - _READ_BEFORE, found))
        return (init_settings, *found)

    def model_post_init(self, context: Any, /) -> None:
        """Keep where each value came from."""
        self._origins = _reading.get({})

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Keep secrets out of logs and error messages that show the settings."""
        for name, value in super().__repr_args__():
            field = type(self).model_fields.get(name or "")
            yield name, "…" if field is not None and is_secret(field) and value else value

    def origin(self, name: str) -> Origin:
        """Return where the value of the field ``name`` comes from."""
        return self._origins.get(name, Origin(DEFAULT))


def _origins_of(
    settings_class: type[BaseSettings], given: set[str], found: list[PydanticBaseSettingsSource]
) -> dict[str, Origin]:
    """Return where each field's value comes from; ``given``: the names of those that the program passes itself."""
    read = [source.env_vars for source in found if isinstance(source, EnvSettingsSource)]
    origins = {}
    for name, field in settings_class.model_fields.items():
        is_given = not given.isdisjoint({name, *names_of(field)})
        origins[name] = Origin(PROGRAM) if is_given else _origin_of(field, read)
    return origins


def _origin_of(field: FieldInfo, read: list[Mapping[str, str | None]]) -> Origin:
    for variables in read:
        for name in names_of(field):
            origin = variables.origin(name) if isinstance(variables, _Files) else None
            if origin is not None:
                return origin
    return Origin(DEFAULT)
