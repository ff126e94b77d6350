"""Features and rewards as units of work, and rewards for a caller who waits."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar
from zipfile import BadZipFile

import grpc
import numpy as np

from concord.v1 import scoring_service_pb2 as pb
from concord.v1 import scoring_service_pb2_grpc
from concord.v1.events_pb2 import Event, StageManifest
from concord.v1.pairs_pb2 import Pair, PairShard, PairsManifest
from concord.v1.work_pb2 import Work
from services.kit.arrays import pack, unpack
from services.kit.blobs import Blobs
from services.kit.errors import InvalidInput
from services.kit.inputs import cached, messages
from services.kit.rpc import Servicer
from services.preference import head
from services.preference.columns import domain_number, shard_arrays
from services.preference.folds import fold_of
from services.scoring import features

SERVICE = "scoring"
MOST_PAIRS_A_CALL = 1_024
# What reading arrays out of bytes that hold none, or others, may raise.
NOT_READABLE = (ValueError, TypeError, AttributeError, LookupError, EOFError, BadZipFile)
Parsed = TypeVar("Parsed")


class Scoring(scoring_service_pb2_grpc.ScoringServiceServicer):
    """The units of FIT_FEATURES, FEATURES and SCORE, and ScoringService, over one set of caches."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._pairs = messages(blobs, PairsManifest, 4)
        self._shard = messages(blobs, PairShard, 8)
        self._manifest = messages(blobs, StageManifest, 8)
        self._basis = cached(blobs, lambda content: features.Basis.from_arrays(unpack(content)), 2)
        self._head = cached(blobs, lambda content: head.Head.from_arrays(unpack(content)), 32)

    def do(self, work: Work) -> Event:
        """The unit's fact, without its names."""
        began = time.monotonic()
        kind = work.WhichOneof("task")
        event = {"fit_features": self._fit, "featurise_shard": self._featurise, "score_shard": self._score}[kind](work)
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

    def _featurise(self, work: Work) -> Event:
        shard = self._shard(work.featurise_shard.shard_uri)
        x = _differences(self._basis(work.featurise_shard.basis_uri), shard.pairs)
        uri = self._blobs.put(pack(shard_arrays(shard, x)))
        return Event(shard_featurised={"features_uri": uri, "pairs": len(shard.pairs)})

    def _score(self, work: Work) -> Event:
        """Each pair by the model that did not see its group."""
        task = work.score_shard
        shard = self._manifest(task.features_uri).events[work.unit.number].shard_featurised
        arrays = unpack(self._blobs.get(shard.features_uri))
        models = [self._head(event.fold_trained.model_uri) for event in self._manifest(task.models_uri).events]
        fold = fold_of(arrays["group"], len(models))
        margin = np.zeros(len(fold), np.float32)
        for number, model in enumerate(models):
            mine = fold == number
            margin[mine] = head.margins(model, arrays["x"][mine], arrays["domain"][mine])
        return Event(shard_scored={"first_index": task.first_index, "margin": margin})

    def ScorePairs(self, request: pb.ScorePairsRequest, context: grpc.ServicerContext) -> pb.ScorePairsResponse:
        if len(request.pairs) > MOST_PAIRS_A_CALL:
            raise InvalidInput(f"{len(request.pairs)} pairs in one call; at most {MOST_PAIRS_A_CALL} are taken")
        basis = _read(self._basis, request.basis_uri, "basis_uri", "a basis of features")
        model = _read(self._head, request.model_uri, "model_uri", "a reward model")
        if basis.dimensions != model.weights.shape[-1]:
            raise InvalidInput("basis_uri and model_uri do not belong together: the model reads other features")
        domain = np.array([domain_number(pair.domain) for pair in request.pairs], np.int64)
        return pb.ScorePairsResponse(margin=head.margins(model, _differences(basis, request.pairs), domain))


def _read(parsed: Callable[[str], Parsed], uri: str, field: str, wanted: str) -> Parsed:
    """What the caller's blob holds; any blob may be named, so anything may come out of it."""
    try:
        return parsed(uri)
    except NOT_READABLE as error:
        raise InvalidInput(f"{field} {uri} is not {wanted} of this version: {error}") from None


def _differences(basis: features.Basis, pairs: Sequence[Pair]) -> np.ndarray:
    return features.differences(basis, [pair.first.text for pair in pairs], [pair.second.text for pair in pairs])


def servicer(scoring: Scoring) -> Servicer:
    """ScoringService, ready to be served."""
    add: Callable = scoring_service_pb2_grpc.add_ScoringServiceServicer_to_server
    return Servicer("concord.v1.ScoringService", add, scoring)
