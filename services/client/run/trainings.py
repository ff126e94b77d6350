"""How far the trainings of language models are, asked while a run's stage trains them: nothing else is heard of it for hours."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import grpc

from concord.kit.plural import many
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Stage, Unit
from concord.v1.runs_service_pb2 import RunView
from concord.v1.training_service_pb2 import GetJobRequest, TrainingProgress
from concord.v1.training_service_pb2_grpc import TrainingServiceStub

Seen = Callable[[RunView], None]
LOOK_S = 5.0
TRAINS = (Stage.STAGE_TRAIN, Stage.STAGE_FINAL, Stage.STAGE_POLICY)


def is_tuned(config: RunConfig) -> bool:
    """Whether a run trains language models."""
    return bool(config.reward_model or config.policy)


@contextmanager
def watched(channel: grpc.Channel, is_tuned: bool, seen: Seen, look_s: float = LOOK_S) -> Iterator[Seen]:
    """`seen`, which is told of the last view again as its trainings go on: how far they are stands in `detail`.

    Where nobody answers for TrainingService at this address it is told of nothing more. Not `is_tuned`: as it was.
    """
    if not is_tuned:
        yield seen
        return
    watch = _Watch(TrainingServiceStub(channel), seen)
    over = threading.Event()
    thread = threading.Thread(target=watch.look, args=(over, look_s), name="trainings", daemon=True)
    thread.start()
    try:
        yield watch.seen
    finally:
        over.set()
        thread.join(look_s)


class _Watch:
    """Passes views on, one at a time, and those of a stage that trains again and again."""

    def __init__(self, jobs: TrainingServiceStub, seen: Seen) -> None:
        self._jobs, self._seen, self._view, self._turn = jobs, seen, RunView(), threading.Lock()

    def seen(self, view: RunView) -> None:
        with self._turn:
            self._view = view
            self._seen(view)

    def look(self, over: threading.Event, look_s: float) -> None:
        """Until it is over, or nobody answers for trainings here."""
        while not over.wait(look_s):
            view = self._view
            try:
                words = progress_words(self._progress(view))
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                    return
                continue
            with self._turn:
                if words and view is self._view:
                    told = RunView()
                    told.CopyFrom(view)
                    told.detail = words
                    self._seen(told)

    def _progress(self, view: RunView) -> list[TrainingProgress]:
        """Of the open stage's units that train; none where it is another stage."""
        stage = view.stages[-1] if view.stages else None
        if stage is None or stage.closed or stage.stage not in TRAINS:
            return []
        units = [Unit(stage=stage.stage, round=stage.round, number=number) for number in range(stage.units)]
        said = [self._jobs.GetJob(GetJobRequest(run_id=view.run_id, unit=unit)) for unit in units]
        return [job.progress for job in said if job.HasField("progress") and not job.done]


def progress_words(trainings: Sequence[TrainingProgress]) -> str:
    """How far they are; empty where none of them says."""
    if not trainings:
        return ""
    step, of = sum(one.step for one in trainings), sum(one.of for one in trainings)
    loss = sum(one.loss for one in trainings) / len(trainings)
    pace = sum(one.tokens_a_second for one in trainings)
    used = [one.mfu for one in trainings if one.HasField("mfu")]
    left = max(one.seconds_left for one in trainings)
    words = [f"step {step:,} of {of:,}"]
    words += [f"loss {loss:.3g}"] if loss else []
    words += [many(round(pace), "token a second", "tokens a second")] if pace else []
    words += [f"MFU {sum(used) / len(used):.0%}"] if used else []
    words += [f"{_time(left)} left"] if left else []
    return ", ".join(words)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return many(minutes, "minute") if minutes < 90 else f"{minutes / 60:.1f} h"
