"""How fast pairs are judged, beside a bare loop over the same client library, with the same requests, in the same run.

    python -m benchmarks.judge_speed [--quick] [--json [FILE]]     five repeats, about two minutes

Each side runs in a fresh process against one local endpoint that answers after 50 ms; start and imports do not count.
`bare` is a semaphore around AsyncInferenceClient.chat_completion that keeps nothing. `concord` asks both orders, parses,
and has every answer on disk before it counts; a call is one request of either.
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.measure import asked_of, circumstances, parser_of, write

ROOT = Path(__file__).resolve().parent.parent
WORDS = "the answer depends on what was asked and on how much of it can be checked by someone who knows"
SIDES = {  # name: (who, concurrency, share of requests that fail)
    "bare 64": ("bare", 64, 0.0),
    "concord 64": ("concord", 64, 0.0),
    "concord 64, all kept": ("kept", 64, 0.0),
    "concord 64, 5 % fail": ("concord", 64, 0.05),
    "bare 256": ("bare", 256, 0.0),
    "concord 256": ("concord", 256, 0.0),
}


def make_pairs(count, seed):
    """`count` pairs of about 30 words of prompt, and of 120 and 150 words of answers; other texts for another seed."""
    from concord.v1 import pairs_pb2 as pb

    words = WORDS.split()

    def text(n, length):
        return f"{seed}-{n} " + " ".join(words[(n * 7 + i * i) % len(words)] for i in range(length))

    return [
        pb.Pair(
            pair_id=str(n),
            prompt=[pb.Message(role="user", content=text(n, 30))],
            first=pb.Response(text=text(n, 120)),
            second=pb.Response(text=text(n + 1, 150)),
        )
        for n in range(count)
    ]


async def bare(url, concurrency, pairs):
    """`end`'s figures of calls by the client alone, two a pair, `concurrency` at a time; nothing is kept, nothing tried again."""
    from huggingface_hub import AsyncInferenceClient

    from concord.labeling import judge

    limit = asyncio.Semaphore(concurrency)
    wishes = {"response_format": judge.RESPONSE_FORMAT, "logprobs": True, "top_logprobs": judge.TOP_LOGPROBS}
    async with AsyncInferenceClient(base_url=url, api_key="none") as client:

        async def call(messages):
            async with limit:
                out = await client.chat_completion(
                    messages, model="stub", temperature=0.0, max_tokens=256, seed=1, **wishes
                )
            return json.loads(out.choices[0].message.content)["winner"]

        asked = [judge.messages(pair, "", swapped) for pair in pairs for swapped in (False, True)]
        begin()
        await asyncio.gather(*map(call, asked))
        return end(len(asked), 0)


async def concord(url, concurrency, pairs, kept=False):
    """`end`'s figures of the same calls by Concord's judge, shards of 64 pairs; `kept`: the answers stand in its cache already."""
    from concord.labeling.answer_cache import AnswerCache
    from concord.labeling.chat import ChatSettings
    from concord.labeling.llm import LLMJudges
    from concord.v1 import config_pb2 as cfg

    config = cfg.JudgeConfig(kind="llm", name="stub", url=url, both_orders=True, max_tokens=256)
    with tempfile.TemporaryDirectory() as folder:
        answers = AnswerCache(f"sqlite:///{folder}/answers.db")
        judges = LLMJudges(answers, {}, ChatSettings(concurrency=concurrency))

        async def all_shards():
            shards = [pairs[at : at + 64] for at in range(0, len(pairs), 64)]
            said = await asyncio.gather(*(judges.ask(shard, config, 1) for shard in shards))
            return sum(label.choice == 0 for labels, _ in said for label in labels)

        if kept:
            await all_shards()
        begin()
        unlabelled = await all_shards()
        figures = end(2 * len(pairs), unlabelled)
        await judges.close()
        await answers.close()
        return figures


_begun = {}


def cpu_s():
    """CPU seconds of this process until now, those of the kernel for it among them."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def begin():
    """From here on `end` counts; what was loaded and connected before is not measured."""
    _begun.update(wall=time.perf_counter(), cpu=cpu_s())


def end(calls, unlabelled):
    """Calls a second: more is better. CPU seconds for 1,000 calls, wall seconds, peak MB, pairs without a label: less is."""
    wall, cpu = time.perf_counter() - _begun["wall"], cpu_s() - _begun["cpu"]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "calls_s": calls / wall,
        "cpu_s_per_1000": 1000 * cpu / calls,
        "unlabelled": unlabelled,
        "wall_s": wall,
        "peak_mb": peak_mb,
    }


def one_side(who, url, concurrency, count, seed):
    """Prints one side's figures as JSON: it runs in a process of its own, so that peak memory is its own as well."""
    pairs = make_pairs(count, seed)
    run = bare(url, concurrency, pairs) if who == "bare" else concord(url, concurrency, pairs, who == "kept")
    print(json.dumps(asyncio.run(run)))


def start_endpoint(failing):
    """A process that answers after 50 ms and fails the given share of requests, and its URL."""
    command = [sys.executable, str(ROOT / "tests/endpoint.py"), "--latency-ms", "50", "--failing", str(failing)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def stats(url):
    """What the endpoint counted: all calls that came, and how many were in flight at most since it was asked last."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as answer:
        return json.load(answer)


def measure(repeats, count):
    """side → list of figures, one for each repeat; the sides take turns, so that a busy machine slows them alike."""
    endpoints = {failing: start_endpoint(failing) for failing in {side[2] for side in SIDES.values()}}
    figures = {name: [] for name in SIDES}
    try:
        for repeat in range(repeats):
            for name, (who, concurrency, failing) in SIDES.items():
                url = endpoints[failing][1]
                side = [who, url, str(concurrency), str(count), f"{repeat}-{name}"]
                command = [sys.executable, "-m", "benchmarks.judge_speed", "--side", *side]
                out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
                figures[name].append(json.loads(out.stdout) | stats(url))
    finally:
        for process, _ in endpoints.values():
            process.terminate()
            process.wait()
    return figures


def summary(figures):
    """side → median and range of each figure."""
    return {
        name: {
            key: {
                "median": statistics.median(r[key] for r in runs),
                "low": min(r[key] for r in runs),
                "high": max(r[key] for r in runs),
            }
            for key in runs[0]
        }
        for name, runs in figures.items()
    }


def ratios(figures):
    """Median over repeats of the ratio within a repeat."""

    def ratio(key, one, other):
        pairs = zip(figures[one], figures[other], strict=True)
        return statistics.median(a[key] / b[key] for a, b in pairs)

    return {
        "rate, concord 64 / bare 64": ratio("calls_s", "concord 64", "bare 64"),
        "rate, concord 256 / concord 64": ratio("calls_s", "concord 256", "concord 64"),
        "CPU, concord 64 / bare 64": ratio("cpu_s_per_1000", "concord 64", "bare 64"),
        "wall, with 5 % failures / without": ratio("wall_s", "concord 64, 5 % fail", "concord 64"),
    }


def main():
    parser = parser_of(__doc__, "one repeat of 200 pairs")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--side", nargs=5, help=argparse.SUPPRESS)
    options = asked_of(parser)
    if options.side:
        who, url, concurrency, count, seed = options.side
        return one_side(who, url, int(concurrency), int(count), seed)
    repeats, count = (1, 200) if options.quick else (options.repeats, options.pairs)
    figures = measure(repeats, count)
    found = {"sides": summary(figures), "ratios": ratios(figures)}
    print(f"{count} pairs, {2 * count} calls, endpoint at 50 ms, median (range) of {repeats}")
    print(f"{'side':<22}{'calls/s':>20}{'CPU s / 1,000':>22}{'in flight':>11}{'calls':>8}{'no label':>10}{'MB':>6}")
    for name, side in found["sides"].items():
        rate, cpu = side["calls_s"], side["cpu_s_per_1000"]
        print(
            f"{name:<22}{rate['median']:>8.0f} ({rate['low']:.0f}-{rate['high']:.0f})".ljust(42)
            + f"{cpu['median']:>8.2f} ({cpu['low']:.2f}-{cpu['high']:.2f})".ljust(22)
            + f"{side['max_in_flight']['median']:>11.0f}{side['calls']['median']:>8.0f}"
            + f"{side['unlabelled']['high']:>10.0f}{side['peak_mb']['median']:>6.0f}"
        )
    for name, ratio in found["ratios"].items():
        print(f"{name}: {ratio:.2f}")
    if options.json:
        settings = {"repeats": repeats, "pairs": count, "endpoint_ms": 50, "failing": "0 and 5 %"}
        write(options.json, circumstances(settings) | found)


if __name__ == "__main__":
    main()
