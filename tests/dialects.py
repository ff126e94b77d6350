"""Judges' endpoints as people have them, on 127.0.0.1: `async with Dialects() as served: served.url("reasoning")`.

Each dialect takes chat completions as some engine or hosted service does, refuses what that one refuses, and dresses its answer as
that one does. The verdict is always for the answer that does not hedge ("might be"). Messages are our own; status codes, codes of
errors, names of fields and places in the body are the services'. `DIALECTS` says of each how many of 24 verdicts are to be had.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from concord.v1 import pairs_pb2 as pb
from tests.endpoint import _SHOWN

Body = dict[str, Any]
Refusal = tuple[int, Any, dict[str, str]] | None

REASON = "It is exact."
BARE = ("model", "messages")


def pairs(count: int = 12) -> list[pb.Pair]:
    """Pairs of which one answer hedges: the second of each even one, the first of each odd one."""
    made = []
    for n in range(count):
        sure, hedging = f"{n} and {n} make {2 * n}.", f"{n} and {n} might be {2 * n + 1}."
        first, second = (sure, hedging) if n % 2 == 0 else (hedging, sure)
        asked = [pb.Message(role="user", content=f"What do {n} and {n} make?")]
        made.append(
            pb.Pair(pair_id=f"p{n}", prompt=asked, first=pb.Response(text=first), second=pb.Response(text=second))
        )
    return made


def right(pair: pb.Pair) -> "pb.Choice.ValueType":
    """The choice that does not hedge."""
    return pb.CHOICE_SECOND if "might be" in pair.first.text else pb.CHOICE_FIRST


@dataclass(frozen=True)
class Dialect:
    """What one kind of endpoint does."""

    about: str
    verdicts: int = 24  # of 24 that are to be had
    # What it says instead of an answer, given the body and how many requests came before.
    refuses: Callable[[Body, int], Refusal] = lambda body, asked: None
    # The choice (`message`, `finish_reason` …), given the letter and the verdict as JSON.
    says: Callable[[Body, str, str], Body] = lambda body, letter, verdict: {"message": {"content": verdict}}
    usage: Any = None  # None: a usual one
    lasting: bool = False  # no retry helps: an error within seconds


def error(status: int, message: str, param: str | None = None, code: str | None = None) -> Refusal:
    return status, {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}, {}


def limit_of(body: Body) -> int:
    return body.get("max_completion_tokens") or body.get("max_tokens") or 100_000


# ── what is refused ────────────────────────────────────────────────────────────────────────────────────────────────


def reasoning(body: Body, asked: int) -> Refusal:
    if "max_tokens" in body:
        return error(
            400,
            "Unsupported parameter: 'max_tokens'. Send 'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    if body.get("temperature", 1) != 1:
        return error(
            400, "Unsupported value: 'temperature' must be the default (1).", "temperature", "unsupported_value"
        )
    if body.get("logprobs"):
        return error(
            403, "You are not allowed to request logprobs from this model.", "logprobs", "unsupported_parameter"
        )
    return None


def extra(*known: str) -> Callable[[Body, int], Refusal]:
    """422 that points at the first field that is not known."""

    def refuses(body: Body, asked: int) -> Refusal:
        for field in body:
            if field not in (*BARE, *known):
                detail = {"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted"}
                return 422, {"detail": [detail]}, {}
        return None

    return refuses


def serde(body: Body, asked: int) -> Refusal:
    kind = (body.get("response_format") or {}).get("type")
    if kind not in (None, "json", "json_object", "regex") or (
        kind == "json_object" and "value" not in body["response_format"]
    ):
        text = f"Failed to read the JSON body: response_format: unknown variant `{kind}`, expected one of `json_object`, `regex`"
        return 422, text + " at line 1 column 2077", {}
    if body.get("temperature") == 0:
        return (
            422,
            {"error": "Input validation error: `temperature` must be strictly positive", "error_type": "validation"},
            {},
        )
    return None


def no_schema(body: Body, asked: int) -> Refusal:
    if (body.get("response_format") or {}).get("type") == "json_schema":
        return error(400, "This response_format type is unavailable now")
    return None


def plain_schema(body: Body, asked: int) -> Refusal:
    if '"minimum"' in json.dumps(body.get("response_format")):
        message = "Invalid schema for response_format 'verdict': 'minimum' is not permitted."
        return error(400, message, "response_format", "invalid_json_schema")
    return None


def vllm(body: Body, asked: int) -> Refusal:
    if body.get("logprobs"):
        message = "Requested sample logprobs of 5, which is greater than max allowed: 0"
        return 400, {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}, {}
    return None


def short_context(body: Body, asked: int) -> Refusal:
    if limit_of(body) > 2_000:
        message = f"This model's maximum context length is 4096 tokens, but {limit_of(body) + 800} were asked for."
        return 400, {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}, {}
    return None


def unrecognized(body: Body, asked: int) -> Refusal:
    for field in ("seed", "top_logprobs"):
        if field in body:
            return error(400, f"Unrecognized request argument supplied: {field}")
    return None


def lists_allowed(body: Body, asked: int) -> Refusal:
    if "seed" in body:
        return (
            400,
            {
                "message": "Allowed fields are model, messages, temperature, max_tokens, response_format, logprobs; got seed"
            },
            {},
        )
    return None


def mute(body: Body, asked: int) -> Refusal:
    return error(400, "bad request") if set(body) - set(BARE) else None


def router(body: Body, asked: int) -> Refusal:
    """200, an error of a service behind a router in it."""
    if "seed" in body:
        raw = json.dumps({"error": {"message": "Unsupported parameter: seed", "param": "seed"}})
        said = {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw, "provider_name": "One"}}
        return 200, {"error": said}, {}
    return None


def azure(body: Body, asked: int) -> Refusal:
    if asked % 8 == 5:
        inner = {"code": "ResponsibleAIPolicyViolation"}
        said = {
            "message": "The prompt triggered the content management policy.",
            "param": "prompt",
            "code": "content_filter",
        }
        return 400, {"error": {**said, "status": 400, "innererror": inner}}, {}
    return None


def every_third(status: int, payload: Any, headers: dict[str, str]) -> Callable[[Body, int], Refusal]:
    return lambda body, asked: (status, payload, headers) if asked % 3 == 0 else None


def always(status: int, payload: Any, headers: dict[str, str] | None = None) -> Callable[[Body, int], Refusal]:
    return lambda body, asked: (status, payload, headers or {})


# ── how it is said ─────────────────────────────────────────────────────────────────────────────────────────────────


def content(text: Callable[[str, str], Any], **more: Any) -> Callable[[Body, str, str], Body]:
    """`text` of (letter, verdict as JSON)."""
    return lambda body, letter, verdict: {"message": {"content": text(letter, verdict)}, **more}


def thinks(field: str, needs: int = 2_000) -> Callable[[Body, str, str], Body]:
    """Thinks in a field of its own for so many tokens, and is cut where it gets fewer."""

    def says(body: Body, letter: str, verdict: str) -> Body:
        thought = {field: "Let me compare the two. " * 20} if field else {}
        if limit_of(body) < needs:
            return {"message": {"content": None, **thought}, "finish_reason": "length"}
        return {"message": {"content": verdict, **thought}}

    return says


def thinks_aloud(body: Body, letter: str, verdict: str) -> Body:
    thought = '<think>\nPerhaps {"winner": "B"}? No. '
    if limit_of(body) < 2_000:
        return {"message": {"content": thought}, "finish_reason": "length"}
    return {"message": {"content": f"{thought}\n</think>\n\n{verdict}"}}


def wordy(body: Body, letter: str, verdict: str) -> Body:
    if limit_of(body) < 500:
        return {"message": {"content": verdict[:20]}, "finish_reason": "length"}
    return {"message": {"content": verdict}}


def only_json_with_schema(body: Body, letter: str, verdict: str) -> Body:
    """As llama.cpp: the grammar follows the standard form alone, else keys are made up until the limit."""
    asked = body.get("response_format") or {}
    if asked.get("type") == "json_schema" and asked.get("json_schema", {}).get("schema"):
        return {"message": {"content": verdict}}
    return {"message": {"content": '{"analysis": {"first": {"first": {'}, "finish_reason": "length"}


DIALECTS: dict[str, Dialect] = {
    "standard": Dialect("takes all of it"),
    "reasoning": Dialect("max_completion_tokens, default temperature, no logprobs", refuses=reasoning),
    "mistral": Dialect(
        "422 for seed and logprobs, by loc", refuses=extra("max_tokens", "temperature", "response_format")
    ),
    "strict": Dialect("422 for each field it does not know", refuses=extra("max_tokens", "temperature")),
    "tgi": Dialect("TGI's own schema, temperature above 0, errors as text", refuses=serde),
    "noschema": Dialect("json_object alone", refuses=no_schema),
    "plainschema": Dialect("no bounds in a schema", refuses=plain_schema),
    "llamacpp": Dialect("follows the standard schema alone", says=only_json_with_schema),
    "vllm": Dialect("no logprobs, error without a field", refuses=vllm),
    "sglang": Dialect("names a field in words", refuses=unrecognized),
    "listing": Dialect("lists what is allowed before the culprit", refuses=lists_allowed),
    "mute": Dialect("400 without a reason for all that is optional", refuses=mute),
    "router": Dialect("an error of another service in a 200", refuses=router),
    "azure": Dialect("content filter on one request in eight", 21, refuses=azure),
    "rate": Dialect(
        "429 on one request in three",
        refuses=every_third(429, {"error": {"message": "slow down"}}, {"Retry-After": "1"}),
    ),
    "overloaded": Dialect(
        "529 on one request in three", refuses=every_third(529, {"error": {"type": "overloaded_error"}}, {})
    ),
    "shortcontext": Dialect(
        "thinks, and has no room for it", 0, refuses=short_context, says=thinks("reasoning_content", 4_500)
    ),
    "thinking": Dialect("reasoning_content, cut under 2,000 tokens", says=thinks("reasoning_content")),
    "reasons": Dialect("the same in `reasoning`, cut under 8,000", says=thinks("reasoning", 8_000)),
    "unseen": Dialect("thinks unseen, empty and cut under 2,000 tokens", says=thinks("")),
    "inline": Dialect("<think> in the text, cut under 2,000 tokens", says=thinks_aloud),
    "thinkopen": Dialect(
        "</think> that nothing opened", says=content(lambda w, v: f"Let me compare.\n</think>\n\n{v}")
    ),
    "wordy": Dialect("cut under 500 tokens", says=wordy),
    "fence": Dialect(
        "a fence and words around",
        says=content(lambda w, v: f"My verdict:\n```json\n{v}\n```\nAsk me if it is unclear."),
    ),
    "bracket": Dialect("[[A]]", says=content(lambda w, v: f"Both give a sum. Final verdict: [[{w}]]")),
    "word": Dialect("a sentence", says=content(lambda w, v: f"Assistant {w} is better.")),
    "single": Dialect("single quotes", says=content(lambda w, v: v.replace('"', "'"))),
    "twice": Dialect("JSON within a JSON string", says=content(lambda w, v: json.dumps(v))),
    "parts": Dialect(
        "content in parts",
        says=content(lambda w, v: [{"type": "text", "text": v[:9]}, {"type": "text", "text": v[9:]}]),
    ),
    "thoughtparts": Dialect(
        "thinking as a part",
        says=content(
            lambda w, v: [
                {"type": "thinking", "thinking": [{"type": "text", "text": "B?"}]},
                {"type": "text", "text": v},
            ]
        ),
    ),
    "object": Dialect("content that is the object itself", says=content(lambda w, v: json.loads(v))),
    "floats": Dialect("token counts as floats", usage={"prompt_tokens": 300.0, "completion_tokens": 20.0}),
    "liar": Dialect("token counts of 2^57 and NaN", usage={"prompt_tokens": 2**57, "completion_tokens": float("nan")}),
    "nousage": Dialect("no token counts", usage={}),
    "copying": Dialect(
        "copies the form",
        0,
        says=content(lambda w, v: '{"reason": <why>, "winner": <the letter>, "confidence": <a number>}'),
    ),
    "contradicting": Dialect("both letters", 0, says=content(lambda w, v: f"{w}\n\n{w}\n\n{'AB'[w == 'A']}")),
    "cut": Dialect("always cut", 0, says=content(lambda w, v: "<think>\nFirst I compare", finish_reason="length")),
    "declining": Dialect("declines in words", 0, says=content(lambda w, v: "I will not compare these.")),
    "refusing": Dialect(
        "declines in a field", 0, says=lambda b, w, v: {"message": {"content": None, "refusal": "I will not."}}
    ),
    "filtering": Dialect("a filter ends it", 0, says=content(lambda w, v: "", finish_reason="content_filter")),
    "silent": Dialect("empty", 0, says=content(lambda w, v: "")),
    "number": Dialect("content is a number", 0, says=content(lambda w, v: 5)),
    "quota": Dialect(
        "no credit, as 429",
        0,
        refuses=always(*error(429, "You have no credit left.", None, "insufficient_quota")),
        lasting=True,
    ),
    "payment": Dialect(
        "no credit, in a 200",
        0,
        refuses=always(200, {"error": {"code": 402, "message": "Insufficient credits"}}),
        lasting=True,
    ),
    "unauth": Dialect(
        "a key that is not right",
        0,
        refuses=always(*error(401, "Incorrect key", None, "invalid_api_key")),
        lasting=True,
    ),
    "nomodel": Dialect(
        "no such model", 0, refuses=always(*error(404, "There is no such model", None, "model_not_found")), lasting=True
    ),
    "html": Dialect("a sign-in page", 0, refuses=always(200, "<!doctype html><title>Sign in</title>"), lasting=True),
}


class Dialects:
    """Serves all of them until the block ends: below `/NAME/v1`, Azure's below its deployments."""

    def __init__(self) -> None:
        self.requests: dict[str, list[Body]] = defaultdict(list)
        self.headers: dict[str, list[dict[str, str]]] = defaultdict(list)
        # Requests until the first answer that is not cut, that one counted.
        self.first: dict[str, int] = {}
        self._asked: Counter[str] = Counter()

    async def __aenter__(self) -> "Dialects":
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/{name}/v1/chat/completions", self._chat)
        app.router.add_post("/{name}/openai/deployments/one/chat/completions", self._chat)
        app.router.add_post("/{name}/other/chat/completions", self._chat)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        host, port = self._runner.addresses[0][:2]
        self._base = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def url(self, name: str) -> str:
        """The base URL of a dialect."""
        below = "openai/deployments/one" if name == "azure" else "v1"
        return f"{self._base}/{name}/{below}" + ("?api-version=2024-10-21" if name == "azure" else "")

    def below(self, path: str) -> str:
        """Any other base URL."""
        return f"{self._base}/{path}"

    async def _chat(self, request: web.Request) -> web.Response:
        body, name = await request.json(), request.match_info["name"]
        self.requests[name].append(body)
        self.headers[name].append({key.lower(): value for key, value in request.headers.items()})
        dialect, asked = DIALECTS[name], self._asked[name]
        self._asked[name] += 1
        if refusal := dialect.refuses(body, asked):
            status, payload, headers = refusal
            if isinstance(payload, str):
                kind = "text/html" if payload.startswith("<") else "text/plain"
                return web.Response(text=payload, status=status, content_type=kind, headers=headers)
            return web.json_response(payload, status=status, headers=headers)
        answer = _completion(dialect, body)
        if "What is 2 + 2?" not in body["messages"][0]["content"] and answer["choices"][0]["finish_reason"] != "length":
            self.first.setdefault(name, len(self.requests[name]))
        return web.json_response(answer)


def _completion(dialect: Dialect, body: Body) -> Body:
    shown = _SHOWN.search(body["messages"][0]["content"])
    assert shown, "the prompt does not show two answers"
    letter = "B" if "might be" in shown[1] else "A"
    verdict = json.dumps({"reason": REASON, "winner": letter, "confidence": 0.9})
    choice = {"index": 0, "finish_reason": "stop", **dialect.says(body, letter, verdict)}
    choice["message"] = {"role": "assistant", **choice["message"]}
    usage = {"prompt_tokens": 300, "completion_tokens": 20} if dialect.usage is None else dialect.usage
    return {"id": "c", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}
