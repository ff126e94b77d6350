"""Which configurations and names a run may have. Pure: it looks at the request alone, and says what to mend.

The bounds are wider than anyone needs and small enough that no run can bring a service down.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from google.protobuf.message import Message

from concord.kit.errors import InvalidInput
from concord.kit.ids import URI
from concord.kit.plural import many
from concord.kit.urls import secret_option
from concord.preference import evaluating, further, generating, selecting, votes
from concord.preference.judges import JUDGE_KINDS, networked
from concord.preference.methods import METHODS
from concord.preference.pairs import ROLES, BadRecord, check_originals
from concord.preference.run_settings import Bounds, check_number, check_text, check_value, got, longest, recorded_bounds
from concord.v1.config_pb2 import JudgeConfig, Parent, RunConfig
from concord.v1.pairs_pb2 import Pair

MOST_VOTES = 10_000_000
# The table's, and what a budget becomes.
RUN: Bounds = {**recorded_bounds(""), "human_budget": (0, MOST_VOTES), "human_budget_share": (0, 1)}
JUDGE: Bounds = recorded_bounds("judge")
RLTHF: Bounds = recorded_bounds("rlthf")

USUAL_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MOST_HELPERS = 20
MOST_OWN_PROMPTS = 100
MOST_NAME = 300
MOST_URL = 2_000
MOST_WORDS = 4_000
MOST_PAIRS = 100_000_000
# Each is named in the work items of triage and training.
MOST_JUDGED = 500
# It travels in a record of the log and in every unit of work.
MOST_CONFIG_BYTES = 500_000
# A task shows one pair with the run's criteria, and fits into one message of gRPC's 4 MB.
MOST_PAIR_BYTES = 3_500_000


def shortened(words: str) -> str:
    """The words as an answer has room for them."""
    return words if len(words) <= MOST_WORDS else f"{words[:MOST_WORDS]} … ({len(words):,} characters)"


def check_run_id(run_id: str) -> None:
    """Refuses what is no UUID in its usual form: ids of decisions are made from it."""
    if not USUAL_ID.fullmatch(run_id):
        raise InvalidInput(
            f"run_id {run_id[:60]!r} is not a UUID such as 6f7b9a1e-52c1-5d0b-9c64-0c8d1f0e4a77; `concord runs` lists them"
        )


def check_request_id(request_id: str) -> None:
    """Refuses the empty id: every command without one would be the same command."""
    if not request_id:
        raise InvalidInput("request_id is empty; give each command an id of its own, and repeat it when you try again")
    check_text("request_id", request_id, MOST_NAME)


def check_budget(human_budget: int, dollar_budget: float) -> None:
    """Refuses votes and dollars that are none; 0 dollars: no limit."""
    check_number("human_budget", human_budget, RUN["human_budget"])
    check_number("dollar_budget", dollar_budget, RUN["dollar_budget"])


def check_config(config: RunConfig) -> None:
    """Refuses what no service could work with, before anything is recorded."""
    if config.method not in METHODS:
        raise InvalidInput(f"method {config.method[:60]!r} is not one of {', '.join(sorted(METHODS))}")
    _check_fields("", config, RUN, longest(""))
    _check_rlthf(config)
    if len(config.helpers) > MOST_HELPERS:
        raise InvalidInput(f"helpers: at most {MOST_HELPERS} are taken, not {len(config.helpers)}")
    if config.HasField("parent"):
        _check_parent(config.parent)
    check_judge("judge", config.judge)
    for at, helper in enumerate(config.helpers):
        check_judge(f"helpers[{at}]", helper)
    for at, generator in enumerate(config.generators):
        check_judge(f"generators[{at}]", generator)
        if not networked(generator):
            raise InvalidInput(
                f"generators[{at}].kind {generator.kind!r} cannot answer a prompt; name an endpoint: URL#MODEL"
            )
    further.check(config)
    selecting.check(config)
    votes.check(config)
    generating.check(config)
    evaluating.check(config)
    if (size := config.ByteSize()) > MOST_CONFIG_BYTES:
        raise InvalidInput(
            f"the configuration has {size:,} bytes; at most {MOST_CONFIG_BYTES:,} are taken: shorten its texts"
        )


def _check_parent(parent: Parent) -> None:
    """An earlier run as the configuration names it; whether it is there, nobody needs to know."""
    check_run_id(parent.run_id)
    check_number("parent.pairs", parent.pairs, (1, MOST_PAIRS))
    if len(parent.annotation_uris) > MOST_JUDGED:
        raise InvalidInput(
            f"parent.annotation_uris: at most {MOST_JUDGED:,} stages are taken over, not {len(parent.annotation_uris):,}"
        )
    for uri in parent.annotation_uris:
        if not URI.fullmatch(uri):
            raise InvalidInput(
                f"parent.annotation_uris: {uri[:100]!r} is no blob URI such as sha256: and 64 hexadecimal digits"
            )


def _check_rlthf(config: RunConfig) -> None:
    """The method reads these, and divides no pairs by none."""
    _check_fields("rlthf.", config.rlthf, RLTHF, longest("rlthf"))
    if METHODS[config.method].knobs and not (
        config.rlthf.subset_share and config.rlthf.amplification and config.rlthf.back_off
    ):
        raise InvalidInput("rlthf: subset_share, amplification and back_off are needed for method rlthf")


def check_judge(place: str, judge: JudgeConfig) -> None:
    """Refuses a judge that cannot be asked, and one that carries a secret: the configuration is recorded for good."""
    if judge.kind not in JUDGE_KINDS:
        raise InvalidInput(f"{place}.kind {judge.kind[:60]!r} is not one of {', '.join(JUDGE_KINDS)}")
    _check_fields(f"{place}.", judge, JUDGE, longest("judge"))
    check_text(f"{place}.name", judge.name, MOST_NAME)
    check_text(f"{place}.url", judge.url, MOST_URL)
    if len(judge.own_prompts) > MOST_OWN_PROMPTS:
        raise InvalidInput(f"{place}.own_prompts: at most {MOST_OWN_PROMPTS} are taken, not {len(judge.own_prompts)}")
    for name in judge.own_prompts:
        check_text(f"{place}.own_prompts", name, MOST_NAME)
    if networked(judge) and not judge.name:
        raise InvalidInput(f"{place}.name is empty; it is the model's name at the endpoint")
    if networked(judge) or judge.url:
        _check_url(f"{place}.url", judge.url)


def _check_url(place: str, url: str) -> None:
    """The messages do not repeat the URL where it may hold a secret."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidInput(f"{place} is not a URL; it must look like http://host:8000/v1") from None
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(f"{place} holds a user or password; name an environment variable in judge.api_key_env")
    if name := secret_option(parts.query):
        raise InvalidInput(
            f"{place} holds the parameter {name[:60]!r}, which looks like a secret, and a configuration is recorded "
            "for good; name an environment variable in judge.api_key_env"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidInput(f"{place} is {url[:200]!r}; it must look like http://host:8000/v1")


def check_pairs(pairs: Sequence[Pair], most: int) -> None:
    """Refuses none and too many at once, a pair that would not fit into a task, and one that no file could have brought."""
    if not 1 <= len(pairs) <= most:
        raise InvalidInput(f"{many(len(pairs), 'pair')} in one call; between 1 and {most} are taken")
    for at, pair in enumerate(pairs):
        _check_pair(f"pairs[{at}]", pair)
        if (size := pair.ByteSize()) > MOST_PAIR_BYTES:
            raise InvalidInput(
                f"pair {pair.pair_id[:60]!r} has {size / 1e6:.1f} MB; a pair may have {MOST_PAIR_BYTES / 1e6:.1f} MB at most: "
                "shorten its texts or leave it out"
            )


def _check_pair(place: str, pair: Pair) -> None:
    """The importer's rules, for callers who read their files themselves."""
    if not pair.pair_id.strip() or not pair.pair_id.isprintable():
        raise InvalidInput(
            f"{place}.pair_id {pair.pair_id[:60]!r} is empty or not printable; a pair goes by it in the dataset: row-N will do"
        )
    for side in ("first", "second"):
        if not pair.HasField(side):
            raise InvalidInput(f"{place} ({pair.pair_id[:60]}) has no `{side}` response; a pair has two")
    if not (pair.prompt or pair.first.text.strip() or pair.second.text.strip()):
        raise InvalidInput(f"{place} ({pair.pair_id[:60]}) is empty: neither a prompt nor a response has any text")
    for turn in pair.prompt:
        if turn.role not in ROLES:
            raise InvalidInput(f"{place}.prompt has the role {turn.role[:40]!r}, not one of {', '.join(ROLES)}")
    try:
        check_originals(pair)
    except BadRecord as error:
        raise InvalidInput(f"{place}: {error}") from None
    for verdict in pair.verdicts:
        if not verdict.judge.strip():
            raise InvalidInput(f"{place}.verdicts: a verdict names no judge")
        if verdict.HasField("confidence") and not 0 < verdict.confidence <= 1:
            raise InvalidInput(f"{place}.verdicts: the confidence {verdict.confidence} is not above 0 and at most 1")


def check_names(names: Iterable[str]) -> None:
    """Refuses two pairs of one run that have the same id: answers and datasets go by it."""
    seen: set[bytes] = set()
    for name in names:
        # A digest, for ids may be long and pairs many.
        digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
        if digest in seen:
            raise InvalidInput(f"two pairs have the id {name[:60]!r}; give each pair of a run an id of its own")
        seen.add(digest)


def _check_fields(prefix: str, message: Message, bounds: Bounds, texts: Mapping[str, int]) -> None:
    for field, range_ in bounds.items():
        check_value(prefix + field, got(message, field), range_)
    for field, most in texts.items():
        check_text(prefix + field, getattr(message, field), most)
