"""The command line, `bulkhead`: commands go in, data comes out on stdout; it runs each step of an import through the client.

Messages go to stderr, so that every command can be used in a pipe; the exit codes are in app.py. Modules that are slow to
import (Great Expectations, DuckDB, SQLAlchemy, Temporal) are imported by the commands that need them, so that the others start
at once.
"""

from __future__ import annotations

import atexit
import errno
import sys
from io import TextIOWrapper

from pipeline import processes


def main() -> None:
    """Entry point of ``bulkhead`` and ``python -m pipeline.cli``."""
    with processes.no_garbage_collection():
        from pipeline.cli.commands import app
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # characters outside the terminal's encoding are escaped
            stream.reconfigure(errors="backslashreplace")
    atexit.register(_be_silent)
    try:
        app(prog_name="bulkhead")
    except SystemExit as ended:
        _flush()
        if "temporalio" in sys.modules and isinstance(ended.code, int | None):
            processes.end_at_once(ended.code or 0)
        raise
    finally:
        _flush()


def _flush() -> None:
    """Flush stdout. Raises SystemExit if that fails, for instance because the disk is full."""
    try:
        sys.stdout.flush()
    except OSError as error:
        processes.silence(1)  # Python flushes once more when it ends
        if error.errno != errno.EPIPE:
            sys.exit(f"bulkhead: The output cannot be written: {error.strerror}.")


def _be_silent() -> None:
    """Print nothing more on stderr: when Python ends, DuckDB's bindings would list the objects that are still alive."""
    sys.stderr.flush()
    processes.silence(2)
