"""What a user may ask for: flags over YAML over defaults, and a run's name that follows from what matters."""

import pytest

from concord.client.intake.verdicts import Judges
from concord.client.run.estimate import estimate
from concord.client.run.options import Options, resolve, run_config, semantic, share_of
from concord.kit.errors import InvalidInput
from concord.preference.call_costs import AROUND_BYTES
from tests.small_pairs import pair


def test_flags_win_over_the_file_and_the_file_over_the_defaults():
    options = resolve({"budget": "3%", "seed": None}, {"budget": "9%", "seed": 4, "helper": "recorded:B"})
    assert (options.budget, options.seed, options.helper, options.quorum) == ("3%", 4, ("recorded:B",), 1)


@pytest.mark.parametrize(
    "file, said",
    [
        ({"buget": "6%"}, "there is no setting 'buget'"),
        (["judge"], "a mapping of settings is expected"),
        ({"seed": "seven"}, "seed: a number is expected"),
        ({"both_orders": "maybe"}, "both_orders: true or false"),
        ({"helper": [1]}, "helper: a list of judges"),
        ({"audit": 2}, "audit must lie between -1 and 1"),
        ({"audit": -0.5}, "audit must be a share from 0 to 1, or -1"),
        ({"folds": 1}, "folds must be at least 2"),
        ({"budget": "120%"}, "budget '120%'"),
        ({"budget": "-3"}, "budget '-3'"),
        ({"method": "rlhf"}, "method 'rlhf'"),
        ({"judge": "http://h/v1"}, "URL#MODEL or with --model"),
        ({"judge": "http://[h/v1#m"}, "the judge's URL cannot be read"),
        ({"helper": "https://h:port/v1#m"}, "the judge's URL cannot be read"),
        ({"judge": "http://h/v1#m", "dollars": 5.0}, "--prompt-price and --completion-price"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(file, said):
    with pytest.raises(InvalidInput, match=said):
        resolve({}, file, "run.yaml")


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@h/v1#m",
        "https://hunter2@h/v1#m",
        "http://h/v1?api_key=hunter2#m",
        "http://h/v1?SIG=hunter2#m",
    ],
)
def test_an_address_with_a_secret_is_refused_and_the_secret_not_repeated(url):
    with pytest.raises(InvalidInput, match="--api-key-env NAME") as caught:
        resolve({"judge": url})
    assert "hunter2" not in str(caught.value)


def test_a_budget_is_votes_or_a_share_of_the_pairs():
    assert (share_of("6%"), share_of("2.5 %"), share_of("500")) == ((0, 0.06), (0, 0.025), (500, 0.0))


def test_a_runs_name_follows_from_what_changes_its_result_and_nothing_else():
    def name(**flags):
        return semantic(run_config(resolve(flags), None))

    assert name() == name(window=3) == name(dollars=5.0)
    assert len({name(), name(seed=1), name(budget="7%"), name(method="none"), name(annotators="simulated:0.1")}) == 5


def test_a_recorded_judge_brings_its_own_other_prompts_and_helpers_keep_their_order():
    judges = Judges("A/x", ("A/y",), ("C", "B"))
    options = Options(judge="recorded:A", helper=("recorded:C", "http://h/v1#m", "recorded:B"))
    config = run_config(options, judges)
    assert (config.judge.name, list(config.judge.own_prompts)) == ("A/x", ["A/y"])
    assert [(h.kind, h.name) for h in config.helpers] == [("recorded", "C"), ("llm", "m"), ("recorded", "B")]


def test_each_endpoint_of_a_panel_may_have_a_key_and_prices_of_its_own():
    other = "https://other.example/v1#big/model:2,key=OTHER_KEY,prices=0.15/0.6"
    asked = {"judge": "http://h/v1#m", "api_key_env": "MY_KEY", "prompt_price": 1.0, "helper": [other, "http://h/v1#n"]}
    config = run_config(resolve(asked), None)
    own, shared = config.helpers
    assert (own.url, own.name) == ("https://other.example/v1", "big/model:2")
    assert (own.api_key_env, own.prompt_dollars, own.completion_dollars) == ("OTHER_KEY", 0.15, 0.6)
    assert (shared.api_key_env, shared.prompt_dollars) == ("MY_KEY", 1.0) and config.judge.api_key_env == "MY_KEY"


@pytest.mark.parametrize("prices", ["-1/2", "1/x", "nan/1", "1/1e300"])
def test_prices_of_an_endpoint_are_numbers_from_0_on(prices):
    with pytest.raises(InvalidInput, match="prices"):
        run_config(resolve({"judge": "http://h/v1#m", "helper": [f"http://o/v1#n,prices={prices}"]}), None)


def test_scores_are_the_word_doubtful_or_all_and_need_a_judge_that_can_be_asked():
    assert run_config(resolve({"judge": "http://h/v1#m", "rubric": "doubtful"}), None).rubric == "doubtful"
    with pytest.raises(InvalidInput, match="neither doubtful nor all"):
        run_config(resolve({"judge": "http://h/v1#m", "rubric": "yes"}), None)
    with pytest.raises(InvalidInput, match="rubric: a judge of kind recorded"):
        run_config(resolve({"judge": "recorded:A", "rubric": "all"}), Judges("A", (), ()))
    with pytest.raises(InvalidInput, match="criteria are one"):
        run_config(resolve({"judge": "http://h/v1#m", "criteria_apart": True, "criteria": "Be brief"}), None)


def test_an_estimate_prices_each_further_signal_and_says_what_scores_would_cost():
    asked = {"judge": "http://h/v1#m", "prompt_price": 4.0, "criteria": "- a\n- b"}
    pairs = [pair("p" * 400, "q" * 400)] * 90
    plain = estimate(run_config(resolve(asked), None), pairs)
    assert plain.signals == {} and plain.scores["calls"] == 60
    more = run_config(resolve({**asked, "rubric": "doubtful", "judge_votes": 4, "criteria_apart": True}), None)
    priced = estimate(more, pairs)
    assert {name: cost["calls"] for name, cost in priced.signals.items()} == {
        "rubric": 60,
        "votes": 120,
        "criteria": 60,
    }
    assert priced.scores is None and priced.calls == plain.calls + 240
    assert priced.dollars == pytest.approx(plain.dollars + sum(cost["dollars"] for cost in priced.signals.values()))


def test_a_secret_never_stands_in_the_configuration():
    config = run_config(resolve({"judge": "http://h/v1#m", "api_key_env": "MY_KEY"}), None)
    assert config.judge.api_key_env == "MY_KEY" and "sk-" not in str(config)


def test_an_estimate_counts_both_orders_and_prices_per_million_tokens():
    config = run_config(resolve({"judge": "http://h/v1#m", "prompt_price": 4.0, "budget": "10%"}), None)
    expected = estimate(config, [pair("p" * 400, "q" * 400)] * 100)
    assert (expected.calls, expected.votes, expected.prompt_tokens) == (200, 10, 200 * (800 + AROUND_BYTES) // 4)
    assert expected.dollars == pytest.approx(200 * (800 + AROUND_BYTES) / 4 * 4.0 / 1e6)
    assert estimate(run_config(resolve({"judge": "http://h/v1#m"}), None), [pair("a", "b")]).dollars is None
    assert estimate(run_config(resolve({"judge": "sample", "method": "none"}), None), [pair("a", "b")]).votes == 0
