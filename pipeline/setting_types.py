"""Which settings are secrets.

A field of Settings is a secret if its type is Secret or SecretStr, or carries the mark ``SECRET`` (``Annotated[..., SECRET]``).
It can be given as a file (setting_sources.py), is masked wherever settings are shown, and may not be a known default.
"""

from __future__ import annotations

import re
import typing
from typing import Annotated, Any

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

DATABASE_URL = re.compile(
    r"postgres(?:ql)?(?:\+\w+)?://(?:[^:/]*(?::(?P<password>[^@]*))?@)?(?:\[(?P<v6>[^/?]+)\]|(?P<host>[^/:?]*))"
    r"(?::(?P<port>[0-9]*))?(?:/(?P<database>[^?]*))?(?:\?.*)?"
)
"""The URL of a database, as SQLAlchemy reads it: a password may contain any character but @."""


class _SecretMark:
    """The mark of a field that holds a secret."""

    def __repr__(self) -> str:
        return "SECRET"


SECRET = _SecretMark()
Secret = Annotated[str, SECRET]
"""The type of a setting that is a secret, or an address that may contain one."""


def is_secret(field: FieldInfo) -> bool:
    """Return whether a field of Settings holds a secret."""
    return SECRET in field.metadata or _mentions_secret(field.annotation)


def _mentions_secret(annotation: Any) -> bool:
    if annotation is SecretStr or SECRET in getattr(annotation, "__metadata__", ()):
        return True
    return any(_mentions_secret(part) for part in typing.get_args(annotation))


def names_of(field: FieldInfo) -> list[str]:
    """Return the names of a setting in the environment, its own first."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(name) for name in alias.choices]
    return [alias] if isinstance(alias, str) else []


def secret_names(settings_class: type[BaseSettings]) -> list[str]:
    """Return the environment's names of all secrets."""
    return [name for field in settings_class.model_fields.values() if is_secret(field) for name in names_of(field)]


def names_of_files(settings_class: type[BaseSettings]) -> list[str]:
    """Return the secrets that a file may hold: all but those for which NAME_FILE is a setting that other code reads."""
    known = {name for field in settings_class.model_fields.values() for name in names_of(field)}
    return [name for name in secret_names(settings_class) if f"{name}_FILE" not in known]


def text_of(value: Any) -> str:
    """Return a value as text; a SecretStr as what it holds, None as an empty text."""
    return value.get_secret_value() if isinstance(value, SecretStr) else "" if value is None else str(value)
