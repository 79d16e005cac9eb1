"""The tour of what production needs, run as docs/production-tour.md says: it comes to its end, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.tour.dashboard import EMPTY_IF_WELL
from pipeline.settings import ROOT
from tests.support.prometheus import PROGRAMS, dashboard_expressions

pytestmark = [pytest.mark.early, pytest.mark.thorough]

STEPS = 7
TARGET = re.compile(r"^tour:[^\n]*\n\t@(.+)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def parts(in_ci: bool) -> None:
    """Prometheus is a package of Debian's, the provider one of npm's."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if not (ROOT / "node_modules" / "oidc-provider").is_dir():
        missing.append("node_modules/oidc-provider")
    if missing:
        (pytest.fail if in_ci else pytest.skip)(f"{missing} are not there; make setup fetches them.")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command of `make tour`; what it makes is in ``tmp_path``."""
    found = TARGET.search((ROOT / "Makefile").read_text(encoding="utf-8"))
    assert found is not None
    python, *arguments = found[1].split()
    assert python == "$(BIN)/python"

    def start(**more: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "TMPDIR": str(tmp_path), **more}
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=1700, check=False)

    return start


def started_in(folder: Path) -> list[int]:
    """Return the processes whose command line or environment names a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # it has ended, or is another user's
        if str(folder).encode() in text and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


def test_the_tour_comes_to_its_end(run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    ran = run(BULKHEAD_URL="https://not.used.example", BULKHEAD_OIDC_REQUIRED="nonsense")
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-6000:]
    assert f"The tour is over: {STEPS} of {STEPS} steps" in ran.stdout
    panels = dashboard_expressions()
    shown = dict(re.findall(r"^      (.{42}) (has data|empty: .+)$", ran.stdout, re.MULTILINE))
    assert [title.strip() for title in shown] == [*panels]
    assert {title.strip() for title, what in shown.items() if what != "has data"} <= EMPTY_IF_WELL.keys()
    for said in (
        "answers with TLS",
        "the import has her name in created_by",
        "pages are refused to an ordinary key",
        "no alert fires",
        "checks are ok",
        "the records have the same digest as before",
        "the audit log fits to the hash that was noted",
    ):
        assert re.search(f"^  ok  .*{re.escape(said)}", ran.stdout, re.MULTILINE), said
    assert [*tmp_path.iterdir()] == [], "it removes what it made"
    assert started_in(tmp_path) == [], "it ends what it started"


def test_it_ends_at_the_first_thing_that_is_wrong(run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    ran = run(PATH=str(tmp_path / "nothing"))
    assert ran.returncode == 1 and "is not installed" in ran.stderr and "make setup" in ran.stderr
    assert "[2/" not in ran.stdout


def test_the_document_names_the_command() -> None:
    assert "    make tour\n" in (ROOT / "docs" / "production-tour.md").read_text(encoding="utf-8")
