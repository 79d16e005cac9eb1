"""The roles in deploy/aws/, tried with moto's policy engine: our code can do its work with them, and nothing else can be done.

What moto does not know: it checks DeleteObjects on the bucket instead of each key (so keys are deleted one by one here), and
asks for no right to read the tags of what is copied, and for none on KMS keys.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core.authorization import ActionAuthenticatorMixin

from pipeline.adapters.s3 import CHUNK_BYTES, Store
from pipeline.cli import doctor
from pipeline.errors import SystemFault
from pipeline.expired_uploads import ROOTS
from pipeline.settings import Settings
from tests.support.aws_roles import BUCKET, Statement, as_list, statements
from tests.support.cloudformation import ACCOUNT, REGION

# --- our own code, with the credentials of a role ---


@pytest.fixture(scope="module")
def account() -> Iterator[tuple[Any, Any, Any]]:
    """Clients of an account that may do everything: IAM, STS and S3, with the bucket and a role."""
    with mock_aws():
        root = {"aws_access_key_id": "root", "aws_secret_access_key": "root", "region_name": REGION}
        iam, sts, s3 = (boto3.client(name, **root) for name in ("iam", "sts", "s3"))  # type: ignore[call-overload]
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        iam.create_role(RoleName="task", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
        yield iam, sts, s3


@pytest.fixture
def s3_of(account: tuple[Any, Any, Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Statement]], Store]:
    """The bucket as a role with these statements reaches it; every request is checked.

    In each prefix are an object and an upload that a killed process left open.
    """
    iam, sts, s3 = account
    for upload in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    for root in ("incoming/places", "batches", "reports", "results", "audits", "patches", "drafts", "dropped", "private"):
        s3.put_object(Bucket=BUCKET, Key=f"{root}/1/a", Body=b"x")
        upload_id = s3.create_multipart_upload(Bucket=BUCKET, Key=f"{root}/9/a")["UploadId"]
        s3.upload_part(Bucket=BUCKET, Key=f"{root}/9/a", UploadId=upload_id, PartNumber=1, Body=b"x")

    def store(granted: list[Statement]) -> Store:
        monkeypatch.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", float("inf"))
        document = json.dumps({"Version": "2012-10-17", "Statement": granted})
        iam.put_role_policy(RoleName="task", PolicyName="policy", PolicyDocument=document)
        keys = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/task", RoleSessionName="test")["Credentials"]
        monkeypatch.setattr(ActionAuthenticatorMixin, "request_count", 0)
        monkeypatch.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0)
        made = Store(
            BUCKET,
            region=REGION,
            access_key=keys["AccessKeyId"],
            secret_key=keys["SecretAccessKey"],
            session_token=keys["SessionToken"],
        )
        monkeypatch.setattr(made._s3, "delete_objects", lambda Bucket, Delete: delete_each(made, Bucket, Delete))  # noqa: N803
        return made

    return store


def delete_each(store: Store, bucket: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Delete one by one what DeleteObjects deletes at once; AWS asks for the same right on each key."""
    for one in wanted["Objects"]:
        store._s3.delete_object(Bucket=bucket, Key=one["Key"])
    return {}


def web_s_work(store: Store, tmp_path: Path) -> None:
    """Do what web/ and pipeline/receive/ do in the web app."""
    store.must_answer()
    store.put_stream("incoming/places/2/a.csv", io.BytesIO(b"x"), metadata={"a": "b"})
    store.copy("incoming/places/1/a", "incoming/places/3/a.csv")
    store.delete("incoming/places/3/a.csv")
    upload = store.begin_upload("incoming/places/4/a.csv")
    assert store.sign_part("incoming/places/4/a.csv", upload, 1, seconds=60)
    etag = store._s3.upload_part(  # as a browser does with that URL
        Bucket=BUCKET, Key="incoming/places/4/a.csv", UploadId=upload, PartNumber=1, Body=b"x"
    )["ETag"]
    assert store.parts("incoming/places/4/a.csv", upload)
    store.complete("incoming/places/4/a.csv", upload, [(1, etag.strip('"'))])
    store.abort("incoming/places/5/a.csv", store.begin_upload("incoming/places/5/a.csv"))
    assert store.sign_form("incoming/places/6/a.csv", bytes_max=10, seconds=60)
    store.put_stream("drafts/2/2/file", io.BytesIO(b"x"), metadata={"a": "b"})
    store.copy("drafts/2/2/file", "incoming/places/7/a.csv")
    store.delete("drafts/2/2/file")
    store.put_bytes("patches/2/a", b"x")
    store.delete("patches/2/a")
    store.put_bytes("dropped/places/2/a", b"x")
    store.abort("dropped/places/2/b", store.begin_upload("dropped/places/2/b"))
    assert store.delete_prefix("dropped/places/2/") == 1
    assert [*store.list("results/1/")]
    for key in ("incoming/places/1/a", "reports/1/a", "results/1/a", "audits/1/a", "patches/1/a", "drafts/1/a"):
        stored = store.head(key)
        assert stored
        assert store.get_bytes(key) == store.get_range(key, 0, 0, stored.etag) == b"x"


def worker_s_work(store: Store, tmp_path: Path) -> None:
    """Do what pipeline/orchestration/, pipeline/receive/ and pipeline/retention.py do in a worker."""
    file = tmp_path / "file"
    file.write_bytes(b"x")
    store.get_file("incoming/places/1/a", tmp_path / "got")
    for root in ("batches", "reports", "results", "audits"):
        store.put_file(f"{root}/2/a", file)
        store.put_bytes(f"{root}/2/b", b"x")
        store.get_bytes(f"{root}/2/b")
        assert [*store.folders(f"{root}/")]
        assert store.delete_prefix(f"{root}/2/") == 2
    store.copy_whole("reports/1/a", "reports/3/a")
    assert [*store.pages("incoming/")]
    assert store.get_bytes("patches/1/a") == b"x"
    for root in ("patches", "dropped"):
        assert store.delete_prefix(f"{root}/1/") == 1
    (draft,) = store.list("drafts/1/a")
    assert store.delete_if(draft)
    for root in ROOTS:
        assert [*store.uploads(root)]
    for page in [*store.uploads("incoming/")]:
        for upload in page:
            assert store.last_heard(upload)
            store.abort(upload.key, upload.upload_id)
    (stored,) = store.list("incoming/places/1/a")
    assert store.delete_if(stored)
    for root in ROOTS:
        for page in [*store.uploads(root)]:
            for upload in page:
                store.last_heard(upload)
                store.abort(upload.key, upload.upload_id)


def operator_s_work(store: Store, tmp_path: Path) -> None:
    """Do what `bulkhead doctor` does; migrate and key do nothing in S3 in AWS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "of", lambda settings: store)
        doctor.object_store.object_store(Settings(BULKHEAD_BUCKET=BUCKET))


ALL: list[Statement] = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
WORK = {"Web": web_s_work, "Worker": worker_s_work, "Operator": operator_s_work}


@pytest.mark.parametrize("role", WORK)
def test_a_role_suffices_for_what_its_process_does(
    role: str, s3_of: Callable[[list[Statement]], Store], tmp_path: Path
) -> None:
    WORK[role](s3_of(statements(role)), tmp_path)


def test_a_large_upload_by_parts(s3_of: Callable[[list[Statement]], Store]) -> None:
    stored = s3_of(statements("Web")).put_stream("incoming/places/1/b.csv", io.BytesIO(b"x" * (CHUNK_BYTES + 1)))
    assert stored.size_bytes == CHUNK_BYTES + 1


NOT_ASKED_FOR_BY_MOTO = {("Web", "s3:GetObjectTagging"), ("Web", "s3:PutObjectTagging")}


def removals() -> Iterator[Any]:
    """Yield each role with one action, or one resource, removed from one of its statements on the bucket."""
    for role in WORK:
        for number, statement in enumerate(statements(role)):
            actions = as_list(statement["Action"])
            if not actions[0].startswith("s3:") or (role, actions[0]) in NOT_ASKED_FOR_BY_MOTO:
                continue
            for field in ("Action", "Resource"):
                for removed in as_list(statement[field]):
                    yield pytest.param(role, number, field, removed, id=f"{role}-{statement['Sid']}-{removed}")


@pytest.mark.parametrize(("role", "number", "field", "removed"), [*removals()])
def test_no_right_is_superfluous(
    role: str, number: int, field: str, removed: str, s3_of: Callable[[list[Statement]], Store], tmp_path: Path
) -> None:
    granted = copy.deepcopy(statements(role))
    granted[number][field] = [one for one in as_list(granted[number][field]) if one != removed] or ["none:none"]
    with pytest.raises((SystemFault, doctor.Wrong, ClientError)):
        WORK[role](s3_of(granted), tmp_path)


REFUSED: dict[str, list[Callable[[Store], Any]]] = {
    "Web": [
        lambda store: store.get_bytes("batches/1/a"),
        lambda store: store.get_bytes("private/1/a"),
        lambda store: store.put_bytes("reports/1/a", b"x"),
        lambda store: store.put_bytes("results/1/a", b"x"),
        lambda store: store.put_bytes("audits/1/a", b"x"),
        lambda store: store.delete("reports/1/a"),
        lambda store: store.delete("results/1/a"),
        lambda store: store.begin_upload("batches/1/a"),
        lambda store: store.get_bytes("dropped/1/a"),
    ],
    "Worker": [
        lambda store: store.put_bytes("incoming/places/1/a", b"x"),
        lambda store: store.copy_whole("reports/1/a", "incoming/places/7/a"),
        lambda store: store.get_bytes("private/1/a"),
        lambda store: store.delete("private/1/a"),
        lambda store: store.put_bytes("private/b", b"x"),
    ],
    "Operator": [
        lambda store: store.get_bytes("incoming/places/1/a"),
        lambda store: store.delete("incoming/places/1/a"),
        lambda store: store.put_bytes("incoming/places/1/a", b"x"),
        lambda store: store.get_bytes("results/1/a"),
    ],
}


@pytest.mark.parametrize(
    ("role", "attempt"),
    [pytest.param(role, one, id=f"{role}-{n}") for role, all_ in REFUSED.items() for n, one in enumerate(all_)],
)
def test_what_a_role_does_not_need_is_refused(
    role: str, attempt: Callable[[Store], Any], s3_of: Callable[[list[Statement]], Store]
) -> None:
    attempt(s3_of(ALL))
    with pytest.raises(SystemFault, match=r"AccessDenied|403|Forbidden"):
        attempt(s3_of(statements(role)))


@pytest.mark.parametrize("role", WORK)
@pytest.mark.parametrize(
    "call",
    [
        *("delete_bucket", "get_bucket_policy", "get_bucket_versioning", "list_object_versions"),
        *("delete_bucket_policy", "get_bucket_lifecycle_configuration"),
    ],
)
def test_no_task_may_touch_the_bucket_itself(role: str, call: str, s3_of: Callable[[list[Statement]], Store]) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(s3_of(statements(role))._s3, call)(Bucket=BUCKET)
