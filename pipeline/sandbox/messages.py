"""The messages between the worker and a child: how they are framed, and what a child's message may be.

A message is its length (8 bytes, big-endian) and its bytes. What we send to a child is pickled: it is ours. What a child sends
is one byte for the kind and JSON for the rest. It is never unpickled, since a file may have taken the child over; a result is
checked against the type that the function is annotated with.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, get_type_hints

from pydantic import TypeAdapter

from pipeline import errors
from pipeline.errors import BulkheadError, Crashed, RejectedFile
from pipeline.sandbox.limits import Limits

RESULT, ERROR, FAULT, QUESTION = b"R", b"E", b"F", b"Q"
"""A result, an error of errors.py, the traceback of any other exception, a question to the worker."""

MESSAGE_BYTES = 64 << 20
"""A longer message of a child is not read."""

_LENGTH = struct.Struct("!Q")
_CHUNK_BYTES = 1 << 20

UNCLEAR = "The process that worked on the file gave an answer that cannot be understood."


class Call(NamedTuple):
    """What a child is to do, and where: sent to it pickled."""

    function: Callable[..., Any]
    args: tuple[object, ...]
    may_ask: bool


class Surroundings(NamedTuple):
    """What a child sets up before it unpickles its call: where modules and relative paths are found, and its limits."""

    import_path: list[str]
    folder: str
    limits: Limits


def send(to: socket.socket, message: bytes) -> None:
    """Send one message. Raises OSError if the other end is closed."""
    to.sendall(_LENGTH.pack(len(message)))
    to.sendall(message)


def receive(
    source: socket.socket, at_most: int = 1 << 62, wait: Callable[[], None] = lambda: None, chunk_bytes: int = _CHUNK_BYTES
) -> bytes:
    """Return the next message. ``wait`` is called before each read: it returns when there is something, or raises.

    Raises EOFError if the other end is closed, Crashed if the message is longer than ``at_most`` bytes.
    """

    def read(length: int) -> bytes:
        found = bytearray()
        while len(found) < length:
            wait()
            chunk = source.recv(min(length - len(found), chunk_bytes))
            if not chunk:
                raise EOFError
            found += chunk
        return bytes(found)

    (length,) = _LENGTH.unpack(read(_LENGTH.size))
    if length > at_most:
        raise Crashed(UNCLEAR)
    return read(length)


# --- what the child says ---


def result_message(function: Callable[..., Any], result: Any) -> bytes:
    """Return the message for what the function returned."""
    return RESULT + _result_type(function).dump_json(result)


def error_message(error: BulkheadError) -> bytes:
    """Return the message for an error of errors.py."""
    names = ("code", "hint", "line") if isinstance(error, RejectedFile) else ("reason",) if isinstance(error, Crashed) else ()
    fields = {name: getattr(error, name) for name in names}
    return ERROR + json.dumps({"class": type(error).__name__, "message": str(error), **fields}).encode()


def fault_message(text: str) -> bytes:
    """Return the message for any other exception, whose traceback this is."""
    return FAULT + json.dumps(text).encode()


def question_message(question: Any) -> bytes:
    """Return the message that asks the worker; what is not JSON is asked as text."""
    return QUESTION + json.dumps(question, default=str).encode()


# --- what the worker makes of it ---


def outcome(function: Callable[..., Any], message: bytes) -> Any:
    """Return the result in a child's last message, or raise the error in it. Raises Crashed if it is neither."""
    kind, data = message[:1], message[1:]
    if kind == RESULT:
        try:
            return _result_type(function).validate_json(data)
        except ValueError as error:
            raise Crashed(UNCLEAR) from error
    said = json_in(data)
    if kind == ERROR:
        raise _error_from(said)
    if kind == FAULT and isinstance(said, str):
        raise RuntimeError(said)
    raise Crashed(UNCLEAR)


def json_in(data: bytes) -> Any:
    """Return what a child said, as plain JSON. Raises Crashed if it is not JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Crashed(UNCLEAR) from error


@lru_cache(maxsize=32)
def _result_type(function: Callable[..., Any]) -> TypeAdapter[Any]:
    """Return the type that a function is annotated to return."""
    return TypeAdapter(get_type_hints(function)["return"])


def _error_from(said: Any) -> BulkheadError:
    """Return the error that error_message wrote, or Crashed if the child wrote something else."""
    if not isinstance(said, dict) or not isinstance(said.get("message"), str):
        return Crashed(UNCLEAR)
    kind = getattr(errors, str(said.get("class")), None)
    if not (isinstance(kind, type) and issubclass(kind, BulkheadError)):
        kind = Crashed
    if issubclass(kind, Crashed):
        return kind(said["message"], reason=str(said.get("reason")))
    if not issubclass(kind, RejectedFile):
        return kind(said["message"])
    code, hint, line = said.get("code"), said.get("hint"), said.get("line")
    if not (isinstance(code, str) and isinstance(hint, str) and isinstance(line, int | None)):
        return Crashed(UNCLEAR)
    return kind(said["message"], code=code, hint=hint, line=line)
