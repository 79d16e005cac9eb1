"""Configure logging: one line per step, with the import's id and counts, never with a record's content."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(log_format: str = "console") -> None:
    """Write logs to stderr, as ``json`` or for people (``console``)."""
    shape = structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            shape,
        ],
        logger_factory=lambda *names: structlog.PrintLogger(sys.stderr),  # looked up for each line: it can be replaced
    )
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
