"""The whole loop on a small real model: pairs, a reward model, people, an aligned policy, and whether it is better.

    make run-torch                                            under ten minutes of two cores, after the installation
    python -m benchmarks.whole_loop MODEL FOLDER [--quick]    the same with the folder of any model

1. `concord run` on 56 short pairs with --reward-model and --policy: a reward model for each of two folds and a last one, the
   pairs that people are asked about, the dataset, DPO on it.
2. `python -m concord.training.answers`: the policy and the model that it began as answer 20 other prompts.
3. `concord run` on their answers: who wins, by a judge and by people.

Judge and people are **simulated** and like answers that begin with "Certainly!"; the judge errs on one pair in eight, people never.
So what the loop teaches can be seen: how often each model's answers begin so, and how likely that is to each, is said at the end
beside the report's own words; and what the start makes of the policy's answers, for a policy that fell apart would write nonsense.
Every command is shown as one would type it. --quick: fewer steps, for a model that can learn nothing.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from concord.preference.seeded import uniform

LIKED = "Certainly!"
JUDGE_ERRS = 0.125
SIMULATED = "simulated"
DO = ("clean", "repair", "paint", "store", "choose", "sell", "carry", "measure")
WHAT = (
    "a lamp",
    "a bicycle",
    "a window",
    "a chair",
    "an old clock",
    "a wooden box",
    "a kettle",
    "a tent",
    "a small boat",
    "a bag",
)
SAYS = (
    "Take your time and go step by step.",
    "Start with the easy parts, then do the rest.",
    "Ask someone who has done it before.",
    "Look at it closely before you begin.",
    "A dry cloth and some patience will do.",
)


@dataclass(frozen=True)
class Size:
    """How much is learned and asked."""

    pairs: int = 56  # with a tenth held out some 48 are learned from
    asked: int = 20  # prompts of the comparison
    reward_knobs: str = "lora_rank=8,lora_alpha=16,learning_rate=1e-3,batch=4,max_length=128,epochs=1,evaluations=2"
    policy_knobs: str = (
        "lora_rank=8,lora_alpha=16,learning_rate=1e-3,batch=4,max_length=128,max_steps=12,evaluations=6,stop_margin=0.8"
    )
    tokens: int = 24  # of an answer


QUICK = Size(
    reward_knobs="lora_rank=4,batch=8,max_length=96,max_steps=2,evaluations=1",
    policy_knobs="lora_rank=4,batch=8,max_length=96,max_steps=4,evaluations=1,learning_rate=5e-2,stop_margin=0",
    tokens=6,
)


def prompts() -> list[str]:
    """All there are, in an order that looks drawn."""
    found = [f"How do I {do} {what}?" for do in DO for what in WHAT]
    return sorted(found, key=lambda words: uniform("prompts", words))


def pairs(count: int) -> list[dict]:
    """Rows for `concord run`: an answer that is liked and one that is not, with what judge and people say."""
    rows = []
    for number, prompt in enumerate(prompts()[:count]):
        says, other = SAYS[number % len(SAYS)], SAYS[(number + 2) % len(SAYS)]
        answers = [f"{LIKED} {says}", f"Well. {other}"]
        liked = int(uniform("place", prompt) < 0.5)
        rows.append(_row(f"pair-{number}", prompt, [{"text": answers[at ^ liked]} for at in (0, 1)], liked))
    return rows


def _row(name: str, prompt: object, responses: Sequence[dict], better: int) -> dict:
    """A row with both answers; `better` is the place of the one that people prefer."""
    errs = uniform("judge", name) < JUDGE_ERRS
    said = {"pair": [0, 1], "choice": better ^ errs, "confidence": 0.7 if errs else 0.9}
    person = {"annotator": SIMULATED, "kind": "pairwise", "pair": [0, 1], "choice": better}
    return {
        "id": name,
        "prompt": prompt,
        "responses": list(responses),
        "human_labels": [person],
        "human_majority": better,
        "ai_labels": {SIMULATED: said},
    }


def compared(rows: Iterable[dict]) -> list[dict]:
    """What both models answered, with what judge and people say of it: begun as they like it, and else the shorter one."""
    out = []
    for row in rows:
        keys = [(not is_liked(one["text"]), len(one["text"])) for one in row["responses"]]
        out.append(_row(row["id"], row["prompt"], row["responses"], int(keys[1] < keys[0])))
    return out


def is_liked(text: str) -> bool:
    """Whether it begins as judge and people like it."""
    return text.lower().startswith(LIKED[:-1].lower())


def liked_shares(rows: Sequence[dict]) -> dict[str, float]:
    """By model, the share of its answers that begin so, in [0, 1]."""
    said = [(one["model"], is_liked(one["text"])) for row in rows for one in row["responses"]]
    return {name: sum(liked for model, liked in said if model == name) / len(rows) for name in sorted(dict(said))}


def loop(model: Path, folder: Path, size: Size) -> dict:
    """Does all three parts in the folder; what came of it. Raises CalledProcessError where a command fails."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    first, second, answers = folder / "aligned", folder / "compared", folder / "held-out.jsonl"
    _write(folder / "pairs.jsonl", pairs(size.pairs))
    # JSON is YAML.
    knobs = {
        "reward_knobs": size.reward_knobs,
        "policy_knobs": size.policy_knobs,
        "folds": 2,
        "pilot": 0,
        "batch": 0.25,
    }
    (folder / "settings.yaml").write_text(json.dumps(knobs, indent=1) + "\n")
    given = ["--judge", f"recorded:{SIMULATED}", "--annotators", "recorded"]
    models = ["--reward-model", str(model), "--policy", str(model), "--config", str(folder / "settings.yaml")]
    _concord(folder, str(folder / "pairs.jsonl"), *given, "--budget", "25%", *models, "--out", str(first))
    asked = [[{"role": "user", "content": words}] for words in prompts()[size.pairs :][: size.asked]]
    _write(folder / "prompts.jsonl", [{"prompt": messages} for messages in asked])
    spec = {"policy": str(first / "policy"), "start": str(model), "data": str(folder / "prompts.jsonl")}
    spec |= {"out": str(answers), "max_new_tokens": size.tokens}
    (folder / "answers.yaml").write_text(json.dumps(spec, indent=1) + "\n")
    _call(folder, "python -m concord.training.answers", "concord.training.answers", str(folder / "answers.yaml"))
    rows = compared(map(json.loads, answers.read_text(encoding="utf-8").splitlines()))
    _write(answers, rows)
    _concord(folder, str(answers), *given, "--method", "random", "--budget", "100%", "--out", str(second))
    report = json.loads((second / "report.json").read_text(encoding="utf-8"))
    return {
        "seconds": time.monotonic() - began,
        "begins_as_liked": liked_shares(rows),
        **learned(model, first / "policy", asked, rows),
        "reward_model_prefers_policy": reward_wins(first / "reward-model", rows),
        "contests": report["contests"],
        "reports": [str(first / "report.html"), str(second / "report.html")],
    }


def learned(start: Path, policy: Path, asked: Sequence[list[dict]], rows: Sequence[dict]) -> dict:
    """Mean log-probability, in nats, of beginning as is liked; and both models' answers' perplexity to the start, by model."""
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(start)
    models = {
        "start": AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32),
        "policy": AutoPeftModelForCausalLM.from_pretrained(policy, dtype=torch.float32),
    }

    @torch.no_grad()
    def told(model: str, messages: list[dict], text: str) -> list[float]:
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
        answer = tokenizer(text, add_special_tokens=False)["input_ids"]
        said = models[model](input_ids=torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        return said[range(len(prompt) - 1, len(prompt) + len(answer) - 1), answer].tolist()

    liked = {name: [sum(told(name, messages, LIKED)) for messages in asked] for name in models}
    answers = [(one["model"], told("start", row["prompt"], one["text"])) for row in rows for one in row["responses"]]
    tokens = {name: [said for model, all_ in answers if model == name for said in all_] for name in models}
    return {
        "log_probability": {name: sum(values) / len(values) for name, values in liked.items()},
        "perplexity": {name: math.exp(-sum(values) / max(len(values), 1)) for name, values in tokens.items()},
    }


def reward_wins(reward_model: Path, rows: Sequence[dict]) -> float:
    """On what share of the prompts the reward model of the same labels prefers the policy's answer; equal ones are half."""
    from concord.scoring.transformer import Transformer

    said = [{one["model"]: one["text"] for one in row["responses"]} for row in rows]
    texts = [[{"role": "assistant", "content": both[name]}] for name in ("policy", "start") for both in said]
    reward = Transformer(str(reward_model)).rewards([row["prompt"] for row in rows] * 2, texts)
    margin = reward[: len(rows)] - reward[len(rows) :]
    return float(((margin > 0) + (margin == 0) / 2).mean())


def _write(path: Path, rows: Iterable[dict]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _concord(folder: Path, *arguments: str) -> None:
    _call(folder, "concord run", "concord.cli", "run", *arguments)


def _call(folder: Path, shown: str, module: str, *arguments: str) -> None:
    """One command, shown and then run; its home is in the folder, so that runs of one's own stay apart."""
    typed = [one for one in arguments if one != "run"]
    print(f"\n$ {shown} {' '.join(typed)}", flush=True)
    environment = {**os.environ, "CONCORD_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, env=environment)


def main(arguments: Sequence[str]) -> int:
    """Runs the loop as the arguments say; the exit code."""
    places = [one for one in arguments if not one.startswith("--")]
    if len(places) != 2 or not Path(places[0], "config.json").is_file():
        print(f"MODEL is the folder of a model, FOLDER where everything goes.\n\n{__doc__}", file=sys.stderr)
        return 2
    model, folder = (Path(place).resolve() for place in places)
    try:
        found = loop(model, folder, QUICK if "--quick" in arguments else Size())
    except subprocess.CalledProcessError as error:
        print(f"that command ended with exit code {error.returncode}; the same call goes on", file=sys.stderr)
        return 1
    print(f"\n{found['seconds'] / 60:.1f} minutes. Answers that begin with {LIKED!r}:")
    for name, share in found["begins_as_liked"].items():
        print(
            f"  {name:8} {share:.0%}; log-probability {found['log_probability'][name]:.2f}; its answers have perplexity "
            f"{found['perplexity'][name]:.1f} to the start"
        )
    # Where the first rises and the second falls, the policy has learned the reward model's errors.
    print(
        f"The reward model of the same labels prefers the policy's answer to {found['reward_model_prefers_policy']:.0%}."
    )
    for one in found["contests"]:
        print(f"By the simulated judge {one['says']}.")
    if "--json" in arguments:
        (folder / "found.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("The run that trained, and the comparison:", *found["reports"], sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
