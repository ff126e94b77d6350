"""The page's section on the run's policy beside the model that it began as."""

from concord.report import words
from concord.report.contest_table import rates, satisfied
from concord.report.figures import Figures
from concord.report.markup import Markup, element, table
from concord.report.pictures import BLUE, FAINT, GREEN, ORANGE, Figure, Key, drawn
from concord.report.policies import ByPeople, Point, PolicyEvaluation


def policy(figures: Figures) -> Markup | None:
    """Win rates, satisfaction, and reward against the judge over the training; None where nothing was compared."""
    found = figures.policy
    if found is None:
        return None
    contest = found.contest
    wins = (
        ("The judge", contest.judge if contest else None),
        ("The judge, at equal length", contest.judge_at_equal_length if contest else None),
        ("Judge and helpers together", found.panel),
        ("The reward model", found.reward),
        ("People, who see a random part of them blind", found.people.rate if found.people else None),
    )
    alarms = [element("p", element("strong", "Alarm. "), said, class_="simulation") for said in _alarms(found)]
    known = contest and (contest.satisfaction.satisfaction.of or contest.against_satisfaction.satisfaction.of)
    return element(
        "section",
        element("h2", "The policy beside its start"),
        *alarms,
        table(["The policy wins", "Win rate", "95 % interval", "Verdicts"], rates(wins), "The policy against its start")
        if contest
        else None,
        table(
            ["Answers of", "Satisfaction", "95 % interval", "Known"],
            [satisfied(contest.model, contest.satisfaction), satisfied(contest.against, contest.against_satisfaction)],
            "Satisfaction, the policy against its start",
        )
        if contest and known
        else None,
        _picture(found),
        table(_HEAD, [_row(one) for one in found.points], "The policy on its way"),
        element("p", " ".join(_explained(found)), class_="note"),
    )


_HEAD = ["Step", "Prompts", "Reward model", "Judge", "At equal length", "Reward above the start's", "Satisfaction"]


def _alarms(found: PolicyEvaluation) -> list[str]:
    own = found.contest.alarm if found.contest else None
    said = [f"{one[:1].upper()}{one[1:]}." for one in found.alarms]
    return [*([f"{own.says}."] if own else []), *said]


def _row(one: Point) -> list[str]:
    return [
        f"{one.step:,}, kept" if one.kept else f"{one.step:,}",
        words.count(one.prompts),
        *(words.UNKNOWN if rate is None else words.percent(rate.rate) for rate in (one.reward, one.judge)),
        words.UNKNOWN if one.judge_at_equal_length is None else words.percent(one.judge_at_equal_length.rate),
        words.UNKNOWN if one.reward_margin is None else f"{one.reward_margin:+.2f}",
        words.of(one.satisfaction),
    ]


def _explained(found: PolicyEvaluation) -> list[str]:
    kept = next((one for one in found.points if one.kept), found.points[-1])
    said = [
        f"Answers to {words.count(kept.prompts, 'prompt')} that taught the policy nothing and chose none of its checkpoints; "
        f"{found.asked:,} were asked for. Each pair is judged in both orders; a tie, and a verdict that an order turns, is half a "
        "win."
    ]
    if found.people:
        said.append(_people(found.people))
    if found.contest is None:
        said.append("Too few answers differ for a rate.")
    elif found.contest.without_pair:
        said.append(
            f"To {words.count(found.contest.without_pair, 'prompt')} both gave the very same answer; they count nowhere."
        )
    said.append(
        "Where the reward model's line rises and the judge's falls, the policy learns what the reward model likes and no longer "
        f"what the judge does. The checkpoint of step {kept.step:,} was kept; the training ended at step {found.ended:,}."
    )
    return said


def _people(found: ByPeople) -> str:
    """What was asked of people and how they stand to the judge."""
    said = f"People were asked about {words.count(found.asked, 'pair')} of these and answered {found.answered:,}"
    said += (
        f", with {words.count(found.votes, 'vote')}; they saw neither whose answers they are nor what the judge said."
    )
    if found.agree.of:
        said += f" Where both say which one is better, they agree with the judge on {words.of(found.agree)}."
    if found.satisfaction.of or found.start_satisfaction.of:
        said += (
            f" They called {words.of(found.satisfaction)} of the policy's answers acceptable, "
            f"{words.of(found.start_satisfaction)} of its start's."
        )
    return said


def _picture(found: PolicyEvaluation) -> Markup | None:
    """Win rates by step, from the start's half on; None where too few are known."""
    told = [one for one in found.points if one.judge and one.reward]
    if not told:
        return None
    kept = next((one.step for one in found.points if one.kept), None)

    def draw(picture: Figure) -> None:
        axes = picture.subplots()
        for colour, name in ((ORANGE, "reward"), (BLUE, "judge")):
            rates_ = [getattr(one, name) for one in told]
            steps = [0, *(one.step for one in told)]
            axes.plot(steps, [50, *(100 * rate.rate for rate in rates_)], "o-", color=colour, markersize=5)
            for step, rate in zip(steps[1:], rates_, strict=True):
                axes.plot([step, step], [100 * rate.low, 100 * rate.high], color=colour, linewidth=1)
        axes.axhline(50, color=FAINT, linewidth=0.9, linestyle=":")
        if kept is not None:
            axes.axvline(kept, color=GREEN, linewidth=1.2, linestyle="--")
        axes.set(ylim=(0, 100), ylabel="wins against the start, %", xlabel="steps of the policy's training")

    keys = [
        Key("line orange", "the reward model"),
        Key("line blue", "the judge"),
        Key("line green", "kept: the least held-out loss"),
    ]
    return drawn(draw, 260, 260, "Reward against the judge", keys)
