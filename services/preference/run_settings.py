"""The settings of a run: the table of them, and how an entry is checked, recorded and read back. Pure.

The contract is config.proto; the one place beside it is `Options`. To add a setting, add a field there and an entry here:
from it follow the key of the settings file, the flag, the checks on both sides, the record, and what a linked run inherits.

The default of a new setting must be proto zero (0, "", false, nothing) and mean what every run did before. The resolved
configuration is hashed into the run's id and a field at zero writes nothing: so old ids stay, and the same command after an
upgrade goes on with the run that it began. tests/test_run_ids.py holds that.

Where a default changes, the new one is a value that nobody could ask for before (`audit`: -1), recorded as such, and `named`
is what it was: a run's id holds that. So the same command goes on with a run that was begun before, as that one was
recorded, and a new run has the new default.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from google.protobuf.message import Message

from concord.kit.errors import InvalidInput

Bounds = Mapping[str, tuple[float, float]]

# Panels of `concord run --help`, in this order.
PAIRS, JUDGE, PEOPLE, BUDGET, AGAIN, RESULTS = PANELS = ("Pairs", "Judge", "People", "Budget", "Again", "Results")
# Numbers in a list: one for each round.
MOST_LISTED = 100


@dataclass(frozen=True)
class Setting:
    """What is to be known of a setting beside its name, its type and its default."""

    # Its place in RunConfig; `judge.x` is field x of every judge that is an LLM. Empty: particular code records it.
    field: str
    help: str
    # Of the flag `--name`; empty: there is none, it is a key of the settings file alone.
    panel: str = ""
    # Lowest and highest of a number, or of each in a list.
    span: tuple[float, float] | None = None
    # Characters of a text; 0: what it may be is particular.
    longest: int = 0
    # Names that it had; taken without a word until 0.2.
    aliases: tuple[str, ...] = ()
    # The only method that it concerns; nothing is recorded for the others.
    method: str = ""
    # Left at 0 it follows from the method or the judge, and what follows is recorded.
    follows: bool = False
    # False: it does not change what comes out, and the run's id does not depend on it.
    decides: bool = True
    # Recorded as its opposite, so that true, its default, writes nothing.
    opposite: bool = False
    # A run's id says this where the default stands: the default of earlier releases, so that ids stay as they were.
    named: float | None = None

    @property
    def place(self) -> tuple[str, str]:
        """The message that holds the field ("": RunConfig itself), and the field's name."""
        message, _, name = self.field.rpartition(".")
        return message, name

    @property
    def plain(self) -> bool:
        """Whether every run records it just as it was asked for."""
        return bool(self.field) and self.place[0] != "judge" and not (self.method or self.follows)


@dataclass(frozen=True)
class Options:
    """One run as asked for, and the table: an entry is a key of the settings file and, with a panel, a flag."""

    judge: Annotated[
        str, Setting("", "sample, recorded:NAME, or the URL of an OpenAI-compatible endpoint (URL#MODEL).", JUDGE)
    ] = "sample"
    model: Annotated[str, Setting("", "The LLM judge's model name.", JUDGE)] = ""
    criteria: Annotated[
        str, Setting("judge.criteria", "What makes a response better, most important first.", JUDGE, longest=20_000)
    ] = ""
    api_key_env: Annotated[
        str, Setting("judge.api_key_env", "Environment variable that holds the judge's key.", JUDGE, longest=300)
    ] = ""
    temperature: Annotated[float, Setting("judge.temperature", "The LLM judge's temperature.", span=(0, 10))] = 0.0
    max_tokens: Annotated[
        int, Setting("judge.max_tokens", "Most tokens of the LLM judge's reply.", span=(1, 100_000))
    ] = 300
    checks: Annotated[
        bool,
        Setting(
            "checks_off",
            "Check the answers first where a row brings a reference; what that decides costs no call.",
            JUDGE,
            opposite=True,
        ),
    ] = True
    both_orders: Annotated[bool, Setting("judge.both_orders", "Ask with the responses in both orders.")] = True
    helper: Annotated[
        tuple[str, ...],
        Setting(
            "",
            "A further judge that informs, never labels (URL#MODEL,key=VARIABLE,prices=IN/OUT); may be repeated.",
            JUDGE,
        ),
    ] = ()
    rubric: Annotated[
        str,
        Setting(
            "rubric",
            "Scores of each answer alone as a signal: doubtful (the third of which its verdicts are least sure) or all.",
            JUDGE,
            longest=20,
        ),
    ] = ""
    judge_votes: Annotated[
        int, Setting("judge_votes", "Ask the judge so often again about the doubtful third; 0: not.", span=(0, 9))
    ] = 0
    criteria_apart: Annotated[
        bool, Setting("criteria_apart", "Ask the judge about the doubtful third by one criterion at a time.")
    ] = False
    people_teach: Annotated[
        bool,
        Setting(
            "people_teach", "Ask the judge again about what is doubtful, with people's answers elsewhere as examples."
        ),
    ] = False
    prompt_price: Annotated[
        float, Setting("judge.prompt_dollars", "Dollars per million prompt tokens.", JUDGE, span=(0, 1_000_000))
    ] = 0.0
    completion_price: Annotated[
        float, Setting("judge.completion_dollars", "Dollars per million completion tokens.", JUDGE, span=(0, 1_000_000))
    ] = 0.0
    judge_timeout: Annotated[
        float,
        Setting(
            "judge.timeout_s",
            "Seconds for one request; 0: 60, and more where the endpoint is slower.",
            JUDGE,
            span=(0, 86_400),
            decides=False,
        ),
    ] = 0.0
    requests_per_minute: Annotated[
        float,
        Setting(
            "judge.requests_per_minute",
            "Requests that the judge is sent in a minute; 0: no limit.",
            JUDGE,
            span=(0, 1_000_000),
            decides=False,
        ),
    ] = 0.0
    judge_batch: Annotated[
        bool,
        Setting(
            "judge.batch",
            "Hand the judge's requests in as batches: half the price at most services, and hours.",
            JUDGE,
            decides=False,
        ),
    ] = False
    tokens_per_minute: Annotated[
        float,
        Setting(
            "judge.tokens_per_minute",
            "About so many tokens are asked of the judge in a minute; 0: no limit.",
            JUDGE,
            span=(0, 1_000_000_000),
            decides=False,
        ),
    ] = 0.0
    annotators: Annotated[
        str,
        Setting(
            "annotators",
            "recorded, simulated:ERROR_RATE, file:PATH (may be missing yet), people or web (pages for --annotator NAME).",
            PEOPLE,
            longest=300,
            aliases=("humans",),
        ),
    ] = "recorded"
    quorum: Annotated[int, Setting("quorum", "Votes a task needs.", PEOPLE, span=(1, 99))] = 1
    most_votes: Annotated[
        int,
        Setting(
            "most_votes",
            "Where people disagree one more is asked, up to so many votes a task; 0: the quorum.",
            PEOPLE,
            span=(0, 99),
        ),
    ] = 0
    most_each: Annotated[
        int,
        Setting(
            "most_each", "Tasks that one person answers or skips at most; 0: any number.", PEOPLE, span=(0, 1_000_000)
        ),
    ] = 0
    gold: Annotated[
        float,
        Setting(
            "gold_share",
            "Share of what each person is given that is settled already, to see how the person answers; counts nowhere.",
            PEOPLE,
            span=(0, 0.5),
        ),
    ] = 0.0
    re_ask: Annotated[
        float,
        Setting(
            "re_ask_share",
            "Share of the random questions that a second person answers too, at least 30, such as 0.05; 0: none.",
            PEOPLE,
            span=(0, 1),
        ),
    ] = 0.0
    target_error: Annotated[
        float,
        Setting(
            "target_error",
            "Ask nobody any more once at most this share of the labels is wrong, such as 0.05, with 95 % certainty; 0: spend "
            "the budget.",
            PEOPLE,
            span=(0, 1),
        ),
    ] = 0.0
    label_worth: Annotated[
        float,
        Setting(
            "label_worth",
            "Ask nobody any more once an answer gains less than it costs: how many answers one label put right is worth.",
            span=(0, 10_000),
        ),
    ] = 0.0
    pilot: Annotated[
        int,
        Setting(
            "pilot",
            "Pilot tasks; 0: none; -1: max(8, 0.5 %), at most a quarter of the budget.",
            PEOPLE,
            span=(-1, 5_000),
        ),
    ] = -1
    deadline: Annotated[
        float,
        Setting(
            "annotation_deadline_s", "Seconds that people have for one round; 0: no limit.", span=(0, 1_000_000_000)
        ),
    ] = 0.0
    budget: Annotated[str, Setting("", "Votes: a share of the pairs or a number.", BUDGET)] = "6%"
    method: Annotated[str, Setting("method", "What decides whom people are asked about.", BUDGET)] = "posterior"
    dollars: Annotated[
        float,
        Setting(
            "dollar_budget", "Most that judging may cost; 0: no limit.", BUDGET, span=(0, 1_000_000_000), decides=False
        ),
    ] = 0.0
    batch: Annotated[
        float,
        Setting(
            "batch_share", "Share of the pairs a round; 0: 1 %, for rlthf 4 % of its subset.", span=(0, 1), follows=True
        ),
    ] = 0.0
    audit: Annotated[
        float,
        Setting("audit_share", "Share of each batch that is drawn uniformly; -1: 0.3.", span=(-1, 1), named=0.1),
    ] = -1.0
    # rlthf's reward model scores the pairs that it learnt from.
    reward_model: Annotated[
        str,
        Setting(
            "reward_model",
            "Fine-tune reward models from this language model in every round: its name on the hub, a folder, or what "
            "`concord model put` printed.",
            BUDGET,
            longest=300,
        ),
    ] = ""
    reward_knobs: Annotated[
        str,
        Setting(
            "reward_knobs",
            "Knobs of that training, knob=value with commas between; services/training/reward.py has them.",
            longest=2_000,
        ),
    ] = ""
    policy: Annotated[
        str,
        Setting(
            "policy",
            "Align this language model on the dataset once it stands, called like --reward-model.",
            RESULTS,
            longest=300,
        ),
    ] = ""
    policy_knobs: Annotated[
        str,
        Setting(
            "policy_knobs",
            "Knobs of that training, knob=value with commas between; services/training/policy.py has them.",
            longest=2_000,
        ),
    ] = ""
    evaluate: Annotated[
        int,
        Setting(
            "evaluate",
            "Prompts that neither teach --policy nor choose its checkpoint, on which the judge compares its answers with those of "
            "the model that it began as; 0: none.",
            RESULTS,
            span=(0, 2_000),
        ),
    ] = 0
    evaluate_checkpoints: Annotated[
        int,
        Setting(
            "evaluate_checkpoints",
            "Checkpoints of that training that are compared as well, the last ones: reward against the judge on the way; 0: 1.",
            span=(0, 20),
        ),
    ] = 0
    evaluate_votes: Annotated[
        int,
        Setting(
            "evaluate_votes",
            "Votes of people on those answers, a blind random sample of them, beside --budget; 0: none.",
            RESULTS,
            span=(0, 20_000),
        ),
    ] = 0
    folds: Annotated[
        int,
        Setting("folds", "Folds of the reward model; 0: 4, for rlthf 1.", span=(1, 100), follows=True),
    ] = 0
    components: Annotated[int, Setting("components", "Components of the text features.", span=(1, 308))] = 256
    human_weight: Annotated[
        float, Setting("human_weight", "How often people's answers count in the final training.", span=(0, 1_000))
    ] = 2.0
    subset: Annotated[
        float,
        Setting(
            "rlthf.subset_share",
            "Share of the pairs that the loop works on, above 0.",
            span=(0, 1),
            aliases=("shard",),
            method="rlthf",
        ),
    ] = 0.25
    amplification: Annotated[
        tuple[float, ...],
        Setting(
            "rlthf.amplification", "How often people's answers count, round by round.", span=(0, 1_000), method="rlthf"
        ),
    ] = (4, 4, 4, 2, 1)
    back_off: Annotated[
        tuple[float, ...],
        Setting(
            "rlthf.back_off",
            "Share left of the knee that teaches nothing, round by round.",
            span=(0, 1),
            method="rlthf",
        ),
    ] = (0.6, 0.6, 0.6, 0.4, 0.2, 0.1)
    nobody: Annotated[bool, Setting("rlthf.nobody", "Ask nobody: the ablation.", method="rlthf")] = False
    stop_below: Annotated[
        float,
        Setting(
            "rlthf.stop_below", "Stop once people correct a smaller share of a batch.", span=(0, 1), method="rlthf"
        ),
    ] = 0.0
    seed: Annotated[
        int,
        Setting("seed", "Of all draws: the same input, settings and seed are the same run.", AGAIN, span=(0, 2**63)),
    ] = 0
    generate: Annotated[
        tuple[str, ...],
        Setting(
            "",
            "Have a model answer the prompts of the file (URL#MODEL,key=VARIABLE,prices=IN/OUT); of several models, each pair has "
            "answers of two.",
            PAIRS,
        ),
    ] = ()
    samples: Annotated[
        int, Setting("samples", "Answers to a prompt by each model of --generate; 0: 4.", PAIRS, span=(0, 32))
    ] = 0
    sample_temperature: Annotated[float, Setting("", "Temperature of these answers; 0: 1.", PAIRS, span=(0, 10))] = 0.0
    sample_tokens: Annotated[
        int,
        Setting(
            "", "Most tokens of such an answer; 0: 1,024. A longer one is cut, and dropped.", PAIRS, span=(0, 100_000)
        ),
    ] = 0
    select: Annotated[
        str,
        Setting(
            "select",
            "Label only some of the pairs: drop-similar, random, easy (most different answers), hard or centroid.",
            PAIRS,
            longest=20,
        ),
    ] = ""
    select_share: Annotated[
        float,
        Setting(
            "select_share", "Label at most this share of the pairs; 0: all that --select leaves.", PAIRS, span=(0, 1)
        ),
    ] = 0.0
    select_per_prompt: Annotated[
        int,
        Setting(
            "select_per_prompt",
            "With --select, label at most so many pairs of one prompt's list of answers; 0: one.",
            PAIRS,
            span=(0, 1_000),
        ),
    ] = 0
    shard_pairs: Annotated[
        int,
        Setting(
            "shard_pairs",
            "Pairs in a unit of work; 0: few for a judge that is asked, more where a verdict costs nothing.",
            span=(1, 5_000),
            follows=True,
        ),
    ] = 0
    max_failed: Annotated[
        int,
        Setting("max_failed_units", "More failed units than this pause the run.", span=(0, 1_000_000), decides=False),
    ] = 0
    team: Annotated[
        str,
        Setting("team", "Whose run it is, where the installation has teams.", longest=100, decides=False),
    ] = ""
    window: Annotated[
        int, Setting("window", "Units of one stage that are out at once.", span=(1, 10_000), decides=False)
    ] = 16


DEFAULTS = Options()


# Reading the annotations takes a millisecond, and each request to create a run looks at several tables.
_READ: dict[type, Mapping[str, Setting]] = {}


def settings(table: type = Options) -> Mapping[str, Setting]:
    """The entries by name, in the order of the table."""
    if table not in _READ:
        _READ[table] = {name: hint.__metadata__[0] for name, hint in get_type_hints(table, include_extras=True).items()}
    return _READ[table]


def names(table: type = Options) -> dict[str, str]:
    """What a setting is and was called, and its name now."""
    return {called: name for name, setting in settings(table).items() for called in (name, *setting.aliases)}


def within(message: str, table: type = Options) -> dict[str, Setting]:
    """The entries whose fields lie in this message: "" (RunConfig itself), `judge` or `rlthf`."""
    return {name: entry for name, entry in settings(table).items() if entry.field and entry.place[0] == message}


def asked_bounds(table: type = Options) -> Bounds:
    """Name → bounds of what may be asked for, of the numbers and lists of them; 0 passes where something follows then."""
    return {name: _span(entry.span, entry.follows) for name, entry in settings(table).items() if entry.span}


def recorded_bounds(message: str, table: type = Options) -> Bounds:
    """Field → bounds of what may be recorded in this message; 0 passes in what does not concern every run."""
    entries = within(message, table).values()
    return {entry.place[1]: _span(entry.span, bool(message or entry.method)) for entry in entries if entry.span}


def _span(span: tuple[float, float], or_zero: bool) -> tuple[float, float]:
    return (min(0, span[0]), span[1]) if or_zero else span


def longest(message: str, table: type = Options) -> Mapping[str, int]:
    """Field → most characters, of the message's texts."""
    return {entry.place[1]: entry.longest for entry in within(message, table).values() if entry.longest}


def put(message: Message, field: str, value: Any) -> None:
    """Writes a value that is not proto zero; for zero not even the message that would hold it is made."""
    if not value:
        return
    *outer, name = field.split(".")
    for step in outer:
        message = getattr(message, step)
    if isinstance(value, tuple):
        getattr(message, name).extend(value)
    else:
        setattr(message, name, value)


def got(message: Message, field: str) -> Any:
    """The value of a field, in the form in which `Options` holds it."""
    value: Any = message
    for step in field.split("."):
        value = getattr(value, step)
    return value if isinstance(value, bool | int | float | str) else tuple(value)


def turned(setting: Setting, value: Any) -> Any:
    """What stands in the record for what was asked for, and the other way round."""
    return not value if setting.opposite else value


def check_value(place: str, value: Any, range_: tuple[float, float]) -> None:
    """Refuses a number outside the bounds, and a list with such a number or with too many of them."""
    if not isinstance(value, tuple):
        return check_number(place, value, range_)
    if len(value) > MOST_LISTED:
        raise InvalidInput(f"{place}: at most {MOST_LISTED} rounds are scheduled, not {len(value)}")
    for number in value:
        check_number(place, number, range_)


def check_number(place: str, value: float, range_: tuple[float, float]) -> None:
    """Refuses what lies outside [low, high]; so does NaN, and infinity where the bounds are finite."""
    low, high = range_
    if not low <= value <= high:
        raise InvalidInput(f"{place} must lie between {low:,} and {high:,}, not {value:,}")


def check_text(place: str, text: str, most: int) -> None:
    """Refuses texts of more than `most` characters."""
    if len(text) > most:
        raise InvalidInput(f"{place} has {len(text):,} characters; at most {most:,} are taken")
