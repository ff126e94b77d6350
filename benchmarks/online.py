"""RLOO on the small real model: 20 steps raise a planted reward that the scoring service gives over gRPC.

    make small-model; python -m benchmarks.online            some minutes of one core
    python -m benchmarks.online --quick                      a tiny model of random weights

The reward model is the light one, taught by pairs that differ in one thing: who is spoken to ("You can ... your lamp") and who is
not ("One can ... the lamp"). ScoringService holds it; `python -m concord.training.online`, a process of its own, has the policy
answer four prompts a step, four times each, and asks the service for all of a step in one call. Nothing holds the policy to its
start, for 20 steps are few. One seed. Reported: the mean reward of a step's answers, in logits above an empty answer; its first
and last five steps with the interval of their difference (95 %, bootstrap over steps).
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks import dpo_arms
from benchmarks.dpo_arms import Size
from benchmarks.whole_loop import DO, SAYS, WHAT, prompts
from concord.kit.arrays import pack
from concord.kit.blobs import FileBlobs
from concord.kit.rpc import serve
from concord.preference.request_bounds import check
from concord.reward import features, head
from concord.scoring.service import Scoring, servicer

# `learn` prompts, `held` steps, answers of `tokens`.
FULL = Size(learn=60, held=20, pool=400, tokens=16, max_length=64)
QUICK = Size(learn=20, held=3, pool=80, tokens=4, max_length=64)
PROMPTS, SAMPLES = 4, 4
RATE = 5e-4
# Steps at either end that are compared.
ENDS = 5


def taught(folder: Path, pairs: int) -> tuple[FileBlobs, str, str]:
    """(blobs, the model's URI, its basis' URI) of a light reward model that likes being spoken to."""
    liked, other = zip(*(_pair(number) for number in range(pairs)), strict=True)
    basis = features.fit([*liked, *other], 64, 0)
    x = features.differences(basis, [*liked, *other], [*other, *liked])
    target = np.repeat([1.0, 0.0], pairs)
    made = head.fit_head(x, target, np.ones(2 * pairs), np.zeros(2 * pairs, np.int64), ridge=1.0)
    blobs = FileBlobs(folder / "blobs")
    return blobs, blobs.put(pack(made.arrays())), blobs.put(pack(basis.arrays()))


def _pair(number: int) -> tuple[str, str]:
    """Two answers that differ in whether somebody is spoken to."""
    do, what = DO[number % len(DO)], WHAT[number // len(DO) % len(WHAT)]
    thing, says = what.split()[-1], SAYS[number % len(SAYS)]
    return (
        f"You can {do} your {thing} if you have what you need. {says}",
        f"One can {do} the {thing} with what is at hand. {says}",
    )


@contextmanager
def service(blobs: FileBlobs) -> Iterator[str]:
    """The address of ScoringService over these blobs, until the block ends."""
    server, port, _ = serve([servicer(Scoring(blobs))], "127.0.0.1:0", check=check)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def measured(start: str, size: Size, folder: Path) -> dict:
    """Trains in a process of its own against the service; rewards by step."""
    blobs, model, basis = taught(folder, size.pool)
    # The tiny model knows no conversations.
    is_chat = (Path(start) / "chat_template.jinja").exists()
    said = [[{"role": "user", "content": one}] if is_chat else f"{one} " for one in prompts()[: size.learn]]
    asked = "".join(json.dumps({"prompt": one}) + "\n" for one in said)
    (folder / "prompts.jsonl").write_text(asked, encoding="utf-8")
    knobs = {"model": start, "data": "prompts.jsonl", "out": "policy", "reward_model": model, "basis": basis}
    knobs |= {"samples": SAMPLES, "batch": PROMPTS * SAMPLES, "micro_batch": PROMPTS * SAMPLES, "beta": 0.0}
    knobs |= {"max_new_tokens": size.tokens, "max_length": size.max_length, "max_steps": size.held}
    knobs |= {"lora_rank": dpo_arms.RANK, "lora_alpha": 2 * dpo_arms.RANK, "learning_rate": RATE, "evaluations": 1}
    with service(blobs) as address:
        (folder / "online.yaml").write_text(json.dumps(knobs | {"scoring": address}), encoding="utf-8")
        command = [sys.executable, "-m", "concord.training.online", "online.yaml"]
        out = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout
    steps = [one for one in map(json.loads, out.splitlines()) if one["event"] == "step"]
    reward = [one["reward"] for one in steps]
    ends = min(ENDS, len(reward) // 2)
    return {
        "method": "rloo",
        "answers_a_step": PROMPTS * SAMPLES,
        "reward": reward,
        "seconds_a_step": (steps[-1]["seconds"] - steps[0]["seconds"]) / max(1, len(steps) - 1),
        "first": float(np.mean(reward[:ends])),
        "last": float(np.mean(reward[-ends:])),
        "raised": dict(zip(("mean", "low", "high"), raised(reward, ends), strict=True)),
    }


def raised(reward: Sequence[float], ends: int) -> tuple[float, float, float]:
    """How far the last steps' mean lies above the first ones', with its interval over steps."""
    draw = np.random.default_rng(0)
    first, last = (np.array(part) for part in (reward[:ends], reward[-ends:]))
    drawn = [draw.choice(last, ends).mean() - draw.choice(first, ends).mean() for _ in range(2_000)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(last.mean() - first.mean()), float(low), float(high)


def told(found: dict) -> None:
    """What came, on standard output."""
    rise = found["raised"]
    print("reward by step:", " ".join(f"{one:.2f}" for one in found["reward"]))
    print(
        f"{len(found['reward'])} steps of {found['answers_a_step']} answers: {found['first']:.2f} at first, {found['last']:.2f} at "
        f"last, {rise['mean']:+.2f} ({rise['low']:+.2f} to {rise['high']:+.2f})"
    )


if __name__ == "__main__":
    fixed = {"rate": RATE, "batch": PROMPTS * SAMPLES, "samples": SAMPLES, "beta": 0.0, "lora_rank": dpo_arms.RANK}
    dpo_arms.run(__doc__, measured, told, FULL, QUICK, fixed)
