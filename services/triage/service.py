"""Triage and the dataset as units of work, and a preview for a caller who waits."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from zipfile import BadZipFile

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from concord.certificate.estimate import estimate
from concord.certificate.evidence import evidence_of
from concord.kit.arrays import pack, unpack
from concord.kit.blobs import Blobs
from concord.kit.blobs.inputs import cached, messages
from concord.kit.errors import InvalidInput
from concord.kit.rpc import Servicer
from concord.preference import annotations, datasets
from concord.preference.columns import columns_of, scores
from concord.preference.methods import METHODS
from concord.triage import baselines, corpus, dataset, rlthf, rounds
from concord.triage.annotators import Deviation, deviations
from concord.triage.enough import enough
from concord.triage.signals import Signals, by_tuned, signals_of, taught
from concord.v1 import triage_service_pb2 as pb
from concord.v1 import triage_service_pb2_grpc
from concord.v1.events_pb2 import DatasetBuilt, Event, StageManifest
from concord.v1.pairs_pb2 import Pair, PairShard, PairsManifest
from concord.v1.work_pb2 import Work

SERVICE = "triage"
# What a round over blobs of another kind, or of several runs, may raise.
NOT_THOSE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, EOFError, DecodeError, BadZipFile)
# The rule that decides a round of each method that has TRIAGE in its plan.
RULES = {
    "posterior": rounds.triage_posterior,
    "posterior-random": rounds.triage_posterior_random,
    "random": rounds.triage_random,
    "all-human": rounds.triage_random,
    "margin": baselines.triage_margin,
    "cleanlab": baselines.triage_cleanlab,
    "human-only": baselines.triage_human_only,
    "longest": baselines.triage_longest,
    "better-judge": baselines.triage_better_judge,
    "rlthf": rlthf.triage_rlthf,
}


class Triage(triage_service_pb2_grpc.TriageServiceServicer):
    """The units of TRIAGE, DATASET and SELECT, and TriageService, over one set of caches."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._pairs = messages(blobs, PairsManifest, 4)
        self._manifest = messages(blobs, StageManifest, 8)
        read = lambda uri: unpack(blobs.get(uri))  # noqa: E731
        self._columns = cached(blobs, lambda content: columns_of(StageManifest.FromString(content), read), 2)
        # The same in every round of a run.
        self._signals = lru_cache(2)(self._read_signals)

    def do(self, work: Work) -> Event:
        """The unit's fact, without its names."""
        began = time.monotonic()
        units = {"triage_round": self._round, "build_dataset": self._build, "select_pairs": self._select}
        event = units[work.WhichOneof("task")](work)
        event.usage.seconds = time.monotonic() - began
        return event

    def _round(self, work: Work) -> Event:
        task = work.triage_round
        signals = self._signals(work.pairs_uri, task.labels_uri, task.features_uri, task.scores_uri)
        if task.taught_uri:
            signals = taught(signals, [event.shard_taught for event in self._manifest(task.taught_uri).events])
        said = annotations.known(work, task.annotation_uris, self._manifest)
        decided = self._decided(work, signals, said)
        votes = annotations.votes(work, task.annotation_uris, self._manifest)
        if found := deviations_of(votes, decided, signals, work.set_aside):
            # Whoever is found now does not decide this round either.
            anew = Work()
            anew.CopyFrom(work)
            anew.set_aside[:] = [one.annotator for one in found if one.set_aside]
            if set(anew.set_aside) != set(work.set_aside):
                said = annotations.known(anew, task.annotation_uris, self._manifest)
                decided = self._decided(anew, signals, said)
        pairs = self._pairs(work.pairs_uri).pairs
        why = "" if task.last or not task.ask else enough(decided, work.config, pairs, work.unit.round)
        return Event(round_triaged=rounds.fact(decided, self._blobs.put(pack(rounds.arrays(decided))), why, found))

    def _decided(self, work: Work, signals: Signals, said: annotations.Answers) -> rounds.Round:
        rule, turn = RULES[work.config.method], self._turn(work)
        if not METHODS[work.config.method].learns:
            signals = by_tuned(signals)
        return rule(signals, said, work.config, work.unit.round, work.triage_round.ask, turn)

    def _turn(self, work: Work) -> rounds.RoundContext:
        task = work.triage_round
        if not task.previous_uri:
            return rounds.RoundContext(last=task.last)
        latest = annotations.read((self._manifest(uri) for uri in task.annotation_uris[-1:]), work.set_aside)
        return rounds.RoundContext(unpack(self._blobs.get(task.previous_uri))["target"], latest, task.last)

    def _read_signals(self, pairs_uri: str, labels_uri: str, features_uri: str, scores_uri: str) -> Signals:
        columns = self._columns(features_uri)
        pairs = self._pairs(pairs_uri).pairs
        scored = [event.shard_scored for event in self._manifest(scores_uri).events]
        labeled = [event.shard_labeled for event in self._manifest(labels_uri).events]
        read = signals_of(labeled, scores(scored, "margin", pairs), columns.x, columns.group, columns.domain)
        is_tuned = any(shard.reward_margin for shard in scored)
        return replace(read, tuned=scores(scored, "reward_margin", pairs)) if is_tuned else read

    def _select(self, work: Work) -> Event:
        embedded = [
            event.shard_embedded.embeddings_uri for event in self._manifest(work.select_pairs.embeddings_uri).events
        ]
        arrays = lambda uri: unpack(self._blobs.get(uri))  # noqa: E731
        shard = lambda uri: PairShard.FromString(self._blobs.get(uri))  # noqa: E731
        manifest = self._pairs(work.pairs_uri)
        return Event(pairs_selected=corpus.select(work.config, manifest, embedded, arrays, shard, self._blobs.put))

    def _build(self, work: Work) -> Event:
        task, manifest = work.build_dataset, self._pairs(work.pairs_uri)
        said = annotations.known(work, task.annotation_uris, self._manifest)
        last = unpack(self._blobs.get(task.posterior_uri)) if task.posterior_uri else {}
        believed = dataset.beliefs(self._manifest(task.labels_uri), last.get("target"), said, manifest.pairs)
        rows = dataset.rows(self._read_pairs(manifest), believed, work.config.human_weight)
        account = dataset.Account()
        audited = task.audited_error if task.HasField("audited_error") else None
        expected = task.expected_error if task.HasField("expected_error") else None
        built = DatasetBuilt(
            dataset_uri=datasets.write(account.lines(rows), self._blobs.put),
            dataset_sha256=account.sha256,
            rows=account.rows,
            from_people=account.sources["people"],
            flipped=account.sources["flipped"],
            from_checks=account.sources["checked"],
            ties=account.labels["tie"],
            estimated_accuracy=_certified(last, said)
            or dataset.estimated_accuracy(said, manifest.pairs, expected, audited),
        )
        return Event(dataset_built=built)

    def _read_pairs(self, manifest: PairsManifest) -> Iterator[Pair]:
        """The run's pairs in order, shard by shard: the texts of a whole run are never held."""
        for ref in manifest.shards:
            yield from PairShard.FromString(self._blobs.get(ref.uri)).pairs

    def PreviewTriage(
        self, request: pb.PreviewTriageRequest, context: grpc.ServicerContext
    ) -> pb.PreviewTriageResponse:
        if request.work.WhichOneof("task") != "triage_round":
            raise InvalidInput("work must be a TriageRound")
        if request.work.config.method not in RULES:
            raise InvalidInput(
                f"work.config.method {request.work.config.method[:60]!r} is not one of {', '.join(RULES)}"
            )
        try:
            return pb.PreviewTriageResponse(round=self._round(request.work).round_triaged)
        except NOT_THOSE as error:
            raise InvalidInput(
                f"work.triage_round: its blobs are not manifests, features and scores of one run: {type(error).__name__}: {error}"
            ) from None


def deviations_of(
    votes: annotations.Votes, decided: rounds.Round, signals: Signals, before: Sequence[str]
) -> tuple[Deviation, ...]:
    """Who deviates, by the round's labels without their own answers; by the judge's, where a method has none such."""
    if decided.without is not None:
        return deviations(votes, *decided.without, before)
    return deviations(votes, (1 + signals.label) / 2, np.zeros(len(signals.label)), before)


def _certified(last: Mapping[str, np.ndarray], said: annotations.Answers) -> float | None:
    """Share of right labels as the certificate has it; None where the last round tells no label from its own answer."""
    found = evidence_of(last, said)
    made = estimate(found) if found is not None else None
    return None if made is None else 1 - made.over_all(made.error)


def servicer(triage: Triage) -> Servicer:
    """TriageService, ready to be served."""
    add: Callable = triage_service_pb2_grpc.add_TriageServiceServicer_to_server
    return Servicer("concord.v1.TriageService", add, triage)
