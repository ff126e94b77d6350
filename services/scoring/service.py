"""Rewards for a caller who waits."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

import grpc
import numpy as np

from concord.kit.arrays import unpack
from concord.kit.blobs import Blobs
from concord.kit.blobs.inputs import cached
from concord.kit.errors import InvalidInput
from concord.kit.plural import many
from concord.kit.rpc import Servicer
from concord.preference.columns import domain_number
from concord.reward import features
from concord.reward.models import KINDS, Kinds
from concord.scoring.models import Models, OtherFeatures, Shown
from concord.scoring.units import HOME, differences
from concord.v1 import scoring_service_pb2 as pb
from concord.v1 import scoring_service_pb2_grpc

SERVICE = "scoring"
MOST_PAIRS_A_CALL = 1_024
# What reading arrays out of bytes that hold none, or others, may raise.
NOT_READABLE = (ValueError, TypeError, AttributeError, LookupError, EOFError, BadZipFile)
Parsed = TypeVar("Parsed")


class Scoring(scoring_service_pb2_grpc.ScoringServiceServicer):
    """ScoringService over the blobs of any run."""

    def __init__(self, blobs: Blobs, home: Path = HOME, kinds: Kinds = KINDS) -> None:
        """`home`: where the files of fine-tuned models are kept; `kinds`: what scores with them."""
        self._models = Models(blobs, home, kinds)
        self._basis = cached(blobs, lambda content: features.Basis.from_arrays(unpack(content)), 2)

    def ScorePairs(self, request: pb.ScorePairsRequest, context: grpc.ServicerContext) -> pb.ScorePairsResponse:
        if len(request.pairs) > MOST_PAIRS_A_CALL:
            raise InvalidInput(f"{many(len(request.pairs), 'pair')} in one call; at most {MOST_PAIRS_A_CALL} are taken")
        model = _read(self._models.opened, request.model_uri, "model_uri", "a reward model")

        def features_of() -> tuple[np.ndarray, np.ndarray]:
            basis = _read(self._basis, request.basis_uri, "basis_uri", "a basis of features")
            domain = np.array([domain_number(pair.domain) for pair in request.pairs], np.int64)
            return differences(basis, request.pairs), domain

        try:
            margin = model(Shown(lambda: request.pairs, features_of))
        except OtherFeatures:
            raise InvalidInput(
                "basis_uri and model_uri do not belong together: the model reads other features"
            ) from None
        return pb.ScorePairsResponse(margin=margin)


def _read(parsed: Callable[[str], Parsed], uri: str, field: str, wanted: str) -> Parsed:
    """What the caller's blob holds; any blob may be named, so anything may come out of it."""
    try:
        return parsed(uri)
    except NOT_READABLE as error:
        raise InvalidInput(f"{field} {uri} is not {wanted} of this version: {error}") from None


def servicer(scoring: Scoring) -> Servicer:
    """ScoringService, ready to be served."""
    add: Callable = scoring_service_pb2_grpc.add_ScoringServiceServicer_to_server
    return Servicer("concord.v1.ScoringService", add, scoring)
