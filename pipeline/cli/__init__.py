"""The command line, `bulkhead`: composition root of what people type.

Data goes to stdout and everything else to stderr, so that every command can stand in a pipe; the exit codes are in
app.py. What is heavy to import (Great Expectations, DuckDB, SQLAlchemy, Temporal) is imported by the commands that need
it, so that the others answer at once.
"""

from __future__ import annotations

import atexit
import errno
import os
import sys
from io import TextIOWrapper


def main() -> None:
    """Entry point of ``bulkhead`` and ``python -m pipeline.cli``."""
    from pipeline.cli import imports, offline, outcomes, server  # noqa: F401 (they register their commands)
    from pipeline.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what the terminal's encoding cannot show is spelled out, not a crash
            stream.reconfigure(errors="backslashreplace")
    atexit.register(_be_silent)
    try:
        app(prog_name="bulkhead")
    finally:
        _flush()


def _flush() -> None:
    """Write out what is left of our output. Raises SystemExit if that is refused, as by a disk that is full."""
    try:
        sys.stdout.flush()
    except OSError as error:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)  # Python flushes once more at its end
        os.close(silence)
        if error.errno != errno.EPIPE:
            sys.exit(f"bulkhead: The output cannot be written: {error.strerror}.")


def _be_silent() -> None:
    """All is said. DuckDB's bindings would still list what Python's end finds alive, which is no business of anybody's."""
    sys.stderr.flush()
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    os.close(silence)
