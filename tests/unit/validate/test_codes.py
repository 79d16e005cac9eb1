"""The table of codes in docs/validation.md names what the sources can say: all of it, and nothing else."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from pipeline.validate.sql_check_file import read_check

ROOT = Path(__file__).resolve().parents[3]
CODE = re.compile(r"[a-z]+(_[a-z]+)+")
CHECKS = sorted(ROOT.glob("sql/checks/*/*.sql"))


def documented() -> dict[str, str]:
    """Each code of the tables, with what it is: error, warning or failure."""
    rows = re.findall(
        r"^\| `([a-z_]+)` \| (\w+) \| \S.*\. \| \S.*\. \|$", (ROOT / "docs/validation.md").read_text(), re.MULTILINE
    )
    assert len(rows) == len(dict(rows)), "a code stands in the table twice"
    return dict(rows)


def said_in_python(tree: ast.AST) -> set[str]:
    """The codes that a module can give to a finding or a failure, wherever it spells them."""
    spelled = chain.from_iterable(_spelled(node) for node in ast.walk(tree))
    return {code for place in spelled for code in _codes(place)} | _in_sql(tree)


def _spelled(node: ast.AST) -> Iterator[ast.AST]:
    """Yield where a code is: ``code=``, ``code: str =``, add_finding(code), note(code), Rule(code), Failure(place, code)."""
    match node:
        case ast.Call(func=ast.Name("ApiError")):  # of the HTTP API: these speak of no file
            return
        case ast.Call(func=ast.Attribute(attr="add_finding" | "note") | ast.Name("Rule"), args=[first, *_]):
            yield first
        case ast.Call(func=ast.Name("Failure"), args=[_, second, *_]):
            yield second
        case ast.AnnAssign(target=ast.Name("code"), value=ast.AST() as value) | ast.Assign([ast.Name("code")], value):
            yield value
        case ast.arguments():
            yield from (
                value for name, value in zip(node.kwonlyargs, node.kw_defaults, strict=True) if name.arg == "code" and value
            )
        case ast.Tuple(elts=[first, second, *rest]) if rest and not all(isinstance(one, ast.Constant) for one in node.elts):
            yield from (one for one in (first, second) if isinstance(one, ast.Constant))
    if isinstance(node, ast.Call):
        yield from (keyword.value for keyword in node.keywords if keyword.arg == "code")


def _codes(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
            yield node.value


def _in_sql(tree: ast.AST) -> set[str]:
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {code for text in texts for code in re.findall(r"'([a-z_]+)' as code", text)}


def test_every_code_is_in_the_table_and_nothing_else() -> None:
    modules = (ast.parse(file.read_text(encoding="utf-8")) for file in ROOT.glob("pipeline/**/*.py"))
    said = set[str]().union(*map(said_in_python, modules))
    said |= {read_check(file).code for file in CHECKS}
    for suite in ROOT.glob("expectations/*.json"):
        said |= {one["meta"]["code"] for one in json.loads(suite.read_text())["expectations"] if "code" in one.get("meta", {})}
    assert said == set(documented())


@pytest.mark.parametrize("file", CHECKS, ids=lambda file: file.stem)
def test_the_table_knows_how_grave_a_check_is(file: Path) -> None:
    check = read_check(file)
    assert documented()[check.code] == check.severity


@pytest.mark.parametrize(
    "source",
    [
        "raise Unreadable('No.', code='new_code')",
        "raise Unreadable('No.', code='new_code' if less else other)",
        "staging.add_finding('new_code', 'No.', row=1)",
        "Rule('new_code', condition, 1, say)",
        "Failure(place, 'new_code', message)",
        "def f(message, *, code: str = 'new_code'): ...",
        "code = 'new_code' if it else other",
        "class Reading:\n    code: str = 'new_code'",
        "def f(): return 'new_code', f'{x} is wrong.', hint",
        "[(place, 'new_code', '', f'{x} is wrong.')]",
        "Check(code=said.get('code', 'new_code'))",
        "QUERY = '''select 'new_code' as code, 1 as row'''",
    ],
)
def test_a_code_is_seen_wherever_it_is_spelled(source: str) -> None:
    assert said_in_python(ast.parse(source)) == {"new_code"}


def test_a_code_of_the_http_api_is_another_thing() -> None:
    assert said_in_python(ast.parse("raise ApiError(0, code='not_bulkhead')")) == set()
