"""What a row of the input is once it has been read: a pair, and apart from it what people said. PURE.

Whoever makes a pair goes through `make_pair`, so that every text of a run has been looked at by the same rules.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from concord.v1 import pairs_pb2 as pb

Choice: TypeAlias = pb.Choice.ValueType

# A judge's window and a reader's patience both end long before: a larger text is a file that slipped in.
MAX_TEXT_BYTES = 1_000_000
# All texts of one pair; one pair must fit into one gRPC message of 4 MB.
MAX_PAIR_BYTES = 3_000_000
MAX_ID_CHARACTERS = 200
# Of a domain, of a model, of a judge: a longer one is a text that slipped in, and no service takes it.
MAX_NAME_CHARACTERS = 10_000
ROLES = ("system", "user", "assistant", "tool")


class BadRecord(ValueError):
    """A record that cannot become a pair. `kind` is a short name to count by, the text says what is wrong."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@dataclass(frozen=True)
class Row:
    """One row of the input. The pair is what goes into a run; the rest stays on the caller's side."""

    pair: pb.Pair
    truth: Choice | None = None  # the people's majority, CHOICE_TIE where they say neither; None: not in the file
    people: tuple[Choice, ...] = ()  # what single people said, where the file holds it
    verdicts: tuple[pb.RecordedVerdict, ...] = ()  # of every judge in the file, whether this run may use it or not

    def with_verdicts(self, judges: Iterable[str]) -> "Row":
        """The same row, its pair carrying the verdicts of exactly these judges, in their order."""
        said = {verdict.judge: verdict for verdict in self.verdicts}
        pair = pb.Pair()
        pair.CopyFrom(self.pair)
        del pair.verdicts[:]
        pair.verdicts.extend(said[judge] for judge in judges if judge in said)
        return replace(self, pair=pair)

    def verdict_of(self, judge: str) -> pb.RecordedVerdict | None:
        """What this judge said in the file, None where it is not asked there."""
        return next((verdict for verdict in self.verdicts if verdict.judge == judge), None)


def make_pair(
    pair_id: str,
    prompt: Sequence[pb.Message],
    first: pb.Response,
    second: pb.Response,
    domain: str = "",
    reference: str = "",
    known: pb.Reference | None = None,
    harmful: bool = False,
) -> pb.Pair:
    """A pair with its group; raises BadRecord where its texts together exceed MAX_PAIR_BYTES.

    Pairs without a prompt are a group each: one common group would put all of them into one fold.
    """
    pair = pb.Pair(
        pair_id=pair_id,
        prompt=prompt,
        first=first,
        second=second,
        domain=domain,
        reference=reference,
        known=known,
        harmful=harmful,
    )
    kept = (*(turn.original for turn in prompt), first.original, second.original)
    size = sum(utf8_bytes(text) for text in (*_texts(pair), *kept))
    if size > MAX_PAIR_BYTES:
        raise BadRecord(
            "text too long", f"its texts have {megabytes(size)}, at most {megabytes(MAX_PAIR_BYTES)} a pair"
        )
    pair.group = group_of(prompt) if prompt else int(pair_hash(pair)[:16], 16)
    return pair


def group_of(prompt: Sequence[pb.Message]) -> int:
    """uint64 hash of what the conversation opens with: the first user message, without case and punctuation.

    The opening and not the whole prompt, because two cuts of one conversation teach each other's answers; the user's
    and not the first message, because one system message may stand above all prompts. 0 for an empty prompt.
    """
    if not prompt:
        return 0
    opening = next((turn.content for turn in prompt if turn.role == "user"), prompt[0].content)
    normalised = re.sub(r"\W+", " ", opening.lower()).strip() or opening
    return int.from_bytes(hashlib.sha256(normalised.encode()).digest()[:8], "big")


def pair_hash(pair: pb.Pair) -> str:
    """sha256 (hex) over roles and texts of prompt and responses: the same for the same content, whatever its id.

    Each text goes in behind its length, so that no two different pairs run together into the same bytes.
    """
    digest = hashlib.sha256(b"concord-pair-1")
    for text in _texts(pair):
        raw = text.encode()
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return digest.hexdigest()


def unordered_hash(pair: pb.Pair) -> str:
    """sha256 (hex), the same for a pair and for the pair turned round: of a chosen and a rejected one the id decides the order."""
    return min(pair_hash(pair), pair_hash(pb.Pair(prompt=pair.prompt, first=pair.second, second=pair.first)))


def ids_at(indexes: Iterable[int], pairs_uri: str, read: Callable[[str], bytes]) -> dict[int, str]:
    """What the pairs with these indexes in a run are called; `pairs_uri`: the run's manifest. Reads no shard but theirs."""
    wanted = set(indexes)
    if not wanted:
        return {}
    out: dict[int, str] = {}
    for ref in pb.PairsManifest.FromString(read(pairs_uri)).shards:
        if mine := wanted.intersection(range(ref.first_index, ref.first_index + ref.pairs)):
            shard = pb.PairShard.FromString(read(ref.uri))
            out |= {index: shard.pairs[index - ref.first_index].pair_id for index in mine}
    return out


def domain_of(named: str, source: str) -> str:
    """The domain a record names itself, else the one its `source` implies.

    "…harmless…" and "…helpful…" are domains of their own, for they are judged by opposite standards; of other sources
    the part before the first slash counts.
    """
    if named:
        return named
    for standard in ("harmless", "helpful"):
        if standard in source:
            return standard
    return source.split("/")[0]


def checked_text(text: object, what: str, *, may_be_empty: bool = False) -> str:
    """`text` if a run can carry it; raises BadRecord, naming `what`, where it is no text, empty or too long."""
    if not isinstance(text, str):
        raise BadRecord("missing text", f"{what} is {_kind_of(text)}, not a text")
    try:
        size = utf8_bytes(text)
    except UnicodeEncodeError as error:
        raise BadRecord("invalid Unicode", f"{what} holds half a surrogate pair at character {error.start}") from None
    if size > MAX_TEXT_BYTES:
        raise BadRecord("text too long", f"{what} has {megabytes(size)}, at most {megabytes(MAX_TEXT_BYTES)} a text")
    if not may_be_empty and not text.strip():
        raise BadRecord("empty text", f"{what} is empty")
    return text


def checked_name(text: object, what: str) -> str:
    """`text` as the name of something, which may be empty; raises BadRecord as `checked_text` does."""
    name = checked_text(text, what, may_be_empty=True)
    if len(name) > MAX_NAME_CHARACTERS:
        raise BadRecord("name too long", f"{what} has {len(name):,} characters, at most {MAX_NAME_CHARACTERS:,}")
    return name


def check_originals(pair: pb.Pair) -> None:
    """Raises BadRecord where what stands in `original` is not a message, or the messages of an answer, as JSON."""
    answers = (pair.first.original, pair.second.original)
    for text, is_list in (*((turn.original, False) for turn in pair.prompt), *((text, True) for text in answers)):
        try:
            held = json.loads(text) if text else None
        except (ValueError, RecursionError):
            held = ""
        listed = held if is_list else [held]
        if not text:
            continue
        if not (isinstance(listed, list) and listed and all(isinstance(one, dict) for one in listed)):
            raise BadRecord("broken original", f"`original` is {text[:40]!r}, which is no message as JSON")
        if any(not isinstance(one.get("tools", []), list) for one in listed):
            raise BadRecord("broken original", "`original` has `tools` that are no list")


def utf8_bytes(text: str) -> int:
    """Length of the text in UTF-8; raises UnicodeEncodeError for half a surrogate pair."""
    return len(text) if text.isascii() else len(text.encode())


def megabytes(size_bytes: int) -> str:
    """Bytes as people say them, e.g. `41.9 MB`."""
    return f"{size_bytes / 1e6:.1f} MB"


def _texts(pair: pb.Pair) -> Iterable[str]:
    for turn in pair.prompt:
        yield turn.role
        yield turn.content
    yield pair.first.text
    yield pair.second.text


def _kind_of(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", dict: "an object"}
    return names.get(type(value), "a list" if isinstance(value, list) else type(value).__name__)
