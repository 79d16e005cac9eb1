"""The HTTP client of the API: calls go in, JSON and files come out; the command line and the demo run each step through it."""

from pipeline.client.api import Client, ImportJson
from pipeline.client.http import ApiError, Download, TimedOut
from pipeline.contracts.options import OnError, Options
from pipeline.contracts.states import State
from pipeline.errors import BulkheadError, InvalidRequest, Unreachable

__all__ = [
    "ApiError",
    "BulkheadError",
    "Client",
    "Download",
    "ImportJson",
    "InvalidRequest",
    "OnError",
    "Options",
    "State",
    "TimedOut",
    "Unreachable",
]
