"""The pages as one application: the table of them, and what stands before each: who asks, whether that one may, how often.

A GET changes nothing. A POST comes from a page of ours: it carries the token that the page was given, and its origin is ours.
"""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from concord.console import annotator, credentials, entrance, operator, roles, texts
from concord.console.asked import Asked, Console
from concord.console.gate import Holder, check
from concord.console.paces import Paces
from concord.kit import caller
from concord.kit.errors import ConcordError, Denied, InvalidInput, NotFound, Refused, Unavailable

MOST_BYTES = 512_000
# Of 9: beyond it, bytes cost much time and save little.
COMPRESSION = 4
STATIC = Path(__file__).parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
SECURITY = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    # No address leaves this site; within it a form's origin must be said, which `no-referrer` would hide.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
STATUS: dict[type[ConcordError], int] = {Denied: 403, NotFound: 404, InvalidInput: 400, Refused: 409, Unavailable: 503}


@dataclass(frozen=True)
class Page:
    """One address: what it is for, and the function that answers."""

    method: str
    path: str
    action: str
    do: Callable[[Console, Asked], Response]

    @property
    def area(self) -> str:
        """Whose cookie it takes."""
        return "annotate" if self.action == roles.ANNOTATE else "runs"


ANNOTATE, RUN = "/annotate/{run_id}", "/runs/{run_id}"
PAGES = (
    Page("GET", ANNOTATE, roles.ANNOTATE, annotator.page),
    Page("GET", f"{ANNOTATE}/tasks", roles.ANNOTATE, annotator.tasks),
    Page("POST", f"{ANNOTATE}/answers", roles.ANNOTATE, annotator.answers),
    Page("POST", f"{ANNOTATE}/undo", roles.ANNOTATE, annotator.undo),
    Page("POST", f"{ANNOTATE}/extend", roles.ANNOTATE, annotator.extend),
    Page("POST", f"{ANNOTATE}/return", roles.ANNOTATE, annotator.give_back),
    Page("GET", "/runs", roles.WATCH, operator.runs),
    Page("GET", RUN, roles.WATCH, operator.run),
    Page("GET", f"{RUN}/live", roles.WATCH, operator.live),
    Page("GET", f"{RUN}/people", roles.WATCH, operator.people),
    Page("GET", f"{RUN}/letters", roles.WATCH, operator.letters),
    Page("GET", f"{RUN}/report", roles.WATCH, operator.report),
    Page("GET", f"{RUN}/pair", roles.WATCH, operator.pair),
    Page("POST", f"{RUN}/pause", roles.STEER, operator.pause),
    Page("POST", f"{RUN}/resume", roles.STEER, operator.resume),
    Page("POST", f"{RUN}/cancel", roles.STEER, operator.cancel),
    Page("POST", f"{RUN}/budget", roles.STEER, operator.budget),
    Page("POST", f"{RUN}/requeue", roles.STEER, operator.requeue),
    Page("POST", f"{RUN}/links", roles.ADMIT, operator.link),
    Page("POST", f"{RUN}/revoke", roles.ADMIT, operator.revoke),
)


class Secured:
    """Puts the headers on every answer that a browser is to keep to, where the answer has none of its own."""

    def __init__(self, app: ASGIApp, secure: bool) -> None:
        self._app = app
        self._headers = SECURITY | ({"strict-transport-security": "max-age=31536000"} if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def application(console: Console, pages: tuple[Page, ...] = PAGES) -> Starlette:
    """All pages over this console."""
    clock = time.monotonic
    people, addresses = Paces(*console.person_pace, clock), Paces(*console.address_pace, clock)
    routes = [
        Route("/", lambda request: RedirectResponse("/runs", 303)),
        Route("/health", lambda request: PlainTextResponse("ok")),
        Route("/enter/{token}", _entrance(console, addresses)),
        *(Route(page.path, _guarded(console, page, people, addresses), methods=[page.method]) for page in pages),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    secure = console.url.startswith("https:")
    middleware = [
        Middleware(Secured, secure=secure),
        Middleware(GZipMiddleware, minimum_size=800, compresslevel=COMPRESSION),
    ]
    handlers = {404: _lost(console), 405: _lost(console), Exception: _failed}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


def _guarded(console: Console, page: Page, people: Paces, addresses: Paces) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        holder: Holder | None = None
        try:
            peer = request.client.host if request.client else ""
            now = console.clock()
            if not addresses.take(peer) and request.cookies.get(f"concord-{page.area}") is None:
                return _too_often()
            holder = console.gate.holder(page.area, request.cookies, request.headers, peer, now)
            if not people.take(f"{holder.held.role}/{holder.held.name}/{holder.held.run_id}"):
                return _too_often()
            said = await _body(request) if page.method == "POST" else {}
            if page.method == "POST":
                _check_form(console, request, holder, said)
            return await run_in_threadpool(_done, console, page, request, holder, said)
        except ConcordError as error:
            return _refusal(console, request, holder, error)
        except ClientDisconnect:
            return Response(status_code=400)

    return answer


def _done(console: Console, page: Page, request: Request, holder: Holder, said: dict) -> Response:
    run_id = request.path_params.get("run_id", "")
    # Whoever may not look at the run does not hear whether there is one.
    check(holder.held, page.action, run_id, None)
    if run_id:
        check(holder.held, page.action, run_id, console.desk.view(run_id))
    with caller.acting_for(f"{holder.held.role}/{holder.held.alias}"):
        return page.do(console, Asked(request, holder, run_id, said))


async def _body(request: Request) -> dict:
    """The fields of a form, or a JSON object. Raises InvalidInput."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MOST_BYTES:
            raise InvalidInput(f"a request has at most {MOST_BYTES:,} bytes")
    try:
        text = raw.decode()
        if request.headers.get("content-type", "").partition(";")[0] == "application/x-www-form-urlencoded":
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100))
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput("the request is no JSON and no form") from None
    if not isinstance(said, dict):
        raise InvalidInput("a JSON object is expected")
    return said


def _check_form(console: Console, request: Request, holder: Holder, said: dict) -> None:
    """Raises Denied where no page of ours sent this."""
    origin = request.headers.get("origin")
    hosts = {request.headers.get("host", ""), urlsplit(console.url).netloc}
    token = request.headers.get("x-concord-form") or said.get("form", "")
    known = isinstance(token, str) and credentials.is_form_token(token, holder.key, console.gate.secret)
    if (origin and _place(origin) not in hosts) or not known:
        raise Denied("this was not sent by a page of ours; load the page anew")


def _place(origin: str) -> str | None:
    """Host and port of an origin; None: it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _entrance(console: Console, addresses: Paces) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            if not addresses.take(request.client.host if request.client else ""):
                return _too_often()
            return await run_in_threadpool(entrance.enter, console, request.path_params["token"])
        except ConcordError as error:
            return _refusal(console, request, None, error)

    return answer


def _refusal(console: Console, request: Request, holder: Holder | None, error: ConcordError) -> Response:
    """The error's status; its words on a page, or as JSON for a script."""
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    if status == 500:
        structlog.get_logger(service="console").error("a page failed", path=request.url.path, why=str(error))
    why = {500: texts.FAILED, 503: texts.AWAY}.get(status, str(error))
    if _wants_page(request.headers):
        head = {403: texts.DENIED, 404: texts.LOST}.get(status, texts.NAME)
        return console.page("said.html", holder, status, head=head, why=why, ask=texts.ASK if status == 403 else "")
    return JSONResponse({"why": why}, status)


def _wants_page(headers: Headers) -> bool:
    return "text/html" in headers.get("accept", "")


def _too_often() -> Response:
    return JSONResponse({"why": texts.TOO_OFTEN}, 429, {"retry-after": "1"})


def _lost(console: Console) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        if _wants_page(request.headers):
            return console.page("said.html", None, status, head=texts.LOST, why=texts.CUT, ask="")
        return JSONResponse({"why": texts.LOST}, status)

    return answer


def _failed(request: Request, error: Exception) -> Response:
    """A bug: its trace goes to the log, the caller hears that it is ours."""
    structlog.get_logger(service="console").error("a page failed", path=request.url.path, exc_info=error)
    return JSONResponse({"why": texts.FAILED}, 500)
