"""What the columns of files are called in several languages, from ``synonyms.toml`` and an installation's own words.

They make suggestions only: a strict import takes no column for another because of them. Names of ids and parents in known
software (foreign_names.py) are among them.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.errors import InvalidConfiguration
from pipeline.read.foreign_names import PAIRS

FILE = Path(__file__).with_name("synonyms.toml")
OWN_FILE = "synonyms.toml"
"""The file of an installation's own words, beside its expectations/ and sql/."""

KEY, PARENT, NAME = "id", "parent", "name"
"""The meanings that every dataset has a use for."""

EXACT, PROBABLE = 2, 1
"""How sure a word is: it is in the table, or it is made of words in it."""

_ENDINGS, _BEGINNINGS, _TITLE = "id_endings", "parent_beginnings", "title"


@dataclass(frozen=True)
class Words:
    """The words by their letters: each meaning has its words, each word the language that it is of."""

    meanings: Mapping[str, Mapping[str, str]]
    id_endings: Mapping[str, str] = field(default_factory=dict)
    parent_beginnings: Mapping[str, str] = field(default_factory=dict)

    def strength(self, name: str, meaning: str) -> int:
        """Return how sure it is that a column of this name has a meaning: EXACT, PROBABLE, or 0."""
        return self._found(name, meaning)[0]

    def language(self, name: str, meaning: str) -> str:
        """Return the language in which a name has a meaning; empty if it has not, or if it is a name of software."""
        return self._found(name, meaning)[1]

    def meaning_of(self, name: str) -> str:
        """Return the first meaning that has exactly this name, other than id and parent; empty if there is none."""
        letters = bare_letters(name)
        return next((one for one, words in self.meanings.items() if one not in (KEY, PARENT) and letters in words), "")

    def _found(self, name: str, meaning: str) -> tuple[int, str]:
        letters = bare_letters(name)
        words = self.meanings.get(meaning, {})
        if letters in words:
            return EXACT, words[letters]
        if meaning == PARENT:
            return self._made_of_two(letters)
        if meaning == KEY and self._begins_like_parent(letters) is None:
            ending = next((end for end in self.id_endings if letters.endswith(end) and _is_own_word(name, end)), None)
            return (PROBABLE, self.id_endings[ending]) if ending is not None else (0, "")
        return 0, ""

    def _begins_like_parent(self, letters: str) -> str | None:
        return next((one for one in self.parent_beginnings if letters.startswith(one) and letters != one), None)

    def _made_of_two(self, letters: str) -> tuple[int, str]:
        """Return how sure a name is one of a parent: a beginning such as "parent" and a word for an ID."""
        beginning = self._begins_like_parent(letters)
        if beginning is None:
            return 0, ""
        rest = letters.removeprefix(beginning)
        is_id = rest in self.meanings.get(KEY, {}) or rest in self.id_endings or any(map(rest.endswith, self.id_endings))
        return (PROBABLE, self.parent_beginnings[beginning]) if is_id else (0, "")


def bare_letters(name: str) -> str:
    """Return the letters and digits of a name, without regard to case and accents."""
    plain = "".join(one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))
    return re.sub(r"[\W_]", "", plain).casefold()


def _is_own_word(name: str, ending: str) -> bool:
    """Return whether the ending is a word of its own in a name (``Asset No``, ``assetNo``), or no Latin word: not ``piano``."""
    if not ending.isascii() or len(ending) > 4:
        return True
    plain = re.sub(r"[\W_]+$", "", name)
    before, last = plain[: -len(ending)], plain[-len(ending) :]
    return not before or not before[-1].isalpha() or (last[0].isupper() and before[-1].islower())


def words_of(root: Path) -> Words:
    """Return the words, with those of the installation whose definitions are in ``root``. Raises InvalidConfiguration."""
    own = root / OWN_FILE
    if not own.is_file():
        return _common()
    return _gathered([*_sections(FILE), *_sections(own)])


@cache
def _common() -> Words:
    return _gathered([*_sections(FILE)])


def _sections(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the title and the words of each section. Raises InvalidConfiguration for a file that is not of this form."""
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(f"{file.name} cannot be read: {error}.") from error
    for language, section in said.items():
        lists = {key: value for key, value in section.items() if key != _TITLE} if isinstance(section, dict) else None
        fits = lists is not None and all(
            isinstance(words, list) and all(isinstance(word, str) for word in words) for words in lists.values()
        )
        if lists is None or not fits:
            raise InvalidConfiguration(f'{file.name}: [{language}] has lists of words, such as id = ["Employee No"].')
        yield str(section.get(_TITLE, "")), lists


def _gathered(sections: list[tuple[str, Mapping[str, Any]]]) -> Words:
    meanings: dict[str, dict[str, str]] = {KEY: {}, PARENT: {}}
    affixes: dict[str, dict[str, str]] = {_ENDINGS: {}, _BEGINNINGS: {}}
    for title, lists in sections:
        for key, words in lists.items():
            into = affixes[key] if key in affixes else meanings.setdefault(key, {})
            for word in words:
                if letters := bare_letters(word):
                    into.setdefault(letters, title)
    for _, ids, parents in PAIRS:
        for meaning, names in ((KEY, ids), (PARENT, parents)):
            for name in names:
                meanings[meaning].setdefault(bare_letters(name), "")
    return Words(meanings, affixes[_ENDINGS], affixes[_BEGINNINGS])
