"""Pairs as shards: how one is stored and named, wherever a run's pairs come from."""

from collections.abc import Callable, Sequence

from concord.v1.pairs_pb2 import Pair, PairShard, PairsManifest, ShardRef

Put = Callable[[bytes], str]


def put_shard(first_index: int, pairs: Sequence[Pair], put: Put) -> ShardRef:
    """Stores neighbouring pairs, the first of them with this index in the run; `put` gives a blob's URI."""
    content = PairShard(first_index=first_index, pairs=pairs).SerializeToString(deterministic=True)
    return ShardRef(
        uri=put(content),
        first_index=first_index,
        pairs=len(pairs),
        text_bytes=len(content),
        largest_pair_bytes=max(pair.ByteSize() for pair in pairs),
    )


def put_manifest(shards: Sequence[ShardRef], pairs: int, put: Put) -> str:
    """Stores the list of all shards of a run, which names its pairs."""
    return put(manifest_bytes(PairsManifest(shards=shards, pairs=pairs)))


def manifest_bytes(manifest: PairsManifest) -> bytes:
    """The list as it is stored: its hash is what the run's pairs are called."""
    return manifest.SerializeToString(deterministic=True)
