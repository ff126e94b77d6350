"""The pairs that are labelled, chosen among those that came: their shards, and a file of what was left out.

The texts are read and written shard by shard; of all pairs only a few numbers are held.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from concord.kit.plural import many
from concord.preference import selecting
from concord.preference.shards import put_manifest, put_shard
from concord.triage.dissimilarity import Candidates, Chosen, central_pair, choose
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import PairsSelected
from concord.v1.pairs_pb2 import Pair, PairShard, PairsManifest

Array = np.ndarray
Arrays = Callable[[str], dict[str, Array]]


def select(
    config: RunConfig,
    manifest: PairsManifest,
    embeddings: Sequence[str],
    arrays: Arrays,
    shard: Callable[[str], PairShard],
    put: Callable[[bytes], str],
) -> PairsSelected:
    """Chooses by `config.select`, and stores the pairs that are kept, numbered anew, and what was left out.

    `embeddings`: blobs of EMBED, one a shard; `arrays` and `shard` read a blob, `put` stores one. Raises ValueError where no pair
    would be left.
    """
    candidates = candidates_of(embeddings, arrays, central=config.select == selecting.OF_LISTS)
    chosen = choose(
        candidates,
        config.select,
        config.seed,
        share=config.select_share or 1.0,
        per_prompt=selecting.per_prompt(config),
    )
    if not chosen.kept.any():
        raise ValueError(
            f"select {config.select}: none of {many(manifest.pairs, 'pair')} is left ({_told(chosen)}); choose another strategy"
        )
    shards, kept, at = [], list[Pair](), 0
    for pair in _kept(manifest, chosen, shard):
        kept.append(pair)
        if len(kept) == config.shard_pairs:
            shards.append(put_shard(at, kept, put))
            kept, at = [], at + len(kept)
    if kept:
        shards.append(put_shard(at, kept, put))
    pairs = at + len(kept)
    said = PairsSelected(pairs_uri=put_manifest(shards, pairs, put), pairs=pairs, shards=shards)
    said.selection_uri = put("".join(_left_out(manifest, chosen, candidates, shard)).encode())
    for why, count in sorted(_counts(chosen).items()):
        said.left_out.add(why=why, pairs=count)
    if np.isfinite(chosen.cut):
        said.cut = chosen.cut
    return said


def candidates_of(embeddings: Sequence[str], arrays: Arrays, central: bool = False) -> Candidates:
    """What a choice looks at, from the shards' embeddings; an embedding of length 0 is that of an empty answer.

    With `central` the pair in the middle of each list is found, too; a pair that came as one is its own.
    """
    cosines, lengths, lists, middle = [], [], [], _Middle()
    for uri in embeddings:
        held = arrays(uri)
        first, second = held["first"].astype(np.float32), held["second"].astype(np.float32)
        cosine = (first * second).sum(axis=1)
        cosines.append(np.where(held["empty"], np.nan, cosine))
        lengths.append(held["length_difference"].astype(float))
        lists.append(held["list"] if "list" in held else np.zeros(len(cosine), np.uint64))
        if central:
            middle.take(lists[-1], held["place"], first, second)
    named = np.concatenate(lists)
    # Each given pair is a prompt of its own.
    prompt = np.where(named == 0, len(named) + np.arange(len(named)), np.unique(named, return_inverse=True)[1])
    return Candidates(
        prompt, np.concatenate(cosines), np.concatenate(lengths), central=middle.end() if central else None
    )


class _Middle:
    """Finds the central pair of each list as its pairs come by, so that the vectors of one list are held and no more."""

    def __init__(self) -> None:
        self._is_central: list[bool] = []
        self._list, self._vectors, self._places = 0, dict[int, Array](), list[tuple[int, int]]()

    def take(self, lists: Array, places: Array, first: Array, second: Array) -> None:
        """One shard's pairs: their lists, their places in these, and the two answers' vectors."""
        for at, name in enumerate(lists.tolist()):
            if name != self._list or not name:
                self._settle()
                self._list = name
            pair = (int(places[at, 0]), int(places[at, 1]))
            self._places.append(pair)
            self._vectors |= {pair[0]: first[at], pair[1]: second[at]}

    def end(self) -> Array:
        """bool [pairs] of all that came."""
        self._settle()
        return np.array(self._is_central, bool)

    def _settle(self) -> None:
        # An empty answer has no direction.
        said = sorted(place for place, vector in self._vectors.items() if vector.any())
        if self._list and len(said) > 2:
            one, other = central_pair(np.stack([self._vectors[place] for place in said]))
            middle = {said[one], said[other]}
        else:
            middle = set(said)
        self._is_central += [set(pair) == middle for pair in self._places]
        self._vectors, self._places = {}, []


def _kept(manifest: PairsManifest, chosen: Chosen, shard: Callable[[str], PairShard]) -> Iterator[Pair]:
    for ref in manifest.shards:
        wanted = np.flatnonzero(chosen.kept[ref.first_index : ref.first_index + ref.pairs])
        held = shard(ref.uri) if len(wanted) else PairShard()
        yield from (held.pairs[at] for at in wanted.tolist())


def _left_out(
    manifest: PairsManifest, chosen: Chosen, candidates: Candidates, shard: Callable[[str], PairShard]
) -> Iterator[str]:
    for ref in manifest.shards:
        gone = np.flatnonzero(~chosen.kept[ref.first_index : ref.first_index + ref.pairs])
        held = shard(ref.uri) if len(gone) else PairShard()
        for at in gone.tolist():
            index = ref.first_index + at
            cosine = candidates.cosine[index]
            row = {"pair_id": held.pairs[at].pair_id, "why": str(chosen.why[index])}
            alike = {} if np.isnan(cosine) else {"cosine": round(float(cosine), 4)}
            yield json.dumps(row | alike, ensure_ascii=False) + "\n"


def _counts(chosen: Chosen) -> Counter[str]:
    return Counter(str(why) for why in chosen.why if why)


def _told(chosen: Chosen) -> str:
    return ", ".join(f"{why}: {count:,}" for why, count in _counts(chosen).most_common())
