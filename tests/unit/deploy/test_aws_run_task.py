"""deploy/aws/run-task, with a command `aws` that checks what it is asked by AWS's own models and answers as ECS does."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.session import Session

from tests.support.cloudformation import FOLDER, read

ANSWERS = {
    "ClusterName": "cluster",
    "OperatorTaskDefinition": "arn:task-definition",
    "OperatorSubnetIds": "subnet-1,subnet-2",
    "OperatorSecurityGroupId": "sg-1",
    "LogGroupName": "tasks",
}
TASK = "arn:aws:ecs:eu-central-1:123456789012:task/cluster/0123abcd"

AWS = """#!/bin/bash
printf '%s\\0' "$@" >>"$CALLS"
printf '\\n\\0' >>"$CALLS"
all=$*
case "$2 $all" in
wait*) [ "$(grep -zc '^wait$' "$CALLS")" -gt "$BUSY" ] ;;
describe-stacks*) name=${all#*OutputKey==\\'}; printenv "OUT_${name%%\\'*}" || true ;;
run-task*) echo "$TASK" ;;
describe-tasks*lastStatus*) echo RUNNING ;;
describe-tasks*exitCode*) echo "$CODE" ;;
describe-tasks*) echo CannotPullContainerError ;;
get-log-events*) echo "table warehouse.places" ;;
esac
"""


def calls_in(file: Path) -> list[list[str]]:
    """Return the arguments of each call of `aws` that was noted."""
    calls: list[list[str]] = [[]]
    for argument in file.read_text().split("\0") if file.exists() else []:
        if argument == "\n":
            calls.append([])
        else:
            calls[-1].append(argument)
    return calls[:-1]


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


def check(call: list[str], session: Session) -> None:
    """Check by AWS's own models that an operation exists and takes these options."""
    service, operation, *rest = call
    if operation == "wait":
        names = session.get_waiter_model(service).waiter_names
        operation = (
            session.get_waiter_model(service).get_waiter(next(n for n in names if xform_name(n, "-") == rest[0])).operation
        )
    model = session.get_service_model(service)
    (found,) = [name for name in model.operation_names if name.lower() == operation.replace("-", "").lower()]
    members = {name.lower() for name in model.operation_model(found).input_shape.members} | {"query", "output"}
    options = [one[2:].replace("-", "") for one in rest if one.startswith("--")]
    assert set(options) <= members, call


@pytest.fixture
def run(tmp_path: Path, session: Session) -> Any:
    """Run the script; the second value is the calls of `aws`."""
    (tmp_path / "aws").write_text(AWS)
    (tmp_path / "aws").chmod(0o755)

    def script(
        *arguments: str, code: str = "0", busy: int = 0, answers: dict[str, str] = ANSWERS
    ) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
        calls = tmp_path / "calls"
        outputs = {f"OUT_{name}": value for name, value in answers.items()}
        environment = {"PATH": f"{tmp_path}:{os.defpath}", "CALLS": str(calls), "CODE": code, "BUSY": str(busy), "TASK": TASK}
        done = subprocess.run(
            [FOLDER / "run-task", *arguments],
            env=environment | outputs,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        made = calls_in(calls)
        for one in made:
            check(one, session)
        return done, made

    return script


def test_it_runs_the_command_prints_its_output_and_ends_with_its_code(run: Any) -> None:
    done, calls = run("stack", "bulkhead", "key", "create", 'a "first" key', code="3")
    assert (done.returncode, done.stdout) == (3, "table warehouse.places\n"), done.stderr
    (started,) = [call for call in calls if call[1] == "run-task"]
    overrides = json.loads(started[started.index("--overrides") + 1])
    assert overrides == {
        "containerOverrides": [{"name": "operator", "command": ["bulkhead", "key", "create", 'a "first" key']}]
    }
    (logs,) = [call for call in calls if call[1] == "get-log-events"]
    assert logs[logs.index("--log-stream-name") + 1] == "operator/operator/0123abcd"
    assert not [call for call in calls if call[1] == "delete-log-stream"]


def test_it_waits_on_when_the_waiter_has_given_up(run: Any) -> None:
    done, calls = run("stack", "bulkhead", "migrate", busy=1)
    assert done.returncode == 0, done.stderr
    assert "It is running" in done.stderr
    assert sum(call[1] == "wait" for call in calls) == 2


def test_it_forgets_the_output_if_told_to(run: Any) -> None:
    done, calls = run("--forget", "stack", "bulkhead", "key", "create", "first")
    assert done.returncode == 0, done.stderr
    assert [call[1] for call in calls[-3:]] == ["get-log-events", "delete-log-stream", "describe-tasks"]


def test_a_command_that_did_not_start_is_an_error_with_the_reason(run: Any) -> None:
    done, _ = run("stack", "bulkhead", "migrate", code="None")
    assert done.returncode == 1
    assert "CannotPullContainerError" in done.stderr


def test_another_stack_is_an_error_that_says_so(run: Any) -> None:
    done, calls = run("stack", "bulkhead", "migrate", answers={})
    assert done.returncode == 1
    assert "the stack stack has no output ClusterName" in done.stderr
    assert not [call for call in calls if call[1] == "run-task"]


@pytest.mark.parametrize("arguments", [(), ("stack",), ("--forget", "stack")])
def test_without_a_command_it_says_how_it_is_used(run: Any, arguments: tuple[str, ...]) -> None:
    done, calls = run(*arguments)
    assert (done.returncode, calls) == (2, [])
    assert "./run-task STACK bulkhead migrate" in done.stderr


def test_the_stack_has_the_outputs_that_it_reads() -> None:
    assert set(ANSWERS) <= set(read("template.yaml")["Outputs"])
    (task,) = [one for one in read("cluster.yaml")["Resources"].values() if one["Type"] == "AWS::ECS::TaskDefinition"]
    (container,) = task["Properties"]["ContainerDefinitions"]
    assert container["Name"] == container["LogConfiguration"]["Options"]["awslogs-stream-prefix"] == "operator"
