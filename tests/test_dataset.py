"""The dataset's rows say from whom their label comes."""

import numpy as np

from concord.preference.annotations import read
from concord.triage import dataset
from concord.v1.events_pb2 import Event, ShardLabeled, StageManifest
from concord.v1.pairs_pb2 import Choice
from tests.small_pairs import pair


def test_a_pair_on_which_nobody_said_anything_is_a_tie_from_no_one():
    shard = ShardLabeled(
        pair_index=[0, 1],
        choice=[Choice.CHOICE_SECOND, Choice.CHOICE_UNSPECIFIED],
        p_first=[0.2, 0.5],
        confidence=[0.8, -1],
    )
    labels = StageManifest(events=[Event(shard_labeled=shard)])
    for target in (None, np.array([0.2, 0.5], np.float32)):
        believed = dataset.beliefs(labels, target, read([]), 2)
        first, second = dataset.rows([pair("a", "b"), pair("c", "d")], believed, 2.0)
        assert (first["source"], first["label"], first["p_chosen"]) == ("judge", "second", 0.8)
        assert (second["source"], second["label"], second["p_chosen"]) == ("none", "tie", 0.5)
