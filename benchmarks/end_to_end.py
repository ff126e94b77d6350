"""From prompts to a certified dataset with a real small model: answers sampled, pairs chosen, checked, judged, answered, certified.

    make llama; python -m benchmarks.end_to_end [--quick] [--threads N] [--keep FOLDER] [--json [FILE]]

200 prompts (sums, products, capitals and other short facts) whose right answer a program knows. SmolLM2-135M behind a real
llama.cpp server samples four answers to each; one pair a prompt is chosen (`drop-similar`); of every second prompt the run is told
the right answer, so that checks may decide; the judge is a **simulated** one behind an endpoint, which takes the longer answer four
times in five (the small model is no judge); people are two programs that know the truth and err once in twenty. The truth that the
run is not told then says how many of the decided labels are right. --quick: 16 prompts.
"""

import json
import re
import tempfile
from pathlib import Path

from benchmarks.measure import asked_of, circumstances, parser_of, write
from concord.preference.seeded import uniform
from tests.endpoint import Endpoint
from tests.judged_run import endpoint

PROMPTS, QUICK_PROMPTS, SAMPLES, TOKENS = 200, 16, 4, 24
PEOPLE_ERR = 0.05
CAPITALS = {
    "France": "Paris",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Germany": "Berlin",
    "Japan": "Tokyo",
    "Russia": "Moscow",
    "Egypt": "Cairo",
    "Greece": "Athens",
    "Portugal": "Lisbon",
    "Austria": "Vienna",
    "Poland": "Warsaw",
    "Norway": "Oslo",
    "Sweden": "Stockholm",
    "Finland": "Helsinki",
    "Ireland": "Dublin",
    "Cuba": "Havana",
    "Peru": "Lima",
    "China": "Beijing",
    "Kenya": "Nairobi",
    "Hungary": "Budapest",
}
FACTS = {
    "What is the chemical symbol of gold?": "Au",
    "How many days has a week?": "7",
    "How many legs has a spider?": "8",
    "Which planet is closest to the sun?": "Mercury",
    "What is the largest ocean on earth?": "Pacific",
    "How many minutes has an hour?": "60",
    "Which gas do plants take in?": "carbon dioxide",
    "How many continents are there?": "7",
    "What is frozen water called?": "ice",
    "How many months has a year?": "12",
}


def prompts(count: int) -> list[dict]:
    """Rows: the prompt, and in `truth` the answer that only the program knows."""
    asked = [(f"What is the capital of {land}?", city) for land, city in CAPITALS.items()] + list(FACTS.items())
    for n in range(count - len(asked)):
        a, b = 2 + n * 7 % 19, 1 + n * 11 % 13
        asked.append((f"What is {a} plus {b}?", str(a + b)) if n % 2 else (f"What is {a} times {b}?", str(a * b)))
    spread = sorted(asked[:count], key=lambda one: uniform("order", one[0]))
    return [
        {"id": f"q{n}", "prompt": f"{words} Answer with one short sentence.", "truth": right, "domain": kind(right)}
        for n, (words, right) in enumerate(spread)
    ]


def kind(right: str) -> str:
    """What sort of answer is right."""
    return "number" if right.isdigit() else "fact"


def is_right(text: str, right: str) -> bool:
    """Whether the answer says what is right: the last number, or the words."""
    if right.isdigit():
        numbers = re.findall(r"\d+", text.replace(",", ""))
        return bool(numbers) and numbers[-1] == right
    return re.search(rf"\b{re.escape(right)}\b", text, re.IGNORECASE) is not None


def better(first: str, second: str, right: str) -> str | None:
    """Which of two answers the truth prefers: the right one; None where both are right or both are wrong."""
    one, other = is_right(first, right), is_right(second, right)
    return None if one == other else "first" if one else "second"


def person(truth: dict[str, str], name: str):
    """One of the people: they know the truth, call what is equally right a tie, and err once in twenty."""

    def answers(prompt: str, first: str, second: str) -> str:
        right = next(right for words, right in truth.items() if words in prompt)
        said = better(first, second, right) or "tie"
        if said != "tie" and uniform(name, prompt, first, second) < PEOPLE_ERR:
            return "second" if said == "first" else "first"
        return said

    return answers


class StyleJudge(Endpoint):
    """Takes the longer of two answers four times in five, whatever it says; one verdict in ten follows the place."""

    def first_wins(self, a: str, b: str) -> bool:
        return (len(a) > len(b)) != (uniform("whim", *sorted((a, b))) < 0.2)


def figures_of(run, truth: dict[str, str]) -> dict:
    """What came of it: how many answers, pairs and labels, and how many of the decided ones the truth calls right."""
    found = {name: {"right": 0, "decided": 0} for name in ("all", "checked", "people", "judge", "flipped")}
    for row in run.dataset:
        right = truth[row["prompt"][-1]["content"] if isinstance(row["prompt"], list) else row["prompt"]]
        wanted = better(row["chosen"], row["rejected"], right)
        for name in ("all", row["source"]) if wanted else ():
            found[name]["decided"] += 1
            found[name]["right"] += wanted == "first"
    certificate = run.certificate
    names = ("error", "low", "high", "answers", "re_asks", "corrected")
    shown = {name: getattr(certificate, name) for name in names} if certificate else None
    kept = ("pairs", "selection", "generated", "checks", "votes", "human_budget", "satisfaction")
    return {
        "labels": {name: one for name, one in found.items() if one["decided"]},
        "certificate": shown,
        "figures": {name: run.figures[name] for name in kept if name in run.figures},
    }


def carried_out(folder: Path, count: int, generator: str, judge: str) -> dict:
    """The run, as a notebook would do it."""
    import concord

    rows = prompts(count)
    truth = {row["prompt"]: row.pop("truth") for row in rows}
    for row in rows[::2]:
        row["answers"] = [truth[row["prompt"]]]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = concord.run(
        folder / "prompts.jsonl",
        generate=[generator],
        samples=SAMPLES,
        sample_tokens=TOKENS,
        select="drop-similar",
        judge=judge,
        annotators=[concord.Annotators(name, person(truth, name)) for name in ("ann", "bob")],
        budget="30%",
        re_ask=0.2,
        home=folder / "concord-data",
    )
    return figures_of(run, truth) | {"report": str(run.report.path.relative_to(folder)), "run": run.run_id}


def main() -> None:
    from deploy.local import llama

    parser = parser_of(__doc__, "16 prompts")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the run and its report stay")
    parser.add_argument("--threads", type=int, default=0, help="of the server; 0: one a core")
    asked = asked_of(parser)
    count = QUICK_PROMPTS if asked.quick else PROMPTS
    with (
        tempfile.TemporaryDirectory(prefix="end-to-end-") as name,
        llama.served(threads=asked.threads) as url,
        endpoint(StyleJudge, flips=0.1) as judge,
    ):
        folder = asked.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        found = circumstances({"prompts": count, "samples": SAMPLES}) | carried_out(
            folder, count, f"{url}#{llama.MODEL}", f"{judge.url}#style"
        )
    if asked.json:
        write(asked.json, found)
    else:
        print(json.dumps(found, indent=1, default=str))


if __name__ == "__main__":
    main()
