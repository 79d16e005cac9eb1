r"""Which invisible characters are a mistake in an ID, and which belong to the spelling.

A zero-width non-joiner (U+200C) between letters, and a zero-width joiner (U+200D) after one, belong to the spelling in Arabic,
Persian and the scripts of India and their relatives; the joiner also joins several emoji to one (Unicode Standard, sections
9.2, 12.1 and 23.2; UTS 51). Everywhere else they are a mistake.
"""

from __future__ import annotations

import re
import unicodedata

from pipeline.sqlfiles import literal

_INVISIBLE = re.compile("[\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")

_SCRIPTS = """
    Arabic Syriac Mongolian Nko Devanagari Bengali Gurmukhi Gujarati Oriya Tamil Telugu Kannada Malayalam Sinhala Khmer Myanmar
    Tibetan Thai Lao
"""
_LETTER = "".join(rf"\p{{{script}}}" for script in _SCRIPTS.split())
_EMOJI = r"\x{a9}\x{ae}\x{2190}-\x{2bff}\x{1f000}-\x{1faff}"
_JOINERS = (
    (rf"([{_LETTER}\p{{M}}])\x{{200c}}([{_LETTER}])", r"\1\2"),
    (rf"([{_LETTER}\p{{M}}])\x{{200d}}", r"\1"),
    (rf"([{_EMOJI}\x{{fe0f}}\x{{20e3}}])\x{{200d}}([{_EMOJI}])", r"\1\2"),
)


def without_joiners(text: str) -> str:
    """Return the SQL of ``text`` (SQL too) without the joiners that belong to its spelling."""
    for pattern, kept in _JOINERS:
        for _ in range(1 if kept == r"\1" else 2):  # twice, since matches do not overlap
            text = f"regexp_replace({text}, {literal(pattern)}, '{kept}', 'g')"
    return text


def first_invisible(text: str) -> str:
    """Return the first invisible character that is not a joiner between letters; of joiners only, the first; or none."""
    found = _INVISIBLE.findall(text)
    return next((one for one in found if one not in "\u200c\u200d"), found[0] if found else "")


def seen_as(text: str) -> str:
    """Return a text as it looks: without invisible characters, with ordinary spaces, none at its ends."""
    return _INVISIBLE.sub(lambda found: " " if found[0].isspace() else "", text).strip()


def escaped(text: str) -> str:
    r"""Return a text with its invisible characters as ``\u00a0``, so that they can be seen."""
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def code_point(character: str) -> str:
    """Return ``U+00A0 (no-break space)``; only the number for a character without a name."""
    name = unicodedata.name(character, "").lower()
    return f"U+{ord(character):04X}{f' ({name})' if name else ''}"
