"""`python -m tests.golden NAME…` records the named histories. Only new ones: a history that stands is never made again,
least of all to make a test pass; what folded to another state would be lost."""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from concord import sample
from concord.client.run import options
from concord.client.run.job import prepare
from concord.kit import rpc
from concord.kit.loop.run_records import records
from concord.kit.settings import Settings, from_environment, open_log
from concord.operate import run_log
from concord.process import Running
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from concord.wiring import SERVICES, Parts, Service
from tests import stand_in_models
from tests.golden import tales
from tests.golden.tales import World
from tests.judged_run import endpoint

HERE = Path(__file__).parent
# The judge is the tests' own endpoint, over HTTP.
OVER_HTTP = {"judge": "http", "pilot": 0, "shard_pairs": 16, "components": 16}


@dataclass(frozen=True)
class History:
    """A run of the sample's first pairs, and what happens to it."""

    pairs: int
    settings: Mapping[str, object]
    tale: tales.Tale = tales.quiet
    # Services that are not as usual.
    services: Mapping[str, Callable[[Parts], Service]] = field(default_factory=dict)
    # Every second row brings its reference to check against: as a row of a user's, which does not say that it is the sample's.
    checks: bool = False
    # Every third row is marked as harmful.
    harmful: bool = False


def plain(method: str, pairs: int = 64, **more: object) -> History:
    """An undisturbed run of the method."""
    return History(pairs, {"method": method, "budget": "20%", "batch": 0.1, "shard_pairs": 32, **more})


def with_stand_in(name: str) -> Callable[[Parts], Service]:
    """The service, with the stand-in in place of language models."""
    return lambda parts: SERVICES[name](replace(parts, kinds=stand_in_models.KINDS))


HISTORIES: dict[str, History] = {
    "posterior": History(160, {"budget": "12%", "shard_pairs": 32}),
    "random-two-votes": History(
        96,
        {"method": "random", "budget": "20%", "quorum": 2, "annotators": "simulated:0.2", "shard_pairs": 32},
        tales.looked_into,
    ),
    "none": History(70, {"method": "none", "shard_pairs": 16}),
    "rlthf": plain("rlthf", subset=0.5),
    "posterior-random": plain("posterior-random"),
    "better-judge": plain("better-judge", 40),
    "margin": plain("margin"),
    "cleanlab": plain("cleanlab"),
    "human-only": plain("human-only"),
    "longest": plain("longest", 48),
    "all-human": plain("all-human", 40),
    "paused": History(
        64, {"method": "random", "budget": "40%", "batch": 0.1, "shard_pairs": 32}, tales.paused_with_less_to_spend
    ),
    "cancelled": History(64, {"method": "margin", "budget": "40%", "batch": 0.1, "shard_pairs": 32}, tales.cancelled),
    "revoked": History(24, {"budget": "40%", "pilot": 8, "shard_pairs": 24}, tales.revoked),
    "erased": History(8, {"budget": "40%", "pilot": 4, "shard_pairs": 8}, tales.erased),
    "checks": History(64, {"budget": "20%", "batch": 0.1, "shard_pairs": 16}, checks=True),
    "linked": History(48, {"budget": "20%", "shard_pairs": 16}, tales.gone_on_from),
    "two-minds": History(
        64, {"method": "random", "budget": "12", "quorum": 2, "pilot": 0, "batch": 0.1}, tales.of_two_minds
    ),
    "deadline": History(
        48, {"method": "random", "budget": "4", "pilot": 0, "batch": 0.1, "deadline": 1.0}, tales.left_alone
    ),
    "failed": History(64, {**OVER_HTTP, "method": "none"}, tales.failed_and_retried),
    "deferred": History(
        48,
        {"method": "margin", "budget": "10%", "pilot": 0, "shard_pairs": 32},
        services={"training": tales.training_away_once},
    ),
    "dollars": History(
        64,
        {**OVER_HTTP, "method": "none", "prompt_price": 1.0, "completion_price": 1.0, "dollars": 0.19, "window": 1},
        tales.out_of_money,
    ),
    "misaligned": History(
        64, {"method": "random", "budget": "40%", "batch": 0.1, "pilot": 6, "shard_pairs": 32}, tales.at_odds
    ),
    "one-sided": History(48, {**OVER_HTTP, "method": "none", "window": 1}, tales.one_sided_and_accepted),
    "signals": History(
        48,
        {"budget": "20%", "batch": 0.1, "shard_pairs": 16, "components": 16, "rubric": "doubtful", "judge_votes": 3},
    ),
    "taught": History(
        48, {"budget": "20%", "batch": 0.1, "shard_pairs": 16, "components": 16, "pilot": 0, "people_teach": True}
    ),
    "selected": History(
        64,
        {"method": "none", "shard_pairs": 32, "components": 16, "select": "drop-similar", "select_share": 0.7},
    ),
    # Answers are sampled from the tests' own endpoint, too.
    "generated": History(8, {**OVER_HTTP, "method": "none", "shard_pairs": 4, "generate": "http", "samples": 3}),
    # Enough for this is known before the budget is spent.
    "enough": History(
        64, {"budget": "50", "batch": 0.3, "shard_pairs": 32, "components": 16, "audit": 1.0, "target_error": 0.45}
    ),
    "re-asked": History(
        48,
        {"method": "random", "budget": "20", "pilot": 0, "batch": 0.2, "re_ask": 0.3, "annotators": "simulated:0.2"},
    ),
    "harmful": History(8, {"method": "longest", "shard_pairs": 8, "components": 4}, harmful=True),
    # What trains and scores beside the light models is the stand-in: record it with PYTHONPATH=.
    "tuned": History(
        32,
        {
            **{"method": "margin", "budget": "4", "pilot": 0, "batch": 0.1, "shard_pairs": 32, "components": 4},
            **{"folds": 2, "reward_model": "a-model", "reward_knobs": "steps=1"},
            **{"policy": "a-model", "policy_knobs": "steps=1,leaves=policy"},
        },
        services={name: with_stand_in(name) for name in ("training", "scoring")},
    ),
    "evaluated": History(
        8,
        {
            **{"method": "none", "shard_pairs": 8, "components": 4, "policy": "a-model", "evaluate": 4},
            **{"policy_knobs": "steps=1,leaves=policy"},
        },
        services={name: with_stand_in(name) for name in ("training", "scoring")},
    ),
    "evaluated-by-people": History(
        8,
        {
            **{"method": "none", "shard_pairs": 8, "components": 4, "policy": "a-model", "evaluate": 4},
            **{"policy_knobs": "steps=1,leaves=policy", "evaluate_votes": 3, "annotators": "people"},
        },
        tales.asked_about_the_policy,
        services={name: with_stand_in(name) for name in ("training", "scoring")},
    ),
    "silent": History(192, {**OVER_HTTP, "method": "none", "shard_pairs": 32, "window": 1}, tales.silent_and_mended),
}


def record(name: str, folder: Path) -> Path:
    """Runs it through all services and writes its facts and the state that they fold to."""
    told = HISTORIES[name]
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(lines_of(told)) + "\n")
    settings = replace(from_environment({}, home=str(folder / name)), listen="127.0.0.1:0", processes=0, grace_s=0.0)
    with endpoint() as judge:
        asked = f"{judge.url}#stub" if told.settings.get("judge") == "http" else "sample"
        sampled = {"generate": (f"{judge.url}#policy",)} if told.settings.get("generate") == "http" else {}
        job = prepare(str(path), options.resolve({**told.settings, "judge": asked, **sampled}), None, tales.NAME)
        running = Running(list(SERVICES), settings, {**SERVICES, **told.services})
        try:
            with rpc.channel(running.address) as channel:
                world = World(job, running, judge, RunServiceStub(channel), TaskServiceStub(channel))
                told.tale(world)
        finally:
            running.stop()
    return write(name, settings, world.job.run_id)


def lines_of(told: History) -> list[str]:
    """The rows that the run is about."""
    lines = sample.jsonl().splitlines()[: told.pairs]
    if told.harmful:
        return [line if at % 3 else json.dumps({**json.loads(line), "harmful": True}) for at, line in enumerate(lines)]
    if not told.checks:
        return lines
    rows = [json.loads(line) for line in lines]
    return [json.dumps(row if at % 2 else {**row, "source": ""}) for at, row in enumerate(rows)]


def write(name: str, settings: Settings, run_id: str) -> Path:
    """The run's facts as JSON lines, and beside them the state that they fold to."""
    log = open_log(settings)
    facts = HERE / f"{name}.jsonl"
    facts.write_text("\n".join(run_log.event_line(record) for record in records(log, run_id)) + "\n")
    state = json.dumps(run_log.as_json(run_log.fold(log, run_id)), indent=1)
    facts.with_suffix(".json").write_text(state + "\n")
    return facts


def main(names: list[str]) -> int:
    """Records these; 2 where a name is none, or stands for a history that was recorded already."""
    unknown = [name for name in names if name not in HISTORIES]
    standing = [name for name in names if (HERE / f"{name}.jsonl").exists()]
    if not names or unknown or standing:
        print(f"which of {', '.join(HISTORIES)}? Unknown: {unknown}; recorded already, and kept: {standing}")
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            print(record(name, Path(scratch)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
