"""Read which server to use from Bulkhead's settings; the client's own distribution reads the environment (clients/python)."""

from __future__ import annotations

from pipeline.settings import load_settings


def default_server() -> tuple[str, str, str]:
    """Return URL, API key and file with the CA certificate."""
    settings = load_settings()
    return settings.url, settings.api_key, settings.ca_certificate
