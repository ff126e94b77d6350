"""Criteria are looked at where people overruled the judge, and revised ones are measured on those pairs."""

import json
from collections.abc import Sequence

import pytest

from concord.client.results import criteria, criteria_text
from concord.commands.criteria import wanted
from concord.kit.errors import InvalidInput
from concord.report.disagreement import Answered, answered, cases, groups, overruled_of
from concord.report.history import read_history
from concord.report.paired import paired, sign_test
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import Event, Stage, Usage
from concord.v1.pairs_pb2 import Choice, PairShard
from concord.v1.work_pb2 import Work
from tests.judged_run import endpoint
from tests.small_run import config_of, small_run
from tests.test_cli import concord
from tests.the_sample import jsonl

LEFT = small_run()
HISTORY = read_history(LEFT.events, LEFT.blobs.get)
FOUND = answered(HISTORY, LEFT.blobs.get)


def test_the_pairs_are_those_that_people_decided_with_the_texts_that_they_saw():
    decided = {answer.pair: answer.choice for answer in HISTORY.answers if answer.decided}
    assert {one.index: one.people for one in FOUND} == decided
    assert all(one.pair.pair_id == f"small-{one.index:04}" for one in FOUND)
    assert any(one.comment for one in FOUND) and any(one.drawn for one in FOUND)


def test_the_groups_of_each_kind_hold_every_judged_pair_once():
    share = overruled_of(FOUND)
    made = groups(FOUND)
    assert {"length", "confidence", "order"} <= set(made) and "domain" not in made, "all have one domain"
    for shares in made.values():
        assert sum(group.overruled.of for group in shares) == share.of
        assert sum(group.overruled.count for group in shares) == share.count == len(cases(FOUND))


def test_the_judge_that_likes_padding_is_found_to_be_overruled_where_it_chose_the_longer():
    shares = {group.name: group.overruled.share for group in groups(FOUND)["length"]}
    assert shares["it chose the longer"] > shares["it chose the shorter"]


def test_at_the_gate_the_pilots_answers_are_there_already():
    stopped = small_run(config_of(pilot=20, human_budget=80), judge_inverted=True)
    history = read_history(stopped.events, stopped.blobs.get)
    assert "people agree with the judge" in history.events[-1][0].run_paused.detail
    found = answered(history, stopped.blobs.get)
    assert found and all(one.drawn for one in found) and overruled_of(found).share > 0.5


def test_the_account_names_criteria_shares_and_the_surest_cases_first():
    told = list(criteria_text.account(HISTORY, FOUND, most=2))
    assert told[1] == "criteria: none of its own" and "overruled the judge on" in told[2]
    shown = [line for line in told if line.startswith("pair ")]
    assert len(shown) == 2 and f"pair {cases(FOUND)[0].pair.pair_id}: " in shown[0]
    assert told[-1].startswith("… and ")


# ── other criteria ──────────────────────────────────────────────────────────────────────────────────────────────────


def perfect(work: Work) -> Event:
    """A judge that says what the truth is, on just the pairs that it is asked about."""
    event = Event()
    for index in work.label_shard.pair_indexes:
        event.shard_labeled.pair_index.append(index)
        event.shard_labeled.choice.append(LEFT.truth[index])
    return event


def events_of(do=perfect) -> list[Event]:
    return [event for event, _ in criteria.asked_again(HISTORY, config_of(), FOUND, do)]


def test_the_judge_is_asked_about_these_pairs_alone_from_the_shards_that_hold_them():
    asked: list[Work] = []
    events_of(lambda work: asked.append(work) or Event())
    assert [index for work in asked for index in work.label_shard.pair_indexes] == [one.index for one in FOUND]
    for work in asked:
        held = {
            shard.first_index + at
            for shard in map(PairShard.FromString, map(LEFT.blobs.get, work.label_shard.shard_uris))
            for at in range(len(shard.pairs))
        }
        assert set(work.label_shard.pair_indexes) <= held and work.unit.stage == Stage.STAGE_LABEL


def test_better_criteria_show_as_mended_pairs_and_more_than_chance():
    tried = criteria.trial(FOUND, events_of())
    assert tried.agreement.after.count > tried.agreement.before.count and tried.agreement.low > 0
    assert set(tried.mended) <= {one.index for one in FOUND if one.judge != one.people}
    told = "\n".join(criteria_text.trial_lines(tried, Usage(calls=8, dollars=0.25)))
    assert "more than chance" in told and "8 calls were paid, $0.25" in told and "drawn at random" in told


def test_a_judge_that_says_nothing_any_more_agrees_with_nobody():
    tried = criteria.trial(FOUND, [])
    assert tried.agreement.after.count == 0 and tried.silent == len(FOUND)
    assert "got no usable verdict" in "\n".join(criteria_text.trial_lines(tried, Usage()))


def test_the_cost_is_said_before_and_an_unknown_price_is_called_unknown():
    judge = JudgeConfig(kind="llm", name="m", both_orders=True, prompt_dollars=1, completion_dollars=1)
    cost = criteria.expected(HISTORY, FOUND, judge)
    assert cost.calls == pytest.approx(2 * len(FOUND), rel=0.05)
    assert cost.completion_tokens == pytest.approx(37 * cost.calls, rel=0.03), "as the run's own answers were"
    assert "about $" in criteria_text.cost_line(judge, FOUND, cost)
    assert "price unknown" in criteria_text.cost_line(JudgeConfig(kind="llm"), FOUND, cost)


def test_only_a_judge_behind_an_endpoint_reads_criteria():
    batched = config_of(judge=JudgeConfig(kind="llm", name="m", batch=True))
    judge = criteria.revised(batched, "Short.").judge
    assert judge.criteria == "Short." and not judge.batch, "somebody waits"
    with pytest.raises(InvalidInput, match="the judge of this run is recorded GPT-4, which reads no criteria"):
        criteria.revised(RunConfig(judge=JudgeConfig(kind="recorded", name="GPT-4")), "Short.")


def test_criteria_are_a_file_or_the_text_itself(tmp_path):
    (tmp_path / "criteria.txt").write_text("Correct before all.\n")
    assert wanted(str(tmp_path / "criteria.txt")) == "Correct before all."
    assert wanted("Short answers win. " * 100).startswith("Short answers win.")
    for none in ("", "   "):
        with pytest.raises(InvalidInput, match="empty"):
            wanted(none)
    with pytest.raises(InvalidInput, match="20,000"):
        wanted("x" * 20_001)


def test_values_are_plain_enough_for_json():
    tried = criteria.trial(FOUND, events_of())
    made = json.loads(json.dumps(criteria_text.as_json(HISTORY, FOUND, tried)))
    assert made["tried"]["agreement"]["after"]["of"] == made["answered"] == len(FOUND)
    assert len(made["pairs"]) == made["overruled"]["count"] and set(made["groups"]) == set(groups(FOUND))


# ── two judges on the same pairs ────────────────────────────────────────────────────────────────────────────────────


def test_the_sign_test_is_exact():
    assert sign_test(0, 0) == sign_test(3, 3) == 1.0
    assert sign_test(5, 0) == pytest.approx(2 / 32)
    assert sign_test(8, 1) == pytest.approx(2 * (1 + 9) / 512)


@pytest.mark.parametrize(("mended", "broken"), [(0, 0), (9, 1), (1, 9), (20, 0)])
def test_the_interval_holds_the_difference_and_mirrors_with_it(mended, broken):
    before = [False] * mended + [True] * broken + [True] * 20
    after = [True] * mended + [False] * broken + [True] * 20
    made, mirrored = paired(before, after), paired(after, before)
    assert (made.mended, made.broken) == (mended, broken)
    assert made.low <= made.difference <= made.high and made.low == pytest.approx(-mirrored.high)


# ── as a command ────────────────────────────────────────────────────────────────────────────────────────────────────


def rows(count: int) -> Sequence[str]:
    return jsonl().splitlines()[:count]


def test_a_finished_run_is_looked_at_and_other_criteria_are_tried_on_its_answered_pairs(tmp_path):
    (tmp_path / "pairs.jsonl").write_text("\n".join(rows(60)) + "\n")
    with endpoint() as judge:
        words = (
            "run",
            "pairs.jsonl",
            "--judge",
            f"{judge.url}#m",
            "--method",
            "random",
            "--budget",
            "12",
            "--criteria",
            "A.",
        )
        done = concord(tmp_path, *words, "--resume", "--accept-judge", "--json")
        assert done.returncode == 0, done.stderr
        told = concord(tmp_path, "criteria", "last")
        assert told.returncode == 0 and "criteria: A." in told.stdout and "overruled the judge on" in told.stdout
        before = judge.calls
        refused = concord(tmp_path, "criteria", "last", "--try", "B.")
        assert refused.returncode == 2 and "say --yes" in refused.stderr and judge.calls == before
        tried = concord(tmp_path, "criteria", "last", "--try", "B.", "--yes", "--json")
        assert tried.returncode == 0, tried.stderr
        made = json.loads(tried.stdout)
        assert judge.calls - before == 2 * made["answered"] > 0 and "price unknown" in tried.stderr
        again = concord(tmp_path, "criteria", "last", "--try", "B.", "--yes")
        assert judge.calls - before == 2 * made["answered"], "what was paid for is kept"
        assert "0 calls were paid" in again.stdout and "pair by pair" in again.stdout
    assert concord(tmp_path, "runs").stdout.count("\n") == 1, "a trial is no run"


def test_answered_pairs_without_an_answer_of_the_judge_count_for_no_group():
    silent = [Answered(0, FOUND[0].pair, Choice.CHOICE_FIRST, 0, False, None, -1, 0, "")]
    assert groups(silent) == {} and overruled_of(silent).of == 0
