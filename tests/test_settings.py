"""Settings come from the environment, typed, with defaults that work; URLs choose back ends."""

import pytest

from services.kit.errors import InvalidInput
from services.kit.settings import from_environment, open_blobs, open_log, open_store


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
