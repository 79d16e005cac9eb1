"""The settings of single sign-on by OpenID Connect: the identity provider, the rules, and how long a session lasts."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AliasChoices, BeforeValidator, Field, field_validator, model_validator

from pipeline.setting_sources import SourcedSettings
from pipeline.setting_types import Secret
from pipeline.sso_rules import Rule, parse_rules
from pipeline.units import duration

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _time(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    written = duration(value)
    if written is None:
        raise ValueError(f"{value!r} is not a time: write 90 (seconds), 15m, 12h or 7d")
    return written


Time = Annotated[timedelta, BeforeValidator(_time)]
"""A length of time."""


def _named(name: str) -> AliasChoices:
    return AliasChoices(name)


class SsoSettings(SourcedSettings):
    """A part of Settings. Single sign-on is on if ``oidc_issuer`` is set."""

    oidc_issuer: str = Field(default="", validation_alias=_named("BULKHEAD_OIDC_ISSUER"))
    oidc_client_id: str = Field(default="", validation_alias=_named("BULKHEAD_OIDC_CLIENT_ID"))
    oidc_client_secret: Secret = Field(default="", validation_alias=_named("BULKHEAD_OIDC_CLIENT_SECRET"))
    oidc_name: str = Field(default="", max_length=60, validation_alias=_named("BULKHEAD_OIDC_NAME"))
    oidc_scopes: str = Field(default="openid profile email", validation_alias=_named("BULKHEAD_OIDC_SCOPES"))
    oidc_rules: str = Field(default="", validation_alias=_named("BULKHEAD_OIDC_RULES"))
    oidc_required: bool = Field(default=False, validation_alias=_named("BULKHEAD_OIDC_REQUIRED"))
    oidc_session_idle: Time = Field(
        default=timedelta(hours=1),
        ge=timedelta(minutes=5),
        le=timedelta(hours=12),
        validation_alias=_named("BULKHEAD_OIDC_SESSION_IDLE"),
    )
    oidc_session_limit: Time = Field(
        default=timedelta(hours=12),
        ge=timedelta(minutes=5),
        le=timedelta(days=7),
        validation_alias=_named("BULKHEAD_OIDC_SESSION_LIMIT"),
    )
    oidc_clock_leeway: Time = Field(
        default=timedelta(minutes=1),
        ge=timedelta(0),
        le=timedelta(minutes=5),
        validation_alias=_named("BULKHEAD_OIDC_CLOCK_LEEWAY"),
    )

    @field_validator("oidc_issuer")
    @classmethod
    def _is_safe(cls, value: str) -> str:
        """Refuse an issuer without TLS, unless it is on this machine: tokens and keys would be anyone's on the way."""
        parts = urlsplit(value)
        if value and (parts.query or parts.fragment or not parts.hostname):
            raise ValueError("it is not the address of an issuer, such as https://id.example.org/realms/main")
        if value and parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise ValueError("it does not begin with https://")
        return value

    @field_validator("oidc_scopes")
    @classmethod
    def _has_openid(cls, value: str) -> str:
        if "openid" not in value.split():
            raise ValueError("openid is not among the scopes; without it there is no ID token")
        return " ".join(value.split())

    @field_validator("oidc_rules")
    @classmethod
    def _are_rules(cls, value: str) -> str:
        parse_rules(value)
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> SsoSettings:
        """Refuse half a configuration: it would show a button that cannot work, or shut the pages for good."""
        if self.oidc_issuer and not self.oidc_client_id:
            raise ValueError("BULKHEAD_OIDC_ISSUER is set and BULKHEAD_OIDC_CLIENT_ID is not")
        if self.oidc_issuer and not self.sso_rules:
            raise ValueError("BULKHEAD_OIDC_ISSUER is set and BULKHEAD_OIDC_RULES has no rule, so no one could sign in")
        if self.oidc_required and not self.oidc_issuer:
            raise ValueError("BULKHEAD_OIDC_REQUIRED is set and BULKHEAD_OIDC_ISSUER is not")
        return self

    @property
    def has_sso(self) -> bool:
        """Return whether people can sign in at an identity provider."""
        return bool(self.oidc_issuer)

    @property
    def sso_name(self) -> str:
        """Return the identity provider's name for people: its host, if it has no other."""
        return self.oidc_name or urlsplit(self.oidc_issuer).hostname or ""

    @property
    def sso_rules(self) -> tuple[Rule, ...]:
        """Return the rules, read anew from their file if they are in one."""
        return parse_rules(self.oidc_rules)
