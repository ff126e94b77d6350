"""Names of decisions. Every decision has one name, its id is a UUIDv5 of that name: saying it twice is saying it once."""

import hashlib
import re
from functools import lru_cache
from uuid import UUID, uuid5

from concord.kit.enums import short
from concord.v1.events_pb2 import Stage, Unit

# What `uri_of` makes, and nothing else is a blob's URI.
URI = re.compile(r"sha256:([0-9a-f]{64})")
CONCORD = UUID("6f7b9a1e-52c1-5d0b-9c64-0c8d1f0e4a77")


# A process says thousands of decisions of the same few runs.
@lru_cache(maxsize=256)
def _namespace(run: str) -> bytes:
    return UUID(run).bytes


def run_id(input_sha256: str, semantic_config: bytes, salt: str = "") -> str:
    """The same input and configuration continue the same run; `salt` asks for another one."""
    return str(uuid5(CONCORD, f"run/{input_sha256}/{semantic_config.hex()}/{salt}"))


def event_id(run: str, *name: object) -> str:
    """Id of the decision called `name` in this run; parts are joined by slashes. A UUIDv5, made faster than by `uuid5`."""
    made = bytearray(
        hashlib.sha1(_namespace(run) + "/".join(map(str, name)).encode(), usedforsecurity=False).digest()[:16]
    )
    made[6] = made[6] & 0x0F | 0x50
    made[8] = made[8] & 0x3F | 0x80
    text = made.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def id_bytes(text: str) -> bytes:
    """An id's 16 bytes, three times as fast as by way of a UUID; raises ValueError for what is none."""
    key = bytes.fromhex(text.replace("-", ""))
    if len(key) != 16:
        raise ValueError(f"{text[:50]!r} is not a UUID")
    return key


def unit_name(unit: Unit) -> str:
    """`LABEL/17`, `TRIAGE.2/0`, with `~1` behind it where RetryStage reissued the unit."""
    stage = short(Stage, unit.stage)
    return f"{stage}{f'.{unit.round}' if unit.round else ''}/{unit.number}{f'~{unit.retry}' if unit.retry else ''}"


def result_id(run: str, unit: Unit) -> str:
    """Id of the fact that is the unit's result."""
    return event_id(run, "result", unit_name(unit))


def work_id(run: str, unit: Unit) -> str:
    """Id of the work item that asks for the unit."""
    return event_id(run, "work", unit_name(unit))


def task_id(run: str, unit: Unit) -> str:
    """The name by which people's pages and files know a question."""
    return event_id(run, "task", unit_name(unit))


def uri_of(content: bytes) -> str:
    """The URI that these bytes have in every blob store."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
