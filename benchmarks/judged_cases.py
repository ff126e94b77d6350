"""Real judges on real pairs as the loop would see them: labels, signals, light features, and what people said.

Judge resolution: a name is an exact key of `ai_labels`, or an LLM's name and then means its prompt `Vanilla_NoRules`,
else `Vanilla`. `/vote` is never an input. The LLM's other prompts are signals of its own doubt.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from benchmarks.pack import rows
from concord.preference.folds import fold_of
from concord.reward import features, head
from concord.triage.signals import Signals

Array = np.ndarray
Row = dict

FOLDS = 5
COMPONENTS = 256
# What to look for and an answer to compare with are written first, then the verdict is given; the only further prompt that
# all rows of LLMBar have.
OTHER_KIND = "Metrics_Reference"


def _pandalm(row: Row) -> bool:
    return row["source"].startswith("pandalm")


def _llmbar(row: Row) -> bool:
    return row["source"].startswith("llmbar")


def _adversarial(row: Row) -> bool:
    return "/adv-" in row["source"]


def _natural(row: Row) -> bool:
    return _llmbar(row) and not _adversarial(row)


@dataclass(frozen=True)
class Case:
    """One set of pairs, the judge whose labels it starts with, and the judges that help."""

    group: str
    rows: Callable[[Row], bool]
    judge: str
    helpers: tuple[str, ...] = ()
    # So many verdicts of its own further prompts at most, beside its one prompt in both orders; None: all there are.
    calls: int | None = None

    @property
    def name(self) -> str:
        """`group: judge + helper, …`; no two cases have the same."""
        return f"{self.group}: {self.judge}" + (f" + {', '.join(self.helpers)}" if self.helpers else "")


CASES = (
    Case("friendly", _pandalm, "gpt-3.5-turbo"),
    Case("friendly", _pandalm, "gpt-3.5-turbo", ("pandalm-7b",)),
    Case("friendly", _pandalm, "pandalm-7b", ("gpt-3.5-turbo",)),
    Case("friendly", _natural, "ChatGPT"),
    Case("friendly", _natural, "ChatGPT", ("LLaMA2", "PaLM2")),
    Case("friendly", _natural, "ChatGPT", ("GPT-4",)),
    Case("friendly", _natural, "GPT-4"),
    Case("friendly", _natural, "GPT-4", ("ChatGPT", "PaLM2", "LLaMA2")),
    Case("friendly", _natural, "LLaMA2", ("PaLM2",)),
    Case("friendly", _natural, "PaLM2", ("LLaMA2", "ChatGPT")),
    Case("adversarial", _adversarial, "ChatGPT"),
    Case("adversarial", _adversarial, "ChatGPT", ("LLaMA2", "PaLM2")),
    Case("adversarial", _adversarial, "ChatGPT", ("GPT-4",)),
    Case("adversarial", _adversarial, "GPT-4"),
    Case("adversarial", _adversarial, "GPT-4", ("ChatGPT", "PaLM2", "LLaMA2")),
    Case("mixed", _llmbar, "ChatGPT", ("LLaMA2", "PaLM2")),
    Case("mixed", _llmbar, "ChatGPT", ("GPT-4",)),
    Case("mixed", _llmbar, "GPT-4", ("ChatGPT", "PaLM2", "LLaMA2")),
)

JUDGES = ("ChatGPT", "GPT-4", "LLaMA2", "PaLM2")


def by_calls(group: str, rows: Callable[[Row], bool]) -> tuple[Case, ...]:
    """One endpoint alone, asked in both orders, with 0, 1, 2 or all verdicts of its own further prompts."""
    shown = {0: "0 further calls", 1: "1 further call", 2: "2 further calls", None: "all further calls"}
    return tuple(Case(f"{group}, {words}", rows, judge, calls=n) for n, words in shown.items() for judge in JUDGES)


# Cases by what is known beside one endpoint's verdicts in both orders.
BY_SIGNALS = (
    *by_calls("one endpoint", _natural),
    *(replace(case, group="with a helper", calls=0) for case in CASES if case.group == "friendly" and case.helpers),
    *by_calls("mixed, one endpoint", _llmbar),
    *(replace(case, group="mixed, with a helper", calls=0) for case in CASES if case.group == "mixed"),
)


def read_rows() -> list[Row]:
    """The pairs with a human majority (ties included) and at least one judge."""
    return [row for row in rows("judged_pairs") if row["human_majority"] in (0, 1, "tie") and row["ai_labels"]]


def main_verdict(row: Row, judge: str) -> str | None:
    """The key of `ai_labels` that answers for `judge`: itself, else an LLM's single prompt; None if it is not usable."""
    for key in (judge, f"{judge}/Vanilla_NoRules", f"{judge}/Vanilla"):
        if row["ai_labels"].get(key, {}).get("choice") in (0, 1):
            return key
    return None


def _verdicts(row: Row, key: str) -> list[int]:
    verdict = row["ai_labels"][key]
    return [choice for choice in (verdict["choice"], verdict.get("choice_swapped")) if choice in (0, 1)]


def _against(choices: list[int], label: int) -> float:
    return float(np.mean([choice != label for choice in choices])) if choices else -1.0


def _own_prompts(row: Row, judge: str, key: str) -> list[str]:
    """The same LLM's other prompts, the one of another kind first; never `/vote`, which is computed from all of them."""
    if "/" not in key:
        return []
    llm = key.split("/")[0]
    own = [other for other in row["ai_labels"] if other.split("/")[0] == llm and other not in (key, f"{llm}/vote")]
    return sorted(own, key=lambda other: other != f"{llm}/{OTHER_KIND}")


def _own_verdicts(row: Row, judge: str, key: str, calls: int | None) -> list[int]:
    return [v for other in _own_prompts(row, judge, key) for v in _verdicts(row, other)][:calls]


def _helper_against(row: Row, helper: str, label: int) -> float:
    key = main_verdict(row, helper)
    return _against(_verdicts(row, key), label) if key else -1.0


@dataclass(frozen=True, eq=False)
class World:
    """A case as the loop sees it, and the truth that only the people know."""

    signals: Signals
    truth: Array  # [pairs] 1 the first is better, 0 the second, 0.5 a tie


def of_case(case: Case, all_rows: list[Row]) -> list[tuple[Row, str]]:
    """The rows of the case on which its judge has a usable verdict, and the key of that one."""
    found = [(row, main_verdict(row, case.judge)) for row in all_rows if case.rows(row)]
    return [(row, key) for row, key in found if key]


def world(case: Case, all_rows: list[Row], by_source: bool) -> World:
    """Labels, signals, light features on the case's own texts, and the out-of-fold AI head's margins."""
    rows, keys = zip(*of_case(case, all_rows), strict=True)
    choice = [row["ai_labels"][key]["choice"] for row, key in zip(rows, keys, strict=True)]
    label = np.where(np.array(choice) == 0, 1, -1)
    firsts, seconds = (tuple(row["responses"][side]["text"] for row in rows) for side in (0, 1))
    x = _differences(firsts, seconds)
    group = np.array([_group(row) for row in rows], dtype=np.uint64)
    sources = np.unique([row["source"] for row in rows], return_inverse=True)[1]
    domain = sources if by_source else np.zeros(len(rows), dtype=np.int64)
    cells = list(zip(rows, keys, choice, strict=True))
    signals = Signals(
        label=label,
        margin=ai_margins(x, label, domain, group),
        confidence=np.full(len(rows), -1.0),
        order_flipped=np.array([_order_flipped(row, key) for row, key, _ in cells], dtype=float),
        own_disagree=np.array([_against(_own_verdicts(row, case.judge, key, case.calls), c) for row, key, c in cells]),
        helpers=case.helpers,
        helper_disagree=np.array(
            [[_helper_against(row, helper, c) for row, _, c in cells] for helper in case.helpers]
        ).reshape(len(case.helpers), len(rows)),
        length_difference=np.array([np.log1p(len(a)) - np.log1p(len(b)) for a, b in zip(firsts, seconds, strict=True)]),
        domain=domain,
        group=group,
        x=x,
    )
    truth = np.array([{0: 1.0, 1: 0.0, "tie": 0.5}[row["human_majority"]] for row in rows])
    return World(signals, truth)


@lru_cache(8)
def _differences(firsts: tuple[str, ...], seconds: tuple[str, ...]) -> Array:
    """Light features on a basis of these texts alone; cases of one judge share their rows."""
    return features.differences(features.fit([*firsts, *seconds], COMPONENTS, seed=0), firsts, seconds)


def ai_margins(x: Array, label: Array, domain: Array, group: Array) -> Array:
    """Each pair by the head that did not see its group."""
    fold, out = fold_of(group, FOLDS), np.zeros(len(label))
    for k in range(FOLDS):
        seen, unseen = fold != k, fold == k
        model = head.fit_head(x[seen], (label[seen] > 0).astype(float), np.ones(seen.sum()), domain[seen])
        out[unseen] = head.margins(model, x[unseen], domain[unseen])
    return out


def _order_flipped(row: Row, key: str) -> int:
    both = _verdicts(row, key)
    return int(both[0] != both[1]) if len(both) == 2 else -1


def _group(row: Row) -> int:
    prompt = " ".join(message["content"] for message in row["prompt"])
    return int.from_bytes(hashlib.sha256(re.sub(r"\W+", " ", prompt.lower()).encode()).digest()[:8], "big")
