"""The map of imports, held by a test: a module imports only from lines below its own. The map is design.md, section 2."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAP = [  # entry points first; the modules of one line are siblings and import none of each other
    "web local cli",
    "worker client",
    "activities postman workflow",
    "validation warmed reconcile caretaker clerk takeover",
    "workbook groups results direct preview incoming",
    "read sandbox attempt docs expect cycles check quarantine batch load report notify"
    " store warehouse ledger keys receivers query orchestrator wire",
    "stage tree tables foreign granted template addresses limits marts",
    "orphans bounds",
    "workspace",
    "datasets",
    "meta",
    "settings sqlfiles logs terminal unfinished oldfiles pulse database_errors sessions jsonvalues",
    "errors display",
    "contracts",
]
LEVEL = {name: level for level, line in enumerate(reversed(MAP)) for name in line.split()}
ALSO = {
    "cli": {"local"},
    "check": {"expect", "cycles"},
    "expect": {"docs"},
}  # siblings that one may import all the same
NOTHING_BUT: dict[str, set[str]] = {  # the standard library, and these
    "contracts": set(),
    "workflow": {"temporalio", "pipeline.contracts.messages"},
    "lambda": {"temporalio", "pipeline.contracts.messages"},
}
ONLY_IN = {  # what these modules are for is nobody else's business
    "boto3": {"store"},
    "botocore": {"store"},
    "great_expectations": {"expect", "docs"},
    "sqlalchemy.create_engine": {"warehouse"},
    "os.environ": {"settings", "lambda"},
    "os.getenv": {"settings", "lambda"},
    "temporalio": {"workflow", "activities", "postman", "attempt", "worker", "orchestrator", "local", "lambda"},
}
FILES = sorted([*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("web/**/*.py"), ROOT / "lambda" / "handler.py"])


def module_of(file: Path) -> str:
    """``read`` for pipeline/read.py and for all of pipeline/read/; ``web`` and ``lambda`` for all of theirs."""
    house, *rest = file.relative_to(ROOT).with_suffix("").parts
    return rest[0] if house == "pipeline" else house


def names_used(tree: ast.AST) -> Iterator[str]:
    """The dotted names of all that a file imports, wherever it does, and of the attributes it reads off a name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports here are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def imports(tree: ast.AST) -> set[str]:
    """The names of ``names_used`` that come of an import statement."""
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return set(names_used(ast.Module(body=statements, type_ignores=[])))


def wrongs(module: str, tree: ast.AST) -> Iterator[str]:
    """What a module does that the map does not allow."""
    for name in sorted(imports(tree)):
        root, _, rest = name.partition(".")
        within = rest.partition(".")[0] if root == "pipeline" else root if root in ("web", "lambda") else ""
        if within and within != module and module in LEVEL:
            if within not in LEVEL:
                yield f"imports {name}, which is not on the map"
            elif LEVEL[within] >= LEVEL[module] and within not in ALSO.get(module, set()):
                yield f"imports {name}, which is not below it"
        allowed = NOTHING_BUT.get(module)
        if allowed is not None and root not in {*sys.stdlib_module_names, *allowed}:
            within_allowed = any(f"{name}.".startswith(f"{prefix}.") for prefix in allowed)
            if not within_allowed:
                yield f"imports {name}; nothing but {sorted(allowed) or 'the standard library'} is for it"
    for name in sorted(set(names_used(tree))):
        for kept, homes in ONLY_IN.items():
            if f"{name}.".startswith(f"{kept}.") and module not in homes:
                yield f"uses {name}, which is for {sorted(homes)} only"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_one_way(file: Path) -> None:
    module = module_of(file)
    assert module in LEVEL or module in ("lambda", "__init__"), f"{module} is not on the map: where does it belong?"
    assert [*wrongs(module, ast.parse(file.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("load", "from pipeline.read import staging", "not below it"),
        ("load", "from pipeline import batch", "not below it"),
        ("errors", "def f():\n    import pipeline.settings", "not below it"),
        ("web", "from pipeline import attic", "not on the map"),
        ("workflow", "from pipeline.errors import NotUsable", "nothing but"),
        ("lambda", "import boto3", "nothing but"),
        ("contracts", "import pydantic", "nothing but"),
        ("web", "import boto3", "for ['store'] only"),
        ("ledger", "from sqlalchemy import create_engine", "for ['warehouse'] only"),
        ("ledger", "import sqlalchemy as sa\nsqlalchemy.create_engine('')", "for ['warehouse'] only"),
        ("notify", "import os\nos.environ['HOME']", "only"),
        ("notify", "from os import getenv", "only"),
    ],
)
def test_the_map_sees(module: str, source: str, complaint: str) -> None:
    assert any(complaint in wrong for wrong in wrongs(module, ast.parse(source)))
