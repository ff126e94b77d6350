"""Settings come from the environment, typed, with defaults that work; URLs choose back ends."""

import socket

import pytest

from concord.kit.errors import InvalidInput
from concord.kit.settings import (
    allowed_keys,
    from_environment,
    is_loopback,
    key_homes,
    open_blobs,
    open_log,
    open_store,
)
from concord.kit.telemetry import serve_metrics


def test_the_urls_follow_from_the_home_unless_they_are_given(tmp_path):
    settings = from_environment({"CONCORD_HOME": str(tmp_path), "CONCORD_BLOB_URL": "file:///elsewhere"})
    assert settings.log_url == f"sqlite:///{tmp_path}/log.sqlite"
    assert settings.blob_url == "file:///elsewhere"


def test_numbers_are_numbers_and_what_is_given_by_name_wins():
    settings = from_environment({"CONCORD_CONCURRENCY": "7", "CONCORD_LEASE_S": "1.5"}, concurrency=9)
    assert (settings.concurrency, settings.lease_s) == (9, 1.5)
    with pytest.raises(InvalidInput, match="CONCORD_CONCURRENCY='many' is not a number"):
        from_environment({"CONCORD_CONCURRENCY": "many"})


def test_a_misspelt_setting_is_refused():
    with pytest.raises(InvalidInput, match="CONCORD_LOG_ULR is not a setting"):
        from_environment({"CONCORD_LOG_ULR": "x"})


@pytest.mark.parametrize("opened", [open_log, open_store, open_blobs])
def test_a_url_of_an_unknown_kind_is_refused_with_the_known_ones(opened):
    name = {"open_log": "log", "open_store": "state", "open_blobs": "blob"}[opened.__name__]
    settings = from_environment({f"CONCORD_{name.upper()}_URL": "ftp://nowhere"})
    with pytest.raises(InvalidInput, match=rf"CONCORD_{name.upper()}_URL='ftp://nowhere'"):
        opened(settings)


def test_the_back_ends_open_where_the_home_is(tmp_path):
    settings = from_environment({"CONCORD_HOME": str(tmp_path / "new")})
    assert open_log(settings).log_id == open_log(settings).log_id
    uri = open_blobs(settings).put(b"x")
    assert open_blobs(settings).get(uri) == b"x"
    assert open_store(settings).runs("runs") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONCURRENCY", "0"),
        ("JUDGE_CONCURRENCY", "-1"),
        ("METRICS_PORT", "70000"),
        ("LEASE_S", "0"),
        ("LEASE_S", "nan"),
        ("REISSUE_AFTER_S", "-5"),
        ("LOG_LEVEL", "loud"),
        ("LISTEN", "7070"),
        ("LISTEN", "localhost:99999"),
        ("LISTEN", "a b:1"),
        ("LISTEN", ":7070"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(name, value):
    with pytest.raises(InvalidInput, match=f"CONCORD_{name}="):
        from_environment({f"CONCORD_{name}": value})


@pytest.mark.parametrize(
    ("opened", "name", "url"),
    [
        (open_log, "LOG", "sqlite://relative"),
        (open_log, "LOG", "sqlite:///"),
        (open_log, "LOG", "kafka://[::1"),
        (open_store, "STATE", "sqlite://"),
        (open_store, "STATE", "sqlite:/one"),
        (open_blobs, "BLOB", "file://host/path"),
        (open_blobs, "BLOB", "file:///"),
    ],
)
def test_a_url_without_a_path_is_refused(opened, name, url):
    with pytest.raises(InvalidInput, match=f"CONCORD_{name}_URL="):
        opened(from_environment({f"CONCORD_{name}_URL": url}))


@pytest.mark.parametrize("opened", [open_log, open_store, open_blobs])
def test_a_folder_that_cannot_be_made_is_said_with_the_setting_to_change(tmp_path, opened):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"CONCORD_(LOG|STATE|BLOB)_URL"):
        opened(from_environment({"CONCORD_HOME": str(tmp_path / "file" / "home")}))


def test_judges_may_use_the_variables_that_are_named_and_no_other():
    settings = from_environment({"CONCORD_JUDGE_KEYS": "ONE_KEY, OTHER_KEY,"})
    given = {"ONE_KEY": "sk-1", "DATABASE_PASSWORD": "hunter2"}
    assert allowed_keys(settings, given) == {"ONE_KEY": "sk-1", "OTHER_KEY": ""}
    assert allowed_keys(from_environment({}), given) == {}


def test_a_key_may_be_bound_to_where_it_may_be_sent():
    settings = from_environment({"CONCORD_JUDGE_KEYS": "A@https://a.example/v1, A@https://b.example, FREE"})
    assert allowed_keys(settings, {"A": "sk-1"}) == {"A": "sk-1", "FREE": ""}
    assert key_homes(settings) == {"A": ("https://a.example/v1", "https://b.example"), "FREE": ()}


def test_processes_may_be_a_limit_of_cpus():
    for said, wanted in (("1.5", 1), ("0.5", 1), ("2", 2), ("-1", -1), ("0", 0)):
        assert from_environment({"CONCORD_PROCESSES": said}).processes == wanted


@pytest.mark.parametrize(
    ("listen", "alone"),
    [
        ("127.0.0.1:7070", True),
        ("127.8.8.8:1", True),
        ("localhost:0", True),
        ("[::1]:7070", True),
        ("0.0.0.0:7070", False),
        ("[::]:7070", False),
        ("concord.example:7070", False),
    ],
)
def test_an_address_that_others_can_reach_is_told_from_one_that_they_cannot(listen, alone):
    assert is_loopback(from_environment({"CONCORD_LISTEN": listen}).listen) is alone


def test_a_metrics_port_in_use_is_said_with_the_setting_to_change():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InvalidInput, match="CONCORD_METRICS_PORT"):
        serve_metrics(taken.getsockname()[1])


def test_settings_are_shown_without_passwords_whatever_the_password_holds():
    given = {
        "CONCORD_STATE_URL": "postgresql://me:p@ss:w/rd@host:5432/db?sslmode=require&password=hunter2&sslpassword=hunter3",
        "CONCORD_LOG_URL": "kafka://me:hunter2@host:9092",
        "CONCORD_BLOB_URL": "s3://bucket/x?endpoint_url=http://a:hunter2@h:1",
    }
    shown = from_environment(given).shown()
    assert shown["state_url"] == "postgresql://me:***@host:5432/db?sslmode=require&password=***&sslpassword=***"
    assert "hunter" not in str(shown) and "***@host:9092" in str(shown["log_url"])
    assert from_environment({}).shown() == vars(from_environment({})), "what holds no secret is shown as it is"
