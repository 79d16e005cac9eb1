"""Compare an ID with the one that it was probably meant to be: by what one sees, and with words for what one does not see.

The table of look-alike letters is our own: Cyrillic and Greek letters that look like Latin ones in most fonts, the full-width
forms of ASCII, and the kinds of dashes and quotes.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from os.path import commonprefix

from pipeline.display import visible
from pipeline.sqlfiles import literal

_CYRILLIC = ("АВЕКМНОРСТУХІЈЅԌҮаеорсухіјѕһԁԛԝү", "ABEKMHOPCTYXIJSGYaeopcyxijshdqwy")
_GREEK = ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορτυχϲ", "ABEZHIKMNOPTYXaikvoptuxc")
_FULL_WIDTH = ("".join(chr(0xFF01 + at) for at in range(94)), "".join(chr(0x21 + at) for at in range(94)))
_MARKS = ("‐‑‒–—―−‘’‚“”„", "-------'''\"\"\"")
LOOK_ALIKES = {
    like: plain for likes, plains in (_CYRILLIC, _GREEK, _FULL_WIDTH, _MARKS) for like, plain in zip(likes, plains, strict=True)
}
"""Characters, and the ASCII characters that they look like."""

_UNSEEN = r"[\x{ad}\x{200b}-\x{200f}\x{2060}\x{feff}]"
_POINTS_SHOWN = 3
_LENGTH_SHOWN = 60


def plain_spelling(text: str) -> str:
    """Return the SQL of a text (SQL too) that is the same for all that look alike, but for case, zeros before it and ".0"."""
    likes, plains = literal("".join(LOOK_ALIKES)), literal("".join(LOOK_ALIKES.values()))
    seen = f"regexp_replace(translate(nfc_normalize({text}), {likes}, {plains}), '{_UNSEEN}', '', 'g')"
    seen = rf"lower(trim(regexp_replace({seen}, '[\s\p{{Z}}]+', ' ', 'g')))"
    either = f"case when regexp_matches({text}, '[^!-~]') then {seen} else lower({text}) end"
    whole = f"case when ends_with({text}, '0') then regexp_replace({either}, '^([0-9]+)[.]0+$', '\\1') else {either} end"
    return f"ltrim({whole}, '0')"


def describe_difference(parent: str, meant: str, columns: Sequence[str] = ()) -> str:
    """Return a sentence on what is different in a parent and the ID that was meant, if one might not see it; or nothing.

    ``columns``: the names of the key and the parent, for the rule that makes the two one.
    """
    if re.fullmatch(r"[0-9]+\.0+", parent) and "." not in meant:
        return "The parents were written as decimals: write the column as whole numbers, or as text."
    if parent != meant and parent.lower() == meant.lower():
        rule = {"case": {"value": "upper" if meant.isupper() else "lower", "columns": list(columns)}}
        return f"They differ in case only; one rule makes them one: clean={json.dumps(rule)}." if columns else ""
    if meant.lstrip("0") == parent.lstrip("0") and parent.isdigit():
        return f"Zeros before {parent.lstrip('0')} make them different: a spreadsheet removes them from numbers."
    if meant.isascii() and parent.isascii() and " " not in (parent + meant).strip() and parent == parent.strip():
        return ""
    ours, theirs = _differing(parent, meant)
    if not _is_unseen(parent, meant):
        return ""
    names = f"the parent has {_named(ours)}, the ID has {_named(theirs)}."
    return f"They look alike, but {names}{_rule(parent, meant, ours + theirs)}"


def _is_unseen(parent: str, meant: str) -> bool:
    """Return whether the two look alike. A difference in case, zeros or accents can be seen."""
    return _looks(parent) == _looks(meant)


def _looks(text: str) -> str:
    plain = "".join(LOOK_ALIKES.get(one, one) for one in unicodedata.normalize("NFC", text))
    plain = "".join(
        " " if one.isspace() else one for one in plain if unicodedata.category(one) not in ("Cf", "Cc") or one.isspace()
    )
    return " ".join(plain.split())


def _differing(one: str, other: str) -> tuple[str, str]:
    """Return what is left of two texts without what they begin and end with in common."""
    start = len(commonprefix([one, other]))  # noqa: RUF071 - characters are meant
    one, other = one[start:], other[start:]
    end = len(commonprefix([one[::-1], other[::-1]]))  # noqa: RUF071 - characters are meant
    return one[: len(one) - end], other[: len(other) - end]


def _named(characters: str) -> str:
    """Return the code points of characters with their names, at most a few."""
    if not characters:
        return "nothing there"
    more = ", ..." if len(characters) > _POINTS_SHOWN else ""
    return ", ".join(code_point(one) for one in characters[:_POINTS_SHOWN]) + more


def code_point(character: str) -> str:
    """Return ``U+0410 CYRILLIC CAPITAL LETTER A``."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def _rule(parent: str, meant: str, differing: str) -> str:
    """Return what to declare so that the two become the same; nothing if no rule does that."""
    if unicodedata.normalize("NFC", parent) == unicodedata.normalize("NFC", meant):
        return ' The rule clean={"nfc": true} makes them one.'
    if differing and all(one.isspace() for one in differing):
        return ' The rules clean={"trim": true, "collapse_spaces": true} make them one.'
    return ""


def shown(text: str) -> str:
    """Return the beginning of a value for a hint, in quotes if it has something invisible."""
    clipped = text[:_LENGTH_SHOWN]
    spelled = visible(clipped) + "…" * (len(text) > _LENGTH_SHOWN)
    return spelled if clipped == clipped.strip(" ") and visible(clipped) == clipped else f'"{spelled}"'
