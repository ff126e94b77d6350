"""A pod's role in the place of keys: STS is shown the token that the cluster gives, and S3 sees the keys that come of it."""

import pytest

from concord.kit.blobs.s3 import s3_blobs
from concord.kit.errors import InvalidInput, Unavailable
from concord.kit.ids import uri_of
from concord.wiring import SERVICES
from tests.faulty_s3 import faulty_s3
from tests.manifests import containers, of_kind, with_components
from tests.sts import ROLE, sts


@pytest.fixture
def token(s3_keys, monkeypatch, tmp_path):
    """The file of a pod's token; no key is anywhere."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    (tmp_path / "token").write_text("first")
    return tmp_path / "token"


@pytest.fixture
def role_server(token, monkeypatch):
    with sts() as server:
        server.trusted.add("first")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        yield server


def test_a_role_is_enough_and_its_keys_are_asked_for_once(role_server):
    with faulty_s3() as s3:
        blobs = s3_blobs(s3.url)
        assert blobs.get(blobs.put(b"x")) == b"x"
        assert set(s3.signed_by) == {("KEY1", "session-KEY1")}
        assert role_server.tokens == ["first"]


def test_keys_that_run_out_are_renewed_by_the_token_that_is_there_then(role_server, token):
    role_server.life_s = 60
    with faulty_s3() as s3:
        blobs = s3_blobs(s3.url)
        role_server.trusted = {"second"}
        token.write_text("second")
        role_server.life_s = 3600
        blobs.put(b"x")
        assert role_server.tokens[-1] == "second"
        assert s3.signed_by[-1][0] == f"KEY{len(role_server.tokens)}"


def test_a_role_that_is_not_given_is_said_at_the_start(role_server):
    role_server.trusted.clear()
    with (
        faulty_s3() as s3,
        pytest.raises(InvalidInput, match=r"role of AWS_ROLE_ARN is not given to this process.*issuer"),
    ):
        s3_blobs(s3.url)


def test_a_token_that_is_missing_is_named_and_is_no_missing_blob(role_server, token):
    token.unlink()
    with (
        faulty_s3() as s3,
        pytest.raises(InvalidInput, match=f"{token}, which AWS_WEB_IDENTITY_TOKEN_FILE names, is not there"),
    ):
        s3_blobs(s3.url)


def test_an_sts_that_is_away_is_an_outage(token, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    with faulty_s3() as s3, pytest.raises(Unavailable, match="does not answer"):
        s3_blobs(s3.url).get(uri_of(b"x"))


@pytest.mark.parametrize(
    ("component", "annotation"),
    [("role-eks", "eks.amazonaws.com/role-arn"), ("role-gke", "iam.gke.io/gcp-service-account")],
)
def test_every_service_account_that_holds_blobs_has_its_clouds_role_and_no_other_has(component, annotation):
    accounts = of_kind("ServiceAccount", with_components("prod", component))
    having = {name for name, one in accounts.items() if annotation in one["metadata"].get("annotations", {})}
    assert having == set(SERVICES)


def test_google_s_metadata_server_is_reached_by_who_needs_its_tokens_alone():
    policy = of_kind("NetworkPolicy", with_components("prod", "role-gke"))["metadata-server"]["spec"]
    assert policy["podSelector"] == {"matchLabels": {"app.kubernetes.io/component": "service"}}
    assert {to["ipBlock"]["cidr"] for rule in policy["egress"] for to in rule["to"]} == {
        "169.254.169.254/32",
        "169.254.169.252/32",
    }


def test_a_cluster_of_ones_own_gives_its_token_where_the_clients_look_for_it():
    shown = with_components("prod", "role-token")
    for name in SERVICES:
        deployment = of_kind("Deployment", shown)[name]
        (container,) = containers(deployment)
        said = {one["name"]: one.get("value") for one in container["env"]}
        (volume,) = [one for one in deployment["spec"]["template"]["spec"]["volumes"] if one["name"] == "cloud-token"]
        (source,) = volume["projected"]["sources"]
        assert source["serviceAccountToken"]["audience"] == "sts.amazonaws.com"
        at = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}["cloud-token"]
        assert said["AWS_WEB_IDENTITY_TOKEN_FILE"] == f"{at}/{source['serviceAccountToken']['path']}"
        assert said["AWS_ROLE_ARN"] == ROLE
        # What is in no Secret is not set, so the role is what is left.
        keys = {one["name"]: one for one in container["env"] if one["name"].startswith("AWS_") and "valueFrom" in one}
        assert all(one["valueFrom"]["secretKeyRef"]["optional"] for one in keys.values()) and len(keys) == 2
