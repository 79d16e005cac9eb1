"""Guess in which encoding a text is that is not UTF-8: only to suggest it, never to read it.

Each candidate decodes a sample strictly. Its likelihood is how plausible the result is: common characters of one script,
letters beside letters, no signs in words. charset-normalizer's measure of disorder counts too.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class LikelyEncoding:
    """An encoding: as Python and the option name it, as people do, and its share of the likelihood."""

    name: str
    title: str
    percent: int


_CANDIDATES: tuple[tuple[str, str, str, float], ...] = (  # name, title, script, how common
    ("shift_jis", "Shift-JIS", "japanese", 1.0),
    ("euc_jp", "EUC-JP", "japanese", 0.7),
    ("gb18030", "GB18030", "chinese", 1.1),
    ("big5", "Big5", "chinese", 0.9),
    ("euc_kr", "EUC-KR", "korean", 1.6),
    ("windows-1252", "Windows-1252", "latin", 1.0),
    ("windows-1250", "Windows-1250", "latin", 0.8),
    ("windows-1251", "Windows-1251", "cyrillic", 1.0),
    ("koi8_r", "KOI8-R", "cyrillic", 0.8),
    ("cp866", "IBM 866", "cyrillic", 0.6),
    ("windows-1253", "Windows-1253", "greek", 0.9),
    ("windows-1254", "Windows-1254", "latin", 0.7),
    ("windows-1255", "Windows-1255", "hebrew", 0.9),
    ("windows-1256", "Windows-1256", "arabic", 0.9),
    ("windows-1257", "Windows-1257", "latin", 0.6),
    ("iso8859-2", "Latin-2", "latin", 0.6),
    ("iso8859-15", "Latin-9", "latin", 0.5),
    ("mac_roman", "Mac Roman", "latin", 0.4),
    ("cp850", "IBM 850", "latin", 0.4),
    ("cp874", "Windows-874", "thai", 0.6),
)
_NORMALIZERS = {
    "shift_jis": "cp932",
    "euc_jp": "euc_jis_2004",
    "euc_kr": "cp949",
    "iso8859-2": "iso8859_2",
    "iso8859-15": "iso8859_15",
}
_LATIN = {  # letters beyond ASCII that languages use, per encoding: those shared with Windows-1252 are the likeliest
    "latin": "äöüÄÖÜßéèêëàâáçñóòôíìîïúùûãõåæøÅÆØÉÈÀÁÇÑÓÍÚÂÊÔœŒ",
    "windows-1250": "ąćęłńśźżĄĆĘŁŃŚŹŻčďěňřšťůžČĎĚŇŘŠŤŮŽőűŐŰđĐăĂţşŢŞľĽ",
    "windows-1254": "ğĞıİşŞ",
    "windows-1257": "āčēģīķļņšūžĀČĒĢĪĶĻŅŠŪŽėįųĖĮŲąęĄĘ",
}
_LETTERS_OF = {"iso8859-2": "windows-1250"}
_FREQUENT = {
    "cyrillic": "оеаинтсрвлкмдпуяыг",
    "greek": "αοιετνσηρπκμλυςάέίό",
    "hebrew": "יוהלארתבשמםנ",
    "arabic": "اليمنوترةبدسفعه",
}
_HIGH = re.compile("[^\x00-\x7f]+")


def likely_encodings(sample: bytes, most: int = 3) -> list[LikelyEncoding]:
    """Return the likeliest encodings of a sample that is not UTF-8, the likeliest first."""
    disorder = _disorder(sample)
    scores, texts = dict[str, float](), set[str]()
    for name, _, script, common in _CANDIDATES:  # the commoner before another that reads the sample alike
        text = _decoded(sample, name)
        if text is not None and text not in texts:
            texts.add(text)
            chaos = disorder.get(_NORMALIZERS.get(name, name.replace("windows-", "cp")), 0.5)
            scores[name] = _plausibility(text, script, name) ** 4 * common * (1 - min(chaos, 0.9) / 3)
    total = sum(scores.values())
    if not total or max(scores.values()) < 0.1:
        return []
    shares = sorted(scores.items(), key=lambda item: -item[1])
    titles = {name: title for name, title, _, _ in _CANDIDATES}
    found = [LikelyEncoding(name, titles[name], round(100 * score / total)) for name, score in shares[:most]]
    return [one for one in found if one.percent >= 10]


def _disorder(sample: bytes) -> dict[str, float]:
    """Return charset-normalizer's measure of disorder, for the encodings that it does not rule out."""
    from charset_normalizer import from_bytes  # slow to import, and needed for a refusal only

    return {match.encoding: match.chaos for match in from_bytes(sample[:8192], steps=3, chunk_size=512)}


def _decoded(sample: bytes, name: str) -> str | None:
    """Return the sample's text in an encoding, or None. A character may be cut at the beginning and at the end."""
    for begin in range(3):
        for end in range(3):
            try:
                text = sample[begin : len(sample) - end].decode(name)
            except UnicodeDecodeError:
                continue
            return text
    return None


def _plausibility(text: str, script: str, name: str) -> float:
    """Return how plausible a text is in a script, from 0 to 1, by its characters beyond ASCII."""
    high = [character for character in text if character > "\x7f"]
    if not high:
        return 0.0
    if any(unicodedata.category(character) in ("Cc", "Co", "Cn") for character in high):
        return 0.0
    if script == "latin":
        return _latin(text, high, name)
    points = sum(_weight(character, script) for character in high) / len(high)
    return points * _together(text, script)


def _latin(text: str, high: list[str], name: str) -> float:
    known = set(_LATIN["latin"]) | set(_LATIN.get(_LETTERS_OF.get(name, name), ""))
    usual = set("„“”‚‘’–—…€«»°§·½²³")
    letters = sum(1.0 if one in known else 0.95 if one in usual else 0.1 for one in high) / len(high)
    alone = sum(len(run) <= 2 for run in _HIGH.findall(text)) / max(1, len(_HIGH.findall(text)))
    capitals = sum(one.islower() and after.isupper() and after > "\x7f" for one, after in pairwise(text))
    mixed = (capitals + len(re.findall(r"[^\W\d_][²³½°§«»][^\W\d_]", text))) / len(high)
    return letters * (0.15 + 0.85 * alone) * max(0.1, 1 - mixed)


def _weight(character: str, script: str) -> float:
    """Return how common a character is in texts of a script."""
    point = ord(character)
    if script == "japanese":
        return 1.0 if 0x3040 <= point <= 0x30FF or 0x3000 <= point <= 0x3002 else 0.95 * _is_level_one(character, "shift_jis")
    if script == "chinese":
        return (
            1.0
            if point in (0x3001, 0x3002, 0xFF0C)
            else 0.97 * max(_is_level_one(character, "gb2312"), _is_level_one(character, "big5"))
        )
    ranges = {
        "korean": (0xAC00, 0xD7A3), "cyrillic": (0x0410, 0x044F), "greek": (0x0386, 0x03CE), "hebrew": (0x05D0, 0x05EA),
        "arabic": (0x0621, 0x0652), "thai": (0x0E01, 0x0E4E),
    }  # fmt: skip
    low, top = ranges[script]
    if low <= point <= top:
        return 1.0 if character.lower() in _FREQUENT.get(script, character.lower()) else 0.75
    return 0.6 if character in "ёЁієїґІЄЇҐў№«»—–’“”،؟" else 0.0


def _is_level_one(character: str, encoding: str) -> float:
    """Return 1 for a character that its standard counts among the common ones, which come first; less for others."""
    try:
        code = character.encode(encoding)
    except UnicodeEncodeError:
        return 0.15
    if len(code) != 2:
        return 0.1
    first, last = {"shift_jis": (0x88, 0x97), "gb2312": (0xB0, 0xD7), "big5": (0xA4, 0xC6)}[encoding]
    return 1.0 if first <= code[0] <= last else 0.3


def _together(text: str, script: str) -> float:
    """Return how well the characters form words of one script: in runs, capital letters first."""
    runs = _HIGH.findall(text)
    if script in ("cyrillic", "greek"):
        words = [word for run in runs for word in re.findall(r"[^\W\d_]+", run)]
        odd = sum(bool(re.search(r"[^\W\d_]", word[1:])) and not (word[1:].islower() or word.isupper()) for word in words)
        beside = len(re.findall(r"[A-Za-z][^\x00-\x7f]|[^\x00-\x7f][A-Za-z]", text))
        return max(0.1, 1 - 0.9 * odd / max(1, len(words))) * max(0.2, 1 - beside / max(1, len(runs)))
    alone = sum(len(run) == 1 for run in runs) / len(runs)
    mixed = len(re.findall(r"[a-z][^\x00-\x7f]|[^\x00-\x7f][a-z]", text)) / len(runs)
    return max(0.1, 1 - 0.5 * alone) * max(0.15, 1 - 0.6 * mixed)
