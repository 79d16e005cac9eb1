"""The blocks of commands in the documents, each with what a comment before it says of how a test runs it.

``<!-- test: skip because REASON -->`` and ``<!-- test: exits CODE -->`` are about the next block. The code is that of its last
command; several codes are those of each.
``<!-- test: skip all because REASON -->`` is about a whole page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELLS = {"sh", "bash", "console"}
ALL = re.compile(r"^<!-- test: skip all because (?P<reason>.+) -->$", re.MULTILINE)
MARK = re.compile(r"<!-- test: (?:skip because (?P<reason>.+)|exits (?P<codes>[\d ]+)) -->")


@dataclass(frozen=True)
class Block:
    """Commands that stand together. ``line`` is the number of the first."""

    page: str
    line: int
    text: str
    skipped_because: str = ""
    exits: tuple[int, ...] = ()

    @property
    def commands(self) -> list[str]:
        """Return them one by one; lines that continue one, or are in an open quote, loop or here-document, belong to it."""
        found: list[str] = []
        for line in self.text.splitlines():
            if found and (found[-1].endswith("\\") or line.startswith((" ", "done", "EOF")) or _is_open(found[-1])):
                found[-1] += "\n" + line
            elif line.strip() and not line.startswith("#"):
                found.append(line)
        return found

    @property
    def codes(self) -> list[int]:
        """Return the exit code that each command is to have."""
        if len(self.exits) > 1:
            return list(self.exits)
        return [0] * (len(self.commands) - 1) + list(self.exits or (0,))


def _is_open(text: str) -> bool:
    return re.sub(r"\\.|\"[^\"]*\"", "", text).count("'") % 2 == 1


def pages() -> list[Path]:
    """Return the documents with commands; CHANGELOG.md tells of its time."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")]
    return [*found, *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("deploy/**/*.md"))]


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the indented blocks of a page, and the fenced ones in a shell's language."""
    name, mark = str(page.relative_to(ROOT)), None
    whole = page.read_text(encoding="utf-8")
    lines, skips_all = whole.splitlines(), ALL.search(whole)
    number, previous = 0, ""
    while number < len(lines):
        line = lines[number]
        start = number
        if fence := re.fullmatch(r"\s*```(\w*)", line):
            end = next(n for n in range(number + 1, len(lines)) if lines[n].strip() == "```")
            body, number = lines[number + 1 : end], end + 1
            is_block = fence[1] in SHELLS
        elif line.startswith("    ") and not previous:
            while number < len(lines) and (lines[number].startswith("    ") or not lines[number]):
                number += 1
            body, is_block = lines[start:number], True
        else:
            mark = MARK.fullmatch(line) or (mark if not line else None)
            previous, number = line, number + 1
            continue
        if is_block:
            reason = str(skips_all["reason"]) if skips_all else (mark and mark["reason"]) or ""
            codes = tuple(int(code) for code in ((mark and mark["codes"]) or "").split())
            text = "\n".join(one.removeprefix("    ").removeprefix("$ ") for one in body).strip("\n")
            yield Block(name, start + 1, text, reason, codes)
        mark, previous = None, ""


def all_blocks() -> list[Block]:
    """Return the blocks of all documents, in order."""
    return [block for page in pages() for block in blocks_of(page)]
