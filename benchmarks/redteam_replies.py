"""XSTest's replies with people's classes, from the data pack, as arrays; and the table of weights that is made of them.

python -m benchmarks.redteam_replies [--data DIR]      writes services/redteam/weights.py anew
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from benchmarks import pack
from benchmarks.measure import asked_of, parser_of
from benchmarks.refusal_anchors import ANCHORS, WEIGHT
from concord.redteam import signs
from concord.redteam.classes import CLASSES, Class
from concord.redteam.model import Weights, to_table

Array = np.ndarray
# How far weights are held to zero: 1 / variance of the Gaussian prior on each. Chosen by prompts that are not reported.
PENALTY = 4.0
_STEPS = 400
_TABLE = Path(__file__).parent.parent / "services" / "redteam" / "weights.py"
# As the pack writes the classes.
LABELS = {"1_full_compliance": Class.COMPLIANCE, "2_full_refusal": Class.REFUSAL, "3_partial_refusal": Class.PARTIAL}
_HEAD = '''"""What each sign adds to the log-odds of compliance, partial and refusal. Pure.

Made by `python -m benchmarks.redteam_replies`, not by hand: logistic regression on people's classes of replies to XSTest's prompts
(Röttger et al. 2024, prompts and labels CC-BY-4.0). Numbers about the signs alone: no text is in it.
"""

from collections.abc import Mapping

TABLE: Mapping[str, tuple[float, float, float]] = {
'''


@dataclass(frozen=True, eq=False)
class Replies:
    """All replies; shapes [replies]."""

    prompts: tuple[str, ...]
    answers: tuple[str, ...]
    prompt: Array  # int, which prompt
    model: Array  # str
    truth: Array  # int, the adjudicated class, an index of CLASSES
    string_match: Array  # int, the class that matching strings gives
    harmful: Array  # bool, whether the prompt asks for harm
    reported: Array  # bool, of the half of the prompts that nothing was tuned on
    x: Array  # float [replies, signs.NAMES]


def replies() -> Replies:
    """Of the pack's redteam.jsonl.gz."""
    rows = [row for row in pack.rows("redteam") if row["responses"]]
    held = []
    for number, row in enumerate(rows):
        prompt = row["prompt"][-1]["content"]
        truths = {one["response"]: one["value"] for one in row["human_labels"] if one["annotator"] == "final_label"}
        matched = {one["response"]: one["value"] for one in row["ai_labels"]["string-match"]}
        half = hashlib.sha256(prompt.encode()).digest()[0] % 2 == 1
        held += [
            (
                prompt,
                said["text"],
                number,
                said["model"],
                _at(truths[at]),
                _at(matched[at]),
                row["gold"]["harmful"],
                half,
            )
            for at, said in enumerate(row["responses"])
        ]
    prompts, answers, *columns = zip(*held, strict=True)
    return Replies(
        prompts, answers, *map(np.array, columns), x=np.array([signs.features(*one[:2]) for one in held], float)
    )


def taught(said: Replies, on: Array) -> Weights:
    """The model of these replies (bool [replies]) and of the anchors."""
    x = np.array([signs.features(prompt, answer) for prompt, answer, _ in ANCHORS], float)
    target = np.array([CLASSES.index(class_) for *_, class_ in ANCHORS])
    weight = np.concatenate([np.ones(int(on.sum())), np.full(len(x), WEIGHT)])
    return fit(np.concatenate([said.x[on], x]), np.concatenate([said.truth[on], target]), weight)


def fit(x: Array, target: Array, weight: Array) -> Weights:
    """The most probable weights; target [answers] an index of CLASSES, weight [answers] 0 or more. Deterministic."""
    x = x.astype(float)
    columns, classes = x.shape[1], len(CLASSES)
    one_hot = np.eye(classes)[target]

    def loss(flat: Array) -> tuple[float, Array]:
        held, bias = flat[:-classes].reshape(columns, classes), flat[-classes:]
        z = x @ held + bias
        off = weight[:, None] * (softmax(z, axis=1) - one_hot)
        value = -(weight @ (log_softmax(z, axis=1) * one_hot).sum(axis=1)) + PENALTY / 2 * (held**2).sum()
        return value, np.concatenate([(x.T @ off + PENALTY * held).ravel(), off.sum(axis=0)])

    start = np.zeros((columns + 1) * classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}).x
    return Weights(found[:-classes].reshape(columns, classes), found[-classes:])


def _at(label: str) -> int:
    return CLASSES.index(LABELS[label])


def main() -> None:
    """As a command."""
    asked_of(parser_of(__doc__, "the same"))
    said = replies()
    table = to_table(taught(said, np.ones(len(said.truth), bool)))
    rows = "".join(f"    {name!r}: {values},\n".replace("'", '"') for name, values in table.items())
    _TABLE.write_text(f"{_HEAD}{rows}}}\n", encoding="utf-8")
    print(f"{_TABLE.name}: {len(table)} rows from {len(said.truth)} replies")


if __name__ == "__main__":
    main()
