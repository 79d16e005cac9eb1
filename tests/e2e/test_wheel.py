"""The wheel, installed outside the checkout: it has all files that the application reads, and `bulkhead up` runs from it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.support.waiting import pauses

pytestmark = [pytest.mark.early, pytest.mark.together]

ROOT = Path(__file__).resolve().parents[2]
BUILT_FROM = (
    *("pipeline", "web", "sql", "expectations", "lambda"),
    *("pyproject.toml", "setup.py", "requirements.in", "README.md", "LICENSE", ".env.example"),
)
OURS = ("BULKHEAD_", "AWS_", "TEMPORAL_", "DATABASE_", "PYTHONPATH")
START_SECONDS, STOP_SECONDS = 300.0, 180.0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of a copy: setuptools writes into the folder that it builds from."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / "source" / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, folder / "source")
    (built,) = folder.glob("*.whl")
    return built


def pip(*arguments: str | Path) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bulkhead` of a fresh environment with the wheel, and with the libraries of this one, but not its checkout.

    A folder that a .pth file adds has its own .pth files left alone, so the editable installation is not found.
    """
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    for program in ("weed", "temporal"):  # which pip puts beside `bulkhead`
        (folder / "bin" / program).symlink_to(Path(sysconfig.get_path("scripts")) / program)
    pip("--python", folder / "bin" / "python", "install", "--no-deps", "--no-index", "--force-reinstall", wheel)
    return folder / "bin" / "bulkhead"


class Outside:
    """A folder somewhere else, and the command line of the wheel in it."""

    def __init__(self, bulkhead: Path, folder: Path) -> None:
        self.bulkhead, self.folder = bulkhead, folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self.environment = kept | {"BULKHEAD_HOME": str(folder / "home"), "BULKHEAD_WARM_SECONDS": "0"}
        self.log = folder / "up.log"

    def run(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [self.bulkhead, *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done.stdout

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            command = [self.bulkhead, "up", "--json"]
            up = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        for pause in pauses(START_SECONDS):
            if "Bulkhead is at" in self.log.read_text(encoding="utf-8"):
                break
            assert up.poll() is None, self.log.read_text(encoding="utf-8")
            time.sleep(pause)
        return up


@pytest.fixture(scope="module")
def outside(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    outside = Outside(installed, tmp_path_factory.mktemp("outside"))
    up = outside.start()
    yield outside
    up.send_signal(signal.SIGINT)
    assert up.wait(STOP_SECONDS) == 0, outside.log.read_text(encoding="utf-8")


def test_it_has_every_file_that_is_no_python(wheel: Path) -> None:
    """Of the packages beside each other, and of the folders beside them."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for top in ("pipeline", "web"):
        files = [file for file in (ROOT / top).rglob("*") if file.is_file() and "__pycache__" not in file.parts]
        assert {str(file.relative_to(ROOT)) for file in files} <= names
    for name in ("sql", "expectations", "lambda", ".env.example"):
        files = [ROOT / name] if (ROOT / name).is_file() else [file for file in (ROOT / name).rglob("*") if file.is_file()]
        wanted = {f"pipeline/installed/{file.relative_to(ROOT)}" for file in files if "__pycache__" not in file.parts}
        assert wanted and wanted <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/")) or "__pycache__" in name]


def test_its_metadata_says_what_it_needs(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = message_from_bytes(archive.read(name))
    needed = {Requirement(line).name for line in metadata.get_all("Requires-Dist", [])}
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()]
    assert needed == {Requirement(line).name for line in lines if line} and "flask" in needed
    assert metadata["License-Expression"] == "Apache-2.0"
    assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())


@pytest.mark.thorough
def test_it_runs_outside_the_checkout(outside: Outside) -> None:
    (outside.folder / "places.csv").write_text("id,parentId,name\n1,,Europe\n2,1,France\n", encoding="utf-8")
    ended: dict[str, Any] = json.loads(outside.run("upload", "places.csv", "--wait", "--json"))
    assert ended["state"] == "succeeded", ended
    rows = outside.run("sql", "select id, name from records where \"parentId\" = '1'", "--format", "csv")
    assert "2,France" in rows


@pytest.mark.thorough
def test_it_uses_no_file_of_the_checkout(outside: Outside) -> None:
    """Neither its packages, nor .env.example, which says what each setting does."""
    python = outside.bulkhead.with_name("python")
    script = "import pipeline, web; from pipeline.settings import ROOT; print(pipeline.__file__, web.__file__, ROOT)"
    done = subprocess.run(
        [python, "-c", script], cwd=outside.folder, env=outside.environment, capture_output=True, text=True, check=True
    )
    assert f"{ROOT}/" not in done.stdout and done.stdout.count(str(outside.bulkhead.parents[1])) == 3
    (home,) = [one for one in json.loads(outside.run("settings", "--json"))["settings"] if one["name"] == "BULKHEAD_HOME"]
    assert home["description"]
