"""Reduce lines of logs to what contains no value of a record: when, how severe, which event, and numbers and ids. Pure.

What is kept is listed here; all else is left out. Programs of others quote values, names of files and statements in any form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.contracts.states import State

CUT = "…"
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| UTC|[+-]\d\d:?\d\d)?"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_OURS = re.compile(rf"(?P<time>{_TIME}) \[(?P<level>\w+) *\] (?P<event>[a-z][A-Za-z ,:'()-]{{0,79}}?)(?P<pairs>(?: +\w+=.*)?)")
_PAIR = re.compile(r"(\w+)=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\S*)")
_POSTGRES = re.compile(rf"(?P<time>{_TIME}) \[(?P<pid>\d+)\] (?P<level>LOG|WARNING|ERROR|FATAL|PANIC):  (?P<message>.*)")
_POSTGRES_SAFE = re.compile(
    r"(?:database system|checkpoint|starting PostgreSQL|listening on|received|aborting any|background worker|shutting down"
    r"|redo|duplicate key value violates|deadlock detected|canceling statement|terminating connection|could not|out of"
    r"|connection|too many|no space|value too long|invalid input syntax|null value in column|permission denied)"
)
_FRAME = re.compile(r"\s+File \"(?P<file>[^\"]+)\", line (?P<line>\d+), in (?P<function>[\w<>.]+)")
_RAISED = re.compile(r"(?P<kind>(?:[a-z_][\w]*\.)+[A-Z]\w*|[A-Z]\w*(?:Error|Exception|Interrupt|Exit))(?::.*)?")
_BEGINNING = re.compile(
    rf"(?:I|W|E)?\W?(?P<time>{_TIME})\W+(?:\[?\d+\]?\W+)?(?P<level>DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)?\b"
)
_SAFE = re.compile(r"-?\d[\d.:TZ+-]*|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|True|False|None|true|false|null")
_LEVELS = frozenset(("debug", "info", "warning", "error", "critical", "exception"))
_NAMES = frozenset(("event", "message", "level", "logger", "timestamp"))
_EVENT = re.compile(r"[a-z][A-Za-z ,:'()-]{0,79}")


def reduced(lines: Iterable[str]) -> Iterator[str]:
    """Yield each line without values; lines of which nothing remains are counted."""
    left_out = 0
    for line in lines:
        kept = reduce_line(_ANSI.sub("", line.rstrip("\r\n")))
        if kept:
            if left_out:
                yield f"{CUT} {left_out} lines left out"
            left_out = 0
            yield kept
        else:
            left_out += 1
    if left_out:
        yield f"{CUT} {left_out} lines left out"


def reduce_line(line: str) -> str:
    """Return what may be told of a line; empty if nothing."""
    if line.startswith("{"):
        return _of_json(line)
    if found := _OURS.fullmatch(line):
        pairs = " ".join(f"{name}={_value(value)}" for name, value in _PAIR.findall(found["pairs"]))
        return " ".join(filter(None, [found["time"], found["level"], found["event"].strip(), pairs]))
    if found := _POSTGRES.fullmatch(line):
        known = _POSTGRES_SAFE.match(found["message"])
        return f"{found['time']} [{found['pid']}] {found['level']}: {(known[0].strip() + ' ') if known else ''}{CUT}"
    if line == "Traceback (most recent call last):":
        return line
    if found := _FRAME.match(line):
        return f"  {'/'.join(found['file'].split('/')[-2:])}, line {found['line']}, in {found['function']}"
    if found := _RAISED.fullmatch(line):
        return f"{found['kind']}: {CUT}"
    found = _BEGINNING.match(line)
    return " ".join(filter(None, [found["time"], found["level"], CUT])) if found else ""


def _of_json(line: str) -> str:
    try:
        content: Any = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(content, dict):
        return ""
    kept = {name: _json_value(name, value) for name, value in content.items() if re.fullmatch(r"\w{1,40}", name)}
    return json.dumps(kept, ensure_ascii=False)


def _json_value(name: str, value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = str(value)
    is_told = name in _NAMES and (_EVENT.fullmatch(text) or re.fullmatch(_TIME, text) or text in _LEVELS)
    return text if is_told or _is_safe(text) else CUT


def _value(text: str) -> str:
    return text if _is_safe(text.strip("'\"")) else CUT


def _is_safe(text: str) -> bool:
    return _SAFE.fullmatch(text) is not None or text in set(State)
