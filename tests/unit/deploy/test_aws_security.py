"""The templates in deploy/aws/ are secure by checkov's rules, and by those of ours that it does not have."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.cloudformation import FOLDER, TEMPLATES, nodes, read, resources

CHECKOV = Path(sys.prefix) / "deploy" / "bin" / "checkov"


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What checkov says of the templates, and of two that were weakened on purpose, in the folder weakened/."""
    if not CHECKOV.exists():
        pytest.skip("checkov is not installed; `make setup` does that")
    folder = tmp_path_factory.mktemp("aws")
    for file in TEMPLATES:
        shutil.copy(file, folder)
    (folder / "weakened").mkdir()
    storage, database = (FOLDER / "storage.yaml").read_text(), (FOLDER / "database.yaml").read_text()
    (folder / "weakened" / "storage.yaml").write_text(storage.replace("BlockPublicPolicy: true", "BlockPublicPolicy: false"))
    (folder / "weakened" / "database.yaml").write_text(database.replace("StorageEncrypted: true", "StorageEncrypted: false"))
    command = [CHECKOV, "--directory", folder, "--framework", "cloudformation", "--skip-download", "--output", "json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    )
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["summary"]["parsing_errors"] == 0
    return cast(dict[str, Any], found["results"])


def of_ours(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in checks if not one["file_path"].startswith("/weakened/")]


def test_checkov_finds_nothing(scanned: dict[str, Any]) -> None:
    failed = [(one["check_id"], one["check_name"], one["resource"]) for one in of_ours(scanned["failed_checks"])]
    assert failed == []
    assert {one["file_path"] for one in of_ours(scanned["passed_checks"])} >= {
        f"/{file.name}" for file in TEMPLATES if file.stem != "cluster"
    }


def test_checkov_finds_what_was_weakened(scanned: dict[str, Any]) -> None:
    failed = {(one["file_path"], one["check_id"]) for one in scanned["failed_checks"]}
    assert {("/weakened/storage.yaml", "CKV_AWS_54"), ("/weakened/database.yaml", "CKV_AWS_16")} <= failed


def test_each_exception_from_checkov_is_used_and_has_a_reason(scanned: dict[str, Any]) -> None:
    written = {
        (f"/{file.name}", skip["id"], f"{one['Type']}.{name}")
        for file in TEMPLATES
        for name, one in read(file.name)["Resources"].items()
        for skip in one.get("Metadata", {}).get("checkov", {}).get("skip", [])
        if skip["comment"]
    }
    used = {(one["file_path"], one["check_id"], one["resource"]) for one in of_ours(scanned["skipped_checks"])}
    assert used == written


def every(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the resources of a type in all templates, named file:resource."""
    for file in TEMPLATES:
        for name, one in resources(read(file.name), kind).items():
            yield f"{file.name}:{name}", one


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the statements of all policies in all templates, named file:resource:number or Sid."""
    for file in TEMPLATES:
        for name, one in read(file.name)["Resources"].items():
            found = [node for node in nodes(one.get("Properties", {})) if isinstance(node, Mapping) and "Effect" in node]
            for number, statement in enumerate(found):
                yield f"{file.name}:{name}:{statement.get('Sid', number)}", statement


WILDCARDS = {
    "storage.yaml:Key:TheAccountDecidesByItsPolicies": "a key's policy is about that key; without this nothing could manage it",
    "storage.yaml:Key:LogGroups": "the same; the condition names this account's log groups",
    "access.yaml:Execution:SignInToTheRegistry": "the action has no resource",
    "template.yaml:FunctionRole:JoinTheVpc": "AWS's own policy for functions in a VPC has no narrower resource",
}
"""Statements that allow all actions of a service, or name all resources, and why."""


def test_no_policy_allows_everything() -> None:
    wide = set()
    for name, statement in statements():
        actions, resource = statement["Action"], statement.get("Resource")
        is_wide = any(str(one).endswith(":*") or one == "*" for one in (actions if isinstance(actions, list) else [actions]))
        if statement["Effect"] == "Allow" and (is_wide or resource == "*"):
            wide.add(name)
    assert wide == set(WILDCARDS)
    assert not [name for name, one in statements() if one["Effect"] == "Allow" and one.get("Principal") in ("*", {"AWS": "*"})]


def test_the_resources_that_hold_something_survive_the_stack() -> None:
    keeps = {"AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SecretsManager::Secret", "AWS::Logs::LogGroup", "AWS::SQS::Queue"}
    for kind in keeps:
        assert [name for name, one in every(kind) if one.get("DeletionPolicy") != one.get("UpdateReplacePolicy")] == []
        assert [name for name, one in every(kind) if one.get("DeletionPolicy") != "Retain"] == []
    policies = {name: one["DeletionPolicy"] for name, one in every("AWS::RDS::DBInstance")}
    assert policies == {"database.yaml:Database": "Snapshot", "database.yaml:Replica": "Delete"}


def test_logs_are_kept_for_a_time_and_encrypted() -> None:
    groups = dict(every("AWS::Logs::LogGroup"))
    assert len(groups) == 3
    for name, one in groups.items():
        assert one["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}, name
        assert "KmsKeyId" in one["Properties"], name


def test_buckets_are_private_versioned_encrypted_and_reached_by_tls() -> None:
    buckets = dict(every("AWS::S3::Bucket"))
    assert len(buckets) == 2
    for name, one in buckets.items():
        assert all(one["Properties"]["PublicAccessBlockConfiguration"].values()), name
        assert one["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}, name
        assert one["Properties"]["BucketEncryption"], name
    for kind, count in (("AWS::S3::BucketPolicy", 2), ("AWS::SQS::QueuePolicy", 1)):
        policies = dict(every(kind))
        assert len(policies) == count
        for name, one in policies.items():
            denied = [s for s in one["Properties"]["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
            assert any(s["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} for s in denied), name


def test_only_the_load_balancer_is_open_to_the_internet() -> None:
    open_ports = {}
    for name, one in [*every("AWS::EC2::SecurityGroup"), *every("AWS::EC2::SecurityGroupIngress")]:
        properties = one["Properties"]
        for rule in properties.get("SecurityGroupIngress", [properties] if "FromPort" in properties else []):
            if "CidrIp" in rule or "CidrIpv6" in rule:
                open_ports.setdefault(name, []).append((rule["FromPort"], rule["ToPort"]))
    assert open_ports == {"security-groups.yaml:LoadBalancer": [(443, 443), (80, 80)]}
    assert [name for name, one in every("AWS::EC2::Subnet") if one["Properties"]["MapPublicIpOnLaunch"]] == []
    for name, one in every("AWS::ECS::Service"):
        assert one["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED", name


def test_http_is_redirected_and_https_takes_no_old_tls() -> None:
    listeners = {one["Properties"]["Port"]: one["Properties"] for _, one in every("AWS::ElasticLoadBalancingV2::Listener")}
    assert set(listeners) == {80, 443}
    assert listeners[80]["DefaultActions"][0]["RedirectConfig"]["Protocol"] == "HTTPS"
    assert listeners[443]["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"


def test_the_database_is_encrypted_kept_and_takes_tls_only() -> None:
    template = read("database.yaml")
    properties = template["Resources"]["Database"]["Properties"]
    assert (properties["StorageEncrypted"], properties["PubliclyAccessible"]) == (True, False)
    assert template["Parameters"]["BackupDays"]["MinValue"] == 1
    parameters = template["Resources"]["Parameters"]["Properties"]["Parameters"]
    assert (parameters["rds.force_ssl"], parameters["ssl_min_protocol_version"]) == ("1", "TLSv1.2")
    assert properties["DBParameterGroupName"] == {"Ref": "Parameters"}
    assert "{{resolve:secretsmanager:" in properties["MasterUserPassword"]["Fn::Sub"]


def test_every_alarm_tells_the_topic_what_to_do() -> None:
    alarms = dict(every("AWS::CloudWatch::Alarm"))
    metrics = {one["Properties"]["MetricName"] for one in alarms.values()}
    assert metrics >= {
        *("Errors", "Throttles", "ApproximateNumberOfMessagesVisible", "FailedInvocations", "RunningTaskCount"),
        *("HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count", "FreeStorageSpace", "CPUUtilization", "ReplicaLag"),
    }
    for name, one in alarms.items():
        assert one["Properties"]["AlarmDescription"].endswith("."), name
        assert one["Properties"]["AlarmActions"]["Fn::If"][:2] == ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}]], name


def test_a_failed_event_is_tried_again_and_then_kept() -> None:
    (function,) = resources(read("template.yaml"), "AWS::Serverless::Function").values()
    invoke = function["Properties"]["EventInvokeConfig"]
    assert invoke["MaximumRetryAttempts"] == 2
    assert invoke["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    rule = function["Properties"]["Events"]["ObjectCreated"]["Properties"]
    assert rule["DeadLetterConfig"]["Arn"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}
