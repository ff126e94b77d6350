"""What a user asked for: flags over a YAML file over defaults, checked, and turned into a run's configuration. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from concord.client.intake.verdicts import Judges
from concord.kit.errors import InvalidInput
from concord.kit.urls import secret_option
from concord.preference import evaluating, further, generating, run_settings, selecting, stops, votes
from concord.preference.judges import JUDGE_KINDS, kind_of, networked
from concord.preference.methods import METHODS
from concord.preference.run_settings import DEFAULTS, Options
from concord.v1.config_pb2 import JudgeConfig, RunConfig

# A kill in the middle of a shard costs its calls in flight, and no more of them than this many pairs make.
ASKED_SHARD = 64
# Where verdicts cost nothing a unit is mostly its own overhead.
KNOWN_SHARD = 256
_NEXT = re.compile(r",(?=https?://)", re.IGNORECASE)
_OWN = re.compile(r"(?P<place>.+?),(?:key=(?P<key>[^,/]+)|prices=(?P<read>[^,/]+)/(?P<wrote>[^,/]+))", re.DOTALL)


def resolve(
    flags: Mapping[str, object], file: object = None, name: str = "the config file", base: Options = DEFAULTS
) -> Options:
    """Flags (None: not given) over the YAML file's mapping over `base`. Raises InvalidInput naming the key."""
    if file is not None and not isinstance(file, Mapping):
        raise InvalidInput(f"{name}: a mapping of settings is expected, such as `judge: recorded:GPT-4`")
    said = {key: value for key, value in flags.items() if value not in (None, (), [])}
    given = _by_name(file or {}, name, type(base)) | _by_name(said, "the command line", type(base))
    kinds = get_type_hints(type(base))
    typed: dict[str, Any] = {key: _typed(key, kinds[key], value) for key, value in given.items()}
    return checked(replace(base, **typed))


def _by_name(given: Mapping[Any, object], where: str, table: type) -> dict[str, object]:
    """What is given, by the settings' names of today."""
    known, found = run_settings.names(table), dict[str, object]()
    for key, value in given.items():
        now = known.get(str(key).replace("-", "_"))
        if now is None:
            raise InvalidInput(
                f"{where}: there is no setting {key!r}; there are: {', '.join(sorted(set(known.values())))}"
            )
        if now in found:
            raise InvalidInput(f"{where}: {now} is given twice, once as {key}; leave one of them out")
        found[now] = value
    return found


def _typed(key: str, kind: type, value: object) -> object:
    """YAML gives 6 for "6" and a string for a list of one; anything further off is the user's mistake."""
    if kind == tuple[str, ...]:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, Sequence) or not all(isinstance(item, str) for item in items):
            raise InvalidInput(f"{key}: a list of judges is expected, not {value!r}")
        return tuple(items)
    if kind == tuple[float, ...]:
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
    for name, bounds in run_settings.asked_bounds(type(options)).items():
        run_settings.check_value(name, getattr(options, name), bounds)
    for name, setting in run_settings.settings(type(options)).items():
        if setting.longest:
            run_settings.check_text(name, getattr(options, name), setting.longest)
    _check_method(options)
    _check_urls(options)
    return options


def _check_method(options: Options) -> None:
    """What no bounds of one number say."""
    if not options.subset:
        raise InvalidInput("subset must be above 0 and at most 1, not 0")
    for name in ("amplification", "back_off"):
        if not getattr(options, name):
            raise InvalidInput(f"{name}: at least one number is expected, for the first round")
    if -1 < options.audit < 0:
        raise InvalidInput(f"audit must be a share from 0 to 1, or -1 for the usual one, not {options.audit:g}")
    if METHODS[options.method].folds > 1 and options.folds == 1:
        raise InvalidInput(
            f"folds must be at least 2 for method {options.method}: a pair is scored by a model that never saw it"
        )


def _check_urls(options: Options) -> None:
    urls = [spec for spec in (options.judge, *options.helper) if is_url(spec)]
    for spec in listed(options.generate):
        if not is_url(spec):
            raise InvalidInput(
                f"generate {spec[:200]!r}: the URL of an OpenAI-compatible endpoint is expected, URL#MODEL"
            )
        urls.append(spec)
    for spec in urls:
        place, own = own_settings(spec)
        _check_url(place, options.model)
        if "api_key_env" in own:
            run_settings.check_text("key", str(own["api_key_env"]), run_settings.settings()["api_key_env"].longest)
    unpriced = not (options.prompt_price or options.completion_price)
    if options.dollars and unpriced and not all("prompt_dollars" in own_settings(spec)[1] for spec in urls):
        raise InvalidInput(
            "--dollars cannot be kept to while a model's price is unknown: give --prompt-price and --completion-price "
            "(dollars per million tokens)"
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
        prompts = judges.own_prompts if name == judges.main else ()
        return JudgeConfig(kind="recorded", name=name, own_prompts=prompts)
    if kind == "llm":
        place, own = own_settings(spec)
        url, _, model = place.partition("#")
        judge = JudgeConfig(kind="llm", name=model or options.model, url=url)
        for name, entry in run_settings.within("judge", type(options)).items():
            field = entry.place[1]
            run_settings.put(judge, field, own.get(field, getattr(options, name)))
        return judge
    *others, last = (kind.spelling for kind in JUDGE_KINDS.values())
    raise InvalidInput(f"judge {spec!r}: {', '.join(others)} or {last} is expected")


def listed(specs: Iterable[str]) -> list[str]:
    """The endpoints one by one, however many are named behind each other: `URL#MODEL,URL#MODEL`."""
    return [one for spec in specs for one in _NEXT.split(spec)]


def generator(options: Options, spec: str) -> JudgeConfig:
    """A model that answers prompts, from `URL#MODEL`: with a judge's settings of calls, and of answers its own."""
    made = judge_config(options, spec, None)
    made.ClearField("criteria")
    made.ClearField("both_orders")
    made.temperature = options.sample_temperature or generating.TEMPERATURE
    made.max_tokens = options.sample_tokens or generating.MAX_TOKENS
    return made


def own_settings(spec: str) -> tuple[str, dict[str, str | float]]:
    """(URL#MODEL, fields of JudgeConfig) of `URL#MODEL,key=VARIABLE,prices=IN/OUT`: what one endpoint of several has of its own.

    A key that is named is only sent there; without one of its own an endpoint gets the run's.
    """
    own: dict[str, str | float] = {}
    while found := _OWN.fullmatch(spec):
        spec = found["place"]
        if found["key"]:
            own["api_key_env"] = found["key"]
        else:
            own |= {"prompt_dollars": _price(found["read"]), "completion_dollars": _price(found["wrote"])}
    return spec, own


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    run_settings.check_number("prices", price, (0, 1_000_000))
    return price


def recorded_name(spec: str) -> str | None:
    """NAME of `recorded:NAME`; None for another kind of judge."""
    return spec.removeprefix("recorded:") if kind_of(spec) == "recorded" else None


def usual_shard(judges: Iterable[JudgeConfig]) -> int:
    """Pairs of a shard that these judges label, where nobody says how many."""
    return ASKED_SHARD if any(map(networked, judges)) else KNOWN_SHARD


def run_config(options: Options, judges: Judges | None) -> RunConfig:
    """The configuration that is recorded with the run, defaults resolved."""
    budget, share = share_of(options.budget)
    recorded_helpers = iter(judges.helpers if judges else ())
    helpers = [
        judge_config(options, spec, judges, next(recorded_helpers) if recorded_name(spec) else "")
        for spec in options.helper
    ]
    judge = judge_config(options, options.judge, judges, judges.main if judges else "")
    generators = [generator(options, spec) for spec in listed(options.generate)]
    config = RunConfig(
        judge=judge,
        helpers=helpers,
        generators=generators,
        human_budget=budget,
        human_budget_share=share,
        shard_pairs=options.shard_pairs or usual_shard((judge, *helpers, *generators)),
    )
    for name, entry in run_settings.settings(type(options)).items():
        if entry.plain:
            run_settings.put(config, entry.field, run_settings.turned(entry, getattr(options, name)))
    if generators and not config.select:
        config.select = generating.SELECT
    set_method(config, options)
    further.check(config)
    further.check_method(config)
    selecting.check(config)
    votes.check(config)
    generating.check(config)
    evaluating.check(config)
    stops.check(config)
    return config


def set_method(config: RunConfig, options: Options) -> None:
    """What of the configuration follows from the method."""
    method = METHODS[options.method]
    works_on = options.subset if method.knobs else 1.0
    config.method, config.folds = options.method, options.folds or method.folds
    config.batch_share = options.batch or method.batch_share * works_on
    _set_own(config, options)
    if method.asks_all:
        config.human_budget, config.human_budget_share, config.pilot = 0, 1.0, 0
        config.batch_share = 1.0


def _set_own(config: RunConfig, options: Options) -> None:
    """The settings that concern one method: written for it, absent for the others."""
    own = {name: entry for name, entry in run_settings.settings(type(options)).items() if entry.method}
    for entry in own.values():
        config.ClearField(entry.field.partition(".")[0])
    for name, entry in own.items():
        if entry.method == options.method:
            run_settings.put(config, entry.field, getattr(options, name))


def semantic(config: RunConfig) -> bytes:
    """What decides a run's result, as bytes: how many units are out at once does not, nor where the money ends."""
    kept = RunConfig()
    kept.CopyFrom(config)
    for name, entry in run_settings.settings().items():
        if not entry.decides:
            message, field = entry.place
            for one in (kept.judge, *kept.helpers, *kept.generators) if message == "judge" else (kept,):
                one.ClearField(field)
        if entry.named is not None and run_settings.got(kept, entry.field) == getattr(DEFAULTS, name):
            run_settings.put(kept, entry.field, entry.named)
    return kept.SerializeToString(deterministic=True)
