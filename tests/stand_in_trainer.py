"""`python -m tests.stand_in_trainer SPEC`: a trainer without a model, which says and leaves what the real ones do.

Each step hashes what there is; knobs of the spec beside the real ones: `steps`; `wait_for`, a file that it waits for at step 3,
once `wait_for`.begun holds its pid; `stubborn`, does not hear SIGTERM, nor does its child; `room`, the largest micro-batch;
`code` and `says`, how it fails; `answers` and `answers_at`, as the policy's. Standard library alone, so that it begins at once;
`stand_in_models` is the other side.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

STEPS, WAITS_AT, STOPPED = 6, 3, 75
TOLD = {
    "pairs": {"learned": 40, "held_out": 8},
    "validation": {"accuracy": 0.75, "margin": 0.5},
    "curves": {
        "loss": [{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.6}],
        "validation": [{"step": 2, "margin": 0.5}],
    },
}


def say(event: str, **facts: object) -> None:
    print(json.dumps({"event": event, **facts}), flush=True)


def keep(out: Path, step: int, state: str) -> None:
    """A checkpoint; those before it go."""
    folder = out / "checkpoints" / f"checkpoint-{step}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state").write_text(state)
    say("checkpoint", step=step)


def newest(out: Path) -> tuple[int, str]:
    found = {int(path.name.rpartition("-")[2]): path for path in out.glob("checkpoints/checkpoint-*")}
    return (max(found), (found[max(found)] / "state").read_text()) if found else (0, "")


def wait(file: Path, asked: list[int], stubborn: bool) -> None:
    """Until the file is there, or somebody asks for an end."""
    begun = file.with_suffix(".begun")
    pids = [os.getpid()]
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
        pids.append(subprocess.Popen([sys.executable, "-c", child], start_new_session=True).pid)
    part = begun.with_suffix(".part")
    part.write_text(" ".join(map(str, pids)))
    part.rename(begun)
    while not file.exists() and not asked:
        signal.sigtimedwait([], 0.02)


def answer(out: Path, rows: str, spec: dict) -> None:
    """The kept step's answers, and those of a later one, which only grow longer; the start's say what was asked."""
    if not spec.get("answers"):
        return
    prompts = list({json.dumps(json.loads(line)["prompt"]): None for line in rows.splitlines()})[: spec["answers"]]
    for name, times in [("answers", 1), ("answers-9", 4)][: 1 + min(spec.get("answers_at", 0), 1)]:
        lines = []
        for number, prompt in enumerate(map(json.loads, prompts)):
            said = [
                {"text": "It is so. " * times if number else "The same.", "model": "policy"},
                {"text": f"I was asked {number} things." if number else "The same.", "model": "start"},
            ]
            lines.append(
                json.dumps(
                    {"id": f"held-out-{number}", "prompt": prompt, "responses": said[:: 1 if number % 2 else -1]}
                )
            )
        if lines:
            (out / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def main(path: str) -> int:
    spec, asked = json.loads(Path(path).read_text()), list[int]()
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    if "says" in spec:
        print(spec["says"], file=sys.stderr)
        return int(spec["code"])
    if spec["micro_batch"] > spec.get("room", 99):
        raise MemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    out, rows = Path(spec["out"]), Path(spec["data"]).read_text()
    print("a line of a library's, no JSON")
    done, state = newest(out)
    say("begin", steps=spec.get("steps", STEPS), pairs=rows.count("\n"), from_step=done)
    for step in range(done + 1, spec.get("steps", STEPS) + 1):
        if step == WAITS_AT and "wait_for" in spec:
            wait(Path(spec["wait_for"]), asked, bool(spec.get("stubborn")))
        if asked:
            keep(out, step - 1, state)
            say("stopped", step=step - 1)
            return STOPPED
        state = hashlib.sha256(f"{state}{rows}{spec['seed']}".encode()).hexdigest()
        say("step", step=step, of=spec.get("steps", STEPS), loss=1 / step, tokens_a_second=10.5, seconds_left=1.5)
        say("validation", step=step, loss=0.5, accuracy=0.75, margin=float("nan"))
        if step == 2:
            keep(out, step, state)
    (out / "weights").mkdir(parents=True, exist_ok=True)
    (out / "weights" / "model").write_text(state)
    (out / "progress.jsonl").write_text(str(os.getpid()))
    left = spec.get("leaves", "reward-model")
    (out / "manifest.json").write_text(json.dumps({"kind": left, "step": 2, "versions": {"stand-in": "1"}, **TOLD}))
    answer(out, rows, spec)
    for old in out.glob("checkpoints/*/*"):
        old.unlink()
    for folder in [*out.glob("checkpoints/*"), out / "checkpoints"]:
        folder.rmdir() if folder.exists() else None
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
