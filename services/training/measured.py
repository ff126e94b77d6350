"""How far a training is, in the metrics, by the devices that it has: nothing stays there once it is over."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from prometheus_client import Gauge

from concord.kit import telemetry
from concord.v1.training_service_pb2 import TrainingProgress

GAUGES: Mapping[str, Gauge] = {
    "step": telemetry.TRAINING_STEP,
    "of": telemetry.TRAINING_STEPS,
    "tokens_a_second": telemetry.TRAINING_TOKENS,
    "seconds_left": telemetry.TRAINING_LEFT,
    "mfu": telemetry.TRAINING_MFU,
}


@contextmanager
def shown(devices: str) -> Iterator[Callable[[TrainingProgress], None]]:
    """What is to be told of the training's progress; `devices`: names with commas between, empty for the CPU."""
    name = devices or "cpu"

    def show(progress: TrainingProgress) -> None:
        for field, gauge in GAUGES.items():
            # MFU that is not known is not zero.
            if field != "mfu" or progress.HasField("mfu"):
                gauge.labels(name).set(getattr(progress, field))

    try:
        yield show
    finally:
        for gauge in GAUGES.values():
            with suppress(KeyError):
                gauge.remove(name)
