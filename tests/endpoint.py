"""An OpenAI-compatible endpoint for tests: real HTTP on 127.0.0.1, every answer a function of the request.

The better of two answers is the one with the higher hash, in both orders alike, except for the pairs that `positional`
picks: there A always wins. Failures are drawn from (request, how often it was asked), so trying again may help;
`poison` makes a request fail for ever. Also runs by hand, for benchmarks: `python tests/endpoint.py --latency-ms 50`.
"""

import argparse
import asyncio
import hashlib
import json
import math
import re
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

_WORDS = [
    f"{one}{other}"
    for one in ("ba", "ke", "li", "mo", "nu", "ra", "so", "ti")
    for other in ("ld", "nt", "rk", "sh", "st")
]
_SHOWN = re.compile(r"<answer A \w+>\n(.*)\n</answer A \w+>\n\n<answer B \w+>\n(.*)\n</answer B \w+>", re.DOTALL)


def share(*parts: object) -> float:
    """A number in [0, 1) from the hash of the parts."""
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


@dataclass
class Behaviour:
    """What the endpoint does; may be changed while it runs. Shares are in [0, 1]."""

    latency_s: float = 0.0
    key: str = ""  # asked for as a bearer token; empty: open to all
    style: str = "json"  # json, fence or line
    confidence: bool = True  # state one in the JSON
    flips: float = 0.0  # pairs whose verdict follows the position
    rate_limited: float = 0.0
    retry_after: str = ""  # Retry-After of a 429
    server_errors: float = 0.0
    bad_texts: float = 0.0
    truncated: float = 0.0
    down: int = 0  # status of every answer; 0: none
    poison: dict[str, int | float | str] = field(
        default_factory=dict
    )  # text in the prompt → status, seconds that it takes (a float), "bad", "truncated", "hang"
    rejects: dict[str, str] = field(default_factory=dict)  # field of the request → message of the 400
    error: str = "failure"  # what a failure's body says
    usage: bool = True  # count tokens
    redirect: str = ""  # where every request is sent on to
    hold_until: int = 0  # no answer before so many requests are in flight
    one_at_a_time: bool = False  # `latency_s` is what each takes, one after the other; who hangs up is not served


class Endpoint:
    """`async with Endpoint(...) as endpoint`: serves until the block ends."""

    def __init__(self, **behaviour: Any) -> None:
        self.behaviour = Behaviour(**behaviour)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = self.max_in_flight = self.answered = 0
        self.paid: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self._held = asyncio.Event()
        self._alone = asyncio.Lock()
        self._closing = asyncio.Event()

    @property
    def calls(self) -> int:
        """Requests that arrived."""
        return len(self.requests)

    @property
    def paid_again(self) -> int:
        """Usable answers given for a request that had one already."""
        return sum(self.paid.values()) - len(self.paid)

    async def __aenter__(self) -> "Endpoint":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        await self._runner.cleanup()

    async def start(self, port: int = 0) -> None:
        app = web.Application(client_max_size=64 * 2**20)
        self.routes(app)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=1, handler_cancellation=self.behaviour.one_at_a_time
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, backlog=1024)
        await site.start()
        host, at = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{at}/v1"

    def routes(self, app: web.Application) -> None:
        """What it answers."""
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/stats", self._stats)

    def positional(self, a: str, b: str) -> bool:
        """Whether the verdict on these two texts follows the position."""
        return share("flip", *sorted((a, b))) < self.behaviour.flips

    def first_wins(self, a: str, b: str) -> bool:
        """Whether text `a` is better where `positional` does not interfere."""
        return share("good", a) > share("good", b)

    def free(self, body: dict[str, Any]) -> tuple[str, str]:
        """(text, finish_reason) of the answer to a prompt that shows no two answers: 20 words that its model and seed choose."""
        asked = (body["model"], body["messages"][-1]["content"], body.get("seed"))
        return " ".join(_WORDS[int(share(at, *asked) * len(_WORDS))] for at in range(20)), "stop"

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            if self.in_flight >= self.behaviour.hold_until:
                self._held.set()
            await self._held.wait()
            if self.behaviour.latency_s:
                async with self._alone if self.behaviour.one_at_a_time else nullcontext():
                    await asyncio.sleep(self.behaviour.latency_s)
            return await self._answer(request, body)
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        does = self.behaviour
        if does.redirect:
            raise web.HTTPTemporaryRedirect(does.redirect)
        if does.key and request.headers.get("Authorization") != f"Bearer {does.key}":
            return _error(401, f"Incorrect API key provided: {request.headers.get('Authorization')}")
        if does.down:
            return _error(does.down, "down")
        for name, message in does.rejects.items():
            if name in body:
                return _error(400, message)
        prompt = body["messages"][0]["content"]
        name = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        self.asked[name] += 1
        failure = next((what for text, what in does.poison.items() if text in prompt), None) or self._drawn(name)
        if isinstance(failure, int):
            return _error(failure, does.error, {"Retry-After": does.retry_after} if failure == 429 else {})
        if isinstance(failure, float):
            await asyncio.sleep(failure)
        if failure == "hang":
            await self._closing.wait()
        reply = json.dumps(self._completion(body, prompt, failure == "bad"))
        if failure == "truncated":
            return web.Response(text=reply[: len(reply) // 2], content_type="application/json")
        self.answered += 1
        if failure != "bad":
            self.paid[name] += 1
        return web.Response(text=reply, content_type="application/json")

    def _drawn(self, name: str) -> int | float | str | None:
        does, at = self.behaviour, share("failure", name, self.asked[name])
        kinds = ((does.rate_limited, 429), (does.server_errors, 500), (does.bad_texts, "bad"))
        for part, kind in (*kinds, (does.truncated, "truncated")):
            if at < part:
                return kind
            at -= part
        return None

    def _completion(self, body: dict[str, Any], prompt: str, bad: bool) -> dict[str, Any]:
        if shown := _SHOWN.search(prompt):
            a, b = shown[1], shown[2]
            wins = "A" if self.positional(a, b) or self.first_wins(a, b) else "B"
            p = 0.55 if self.positional(a, b) else 0.6 + 0.39 * share("p", *sorted((a, b)))
            text, finish = "I would rather not say." if bad else self._text(wins, p), "stop"
        else:
            (text, finish), p = self.free(body), 0.5
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
        choice["message"] = {"role": "assistant", "content": text}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": _tokens(text, p, body.get("top_logprobs", 0))}
        counted = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4 + 1}
        counted["total_tokens"] = sum(counted.values())
        whole = {"id": "c", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice]}
        return whole | ({"usage": counted} if self.behaviour.usage else {})

    def _text(self, wins: str, p: float) -> str:
        said: dict[str, Any] = {"reason": "A longer look decides.", "winner": wins}
        if self.behaviour.confidence:
            said["confidence"] = round(p, 3)
        plain = json.dumps(said)
        return {"json": plain, "fence": f"Here it is:\n```json\n{plain}\n```", "line": f"Well.\nVerdict: {wins}"}[
            self.behaviour.style
        ]

    async def _stats(self, request: web.Request) -> web.Response:
        """Counters since the last time that they were read."""
        now = {"calls": self.calls, "max_in_flight": self.max_in_flight, "paid_again": self.paid_again}
        self.requests, self.headers, self.max_in_flight = [], [], 0
        return web.json_response(now)


def _tokens(text: str, p: float, top: int) -> list[dict[str, Any]]:
    """One token a word or sign, as engines give them; a lone A or B has the other letter beside it."""
    found = []
    for piece in re.findall(r"\w+|\W", text):
        token: dict[str, Any] = {"token": piece, "logprob": -0.001, "bytes": list(piece.encode()), "top_logprobs": []}
        if piece in ("A", "B"):
            other = "AB"[piece == "A"]
            token["logprob"] = math.log(p)
            listed = [{"token": piece, "logprob": math.log(p)}, {"token": other, "logprob": math.log(1 - p)}]
            token["top_logprobs"] = listed[:top]
        found.append(token)
    return found


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    kept = {name: value for name, value in (headers or {}).items() if value}
    return web.json_response({"error": {"message": message, "code": status}}, status=status, headers=kept)


async def _serve(behaviour: dict[str, float], port: int) -> None:
    endpoint = Endpoint(**behaviour)
    await endpoint.start(port)
    print(endpoint.url, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--failing", type=float, default=0.0, help="share of requests: 429, 500 or no verdict")
    parser.add_argument("--port", type=int, default=0, help="0: any free one; the URL is printed")
    options = parser.parse_args()
    shares = {"rate_limited": 0.4, "server_errors": 0.4, "bad_texts": 0.2}
    failing = {kind: part * options.failing for kind, part in shares.items()}
    asyncio.run(_serve({"latency_s": options.latency_ms / 1000, **failing}, options.port))
