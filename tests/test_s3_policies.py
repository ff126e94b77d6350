"""deploy/s3/policies.py on a real S3 server: each service gets on with its own key, and does nothing that is not its own."""

import json
import subprocess
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from concord.kit.blobs.s3 import s3_blobs
from concord.kit.errors import ConcordError
from deploy.local import s3 as servers
from deploy.local.broker import free_port
from deploy.local.servers import dies_with_parent, ended, started
from deploy.s3.policies import RIGHTS, policy, user

BUCKET, PREFIX, SECRET = "guarded", "team-a", "a-secret-of-the-tests"


def with_users(folder: Path):
    """A real server that knows users, its endpoint, and what ends it."""
    for name in ("objects", "users"):
        (folder / name).mkdir()
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    words = [str(servers.VERSITY), "--port", f"127.0.0.1:{port}", "--quiet", "--iam-dir", str(folder / "users")]
    command = dies_with_parent([*words, "posix", str(folder / "objects")], 9)
    environment = {"ROOT_ACCESS_KEY": servers.KEY, "ROOT_SECRET_KEY": servers.SECRET, "HOME": str(folder)}
    log = folder / "server.log"
    return endpoint, started("the S3 server", command, log, lambda: servers._answers(port), servers.UP_S, environment)


def client(endpoint: str, key: str, secret: str):
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
    )


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The endpoint of a bucket with the policy, an object in it and one beside the prefix, and a key for each service."""
    if not servers.VERSITY.exists():
        pytest.skip("no real S3 server: make s3")
    endpoint, process = with_users(tmp_path_factory.mktemp("guarded"))
    admin = [str(servers.VERSITY), "admin", "-a", servers.KEY, "-s", servers.SECRET, "-er", endpoint, "create-user"]
    for name in (*RIGHTS, "stranger"):
        made = ["-a", user(name), "-s", SECRET, "-r", "user"]
        subprocess.run([*admin, *made], check=True, capture_output=True, timeout=60)
    root = client(endpoint, servers.KEY, servers.SECRET)
    root.create_bucket(Bucket=BUCKET)
    root.put_object(Bucket=BUCKET, Key=f"{PREFIX}/blobs/one", Body=b"one")
    root.put_object(Bucket=BUCKET, Key="other/blobs/one", Body=b"other")
    root.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy(BUCKET, PREFIX)))
    yield endpoint
    ended(process, 15, 10.0)


def may(call, **said) -> bool:
    try:
        call(Bucket=BUCKET, **said)
        return True
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied", error
        return False


@pytest.mark.parametrize("service", [*RIGHTS, "stranger"])
def test_a_key_may_do_below_the_prefix_what_its_service_does_and_nothing_else(guarded, service):
    own = client(guarded, user(service), SECRET)
    known, rights = service in RIGHTS, RIGHTS.get(service, ())
    assert may(own.get_object, Key=f"{PREFIX}/blobs/one") is known
    assert may(own.put_object, Key=f"{PREFIX}/blobs/{service}", Body=b"x") is known
    assert may(own.list_objects_v2) is known
    assert may(own.delete_object, Key=f"{PREFIX}/blobs/{service}") is ("s3:DeleteObject" in rights)
    for call, more in ((own.get_object, {}), (own.put_object, {"Body": b"x"}), (own.delete_object, {})):
        assert not may(call, Key="other/blobs/one", **more)


def test_a_service_stores_reads_and_marks_with_its_own_key_and_cannot_delete(guarded, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", user("labeling"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    for name, value in servers.ALONE.items():
        monkeypatch.setenv(name, value)
    blobs = s3_blobs(f"s3://{BUCKET}/{PREFIX}?endpoint_url={guarded}&region=us-east-1")
    uri = blobs.put(b"a shard")
    assert blobs.get(uri) == b"a shard" and blobs.put_if_absent("done/1", b"first") == b"first"
    assert blobs.marker("done/2") is None
    with pytest.raises(ConcordError, match="refuses the key"):
        blobs.drop(uri)
    assert blobs.get(uri) == b"a shard"


def test_amazons_principals_are_roles_of_the_account():
    said = policy("bucket", amazon="123456789012")["Statement"]
    assert isinstance(said, list) and said[0]["Resource"] == ["arn:aws:s3:::bucket/*"]
    assert "arn:aws:iam::123456789012:role/concord-runs" in said[0]["Principal"]["AWS"]
