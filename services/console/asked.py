"""What a page's function is given, and what it may use. A function takes both and returns a response; it runs in a thread."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse

from concord.console import roles, texts
from concord.console.book import Book
from concord.console.credentials import Pass, form_token
from concord.console.desk import Desk
from concord.console.gate import Gate, Holder
from concord.kit.plural import many


def _templates() -> Environment:
    # Everything is escaped that is not marked as safe by the sanitiser's own output.
    made = Environment(
        loader=PackageLoader("concord.console", "pages"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    made.globals.update(texts=texts, t=texts.PAGE, may=roles.may, many=many)
    return made


# Requests a second and at once. A page that keeps up with a fast person asks about three times a second.
PERSON_PACE, ADDRESS_PACE = (20.0, 100.0), (20.0, 200.0)


@dataclass(frozen=True)
class Console:
    """What stands behind the pages."""

    desk: Desk
    gate: Gate
    # Where links lead: SCHEME://HOST:PORT without a slash at the end.
    url: str
    # Whose a pseudonym is.
    book: Book
    clock: Callable[[], float] = time.time
    # Seconds for which the last answer can be taken back before it is handed in.
    hold_s: float = 10.0
    # Of one person, and of one address without a pass.
    person_pace: tuple[float, float] = PERSON_PACE
    address_pace: tuple[float, float] = ADDRESS_PACE
    templates: Environment = field(default_factory=_templates)

    def page(self, name: str, holder: Holder | None, status: int = 200, **said: object) -> HTMLResponse:
        """A template's page, with the token that its forms send back."""
        form = form_token(holder.key, self.gate.secret) if holder else ""
        known = {"form": form, "holder": holder, "name_of": self.book.name_of}
        return HTMLResponse(self.templates.get_template(name).render(**known, **said), status)


@dataclass(frozen=True)
class Asked:
    """One request, after it was let in."""

    request: Request
    holder: Holder
    run_id: str
    # The fields of a form, or the members of a JSON object; empty for a GET.
    said: Mapping[str, Any]

    @property
    def held(self) -> Pass:
        """Who asks: from the pass, never from a field."""
        return self.holder.held

    @property
    def who(self) -> str:
        """The pseudonym under which whoever asks annotates: no name goes to the services."""
        return self.held.alias

    def text(self, name: str, most: int = 2_000) -> str:
        """A field as a text, shortened to what may be."""
        value = self.said.get(name, "")
        return value[:most].strip() if isinstance(value, str) else ""
