"""A run that chooses which pairs are labelled: the same pairs everywhere, nothing lost, people asked about those alone."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest

import concord
from concord.kit.errors import InvalidInput
from concord.preference.budget import human_budget
from concord.runs import plan
from concord.runs.state import selected
from concord.triage.corpus import candidates_of
from concord.triage.dissimilarity import central_pair
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, Stage, StageClosed
from tests.run_world import FoldedRun, config, result, shards_of
from tests.test_plan import names

PAIRS = 90


def rows() -> list[dict]:
    """Every third pair says the same twice; in the others one answer is short and right, the other long and wrong."""
    found = []
    for n in range(1, PAIRS + 1):
        words = " ".join(f"word{(n * k) % 97}" for k in range(12))
        texts = (
            (words, words + " indeed") if n % 3 == 0 else (f"{n} apples and {words[:20]}", f"pears, plums {n}, " * 6)
        )
        found.append(
            {
                "id": f"p{n}",
                "prompt": f"What about {n}?",
                "responses": [{"text": text} for text in texts],
                "human_majority": n % 2,
                "ai_labels": {"j": {"pair": [0, 1], "choice": int(n % 5 == 0) ^ n % 2, "confidence": 0.7}},
            }
        )
    return found


def run(folder, **more):
    asked = {"judge": "recorded:j", "budget": 0.2, "pilot": 0, "home": str(folder / "home"), "tell": None}
    return concord.run(rows(), **{**asked, **more})


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return run(tmp_path_factory.mktemp("select"), select="drop-similar")


def test_near_duplicates_are_not_labelled_and_counted_and_kept_in_a_file(done):
    found = done.figures["selection"]
    kept = {row["pair_id"] for row in done.dataset}
    assert found["came"] == PAIRS and len(kept) == done.figures["pairs"] == PAIRS - sum(found["left_out"].values())
    gone = [json.loads(line) for line in done.report.path.with_name("left-out.jsonl").read_text().splitlines()]
    assert {one["pair_id"] for one in gone} | kept == {f"p{n}" for n in range(1, PAIRS + 1)}
    assert not {one["pair_id"] for one in gone} & kept
    assert all(int(one["pair_id"][1:]) % 3 == 0 and one["why"] == "near-duplicates" for one in gone) and len(gone) >= 20
    assert "(near-duplicates)" in done.report.path.read_text()


def test_labels_truth_and_answers_follow_the_pairs_to_their_new_numbers(done):
    truth = {f"p{n}": n % 2 for n in range(1, PAIRS + 1)}
    people = [row for row in done.dataset if row["source"] == "people"]
    assert len(people) == done.figures["human_labels"] == round(0.2 * done.figures["pairs"])
    for row in people:
        n = int(row["pair_id"][1:])
        assert row["chosen"] == rows()[n - 1]["responses"][truth[row["pair_id"]]]["text"]
    assert done.figures["human_accuracy"]["share"] == 1, "people were asked about the pairs that they know"


def test_the_story_says_what_was_chosen_and_verifies(done):
    story = done.replay()
    assert "pairs to label" in story and "EMBED" in story and "SELECT" in story


def test_the_same_call_goes_on_with_the_run_and_a_share_takes_the_most_different(done, tmp_path):
    one = run(tmp_path, select="easy", select_share=0.5)
    again = run(tmp_path, select="easy", select_share=0.5)
    assert one.run_id == again.run_id != done.run_id and len(one.dataset) == PAIRS // 2
    assert one.dataset.sha256 == again.dataset.sha256


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"select": "best"}, "select 'best' is not one of drop-similar"),
        ({"select_share": 0.5}, "nothing says how to choose"),
        ({"select_per_prompt": 2}, "nothing says how to choose"),
        ({"select": "centroid"}, "at least three answers"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused_in_words(tmp_path, asked, says):
    with pytest.raises(InvalidInput, match=says):
        run(tmp_path, **asked)


def test_a_run_that_goes_on_from_another_keeps_its_pairs(tmp_path):
    home = tmp_path
    first = run(home, select="easy", select_share=0.5)
    more = [{**row, "id": f"n{row['id']}", "prompt": f"And {row['prompt']}"} for row in rows()[:20]]
    linked = concord.run(more, from_run=first.run_id, home=str(home / "home"), tell=None)
    assert len(linked.dataset) == PAIRS // 2 + 20
    with pytest.raises(InvalidInput, match="keeps all of its pairs"):
        concord.run(more, from_run=first.run_id, select="easy", home=str(home / "home"), tell=None)


# ── lists of answers ───────────────────────────────────────────────────────────────────────────────────────────────


def listed(prompts: int = 24, answers: int = 4) -> list[dict]:
    """Each prompt has so many answers, the last of which says the first one again."""
    found = []
    for n in range(prompts):
        texts = [
            f"about {n} " + " ".join(f"word{(n * k * 7 + at * 31) % 211}" for k in range(9)) for at in range(answers)
        ]
        texts[-1] = texts[0] + " indeed"
        found.append({"id": f"q{n}", "prompt": f"What of {n}?", "responses": texts, "reference": str(n)})
    return found


@pytest.mark.parametrize(("strategy", "per_prompt"), [("drop-similar", 0), ("easy", 2), ("centroid", 0)])
def test_of_a_prompts_list_of_answers_so_many_pairs_are_labelled(tmp_path, strategy, per_prompt):
    asked = {"judge": "sample", "annotators": "people", "method": "none", "home": str(tmp_path), "tell": None}
    done = concord.run(listed(), select=strategy, select_per_prompt=per_prompt, **asked)
    of = Counter(row["pair_id"].rpartition("/")[0] for row in done.dataset)
    assert set(of.values()) == {per_prompt or 1} and len(of) == 24
    assert done.figures["selection"]["came"] == 24 * 6
    if strategy == "drop-similar":
        assert not any(row["pair_id"].endswith("/0-3") for row in done.dataset), "the last says the first again"


def test_without_a_choice_all_pairs_of_a_list_are_labelled(tmp_path):
    asked = {"judge": "sample", "method": "none", "home": str(tmp_path), "tell": None}
    assert len(concord.run(listed(3), **asked).dataset) == 3 * 6


def test_the_middle_of_a_list_is_found_though_it_lies_in_two_shards_and_a_given_pair_is_its_own():
    generator = np.random.default_rng(4)
    vectors = generator.normal(size=(5, 6)).astype(np.float16)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = list(itertools.combinations(range(5), 2))
    lists, places = np.array([9] * 10 + [0, 0], np.uint64), np.array([*pairs, (-1, -1), (-1, -1)]) + 1
    first, second = vectors[[a for a, _ in pairs] + [0, 1]], vectors[[b for _, b in pairs] + [1, 2]]
    whole = {"first": first, "second": second, "list": lists, "place": places}
    whole |= {"empty": np.zeros(12, bool), "length_difference": np.zeros(12, np.float32)}
    shards = {
        "a": {name: held[:7] for name, held in whole.items()},
        "b": {name: held[7:] for name, held in whole.items()},
    }
    found = candidates_of(["a", "b"], shards.__getitem__, central=True)
    middle = central_pair(vectors.astype(np.float32))
    assert [pair for pair, is_it in zip(pairs, found.central, strict=False) if is_it] == [middle]
    assert found.central[10:].all()
    assert len(set(found.prompt[:10])) == 1 and len(set(found.prompt)) == 3


# ── the state machine alone ────────────────────────────────────────────────────────────────────────────────────────


def test_the_pairs_are_chosen_before_the_pilot_and_the_basis_is_fitted_once():
    asked = config(select="random", pilot=3)
    steps = names(plan.stages(asked, 100, 20))
    assert steps[:5] == ["FIT_FEATURES", "EMBED", "SELECT", "PILOT_LABEL", "PILOT_ANNOTATE"]
    assert steps.count("FIT_FEATURES") == 1 and steps.index("FEATURES") > steps.index("LABEL")
    assert names(plan.stages(config(pilot=3), 100, 20))[0] == "PILOT_LABEL"


def chosen_run(pairs: int = 8, **more) -> FoldedRun:
    """A run at its SELECT, whose unit has chosen so many pairs."""
    folded = FoldedRun(config(select="random", human_budget=0, human_budget_share=0.5, **more))
    (work,) = folded.go_to(Stage.STAGE_SELECT)
    said = {"pairs_uri": "sha256:" + "b" * 64, "pairs": pairs, "shards": shards_of(pairs)}
    folded.hear(Event(event_id=work.work_id, run_id=folded.view.run_id, unit=work.unit, pairs_selected=said))
    return folded


def test_the_closed_stage_fixes_the_pairs_and_the_budget_that_is_a_share_of_them():
    folded = chosen_run(8)
    before = folded.view.human_budget
    asked = folded.turn()
    assert folded.view.pairs == 8 and folded.view.pairs_uri == "sha256:" + "b" * 64
    assert folded.view.human_budget == human_budget(folded.view.config, 8) == 4 < before
    assert sum(shard.pairs for shard in folded.state.shards) == 8
    folded.hear(*map(result, asked))
    assert folded.finish().dataset.dataset_sha256


def test_a_budget_that_somebody_changed_meanwhile_stays():
    folded = chosen_run(8)
    folded.say("budget", budget_changed={"human_budget": 7, "dollar_budget": 0})
    assert selected(folded.state).human_budget == 7


def test_a_corpus_that_the_stage_did_not_choose_is_not_taken():
    folded = chosen_run(8)
    closed = StageClosed(stage=Stage.STAGE_SELECT, round=0, manifest_uri="sha256:" + "d" * 64)
    closed.corpus.pairs_uri, closed.corpus.pairs = "sha256:" + "e" * 64, 5
    before = folded.view.pairs
    folded.say("closed", stage_closed=closed)
    assert folded.view.pairs == before


def test_a_run_without_a_choice_records_nothing_of_it():
    assert not RunConfig(select="", select_share=0.0).ByteSize()
