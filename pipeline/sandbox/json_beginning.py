"""Cut the beginning of a JSON text to complete records, wherever it ends and wherever in it the records are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import Unreadable

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}"]', re.DOTALL)
_CLOSING = {"[": "]", "{": "}"}


@dataclass
class _Open:
    """A list or an object that has begun. ``objects``: how many within it are complete; ``end``: where the last one ends."""

    bracket: str
    objects: int = 0
    end: int = 0


def whole_values(text: str) -> str:
    """Return the text up to its last complete record, with what closes the lists and objects around it.

    The records are the objects of which the most are complete beside each other, in a list rather than an object. Raises
    Unreadable if none is complete.
    """
    stack = [_Open("")]
    for found in _TOKENS.finditer(text):
        token = found[0]
        if token == '"':
            break
        if token in _CLOSING:
            stack.append(_Open(token))
        elif token in ("]", "}"):
            if len(stack) == 1 or _CLOSING[stack[-1].bracket] != token:
                break
            closed = stack.pop()
            complete = 1 if closed.bracket == "{" or len(stack) == 1 else closed.objects
            if complete:
                stack[-1].objects += complete
                stack[-1].end = found.end()
    level = max(range(len(stack)), key=lambda place: (stack[place].objects, stack[place].bracket != "{", -place))
    if not stack[level].objects:
        raise Unreadable("The first record is too long to be shown, or is not JSON.", code="value_too_long")
    return text[: stack[level].end] + "".join(_CLOSING[one.bracket] for one in reversed(stack[1 : level + 1]))
