"""Label Studio's HTTP interface, as little of it as is needed: a project, its tasks, and what was annotated."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from concord.kit.errors import InvalidInput, Refused, Unavailable

ASK_S = 60.0
# Taking a project in or giving it out whole may take so long.
LARGE_S = 600.0
PAGE = 100
# Tasks in one request; it takes far more, but an answer that comes late is asked for again.
AT_ONCE = 500
MOST_BYTES = 2_000_000_000


class LabelStudio:
    """One server, spoken to as the user whose token it is."""

    def __init__(self, url: str, token: str) -> None:
        """`token`: a legacy token, or a personal access token, which is traded for a short one first. Raises InvalidInput,
        Refused, Unavailable."""
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise InvalidInput(f"{url}: the address of a Label Studio is expected, such as http://localhost:8080")
        self._url, self._authorization = url.rstrip("/"), f"Token {token}"
        if token.count(".") == 2:
            self._authorization = ""
            self._authorization = f"Bearer {self._ask('POST', '/api/token/refresh', {'refresh': token})['access']}"

    def find_project(self, title: str) -> int | None:
        """The number of the project with this title, if there is one."""
        page = 1
        while True:
            said = self._ask("GET", f"/api/projects/?page={page}&page_size={PAGE}")
            for one in said["results"]:
                if one["title"] == title:
                    return int(one["id"])
            if page * PAGE >= said["count"]:
                return None
            page += 1

    def make_project(self, said: Mapping[str, Any]) -> int:
        """A new project; its number."""
        return int(self._ask("POST", "/api/projects/", said)["id"])

    def add_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> int:
        """Puts tasks in; how many it took."""
        return sum(
            int(self._ask("POST", f"/api/projects/{project}/import", tasks[at : at + AT_ONCE], LARGE_S)["task_count"])
            for at in range(0, len(tasks), AT_ONCE)
        )

    def tasks(self, project: int) -> Iterator[Mapping[str, Any]]:
        """All of its tasks with what was annotated on them."""
        path = f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true"
        yield from self._ask("GET", path, None, LARGE_S)

    def task(self, number: int) -> Mapping[str, Any] | None:
        """One task as it is now, with what was annotated on it; None: it is gone."""
        with suppress(Missing):
            return self._ask("GET", f"/api/tasks/{number}/")
        return None

    def delete_task(self, number: int) -> None:
        """Takes a task out; one that is gone already is gone."""
        with suppress(Missing):
            self._ask("DELETE", f"/api/tasks/{number}/")

    def _ask(self, method: str, path: str, said: Any = None, timeout_s: float = ASK_S) -> Any:
        """The answer as JSON; None where it is empty."""
        body = None if said is None else json.dumps(said).encode()
        request = urllib.request.Request(self._url + path, body, method=method)
        if self._authorization:
            request.add_header("authorization", self._authorization)
        if body is not None:
            request.add_header("content-type", "application/json")
        try:
            with _opener().open(request, timeout=timeout_s) as answer:
                raw = answer.read(MOST_BYTES)
            return json.loads(raw) if raw.strip() else None
        except urllib.error.HTTPError as error:
            raise self._refusal(method, path, error) from None
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise Unavailable(
                f"Label Studio at {self._url} does not answer: {reason}; the same command goes on later"
            ) from None
        except ValueError:
            raise Refused(
                f"{self._url}{path}: Label Studio's interface answers with JSON, and this is none; is it the right address?"
            ) from None

    def _refusal(self, method: str, path: str, error: urllib.error.HTTPError) -> Exception:
        said = error.read(2_000).decode(errors="replace")[:300]
        if error.code in (401, 403):
            return Refused(f"Label Studio at {self._url} does not take this token (status {error.code}): {said}")
        if error.code == 404:
            return Missing(f"{method} {self._url}{path}: not there (status 404)")
        if error.code >= 500 or error.code == 429:
            return Unavailable(f"{method} {self._url}{path}: status {error.code}; the same command goes on later")
        return Refused(f"{method} {self._url}{path}: status {error.code}: {said}")


class Missing(Refused):
    """What was asked for is not there."""


class _Stays(urllib.request.HTTPRedirectHandler):
    """A token is sent to the address that was named, and to no other."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            raise urllib.error.HTTPError(newurl, code, "leads to another address", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Stays)
