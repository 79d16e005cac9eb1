"""The HTTP client of the API: calls go in, JSON and files come out; the command line and the demo run each step through it."""

from pipeline.client.api import Client

__all__ = ["Client"]
