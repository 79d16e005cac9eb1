"""The settings of Temporal: how it is reached, what a worker serves, and which build it is."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import NoDecode

from pipeline.contracts.steps import Work
from pipeline.setting_sources import SourcedSettings
from pipeline.setting_types import Secret


def _named(name: str) -> AliasChoices:
    return AliasChoices(name)


class TemporalSettings(SourcedSettings):
    """A part of Settings. Those named ``TEMPORAL_...`` are Temporal's own (temporal_access/options.py)."""

    temporal_address: str = Field(default="127.0.0.1:7233", validation_alias=_named("TEMPORAL_ADDRESS"))
    temporal_namespace: str = Field(default="default", validation_alias=_named("TEMPORAL_NAMESPACE"))
    temporal_api_key: Secret = Field(default="", validation_alias=_named("TEMPORAL_API_KEY"))
    temporal_api_key_file: str = Field(default="", validation_alias=_named("TEMPORAL_API_KEY_FILE"))
    temporal_tls: str = Field(default="", validation_alias=_named("TEMPORAL_TLS"))
    temporal_tls_server_name: str = Field(default="", validation_alias=_named("TEMPORAL_TLS_SERVER_NAME"))
    temporal_tls_server_ca_cert_path: str = Field(default="", validation_alias=_named("TEMPORAL_TLS_SERVER_CA_CERT_PATH"))
    temporal_tls_server_ca_cert_data: str = Field(default="", validation_alias=_named("TEMPORAL_TLS_SERVER_CA_CERT_DATA"))
    temporal_tls_client_cert_path: str = Field(default="", validation_alias=_named("TEMPORAL_TLS_CLIENT_CERT_PATH"))
    temporal_tls_client_cert_data: str = Field(default="", validation_alias=_named("TEMPORAL_TLS_CLIENT_CERT_DATA"))
    temporal_tls_client_key_path: str = Field(default="", validation_alias=_named("TEMPORAL_TLS_CLIENT_KEY_PATH"))
    temporal_tls_client_key_data: Secret = Field(default="", validation_alias=_named("TEMPORAL_TLS_CLIENT_KEY_DATA"))
    temporal_profile: str = Field(default="", validation_alias=_named("TEMPORAL_PROFILE"))
    temporal_config_file: str = Field(default="", validation_alias=_named("TEMPORAL_CONFIG_FILE"))
    payload_keys: Secret = Field(default="", validation_alias=_named("BULKHEAD_PAYLOAD_KEYS"))
    payload_keys_file: str = Field(default="", validation_alias=_named("BULKHEAD_PAYLOAD_KEYS_FILE"))
    temporal_ui_url: str = Field(default="", pattern=r"^(https?://\S+)?$", validation_alias=_named("BULKHEAD_TEMPORAL_UI_URL"))

    task_queue: str = Field(default="bulkhead", validation_alias=_named("BULKHEAD_TASK_QUEUE"))
    worker_queues: Annotated[tuple[Work, ...], NoDecode] = Field(default=(), validation_alias=_named("BULKHEAD_WORKER_QUEUES"))
    max_parallel_messages: int = Field(default=32, ge=26, le=256, validation_alias=_named("BULKHEAD_MAX_PARALLEL_MESSAGES"))
    max_parallel_upkeep: int = Field(default=2, ge=1, le=16, validation_alias=_named("BULKHEAD_MAX_PARALLEL_UPKEEP"))
    deployment_name: str = Field(
        default="bulkhead", pattern=r"^[A-Za-z0-9_-]{1,64}$", validation_alias=_named("BULKHEAD_DEPLOYMENT_NAME")
    )
    build_id: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,64}$", validation_alias=_named("BULKHEAD_BUILD_ID"))

    @field_validator("worker_queues", mode="before")
    @classmethod
    def _split_queues(cls, value: Any) -> Any:
        """Split a list, which has commas in the environment."""
        if isinstance(value, str):
            return tuple(piece.strip() for piece in value.split(",") if piece.strip())
        return value
