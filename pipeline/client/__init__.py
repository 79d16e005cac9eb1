"""The HTTP client: uploads (resumable, in parts), and everything else that the API offers."""

from pipeline.client.api import Client

__all__ = ["Client"]
