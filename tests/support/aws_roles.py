"""What the roles in deploy/aws/ may do, as CloudFormation renders it."""

from __future__ import annotations

from typing import Any

from tests.support.cloudformation import ACCOUNT, REGION, Resolver, read

BUCKET = "bulkhead-files"
BUCKET_ARN = f"arn:aws:s3:::{BUCKET}"
KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
LOG_GROUP_ARN = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:tasks"
SECRET_ARN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"

Statement = dict[str, Any]


def parameters(**other: str) -> dict[str, str]:
    """Return parameters of access.yaml, with the least that can be given."""
    return {
        "BucketArn": BUCKET_ARN,
        "KeyArn": KEY_ARN,
        "SecretArns": f"{SECRET_ARN}url,{SECRET_ARN}temporal",
        "ForeignKeyArns": "",
        "EnvironmentFileArn": "",
        "DatabaseResourceId": "",
        "ReplicaResourceId": "",
        "LogGroupArn": LOG_GROUP_ARN,
        "RepositoryArn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/bulkhead",
        **other,
    }


def statements(role: str, **other: str) -> list[Statement]:
    """Return what a role of access.yaml may do, from its own policies and from the common one if it has that."""
    template = read("access.yaml")
    resolve = Resolver(template, parameters(**other))
    properties = resolve(template["Resources"][role]["Properties"])
    documents = [policy["PolicyDocument"] for policy in properties["Policies"]]
    if "ManagedPolicyArns" in properties:
        assert properties["ManagedPolicyArns"] == ["Common"]
        documents.append(resolve(template["Resources"]["Common"]["Properties"]["PolicyDocument"]))
    return [statement for document in documents for statement in document["Statement"]]


def function_statements(**other: str) -> list[Statement]:
    """Return what the Lambda's role in template.yaml may do."""
    template = read("template.yaml")
    attributes = {
        "FunctionLogs.Arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:function:*",
        "DeadLetters.Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead-letters",
    }
    (policy,) = Resolver(template, other, attributes)(template["Resources"]["FunctionRole"]["Properties"]["Policies"])
    found: list[Statement] = policy["PolicyDocument"]["Statement"]
    return found


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
