"""Reward models as units of work, and what became of them for a caller who asks."""

import time
from collections.abc import Callable
from uuid import UUID

import grpc
import numpy as np

from concord.kit.arrays import pack, unpack
from concord.kit.blobs import Blobs, attempts
from concord.kit.blobs.inputs import cached, messages
from concord.kit.errors import InvalidInput
from concord.kit.ids import result_id, work_id
from concord.kit.rpc import Servicer
from concord.preference import annotations
from concord.preference.columns import Columns, columns_of, judge_targets
from concord.preference.folds import fold_of
from concord.reward import head
from concord.reward.targets import Lesson, final_lesson, lesson
from concord.v1 import training_service_pb2 as pb
from concord.v1 import training_service_pb2_grpc
from concord.v1.events_pb2 import Event, Stage, StageManifest
from concord.v1.work_pb2 import Work

SERVICE = "training"
Array = np.ndarray


class Training(training_service_pb2_grpc.TrainingServiceServicer):
    """The units of TRAIN and FINAL on the light model, and TrainingService."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._manifest = messages(blobs, StageManifest, 8)
        read = lambda uri: unpack(blobs.get(uri))  # noqa: E731
        self._columns = cached(blobs, lambda content: columns_of(StageManifest.FromString(content), read), 2)

    def do(self, work: Work) -> Event:
        """The unit's fact, without its names."""
        began = time.monotonic()
        event = {"train_fold": self._fold, "train_final": self._final}[work.WhichOneof("task")](work)
        event.usage.seconds = time.monotonic() - began
        return event

    def _fold(self, work: Work) -> Event:
        """The teacher's labels without one fold's groups; where there is one fold, with them."""
        task, columns = work.train_fold, self._columns(work.train_fold.features_uri)
        p_first, weight = self._taught(work, len(columns.x))
        if work.config.folds > 1:
            weight = weight * (fold_of(columns.group, work.config.folds) != task.fold)
        return Event(fold_trained={"fold": task.fold, **self._fit(columns, p_first, weight)})

    def _taught(self, work: Work, pairs: int) -> Lesson:
        task, chosen = work.train_fold, None
        if task.chosen_uri:
            arrays = unpack(self._blobs.get(task.chosen_uri))
            chosen = arrays["target"], arrays["weight"]
        judge = judge_targets(self._manifest(task.labels_uri), pairs)
        said = annotations.known(work, task.annotation_uris, self._manifest)
        return lesson(judge, task.teacher, work.config, chosen, said, task.human_weight)

    def _final(self, work: Work) -> Event:
        task, columns = work.train_final, self._columns(work.train_final.features_uri)
        judge = judge_targets(self._manifest(task.labels_uri), len(columns.x))
        target = unpack(self._blobs.get(task.posterior_uri))["target"] if task.posterior_uri else None
        said = annotations.known(work, task.annotation_uris, self._manifest)
        p_first, weight = final_lesson(judge, target, task.trust, said, work.config.human_weight)
        return Event(final_trained=self._fit(columns, p_first, weight))

    def _fit(self, columns: Columns, p_first: Array, weight: Array) -> dict[str, object]:
        model = head.fit_head(columns.x, p_first, weight, columns.domain)
        return {"model_uri": self._blobs.put(pack(model.arrays())), "pairs": int((weight > 0).sum())}

    def GetJob(self, request: pb.GetJobRequest, context: grpc.ServicerContext) -> pb.GetJobResponse:
        _check(request)
        marker = self._blobs.marker(f"done/{result_id(request.run_id, request.unit)}")
        begun = len(attempts.past(self._blobs, work_id(request.run_id, request.unit)))
        event = None if marker is None else Event.FromString(marker)
        return pb.GetJobResponse(done=event is not None, event=event, attempts=begun)


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
