"""The commands in the documents, without running them: each exists, and each block is run by a test or says why it is not."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from pipeline.cli.commands import app
from tests.support.doc_commands import ROOT, Block, all_blocks, blocks_of

BLOCKS = all_blocks()
SKIPPED_MOST = {"README.md": 4, "docs/backup.md": 2, "docs/fixing.md": 2, "docs/release.md": 5, "docs/tutorial.md": 1}
"""So many blocks of a page may be skipped; of another page, one. Pages that skip all are named here."""

NOT_RUN = {
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "deploy/aws/README.md",
    "deploy/compose/README.md",
    "deploy/kubernetes/README.md",
}


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    skipped = Counter(block.page for block in BLOCKS if block.skipped_because)
    assert {page for page, count in skipped.items() if count > SKIPPED_MOST.get(page, 1)} <= NOT_RUN
    for block in BLOCKS:
        named = re.findall(r"tests/[\w/.]*\w", block.skipped_because)
        assert [name for name in named if not (ROOT / name).exists()] == [], block
    assert sum(not block.skipped_because for block in BLOCKS) >= 20


@pytest.mark.parametrize("page", sorted(NOT_RUN))
def test_a_page_that_is_not_run_has_commands(page: str) -> None:
    found = [block for block in BLOCKS if block.page == page]
    assert found and all(block.skipped_because for block in found), "if it has none, or some are run, take it off the list"


def calls(program: str) -> list[tuple[Block, list[str]]]:
    """Return the calls of a program in all blocks, also in those that are not run: its arguments."""
    found = []
    for block in BLOCKS:
        for command in block.commands:
            for call in re.findall(rf"(?:^|[\s/]){program} ((?:'[^']*'|\"[^\"]*\"|[^|;&>\n'\"])*)", command):
                words = shlex.split(re.sub(r"<[a-z ]+>", "ID", call).rstrip("\\"), comments=True)
                found.append((block, words))
    return found


def test_every_call_of_the_command_line_is_one_that_it_takes() -> None:
    """The verb, and each option of it: the values are checked where a command is run."""
    found = [
        (block, words) for block, words in calls("bulkhead") if words and not words[0].startswith((":", "bulkhead", "--name"))
    ]
    assert len(found) > 40
    for block, words in found:
        command: Any = get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
        if getattr(command, "commands", None) is None or not words:
            assert {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= options, (block, words)
        else:
            assert words[0] in options | {"bulkhead", "ID"} or command is not get_command(app), (block, words)


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for block, words in calls("make"):
        assert {word for word in words if re.fullmatch(r"[a-z]+", word)} <= targets, (block, words)


def test_blocks_are_found_as_they_are_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.doc_commands.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n    one 'a\n    b' \\\n      c\n    # only a comment\n    two\n\n"
        "<!-- test: skip because of a reason -->\n\n    three\n\n"
        "<!-- test: exits 3 -->\n```sh\n$ four\n```\n\n```sql\nfive\n```\n\n- item\n    continued\n",
        encoding="utf-8",
    )
    first, second, third = blocks_of(page)
    assert first.commands == ["one 'a\nb' \\\n  c", "two"] and first.line == 3
    assert (second.text, second.skipped_because, second.codes) == ("three", "of a reason", [0])
    assert (third.text, third.skipped_because, third.codes) == ("four", "", [3])
