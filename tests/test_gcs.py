"""Google Cloud Storage beyond what every blob store promises: outages, refusals, keys."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from concord.commands import keeping
from concord.embedded import embedded
from concord.kit.blobs.gcs import gcs_blobs
from concord.kit.blobs.objects import PART, SENT
from concord.kit.errors import InvalidInput, NotFound, Unavailable
from concord.kit.ids import uri_of
from concord.kit.settings import Settings, open_blobs
from concord.operate import backup, verify
from concord.operate.local_records import here
from tests.fake_gcs import BUSY, CUT_BODY, LOSE_ANSWER, OLD, PAGE, REFUSES, fake_gcs
from tests.test_doctor import PAIRS, run_in, settings_in, truth

LARGE = bytes(range(256)) * (PART // 128) + b"and a bit"


@pytest.fixture
def server():
    with fake_gcs() as running:
        yield running


@pytest.fixture
def no_keys(monkeypatch, tmp_path):
    """A process whom nobody gave a key."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    return monkeypatch


def test_the_setting_leads_there(server):
    blobs = open_blobs(Settings(blob_url=server.url))
    assert blobs.get(blobs.put(b"x")) == b"x"
    assert [name for name in server.objects if name.startswith("at/blobs/")] != []


def test_a_store_that_overwrites_in_spite_of_the_condition_is_refused_before_a_marker_counts(server):
    server.always = OLD
    for _ in range(2):
        with pytest.raises(InvalidInput, match="does not honour `ifGenerationMatch=0`"):
            gcs_blobs(server.url).put_if_absent("done/a", b"1")
    assert not any(name.endswith("done/a") for name in server.objects)


def test_a_busy_store_is_asked_again_a_few_times_and_no_more(server):
    blobs = gcs_blobs(server.url)
    server.faults += [BUSY] * (SENT - 1)
    uri = blobs.put(b"x")
    server.requests.clear()
    server.always = BUSY
    with pytest.raises(Unavailable, match="does not answer"):
        blobs.get(uri)
    assert len(server.requests) == SENT


def test_a_write_whose_answer_was_lost_is_our_own_when_it_is_sent_again(server):
    blobs = gcs_blobs(server.url)
    blobs.put_if_absent("done/first", b"")
    server.faults.append(LOSE_ANSWER)
    assert blobs.put_if_absent("done/a", b"ours") == b"ours"


def test_content_that_breaks_off_is_asked_for_again(server):
    blobs = gcs_blobs(server.url)
    uri = blobs.put(b"x" * 1000)
    server.faults.append(CUT_BODY)
    assert blobs.get(uri) == b"x" * 1000
    server.always = CUT_BODY
    with pytest.raises(Unavailable):
        blobs.get(uri)


def test_a_part_whose_answer_was_lost_is_sent_again_and_stands_once(server):
    blobs = gcs_blobs(server.url)
    # The bucket was asked for; then the object's size, the upload's beginning, and its first part.
    server.faults += ["", "", LOSE_ANSWER]
    assert blobs.get(blobs.put_pieces([LARGE])) == LARGE


def test_of_an_upload_that_fails_nothing_is_left(server, tmp_path):
    blobs = gcs_blobs(server.url)
    server.faults += ["", "", "", *[BUSY] * SENT]
    with pytest.raises(Unavailable):
        blobs.put_pieces([LARGE])
    assert server.uploads == {}
    with pytest.raises(NotFound):
        blobs.get(uri_of(LARGE))


def test_a_word_by_which_uploads_are_framed_may_stand_in_a_content(server):
    content = b"a\n--==0==--\nb"
    blobs = gcs_blobs(server.url)
    assert blobs.get(blobs.put(content)) == content


def test_a_bucket_that_is_not_there_is_refused_with_what_to_do(server):
    with pytest.raises(InvalidInput, match="no such bucket; make it, or name another in CONCORD_BLOB_URL"):
        gcs_blobs(server.url.replace("//bucket/", "//another/"))


def test_a_key_that_is_refused_is_the_users_mistake_at_the_start_and_waited_for_later(server):
    blobs = gcs_blobs(server.url)
    server.always = REFUSES
    with pytest.raises(InvalidInput, match=r"refuses the key.*storage\.objects\.create"):
        gcs_blobs(server.url)
    for ask in (lambda: blobs.put(b"x"), lambda: blobs.get(uri_of(b"x")), lambda: blobs.marker("done/a")):
        with pytest.raises(Unavailable, match="refuses the key"):
            ask()


def test_a_server_that_is_away_is_unavailable(free_port):
    with pytest.raises(Unavailable, match="does not answer"):
        gcs_blobs(f"gs://bucket?endpoint_url=http://127.0.0.1:{free_port}&keys=no")


def test_a_pods_role_needs_no_key_its_token_comes_from_the_machine(no_keys):
    """In a process of its own: Google's library reads where the machine's metadata are when it is imported."""
    with fake_gcs("of-the-role") as server:
        at = f"127.0.0.1:{server.port}"
        environment = {**os.environ, "GCE_METADATA_HOST": at, "GCE_METADATA_IP": at, "GCE_METADATA_ROOT": at}
        ask = "import sys; from concord.kit.blobs.gcs import gcs_blobs; gcs_blobs(sys.argv[1]).put_if_absent('done/a', b'1')"
        said = subprocess.run([sys.executable, "-c", ask, server.url], env=environment, capture_output=True, text=True)
        assert said.returncode == 0, said.stderr
        assert server.objects["at/markers/done/a"] == b"1"
        assert server.tokens_given == 1


def test_a_token_that_the_store_does_not_take_is_refused():
    with fake_gcs("secret") as server, pytest.raises(InvalidInput, match="refuses the key"):
        gcs_blobs(f"{server.url}&keys=no")


def test_without_credentials_it_says_what_to_do(no_keys, tmp_path):
    no_keys.setenv("NO_GCE_CHECK", "true")
    with fake_gcs("secret") as server:
        with pytest.raises(InvalidInput, match="set GOOGLE_APPLICATION_CREDENTIALS, or give the machine or pod a role"):
            gcs_blobs(server.url)
        (tmp_path / "key.json").write_text(json.dumps({"type": "none"}))
        no_keys.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        with pytest.raises(InvalidInput, match="GOOGLE_APPLICATION_CREDENTIALS"):
            gcs_blobs(server.url)


def test_a_run_in_such_a_bucket_is_copied_restored_and_a_prompt_of_it_erased(server, tmp_path, monkeypatch, capsys):
    settings = replace(settings_in(tmp_path / "home"), blob_url=server.url)
    view = run_in(settings, truth, budget="10")
    made = backup.made(settings, tmp_path / "copy")
    assert made.blobs > PAGE and backup.flaws(tmp_path / "copy")[view.run_id] == []
    elsewhere = replace(settings_in(tmp_path / "new"), blob_url=server.url.replace("/at?", "/elsewhere?"))
    backup.restored(tmp_path / "copy", elsewhere)
    with embedded(elsewhere):
        pass  # It folds what was restored.
    words = PAIRS[5].prompt[0].content.encode()
    assert any(words in content for name, content in server.objects.items() if name.startswith("elsewhere/"))
    monkeypatch.setenv("CONCORD_HOME", elsewhere.home)
    monkeypatch.setenv("CONCORD_BLOB_URL", elsewhere.blob_url)
    keeping.erase_prompt(view.run_id, PAIRS[5].pair_id, reason="somebody asked", yes=True)
    assert "still in blob" not in capsys.readouterr().out
    assert not any(words in content for name, content in server.objects.items() if name.startswith("elsewhere/"))
    assert any(words in content for name, content in server.objects.items() if name.startswith("at/"))
    with here(elsewhere) as place:
        assert not verify.verified(place, view.run_id).flaws


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("gs://", "gs://BUCKET"),
        ("gs://key:hunter2@bucket/x", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("gs://bucket/x?secret=hunter2", "no option 'secret'"),
        ("gs://bucket/x?region=europe", "there are endpoint_url, keys"),
        ("gs://bucket/x?keys=mine", "keys may be `no`"),
        ("gs://bucket?endpoint_url=gcs:9000", "http://"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_secrets(url, says):
    with pytest.raises(InvalidInput, match=says) as refused:
        gcs_blobs(url)
    assert "hunter2" not in str(refused.value)
