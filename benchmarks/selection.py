"""Which pairs to label: each strategy's ties, the judge's errors on what it chose, and what its labels teach.

    python -m benchmarks.selection [--data DIR] [--quick] [--json [FILE]]

Reads the data pack: lists of answers with people's labels on their pairs (fine-grained QA, PandaLM), given pairs (LLMBar natural,
Tulu, PandaLM), and HH for what labels teach. One pair of each prompt is chosen from lists, three quarters of given pairs. The
cuts were looked for on the prompts whose hash is even; figures of the other half stand beside those of all. Random choice is the
mean of 20 draws; intervals (95 %) are the bootstrap over prompts. An error of the judge on a pair that people call a tie counts
half: whatever it says there is a coin's.
"""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.measure import asked_of, circumstances, parser_of, write
from benchmarks.pack import rows
from concord.reward import features, head
from concord.triage.dissimilarity import STRATEGIES, Candidates, central_pair, choose

Array = np.ndarray
DIMENSIONS, RESAMPLES, DRAWS = 256, 2_000, 20
# What can be had without a policy; smallest-gap needs one's implicit rewards.
TRIED = tuple(name for name in STRATEGIES if name != "smallest-gap")
GIVEN_SHARE = 0.75
LABELS = (0.125, 0.25, 0.5, 0.75)


@dataclass(frozen=True, eq=False)
class Set:
    """Pairs of one source with what people and judges said; shapes [pairs]."""

    pairs: Candidates
    tie: Array
    wrong: Array  # share of the judges that are wrong about it, .5 for a tie; NaN where none judged
    reported: Array  # of the half that nothing was tuned on
    lists: bool


def embeddings(texts: list[str]) -> Array:
    """Unit vectors of the light featuriser, without its statistics; [texts, dimensions]."""
    return features.embeddings(features.fit(texts, DIMENSIONS, 0), texts)


def cosines(texts: list[str], vectors: Array, first: Array, second: Array) -> Array:
    """NaN where an answer is empty."""
    empty = np.array([not text.strip() for text in texts])
    return np.where(empty[first] | empty[second], np.nan, (vectors[first] * vectors[second]).sum(axis=1))


def lists(source: str, judges: tuple[str, ...]) -> Set:
    """All labelled pairs of each prompt's answers."""
    texts, first, second, prompt, tie, wrong, reported, central = [], [], [], [], [], [], [], []
    spans = []
    for number, row in enumerate(row for row in rows("multi_response") if row["source"].startswith(source)):
        said = {tuple(label["pair"]): label["choice"] for label in row["human_labels"] if label["kind"] == "pairwise"}
        spans.append((len(texts), [response["text"] for response in row["responses"]]))
        for pair, choice in said.items():
            first.append(len(texts) + pair[0])
            second.append(len(texts) + pair[1])
            prompt.append(number)
            tie.append(choice == "tie")
            wrong.append(_wrong(choice, [_of_pair(row["ai_labels"].get(name), pair) for name in judges]))
            reported.append(is_reported(row))
        texts += spans[-1][1]
    vectors = embeddings(texts)
    at = (np.array(first), np.array(second))
    for begins, answers in spans:
        pair = central_pair(vectors[begins : begins + len(answers)]) if len(answers) > 1 else (0, 0)
        central.append((begins + pair[0], begins + pair[1]))
    named = np.array(prompt)
    is_central = np.array([tuple(sorted(pair)) == central[of] for *pair, of in zip(*at, prompt, strict=True)])
    found = Candidates(named, cosines(texts, vectors, *at), _gaps(texts, *at), central=is_central)
    return Set(found, np.array(tie), np.array(wrong, float), np.array(reported), True)


def given(prefix: str, judges: tuple[str, ...]) -> Set:
    """Pairs as they came."""
    held = [
        row for row in rows("judged_pairs")
        if row["source"].startswith(prefix) and "/adv-" not in row["source"] and row["human_majority"] in (0, 1, "tie")
    ]  # fmt: skip
    texts = [response["text"] for row in held for response in row["responses"]]
    at = (np.arange(0, len(texts), 2), np.arange(1, len(texts), 2))
    prompts = {_prompt(row): number for number, row in enumerate(held)}
    named = np.array([prompts[_prompt(row)] for row in held])
    pairs = Candidates(named, cosines(texts, embeddings(texts), *at), _gaps(texts, *at))
    said = [row["human_majority"] for row in held]
    wrong = [
        _wrong(c, [row["ai_labels"].get(name, {}).get("choice") for name in judges])
        for c, row in zip(said, held, strict=True)
    ]
    return Set(
        pairs,
        np.array([c == "tie" for c in said]),
        np.array(wrong, float),
        np.array([is_reported(r) for r in held]),
        False,
    )


def _of_pair(said: dict | list | None, pair: tuple[int, ...]) -> int | None:
    listed = said if isinstance(said, list) else [said] if said else []
    return next((one["choice"] for one in listed if tuple(one["pair"]) == pair), None)


def _wrong(truth: int | str, said: list[int | str | None]) -> float:
    known = [choice for choice in said if isinstance(choice, int)]
    if not known:
        return np.nan
    return 0.5 if truth == "tie" else float(np.mean([choice != truth for choice in known]))


def _gaps(texts: list[str], first: Array, second: Array) -> Array:
    length = np.log1p([len(text) for text in texts])
    return length[first] - length[second]


def _prompt(row: dict) -> str:
    return " ".join(message["content"] for message in row["prompt"]).lower()


def is_reported(row: dict) -> bool:
    """Whether the row is of the half, by its prompt, that nothing is tuned on."""
    return hashlib.sha256(_prompt(row).encode()).digest()[0] % 2 == 1


def of_half(whole: Set, only: Array) -> Set:
    """Those pairs alone."""
    pairs = whole.pairs
    central = None if pairs.central is None else pairs.central[only]
    kept = Candidates(pairs.prompt[only], pairs.cosine[only], pairs.length_difference[only], central=central)
    return Set(kept, whole.tie[only], whole.wrong[only], whole.reported[only], whole.lists)


def chosen(held: Set, strategy: str) -> Iterator[Array]:
    """bool [pairs] for each draw; strategies without chance have one."""
    draws = DRAWS if strategy in ("random", "drop-similar") else 1
    for seed in range(draws):
        how = {"per_prompt": 1} if held.lists else {"share": GIVEN_SHARE}
        yield choose(held.pairs, strategy, seed, **how).kept


def figures(held: Set, tried: tuple[str, ...]) -> dict:
    """Per strategy: pairs, ties, errors, each with its interval and its ratio to random choice."""
    prompts, inverse = np.unique(held.pairs.prompt, return_inverse=True)
    weight = {name: np.mean(list(chosen(held, name)), axis=0) for name in tried}
    generator = np.random.default_rng(0)
    draws = generator.multinomial(len(prompts), np.full(len(prompts), 1 / len(prompts)), RESAMPLES)
    judged = ~np.isnan(held.wrong)
    out: dict[str, dict] = {}
    for name in tried:
        out[name] = {"pairs": float(weight[name].sum())}
        for measure, value, known in (
            ("ties", held.tie.astype(float), np.ones(len(judged), bool)),
            ("judge_error", np.nan_to_num(held.wrong), judged),
        ):
            if known.any():
                mine, random = (_shares(weight[of] * known, value, inverse, draws) for of in (name, "random"))
                out[name][measure] = _told(mine)
                out[name][f"{measure}_to_random"] = _told(mine / np.maximum(random, 1e-12))
    return out


def _shares(weight: Array, value: Array, inverse: Array, draws: Array) -> Array:
    """The weighted mean of the value, first over all prompts, then over each resample of them."""
    top, bottom = np.bincount(inverse, weight * value), np.bincount(inverse, weight)
    every = np.vstack([np.ones(draws.shape[1]), draws])
    return (every @ top) / np.maximum(every @ bottom, 1e-12)


def _told(values: Array) -> dict:
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return {"is": round(float(values[0]), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def taught(tried: tuple[str, ...], shares: tuple[float, ...], seeds: int) -> dict:
    """Accuracy on HH's test pairs of the light head that the chosen pairs' labels taught, and labels saved against random."""
    train, test = (_hh(name) for name in ("hh_train", "hh_test"))
    texts = [*train[0], *train[1]]
    basis = features.fit(texts, DIMENSIONS, 0)
    x = features.differences(basis, train[0], train[1])
    x_test = features.differences(basis, test[0], test[1])
    count = len(train[0])
    at = (np.arange(count), np.arange(count, 2 * count))
    pairs = Candidates(np.arange(count), cosines(texts, embeddings(texts), *at), _gaps(texts, *at))
    out: dict[str, dict] = {}
    for name, share in itertools.product(tried, (*shares, 1.0)):
        runs = []
        for seed in range(seeds):
            kept = choose(pairs, name, seed, share=share).kept
            model = head.fit_head(x, train[2], kept.astype(float), train[3])
            runs.append(float(((head.margins(model, x_test, test[3]) > 0) == (test[2] > 0.5)).mean()))
        out.setdefault(name, {})[str(share)] = {
            "accuracy": round(float(np.mean(runs)), 4),
            "sd": round(float(np.std(runs)), 4),
        }
    for name in tried:
        for share in shares:
            cell = out[name][str(share)]
            cell["saved"] = _saved(out["random"], share, cell["accuracy"])
    return out


def _saved(random: dict, share: float, accuracy: float) -> float:
    """Share of labels saved: 1 − this share / the share of random pairs that teach as much; negative: more are needed.

    Where all pairs' labels teach less than these, as if all of them were needed: the saving is at least that.
    """
    shares = [float(key) for key in random]
    curve = np.maximum.accumulate([random[str(one)]["accuracy"] for one in shares])
    return round(1 - share / float(np.interp(accuracy, curve, shares)), 3)


def _hh(name: str) -> tuple[list[str], list[str], Array, Array]:
    held = [row for row in rows(name) if row["human_majority"] in (0, 1)]
    firsts, seconds = ([row["responses"][side]["text"] for row in held] for side in (0, 1))
    truth = np.array([row["human_majority"] == 0 for row in held], float)
    return firsts, seconds, truth, np.array(["harmless" in row["source"] for row in held], int)


LLMS = tuple(f"{llm}/Vanilla_NoRules" for llm in ("ChatGPT", "GPT-4", "LLaMA2", "PaLM2"))
SETS = {
    "fine-grained QA, one of 6 pairs": lambda: lists("finegrained", ()),
    "PandaLM, one pair a prompt": lambda: lists("pandalm", ("gpt-3.5-turbo", "pandalm-7b")),
    "PandaLM, three quarters": lambda: given("pandalm", ("gpt-3.5-turbo", "pandalm-7b")),
    "LLMBar natural, three quarters": lambda: given("llmbar", LLMS),
    "Tulu, three quarters": lambda: given("open-instruct", ()),
}  # fmt: skip


def main() -> None:
    """Prints the tables; writes them where asked."""
    arguments = asked_of(parser_of(__doc__, "one set, two strategies, one seed"))
    found: dict[str, dict] = {}
    for name, read in itertools.islice(SETS.items(), 1 if arguments.quick else None):
        whole = read()
        tried = TRIED if whole.lists else tuple(one for one in TRIED if one != "centroid")
        found[name] = {"reported half": figures(of_half(whole, whole.reported), tried), "all": figures(whole, tried)}
        _show(name, found[name]["reported half"])
    tried = ("random", "drop-similar") if arguments.quick else tuple(name for name in TRIED if name != "centroid")
    learnt = taught(tried, (0.5,) if arguments.quick else LABELS, 1 if arguments.quick else 5)
    for name, cells in learnt.items():
        print(
            f"HH, taught by {name}: "
            + ", ".join(f"{k} {v['accuracy'] if isinstance(v, dict) else v}" for k, v in cells.items())
        )
    if arguments.json:
        write(
            arguments.json, {**circumstances({"draws": DRAWS, "resamples": RESAMPLES}), "sets": found, "taught": learnt}
        )


def _show(title: str, of: dict) -> None:
    print(f"{title} (the half that nothing was tuned on)")
    for name, row in of.items():
        parts = [
            f"{key} {value['is']:.3f} ({value['low']:.3f}-{value['high']:.3f})"
            for key, value in row.items()
            if key != "pairs"
        ]
        print(f"  {name:13s} {row['pairs']:6.1f} pairs; {'; '.join(parts)}")


if __name__ == "__main__":
    main()
