"""Words that do not occur in documentation, messages, docstrings and comments: plain English says the same without them.

CONTRIBUTING.md has the rule. The changelog and the decisions up to 23 are records of their time and stay as they were written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["nobody", "somebody", "whoever", "whom", "stands in", "hangs below", "is told", r"foresee\w*", "foresaw"]
PATTERN = re.compile(rf"(?<![\w-])(?:{'|'.join(word.replace(' ', chr(92) + 's+') for word in WORDS)})(?![\w-])", re.IGNORECASE)
MARKERS = re.compile(r"^[ \t]*(?:#+:?|--|//|\*|>)[ \t]?", re.MULTILINE)
"""What a comment's line begins with, so that two words are found across a line's end."""

ACCOUNT = re.compile(r'getpwnam\("\w+"\)')
"""The name of a Unix account is no word of ours."""

LAST_OLD_DECISION = 23


def is_old(document: Path) -> bool:
    return document.name == "CHANGELOG.md" or (
        document.parent.name == "decisions" and int(document.name.partition("-")[0]) <= LAST_OLD_DECISION
    )


def files() -> Iterator[Path]:
    """Yield the files that people read: documents, code, templates, scripts, styles, SQL and configuration."""
    for folder in ("docs", "benchmarks", "deploy"):
        yield from ROOT.glob(f"{folder}/**/*.md")
    yield from ROOT.glob("deploy/**/*.yaml")
    yield from ROOT.glob("*.md")
    for folder in ("pipeline", "web", "lambda"):
        yield from (
            path for path in ROOT.glob(f"{folder}/**/*") if path.suffix in {".py", ".html", ".j2", ".js", ".css", ".txt"}
        )
    yield from (path for path in ROOT.glob("sql/**/*") if path.suffix in {".sql", ".py"})
    yield from ROOT.glob("expectations/*.json")
    yield from (path for path in ROOT.glob("deploy/**/*") if path.suffix in {".md", ".yaml", ".sh", ".tpl", ".txt"})
    yield from (ROOT / name for name in ("Makefile", "Dockerfile", "docker-compose.yml", ".env.example", "pyproject.toml"))


def found(text: str) -> list[str]:
    """Return the words in a text that do not belong there, each with the number of its line."""
    plain = ACCOUNT.sub("", MARKERS.sub("", text))
    return [f"line {plain.count(chr(10), 0, match.start()) + 1}: {match.group()}" for match in PATTERN.finditer(plain)]


@pytest.mark.parametrize(
    "file", sorted(path for path in files() if not is_old(path)), ids=lambda path: str(path.relative_to(ROOT))
)
def test_words_are_plain(file: Path) -> None:
    assert found(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Nobody waits.", ["line 1: Nobody"]),
        ("# a record that hangs\n# below another\n", ["line 1: hangs\nbelow"]),
        ("a\n-- what was not foreseen\n", ["line 2: foreseen"]),
        ("The user is\n  told.", ["line 1: is\n  told"]),
        ("to whom_it_may, anybody", []),
        ('pwd.getpwnam("nobody")  # nobody', ["line 1: nobody"]),
    ],
)
def test_the_test_sees_words(text: str, words: list[str]) -> None:
    assert found(text) == words
