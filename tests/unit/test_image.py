"""The image, as far as it can be checked without Docker: its instructions, and the software bill of materials."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from pipeline.setting_types import secret_names
from pipeline.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


class Instruction(NamedTuple):
    """One instruction, its lines joined: ``RUN``, and what follows."""

    name: str
    text: str


def instructions(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile, without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


IMAGE = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
LAST_STAGE = IMAGE[max(number for number, one in enumerate(IMAGE) if one.name == "FROM") :]


def texts(name: str, among: list[Instruction] = IMAGE) -> list[str]:
    return [one.text for one in among if one.name == name]


def test_the_base_is_pinned_to_a_patch_release() -> None:
    (base,) = [text for text in texts("ARG") if text.startswith("PYTHON_IMAGE=")]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", base)
    assert {text.split()[0] for text in texts("FROM")} == {"${PYTHON_IMAGE}"}
    assert "latest" not in " ".join(one.text for one in IMAGE)
    label = f'org.opencontainers.image.base.name="docker.io/library/{base.removeprefix("PYTHON_IMAGE=").partition("@")[0]}"'
    assert label in " ".join(texts("LABEL"))


def test_what_builds_the_image_is_not_in_it() -> None:
    assert len(texts("FROM")) == 2
    run = " ".join(texts("RUN", LAST_STAGE))
    assert "pip" not in run and "apt" not in run
    assert all(text.startswith("--from=build ") for text in texts("COPY", LAST_STAGE))


def test_it_runs_as_a_user_by_number_who_is_not_root() -> None:
    """By number, so that Kubernetes can see for ``runAsNonRoot`` that it is not root."""
    (user,) = texts("USER", LAST_STAGE)
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    after = LAST_STAGE[LAST_STAGE.index(Instruction("USER", user)) :]
    assert not texts("RUN", after) and not texts("COPY", after)


def test_its_commands_are_run_without_a_shell() -> None:
    (command,), (health,) = texts("CMD", LAST_STAGE), texts("HEALTHCHECK", LAST_STAGE)
    assert json.loads(command) == ["bulkhead", "--help"]
    options, _, check = health.partition(" CMD ")
    assert {option.partition("=")[0] for option in shlex.split(options)} == {
        *("--interval", "--timeout", "--start-period", "--retries")
    }
    program = json.loads(check)
    assert program[:2] == ["python", "-m"]
    __import__(program[2])


def test_no_secret_is_in_it() -> None:
    set_here = [name for text in (*texts("ENV"), *texts("ARG")) for name in re.findall(r"(\w+)=", text)]
    assert not {*set_here} & {*secret_names(Settings)}
    assert not any(word in name for name in set_here for word in ("SECRET", "TOKEN", "PASSWORD", "KEY"))


def test_its_settings_exist() -> None:
    named = {name for text in texts("ENV") for name in re.findall(r"\bBULKHEAD_\w+(?==)", text)}
    known = {name for field in Settings.model_fields.values() for name in field.validation_alias.choices}  # type: ignore[union-attr]
    assert named and named <= known


def test_what_it_copies_exists_and_is_all_that_runs() -> None:
    copied = {name for text in texts("COPY") if "--from" not in text for name in text.split()[:-1]}
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {"pipeline", "web", "lambda", "sql", "expectations", ".env.example"} <= copied


def test_what_stays_out() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".git", ".env", ".env.*", ".bulkhead", "build", "tests"} <= {*ignored}
    assert ignored.index("!.env.example") > ignored.index(".env.*")


@pytest.mark.parametrize("label", ["title", "description", "version", "revision", "base.name"])
def test_it_has_the_labels_of_the_open_container_initiative(label: str) -> None:
    assert f"org.opencontainers.image.{label}=" in " ".join(texts("LABEL", LAST_STAGE))


# --- the software bill of materials ---


@pytest.fixture(scope="module")
def sbom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make sbom` writes, by its own command."""
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(r"^build/sbom\.json:.*?\$\(BIN\)/python (.*?)\n\n", made, re.DOTALL | re.MULTILINE)
    assert found
    file = tmp_path_factory.mktemp("sbom") / "sbom.json"
    command = found[1].replace("\\\n", " ").replace("$@", str(file))
    subprocess.run([sys.executable, *shlex.split(command)], cwd=ROOT, check=True, capture_output=True, timeout=120)
    return file


@pytest.mark.thorough
def test_the_bill_of_materials_is_valid_and_complete(sbom: Path) -> None:
    text = sbom.read_text(encoding="utf-8")
    bill = json.loads(text)
    version = SchemaVersion.from_version(bill["specVersion"])
    assert JsonStrictValidator(version).validate_str(text) is None
    assert bill["metadata"]["component"]["name"] == "bulkhead"
    pinned = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]+\])?==([^ ;\\]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    listed = {(one["name"].lower(), one["version"]) for one in bill["components"]}
    assert listed == {(name.lower(), version) for name, version in pinned}
    assert all(one["purl"].startswith("pkg:pypi/") for one in bill["components"])
    hashes = [entry for one in bill["components"] for entry in one["externalReferences"][0]["hashes"]]
    assert {entry["alg"] for entry in hashes} == {"SHA-256"}
