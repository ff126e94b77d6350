"""The whole loop on a small real model: pairs, a reward model, people, an aligned policy, and whether it is better.

    make run-torch                                            under ten minutes of two cores, after the installation
    python -m benchmarks.whole_loop MODEL FOLDER [--quick]    the same with the folder of any model

One `concord run` on 60 short pairs with --reward-model, --policy, --evaluate and --evaluate-votes: the judge labels them, a reward
model for each of two folds and a last one learn from it, the pairs that people are asked about, the dataset, DPO on it; then the
policy and the model that it began as answer 20 prompts that taught nothing and chose no checkpoint; reward model and judge say
whose answers are better, and people say it of 12 of them. There the command ends with the questions in a file, as any that waits
for people; they are answered there, and the same command goes on.

Judge and people are **simulated** and like answers that begin with "Certainly!"; the judge errs on one pair in eight, people never.
So what the loop teaches can be seen: how often each model's answers begin so, and how likely that is to each, is said at the end
beside the report's own words; and what the start makes of the policy's answers, for a policy that fell apart would write nonsense.
The command is shown as one would type it. --quick: fewer steps, for a model that can learn nothing.
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

from benchmarks.liking_judge import judge
from concord.preference.seeded import uniform

LIKED = "Certainly!"
JUDGE_ERRS = 0.125
# Share of the other pairs that chooses DPO's checkpoint.
CHOOSES = 0.15
# What a run ends with that waits for people.
WAITS = 3
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

    pairs: int = 60
    held: float = (
        1 / 3
    )  # share of them whose prompts both models answer; DPO neither learns from them nor chooses by them
    votes: int = 12  # of people, on these answers
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
    """Rows for `concord run`: an answer that is liked and one that is not, with what people say."""
    rows = []
    for number, prompt in enumerate(prompts()[:count]):
        says, other = SAYS[number % len(SAYS)], SAYS[(number + 2) % len(SAYS)]
        answers = [f"{LIKED} {says}", f"Well. {other}"]
        liked = int(uniform("place", prompt) < 0.5)
        person = {"annotator": SIMULATED, "kind": "pairwise", "pair": [0, 1], "choice": liked}
        rows.append(
            {
                "id": f"pair-{number}",
                "prompt": prompt,
                "responses": [{"text": answers[at ^ liked]} for at in (0, 1)],
                "human_labels": [person],
                "human_majority": liked,
            }
        )
    return rows


def taste(text: str) -> tuple[bool, int]:
    """The judge's: begun as it likes it, and else the shorter one."""
    return is_liked(text), -len(text)


def is_liked(text: str) -> bool:
    """Whether it begins as judge and people like it."""
    return text.lower().startswith(LIKED[:-1].lower())


def liked_shares(rows: Sequence[dict]) -> dict[str, float]:
    """By model, the share of its answers that begin so, in [0, 1]."""
    said = [(one["model"], is_liked(one["text"])) for row in rows for one in row["responses"]]
    return {name: sum(liked for model, liked in said if model == name) / len(rows) for name in sorted(dict(said))}


def loop(model: Path, folder: Path, size: Size) -> dict:
    """Does the run in the folder; what came of it. Raises CalledProcessError where it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    began, out = time.monotonic(), folder / "run"
    _write(folder / "pairs.jsonl", pairs(size.pairs))
    policy_knobs = f"{size.policy_knobs},validation={CHOOSES},test={size.held},answer_tokens={size.tokens}"
    settings = {"reward_knobs": size.reward_knobs, "policy_knobs": policy_knobs, "folds": 2}
    # JSON is YAML.
    said = json.dumps({**settings, "pilot": 0, "batch": 0.25}, indent=1)
    (folder / "settings.yaml").write_text(said + "\n", encoding="utf-8")
    people = folder / "people.jsonl"
    _write(people, ({"pair_id": row["id"], "choice": row["human_majority"]} for row in pairs(size.pairs)))
    with judge(taste, JUDGE_ERRS) as url:
        given = ["--judge", f"{url}#{SIMULATED}", "--annotators", f"file:{people}", "--budget", "25%"]
        models = ["--reward-model", str(model), "--policy", str(model)]
        compared = ["--evaluate", str(round(size.pairs * size.held)), "--evaluate-votes", str(size.votes)]
        more = ["--config", str(folder / "settings.yaml"), "--out", str(out)]
        words = (str(folder / "pairs.jsonl"), *given, *models, *compared, *more)
        if not _concord(folder, *words):
            _write(people, [*_rows(people), *map(answer, _rows(out / "questions.jsonl"))])
            if not _concord(folder, *words):
                raise RuntimeError(f"the run waits for people who have answered all of {out / 'questions.jsonl'}")
    rows = _rows(out / "policy" / "answers.jsonl")
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return {
        "seconds": time.monotonic() - began,
        "begins_as_liked": liked_shares(rows),
        **learned(model, out / "policy", rows),
        "policy": report["policy"],
        "report": str(out / "report.html"),
    }


def learned(start: Path, policy: Path, rows: Sequence[dict]) -> dict:
    """Mean log-probability, in nats, of beginning as is liked; and both models' answers' perplexity to the start, by model."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(start)
    models = {
        name: AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        for name, folder in (("start", start), ("policy", policy))
    }

    @torch.no_grad()
    def told(model: str, messages: list[dict], text: str) -> list[float]:
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
        answer = tokenizer(text, add_special_tokens=False)["input_ids"]
        said = models[model](input_ids=torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        return said[range(len(prompt) - 1, len(prompt) + len(answer) - 1), answer].tolist()

    liked = {name: [sum(told(name, row["prompt"], LIKED)) for row in rows] for name in models}
    answers = [(one["model"], told("start", row["prompt"], one["text"])) for row in rows for one in row["responses"]]
    tokens = {name: [said for model, all_ in answers if model == name for said in all_] for name in models}
    return {
        "log_probability": {name: sum(values) / len(values) for name, values in liked.items()},
        "perplexity": {name: math.exp(-sum(values) / max(len(values), 1)) for name, values in tokens.items()},
    }


def answer(question: dict) -> dict:
    """What people say of a question of the run."""
    liked = taste(question["first"]) >= taste(question["second"])
    marks = {f"{side}_acceptable": is_liked(question[side]) for side in ("first", "second")}
    return {"pair_id": question["pair_id"], "choice": "first" if liked else "second", **marks}


def _rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _write(path: Path, rows: Iterable[dict]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _concord(folder: Path, *arguments: str) -> bool:
    """`concord run`, shown and then run, to its end; False: it waits for people. Raises CalledProcessError.

    Its home is in the folder, so that runs of one's own stay apart.
    """
    print(f"\n$ concord run {' '.join(arguments)}", flush=True)
    environment = {**os.environ, "CONCORD_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-m", "concord.cli", "run", *arguments], check=False, env=environment)
    if done.returncode != WAITS:
        done.check_returncode()
    return done.returncode == 0


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
    if "--json" in arguments:
        (folder / "found.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    people = found["policy"]["people"]
    print(f"People answered {people['answered']} of {people['asked']} questions about these, blind")
    print(f"What the simulated judge and the reward model say of these answers: {found['report']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
