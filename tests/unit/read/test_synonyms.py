"""The table of words: each language has its section, and words mean what they say."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pipeline.errors import InvalidConfiguration
from pipeline.read.synonyms import EXACT, FILE, KEY, PARENT, PROBABLE, words_of

WORDS = words_of(Path("nowhere"))


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it", "pt", "nl", "pl", "zh", "ja"])
def test_each_language_has_words_for_ids_parents_and_names(language: str) -> None:
    section = tomllib.loads(FILE.read_text(encoding="utf-8"))[language]
    assert all(len(section[key]) > 5 for key in ("id", "parent", "name"))
    title = section["title"]
    parent = next(word for word in section["parent"] if WORDS.language(word, PARENT) == title)
    assert WORDS.strength(parent.upper(), PARENT) == EXACT


@pytest.mark.parametrize(
    ("name", "key", "parent"),
    [
        ("Employee No", EXACT, 0),
        ("emp_id", EXACT, 0),
        ("SKU", EXACT, 0),
        ("Account ID", EXACT, 0),
        ("taxonID", EXACT, 0),
        ("NUMERO D’EMPLOYE", EXACT, 0),
        ("Kürzel", EXACT, 0),
        ("Widget No", PROBABLE, 0),
        ("widgetId", PROBABLE, 0),
        ("piano", 0, 0),
        ("Manager", 0, EXACT),
        ("reports to", 0, EXACT),
        ("parent SKU", 0, EXACT),
        ("Parent Account ID", 0, EXACT),
        ("Vorgesetzter", 0, EXACT),
        ("responsable", 0, EXACT),
        ("Parent Widget No", 0, PROBABLE),
        ("Price", 0, 0),
    ],
)
def test_what_a_name_means(name: str, key: int, parent: int) -> None:
    assert (WORDS.strength(name, KEY), WORDS.strength(name, PARENT)) == (key, parent)


@pytest.mark.parametrize("text", ["[ours", '[ours]\nid = "SKU"\n', "id = 1\n"])
def test_a_file_of_words_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "synonyms.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidConfiguration, match=r"synonyms\.toml"):
        words_of(tmp_path)
