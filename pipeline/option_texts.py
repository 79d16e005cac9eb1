"""Parse the options of reading from texts, as a query, a form and the command line give them."""

from __future__ import annotations

import codecs
import encodings
import json
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from encodings.aliases import aliases
from typing import Any

from pipeline.contracts.options import DELIMITER_NAMES, QUOTE_NONE
from pipeline.contracts.options import option_text as option_text
from pipeline.display import shortened
from pipeline.errors import InvalidRequest

DELIMITER_CHARACTERS = 8
MERGED = ("fill",)
REPEATED_COLUMNS = ("number", "list")
_ENCODINGS = {*aliases, *(module.name for module in pkgutil.iter_modules(encodings.__path__))}
_OF_NO_FILES = {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
_SPACES = {"space": " ", "spaces": "  "}
"""Delimiters that are hard to see; "spaces" are two or more."""

_NAMES_OF_DELIMITERS = {delimiter: name for name, delimiter in {**DELIMITER_NAMES, **_SPACES}.items()}

_QUOTES = {"single": "'", "double": '"', QUOTE_NONE: QUOTE_NONE}


def delimiter_of(text: str) -> str:
    r"""Return the delimiter that a name (``semicolon``), an escape (``\t``, ``\x01``) or the characters themselves mean.

    Raises InvalidRequest for what cannot stand between values: letters, digits, quotes, line ends, or more than 8 characters.
    """
    found = DELIMITER_NAMES.get(text.lower()) or _SPACES.get(text.lower()) or _unescaped(text)
    if not 1 <= len(found) <= DELIMITER_CHARACTERS or any(one.isalnum() or one in '"\r\n\0' for one in found):
        known = ", ".join((*DELIMITER_NAMES, *_SPACES))
        names = f"{known}, or 1 to {DELIMITER_CHARACTERS} characters without letters, digits and quotes"
        raise InvalidRequest(f"The delimiter is {names}, not {text!r}.{_meant(text, DELIMITER_NAMES)}")
    return found


def delimiter_text(delimiter: str) -> str:
    """Return the text of a delimiter for people, from which delimiter_of makes it again: nothing in it is invisible."""
    if name := _NAMES_OF_DELIMITERS.get(delimiter):
        return name
    is_plain = delimiter.isprintable() and delimiter == delimiter.strip() and "\\" not in delimiter
    return delimiter if is_plain else delimiter.encode("unicode_escape").decode().replace(" ", "\\x20")


def quote_of(text: str) -> str:
    """Return the quote character that a name or the character itself means, or QUOTE_NONE. Raises InvalidRequest."""
    found = _QUOTES.get(text.lower(), text)
    if found != QUOTE_NONE and (len(found) != 1 or found.isalnum() or found.isspace()):
        raise InvalidRequest(f"The quote is one character, or none, not {text!r}.{_meant(text, _QUOTES)}")
    return found


def encoding_of(text: str) -> str:
    """Return the name of a text encoding as Python spells it. Raises InvalidRequest for one that is not known."""
    if (
        encodings.normalize_encoding(text).lower() not in _ENCODINGS
    ):  # codecs.lookup() remembers every name that it is asked for
        raise InvalidRequest(f"There is no encoding {shortened(text, 40)!r}.{_meant(text[:40], aliases)}")
    found = codecs.lookup(text)
    is_of_texts = getattr(found, "_is_text_encoding", True) and found.incrementaldecoder is not None
    if not is_of_texts or found.name.replace("_", "-") in _OF_NO_FILES:
        raise InvalidRequest(f"{text!r} is not an encoding of text. Use utf-8, cp1252 or shift_jis, for instance.")
    return found.name


def header_row_of(text: str) -> int:
    """Return the number of the header's line or row, from 1. Raises InvalidRequest."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise InvalidRequest(f"header_row is the number of the header's line or row, from 1, not {text!r}.")
    return int(text)


def values_of(text: str) -> tuple[str, ...]:
    """Return the values in a JSON list of texts, or separated by commas. Raises InvalidRequest."""
    if not text.lstrip().startswith("["):
        return tuple(value.strip() for value in text.split(",") if value.strip())
    values = _json(text, list, '["0", "NULL"]')
    if not all(isinstance(value, str) for value in values):
        raise InvalidRequest('no_parent_values is a JSON list of texts, such as ["0", "NULL"], or texts separated by commas.')
    return tuple(values)


def object_of(text: str, example: str) -> dict[str, Any]:
    """Return a JSON object. Raises InvalidRequest, with an example of one."""
    found: dict[str, Any] = _json(text, dict, example)
    return found


def _json(text: str, kind: type, example: str) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, kind):
        named = "object" if kind is dict else "list"
        raise InvalidRequest(f"This is not a JSON {named}: {shortened(text, 100)!r}. Write it like {example}.")
    return found


def _one_of(name: str, choices: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise InvalidRequest(f"{name} is {' or '.join(choices)}, not {text!r}.{_meant(text, choices)}")
        return text

    return parse


SHAPE_EXAMPLE = '{"kind": "levels", "columns": ["Country", "City"]}'
CLEAN_EXAMPLE = '{"trim": true, "case": "upper"}'

PARSERS: Mapping[str, Callable[[str], Any]] = {
    "delimiter": delimiter_of,
    "quote": quote_of,
    "encoding": encoding_of,
    "header_row": header_row_of,
    "sheet": str,
    "records_at": str,
    "merged": _one_of("merged", MERGED),
    "repeated_columns": _one_of("repeated_columns", REPEATED_COLUMNS),
    "no_parent_values": values_of,
    "parent_by": str,
    "shape": lambda text: object_of(text, SHAPE_EXAMPLE),
    "clean": lambda text: object_of(text, CLEAN_EXAMPLE),
}
"""A parser for each option that is a text in a request. Each raises InvalidRequest, with what is possible."""


def parsed(given: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the options among ``given`` that are set, parsed. Raises InvalidRequest."""
    return {name: PARSERS[name](text) for name, text in given.items() if name in PARSERS and text}


def _unescaped(text: str) -> str:
    if "\\" not in text or not text.isascii():
        return text
    try:
        return text.encode().decode("unicode_escape")
    except UnicodeDecodeError:
        return text


def _meant(wrong: str, known: Iterable[str]) -> str:
    found = get_close_matches(wrong.lower(), known, n=1, cutoff=0.6)
    return f" Did you mean {found[0]}?" if found else ""
