"""The command line against the whole stack, which it starts itself: all of it processes, as on anybody's machine."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.early

ROOT = Path(__file__).resolve().parents[2]
BULKHEAD = [sys.executable, "-m", "pipeline.cli"]
START_SECONDS, STOP_SECONDS = 300, 180
OURS = ("BULKHEAD_", "AWS_", "TEMPORAL_", "DATABASE_")


class House:
    """A home with a stack that runs on it, and the command line beside it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(OURS)} | {
            "BULKHEAD_HOME": str(home),
            "BULKHEAD_WARM_SECONDS": "0",
        }
        self.said = ""
        self._up: subprocess.Popen[str] | None = None

    def start(self, until: str = "Bulkhead is at", *, in_background: bool = False) -> None:
        """`bulkhead up`, until it says so; a shell starts its background jobs with SIGINT ignored."""
        log = (self.home.parent / "up.log").open("a+")
        began = log.seek(0, os.SEEK_END)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_background else None
        self._up = subprocess.Popen(
            [*BULKHEAD, "up", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
            cwd=ROOT,
            env=self.environment,
        )
        if before is not None:
            signal.signal(signal.SIGINT, before)
        deadline = time.monotonic() + START_SECONDS
        while until not in self.said:
            assert self._up.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.1)
            log.seek(began)
            self.said = log.read()
        log.close()

    def log(self) -> str:
        """All that `bulkhead up` has said so far."""
        return (self.home.parent / "up.log").read_text()

    def kill_components(self) -> set[int]:
        """Kill all that `bulkhead up` has started, at once; the pids that it had."""
        assert self._up is not None
        killed = {child.pid for child in psutil.Process(self._up.pid).children()}
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        return killed

    def components(self) -> set[int]:
        """The pids of the components that are alive now."""
        assert self._up is not None
        children = psutil.Process(self._up.pid).children()
        return {child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE}

    def stop(self) -> int:
        """Ctrl-C; its exit code."""
        assert self._up is not None
        self._up.send_signal(signal.SIGINT)
        self.said = ""
        return self._up.wait(STOP_SECONDS)

    def run(
        self, *args: object, code: int | None = 0, stdin: bytes = b"", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """A command, which must end with ``code`` unless that is None."""
        done = subprocess.run(
            [*BULKHEAD, *map(str, args)],
            input=stdin,
            capture_output=True,
            cwd=ROOT,
            env=self.environment | environment,
            timeout=360,
        )
        text = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
        assert code is None or text.returncode == code, f"{args} ended with {text.returncode}\n{text.stdout}\n{text.stderr}"
        return text

    def json(self, *args: object, code: int = 0, **environment: str) -> Any:
        """What a command prints as its one JSON document."""
        return json.loads(self.run(*args, code=code, **environment).stdout)

    def processes_soon(self) -> list[str]:
        """The same a little later: what was killed needs a moment to be gone."""
        deadline = time.monotonic() + 5
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.2)
        return self.processes()

    def processes(self) -> list[str]:
        """The processes that have to do with this home."""
        return [" ".join(line) for process in psutil.process_iter() if (line := self._ours(process))]

    def _ours(self, process: psutil.Process) -> list[str]:
        try:
            line = process.cmdline()
            is_ours = str(self.home) in " ".join(line) or process.environ().get("BULKHEAD_HOME") == str(self.home)
        except psutil.Error:
            return []
        return line if is_ours and process.status() != psutil.STATUS_ZOMBIE else []


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house") / "it's 100% é \"[h]ome*#")  # what is special to some server or language
    try:
        house.start()
        yield house
    finally:
        house.stop()


def records_csv(path: Path, count: int, prefix: str) -> Path:
    """A tree of ``count`` records under one root."""
    lines = [f"{prefix}{n},{prefix + str((n - 1) // 3) if n else ''},Record {n}" for n in range(count)]
    path.write_text("\n".join(["id,parentId,name", *lines, ""]))
    return path


def broken_csv(path: Path) -> Path:
    path.write_text(
        "id,parentId,name\n"
        "a,,one\n"  # row 1 and 2: the same id, different content
        "a,,two\n"
        "b,nowhere,lost\n"  # row 3: a parent that does not exist
        "c,e,circle\n"  # rows 4 to 6: a circle
        "d,c,circle\n"
        "e,d,circle\n"
    )
    return path


BROKEN = {("conflicting_duplicate", 1), ("conflicting_duplicate", 2), ("missing_parent", 3)}


# --- coming up ---


def test_up_says_where_it_is(house: House) -> None:
    for component in ("PostgreSQL", "SeaweedFS", "Temporal", "relay", "worker", "web"):
        assert re.search(rf"^{component} +ready after", house.said, re.MULTILINE), house.said
    assert re.search(r"http://127\.0\.0\.1:\d+/sign-in\?token=\S+  ", house.said)
    told = json.loads(house.said[house.said.index("{\n") : house.said.index("\n}") + 2])
    assert told["home"] == str(house.home)
    assert f"Bulkhead is at  {told['url']}" in house.said and f"sign in         {told['sign_in']} " in house.said


def test_the_key_is_for_its_owner_s_eyes_only(house: House) -> None:
    for name in ("local-key", "stack.env", "stack.json"):
        assert stat.S_IMODE((house.home / name).stat().st_mode) == 0o600, name


def test_two_stacks_do_not_share_a_home(house: House) -> None:
    assert "Another stack is running" in house.run("up", code=1).stderr


def test_doctor_finds_everything_well(house: House) -> None:
    found = house.json("doctor", "--json")
    assert len(found) == 22
    assert [result for result in found if not result["ok"]] == []


# --- one file's way ---


def test_a_file_goes_the_whole_way(house: House, tmp_path: Path) -> None:
    file = records_csv(tmp_path / "some.csv", 500, "way-")
    made = house.json("upload", file, "--wait", "--json")
    assert made["state"] == "succeeded"
    assert (made["counts"]["total"], made["counts"]["inserted"]) == (500, 500)

    rows = house.run(
        "sql", """select id, name from warehouse.records where "parentId" = 'way-0' order by id""", "--format", "csv"
    )
    assert list(csv.reader(io.StringIO(rows.stdout))) == [["id", "name"]] + [[f"way-{n}", f"Record {n}"] for n in (1, 2, 3)]
    counted = house.json("sql", "select count(*) as n from warehouse.records where id like 'way-%'", "--format", "json")
    assert counted == [{"n": 500}]

    known = house.json("upload", file, "--wait", "--json")
    assert (known["state"], known["duplicate_of"]) == ("duplicate", made["id"])
    again = house.run("upload", file, "--wait", "--force")
    assert re.fullmatch(r"[0-9a-f-]{36}\n", again.stdout)
    assert house.json("status", again.stdout.strip(), "--json")["counts"]["unchanged"] == 500
    listed = [one["id"] for one in house.json("list", "-d", "records", "--json")]
    assert listed.index(again.stdout.strip()) < listed.index(made["id"])


def test_a_stream_goes_the_same_way(house: House) -> None:
    content = b"".join(b'{"id": "stream-%d", "parentId": null}\n' % n for n in range(300))
    done = house.run("upload", "-", "--filename", "some.ndjson", "--wait", stdin=content)
    assert house.json("watch", done.stdout.strip(), "--json")["counts"]["inserted"] == 300


def test_rows_as_parquet(house: House, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    house.run("sql", "select 1 as one", "--format", "parquet", "--output", file)
    assert file.read_bytes().startswith(b"PAR1")


def test_sql_cannot_write(house: House) -> None:
    refused = house.run("sql", "delete from warehouse.records", code=1)
    assert refused.stdout == ""
    assert refused.stderr.startswith("bulkhead: ")


# --- what is wrong ---


def test_a_broken_file_is_rejected(house: House, tmp_path: Path) -> None:
    done = house.run("upload", broken_csv(tmp_path / "broken.csv"), "--wait", code=3)
    import_id = done.stdout.strip()
    assert f"bulkhead errors {import_id}" in done.stderr
    assert house.json("watch", import_id, "--json", code=3)["state"] == "rejected"

    findings = house.json("errors", import_id, "--format", "json")
    found = {(finding["code"], finding["row"]) for finding in findings}
    assert found >= BROKEN
    [cycle] = {tuple(sorted(set(f["cycle"]))) for f in findings if f["code"] == "circular_reference"}
    assert cycle == ("c", "d", "e")

    lines = list(csv.DictReader(io.StringIO(house.run("errors", import_id, "--format", "csv").stdout)))
    assert len(lines) == len(findings)
    table = house.run("errors", import_id, "--code", "missing_parent").stdout
    assert "nowhere" in table
    assert "circular_reference" not in table
    assert house.json("sql", "select count(*) as n from warehouse.records where id in ('a', 'b', 'c')", "--format", "json") == [
        {"n": 0}
    ]


def test_its_report_can_be_kept(house: House, tmp_path: Path) -> None:
    import_id = house.run("upload", broken_csv(tmp_path / "kept.csv"), "--wait", code=3).stdout.strip()
    assert house.run("report", import_id).stdout.strip().endswith(f"/v1/imports/{import_id}/report/")
    house.run("report", import_id, "--output", tmp_path / "report")
    assert "<html" in (tmp_path / "report" / "index.html").read_text().lower()
    for form in ("csv", "json", "parquet"):
        assert (tmp_path / "report" / f"findings.{form}").stat().st_size > 0


def test_validate_leaves_a_server_for_the_next_one_which_says_the_same(
    house: House, tmp_path: Path, short_folder: Path
) -> None:
    file = broken_csv(tmp_path / "offline.csv")
    kept = {"XDG_RUNTIME_DIR": str(short_folder), "BULKHEAD_WARM_SECONDS": "600", "BULKHEAD_HOME": str(tmp_path / "no-home")}
    first = house.run("validate", file, "--json", code=3, **kept)
    (socket,) = (short_folder / "bulkhead").glob("*.sock")
    (server,) = {one.pid for one in psutil.net_connections("unix") if one.laddr == str(socket) and one.pid}
    try:
        second = house.run("validate", file, "--json", code=3, **kept)
        assert {one.pid for one in psutil.net_connections("unix") if one.laddr == str(socket) and one.pid} == {server}
        assert (second.stdout, second.stderr) == (first.stdout, first.stderr)
    finally:
        psutil.Process(server).kill()


def test_validate_finds_the_same_without_a_server(house: House, tmp_path: Path) -> None:
    file = broken_csv(tmp_path / "offline.csv")
    import_id = house.run("upload", file, "--wait", code=3).stdout.strip()
    online = house.json("errors", import_id, "--format", "json")
    nowhere = {"BULKHEAD_URL": "http://127.0.0.1:9", "BULKHEAD_HOME": str(tmp_path / "no-home")}
    offline = house.run("validate", file, "--json", code=3, **nowhere)
    verdict = json.loads(offline.stdout)
    assert (verdict["accepted"], verdict["records"]) == (False, 6)
    assert verdict["findings"] == online
    assert "in this file only" in offline.stderr
    assert (verdict["preview"], verdict["quarantined"]) == (None, 0)


def test_validate_asks_a_warehouse_that_it_can_reach_and_writes_nothing(house: House, tmp_path: Path) -> None:
    house.run("upload", records_csv(tmp_path / "there.csv", 300, "there-"), "--wait")
    query = ("sql", "select count(*) as n, max(_loaded_at)::text as at from warehouse.records", "--format", "json")
    before = house.json(*query)
    file = tmp_path / "more.csv"
    file.write_text("id,parentId,name\nmore-1,there-7,below what is there\nmore-2,nowhere,bad\nmore-3,more-2,below it\n")
    verdict = json.loads(house.run("validate", file, "--json", code=3).stdout)
    assert (verdict["by_code"], verdict["preview"]) == ({"missing_parent": 1}, None)
    checked = house.run("validate", file, "--json", "--on-error", "quarantine")
    verdict = json.loads(checked.stdout)
    assert (verdict["accepted"], verdict["quarantined"]) == (True, 2)
    assert verdict["preview"] == {"inserted": 1, "updated": 0, "unchanged": 0, "moved": 0}
    assert "empty warehouse" not in checked.stderr
    assert house.json(*query) == before


def test_a_dry_run_and_its_promotion(house: House, tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_text("id;parentId;name\ndry-1;;root\ndry-2;dry-1;a\ndry-3;nowhere;bad\n")
    house.run("upload", file, "--dry-run", "--wait", code=3)
    asked = ("--dry-run", "--on-error", "quarantine", "--delimiter", "semicolon", "--wait")
    done = house.run("upload", file, *asked)
    assert "insert 2, update 0, leave 0 unchanged" in done.stderr
    import_id = done.stdout.strip()
    assert house.json("sql", "select count(*) as n from warehouse.records where id like 'dry-%'", "--format", "json") == [
        {"n": 0}
    ]
    house.run("promote", import_id, "--wait", code=4)
    assert house.json("sql", "select count(*) as n from warehouse.records where id like 'dry-%'", "--format", "json") == [
        {"n": 2}
    ]
    results = house.run("results", import_id).stdout.splitlines()
    assert results[0] == "id;parentId;name;row;code;reason"
    assert results[1].startswith("dry-3;nowhere;bad;3;missing_parent;")
    house.run("promote", import_id, code=1)


def test_what_failed_is_mended_and_tried_again(house: House, tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_text("id,parentId,name\nmend-1,,root\nmend-2,nowhere,bad\nmend-3,mend-2,below it\n")
    made = house.json("upload", file, "--on-error", "quarantine", "--wait", "--json", code=4)
    assert house.json("results", made["id"], "--kind", "succeeded", "--format", "json") == [
        {"id": "mend-1", "parentId": None, "name": "root", "row": 1, "code": None, "reason": None}
    ]
    house.run("results", made["id"], "--output", tmp_path / "failed.csv")
    mended = (tmp_path / "failed.csv").read_text().replace("nowhere", "mend-1")
    (tmp_path / "failed.csv").write_text(mended)
    house.run("retry", made["id"], "--wait", code=3)  # as they were, they are as bad as they were
    again = house.json("retry", made["id"], tmp_path / "failed.csv", "--wait", "--json")
    assert (again["state"], again["retry_of"], again["counts"]["inserted"]) == ("succeeded", made["id"], 2)
    house.run("retry", again["id"], code=1)  # nothing has failed


def test_cells_are_corrected_and_the_file_imported_again(house: House, tmp_path: Path) -> None:
    file = tmp_path / "cells.csv"
    file.write_text("id,parentId,name\nfix-1,,root\nfix-2,nowhere,bad\nfix-3,also nowhere,bad\nfix-3,fix-1,twice\n")
    made = house.json("upload", file, "--wait", "--json", code=3)
    wrong = {(one["code"], one["row"]) for one in house.json("errors", made["id"], "--json")}
    assert wrong == {("missing_parent", 2), ("conflicting_duplicate", 3), ("conflicting_duplicate", 4), ("missing_parent", 3)}
    first = house.json("fix", made["id"], "--set", "2:parentId=fix-1", "--root", "3", "--json")
    assert (first["version"], first["edits"], first["skipped_rows"]) == (1, 2, 0)
    (tmp_path / "edits.csv").write_text("row,column,new\n3,name,mended\n")
    house.run("fix", made["id"], "--from", tmp_path / "edits.csv", "--skip", "4")
    again = house.json("fix", made["id"], "--again", "--wait", "--json")
    assert (again["state"], again["retry_of"], again["counts"]["inserted"]) == ("succeeded", made["id"], 3)
    select = """select "parentId", name from warehouse.records where id like 'fix-%' order by id"""
    rows = [(one["parentId"], one["name"]) for one in house.json("sql", select, "--format", "json")]
    assert rows == [(None, "root"), ("fix-1", "bad"), (None, "mended")]


def test_validate_accepts_what_is_right(house: House, tmp_path: Path) -> None:
    done = house.run("validate", records_csv(tmp_path / "right.csv", 300, "right-"))
    assert done.stdout == ""
    assert "would be accepted" in done.stderr


def test_what_cannot_be_done_is_said(house: House, tmp_path: Path) -> None:
    file = records_csv(tmp_path / "some.csv", 3, "x-")
    assert "records" in house.run("upload", file, "-d", "nonsense", code=1).stderr
    assert "records" in house.run("validate", file, "-d", "nonsense", code=1).stderr
    (tmp_path / "empty.csv").touch()
    assert "empty" in house.run("upload", tmp_path / "empty.csv", code=1).stderr
    import_id = house.run("upload", file, "--wait").stdout.strip()
    assert "succeeded" in house.run("cancel", import_id, code=1).stderr
    assert house.run("status", "01990b3c-0000-7000-8000-000000000001", code=1).stdout == ""


# --- from elsewhere ---


@pytest.mark.parametrize("document", ["README.md", "docs/uploads.md"])
def test_three_lines_upload_and_wait(house: House, tmp_path: Path, document: str) -> None:
    [lines] = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    assert len([line for line in lines.splitlines() if line]) == 3
    place = {"README.md": "XA,,Here,Country", "docs/uploads.md": "XB,,There,Country"}[document]
    (tmp_path / "places.csv").write_text(f"id,parentId,name,kind\n{place}\n")
    done = subprocess.run(
        [sys.executable, "-c", lines + "print(ended['state'], ended['counts']['inserted'])"],
        cwd=tmp_path,
        env=house.environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=360,
    )
    assert done.stdout.split() == ["succeeded", "1"], done.stderr


def test_an_upload_straight_to_s3(house: House, tmp_path: Path) -> None:
    file = records_csv(tmp_path / "straight.csv", 300, "straight-")
    made = house.json("upload", file, "--direct", "--wait", "--json", XDG_STATE_HOME=str(tmp_path))
    assert (made["state"], made["counts"]["inserted"]) == ("succeeded", 300)
    assert made["source"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert [*(tmp_path / "bulkhead" / "uploads").iterdir()] == []
    house.run("upload", "-", "--direct", code=2)
    house.run("upload", file, "--resume", "--no-direct", code=2)


def test_a_shell_completes(house: House, tmp_path: Path) -> None:
    """What `--install-completion` puts into a home, read by the shell that it is for."""
    import_id = house.run("upload", records_csv(tmp_path / "c.csv", 3, "complete-"), "--wait").stdout.strip()
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    command = bin_dir / "bulkhead"
    command.write_text(f'#!/bin/sh\ncd "{ROOT}" && exec "{sys.executable}" -m pipeline.cli "$@"\n')
    command.chmod(0o755)
    environment = house.environment | {"HOME": str(tmp_path), "PATH": f"{bin_dir}:{os.environ['PATH']}"}

    def bash(script: str) -> str:
        # a second command keeps bash from becoming the first one: it is to be found as the parent
        done = subprocess.run(["bash", "-c", script + "\ntrue"], env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "_BULKHEAD_COMPLETE=complete_bash" in bash("bulkhead --show-completion")
    bash("bulkhead --install-completion")
    asked = (
        'source ~/.bashrc; COMP_WORDS=({}); COMP_CWORD={}; _bulkhead_completion bulkhead; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    assert {"up", "upload"} == set(bash(asked.format("bulkhead up", 1)).split())
    assert bash(asked.format("bulkhead upload x.csv -d pl", 4)).split() == ["places"]
    assert import_id in bash(asked.format("bulkhead status ''", 2))


# --- for operators ---


def test_keys(house: House) -> None:
    text = house.run("key", "create", "the tests", "--role", "reader").stdout.strip()
    [key] = [key for key in house.json("key", "list", "--json") if key["name"] == "the tests"]
    assert key["role"] == "reader"
    house.run("list", BULKHEAD_API_KEY=text)
    house.run("upload", ROOT / "pyproject.toml", code=1, BULKHEAD_API_KEY=text)
    house.run("key", "revoke", key["id"])
    assert "BULKHEAD_API_KEY" in house.run("list", code=1, BULKHEAD_API_KEY=text).stderr
    house.run("key", "revoke", "01920000-0000-7000-8000-000000000000", code=1)


def test_no_secret_is_in_any_log_of_the_stack(house: House) -> None:
    """After all that the tests before did: not a key, not a password, neither in the logs nor in the audit log."""
    made = house.json("key", "create", "to be rotated", "--json")
    rotated = house.run("key", "rotate", made["id"], "--overlap", "7d").stdout.strip()
    for text in (made["key"], rotated):
        house.run("list", BULKHEAD_API_KEY=text)
    house.run("list", code=1, BULKHEAD_API_KEY=rotated[:-1] + "x")
    secrets = {text.rsplit("_", 1)[1] for text in (made["key"], rotated, (house.home / "local-key").read_text().strip())}
    secrets |= set(json.loads((house.home / "stack.json").read_text())["secrets"].values())
    logs = {path.name: path.read_text(errors="replace") for path in (house.home / "logs").iterdir()}
    logs["audit log"] = house.run("audit-log", "export").stdout
    assert len(logs) > 4 and "key_rotated" in logs["audit log"]
    assert [(name, secret) for name, said in logs.items() for secret in secrets if secret in said] == []
    assert "fit to each other" in house.run("audit-log", "verify").stdout


def test_a_key_for_one_dataset(house: House) -> None:
    text = house.run("key", "create", "the places", "--dataset", "places").stdout.strip()
    [key] = [key for key in house.json("key", "list", "--json") if key["name"] == "the places"]
    assert key["datasets"] == ["places"]
    assert "places" in house.run("key", "list").stdout
    said = house.run("sql", "select count(*) from records", code=1, BULKHEAD_API_KEY=text).stderr
    assert 'relation "records" does not exist' in said.lower()
    house.run("sql", "select count(*) from places", BULKHEAD_API_KEY=text)
    said = house.run("upload", ROOT / "pyproject.toml", "-d", "records", code=1, BULKHEAD_API_KEY=text).stderr
    assert "There is no dataset 'records'. Datasets here: places." in said
    assert "sees every dataset" in house.run("key", "create", "x", "--role", "admin", "-d", "places", code=1).stderr


def test_reconcile(house: House) -> None:
    assert house.json("reconcile", "--json")["seen"] >= 0


def test_a_clean_up_removes_nothing_that_was_just_made(house: House) -> None:
    done = house.json("clean", "--json")
    assert (done["batches"], done["results"], done["reports"], done["sources"], done["failed"]) == (0, 0, 0, 0, 0)


def test_migrate_may_be_repeated(house: House) -> None:
    assert "warehouse.records" in house.run("migrate").stdout


# --- going down ---


def test_everything_killed_at_once_twice_comes_back(house: House, tmp_path: Path) -> None:
    for _ in range(2):
        killed = house.kill_components()
        assert len(killed) == 6
        deadline = time.monotonic() + START_SECONDS
        while len(house.components() - killed) < 6:
            assert time.monotonic() < deadline, house.log()
            time.sleep(0.2)
    while house.run("list", code=None).returncode != 0:
        assert time.monotonic() < deadline, house.log()
    made = house.json("upload", records_csv(tmp_path / "back.csv", 300, "back-"), "--wait", "--json")
    assert made["counts"]["inserted"] == 300


def test_ctrl_c_leaves_no_process_and_all_the_data(house: House, tmp_path: Path) -> None:
    import_id = house.run("upload", records_csv(tmp_path / "kept.csv", 200, "kept-"), "--wait").stdout.strip()
    assert len(house.processes()) > 5
    assert house.stop() == 0
    assert house.processes_soon() == []
    assert "bulkhead up" in house.run("status", import_id, code=7).stderr
    house.run("doctor", code=1)

    house.start()
    assert house.json("status", import_id, "--json")["counts"]["inserted"] == 200
    assert house.json("sql", "select count(*) as n from warehouse.records where id like 'kept-%'", "--format", "json") == [
        {"n": 200}
    ]


@pytest.mark.parametrize("until", ["SeaweedFS", pytest.param("relay", marks=pytest.mark.thorough)])
def test_interrupted_while_starting_it_leaves_no_process_either(tmp_path: Path, until: str) -> None:
    house = House(tmp_path / "home")
    house.start(until, in_background=True)
    assert house.processes() != []
    house.stop()
    assert house.processes_soon() == []
    assert not (house.home / "stack.env").exists(), "the file of a stopped stack is removed"
