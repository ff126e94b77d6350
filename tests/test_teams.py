"""Runs belong to teams, with quotas and judge keys of their own; a refusal names the team, the quota and what is used."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import grpc
import pytest
import yaml

from concord.client.run import options
from concord.commands.door import door_alone
from concord.embedded import embedded
from concord.kit import rpc
from concord.kit.errors import Denied, InvalidInput, Refused
from concord.runs import service, teams
from concord.runs.teams import Team
from concord.v1 import runs_service_pb2 as pb
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import Usage
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from tests.test_doctor import settings_in
from tests.test_services import new_run

TABLE = teams.parsed(
    yaml.safe_load(
        """
        teams:
          red: {members: [operator/ann, operator/bob], dollars: 100, runs: 2, keys: [RED_KEY]}
          blue: {members: [operator/bob, operator/eve]}
          open:
        """
    ),
    "teams.yaml",
)


def run(
    name: str, team: str = "red", status=pb.RUN_STATUS_RUNNING, granted: float = 0.0, spent: float = 0.0
) -> pb.RunView:
    config = RunConfig(team=team)
    return pb.RunView(run_id=name, config=config, status=status, dollar_budget=granted, usage=Usage(dollars=spent))


def test_a_table_is_read_with_its_defaults():
    assert TABLE["red"] == Team("red", ("operator/ann", "operator/bob"), 100.0, 2, ("RED_KEY",))
    assert TABLE["open"] == Team("open")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "`teams:` and under it"),
        ({"teams": []}, "`teams:` and under it"),
        ({"teams": {"red": {"monney": 1}}}, "team 'red': there is no 'monney'; members, dollars"),
        ({"teams": {"red": []}}, "team 'red': members, dollars"),
        ({"teams": {"red": {"dollars": "many"}}}, "dollars is 'many'"),
        ({"teams": {"red": {"dollars": float("nan")}}}, "dollars is nan"),
        ({"teams": {"red": {"runs": -1}}}, "runs is -1"),
        ({"teams": {"red": {"runs": True}}}, "runs is True"),
        ({"teams": {"red": {"keys": "RED_KEY"}}}, "keys are a list of names"),
        ({"teams": {"red": {"members": [3]}}}, "members are a list of names"),
    ],
)
def test_a_table_that_cannot_be_is_refused_with_team_and_field(said, words):
    with pytest.raises(InvalidInput, match=f"teams.yaml.*{words}"):
        teams.parsed(said, "teams.yaml")


def test_a_run_is_of_the_team_that_is_named_or_of_its_creators_only_one():
    assert teams.chosen(TABLE, "", "operator/ann") == "red"
    assert teams.chosen(TABLE, "blue", "operator/bob") == "blue"
    assert teams.chosen(TABLE, "open", "") == "open"
    assert teams.chosen(TABLE, "red", "admin/root") == "red"
    assert teams.chosen({}, "", "operator/ann") == ""
    for asked, actor, error, words in (
        ("", "operator/bob", InvalidInput, "yours are red, blue"),
        ("", "", InvalidInput, "there are red, blue, open"),
        ("green", "operator/ann", InvalidInput, "no team 'green'"),
        ("red", "operator/eve", Denied, "operator/eve is not of team 'red'"),
        ("red", "", Denied, "without a certificate is not of team 'red'"),
        ("red", "administrator/x", Denied, "is not of team"),
    ):
        with pytest.raises(error, match=words):
            teams.chosen(TABLE, asked, actor)
    with pytest.raises(InvalidInput, match="knows no teams"):
        teams.chosen({}, "red", "")


def test_a_run_too_many_is_refused_with_those_under_way():
    under_way = [run("11111111-1"), run("22222222-2", status=pb.RUN_STATUS_PAUSED), run("x", "blue")]
    with pytest.raises(Refused, match=r"'red' has 2 runs under way and may have 2: 11111111, 22222222"):
        teams.check_quota(TABLE["red"], under_way, 1.0)
    teams.check_quota(TABLE["red"], [*under_way[1:], run("y", status=pb.RUN_STATUS_FINISHED)], 1.0)
    teams.check_quota(TABLE["blue"], under_way, 0.0)


def test_dollars_are_what_was_spent_and_what_those_under_way_may_spend():
    others = [run("a", granted=50, spent=20), run("b", status=pb.RUN_STATUS_CANCELLED, granted=90, spent=30)]
    teams.check_quota(TABLE["red"], others, 20.0)
    with pytest.raises(
        Refused, match=r"may spend \$100.00: \$80.00 are spent .* 2 runs.*\$20.01 more.*\$20.00 are left"
    ):
        teams.check_quota(TABLE["red"], others, 20.01)
    # A larger budget of a run counts instead of the one that it had, and starts no run.
    teams.check_quota(TABLE["red"], others, 70.0, but="a")
    with pytest.raises(Refused, match=r"\$70.01 more"):
        teams.check_quota(TABLE["red"], others, 70.01, but="a")
    with pytest.raises(Refused, match="need a limit of their own"):
        teams.check_quota(TABLE["red"], [], 0.0)


def test_a_teams_key_is_no_other_teams_and_a_team_with_keys_uses_no_others():
    def config(key: str, helper: str = "") -> RunConfig:
        return RunConfig(judge=JudgeConfig(api_key_env=key), helpers=[JudgeConfig(api_key_env=helper)])

    teams.check_keys(TABLE, "red", config("RED_KEY"))
    teams.check_keys(TABLE, "blue", config("ANY", ""))
    for own, key, helper, words in (
        ("blue", "RED_KEY", "", "RED_KEY is not team 'blue'"),
        ("blue", "", "RED_KEY", "RED_KEY is not team 'blue'"),
        ("red", "ANY", "", "ANY is none of them"),
    ):
        with pytest.raises(Denied, match=words):
            teams.check_keys(TABLE, own, config(key, helper))


def test_the_front_door_refuses_beyond_the_quota_and_records_the_team(tmp_path):
    file = tmp_path / "teams.yaml"
    file.write_text("teams: {red: {runs: 1, dollars: 10}}\n")
    with (
        embedded(replace(settings_in(tmp_path / "home"), teams_file=str(file))) as running,
        rpc.channel(running.address) as channel,
    ):
        runs = RunServiceStub(channel)

        def create(name: str, **more: object) -> pb.RunView:
            config = options.run_config(options.resolve({"judge": "sample", **more}), None)
            asked = pb.CreateRunRequest(run_id=new_run(name), config=config, input_sha256="0" * 64, input_name="x")
            return runs.CreateRun(asked).run

        with pytest.raises(grpc.RpcError) as nobody:
            create("none")
        assert nobody.value.code() is grpc.StatusCode.INVALID_ARGUMENT and "there are red" in nobody.value.details()
        first = create("first", team="red", dollars=6.0)
        assert first.config.team == "red"
        # The same command again is the same run, and no second one.
        assert create("first", team="red", dollars=6.0).run_id == first.run_id
        with pytest.raises(grpc.RpcError) as many:
            create("second", team="red", dollars=1.0)
        assert many.value.code() is grpc.StatusCode.FAILED_PRECONDITION and first.run_id[:8] in many.value.details()
        with pytest.raises(grpc.RpcError) as dear:
            runs.SetBudget(pb.SetBudgetRequest(run_id=first.run_id, request_id="1", dollar_budget=11.0))
        assert "'red' may spend $10.00" in dear.value.details()


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for text in ("teams: [", None):
        path = tmp_path / "teams.yaml"
        path.unlink(missing_ok=True)
        if text:
            path.write_text(text)
        with pytest.raises(InvalidInput, match=f"CONCORD_TEAMS_FILE={path}: cannot be read"):
            service.read_teams(str(path))


@pytest.mark.parametrize(("most", "dollars", "each"), [(1, 0, 0), (3, 0, 0), (0, 10, 4)])
def test_of_any_number_of_runs_that_begin_at_once_as_many_are_let_in_as_the_quota_has_room_for(
    tmp_path, most, dollars, each
):
    file = tmp_path / "teams.yaml"
    file.write_text(f"teams: {{red: {{runs: {most}, dollars: {dollars}}}}}\n")
    config = options.run_config(options.resolve({"judge": "sample"}), None)
    config.team, config.dollar_budget = "red", each

    def create(at: int) -> str:
        asked = pb.CreateRunRequest(run_id=new_run(f"at once {most} {dollars} {at}"), config=config)
        try:
            runs.CreateRun(asked)
        except grpc.RpcError as error:
            return error.code().name
        return "begun"

    with (
        embedded(replace(settings_in(tmp_path / "home"), teams_file=str(file))) as running,
        rpc.channel(running.address) as channel,
        ThreadPoolExecutor(8) as people,
    ):
        runs = RunServiceStub(channel)
        came = Counter(people.map(create, range(8)))
        room = most or dollars // each
        assert came == {"begun": room, "FAILED_PRECONDITION": 8 - room}
        assert len(runs.ListRuns(pb.ListRunsRequest()).runs) == room


def test_the_door_of_one_command_knows_the_teams_too(tmp_path):
    """`concord budget` beside services that run elsewhere opens a door of its own, which must not be a way round the quota."""
    file = tmp_path / "teams.yaml"
    file.write_text("teams: {red: {runs: 1, dollars: 10}}\n")
    settings = replace(settings_in(tmp_path / "home"), teams_file=str(file))
    with embedded(settings), door_alone(settings) as address, rpc.channel(address) as channel:
        runs = RunServiceStub(channel)
        config = options.run_config(options.resolve({"judge": "sample", "team": "red", "dollars": 6.0}), None)
        run_id = new_run("by the door of a command")
        runs.CreateRun(pb.CreateRunRequest(run_id=run_id, config=config, input_sha256="0" * 64, input_name="x"))
        with pytest.raises(grpc.RpcError) as dear:
            runs.SetBudget(pb.SetBudgetRequest(run_id=run_id, request_id="1", dollar_budget=11.0))
        assert "'red' may spend $10.00" in dear.value.details()
