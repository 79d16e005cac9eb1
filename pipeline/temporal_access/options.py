"""Temporal's own variables -> how to connect. The worker, the web app, the commands, the relay and the Lambda all use this.

The names and their meaning are those of Temporal's tools (https://docs.temporal.io/develop/environment-configuration), read by
``temporalio.envconfig``. Differences: an empty variable counts as not set; ``TEMPORAL_API_KEY_FILE`` names a file with the key;
a configuration file is read only if ``TEMPORAL_CONFIG_FILE`` or ``TEMPORAL_PROFILE`` is set, so that a profile for
another cluster in the user's home does not change an embedded stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from temporalio.envconfig import ClientConfigProfile, ClientConfigTLS
from temporalio.service import TLSConfig

from pipeline.errors import InvalidConfiguration

ADDRESS, NAMESPACE = "127.0.0.1:7233", "default"
"""Where a server on this machine listens, and the namespace that it has."""

_SWITCHES = {
    "true": "true",
    "1": "true",
    "yes": "true",
    "on": "true",
    "false": "false",
    "0": "false",
    "no": "false",
    "off": "false",
}

PEM = b"-----BEGIN "


@dataclass(frozen=True)
class TemporalAccess:
    """How to reach a namespace. ``tls`` is False for a connection in clear text."""

    address: str = ADDRESS
    namespace: str = NAMESPACE
    api_key: str | None = field(default=None, repr=False)
    tls: TLSConfig | bool = field(default=False, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    payload_keys: str = field(default="", repr=False)
    """The keys that encrypt payloads, as in BULKHEAD_PAYLOAD_KEYS (payload_codec.py)."""

    @property
    def has_client_certificate(self) -> bool:
        """Return whether the client shows a certificate (mutual TLS)."""
        return isinstance(self.tls, TLSConfig) and self.tls.client_cert is not None


def access_from(environment: Mapping[str, str]) -> TemporalAccess:
    """Return how to connect by these variables; others are ignored.

    A variable wins over the profile in the configuration file, which wins over the defaults. Raises InvalidConfiguration
    naming the variable that cannot be used.
    """
    given = _given(environment)
    profile = _profile(given)
    return TemporalAccess(
        address=profile.address or ADDRESS,
        namespace=profile.namespace or NAMESPACE,
        api_key=profile.api_key,
        tls=_tls(profile.tls) if profile.tls is not None else profile.api_key is not None,
        metadata=profile.grpc_meta,
        payload_keys=secret(environment, "BULKHEAD_PAYLOAD_KEYS"),
    )


def secret(environment: Mapping[str, str], name: str) -> str:
    """Return a variable, or the content of the file that ``NAME_FILE`` names, without white space around it.

    Raises InvalidConfiguration if both are set, or the file cannot be read.
    """
    value, path = environment.get(name, "").strip(), environment.get(f"{name}_FILE", "").strip()
    if value and path:
        raise InvalidConfiguration(f"Both {name} and {name}_FILE are set. Keep one of them.")
    return _read(f"{name}_FILE", Path(path)).decode(errors="replace").strip() if path else value


def _given(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of Temporal that are set, in the form in which envconfig reads them."""
    given = {name: value.strip() for name, value in environment.items() if name.startswith("TEMPORAL_") and value.strip()}
    if key := secret(environment, "TEMPORAL_API_KEY"):
        given["TEMPORAL_API_KEY"] = key
    given.pop("TEMPORAL_API_KEY_FILE", None)
    if "TEMPORAL_TLS" in given:
        switch = _SWITCHES.get(given["TEMPORAL_TLS"].lower())
        if switch is None:
            raise InvalidConfiguration(
                f"TEMPORAL_TLS is {given['TEMPORAL_TLS']!r}. Set it to true or false, or leave it unset."
            )
        given["TEMPORAL_TLS"] = switch
    return given


def _profile(given: Mapping[str, str]) -> ClientConfigProfile:
    path = given.get("TEMPORAL_CONFIG_FILE")
    if path and not Path(path).is_file():
        raise InvalidConfiguration(f"TEMPORAL_CONFIG_FILE names {path}, and there is no such file.")
    wants_file = bool(path or given.get("TEMPORAL_PROFILE"))
    try:
        return ClientConfigProfile.load(disable_file=not wants_file, override_env_vars=given)
    except Exception as error:  # the SDK's ConfigError has no public name
        where = path or "Temporal's configuration file" if wants_file else "The TEMPORAL_ variables"
        raise InvalidConfiguration(f"{where} cannot be used: {error}") from error


def _tls(wanted: ClientConfigTLS) -> TLSConfig | bool:
    """Return the settings of TLS with the files read. Raises InvalidConfiguration for one that is missing or no PEM."""
    if wanted.disabled:
        return False
    for name, source in (
        ("TEMPORAL_TLS_SERVER_CA_CERT", wanted.server_root_ca_cert),
        ("TEMPORAL_TLS_CLIENT_CERT", wanted.client_cert),
        ("TEMPORAL_TLS_CLIENT_KEY", wanted.client_private_key),
    ):
        if source is not None:
            content = _read(f"{name}_PATH", source) if isinstance(source, Path) else source
            if PEM not in (content.encode() if isinstance(content, str) else content):
                written = f"{name}_PATH names {source}, which" if isinstance(source, Path) else f"{name}_DATA"
                raise InvalidConfiguration(f"{written} is not PEM: it has no line -----BEGIN ...-----.")
    if (wanted.client_cert is None) != (wanted.client_private_key is None):
        there, missing = ("CERT", "KEY") if wanted.client_cert is not None else ("KEY", "CERT")
        raise InvalidConfiguration(
            f"TEMPORAL_TLS_CLIENT_{there}_PATH is set, and TEMPORAL_TLS_CLIENT_{missing}_PATH is not. Mutual TLS needs both."
        )
    return wanted.to_connect_tls_config()


def _read(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidConfiguration(f"{name} names {path}, which cannot be read: {error.strerror}.") from error
