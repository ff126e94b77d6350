"""What a user asked for: flags over a YAML file over defaults, checked, and turned into a run's configuration. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import get_type_hints
from urllib.parse import urlsplit

from concord.client.intake.verdicts import Judges
from concord.kit.errors import InvalidInput
from concord.kit.urls import secret_option
from concord.preference.judges import JUDGE_KINDS, kind_of, networked
from concord.preference.methods import METHODS
from concord.v1.config_pb2 import JudgeConfig, Rlthf, RunConfig

MAX_TOKENS = 300
# A kill in the middle of a shard costs its calls in flight, and no more of them than this many pairs make.
ASKED_SHARD = 64
# Where verdicts cost nothing a unit is mostly its own overhead.
KNOWN_SHARD = 256
# Schedules of rlthf, a number for each round, and the highest that makes sense.
LISTS = {"amplification": 1_000.0, "back_off": 1.0}
MOST_SCHEDULED = 100


@dataclass(frozen=True)
class Options:
    """One run as asked for; each field is a flag `--name` and a key of the YAML file."""

    judge: str = "sample"
    helper: tuple[str, ...] = ()
    annotators: str = "recorded"
    budget: str = "6%"
    method: str = "posterior"
    pilot: int = -1
    quorum: int = 1
    seed: int = 0
    # 0: 1 % of the pairs; for rlthf 4 % of its subset.
    batch: float = 0.0
    audit: float = 0.1
    # 0: 4; for rlthf 1, as its reward model scores the pairs that it learnt from.
    folds: int = 0
    components: int = 256
    # Pairs a unit of work; 0: few for a judge that is asked over the network, more where a verdict costs nothing.
    shard_pairs: int = 0
    human_weight: float = 2.0
    # For method rlthf.
    subset: float = 0.25
    amplification: tuple[float, ...] = (4, 4, 4, 2, 1)
    back_off: tuple[float, ...] = (0.6, 0.6, 0.6, 0.4, 0.2, 0.1)
    nobody: bool = False
    stop_below: float = 0.0
    # For an LLM judge.
    model: str = ""
    criteria: str = ""
    api_key_env: str = ""
    temperature: float = 0.0
    max_tokens: int = MAX_TOKENS
    both_orders: bool = True
    prompt_price: float = 0.0
    completion_price: float = 0.0
    dollars: float = 0.0
    deadline: float = 0.0
    max_failed: int = 0
    # Not part of the run's result.
    window: int = 16


def resolve(
    flags: Mapping[str, object], file: object = None, name: str = "the config file", base: Options = Options()
) -> Options:
    """Flags (None: not given) over the YAML file's mapping over `base`. Raises InvalidInput naming the key."""
    known = {field.name for field in fields(Options)}
    if file is not None and not isinstance(file, Mapping):
        raise InvalidInput(f"{name}: a mapping of settings is expected, such as `judge: recorded:GPT-4`")
    given: dict[str, object] = {}
    for key, value in (file or {}).items():
        plain = str(key).replace("-", "_")
        if plain not in known:
            raise InvalidInput(f"{name}: there is no setting {key!r}; there are: {', '.join(sorted(known))}")
        given[plain] = value
    given |= {key: value for key, value in flags.items() if value is not None and value != ()}
    return checked(replace(base, **{key: _typed(key, value) for key, value in given.items()}))  # type: ignore[arg-type]


def _typed(key: str, value: object) -> object:
    """YAML gives 6 for "6" and a string for a list of one; anything further off is the user's mistake."""
    kind = get_type_hints(Options)[key]
    if key == "helper":
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, Sequence) or not all(isinstance(item, str) for item in items):
            raise InvalidInput(f"{key}: a list of judges is expected, not {value!r}")
        return tuple(items)
    if key in LISTS:
        items = value if isinstance(value, list | tuple) else str(value).split(",")
        try:
            return tuple(float(item) for item in items)
        except (TypeError, ValueError):
            raise InvalidInput(f"{key}: numbers are expected, one for each round, not {value!r}") from None
    if kind is bool and not isinstance(value, bool):
        raise InvalidInput(f"{key}: true or false is expected, not {value!r}")
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise InvalidInput(
            f"{key}: {'a number' if kind in (int, float) else 'text'} is expected, not {value!r}"
        ) from None


def checked(options: Options) -> Options:
    """The options, or InvalidInput that says which one cannot be."""
    share_of(options.budget)
    if options.method not in METHODS:
        raise InvalidInput(f"method {options.method!r} is not one of {', '.join(METHODS)}")
    for key, low, high in (
        ("audit", 0, 1),
        ("batch", 0, 1),
        ("folds", 0, 100),
        ("quorum", 1, 99),
        ("pilot", -1, 5_000),
        ("shard_pairs", 0, 5_000),
        ("components", 1, 308),
        ("seed", 0, 2**63),
        ("human_weight", 0, 1_000),
        ("prompt_price", 0, 1e6),
        ("completion_price", 0, 1e6),
        ("dollars", 0, 1e9),
        ("deadline", 0, 1e9),
        ("max_failed", 0, 10**6),
        ("window", 1, 10_000),
        ("max_tokens", 1, 100_000),
        ("temperature", 0, 10),
        ("stop_below", 0, 1),
    ):
        value = getattr(options, key)
        if not low <= value <= high:
            raise InvalidInput(f"{key} must lie between {low:g} and {high:g}, not {value:g}")
    _check_rlthf(options)
    urls = [spec for spec in (options.judge, *options.helper) if is_url(spec)]
    for spec in urls:
        _check_url(spec, options.model)
    if urls and options.dollars and not (options.prompt_price or options.completion_price):
        raise InvalidInput(
            "--dollars cannot be kept to while the judge's price is unknown: give --prompt-price and --completion-price "
            "(dollars per million tokens)"
        )
    return options


def _check_rlthf(options: Options) -> None:
    if not 0 < options.subset <= 1:
        raise InvalidInput(f"subset must be above 0 and at most 1, not {options.subset:g}")
    for key, high in LISTS.items():
        values = getattr(options, key)
        if not 0 < len(values) <= MOST_SCHEDULED or not all(0 <= value <= high for value in values):
            raise InvalidInput(
                f"{key}: 1 to {MOST_SCHEDULED} numbers between 0 and {high:g} are expected, not {values!r}"
            )
    if METHODS[options.method].folds > 1 and options.folds == 1:
        raise InvalidInput(
            f"folds must be at least 2 for method {options.method}: a pair is scored by a model that never saw it"
        )


def is_url(spec: str) -> bool:
    """Whether the judge is an LLM behind an endpoint."""
    kind = kind_of(spec)
    return kind is not None and JUDGE_KINDS[kind].networked


def _check_url(spec: str, model: str) -> None:
    """Refuses a URL that cannot be used or that carries a secret, which would be recorded; never repeats the secret."""
    try:
        parts = urlsplit(spec)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise InvalidInput("the judge's URL cannot be read; one such as https://host/v1#model is expected")
    instead = "; give the name of an environment variable that holds it: --api-key-env NAME"
    if parts.username or parts.password:
        raise InvalidInput(f"the judge's URL carries a user name or a password, which would be recorded{instead}")
    if name := secret_option(parts.query):
        raise InvalidInput(f"the judge's URL carries a key in its query ({name}), which would be recorded{instead}")
    if not (parts.fragment or model):
        raise InvalidInput(f"judge {spec}: which model? Give it as URL#MODEL or with --model")


def share_of(budget: str) -> tuple[int, float]:
    """(votes, share): `6%` is (0, 0.06), `500` is (500, 0)."""
    text = str(budget).strip()
    if percent := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text):
        if float(percent[1]) <= 100:
            return 0, float(percent[1]) / 100
    elif text.isdigit():
        return int(text), 0.0
    raise InvalidInput(
        f"budget {budget!r}: a share such as 6% (of the pairs, at most 100%) or a number of votes is expected"
    )


def judge_config(options: Options, spec: str, judges: Judges | None, name: str = "") -> JudgeConfig:
    """One judge from its spec (`sample`, `recorded:NAME`, `http…`); `name` is the exact key of a recorded one."""
    kind = kind_of(spec)
    if kind == "sample":
        return JudgeConfig(kind="sample", name="sample", both_orders=True)
    if kind == "recorded":
        assert judges is not None
        own = judges.own_prompts if name == judges.main else ()
        return JudgeConfig(kind="recorded", name=name, own_prompts=own)
    if kind == "llm":
        url, _, model = spec.partition("#")
        return JudgeConfig(
            kind="llm",
            name=model or options.model,
            url=url,
            criteria=options.criteria,
            api_key_env=options.api_key_env,
            temperature=options.temperature,
            max_tokens=options.max_tokens,
            both_orders=options.both_orders,
            prompt_dollars=options.prompt_price,
            completion_dollars=options.completion_price,
        )
    raise InvalidInput(f"judge {spec!r}: sample, recorded:NAME or the URL of an OpenAI-compatible endpoint is expected")


def recorded_name(spec: str) -> str | None:
    """NAME of `recorded:NAME`; None for another kind of judge."""
    return spec.removeprefix("recorded:") if kind_of(spec) == "recorded" else None


def run_config(options: Options, judges: Judges | None) -> RunConfig:
    """The configuration that is recorded with the run, defaults resolved."""
    votes, share = share_of(options.budget)
    recorded_helpers = iter(judges.helpers if judges else ())
    helpers = [
        judge_config(options, spec, judges, next(recorded_helpers) if recorded_name(spec) else "")
        for spec in options.helper
    ]
    judge = judge_config(options, options.judge, judges, judges.main if judges else "")
    asked = any(map(networked, (judge, *helpers)))
    shard_pairs = options.shard_pairs or (ASKED_SHARD if asked else KNOWN_SHARD)
    config = RunConfig(
        seed=options.seed,
        judge=judge,
        helpers=helpers,
        annotators=options.annotators,
        human_budget=votes,
        human_budget_share=share,
        quorum=options.quorum,
        pilot=options.pilot,
        audit_share=options.audit,
        shard_pairs=shard_pairs,
        window=options.window,
        dollar_budget=options.dollars,
        annotation_deadline_s=options.deadline,
        max_failed_units=options.max_failed,
        human_weight=options.human_weight,
        components=options.components,
    )
    set_method(config, options)
    return config


def set_method(config: RunConfig, options: Options) -> None:
    """What of the configuration follows from the method."""
    method = METHODS[options.method]
    works_on = options.subset if method.knobs else 1.0
    config.method, config.folds = options.method, options.folds or method.folds
    config.batch_share = options.batch or method.batch_share * works_on
    config.ClearField("rlthf")
    if method.knobs:
        knobs = Rlthf(
            subset_share=options.subset,
            amplification=options.amplification,
            back_off=options.back_off,
            nobody=options.nobody,
            stop_below=options.stop_below,
        )
        config.rlthf.CopyFrom(knobs)
    if method.asks_all:
        config.human_budget, config.human_budget_share, config.pilot = 0, 1.0, 0
        config.batch_share = 1.0


def semantic(config: RunConfig) -> bytes:
    """What decides a run's result, as bytes: how many units are out at once does not, nor where the money ends."""
    kept = RunConfig()
    kept.CopyFrom(config)
    for field in ("window", "dollar_budget", "max_failed_units"):
        kept.ClearField(field)
    return kept.SerializeToString(deterministic=True)
