"""Features and rewards as units of work."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2b
from math import log1p
from pathlib import Path
from tempfile import gettempdir

import numpy as np

from concord.kit.arrays import pack, unpack
from concord.kit.blobs import Blobs
from concord.kit.blobs.inputs import cached, messages
from concord.preference.columns import domain_number, shard_arrays
from concord.preference.evaluating import POLICY
from concord.preference.folds import fold_of
from concord.preference.selecting import list_of
from concord.reward import features
from concord.reward.models import KINDS, Kinds
from concord.scoring.models import Margins, Models, Shown
from concord.v1.events_pb2 import Event, StageManifest
from concord.v1.pairs_pb2 import Pair, PairShard, PairsManifest
from concord.v1.work_pb2 import Work

# Where nobody says where files may be kept.
HOME = Path(gettempdir()) / "concord"


class Units:
    """The units of FIT_FEATURES, FEATURES, EMBED, SCORE and SCORE_POLICY, over one set of caches."""

    def __init__(self, blobs: Blobs, home: Path = HOME, kinds: Kinds = KINDS) -> None:
        """`home`: where the files of fine-tuned models are kept; `kinds`: what scores with them."""
        self._blobs, self._models = blobs, Models(blobs, home, kinds)
        self._pairs = messages(blobs, PairsManifest, 4)
        self._manifest = messages(blobs, StageManifest, 8)
        self._basis = cached(blobs, lambda content: features.Basis.from_arrays(unpack(content)), 2)

    def do(self, work: Work) -> Event:
        """The unit's fact, without its names."""
        began = time.monotonic()
        kind = work.WhichOneof("task")
        units = {
            "fit_features": self._fit,
            "featurise_shard": self._featurise,
            "embed_shard": self._embed,
            "score_shard": self._score,
            "score_policy": self._score_policy,
        }
        event = units[kind](work)
        event.usage.seconds = time.monotonic() - began
        return event

    def _fit(self, work: Work) -> Event:
        """Fits the basis on texts drawn by the run's seed, shard by shard so that only those are held."""
        manifest = self._pairs(work.pairs_uri)
        count = min(manifest.pairs, work.fit_features.max_texts // 2)
        drawn = np.sort(np.random.default_rng([work.config.seed, 1]).choice(manifest.pairs, count, replace=False))
        texts: list[str] = []
        for ref in manifest.shards:
            inside = drawn[(drawn >= ref.first_index) & (drawn < ref.first_index + ref.pairs)]
            shard = self._shard(ref.uri) if len(inside) else PairShard()
            for pair in (shard.pairs[int(index) - ref.first_index] for index in inside):
                texts += [pair.first.text, pair.second.text]
        basis = features.fit(texts, work.config.components, work.config.seed)
        uri = self._blobs.put(pack(basis.arrays()))
        return Event(features_fitted={"basis_uri": uri, "texts": len(texts), "dimensions": basis.dimensions})

    def _shard(self, uri: str) -> PairShard:
        """Read anew each time: every shard is featurised once, and kept ones would be texts that nobody asks for again."""
        return PairShard.FromString(self._blobs.get(uri))

    def _featurise(self, work: Work) -> Event:
        shard = self._shard(work.featurise_shard.shard_uri)
        x = differences(self._basis(work.featurise_shard.basis_uri), shard.pairs)
        uri = self._blobs.put(pack(shard_arrays(shard, x)))
        return Event(shard_featurised={"features_uri": uri, "pairs": len(shard.pairs)})

    def _embed(self, work: Work) -> Event:
        """Unit vectors of the responses alone, without the statistics of their surface."""
        task = work.embed_shard
        pairs = self._shard(task.shard_uri).pairs
        first, second = [pair.first.text for pair in pairs], [pair.second.text for pair in pairs]
        # An answer stands in several pairs of its list.
        texts = {text: at for at, text in enumerate(dict.fromkeys((*first, *second)))}
        vectors = features.embeddings(self._basis(task.basis_uri), list(texts)).astype(np.float16)
        arrays = {
            "first": vectors[[texts[text] for text in first]],
            "second": vectors[[texts[text] for text in second]],
            "empty": np.array([not a.strip() or not b.strip() for a, b in zip(first, second, strict=True)]),
            "length_difference": np.array(
                [log1p(len(a)) - log1p(len(b)) for a, b in zip(first, second, strict=True)], np.float32
            ),
            "list": np.array([_list_number(pair) for pair in pairs], np.uint64),
            "place": np.array([(pair.first_place, pair.second_place) for pair in pairs], np.uint32),
        }
        return Event(shard_embedded={"embeddings_uri": self._blobs.put(pack(arrays)), "pairs": len(pairs)})

    def _score(self, work: Work) -> Event:
        """Each pair by the model that did not see its group."""
        task = work.score_shard
        featurised = self._manifest(task.features_uri).events[work.unit.number].shard_featurised
        arrays = unpack(self._blobs.get(featurised.features_uri))
        trained = [event.fold_trained for event in self._manifest(task.models_uri).events]
        pairs = self._shard(task.shard_uri).pairs if task.shard_uri else ()
        margin = self._margins([self._models.opened(fold.model_uri) for fold in trained], arrays, pairs)
        scored = {"first_index": task.first_index, "margin": margin}
        if task.shard_uri:
            # Each is opened where its turn comes: of all folds at once they may not fit the device.
            tuned = [partial(self._by, fold.reward_uri) for fold in trained]
            scored["reward_margin"] = self._margins(tuned, arrays, pairs)
        return Event(shard_scored=scored)

    def _score_policy(self, work: Work) -> Event:
        """Answers that no fold has seen, by the final models."""
        task = work.score_policy
        pairs = self._shard(task.shard_uri).pairs
        x = differences(self._basis(task.basis_uri), pairs)
        shown = Shown(lambda: pairs, lambda: (x, np.array([domain_number(pair.domain) for pair in pairs], np.int64)))
        last = light = self._by(task.model_uri, shown)
        scored: dict[str, object] = {"margin": light, "step": task.step, "kept": task.kept}
        if task.reward_uri:
            scored["reward_margin"] = last = self._by(task.reward_uri, shown)
        is_first = np.array([pair.first.model == POLICY for pair in pairs])
        return Event(policy_scored={**scored, "preferred": int((np.where(is_first, last, -last) > 0).sum())})

    def _by(self, uri: str, shown: Shown) -> np.ndarray:
        return self._models.opened(uri)(shown)

    def _margins(
        self, models: Sequence[Margins], arrays: Mapping[str, np.ndarray], pairs: Sequence[Pair]
    ) -> np.ndarray:
        """Of each pair by the model of its fold, float32 [pairs]; of a fold without pairs here no model is opened."""
        fold = fold_of(arrays["group"], len(models))
        margin = np.zeros(len(fold), np.float32)
        for number, model in enumerate(models):
            mine = np.flatnonzero(fold == number)
            if len(mine):
                margin[mine] = model(_shown(arrays, pairs, mine))
        return margin


def _shown(arrays: Mapping[str, np.ndarray], pairs: Sequence[Pair], mine: np.ndarray) -> Shown:
    """These pairs of a shard."""
    return Shown(lambda: [pairs[at] for at in mine], lambda: (arrays["x"][mine], arrays["domain"][mine]))


def _list_number(pair: Pair) -> int:
    """A number for the pair's list of answers; 0: it came as a pair."""
    name = list_of(pair)
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) if name else 0


def differences(basis: features.Basis, pairs: Sequence[Pair]) -> np.ndarray:
    """Features of each first minus those of its second response, float16 [pairs, dimensions]."""
    return features.differences(basis, [pair.first.text for pair in pairs], [pair.second.text for pair in pairs])
