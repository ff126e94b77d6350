"""What a run will cost, before it costs anything. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from concord.checks.pairs import Checked, checked
from concord.client.run.options import semantic
from concord.client.run.parent_run import Earlier
from concord.kit.plural import many
from concord.preference import call_costs, evaluating, further, generating, selecting
from concord.preference.budget import human_budget
from concord.preference.judges import networked, networked_judges, priced
from concord.preference.methods import asks
from concord.preference.pairs import utf8_bytes
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import STAGE_LABEL
from concord.v1.pairs_pb2 import Pair
from concord.v1.runs_service_pb2 import RunView

# Half a minute a vote: an assumption, said where the figure is shown.
SECONDS_A_VOTE = 30


@dataclass(frozen=True)
class ExpectedCost:
    """Expected, not bounded. What the figures of tokens stand on is said in `basis`."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float | None  # None: a judge's price is not known
    votes: int
    human_minutes: float
    tokens_an_answer: int
    basis: str
    # Name → what the judge's further signals are of this: calls, and dollars (None: as above).
    signals: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    # The same for scores of the doubtful third, where none are asked for and the judge could be.
    scores: Mapping[str, float | None] | None = None
    # What checks decide before a judge is asked, and the calls that this spares; None where nothing can be checked.
    checks: Mapping[str, Any] | None = None
    # What sampling answers to prompts is of this; None where pairs are given.
    sampled: Mapping[str, float | None] | None = None


def estimate(
    config: RunConfig, pairs: Sequence[Pair], before: RunView | None = None, earlier: Earlier | None = None
) -> ExpectedCost:
    """Calls and dollars of LLM judges (recorded and simulated ones cost nothing), votes and minutes of people.

    `before`: an earlier run of the same judge, whose answers show how many tokens one takes. `earlier`: the run that this one
    goes on from; what its judges said of its pairs, the first ones here, is kept and not paid again.
    """
    if config.generators:
        return _of_prompts(config, pairs, before)
    judges, more = (config.judge, *config.helpers), (*further.calls(config), *further.teaching(config, len(pairs)))
    all_pairs, before_these = len(pairs), len(earlier.rows) if earlier else 0
    found = {} if config.checks_off else {at: said for at, pair in enumerate(pairs) if (said := checked(pair))}
    open_ = [at for at in range(all_pairs) if at not in found or not found[at].settled]
    new, pairs = [pairs[at] for at in open_ if at >= before_these], [pairs[at] for at in open_]
    size = sum(map(_bytes, pairs))
    kept = [judge for judge in judges if earlier and _said_all(judge, earlier)]
    rates, basis = _rates(before)
    use = _sum(
        [
            call_costs.expected([judge for judge in judges if judge not in kept], size, len(pairs), rates, more),
            call_costs.expected(kept, sum(map(_bytes, new)), len(new), rates),
            _of_policy(config, size / max(1, len(pairs)), rates),
        ]
    )
    if earlier and any(map(networked, kept)):
        basis += f"; what was judged in run {earlier.view.run_id[:8]} is kept and not paid again"

    def costs(one: further.Calls) -> dict[str, float | None]:
        own = call_costs.expected((), size, len(pairs), rates, (one,))
        return {"calls": round(own.calls), "dollars": own.dollars if priced(config) else None}

    scores = further.Calls("rubric", config.judge, True, 2)
    votes = (human_budget(config, all_pairs) if asks(config) else 0) + _policy_votes(config)
    return ExpectedCost(
        calls=round(use.calls),
        prompt_tokens=round(use.prompt_tokens),
        completion_tokens=round(use.completion_tokens),
        dollars=use.dollars if priced(config) else None,
        votes=votes,
        human_minutes=votes * SECONDS_A_VOTE / 60,
        tokens_an_answer=round(use.completion_tokens / use.calls) if use.calls else 0,
        basis=basis if networked_judges(config) else "no judge is asked over the network",
        signals={one.name: costs(one) for one in more},
        scores=costs(scores) if networked(config.judge) and not config.rubric and asks(config) else None,
        checks=_checks(found.values(), judges),
    )


def _of_prompts(config: RunConfig, prompts: Sequence[Pair], before: RunView | None) -> ExpectedCost:
    """What answers to these prompts cost, and judging the pairs that are chosen of them; how long answers are is assumed."""
    judges, pairs = (config.judge, *config.helpers), len(prompts) * selecting.per_prompt(config)
    rates, basis = _rates(before)
    size = sum(map(_bytes, prompts))
    answer_bytes = generating.ASSUMED.tokens_an_answer / generating.ASSUMED.tokens_a_byte
    texts = size * selecting.per_prompt(config) + 2 * pairs * answer_bytes
    more = (*further.calls(config), *further.teaching(config, pairs))
    sampled = generating.expected(config, size, len(prompts))
    use = _sum(
        [sampled, call_costs.expected(judges, texts, pairs, rates, more), _of_policy(config, texts / pairs, rates)]
    )
    votes = (human_budget(config, pairs) if asks(config) else 0) + _policy_votes(config)
    known = priced(config)
    return ExpectedCost(
        calls=round(use.calls),
        prompt_tokens=round(use.prompt_tokens),
        completion_tokens=round(use.completion_tokens),
        dollars=use.dollars if known else None,
        votes=votes,
        human_minutes=votes * SECONDS_A_VOTE / 60,
        tokens_an_answer=round(rates.tokens_an_answer),
        basis=f"{basis}; assumed: {many(generating.ASSUMED.tokens_an_answer, 'token')} a sampled answer, and that "
        f"{many(selecting.per_prompt(config), 'pair')} of each prompt can be labelled",
        sampled={"calls": round(sampled.calls), "dollars": sampled.dollars if known else None},
    )


def _policy_votes(config: RunConfig) -> int:
    """Votes on the policy's answers at most, beside the budget."""
    if not evaluating.is_asked(config):
        return 0
    return min(evaluating.questions(config), config.evaluate) * max(1, config.quorum)


def _of_policy(config: RunConfig, pair_bytes: float, rates: call_costs.Rates) -> call_costs.Expected:
    """What comparing the policy with its start costs at most, its answers as long as those that came."""
    count = config.evaluate * evaluating.points(config) if evaluating.is_asked(config) else 0
    return call_costs.expected(evaluating.judges(config), count * pair_bytes, count, rates)


def _checks(found: Collection[Checked], judges: Iterable[JudgeConfig]) -> dict[str, Any] | None:
    """Kind → how many pairs a check can be tried on and how many it decides; and the calls that are not made."""
    if not found:
        return None
    kinds: dict[str, dict[str, int]] = {}
    for one in found:
        count = kinds.setdefault(one.kind.value, {"tried": 0, "decided": 0, "both_wrong": 0})
        count["tried"] += 1
        count["decided"] += one.decided
        count["both_wrong"] += one.settled and not one.decided
    settled = sum(one.settled for one in found)
    return {
        "tried": len(found),
        "decided": sum(one.decided for one in found),
        "both_wrong": sum(one.settled and not one.decided for one in found),
        "calls_saved": settled * sum(map(call_costs.orders, filter(networked, judges))),
        "kinds": kinds,
    }


def checks_in_words(said: Mapping[str, Any]) -> str:
    """`checks decide 40 of 52 pairs (number 40 of 45, …), both answers wrong in 3; 86 calls are spared`."""
    each = ", ".join(f"{kind} {count['decided']:,} of {count['tried']:,}" for kind, count in said["kinds"].items())
    wrong = f", both answers are wrong in {said['both_wrong']:,}" if said["both_wrong"] else ""
    spared = f"; {many(said['calls_saved'], 'call is', 'calls are')} spared" if said["calls_saved"] else ""
    return f"checks decide {said['decided']:,} of {many(said['tried'], 'pair')} ({each}){wrong}{spared}"


def same_judge(config: RunConfig, views: Iterable[RunView]) -> RunView | None:
    """The last of these runs that paid for answers of this very judge, and no other; None where none did."""
    found = None
    for view in views:
        asked = networked_judges(view.config)
        if generating.judging(view).calls and len(asked) == 1 and _model(asked[0]) == _model(config.judge):
            found = view
    return found


def _model(judge: JudgeConfig) -> tuple[str, str, str]:
    return judge.kind, judge.url, judge.name


def _said_all(judge: JudgeConfig, earlier: Earlier) -> bool:
    """Whether that run asked this very judge, by the same criteria and settings, about all its pairs."""
    config = earlier.view.config
    is_asked = any(_request(judge) == _request(other) for other in (config.judge, *config.helpers))
    return is_asked and any(stage.stage == STAGE_LABEL and stage.closed for stage in earlier.view.stages)


def _request(judge: JudgeConfig) -> bytes:
    return semantic(RunConfig(judge=judge))


def _sum(parts: Iterable[call_costs.Expected]) -> call_costs.Expected:
    whole = [(part.calls, part.prompt_tokens, part.completion_tokens, part.dollars) for part in parts]
    return call_costs.Expected(*map(sum, zip(*whole, strict=True)))


def _rates(before: RunView | None) -> tuple[call_costs.Rates, str]:
    assumed = call_costs.ASSUMED
    if before is None:
        return (
            assumed,
            f"assumed: {1 / assumed.tokens_a_byte:g} bytes a token, {many(assumed.tokens_an_answer, 'token')} an answer",
        )
    # How long that run's texts were, nobody here knows; how long its answers were, its facts say.
    used = generating.judging(before)
    answer = used.completion_tokens / used.calls
    rates = replace(assumed, tokens_an_answer=answer)
    known = f"{many(answer, 'token')} an answer, as run {before.run_id[:8]} of this judge had"
    return rates, f"{known}; assumed: {1 / assumed.tokens_a_byte:g} bytes a token"


def _bytes(pair: Pair) -> int:
    texts = (*(message.content for message in pair.prompt), pair.first.text, pair.second.text)
    return sum(utf8_bytes(text) for text in texts)
