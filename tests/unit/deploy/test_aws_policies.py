"""The roles in deploy/aws/: what is not S3, of which moto's policy engine is asked directly."""

from __future__ import annotations

import json

import pytest
from moto.iam.access_control import IAMPolicy, PermissionResult

from tests.support.aws_roles import BUCKET_ARN, KEY_ARN, LOG_GROUP_ARN, SECRET_ARN, Statement, function_statements, statements
from tests.support.cloudformation import ACCOUNT, REGION

ROLES = ("Web", "Worker", "Operator")


def allows(granted: list[Statement], action: str, resource: str, **context: str) -> bool:
    """Return whether these statements allow an action, with these values of condition keys."""
    engine = IAMPolicy(json.dumps({"Version": "2012-10-17", "Statement": granted}))
    return engine.is_action_permitted(action, resource, None, context or None) is PermissionResult.PERMITTED


FUNCTION = {"TemporalSecretArn": f"{SECRET_ARN}temporal"}


def test_the_lambda_may_do_what_the_handler_does() -> None:
    granted = function_statements(**FUNCTION)
    assert allows(granted, "logs:PutLogEvents", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:function:log-stream:1")
    assert allows(granted, "sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead-letters")
    assert allows(granted, "secretsmanager:GetSecretValue", f"{SECRET_ARN}temporal")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        *((f"s3:{one}Object", f"{BUCKET_ARN}/incoming/places/a.csv") for one in ("Get", "Put", "Delete")),
        ("s3:GetObject", f"{BUCKET_ARN}/results/1/failed.csv"),
        ("s3:ListBucket", BUCKET_ARN),
        ("secretsmanager:GetSecretValue", f"{SECRET_ARN}url"),
        ("secretsmanager:PutSecretValue", f"{SECRET_ARN}temporal"),
        ("sqs:ReceiveMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead-letters"),
        ("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:other"),
        ("logs:PutLogEvents", f"{LOG_GROUP_ARN}:log-stream:1"),
        ("kms:Decrypt", KEY_ARN),
        ("ec2:CreateNetworkInterface", "*"),
        ("iam:PassRole", "*"),
        ("lambda:InvokeFunction", "*"),
    ],
)
def test_the_lambda_may_do_nothing_else(action: str, resource: str) -> None:
    assert not allows(function_statements(**FUNCTION), action, resource)


def test_the_lambda_may_join_a_vpc_only_if_it_is_in_one() -> None:
    assert allows(function_statements(**FUNCTION, LambdaInVpc="true"), "ec2:CreateNetworkInterface", "*")


def test_the_lambda_may_read_no_secret_if_there_is_none() -> None:
    assert not allows(function_statements(), "secretsmanager:GetSecretValue", f"{SECRET_ARN}temporal")


def test_the_key_is_used_through_s3_only() -> None:
    for role in ROLES:
        granted = statements(role)
        assert allows(granted, "kms:GenerateDataKey", KEY_ARN, **{"kms:ViaService": f"s3.{REGION}.amazonaws.com"})
        assert not allows(granted, "kms:GenerateDataKey", KEY_ARN, **{"kms:ViaService": f"rds.{REGION}.amazonaws.com"})
        assert not allows(granted, "kms:ScheduleKeyDeletion", KEY_ARN)


def test_ecs_reads_the_secrets_that_tasks_are_given_and_no_others() -> None:
    granted = statements("Execution")
    assert allows(granted, "secretsmanager:GetSecretValue", f"{SECRET_ARN}url")
    assert not allows(granted, "secretsmanager:GetSecretValue", f"{SECRET_ARN}other")
    assert not allows(granted, "s3:GetObject", f"{BUCKET_ARN}/settings.env")
    with_file = statements("Execution", EnvironmentFileArn=f"{BUCKET_ARN}/settings.env")
    assert allows(with_file, "s3:GetObject", f"{BUCKET_ARN}/settings.env")
    assert allows(with_file, "s3:GetBucketLocation", BUCKET_ARN)
    assert not allows(with_file, "s3:GetObject", f"{BUCKET_ARN}/incoming/places/a.csv")
    foreign = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/2"
    via = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
    assert not allows(granted, "kms:Decrypt", foreign, **via)
    assert allows(statements("Execution", ForeignKeyArns=foreign), "kms:Decrypt", foreign, **via)


@pytest.mark.parametrize("role", ROLES)
def test_tasks_read_no_secret_themselves(role: str) -> None:
    assert not allows(statements(role), "secretsmanager:GetSecretValue", f"{SECRET_ARN}url")


@pytest.mark.parametrize("role", ROLES)
def test_the_database_is_logged_into_by_iam_only_if_that_is_on(role: str) -> None:
    user = f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:db-A/bulkhead"
    assert not allows(statements(role), "rds-db:connect", user)
    granted = statements(role, DatabaseResourceId="db-A", ReplicaResourceId="db-B")
    assert allows(granted, "rds-db:connect", user)
    assert allows(granted, "rds-db:connect", user.replace("db-A", "db-B"))
    assert not allows(granted, "rds-db:connect", user.replace("db-A", "db-C"))
    assert not allows(granted, "rds-db:connect", user.replace("/bulkhead", "/postgres"))
