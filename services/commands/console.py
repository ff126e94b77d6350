"""`concord console` and `link`: the pages for annotators and operators; and the pages that stand beside a run."""

import getpass
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Annotated

import typer

from concord.client.results.records import is_whole
from concord.client.run import preflight, progress
from concord.client.run.voters import WEB
from concord.commands import flags, home
from concord.kit.errors import InvalidInput
from concord.kit.settings import Settings

# After the run's end, so that pages that are open hear of it; they ask every second and a half.
LINGER_S = 3.0
OPERATOR = "operator"
ALL = "all"
Role = Annotated[str, typer.Option(help="annotator, viewer, operator or admin.")]
Days = Annotated[float, typer.Option(help="How long the link lets anybody in.")]


def console(server: flags.Through = "") -> None:
    """Serve the pages for annotators and operators until you stop it; without --server the runs here go on meanwhile."""
    settings = home.opened()
    serving = _pages()
    with _door(settings, server) as door, serving.serving(settings, door) as made:
        operator = _entrance().link(made, "admin", _user(), "")
        progress.say(f"the pages: {made.url}; for you, for 30 days: {operator}")
        threading.Event().wait()


def link(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, `last`, or `all` runs.")],
    who: Annotated[
        str, typer.Argument(metavar="NAME[=SKILL,…]", help="Whom the link lets in; whoever has it is that person.")
    ],
    role: Role = "annotator",
    days: Days = 30.0,
    server: flags.Through = "",
) -> None:
    """Print a link to a run's pages for one person; the pages must be served with the same secret (CONCORD_CONSOLE_SECRET_FILE)."""
    import time

    from concord.console import roles
    from concord.console.secret import secret_of

    settings = home.opened()
    entrance = _entrance()
    if role not in roles.MAY:
        raise InvalidInput(f"--role {role}: one of {', '.join(roles.MAY)} is expected")
    if not 0 < days <= entrance.MOST_DAYS:
        raise InvalidInput(f"--days {days:g}: more than 0 and at most {entrance.MOST_DAYS:g} are expected")
    run_id = _run(settings, server, name)
    if role == "annotator" and not run_id:
        raise InvalidInput("an annotator's link is for one run; name it in the place of `all`")
    url = settings.console_url.rstrip("/") or f"http://{settings.console_listen}"
    print(entrance.link_of(url, secret_of(settings), role, who, run_id, time.time(), days))


def _run(settings: Settings, server: str, name: str) -> str:
    """The id that is meant; empty for `all`. An id in full is not looked up: the secret may lie where no run does."""
    if name == ALL:
        return ""
    if is_whole(name):
        return name
    with home.reading(settings, server) as records:
        return records.find(name)


def check_names(annotators: str, names: Sequence[str]) -> Sequence[str]:
    """Who gets a link; nobody where the run's people answer otherwise. Raises InvalidInput."""
    if annotators != WEB:
        if names:
            raise InvalidInput(f"--annotator {names[0]} needs the pages: --annotators web, not {annotators}")
        return ()
    _pages()
    whole = [name.strip() for name in names or [_user()]]
    found = [_entrance().person(name)[0] for name in whole]
    if len(set(found)) < len(found) or OPERATOR in found:
        raise InvalidInput(f"--annotator: each person needs a name of the own, and none is called {OPERATOR!r}")
    return whole


@contextmanager
def beside(
    run_id: str, settings: Settings, door: str, names: Sequence[str], say: Callable[[str], object]
) -> Iterator[None]:
    """The pages in front of `door` for as long as the block lasts, and a link for each of these; without names, nothing."""
    if not names:
        yield
        return
    pages, entrance = _pages(), _entrance()
    with pages.serving(_listening(settings), door) as made:
        people = {entrance.person(who)[0]: who for who in names}
        width = max(map(len, (*people, OPERATOR)))
        for name, who in people.items():
            say(f"  {name:{width}}  {entrance.link(made, 'annotator', who, run_id)}")
        say(f"  {OPERATOR:{width}}  {entrance.link(made, 'operator', OPERATOR, run_id)}")
        yield
        threading.Event().wait(LINGER_S)


def _listening(settings: Settings) -> Settings:
    """With a free port where nobody asked for one and the usual one is taken, by another run for one."""
    import socket

    if settings.console_listen != Settings.console_listen:
        return settings
    host, _, port = settings.console_listen.rpartition(":")
    try:
        socket.create_server((host, int(port))).close()
    except OSError:
        return replace(settings, console_listen=f"{host}:0")
    return settings


@contextmanager
def _door(settings: Settings, server: str) -> Iterator[str]:
    """The front door: somebody else's, one of its own beside the process that runs here, or all services in this process."""
    from concord.commands.door import door_alone, is_run_elsewhere
    from concord.embedded import embedded

    if server:
        preflight.check_address(server)
        yield server
    elif is_run_elsewhere(settings):
        with door_alone(settings) as address:
            yield address
    else:
        with embedded(settings) as running:
            yield running.address


def _pages() -> ModuleType:
    try:
        from concord.console import serving
    except ModuleNotFoundError as error:
        raise InvalidInput(f"{error}: the pages need the extra, pip install 'concord-preference[web]'") from None
    return serving


def _entrance() -> ModuleType:
    _pages()
    from concord.console import entrance

    return entrance


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise InvalidInput("who answers? Give names with --annotator NAME") from None
