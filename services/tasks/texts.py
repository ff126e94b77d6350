"""The texts of a run's pairs, as tasks show them, and what the pairs ask of an annotator."""

from bisect import bisect_right
from functools import lru_cache

from concord.kit.blobs import Blobs
from concord.kit.errors import NotFound
from concord.tasks.queue import TasksState
from concord.v1.pairs_pb2 import Pair, PairShard, PairsManifest, ShardRef

# Shards whose texts are kept, of at most 2 MB each: the pairs of a batch lie all over a run, so more would seldom help.
KEPT_SHARDS = 16
# Of a shard's needs, which are few words.
KEPT_NEEDS = 4_096


class Texts:
    """A cache over the blobs. Thread-safe."""

    def __init__(self, blobs: Blobs) -> None:
        self._manifest = lru_cache(16)(lambda uri: PairsManifest.FromString(blobs.get(uri)))
        self._shard = lru_cache(KEPT_SHARDS)(lambda uri: PairShard.FromString(blobs.get(uri)))
        self._needs = lru_cache(KEPT_NEEDS)(lambda uri: tuple(tuple(pair.needs) for pair in self._shard(uri).pairs))

    def pair(self, run: TasksState, index: int) -> Pair:
        """The pair as a person sees it: no verdict, no reference, nothing of what a model thinks."""
        ref = self._ref(run, index)
        pair = Pair()
        pair.CopyFrom(self._shard(ref.uri).pairs[index - ref.first_index])
        for hidden in ("verdicts", "reference", "known"):
            pair.ClearField(hidden)
        pair.first.model = pair.second.model = ""
        return pair

    def needs(self, run: TasksState, index: int) -> tuple[str, ...]:
        """What the pair asks of its annotator."""
        ref = self._ref(run, index)
        return self._needs(ref.uri)[index - ref.first_index]

    def _ref(self, run: TasksState, index: int) -> ShardRef:
        shards = self._manifest(run.run.asked_uri or run.run.pairs_uri).shards
        at = bisect_right(shards, index, key=lambda ref: ref.first_index) - 1
        if at < 0 or index >= shards[at].first_index + shards[at].pairs:
            raise NotFound(f"pair {index} of run {run.run_id} is in none of its shards")
        return shards[at]
