"""Reward models as units of work, and what became of them for a caller who asks."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

import grpc
import numpy as np

from concord.kit.arrays import pack, unpack
from concord.kit.blobs import Blobs, attempts
from concord.kit.blobs.inputs import cached, messages
from concord.kit.errors import InvalidInput, Permanent
from concord.kit.ids import result_id, work_id
from concord.kit.loop.units import Stop
from concord.kit.rpc import Servicer
from concord.preference import annotations, evaluating
from concord.preference.columns import Columns, columns_of, judge_targets
from concord.preference.folds import fold_of
from concord.reward import head
from concord.reward.models import POLICY, REWARD
from concord.reward.targets import Lesson, final_lesson, lesson
from concord.reward.texts import rows
from concord.training import answered
from concord.training.asked import knobs_of, located, seed_of
from concord.training.trainer import Trainer, Wanted, progress_of
from concord.v1 import training_service_pb2 as pb
from concord.v1 import training_service_pb2_grpc
from concord.v1.events_pb2 import AnsweredShard, DatasetManifest, Event, ModelManifest, Stage, StageManifest
from concord.v1.pairs_pb2 import Pair, PairShard, PairsManifest
from concord.v1.work_pb2 import Work

SERVICE = "training"
Array = np.ndarray


class Training(training_service_pb2_grpc.TrainingServiceServicer):
    """The units of TRAIN and FINAL, light and where a run asks for it fine-tuned as well, of POLICY, and TrainingService."""

    def __init__(self, blobs: Blobs, trainer: Trainer | None = None) -> None:
        """`trainer`: of language models; without one those units fail."""
        self._blobs, self._trainer = blobs, trainer
        self._pairs = messages(blobs, PairsManifest, 4)
        self._manifest = messages(blobs, StageManifest, 8)
        read = lambda uri: unpack(blobs.get(uri))  # noqa: E731
        self._columns = cached(blobs, lambda content: columns_of(StageManifest.FromString(content), read), 2)

    def do(self, work: Work, stop: Stop | None = None) -> Event:
        """The unit's fact, without its names; raises CancelledError where it is stopped before there is one."""
        began = time.monotonic()
        units = {"train_fold": self._fold, "train_final": self._final, "train_policy": self._policy}
        event = units[work.WhichOneof("task")](work, stop or Stop())
        event.usage.seconds = time.monotonic() - began
        return event

    def _fold(self, work: Work, stop: Stop) -> Event:
        """The teacher's labels without one fold's groups; where there is one fold, with them."""
        task, columns = work.train_fold, self._columns(work.train_fold.features_uri)
        p_first, weight = self._taught(work, len(columns.x))
        if work.config.folds > 1:
            weight = weight * (fold_of(columns.group, work.config.folds) != task.fold)
        return Event(fold_trained={"fold": task.fold, **self._fit(work, columns, p_first, weight, stop)})

    def _taught(self, work: Work, pairs: int) -> Lesson:
        task, chosen = work.train_fold, None
        if task.chosen_uri:
            arrays = unpack(self._blobs.get(task.chosen_uri))
            chosen = arrays["target"], arrays["weight"]
        judge = judge_targets(self._manifest(task.labels_uri), pairs)
        said = annotations.known(work, task.annotation_uris, self._manifest)
        return lesson(judge, task.teacher, work.config, chosen, said, task.human_weight)

    def _final(self, work: Work, stop: Stop) -> Event:
        task, columns = work.train_final, self._columns(work.train_final.features_uri)
        judge = judge_targets(self._manifest(task.labels_uri), len(columns.x))
        target = unpack(self._blobs.get(task.posterior_uri))["target"] if task.posterior_uri else None
        said = annotations.known(work, task.annotation_uris, self._manifest)
        p_first, weight = final_lesson(judge, target, task.trust, said, work.config.human_weight)
        return Event(final_trained=self._fit(work, columns, p_first, weight, stop))

    def _fit(self, work: Work, columns: Columns, p_first: Array, weight: Array, stop: Stop) -> dict[str, object]:
        model = head.fit_head(columns.x, p_first, weight, columns.domain)
        light = {"model_uri": self._blobs.put(pack(model.arrays())), "pairs": int((weight > 0).sum())}
        return {**light, "reward_uri": self._tune(work, p_first, weight, stop)} if work.config.reward_model else light

    def _tune(self, work: Work, p_first: Array, weight: Array, stop: Stop) -> str:
        """The URI of the language model that was taught the same."""
        config = work.config
        lines = rows(self._read_pairs(work.pairs_uri), p_first, weight)
        return self._train(
            work, REWARD, config.reward_model, knobs_of(config.reward_knobs, "reward_knobs"), lines, stop
        )

    def _policy(self, work: Work, stop: Stop) -> Event:
        """The language model, aligned on the dataset's rows as they are."""
        config, parts = work.config, DatasetManifest.FromString(self._blobs.get(work.train_policy.dataset_uri))
        lines = (piece for uri in parts.part_uris for piece in self._blobs.pieces(uri))
        knobs = {**knobs_of(config.policy_knobs, "policy_knobs"), **evaluating.knobs(config)}
        uri = self._train(work, POLICY, config.policy, knobs, lines, stop)
        return Event(policy_trained={"model_uri": uri, "answered": self._answered(work, uri)})

    def _answered(self, work: Work, uri: str) -> list[AnsweredShard]:
        """What the policy and checkpoints of its training answered beside its start, where the run compares them."""
        if not evaluating.is_asked(work.config):
            return []
        files = {file.name: file.uri for file in ModelManifest.FromString(self._blobs.get(uri)).files}
        said = {name: self._blobs.get(held) for name, held in files.items() if answered.FILE.fullmatch(name)}
        kept_step = json.loads(self._blobs.get(files["manifest.json"])).get("step", 0)
        size = max(work.config.shard_pairs, evaluating.LEAST_PAIRS)
        return answered.shards(said, kept_step, self._read_pairs(work.pairs_uri), size, self._blobs.put)

    def _train(
        self, work: Work, kind: str, model: str, knobs: Mapping[str, Any], lines: Iterable[bytes], stop: Stop
    ) -> str:
        """The manifest of the model that the trainer makes of these rows."""
        if self._trainer is None:
            raise Permanent("this process trains no language models: a worker of `training` does")
        wanted = Wanted(work.work_id, kind, located(model), knobs, seed_of(work.config.seed))
        return self._trainer.train(wanted, lines, stop)

    def _read_pairs(self, pairs_uri: str) -> Iterator[Pair]:
        """The run's pairs in order, shard by shard."""
        for ref in self._pairs(pairs_uri).shards:
            yield from PairShard.FromString(self._blobs.get(ref.uri)).pairs

    def GetJob(self, request: pb.GetJobRequest, context: grpc.ServicerContext) -> pb.GetJobResponse:
        _check(request)
        marker = self._blobs.marker(f"done/{result_id(request.run_id, request.unit)}")
        begun = len(attempts.past(self._blobs, work_id(request.run_id, request.unit)))
        event = None if marker is None else Event.FromString(marker)
        progress = progress_of(self._blobs, work_id(request.run_id, request.unit))
        return pb.GetJobResponse(done=event is not None, event=event, attempts=begun, progress=progress)


def _check(request: pb.GetJobRequest) -> None:
    """Refuses what no unit can be named by."""
    try:
        UUID(request.run_id)
    except ValueError:
        raise InvalidInput(f"run_id {request.run_id[:60]!r} is not a UUID; `concord runs` lists them") from None
    if request.unit.stage not in Stage.values():
        raise InvalidInput(f"unit.stage {request.unit.stage} is no stage that this version knows")


def servicer(training: Training) -> Servicer:
    """TrainingService, ready to be served."""
    add: Callable = training_service_pb2_grpc.add_TrainingServiceServicer_to_server
    return Servicer("concord.v1.TrainingService", add, training)
