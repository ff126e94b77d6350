"""Requests handed in together, answered within a day at half the price: `/v1/files` and `/v1/batches`, as OpenAI documents them.

The hub's client has neither, so its HTTP client alone is used, under the same rules: the key goes to this address only, no
redirect is followed, and what comes back is bounded.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import httpx2

from concord.kit.errors import Deferred, Permanent
from concord.labeling.connecting import guard
from concord.labeling.refusal import Trouble, of_status, words_of
from concord.labeling.wire import Endpoint, tls

# Of a batch: it will give no more answers than it has.
OVER = ("completed", "failed", "expired", "cancelled")
TIMEOUT_S = 120.0
# Of what a batch answers, in bytes; a unit has at most 10,000 requests.
MOST_BYTES = 200 * 2**20
AWAY_S = 60.0
# A wait that an endpoint asks for is believed up to an hour.
LONGEST_WAIT_S = 3600.0
# What an id, a status or an error's code may be: it becomes part of an address, a log line and an error.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:\-]{0,199}")
# How many of the endpoint's last batches are looked at for one that was handed in a moment before a crash.
LOOKED_BACK = 100


@dataclass(frozen=True)
class Standing:
    """How far a batch is."""

    id: str
    status: str  # one of OVER, or any other word: it goes on
    done: int  # requests answered so far, failures included
    total: int
    files: tuple[str, ...]  # ids of what it has written: answers, then errors
    why: str  # what the endpoint says of a batch that failed

    @property
    def over(self) -> bool:
        return self.status in OVER


class BatchWire:
    """Batches of one endpoint. Every call raises Deferred where it is away, and Permanent where it has no batches."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        # No redirect, and no proxy for plain http, as of the live requests.
        client = httpx2.AsyncClient(verify=tls(), follow_redirects=False, mounts={"http://": None})
        self._client = guard(client, lambda: endpoint.egress)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is struck out of all that comes back."""
        return self._endpoint.secrets

    async def close(self) -> None:
        await self._client.aclose()

    async def hand_in(self, name: str, requests: Mapping[str, Mapping[str, Any]]) -> Standing:
        """A batch of these chat completions, by their custom ids; `name` is how `find` knows it again."""
        lines = [
            json.dumps(
                {"custom_id": id_, "method": "POST", "url": "/v1/chat/completions", "body": body}, ensure_ascii=False
            )
            for id_, body in requests.items()
        ]
        content = ("\n".join(lines) + "\n").encode(errors="replace")
        file = await self._json("POST", "files", data={"purpose": "batch"}, files={"file": ("requests.jsonl", content)})
        asked = {"input_file_id": file.get("id"), "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        return standing(await self._json("POST", "batches", json={**asked, "metadata": {"concord": name}}))

    async def find(self, name: str) -> Standing | None:
        """The batch that was handed in under this name, if it is among the last ones; endpoints that list none have none."""
        try:
            listed = await self._json("GET", f"batches?limit={LOOKED_BACK}")
        except Permanent:
            return None
        batches = listed.get("data")
        for batch in batches if isinstance(batches, list) else ():
            if isinstance(batch, dict) and (batch.get("metadata") or {}).get("concord") == name:
                return standing(batch)
        return None

    async def look(self, id_: str) -> Standing:
        """How far the batch is now."""
        return standing(await self._json("GET", f"batches/{id_}"))

    async def cancel(self, id_: str) -> None:
        """No more of it is answered, or paid."""
        await self._json("POST", f"batches/{id_}/cancel")

    async def answers(self, seen: Standing) -> list[tuple[str, Mapping[str, Any]]]:
        """(custom id, line) of what the batch has written, in any order; what is no such line is left out."""
        found: list[tuple[str, Mapping[str, Any]]] = []
        for file in seen.files:
            found += _lines(await self._sent("GET", f"files/{file}/content"))
        return found

    async def _json(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        content = await self._sent(method, path, **more)
        try:
            said = json.loads(content)
        except (ValueError, RecursionError):
            raise Deferred(f"{self._where}: {method} {path} gave no JSON", AWAY_S) from None
        if not isinstance(said, dict):
            raise Deferred(f"{self._where}: {method} {path} gave no object", AWAY_S)
        return said

    async def _sent(self, method: str, path: str, **more: Any) -> bytes:
        key = self._endpoint.key
        headers = {"authorization": f"Bearer {key}"} if key else {}
        if key and self._endpoint.azure:
            headers["api-key"] = key
        url = f"{self._endpoint.url.rstrip('/')}/{path}"
        try:
            async with self._client.stream(method, url, headers=headers, timeout=TIMEOUT_S, **more) as response:
                content = bytearray()
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > MOST_BYTES:
                        raise Permanent(
                            f"{self._where}: {method} {_bare(path)} gave more than {MOST_BYTES // 2**20} MB"
                        )
        except httpx2.RequestError as error:
            raise Deferred(f"{self._where} is away: {type(error).__name__}", AWAY_S) from error
        if not response.is_success:
            words = words_of(bytes(content), self.secrets)
            self._refuse(of_status(response.status_code, response.headers, words), method, path)
        return bytes(content)

    def _refuse(self, trouble: Trouble, method: str, path: str) -> NoReturn:
        where = f"{self._where}: {method} {_bare(path)}: {trouble.detail}"
        if trouble.fault in ("passing", "limit"):
            raise Deferred(where, max(AWAY_S, min(trouble.retry_after_s, LONGEST_WAIT_S))) from trouble
        raise Permanent(f"{where}. Without --judge-batch the judge is asked one by one") from trouble

    @property
    def _where(self) -> str:
        return f"the judge {self._endpoint.model!r} at {self._endpoint.url}"


def standing(batch: Mapping[str, Any]) -> Standing:
    """A batch object of the endpoint, of which nothing is believed to have the type that it should have."""
    counts = batch.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    files = [batch.get(name) for name in ("output_file_id", "error_file_id")]
    return Standing(
        _text(batch.get("id")),
        _text(batch.get("status")),
        _count(counts.get("completed")) + _count(counts.get("failed")),
        _count(counts.get("total")),
        tuple(file for file in map(_text, files) if file),
        _why(batch.get("errors")),
    )


def _lines(content: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for raw in content.splitlines():
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and isinstance(line.get("custom_id"), str):
            yield line["custom_id"], line


def _why(errors: Any) -> str:
    """The code of the first error: its words may quote a question, which no log may repeat."""
    listed = errors.get("data") if isinstance(errors, dict) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    return _text(first.get("code")) if isinstance(first, dict) else ""


def _text(value: Any) -> str:
    """An id or a name; empty for all that cannot be one."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10**9 else 0


def _bare(path: str) -> str:
    return path.partition("?")[0]
