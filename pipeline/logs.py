"""Configure logging: one line per step, with the import's id and counts, never with a record's content.

Lines of our own and of libraries have what is bound in ``structlog.contextvars`` (the import's id), and within a span its ids.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

import structlog

IdSource = Callable[[], Mapping[str, str]]

_sources: list[IdSource] = []


def add_ids(source: IdSource) -> None:
    """Have each line from now on show the ids that ``source`` returns, such as those of a trace."""
    if source not in _sources:
        _sources.append(source)


def configure(log_format: str = "console") -> None:
    """Write logs to stderr, as ``json`` or for people (``console``)."""
    shape = structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _with_ids,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            shape,
        ],
        logger_factory=lambda *names: structlog.PrintLogger(sys.stderr),  # looked up for each line: it can be replaced
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json_of_libraries() if log_format == "json" else _LibraryLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("botocore").setLevel(logging.WARNING)


def _with_ids(logger: Any, method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for source in _sources:
        line.update(source())
    return line


class _LibraryLine(logging.Formatter):
    """A line of a library, for people, with the same ids at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s%(ids)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        found = _with_ids(None, "", dict(structlog.contextvars.get_contextvars()))
        record.ids = "".join(f" {name}={value}" for name, value in found.items())
        return super().format(record)


def _json_of_libraries() -> logging.Formatter:
    """Return the formatter that gives lines of libraries the form of our own."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            _with_ids,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
    )
