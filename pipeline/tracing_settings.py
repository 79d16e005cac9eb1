"""The settings of tracing: OpenTelemetry's own variables, with the meaning that its specification gives them.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. The SDK reads the others (OTEL_BSP_...,
OTEL_EXPORTER_OTLP_TIMEOUT, certificates) from the environment itself.
"""

from __future__ import annotations

from pydantic import AliasChoices, Field

from pipeline.setting_sources import SourcedSettings
from pipeline.setting_types import Secret

HTTP = "http/protobuf"


def _named(name: str) -> AliasChoices:
    return AliasChoices(name)


class TracingSettings(SourcedSettings):
    """A part of Settings: where spans go, and which."""

    otel_exporter_otlp_endpoint: str = Field(
        default="", pattern=r"^(https?://\S+)?$", validation_alias=_named("OTEL_EXPORTER_OTLP_ENDPOINT")
    )
    otel_exporter_otlp_traces_endpoint: str = Field(
        default="", pattern=r"^(https?://\S+)?$", validation_alias=_named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    )
    otel_exporter_otlp_headers: Secret = Field(default="", validation_alias=_named("OTEL_EXPORTER_OTLP_HEADERS"))
    otel_exporter_otlp_protocol: str = Field(default="", validation_alias=_named("OTEL_EXPORTER_OTLP_PROTOCOL"))
    otel_traces_exporter: str = Field(
        default="", pattern=r"^(otlp|console|none)?$", validation_alias=_named("OTEL_TRACES_EXPORTER")
    )
    otel_service_name: str = Field(default="", validation_alias=_named("OTEL_SERVICE_NAME"))
    otel_resource_attributes: str = Field(default="", validation_alias=_named("OTEL_RESOURCE_ATTRIBUTES"))
    otel_traces_sampler: str = Field(
        default="",
        pattern=r"^((parentbased_)?(always_on|always_off|traceidratio))?$",
        validation_alias=_named("OTEL_TRACES_SAMPLER"),
    )
    otel_traces_sampler_arg: str = Field(default="", validation_alias=_named("OTEL_TRACES_SAMPLER_ARG"))
    otel_sdk_disabled: str = Field(default="", validation_alias=_named("OTEL_SDK_DISABLED"))

    @property
    def has_tracing(self) -> bool:
        """Return whether spans are recorded: an endpoint or an exporter is set, and nothing switches them off."""
        is_off = self.otel_sdk_disabled.strip().lower() == "true" or self.otel_traces_exporter == "none"
        is_set = self.otel_exporter_otlp_endpoint or self.otel_exporter_otlp_traces_endpoint or self.otel_traces_exporter
        return bool(is_set) and not is_off
