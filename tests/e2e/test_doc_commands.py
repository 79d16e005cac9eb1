"""Every command in the documents, run in the order of its page against one embedded stack, unless the page says why not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.doc_commands import ROOT, Block, all_blocks
from tests.support.waiting import pauses

pytestmark = [pytest.mark.early, pytest.mark.together]

RUN = [block for block in all_blocks() if not block.skipped_because]
PAGES = list(dict.fromkeys(block.page for block in RUN))
OURS = ("BULKHEAD_", "AWS_", "TEMPORAL_", "DATABASE_")
UP = [sys.executable, "-m", "pipeline.cli", "up", "--json"]
START_SECONDS, STOP_SECONDS, COMMAND_SECONDS = 300.0, 180.0, 300.0


class Shell:
    """A folder as a reader of a page has it: `.venv` in it, and `.bulkhead` with a stack that runs."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{kept['PATH']}"
        self.environment = kept | {
            "BULKHEAD_HOME": str(home),
            "BULKHEAD_WARM_SECONDS": "0",
            "PYTHONPATH": str(ROOT),
            "PATH": path,
        }

    def run(self, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run one command, with what it names: `<import id>`, `<login id>`, `ID` (of a key) and `HASH` (of the audit log)."""
        for placeholder, ask in (
            (r"<import id>", self._import),
            (r"<login id>", self._login),
            (r"\bID\b", self._key),
            (r"\bHASH\b", self._head),
        ):
            if re.search(placeholder, command):
                command = re.sub(placeholder, ask(), command)
        command = command.replace("http://127.0.0.1:8765", self.url)
        return subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def json(self, *arguments: str) -> object:
        command = [sys.executable, "-m", "pipeline.cli", *arguments, "--json"]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def _import(self) -> str:
        return re.findall(r'"id": "([0-9a-f-]{36})"', json.dumps(self.json("list", "--limit", "1")))[0]

    def _key(self) -> str:
        """The last key that was created and not revoked."""
        keys = self.json("key", "list")
        assert isinstance(keys, list)
        return str(max((key for key in keys if not key["revoked_at"]), key=lambda key: key["created_at"])["id"])

    def _login(self) -> str:
        return re.findall(r'"id": "([0-9a-f-]{36})"', json.dumps(self.json("connect", "list")))[0]

    def _head(self) -> str:
        return re.findall(r'"head_hash": "([0-9a-f]+)"', json.dumps(self.json("audit-log", "verify")))[0]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    home = tmp_path_factory.mktemp("commands") / "home"
    shell, log = Shell(home, ""), home.with_name("up.log")
    with log.open("wb") as out:
        up = subprocess.Popen(UP, cwd=ROOT, env=shell.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        for pause in pauses(START_SECONDS):
            if started := re.search(r'"url": "([^"]+)"', log.read_text(encoding="utf-8")):
                shell.url = started[1]
                break
            assert up.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(pause)
        assert shell.url, log.read_text(encoding="utf-8")
        yield shell
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(STOP_SECONDS) == 0, log.read_text(encoding="utf-8")


DAILY = ("README.md",)


@pytest.mark.parametrize("page", [page if page in DAILY else pytest.param(page, marks=pytest.mark.thorough) for page in PAGES])
def test_the_commands_of_a_page_do_what_it_says(page: str, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / ".bulkhead").symlink_to(shell.home)
    (tmp_path / "places.csv").write_text("id,parentId,name,kind\nXA,,Here,Country\n", encoding="utf-8")
    (tmp_path / "products.csv").write_text("SKU,Parent SKU,Price\nA,,1.50\nA-1,A,0.75\n", encoding="utf-8")
    for block in (block for block in RUN if block.page == page):
        for command, expected in zip(block.commands, block.codes, strict=True):
            done = shell.run(command, tmp_path)
            assert done.returncode == expected, f"{place(block)}: {command}\n{done.stdout}\n{done.stderr}"


def place(block: Block) -> str:
    return f"{block.page}, line {block.line}"
