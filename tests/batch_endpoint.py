"""The test endpoint with `/v1/files` and `/v1/batches` beside it: requests handed in together, answered when the test says so.

Files and batches have the forms that OpenAI documents and others follow. A batch stays `in_progress` until `finish`, which
answers each line as the live endpoint would have answered it.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.endpoint import Endpoint

JSON_LINES = "application/jsonl"


@dataclass
class Batch:
    """One batch as the endpoint holds it."""

    id: str
    input_file_id: str
    metadata: dict[str, str]
    status: str = "in_progress"
    output_file_id: str | None = None
    error_file_id: str | None = None
    lines: int = 0
    answered: int = 0
    failed: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        counts = {"total": self.lines, "completed": self.answered, "failed": self.failed}
        ids = {name: getattr(self, name) for name in ("input_file_id", "output_file_id", "error_file_id")}
        whole = {"id": self.id, "object": "batch", "status": self.status, "metadata": self.metadata, **ids}
        return {**whole, "request_counts": counts, "errors": {"data": self.errors} if self.errors else None}


class BatchEndpoint(Endpoint):
    """`async with BatchEndpoint() as endpoint`; what it was handed stands in `batches`."""

    def __init__(self, **behaviour: Any) -> None:
        super().__init__(**behaviour)
        self.files: dict[str, str] = {}
        self.batches: list[Batch] = []
        # Answers of a batch that finishes by itself at the first look, so that a whole run needs no hand.
        self.at_once = False
        self.has_batches = True
        # Batches that were under way together, at most.
        self.most_waiting = 0
        # So many lines of each batch are left out of what comes back.
        self.lost = 0

    def routes(self, app: web.Application) -> None:
        super().routes(app)
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files/{id}/content", self._content)
        app.router.add_post("/v1/batches", self._create)
        app.router.add_get("/v1/batches", self._list)
        app.router.add_get("/v1/batches/{id}", self._show)
        app.router.add_post("/v1/batches/{id}/cancel", self._cancel)

    async def _upload(self, request: web.Request) -> web.Response:
        if not self.has_batches:
            raise web.HTTPNotFound(text="not here")
        form = await request.post()
        assert form["purpose"] == "batch"
        name = f"file-{len(self.files)}"
        self.files[name] = form["file"].file.read().decode()
        return web.json_response({"id": name, "object": "file", "purpose": "batch"})

    async def _create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert asked["endpoint"] == "/v1/chat/completions" and asked["completion_window"] == "24h"
        lines = self.files[asked["input_file_id"]].splitlines()
        made = Batch(
            f"batch-{len(self.batches)}", asked["input_file_id"], asked.get("metadata") or {}, lines=len(lines)
        )
        self.batches.append(made)
        return web.json_response(made.shown())

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "data": [made.shown() for made in reversed(self.batches)], "has_more": False}
        )

    async def _show(self, request: web.Request) -> web.Response:
        made = self._of(request)
        # All of them are there before the first is answered.
        waiting = sum(other.status == "in_progress" for other in self.batches)
        self.most_waiting = max(self.most_waiting, waiting)
        if self.at_once and made.status == "in_progress":
            self.finish(made)
        return web.json_response(made.shown())

    async def _cancel(self, request: web.Request) -> web.Response:
        made = self._of(request)
        made.status = "cancelled"
        return web.json_response(made.shown())

    async def _content(self, request: web.Request) -> web.Response:
        return web.Response(text=self.files[request.match_info["id"]], content_type=JSON_LINES)

    def _of(self, request: web.Request) -> Batch:
        found = next((made for made in self.batches if made.id == request.match_info["id"]), None)
        if found is None:
            raise web.HTTPNotFound(text="no such batch")
        return found

    def finish(self, made: Batch, status: str = "completed") -> None:
        """Answers the batch's lines, the last `lost` of them excepted, in an order of its own."""
        lines = [json.loads(line) for line in self.files[made.input_file_id].splitlines()]
        answered = lines[: max(0, len(lines) - self.lost)]
        out = [self._line(line) for line in reversed(answered)]
        made.output_file_id = f"file-{len(self.files)}"
        self.files[made.output_file_id] = "".join(json.dumps(line) + "\n" for line in out)
        made.status, made.answered, made.failed = status, len(answered), self.lost

    def _line(self, line: dict[str, Any]) -> dict[str, Any]:
        assert line["method"] == "POST" and line["url"] == "/v1/chat/completions"
        body = line["body"]
        self.paid[line["custom_id"]] += 1
        said = self._completion(body, body["messages"][0]["content"], False)
        return {
            "id": "r",
            "custom_id": line["custom_id"],
            "response": {"status_code": 200, "body": said},
            "error": None,
        }
