"""Teams: whose a run is, what they may spend and have under way at once, and which judge keys are theirs. Pure.

    teams:
      red: {members: [operator/ann, operator/bob], dollars: 500, runs: 3, keys: [RED_KEY]}
      blue: {members: [operator/eve], runs: 10}

`members` are callers as certificates name them; a team without any is open to whoever names it. `dollars`: over all of its runs,
spent and, of those under way, granted. `keys`: variables that this team's runs may name for a judge, and nobody else's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from concord.kit.errors import Denied, InvalidInput, Refused
from concord.kit.plural import many
from concord.v1.config_pb2 import RunConfig
from concord.v1.runs_service_pb2 import RUN_STATUS_CANCELLED, RUN_STATUS_FINISHED, RunView

ENDED = (RUN_STATUS_FINISHED, RUN_STATUS_CANCELLED)
FIELDS = ("members", "dollars", "runs", "keys")
# So many of a team's runs are named in a refusal.
MOST_NAMED = 5


@dataclass(frozen=True)
class Team:
    """One team; 0 dollars, 0 runs: no limit; no keys: those that are no team's."""

    name: str
    members: tuple[str, ...] = ()
    dollars: float = 0.0
    runs: int = 0
    keys: tuple[str, ...] = ()


Teams = Mapping[str, Team]


def parsed(said: Any, where: str) -> Teams:
    """The table as a YAML document has it. Raises InvalidInput that names `where`, the team and the field."""
    if not isinstance(said, dict) or set(said) != {"teams"} or not isinstance(said["teams"], dict):
        raise InvalidInput(f"{where}: `teams:` and under it a line for each team are expected, and nothing else")
    return {str(name): _team(str(name), fields, where) for name, fields in said["teams"].items()}


def _team(name: str, said: Any, where: str) -> Team:
    fields = {} if said is None else said
    if not isinstance(fields, dict) or (unknown := set(fields) - set(FIELDS)):
        odd = f"there is no {', '.join(map(repr, sorted(map(str, unknown))))}; " if isinstance(fields, dict) else ""
        raise InvalidInput(f"{where}: team {name!r}: {odd}{', '.join(FIELDS)} are known")
    for field in ("members", "keys"):
        if not all(isinstance(one, str) and one for one in _listed(fields.get(field, []), name, field, where)):
            raise InvalidInput(f"{where}: team {name!r}: {field} are a list of names")
    for field, kind in (("dollars", int | float), ("runs", int)):
        value = fields.get(field, 0)
        # Written so that NaN is refused as well; true is no number.
        if isinstance(value, bool) or not isinstance(value, kind) or not 0 <= value <= 1e9:
            raise InvalidInput(
                f"{where}: team {name!r}: {field} is {value!r}; a number from 0 (no limit) to 1e9 is expected"
            )
    return Team(
        name,
        tuple(fields.get("members", [])),
        float(fields.get("dollars", 0)),
        fields.get("runs", 0),
        tuple(fields.get("keys", [])),
    )


def _listed(value: Any, name: str, field: str, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidInput(f"{where}: team {name!r}: {field} are a list of names")
    return value


def chosen(teams: Teams, asked: str, actor: str) -> str:
    """The team of a run that this caller begins; empty where there are no teams. `actor`: empty where nobody knows who calls.

    Raises InvalidInput for a team that is none, Denied for one that is not the caller's.
    """
    if not teams:
        if asked:
            raise InvalidInput(f"team {asked[:60]!r}: this installation knows no teams (CONCORD_TEAMS_FILE)")
        return ""
    mine = [name for name, team in teams.items() if actor and actor in team.members]
    if not asked:
        if len(mine) == 1:
            return mine[0]
        which = f"yours are {', '.join(mine)}" if mine else f"there are {', '.join(teams)}"
        raise InvalidInput(f"whose run is it? Name a team (team: NAME in --config); {which}")
    if asked not in teams:
        raise InvalidInput(f"there is no team {asked[:60]!r}; there are {', '.join(teams)}")
    if teams[asked].members and asked not in mine and actor.partition("/")[0] != "admin":
        raise Denied(f"{actor or 'a caller without a certificate'} is not of team {asked!r}")
    return asked


def check_keys(teams: Teams, own: str, config: RunConfig) -> None:
    """Raises Denied where a judge's key is another team's, or not among those that this team has."""
    for judge in (config.judge, *config.helpers, *config.generators):
        key = judge.api_key_env
        if not key:
            continue
        holders = [name for name, team in teams.items() if key in team.keys]
        if holders and own not in holders:
            raise Denied(
                f"the judge key {key} is not team {own!r}'s; its own are {', '.join(teams[own].keys) or 'none'}"
            )
        if own and teams[own].keys and not holders:
            raise Denied(
                f"team {own!r} has judge keys of its own ({', '.join(teams[own].keys)}), and {key} is none of them"
            )


def check_quota(team: Team, views: Iterable[RunView], dollars: float, but: str = "") -> None:
    """Raises Refused, naming team, quota and what is used, where a run with this budget would be one too many or too dear.

    `views`: all runs; `but`: the run that it is, if it exists: its own budget is what changes.
    """
    own = [view for view in views if view.config.team == team.name and view.run_id != but]
    active = [view for view in own if view.status not in ENDED]
    if team.runs and not but and len(active) >= team.runs:
        raise Refused(
            f"team {team.name!r} has {many(len(active), 'run')} under way and may have {team.runs:,}: {_named(active)}; wait for "
            "one to end, or `concord cancel` one"
        )
    if not team.dollars:
        return
    if not dollars:
        raise Refused(
            f"team {team.name!r} may spend ${team.dollars:,.2f}: its runs need a limit of their own (--dollars)"
        )
    used = sum(spoken_for(view) for view in own)
    if used + dollars > team.dollars:
        raise Refused(
            f"team {team.name!r} may spend ${team.dollars:,.2f}: ${used:,.2f} are spent or granted to its {many(len(own), 'run')}, "
            f"and ${dollars:,.2f} more are too many; ${max(0.0, team.dollars - used):,.2f} are left"
        )


def spoken_for(view: RunView) -> float:
    """Dollars: what an ended run spent; of one under way its limit, or what it spent where that is more."""
    return view.usage.dollars if view.status in ENDED else max(view.usage.dollars, view.dollar_budget)


def _named(views: Sequence[RunView]) -> str:
    more = f" and {len(views) - MOST_NAMED:,} more" if len(views) > MOST_NAMED else ""
    return ", ".join(view.run_id[:8] for view in views[:MOST_NAMED]) + more
