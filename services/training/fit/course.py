"""The course of a training: when it is validated, kept and ended, and what is said of it on the way."""

import json
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from concord.training.knobs import Run, evaluate_every
from concord.training.model_folder import newest_checkpoint
from concord.training.progress import STOPPED, Pace, Progress, Stop

# Somebody who asks for an end waits no longer for a step; the last checkpoint stands.
PATIENCE_S = 10.0
# What TRL's trainers call the same.
_MARGIN = ("eval_margin", "eval_rewards/margins")
_ACCURACY = ("eval_accuracy", "eval_rewards/accuracies")


class Course(TrainerCallback):
    """Decides after each step; every evaluation leaves a checkpoint, whose state then knows which was best."""

    def __init__(
        self,
        knobs: Run,
        steps: int,
        held: bool,
        stop_margin: float,
        stop: Stop,
        progress: Progress,
        used: float | None = None,
    ) -> None:
        """`used`: the share of the devices' peak that one token a second uses; None: not known."""
        self._every, self._steps, self._held = evaluate_every(knobs, steps), steps, held
        self._checkpoint_s, self._stop_margin = knobs.checkpoint_s, stop_margin
        self._stop, self._progress, self._pace = stop, progress, Pace(steps)
        self._used = used
        self._kept_at = self._asked_at = 0.0
        self.metrics: dict[str, Any] = {}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._pace.begin(state.global_step)
        self._kept_at = time.monotonic()
        self._stop.at_once = False

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._stop.at_once = True

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._stop.asked and self._waited() > PATIENCE_S:
            raise SystemExit(STOPPED)

    def _waited(self) -> float:
        self._asked_at = self._asked_at or time.monotonic()
        return time.monotonic() - self._asked_at

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        due = state.global_step % self._every == 0 or state.global_step >= self._steps
        late = time.monotonic() - self._kept_at > self._checkpoint_s
        control.should_evaluate = due and self._held and not self._stop.asked
        control.should_save = due or late or self._stop.asked
        if self._stop.asked:
            control.should_training_stop = True

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._stop.asked:
            # The evaluation is lost, and no more than that since the last checkpoint: it is done again.
            raise SystemExit(STOPPED)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        if "loss" in logs:
            pace = self._pace.look(state.global_step, logs.get("num_tokens", 0.0))
            if self._used and "tokens_a_second" in pace:
                pace = {**pace, "mfu": round(pace["tokens_a_second"] * self._used, 4)}
            reward = {"reward": round(logs["reward"], 6)} if "reward" in logs else {}
            loss = round(logs["loss"], 6)
            self._progress.say("step", step=state.global_step, of=self._steps, loss=loss, **reward, **pace)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: dict[str, float], **_: Any
    ) -> None:
        said = validation(metrics)
        self._progress.say("validation", step=state.global_step, **said)
        if saturated(said, self._stop_margin):
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._kept_at = time.monotonic()
        self._progress.say("checkpoint", step=state.global_step)


def validation(metrics: dict[str, Any]) -> dict[str, float]:
    """Loss, accuracy and margin of held-out pairs, whatever the trainer calls them."""
    names = {"loss": ("eval_loss",), "accuracy": _ACCURACY, "margin": _MARGIN}
    return {said: round(float(metrics[name]), 6) for said, known in names.items() for name in known if name in metrics}


def saturated(said: dict[str, float], stop_margin: float) -> bool:
    """Whether held-out rewards lie as far apart as is wanted; `stop_margin` 0: never."""
    return 0 < stop_margin <= said.get("margin", 0.0)


class Kept:
    """What stands in the folder of checkpoints."""

    def __init__(self, folder: Path, steps: int, stop_margin: float) -> None:
        self._folder = folder
        self.newest = newest_checkpoint(folder)
        state = json.loads((self.newest / "trainer_state.json").read_text()) if self.newest else {}
        self.validations = [
            {"step": entry["step"], **validation(entry)}
            for entry in state.get("log_history", ())
            if "eval_loss" in entry
        ]
        self.losses = [
            {name: entry[name] for name in ("step", "loss", "reward") if name in entry}
            for entry in state.get("log_history", ())
            if "loss" in entry
        ]
        step = state.get("global_step", 0)
        last = self.validations[-1] if self.validations else {}
        self.ended = bool(state) and (step >= steps or (last.get("step") == step and saturated(last, stop_margin)))
        best = state.get("best_global_step")
        # By number: the state says where the folder was when it was written.
        self.best = folder / f"checkpoint-{best}" if best else self.newest
        self.best_step = best or step

    def others(self, most: int) -> dict[int, Path]:
        """The last `most` evaluations' checkpoints that are not the best one, by their step."""
        steps = [one["step"] for one in self.validations if one["step"] != self.best_step][-most:] if most else []
        folders = {step: self._folder / f"checkpoint-{step}" for step in steps}
        return {step: path for step, path in folders.items() if path.exists()}
