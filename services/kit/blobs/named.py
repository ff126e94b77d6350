"""The blobs that facts name, and those that these name in turn. Pure: `read` is the caller's."""

from collections.abc import Callable, Iterable, Iterator

from google.protobuf.message import DecodeError, Message

from concord.kit.errors import ConcordError
from concord.kit.ids import URI
from concord.v1.events_pb2 import DatasetManifest, ModelManifest, StageManifest
from concord.v1.pairs_pb2 import PairsManifest

Read = Callable[[str], bytes]
# Fields whose blob is a message that names blobs itself.
HOLDS: dict[str, type[Message]] = {
    "pairs_uri": PairsManifest,
    "manifest_uri": StageManifest,
    "annotation_uris": StageManifest,
    "dataset_uri": DatasetManifest,
    "reward_uri": ModelManifest,
    "policy_uri": ModelManifest,
    # Of PolicyTrained; the light model's is none, and names nothing.
    "model_uri": ModelManifest,
    # Of a run's configuration, where they are called by the URI of a model that was put there.
    "reward_model": ModelManifest,
    "policy": ModelManifest,
}


def of_messages(messages: Iterable[Message], read: Read, opened: set[str] | None = None) -> Iterator[str]:
    """Every blob that these events or work items need, some of them more than once.

    `opened`: manifests that were looked into before, which is not done again; those that are looked into now come to them.

    What a manifest that is gone or broken named cannot be told: `read` raises NotFound or Corrupt, and that one is passed over.
    """
    opened = set() if opened is None else opened
    waiting: list[Message] = list(messages)
    while waiting:
        for field, uri in in_message(waiting.pop()):
            yield uri
            if field in HOLDS and uri not in opened:
                opened.add(uri)
                try:
                    waiting.append(HOLDS[field].FromString(read(uri)))
                except (ConcordError, DecodeError):
                    continue


def in_message(message: Message) -> Iterator[tuple[str, str]]:
    """(field, URI) of every text in the message that is a blob's URI."""
    for field, value in message.ListFields():
        values = value if field.is_repeated and not hasattr(value, "items") else (value,)
        if field.message_type and not field.message_type.GetOptions().map_entry:
            for inner in values:
                yield from in_message(inner)
        elif field.cpp_type == field.CPPTYPE_STRING and field.type == field.TYPE_STRING:
            yield from ((field.name, text) for text in values if URI.fullmatch(text))
