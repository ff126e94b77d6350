"""How one comes in: a signed link is read once and becomes a cookie; links are made here as well."""

from starlette.responses import RedirectResponse, Response

from concord.console import credentials, gate
from concord.console.asked import Console
from concord.console.credentials import Pass
from concord.kit.errors import Denied
from concord.preference.skills import skills_of

DAY_S = 86_400.0
DAYS = 30.0
MOST_DAYS = 400.0


def place(held: Pass) -> tuple[str, str]:
    """(area, path of its pages) that a pass opens."""
    if held.role == "annotator":
        return "annotate", f"/annotate/{held.run_id}"
    return "runs", f"/runs/{held.run_id}" if held.run_id else "/runs"


def link(console: Console, role: str, who: str, run_id: str, days: float = DAYS) -> str:
    """A link that lets this person in, see `person`. Raises InvalidInput."""
    return link_of(console.url, console.gate.secret, role, who, run_id, console.clock(), days)


def person(who: str) -> tuple[str, tuple[str, ...]]:
    """(name, skills) of `NAME` or `NAME=SKILL,SKILL`. Raises InvalidInput."""
    # A name may begin with one.
    at = who.find("=", 1)
    name, skills = (who[:at], who[at + 1 :]) if at > 0 else (who, "")
    return credentials.check_name(name.strip()), tuple(skills_of(skills.split(","), f"skills of {name.strip()}"))


def link_of(url: str, secret: bytes, role: str, who: str, run_id: str, now: float, days: float = DAYS) -> str:
    """The same without a console: whoever holds the secret may make one."""
    name, skills = person(who)
    held = Pass(role, name, run_id, now, now + days * DAY_S, skills)
    return f"{url}/enter/{credentials.sign(held, secret)}"


def enter(console: Console, token: str) -> Response:
    """The pass becomes a cookie for its own pages alone, and leaves the address bar. Raises Denied."""
    now = console.clock()
    held = credentials.read(token, console.gate.secret, now)
    if held.role == "annotator" and not held.run_id:
        raise Denied("an annotator's link is for one run")
    if held.run_id:
        action = "annotate" if held.role == "annotator" else "watch"
        gate.check(held, action, held.run_id, console.desk.view(held.run_id))
    if held.role == "annotator":
        console.book.note(held.alias, held.name)
    area, path = place(held)
    answer = RedirectResponse(path, 303)
    answer.set_cookie(
        gate.COOKIE[area],
        token,
        max_age=int(held.expires - now),
        path=path,
        secure=console.url.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
    return answer
