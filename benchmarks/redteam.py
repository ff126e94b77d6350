"""Does an answer comply or refuse? Rules against people, on XSTest's replies of the data pack; and the pairs that come of it.

    python -m benchmarks.redteam [--data DIR] [--quick] [--json [FILE]]

The signs and the penalty were worked out on prompts whose hash is even; the others are reported. The classifier is fitted on the
even half, without the replies of a model where its replies are the new ones. Intervals are 95 %, by the bootstrap over prompts.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks import pack
from benchmarks.measure import asked_of, circumstances, parser_of, write
from benchmarks.redteam_replies import Replies, replies, taught
from concord.redteam.classes import CLASSES, Class, Classed
from concord.redteam.model import p_classes
from concord.redteam.pairing import SURE_CHOSEN, Candidate, pairs

Array = np.ndarray
SEED, RESAMPLES, FOLDS = 0, 2_000, 6
COMPLIANCE, PARTIAL, REFUSAL = range(len(CLASSES))


def new_prompts(said: Replies) -> Array:
    """P(class) of every reply, from replies to the even half's prompts; of that half's own it is no honest figure."""
    return p_classes(taught(said, ~said.reported), said.x)


def new_models(said: Replies) -> Array:
    """The same without any reply of the model that wrote it."""
    out = np.zeros((len(said.truth), len(CLASSES)))
    for model in np.unique(said.model):
        mine = said.model == model
        out[mine] = p_classes(taught(said, ~said.reported & ~mine), said.x[mine])
    return out


def crossfitted(said: Replies, folds: int) -> Array:
    """From all other folds of prompts: nearer to the weights that ship, which all replies taught."""
    fold = np.random.default_rng(SEED).permutation(said.prompt.max() + 1)[said.prompt] % folds
    out = np.zeros((len(said.truth), len(CLASSES)))
    for number in range(folds):
        held = fold == number
        out[held] = p_classes(taught(said, ~held), said.x[held])
    return out


def figures(said: Replies, p: Array, on: Array) -> dict[str, Any]:
    """Three classes, and refusal against compliance where people say one of the two; `on`: bool [replies]."""
    decided = on & (said.truth != PARTIAL)
    two = np.where(p[:, REFUSAL] > p[:, COMPLIANCE], REFUSAL, COMPLIANCE)
    return {
        "three_classes": share(said, p.argmax(axis=1) == said.truth, on),
        "refusal_or_compliance": share(said, two == said.truth, decided),
        "recall": {
            name: share(said, p.argmax(axis=1) == at, on & (said.truth == at)) for at, name in enumerate(CLASSES)
        },
    }


def share(said: Replies, hits: Array, on: Array) -> dict[str, Any]:
    """The share of hits with its bootstrap interval; prompts are drawn, with all their replies."""
    prompts, at = np.unique(said.prompt[on], return_inverse=True)
    over, under = np.bincount(at, hits[on].astype(float)), np.bincount(at)
    drawn = np.random.default_rng(SEED).multinomial(len(prompts), np.full(len(prompts), 1 / len(prompts)), RESAMPLES)
    low, high = np.quantile((drawn @ over) / np.maximum(drawn @ under, 1), (0.025, 0.975))
    return {"share": float(over.sum() / under.sum()), "low": float(low), "high": float(high), "of": int(under.sum())}


def paired(said: Replies, p: Array, on: Array) -> dict[str, Any]:
    """Pairs made of the replies, a prompt's five models as its candidates, and what people say of what was chosen and rejected."""
    truths: dict[str, list[int]] = {"harmful": [], "safe": []}
    rejected: dict[str, list[int]] = {"harmful": [], "safe": []}
    by_class = 0
    for number in np.unique(said.prompt[on]):
        at = np.flatnonzero(said.prompt == number)
        harmful = bool(said.harmful[at[0]])
        held = {said.answers[one].strip(): int(said.truth[one]) for one in at}
        made = pairs(said.prompts[at[0]], harmful, [_candidate(said.answers[one], p[one]) for one in at])
        kind = "harmful" if harmful else "safe"
        truths[kind] += [held[one.chosen.text.strip()] for one in made]
        rejected[kind] += [held[one.rejected.text.strip()] for one in made]
        by_class += sum(one.chosen.said.answer is Class.REFUSAL for one in made if harmful)
    right = {"harmful": (REFUSAL, COMPLIANCE), "safe": (COMPLIANCE, REFUSAL)}
    return {
        kind: {
            "pairs": len(chosen),
            "chosen": {name: chosen.count(at) for at, name in enumerate(CLASSES)},
            "chosen_right": chosen.count(right[kind][0]) / max(1, len(chosen)),
            "rejected_right": rejected[kind].count(right[kind][1]) / max(1, len(chosen)),
        }
        for kind, chosen in truths.items()
    } | {"chosen_classed_refusal": by_class, "of": len(truths["harmful"]), "floor": SURE_CHOSEN}


def _candidate(text: str, p: Array) -> Candidate:
    first, second, third = map(float, p)
    return Candidate(text, Classed(CLASSES[int(np.argmax(p))], (first, second, third), ""))


def measured(quick: bool) -> dict[str, Any]:
    """All figures; `quick`: without the folds and the models left out."""
    began = time.perf_counter()
    said = replies()
    per_answer_ms = (time.perf_counter() - began) / len(said.truth) * 1e3
    on, p = said.reported, new_prompts(said)
    matched = np.eye(len(CLASSES))[said.string_match]
    out: dict[str, Any] = {
        "prompts": {"tuned_on": len(np.unique(said.prompt[~on])), "reported": len(np.unique(said.prompt[on]))},
        "string matching": figures(said, matched, on),
        "new prompts": figures(said, p, on),
        "pairs": paired(said, p, on),
        "ms_per_answer": per_answer_ms,
    }
    if not quick:
        left_out, all_ = new_models(said), np.ones(len(on), bool)
        out["new prompts and a new model"] = figures(said, left_out, on) | {
            "by_model": {
                str(model): share(said, left_out.argmax(axis=1) == said.truth, on & (said.model == model))
                for model in np.unique(said.model)
            }
        }
        out["new prompts, all others taught"] = figures(said, crossfitted(said, FOLDS), all_)
        out["string matching, all prompts"] = figures(said, matched, all_)
    return out


def show(found: Mapping[str, Any], say: Callable[[str], object] = print) -> None:
    """The figures in words."""
    for name, held in found.items():
        if "three_classes" in held if isinstance(held, Mapping) else False:
            say(f"\n{name}")
            for key in ("three_classes", "refusal_or_compliance"):
                say(f"  {key.replace('_', ' '):24} {_shown(held[key])}")
            for key, cell in {**held["recall"], **held.get("by_model", {})}.items():
                say(f"    {key:22} {_shown(cell)}")
    for kind in ("harmful", "safe"):
        held = found["pairs"][kind]
        say(f"\npairs of {kind} prompts: {held['pairs']}; chosen is {held['chosen']} by people's word")
    say(f"\n{found['ms_per_answer']:.1f} ms an answer")


def _shown(cell: Mapping[str, Any]) -> str:
    return f"{cell['share']:.3f} ({cell['low']:.3f}–{cell['high']:.3f}, {cell['of']:,})"


def main() -> None:
    """As a command."""
    asked = asked_of(parser_of(__doc__, "the reported half alone"))
    pack.path_of("redteam")
    found = measured(asked.quick)
    show(found)
    if asked.json:
        write(asked.json, circumstances({"resamples": RESAMPLES, "seed": SEED}) | found)


if __name__ == "__main__":
    main()
