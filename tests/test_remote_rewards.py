"""Rewards of answers over gRPC, from a real service; what becomes of calls that fail."""

import numpy as np
import pytest

from concord.kit.arrays import pack
from concord.kit.blobs import FileBlobs
from concord.kit.errors import InvalidInput, Unavailable
from concord.kit.rpc import serve
from concord.preference.request_bounds import check
from concord.reward import features, head
from concord.scoring.service import Scoring, servicer
from concord.training.remote_rewards import MOST_PAIRS, RemoteRewards, pair_of, parts


@pytest.fixture
def service(tmp_path):
    """(address, model's URI, basis' URI), and a head that likes long answers."""
    blobs = FileBlobs(tmp_path / "blobs")
    texts = [f"word{n % 7} " * (n % 9 + 1) for n in range(60)]
    basis = features.fit(texts, 8, 0)
    x = features.differences(basis, texts, texts[1:] + texts[:1])
    longer = np.array([len(a) > len(b) for a, b in zip(texts, texts[1:] + texts[:1], strict=True)], float)
    model = head.fit_head(x, longer, np.ones(60), np.zeros(60, np.int64), ridge=1.0)
    server, port, _ = serve([servicer(Scoring(blobs))], "127.0.0.1:0", check=check)
    yield f"127.0.0.1:{port}", blobs.put(pack(model.arrays())), blobs.put(pack(basis.arrays()))
    server.stop(None).wait()


def test_answers_are_scored_in_order_texts_and_messages_alike(service):
    remote = RemoteRewards(*service, patience_s=0)
    chat = [{"role": "user", "content": "q"}]
    found = remote.rewards(["q", chat, "q"], ["word1 " * 9, [{"role": "assistant", "content": "word1 " * 9}], "word1"])
    assert found[0] == found[1] > found[2]


def test_what_the_service_refuses_is_said_and_not_tried_again(service):
    address, model, _ = service
    with pytest.raises(InvalidInput, match="basis_uri"):
        RemoteRewards(address, model, model, patience_s=100).rewards(["q"], ["a"])


def test_a_service_that_is_away_is_waited_for_and_then_given_up(tmp_path):
    waits = []
    remote = RemoteRewards(f"unix:{tmp_path}/nobody", "", "", patience_s=5, wait=waits.append)
    with pytest.raises(Unavailable, match="patience_s"):
        remote.rewards(["q"], ["a"])
    assert waits == [1.0, 2.0, 4.0]


def test_calls_are_as_large_as_the_service_takes_them():
    small = [pair_of(str(n), "q", "a") for n in range(MOST_PAIRS + 1)]
    assert [len(part) for part in parts(small)] == [MOST_PAIRS, 1]
    large = [pair_of(str(n), "q", "a" * 900_000) for n in range(5)]
    assert [len(part) for part in parts(large)] == [2, 2, 1]
