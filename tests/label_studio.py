"""A stand-in for Label Studio: real HTTP on 127.0.0.1, and of its interface what is written down here, as version 1.23 has it.

Tokens (a legacy one, or a personal one that is traded for a short one), projects a page at a time, import, export with
annotations, deletion; annotations of a user's as its page makes them. It refuses what the real one refuses: another token, a
project's title that is too long, a task without what the labelling configuration names.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.threaded import served

LEGACY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL, SHORT = "head.body.signature", "short-lived"
LONGEST_TITLE = 50


@dataclass
class Stand:
    """What it holds, by number; may be looked at and changed while it runs."""

    url: str = ""
    projects: dict[int, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    # The request of this number, from 1, gets a status 500 after its work was done.
    fails_at: int = 0
    # Is told of each request before its work is done.
    hears: Callable[[str], None] = str
    lock: threading.Lock = field(default_factory=threading.Lock)
    last: int = 0

    def number(self) -> int:
        self.last += 1
        return self.last

    def annotate(self, task: int, user: int, *result: dict[str, Any], skipped: bool = False) -> int:
        """Somebody presses Submit, or Skip."""
        with self.lock:
            number = self.number()
            said = {
                "id": number,
                "completed_by": user,
                "result": list(result),
                "was_cancelled": skipped,
                "lead_time": 4.25,
            }
            self.tasks[task]["annotations"].append(said)
            return number


def side(name: str) -> dict[str, Any]:
    """What clicking on a side gives."""
    return {"from_name": "better", "to_name": "left,right", "type": "pairwise", "value": {"selected": name}}


def tie() -> dict[str, Any]:
    """What ticking `tie` gives."""
    return {"from_name": "otherwise", "to_name": "prompt", "type": "choices", "value": {"choices": ["tie"]}}


@contextmanager
def label_studio() -> Iterator[Stand]:
    """The stand-in, for as long as the block lasts."""
    stand = Stand()
    with served(_handler(stand)) as server:
        stand.url = f"http://127.0.0.1:{server.server_port}"
        yield stand


def _handler(stand: Stand) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def _do(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            said = json.loads(raw) if raw else None
            path = urlsplit(self.path)
            stand.hears(f"{self.command} {path.path}")
            with stand.lock:
                stand.asked.append(f"{self.command} {path.path}")
                status, body = _answer(stand, self.command, path.path, parse_qs(path.query), said, self.headers)
                if len(stand.asked) == stand.fails_at:
                    status, body = 500, {"detail": "database is locked"}
            answer = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_DELETE = _do

    return Handler


def _answer(stand: Stand, method: str, path: str, query: dict, said: Any, headers: Any) -> tuple[int, Any]:
    if (method, path) == ("POST", "/api/token/refresh"):
        return (200, {"access": SHORT}) if said == {"refresh": PERSONAL} else (401, {"detail": "Token is invalid"})
    if headers.get("authorization") not in (f"Token {LEGACY}", f"Bearer {SHORT}"):
        return 401, {"detail": "Invalid token."}
    if (method, path) == ("GET", "/api/projects/"):
        page, size = int(query["page"][0]), int(query["page_size"][0])
        all_ = [stand.projects[number] for number in sorted(stand.projects, reverse=True)]
        return 200, {"count": len(all_), "results": all_[(page - 1) * size : page * size]}
    if (method, path) == ("POST", "/api/projects/"):
        if len(said["title"]) > LONGEST_TITLE:
            return 400, {"validation_errors": {"title": ["Ensure this field has no more than 50 characters."]}}
        number = stand.number()
        stand.projects[number] = {"id": number, **said}
        return 201, stand.projects[number]
    if found := re.fullmatch(r"/api/projects/(\d+)/(import|export)", path):
        project = stand.projects.get(int(found[1]))
        if project is None:
            return 404, {"detail": "Not found."}
        return _import(stand, project, said) if found[2] == "import" else _export(stand, project)
    if found := re.fullmatch(r"/api/tasks/(\d+)/", path):
        task = stand.tasks.get(int(found[1]))
        if task is None:
            return 404, {"detail": "Not found."}
        if method == "DELETE":
            del stand.tasks[task["id"]]
        return (204, None) if method == "DELETE" else (200, task)
    return 404, {"detail": "Not found."}


def _import(stand: Stand, project: dict, said: list[dict]) -> tuple[int, Any]:
    wanted = set(re.findall(r'value="\$(\w+)"', project["label_config"]))
    for task in said:
        if missing := wanted - {key for key, value in task["data"].items() if value}:
            return 400, {"detail": f"data keys {sorted(missing)} are expected"}
    for task in said:
        number = stand.number()
        made = {"id": number, "project": project["id"], "data": task["data"], "annotations": [], "drafts": []}
        stand.tasks[number] = made
    return 201, {"task_count": len(said)}


def _export(stand: Stand, project: dict) -> tuple[int, Any]:
    return 200, [task for task in stand.tasks.values() if task["project"] == project["id"]]
