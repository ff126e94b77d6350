"""A judge is tried on three pairs in both orders: what was sent and dropped, what came back, what it took."""

import asyncio
import json

import pytest

from concord.labeling.trial import Tried, tried
from concord.labeling.trial_text import lines, plain, scores, verdicts, wanted
from concord.preference.answer_faults import CAUSES
from concord.v1.config_pb2 import JudgeConfig
from tests import the_sample
from tests.endpoint import Endpoint
from tests.judged_run import endpoint
from tests.scoring_endpoint import ScoringEndpoint
from tests.test_cli import concord

ROWS = the_sample.given().rows[:3]
PAIRS = [row.pair for row in ROWS]
IDS = [pair.pair_id for pair in PAIRS]


def config(url: str, **more: object) -> JudgeConfig:
    return JudgeConfig(**{"kind": "llm", "name": "m", "url": url, "both_orders": True, "max_tokens": 300, **more})


def of(judge: Endpoint, **more: object) -> Tried:
    return asyncio.run(tried(PAIRS, config(judge.url, **more), {}))


def text(judge: Endpoint, made: Tried, **more: object) -> str:
    return "\n".join(lines(config(judge.url, **more), IDS, made))


def test_each_pair_is_asked_about_in_both_orders_and_each_answer_is_shown_as_it_came():
    with endpoint() as judge:
        made = of(judge)
        assert judge.calls == 6 == made.usage.calls == verdicts(made) == wanted(config(judge.url), 3)
        assert sorted((heard.pair, heard.swapped) for heard in made.heard) == [
            (at, order) for at in range(3) for order in (False, True)
        ]
        told = text(judge, made)
        assert told.count("answered: {") == 6 and "6 of 6 verdicts in 6 calls" in told and "price unknown" in told
        assert "dropped: nothing" in told and "response_format json_schema" in told and "temperature 0" in told


def test_with_scores_each_answer_is_shown_to_the_judge_alone_as_well():
    with endpoint(ScoringEndpoint, says={PAIRS[1].second.text: "I like it."}) as judge:
        made = asyncio.run(tried(PAIRS, config(judge.url), {}, rubric=True))
        # What is no score is asked for once more.
        assert judge.calls == 6 + 6 + 1 == made.usage.calls and (verdicts(made), scores(made)) == (6, 5)
        assert made.scores[1][1] is None and all(1 <= score <= 10 for score in made.scores[0])
        told = text(judge, made)
        assert "5 of 6 answers scored alone" in told and told.count("the first alone: ") == 3
        assert "the second alone: no score" in told
        assert plain(config(judge.url), IDS, made)["pairs"][0]["scores"] == list(made.scores[0])


def test_the_command_takes_the_word_that_a_run_takes_and_no_other(tmp_path):
    with endpoint(ScoringEndpoint) as judge:
        asked = ["judge", "try", f"{judge.url}#m", "--rubric"]
        done = concord(tmp_path, *asked, "doubtful")
        assert done.returncode == 0 and "6 of 6 answers scored alone" in done.stdout
        refused = concord(tmp_path, *asked, "often")
        assert refused.returncode == 2 and "neither doubtful nor all" in refused.stderr


def test_what_the_endpoint_does_not_take_is_said():
    with endpoint(rejects={"seed": "seed is not supported", "logprobs": "logprobs are not supported"}) as judge:
        made = of(judge)
        assert verdicts(made) == 6 and "seed" not in made.sent
        assert "seed left out" in text(judge, made) and "logprobs left out" in text(judge, made)


def test_an_answer_that_is_no_verdict_says_why_and_what_to_do():
    with endpoint(bad_texts=1.0) as judge:
        made = of(judge)
        told = text(judge, made)
        assert verdicts(made) == 0 and "no usable verdict" in told and "I would rather not say." in told
        assert len(made.heard) == 12 and told.count("the last of 2 answers") == 6, "each was asked for twice"
        assert any(cause.do in told for cause in CAUSES.values())
        assert {
            answer["fault"] for pair in plain(config(judge.url), IDS, made)["pairs"] for answer in pair["answers"]
        } <= {
            "refused",
            "not understood",
        }


def test_a_price_makes_a_sum_and_says_what_a_thousand_pairs_would_cost():
    with endpoint() as judge:
        priced = {"prompt_dollars": 1.0, "completion_dollars": 2.0}
        made = of(judge, **priced)
        used = made.usage
        assert used.dollars == pytest.approx((used.prompt_tokens + 2 * used.completion_tokens) / 1e6)
        assert "a thousand pairs would cost about $" in text(judge, made, **priced)


def test_a_judge_that_follows_the_place_shows_it_at_once():
    with endpoint(flips=1.0) as judge:
        told = text(judge, of(judge))
        assert "3 of 3 verdicts change when the two responses change places" in told
        assert told.count("but it changes with the order") == 3
        assert "such a judge stops the run" in told


def test_values_are_plain_enough_for_json():
    with endpoint() as judge:
        made = json.loads(json.dumps(plain(config(judge.url), IDS, of(judge))))
    assert (made["verdicts"], made["wanted"], made["dollars"]) == (6, 6, None)
    assert all(len(pair["answers"]) == 2 and pair["choice"] for pair in made["pairs"])


def test_the_command_tries_an_endpoint_and_its_exit_code_says_whether_all_answers_are_verdicts(tmp_path):
    (tmp_path / "pairs.jsonl").write_text("\n".join(the_sample.jsonl().splitlines()[10:30]) + "\n")
    with endpoint() as judge:
        done = concord(tmp_path, "judge", "try", f"{judge.url}#m", "pairs.jsonl", "--prompt-price", "1")
        assert done.returncode == 0, done.stderr
        assert "6 of 6 verdicts" in done.stdout and judge.calls == 6
        again = concord(tmp_path, "judge", "try", f"{judge.url}#m", "pairs.jsonl")
        assert again.returncode == 0 and judge.calls == 12, "nothing is taken from kept answers"
        judge.behaviour.bad_texts = 1.0
        bad = concord(tmp_path, "judge", "try", f"{judge.url}#m", "--json")
        assert bad.returncode == 3 and json.loads(bad.stdout)["verdicts"] == 0
    refused = concord(tmp_path, "judge", "try", "sample")
    assert refused.returncode == 2 and "the URL of an endpoint is expected" in refused.stderr
    assert concord(tmp_path, "runs").stdout == ""
