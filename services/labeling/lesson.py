"""A shard on which people teach the judge, as a unit of work: read, chosen, asked, and put into one fact."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np

from concord.kit.arrays import unpack
from concord.kit.blobs import Blobs
from concord.kit.blobs.inputs import cached, messages
from concord.labeling import evidence
from concord.labeling.judge import Combined
from concord.labeling.teaching import Example, asked_again, nearest
from concord.labeling.verdict_columns import disagreement
from concord.preference import annotations, checked
from concord.preference.columns import columns_of, judge_labels
from concord.preference.judges import column_name
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, ShardTaught, StageManifest, Usage
from concord.v1.pairs_pb2 import Choice, Pair, PairShard, PairsManifest
from concord.v1.work_pb2 import Work

# What the labelling judge says of each pair with its examples.
Teach = Callable[
    [Sequence[Pair], Sequence[Sequence[Example]], RunConfig], Coroutine[Any, Any, tuple[list[Combined], Usage]]
]


class Lessons:
    """The units of TEACH, over one set of caches."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._pairs = messages(blobs, PairsManifest, 2)
        self._manifest = messages(blobs, StageManifest, 8)
        self._shard = messages(blobs, PairShard, 32)
        read = lambda uri: unpack(blobs.get(uri))  # noqa: E731
        self._columns = cached(blobs, lambda content: columns_of(StageManifest.FromString(content), read), 1)
        self._believed = cached(blobs, unpack, 1)

    async def do(self, work: Work, teach: Teach) -> Event:
        """The unit's fact, without its names. Raises what `teach` raises."""
        # Elsewhere: the calls of other units need the loop.
        indexes, pairs, labels, shown, examples = await asyncio.to_thread(self._prepared, work)
        said, usage = await teach(pairs, examples, work.config)
        judges = [(f"{column_name(work.config.judge)}, taught", said)]
        fact = ShardTaught(
            pair_index=indexes,
            against=[disagreement(one.choices, label) for one, label in zip(said, labels, strict=True)],
            example=[index for mine in shown for index in mine],
            examples=[len(mine) for mine in shown],
            faults=evidence.faults(judges),
            kept_answers=evidence.kept(indexes, judges),
        )
        return Event(shard_taught=fact, usage=usage)

    def _prepared(self, work: Work):
        """(indexes of the pairs, these, the judge's labels of them, indexes of their examples, these)."""
        task, manifest = work.teach_shard, self._pairs(work.pairs_uri)
        said = annotations.known(work, task.annotation_uris, self._manifest)
        decided = {int(pair): p == 1 for pair, p in zip(said.pair, said.p_first, strict=True) if p in (0.0, 1.0)}
        shard, columns = self._shard(task.shard_uri), self._columns(task.features_uri)
        labeled = [event.shard_labeled for event in self._manifest(task.labels_uri).events]
        label = judge_labels(labeled, manifest.pairs)
        # Of what checks settled the judge was never asked.
        label[checked.decided(labeled, manifest.pairs)] = 0
        believed = self._believed(task.posterior_uri)["p_wrong"] if task.posterior_uri else np.full(manifest.pairs, 0.5)
        mine = range(shard.first_index, shard.first_index + len(shard.pairs))
        indexes = asked_again(mine, label, believed, decided, said.pair)
        answered = np.array(sorted(decided), np.int64)
        shown = [nearest(index, columns.x, columns.group, answered) for index in indexes]
        pairs = [shard.pairs[index - shard.first_index] for index in indexes]
        labels = [Choice.CHOICE_FIRST if label[index] > 0 else Choice.CHOICE_SECOND for index in indexes]
        examples = [[Example(self._pair(manifest, at), decided[at]) for at in found] for found in shown]
        return indexes, pairs, labels, shown, examples

    def _pair(self, manifest: PairsManifest, index: int) -> Pair:
        ref = next(ref for ref in reversed(manifest.shards) if ref.first_index <= index)
        return self._shard(ref.uri).pairs[index - ref.first_index]
