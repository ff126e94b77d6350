"""How fast answers are sampled, beside a plain loop over the same client library, with the same requests, in the same run.

    python -m benchmarks.generate [--quick] [--json [FILE]]     five repeats, about two minutes

Each side runs in a fresh process against one local endpoint that answers after 50 ms; start and a first prompt do not count.
`plain` is a semaphore around AsyncInferenceClient.chat_completion that keeps nothing. `generate` does the whole units of GENERATE:
prompts read from their shards, every answer on disk before it counts, useless ones dropped, candidate pairs made and stored.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from benchmarks.judge_speed import ROOT, begin, end, start_endpoint, summary
from benchmarks.measure import asked_of, circumstances, parser_of, spread, write

SAMPLES, SHARD = 4, 64
AT_ONCE = (16, 64)
# What GENERATE's calls a second must be of the plain loop's, at least.
BOUNDS = {16: 0.95, 64: 0.7}
SIDES = {f"{who} {count}": (who, count) for count in AT_ONCE for who in ("plain", "generate")}


def make_prompts(count, seed):
    """`count` prompts of about 30 words; others for another seed."""
    from concord.v1 import pairs_pb2 as pb

    def text(n):
        return f"{seed}-{n}: what follows from " + " ".join(f"thing{(n * 7 + at * at) % 97}" for at in range(26)) + "?"

    return [pb.Pair(pair_id=str(n), prompt=[pb.Message(role="user", content=text(n))]) for n in range(count)]


async def plain(url, at_once, prompts):
    """`end`'s figures of calls by the client alone, `at_once` at a time; nothing is kept, nothing tried again."""
    from huggingface_hub import AsyncInferenceClient

    limit = asyncio.Semaphore(at_once)
    async with AsyncInferenceClient(base_url=url, api_key="none") as client:

        async def call(prompt, sample):
            async with limit:
                messages = [{"role": turn.role, "content": turn.content} for turn in prompt.prompt]
                out = await client.chat_completion(messages, model="m", temperature=1.0, max_tokens=256, seed=sample)
            return out.choices[0].message.content

        await call(make_prompts(1, "warm")[0], 0)
        begin()
        said = await asyncio.gather(*(call(prompt, sample) for prompt in prompts for sample in range(SAMPLES)))
        return end(len(said), sum(not text for text in said))


async def generate(url, at_once, prompts):
    """`end`'s figures of the same calls as units of GENERATE, all of them out at once."""
    from concord.kit.blobs import FileBlobs
    from concord.labeling.service import Labeling
    from concord.preference.shards import put_shard
    from concord.v1.config_pb2 import JudgeConfig, RunConfig
    from concord.v1.work_pb2 import Work

    model = JudgeConfig(kind="llm", name="m", url=url, temperature=1.0, max_tokens=256)
    config = RunConfig(generators=[model], samples=SAMPLES, select="drop-similar")
    with tempfile.TemporaryDirectory() as folder:
        blobs = FileBlobs(Path(folder))
        labeling = Labeling(blobs, f"sqlite:///{folder}/answers.db", at_once, {})
        uris = [put_shard(at, prompts[at : at + SHARD], blobs.put).uri for at in range(0, len(prompts), SHARD)]
        warm = put_shard(0, make_prompts(1, "warm"), blobs.put).uri
        await labeling.do(Work(config=config, generate_shard={"shard_uri": warm}))
        begin()
        units = [
            Work(config=config, generate_shard={"shard_uri": uri}, unit={"number": n}) for n, uri in enumerate(uris)
        ]
        facts = await asyncio.gather(*map(labeling.do, units))
        figures = end(sum(fact.usage.calls for fact in facts), sum(fact.shard_generated.without_pair for fact in facts))
        await labeling.close()
        return figures


def one_side(who, url, at_once, count, seed):
    """Prints one side's figures as JSON: it runs in a process of its own, so that peak memory is its own as well."""
    side = {"plain": plain, "generate": generate}[who]
    print(json.dumps(asyncio.run(side(url, at_once, make_prompts(count, seed)))))


def measure(repeats, counts):
    """side → list of figures, one for each repeat; the sides take turns, each going first as often as the other."""
    endpoint, url = start_endpoint(0.0)
    figures = {name: [] for name in SIDES}
    try:
        for repeat in range(repeats):
            names = list(SIDES) if repeat % 2 == 0 else list(SIDES)[::-1]
            for name in names:
                who, at_once = SIDES[name]
                side = [who, url, str(at_once), str(counts[at_once]), f"{repeat}-{name}"]
                command = [sys.executable, "-m", "benchmarks.generate", "--side", *side]
                out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
                with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as answer:
                    figures[name].append(json.loads(out.stdout) | json.load(answer))
    finally:
        endpoint.terminate()
        endpoint.wait()
    return figures


def ratios(figures):
    """In flight → GENERATE's calls a second by the plain loop's of the same repeat: more is better."""
    return {
        at_once: spread(
            [
                mine["calls_s"] / its["calls_s"]
                for mine, its in zip(figures[f"generate {at_once}"], figures[f"plain {at_once}"], strict=True)
            ]
        )
        for at_once in AT_ONCE
    }


def main():
    parser = parser_of(__doc__, "one repeat of fewer prompts")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--side", nargs=5, help=argparse.SUPPRESS)
    options = asked_of(parser)
    if options.side:
        who, url, at_once, count, seed = options.side
        return one_side(who, url, int(at_once), int(count), seed)
    repeats = 1 if options.quick else options.repeats
    # About as many seconds at either width.
    counts = {16: 64, 64: 128} if options.quick else {16: 192, 64: 384}
    figures = measure(repeats, counts)
    found = {"sides": summary(figures), "ratios": {str(key): value for key, value in ratios(figures).items()}}
    print(f"{SAMPLES} samples a prompt, endpoint at 50 ms, median (range) of {repeats}")
    print(f"{'side':<14}{'calls/s':>20}{'CPU s / 1,000':>22}{'in flight':>11}{'calls':>8}{'MB':>6}")
    for name, side in found["sides"].items():
        rate, cpu = side["calls_s"], side["cpu_s_per_1000"]
        print(
            f"{name:<14}{rate['median']:>8.0f} ({rate['low']:.0f}-{rate['high']:.0f})".ljust(34)
            + f"{cpu['median']:>8.2f} ({cpu['low']:.2f}-{cpu['high']:.2f})".ljust(22)
            + f"{side['max_in_flight']['median']:>11.0f}{side['calls']['median']:>8.0f}{side['peak_mb']['median']:>6.0f}"
        )
    for at_once, ratio in ratios(figures).items():
        print(
            f"GENERATE by plain at {at_once}: {ratio['median']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f}); "
            f"bound {BOUNDS[at_once]}"
        )
    if options.json:
        settings = {"repeats": repeats, "prompts": counts, "samples": SAMPLES, "endpoint_ms": 50, "bounds": BOUNDS}
        write(options.json, circumstances(settings) | found)


if __name__ == "__main__":
    main()
