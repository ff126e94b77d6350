"""A real small language model as the judge, behind a real llama.cpp server: schema, order flips, time-outs.

    make llama; python -m benchmarks.small_llm [--quick] [--json [FILE]]

`concord judge try`, then `concord run` over the bundled sample's shortest pairs as a user would type it, in an empty folder. The
server works on two requests at once and is sent 64: nothing of Concord's is set for it. No figure here says how well the judge
judges: a model of 135 million parameters nearly always says A, and that is what the run must notice.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import asked_of, circumstances, parser_of, write

ROOT = Path(__file__).resolve().parent.parent
PAIRS, QUICK_PAIRS = 24, 8
# What the log says of an endpoint that is asked otherwise, less or longer.
ADAPTED = (
    "judge_is_asked_otherwise",
    "judge_is_asked_less",
    "judge_gets_more_time",
    "judge_gets_more_tokens",
    "judge_waits",
)


def concord(folder, *words):
    """(seconds, what the command said and its exit code)."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    command = [sys.executable, "-m", "concord.cli", *words]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=3600)
    return time.perf_counter() - began, done


def shortest(count):
    """The sample's shortest rows, so that a small model's context holds them."""
    from concord import sample

    rows = sample.jsonl().splitlines()
    return sorted(rows, key=len)[:count]


def adaptations(folder):
    """What the services' log says of how the endpoint was asked, in order, each kind of line with its last figures."""
    lines = [json.loads(line) for line in (folder / "concord-data" / "concord.log").read_text().splitlines()]
    told = [line for line in lines if line.get("event") in ADAPTED]
    keys = ("event", "why", "at_once", "timeout_s", "times", "dropped", "seconds")
    return [{key: line[key] for key in keys if key in line} for line in told]


def run_figures(folder, seconds, done):
    """What came of the run: where it stopped and why, verdicts and flips so far, tokens an answer, the ledger."""
    from concord.kit.settings import from_environment
    from concord.operate.local_records import here

    with here(from_environment({}, home=str(folder / "concord-data"))) as records:
        view = records.view(records.find("last"))
        facts = [event.shard_labeled for event, _ in records.events(view.run_id) if event.HasField("shard_labeled")]
    flips = [flip for fact in facts for flip in fact.order_flipped]
    usage = view.usage
    return {
        "exit": done.returncode,
        "seconds": seconds,
        # The command is called by its module here: a user's line says `concord`.
        "said": [re.sub(r"\S+cli\.py", "concord", line) for line in done.stderr.strip().splitlines()[-3:]],
        "why": view.detail,
        "pairs_judged": sum(len(fact.choice) for fact in facts),
        "pairs_with_a_verdict": sum(choice != 0 for fact in facts for choice in fact.choice),
        "both_orders_answered": sum(flip >= 0 for flip in flips),
        "order_flips": sum(flip == 1 for flip in flips),
        "calls": usage.calls,
        "tokens_an_answer": usage.completion_tokens / usage.calls if usage.calls else None,
    }


def main():
    from deploy.local import llama

    asked = asked_of(parser_of(__doc__, "8 pairs"))
    count = QUICK_PAIRS if asked.quick else PAIRS
    with tempfile.TemporaryDirectory(prefix="small-llm-") as name, llama.served() as url:
        folder, judge = Path(name), f"{url}#{llama.MODEL}"
        (folder / "pairs.jsonl").write_text("\n".join(shortest(count)) + "\n")
        try_s, tried = concord(folder, "judge", "try", judge, "pairs.jsonl")
        print(tried.stdout.replace(url, "URL"))
        words = ("run", "pairs.jsonl", "--judge", judge, "--annotators", "recorded", "--budget", "25%")
        stopped = run_figures(folder, *concord(folder, *words))
        gone_on = run_figures(folder, *concord(folder, *words, "--resume", "--accept-judge"))
        found = {
            **circumstances({"pairs": count, "slots": 2}),
            "judge_try": {"exit": tried.returncode, "seconds": try_s, "said": tried.stdout.replace(url, "URL")},
            "run": stopped,
            "run_with_accept_judge": gone_on,
            "adapted": adaptations(folder),
        }
    for part in ("run", "run_with_accept_judge", "adapted"):
        print(f"{part}: {json.dumps(found[part], indent=2)}".replace(url, "URL"))
    if asked.json:
        write(asked.json, json.loads(json.dumps(found, default=str).replace(url, "URL")))


if __name__ == "__main__":
    main()
