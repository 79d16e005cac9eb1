"""What a forked child does: limit itself, call the function it was forked for, say how that ended."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from pipeline.errors import BulkheadError, Crashed, NoSpace, is_no_space, is_out_of_memory
from pipeline.sandbox.limits import Limits, confine
from pipeline.sandbox.messages import (
    Call,
    Surroundings,
    error_message,
    fault_message,
    question_message,
    receive,
    result_message,
    send,
)

_NO_ROOM_TO_SPILL = "max_temp_directory_size"
"""DuckDB's error names this setting when the disk has no room for what memory does not hold; by default all of the disk."""

_NO_THREAD = "can't start new thread"
"""Python's error where there are no addresses left for a thread's stack."""


def work(worker: socket.socket, parent: int) -> None:
    """Do the job that the worker sends, and send it one result or error. ``parent`` is the process that forked this one."""
    surroundings: Surroundings = pickle.loads(receive(worker))
    sys.path[:] = surroundings.import_path
    os.chdir(surroundings.folder)
    try:
        call: Call = pickle.loads(receive(worker))
    except Exception:  # such as a module that is not found here
        send(worker, fault_message(traceback.format_exc()))
        return
    confine(surroundings.limits, parent)
    send(worker, _message(call, surroundings.limits, partial(_ask, worker)))


def _ask(worker: socket.socket, question: Any) -> Any:
    send(worker, question_message(question))
    return pickle.loads(receive(worker))


def _message(call: Call, limits: Limits, ask: Callable[[Any], Any]) -> bytes:
    """Call the function and return the message about how that ended."""
    try:
        result = call.function(*call.args, ask) if call.may_ask else call.function(*call.args)
        return result_message(call.function, result)
    except BulkheadError as error:
        return error_message(error)
    except MemoryError:
        return error_message(_needs_more_memory(limits))
    except Exception as error:
        if _is_too_large(error):
            return error_message(_needs_longer_file(limits))
        if is_no_space(error) or _NO_ROOM_TO_SPILL in str(error):
            return error_message(
                NoSpace("No space is left on the disk of BULKHEAD_HOME. The work continues when there is space again.")
            )
        if is_out_of_memory(error) or _NO_THREAD in str(error):
            return error_message(_needs_more_memory(limits))
        return fault_message(_fault(call, error))


def _fault(call: Call, error: Exception) -> str:
    """Return the traceback; without its message, which may quote values, if the dataset has personal data."""
    if not any(getattr(arg, "personal", ()) for arg in call.args):
        return traceback.format_exc()
    frames = "".join(traceback.format_tb(error.__traceback__))
    said = "the message may have personal data and is masked"
    return f"Traceback (most recent call last):\n{frames}{type(error).__name__}: {said}"


def _needs_more_memory(limits: Limits) -> Crashed:
    size = f"{limits.memory_bytes:,} bytes"
    return Crashed(
        f"The file needs more memory than the {size} of BULKHEAD_VALIDATION_MEMORY_BYTES. Raise that, or split the file.",
        reason="memory",
    )


def _needs_longer_file(limits: Limits) -> Crashed:
    size = f"{limits.file_bytes:,} bytes"
    return Crashed(f"The file needs a file of more than {size} to be worked on.", reason="file_size")


def _is_too_large(error: Exception) -> bool:
    """Return whether a write went beyond the longest file that is allowed. DuckDB says so in words only."""
    return getattr(error, "errno", None) == errno.EFBIG or os.strerror(errno.EFBIG) in str(error)
