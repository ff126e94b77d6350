"""Rewards of answers by ScoringService, all of a step in as few calls as may be."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc

from concord.kit.errors import InvalidInput, Unavailable
from concord.kit.rpc import AWAY, channel
from concord.preference.pairs import make_pair
from concord.v1 import scoring_service_pb2 as pb
from concord.v1 import scoring_service_pb2_grpc
from concord.v1.pairs_pb2 import Message, Pair, Response

# Of one call; the service takes as many pairs, a message 4 MB.
MOST_PAIRS = 1_024
MOST_BYTES = 2_000_000
_WAITED_FOR = (*AWAY, grpc.StatusCode.RESOURCE_EXHAUSTED)
Words = str | Sequence[Mapping[str, Any]]


class RemoteRewards:
    """One reward model behind an address. A reward is the margin over an empty answer: the same constant for every answer to a
    prompt, which therefore changes no comparison of them."""

    def __init__(
        self,
        address: str,
        model_uri: str,
        basis_uri: str,
        patience_s: float,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stub = scoring_service_pb2_grpc.ScoringServiceStub(channel(address))
        self._address, self._model, self._basis = address, model_uri, basis_uri
        self._patience_s, self._wait = patience_s, wait

    def rewards(self, prompts: Sequence[Words], answers: Sequence[Words]) -> list[float]:
        """The reward of each answer to the prompt beside it; higher is better.

        Raises Unavailable where the service does not answer for so long as it is waited for, InvalidInput where it refuses.
        """
        pairs = [
            pair_of(str(at), prompt, answer) for at, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
        ]
        return [margin for part in parts(pairs) for margin in self._scored(part)]

    def _scored(self, pairs: Sequence[Pair]) -> Sequence[float]:
        request = pb.ScorePairsRequest(model_uri=self._model, basis_uri=self._basis, pairs=pairs)
        waited, pause_s = 0.0, 1.0
        while True:
            try:
                return self._stub.ScorePairs(request).margin
            except grpc.RpcError as error:
                said = f"{self._address}: {error.details()}"
                if error.code() not in _WAITED_FOR:
                    raise InvalidInput(f"scoring: {said}") from None
                if waited >= self._patience_s:
                    raise Unavailable(f"scoring: {said}, for {waited:.0f} s (patience_s)") from None
            self._wait(pause_s)
            waited, pause_s = waited + pause_s, min(2 * pause_s, 30.0)


def pair_of(name: str, prompt: Words, answer: Words) -> Pair:
    """The answer as the first of a pair whose second is empty."""
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    messages = [Message(role=turn["role"], content=str(turn["content"])) for turn in turns]
    text = answer if isinstance(answer, str) else "\n\n".join(str(turn["content"]) for turn in answer)
    clean = text.encode("utf-8", "replace").decode()
    return make_pair(name, messages, Response(text=clean), Response(text=""))


def parts(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """The pairs in order, in calls that a message has room for."""
    out: list[list[Pair]] = []
    size = 0
    for pair in pairs:
        more = pair.ByteSize()
        if not out or len(out[-1]) >= MOST_PAIRS or size + more > MOST_BYTES:
            out.append([])
            size = 0
        out[-1].append(pair)
        size += more
    return out
