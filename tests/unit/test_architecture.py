"""The map of imports, held by a test: a package imports only from lines below its own, and packages form no cycle.

The map is in docs/architecture.md, too; docs/decisions/0024 says where it differs from its first draft.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Set
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAP = [  # entry points first; the packages of one line are siblings and import none of each other
    "cli",
    "web local lambda",
    "orchestration client",
    "sandbox retention monitoring backup",
    "receive expired_audits expired_drafts expired_dumps expired_folders expired_uploads database_logins dbt_package",
    "read validate prepare report load notify lineage",
    "warehouse staging ledger",
    "adapters datasets setting_texts insecure_settings",
    "secret_checks process_environment option_texts",
    "settings sqlfiles display logs telemetry exact_json expired_files spreadsheet_cells processes",
    "temporal_access database_settings temporal_settings tracing_settings sso_settings",
    "setting_sources",
    "setting_types sso_rules",
    "errors contracts units root",
]
WEB_MAP = ["api pages", "services", "http", "app_context", "models"]  # the same within web/, whose app and server import all
LEVEL = {name: level for level, line in enumerate(reversed(MAP)) for name in line.split()}
WEB_LEVEL = {name: level for level, line in enumerate(reversed(WEB_MAP)) for name in line.split()}
NOTHING_BUT: dict[str, set[str]] = {  # the standard library, and these
    "contracts": set(),
    "lambda": {"temporalio", "pipeline.contracts", "pipeline.temporal_access"},
    "temporal_access": {"temporalio", "cryptography", "pipeline.errors"},
}
WORKFLOWS_NEED_BUT = {"temporalio", "pipeline.contracts", "pipeline.orchestration"}
"""Workflow code is replayed: it imports no module that does I/O."""

ONLY_IN = {  # the libraries that reach the outside have one home each
    "boto3": {"adapters"},
    "botocore": {"adapters"},
    "great_expectations": {"validate"},
    "openlineage": {"lineage"},
    "sqlalchemy.create_engine": {"adapters"},
    "os.environ": {"settings", "process_environment", "lambda"},
    "os.getenv": {"settings", "process_environment", "lambda"},
    "temporalio": {"orchestration", "adapters", "local", "lambda", "temporal_access"},
    "prometheus_client": {"telemetry", "web"},
    "opentelemetry": {"telemetry", "adapters", "web"},
}
FILES = sorted([*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("web/**/*.py"), ROOT / "lambda" / "handler.py"])
ENTRY = ROOT / "lambda" / "entry.py"
IN_AWS_RUNTIME = ("boto3", "botocore")
"""What lambda/entry.py imports beside what the rest of lambda/ does: AWS's runtime has it, and the zip does not."""


def package_of(file: Path) -> str:
    """Return ``read`` for all of pipeline/read/, ``display`` for pipeline/display.py, ``web`` for all of web/."""
    top, *rest = file.relative_to(ROOT).with_suffix("").parts
    return rest[0] if top == "pipeline" else top


def package_named(name: str) -> str | None:
    """Return the package of ours in which an imported name lies, or None if it is a library's."""
    top, _, rest = name.partition(".")
    return rest.partition(".")[0] or None if top == "pipeline" else top if top in ("web", "lambda") else None


def names_used(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names of all that a file imports, wherever it does, and of the attributes it reads off a name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports here are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def imports(tree: ast.AST) -> set[str]:
    """Return the names of ``names_used`` that come of an import statement."""
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return set(names_used(ast.Module(body=statements, type_ignores=[])))


def is_within(name: str, prefixes: Set[str]) -> bool:
    """Return whether a dotted name is one of these, or lies in one of them."""
    return any(f"{name}.".startswith(f"{prefix}.") for prefix in prefixes)


def faults(package: str, tree: ast.AST, *, is_workflow: bool = False) -> Iterator[str]:
    """Yield what a file of a package does that the map does not allow."""
    allowed = WORKFLOWS_NEED_BUT if is_workflow else NOTHING_BUT.get(package)
    for name in sorted(imports(tree)):
        within = package_named(name)
        if within and within != package and package in LEVEL:
            if within not in LEVEL:
                yield f"imports {name}, which is not on the map"
            elif LEVEL[within] >= LEVEL[package]:
                yield f"imports {name}, which is not below it"
        is_library = name.partition(".")[0] not in sys.stdlib_module_names
        if allowed is not None and is_library and within != package and not is_within(name, allowed):
            yield f"imports {name}; nothing but {sorted(allowed) or 'the standard library'} is for it"
    for name in sorted(set(names_used(tree))):
        for library, homes in ONLY_IN.items():
            if is_within(name, {library}) and package not in homes:
                yield f"uses {name}, which is for {sorted(homes)} only"


def tree_of(file: Path) -> ast.AST:
    return ast.parse(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_one_way(file: Path) -> None:
    package = package_of(file)
    assert package in LEVEL or package == "__init__", f"{package} is not on the map: where does it belong?"
    is_workflow = package == "orchestration" and (file.stem.endswith("_workflow") or file.stem == "steps")
    assert [*faults(package, tree_of(file), is_workflow=is_workflow)] == []


def test_the_entry_in_aws_imports_what_its_runtime_has_and_only_within_a_function() -> None:
    tree = tree_of(ENTRY)
    found = [fault for fault in faults("lambda", tree) if not any(f" {name}" in fault for name in IN_AWS_RUNTIME)]
    assert [fault.partition(";")[0] for fault in found] == ["imports handler"], "which is beside it in the zip"
    assert isinstance(tree, ast.Module)
    at_the_top = imports(
        ast.Module(body=[node for node in tree.body if not isinstance(node, ast.FunctionDef)], type_ignores=[])
    )
    assert not {name.partition(".")[0] for name in at_the_top} & set(IN_AWS_RUNTIME), "a function without a secret pays for it"


@pytest.mark.parametrize("file", sorted(ROOT.glob("web/*/**/*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_within_the_web_app_go_one_way(file: Path) -> None:
    own = file.relative_to(ROOT / "web").with_suffix("").parts[0]
    used = {name.split(".")[1] for name in imports(tree_of(file)) if name.startswith("web.")} - {own}
    assert [name for name in used if WEB_LEVEL[name] >= WEB_LEVEL[own]] == []


def test_tests_import_shared_helpers_from_the_support_folder_only() -> None:
    """A test module or a conftest that another one imports would run, or override fixtures, where it is not meant to."""
    files = sorted(ROOT.glob("tests/**/*.py"))
    used = {
        f"{file.relative_to(ROOT)}: {name}" for file in files for name in imports(tree_of(file)) if is_within(name, {"tests"})
    }
    assert used
    assert sorted(one for one in used if not is_within(one.partition(": ")[2], {"tests.support"})) == []


def edges() -> dict[str, set[str]]:
    """Return which packages each package imports."""
    found: dict[str, set[str]] = {}
    for file in FILES:
        own = package_of(file)
        found.setdefault(own, set()).update({package_named(name) or own for name in imports(tree_of(file))} - {own})
    return found


def cycle_in(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the packages of one cycle, in order, or an empty list."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_packages_form_no_cycle() -> None:
    assert cycle_in(edges()) == []
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []


@pytest.mark.parametrize(
    "package", sorted(p.parent for p in ROOT.glob("pipeline/**/__init__.py") if p.parent.name != "pipeline")
)
def test_each_package_says_what_it_is(package: Path) -> None:
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert text.endswith("."), (
        f"{package.name}/__init__.py says in a sentence what goes in, what comes out, and which step it is"
    )


PAGE = ROOT / "docs" / "architecture.md"


def test_the_map_is_that_of_the_documentation() -> None:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    plain = [text.splitlines() for language, text in blocks if not language]
    assert MAP in plain


def test_the_documentation_names_every_package() -> None:
    page = PAGE.read_text(encoding="utf-8")
    homes = {file.relative_to(ROOT).parts[:2] for file in FILES if file.stem != "__init__" or file.parent.name != "pipeline"}
    named = {f"{part}/" if (ROOT / "pipeline" / part).is_dir() else part for top, part in homes if top == "pipeline"}
    assert [name for name in sorted(named) if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    ("package", "source", "complaint"),
    [
        ("load", "from pipeline.read import raw_tables", "not below it"),
        ("load", "from pipeline.prepare import parts", "not below it"),
        ("errors", "def f():\n    import pipeline.settings", "not below it"),
        ("web", "from pipeline import attic", "not on the map"),
        ("lambda", "import boto3", "nothing but"),
        ("contracts", "import pydantic", "nothing but"),
        ("web", "import boto3", "for ['adapters'] only"),
        ("ledger", "from sqlalchemy import create_engine", "for ['adapters'] only"),
        ("ledger", "import sqlalchemy as sa\nsqlalchemy.create_engine('')", "for ['adapters'] only"),
        ("notify", "import os\nos.environ['HOME']", "only"),
        ("notify", "from os import getenv", "only"),
    ],
)
def test_the_map_sees(package: str, source: str, complaint: str) -> None:
    assert any(complaint in fault for fault in faults(package, ast.parse(source)))


def test_the_map_sees_a_workflow_that_does_more_than_decide() -> None:
    tree = ast.parse("from pipeline.errors import Rejected")
    assert any("nothing but" in fault for fault in faults("orchestration", tree, is_workflow=True))
