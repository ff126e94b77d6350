"""A run that goes on from an earlier one: its pairs come first, its settings and answers count, nobody is asked twice."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from concord.client.intake import intake
from concord.client.results.results_dir import folder, remember
from concord.client.run import continue_run, session
from concord.client.run.estimate import estimate
from concord.client.run.job import Job, prepare
from concord.client.run.options import Options, resolve, run_config
from concord.client.run.parent_options import options_of
from concord.client.run.parent_run import Earlier, check, join, rows_of
from concord.commands.results import run_line
from concord.embedded import embedded
from concord.kit.errors import InvalidInput
from concord.kit.settings import Settings, from_environment, open_blobs, open_log
from concord.operate import run_log
from concord.operate.local_records import here
from concord.preference import annotations, datasets
from concord.preference.budget import batch_size, human_budget, pilot_size
from concord.preference.methods import METHODS
from concord.report.figures import Figures, figures_of
from concord.report.words import summary
from concord.runs import limits
from concord.v1.config_pb2 import Parent, RunConfig
from concord.v1.events_pb2 import Event, PauseReason, Stage, StageManifest, TaskOutcome
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED, RUN_STATUS_PAUSED, RunView
from concord.v1.work_pb2 import Work
from tests.endpoint import Endpoint, share
from tests.small_pairs import pair
from tests.test_cli import concord, small_file
from tests.test_sigkill import endpoint

OLD, SHARED, NEW = 150, 20, 60
FIRST, SECOND, TIE = Choice.CHOICE_FIRST, Choice.CHOICE_SECOND, Choice.CHOICE_TIE


# ── the pairs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def earlier(*pairs, config: RunConfig | None = None, votes: int = 0, truth: dict | None = None) -> Earlier:
    view = RunView(
        run_id="0" * 8, config=config, pairs=len(pairs), human_budget=votes, input_name="old", input_sha256="a" * 64
    )
    return Earlier(view, rows_of(pairs, truth or {}), {})


def file_of(tmp_path: Path, *rows: dict) -> intake.Input:
    path = tmp_path / "more.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return intake.read(path)


def row(first: str, second: str, **more) -> dict:
    return {"prompt": "Which?", "responses": [first, second], **more}


def pair_of(first: str, second: str, name: str):
    made = pair(first, second, pair_id=name)
    made.prompt.add(role="user", content="Which?")
    return made


def test_pairs_that_the_earlier_run_has_are_left_out_whatever_they_are_called(tmp_path):
    before = earlier(pair_of("a", "b", "x"), pair_of("c", "d", "y"), truth={1: SECOND})
    joined = join(before, file_of(tmp_path, row("c", "d", id="other"), row("e", "f", id="z")))
    assert [held.pair.pair_id for held in joined.given.rows] == ["x", "y", "z"] and joined.left_out == {"other"}
    assert [held.truth for held in joined.given.rows] == [None, SECOND, None]
    assert any("2 pairs and 1 new one; 1 of the file it has already" in note for note in joined.given.notes)


def test_a_pair_that_another_files_ids_have_turned_round_is_no_new_one(tmp_path):
    rows = [{"prompt": f"Which of {n}?", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(20)]
    whole = file_of(tmp_path, *rows)
    part = file_of(tmp_path, *rows[10:], {"prompt": "Which?", "chosen": "yes", "rejected": "no"})
    before = earlier(*(row.pair for row in whole.rows))
    turned = [a.pair.first.text != b.pair.first.text for a, b in zip(whole.rows[10:], part.rows, strict=False)]
    assert any(turned) and not all(turned), "ids decide which response is the first"
    assert len(join(before, part).left_out) == 10


def test_a_file_without_a_new_pair_is_refused_and_so_is_an_id_that_means_two_pairs(tmp_path):
    before = earlier(pair_of("a", "b", "x"))
    with pytest.raises(InvalidInput, match="none of its 1 pair is new"):
        join(before, file_of(tmp_path, row("a", "b", id="again")))
    with pytest.raises(InvalidInput, match=r"1 new pair has an id .* such as x; give them ids of their own"):
        join(before, file_of(tmp_path, row("c", "d", id="x"), row("e", "f", id="y")))


def test_rows_without_an_id_get_one_that_is_not_taken(tmp_path):
    given = file_of(tmp_path, row("c", "d"), row("e", "f"))
    joined = join(earlier(pair_of("a", "b", "row-1")), given)
    assert [held.pair.pair_id for held in joined.given.rows] == ["row-1", f"row-1@{given.sha256[:8]}", "row-2"]


def test_pairs_that_lack_the_recorded_judge_are_not_lost_in_silence(tmp_path):
    labelled = row("c", "d", ai_labels={"GPT-4": {"choice": 0}})
    joined = join(earlier(pair_of("a", "b", "x")), file_of(tmp_path, labelled))
    given, judges = intake.judged_by(joined.given, "GPT-4")
    with pytest.raises(InvalidInput, match=r"1 pair of run .* without a verdict of that judge"):
        check(run_config(Options(judge="recorded:GPT-4"), judges), given, earlier(pair_of("a", "b", "x")))


# ── the settings ───────────────────────────────────────────────────────────────────────────────────────────────────

URL = "http://127.0.0.1:9/v1#m"
SETTINGS = st.fixed_dictionaries(
    {
        "method": st.sampled_from([method for method in METHODS if method != "all-human"]),
        "judge": st.sampled_from(["sample", URL]),
        "helper": st.sampled_from([(), ("http://127.0.0.1:8/v1#h",)]),
        "budget": st.sampled_from(["6%", "0.5%", "100%", "0"]),
        "pilot": st.integers(-1, 20),
        "quorum": st.integers(1, 3),
        "batch": st.sampled_from([0.0, 0.01, 0.02]),
        "folds": st.sampled_from([0, 2, 4]),
        "shard_pairs": st.sampled_from([0, 32, 64, 256]),
        "criteria": st.sampled_from(["", "Short."]),
        "temperature": st.sampled_from([0.0, 0.7]),
        "subset": st.sampled_from([0.25, 1.0]),
        "nobody": st.booleans(),
        "annotators": st.sampled_from(["recorded", "simulated:0.1"]),
    }
)


@drawn(SETTINGS)
def test_the_settings_of_a_run_lead_to_its_configuration_again(said):
    asked = resolve(said)
    if not any(spec.startswith("http") for spec in (asked.judge, *asked.helper)):
        asked = replace(asked, criteria="", temperature=0.0)
    config = run_config(asked, None)
    pairs = 10_000
    again_ = run_config(options_of(config, pairs, human_budget(config, pairs)), None)
    assert human_budget(again_, pairs) == human_budget(config, pairs)
    for both in (config, again_):
        both.ClearField("human_budget")
        both.ClearField("human_budget_share")
    assert again_ == config


def test_what_followed_from_the_method_or_the_judge_follows_from_another_one():
    inherited = options_of(run_config(Options(method="posterior", judge="sample"), None), 1_000, 60)
    changed = run_config(resolve({"method": "rlthf", "judge": URL}, base=inherited), None)
    assert changed == run_config(Options(method="rlthf", judge=URL), None)


def test_a_number_of_votes_becomes_a_share_and_a_file_of_answers_keeps_its_path():
    config = run_config(Options(budget="50"), None)
    config.annotators = "file:some/answers.jsonl@0123456789ab"
    inherited = options_of(config, 500, 50)
    assert (inherited.budget, inherited.annotators) == ("10%", "file:some/answers.jsonl")


def test_shares_are_of_the_new_pairs_and_of_all_where_none_is_new():
    config = RunConfig(human_budget_share=0.1, batch_share=0.05, quorum=1, pilot=-1, parent=Parent(pairs=900))
    assert (human_budget(config, 1_000), batch_size(config, 1_000)) == (10, 5)
    assert (human_budget(config, 900), batch_size(config, 900)) == (90, 45)
    assert pilot_size(config, 1_000, 40) == 8


def test_a_parent_that_is_none_is_refused():
    config = run_config(Options(), None)
    for parent, said in (
        (Parent(run_id="x", pairs=1), "is not a UUID"),
        (Parent(run_id="6f7b9a1e-52c1-5d0b-9c64-0c8d1f0e4a77"), "parent.pairs"),
        (
            Parent(run_id="6f7b9a1e-52c1-5d0b-9c64-0c8d1f0e4a77", pairs=1, annotation_uris=["file:///etc"]),
            "is no blob URI",
        ),
    ):
        config.parent.CopyFrom(parent)
        with pytest.raises(InvalidInput, match=said):
            limits.check_config(config)


# ── the answers ────────────────────────────────────────────────────────────────────────────────────────────────────


def stage(**said: int) -> StageManifest:
    """A closed human stage; a choice of 0: nobody could say."""
    manifest = StageManifest(stage=Stage.STAGE_ANNOTATE)
    for number, (name, choice) in enumerate(said.items()):
        outcome = TaskOutcome.TASK_OUTCOME_DECIDED if choice else TaskOutcome.TASK_OUTCOME_SKIPPED
        task = {
            "pair_index": int(name[1:]),
            "outcome": outcome,
            "choice": choice,
            "annotation_ids": ["a"] if choice else [],
        }
        manifest.events.append(Event(unit={"number": number}, task_resolved=task))
        manifest.audit.append(True)
    return manifest


def known(parents: list[StageManifest], own: list[StageManifest]) -> dict[int, tuple[float, bool]]:
    kept = {f"{at}": manifest for at, manifest in enumerate([*parents, *own])}
    config = RunConfig(parent=Parent(annotation_uris=list(kept)[: len(parents)])) if parents else RunConfig()
    said = annotations.known(Work(config=config), list(kept)[len(parents) :], kept.__getitem__)
    assert len(set(said.pair.tolist())) == len(said.pair)
    return {int(at): (p, bool(audit)) for at, p, audit in zip(said.pair, said.p_first, said.audit, strict=True)}


def test_earlier_answers_count_but_audit_nothing_and_the_last_word_on_a_pair_stands():
    assert known([], [stage(p1=FIRST)]) == {1: (1.0, True)}
    assert known([stage(p1=FIRST, p2=SECOND)], [stage(p3=FIRST)]) == {1: (1.0, False), 2: (0.0, False), 3: (1.0, True)}
    assert known([stage(p1=FIRST)], [stage(p1=SECOND)]) == {1: (0.0, True)}
    assert known([stage(p1=FIRST), stage(p1=SECOND)], []) == {1: (0.0, False)}


def test_a_pair_on_which_nobody_could_say_anything_may_be_asked_about_again():
    assert known([stage(p1=0, p2=FIRST)], []) == {2: (1.0, False)}
    assert known([stage(p1=FIRST), stage(p1=0)], []) == {1: (1.0, False)}


# ── whole runs ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Done:
    """A run on all services."""

    settings: Settings
    job: Job
    view: RunView

    @property
    def rows(self) -> list[dict]:
        return list(datasets.rows(self.view.dataset_uri, open_blobs(self.settings).get))

    @property
    def figures(self) -> Figures:
        return figures_of(
            run_log.events(open_log(self.settings), self.view.run_id), open_blobs(self.settings).get, self.job.truth
        )

    def asked(self, *stages: int) -> set[int]:
        """Pairs that became questions to people, in these stages or in any."""
        events = [event for event, _ in run_log.events(open_log(self.settings), self.view.run_id)]
        resolved = [event for event in events if event.HasField("task_resolved")]
        return {event.task_resolved.pair_index for event in resolved if not stages or event.unit.stage in stages}


def run(settings: Settings, job: Job) -> Done:
    remember(folder(settings.home, job.run_id), job.run_id, job.truth)
    with embedded(settings) as running:
        return Done(settings, job, session.run(job, running, lambda view: None))


def linked(settings: Settings, name: str, path: Path | str, **flags) -> Job:
    with here(settings) as records:
        return continue_run.go_on(
            records, settings.home, name, str(path), partial(resolve, flags, None, ""), None, "", None
        )


def write(path: Path, numbers: range, agree: float) -> Path:
    """Labelled rows without ids; people are with the endpoint's judge on this share of them."""
    with path.open("w") as file:
        for at in numbers:
            first, second = f"the answer {at}", f"another answer {at}"
            judged = 0 if share("good", first) > share("good", second) else 1
            truth = judged if share("agrees", at) < agree else 1 - judged
            file.write(
                json.dumps({"prompt": f"Question {at}?", "responses": [first, second], "human_majority": truth}) + "\n"
            )
    return path


@dataclass
class Chain:
    """A run, and one that goes on from it with more pairs; calls: what each of them asked the endpoint."""

    folder: Path
    judge: Endpoint
    first: Done
    second: Done
    calls: tuple[int, int]


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("linked")
    settings = from_environment({}, home=str(folder / "home"))
    old = write(folder / "old.jsonl", range(OLD), 0.8)
    more = write(folder / "more.jsonl", range(OLD - SHARED, OLD + NEW), 0.8)
    with endpoint() as judge:
        flags = {
            "judge": f"{judge.url}#stub",
            "criteria": "Be right.",
            "budget": "20%",
            "pilot": 8,
            "seed": 3,
            "shard_pairs": 32,
        }
        first = run(settings, prepare(str(old), resolve(flags), None, ""))
        before = judge.calls
        second = run(settings, linked(settings, "last", more))
        yield Chain(folder, judge, first, second, (before, judge.calls - before))


def test_the_linked_run_holds_the_earlier_pairs_and_then_the_new_ones(chain):
    assert chain.second.view.status == RUN_STATUS_FINISHED, chain.second.view.detail
    old, both = chain.first.rows, chain.second.rows
    assert len(both) == OLD + NEW
    assert [row["pair_sha256"] for row in both[:OLD]] == [row["pair_sha256"] for row in old]
    assert len({row["pair_id"] for row in both}) == OLD + NEW


def test_nothing_that_was_paid_for_is_paid_again(chain):
    assert chain.calls == (2 * OLD, 2 * NEW) and chain.judge.paid_again == 0


def test_a_dry_run_counts_no_calls_whose_answers_are_kept(chain):
    job = chain.second.job
    pairs = [row.pair for row in job.given.rows]
    expected = estimate(job.config, pairs, None, job.earlier)
    assert expected.calls == chain.calls[1] and "is kept and not paid again" in expected.basis
    job.config.judge.criteria, before = "Be brief.", job.config.judge.criteria
    other = estimate(job.config, pairs, None, job.earlier)
    job.config.judge.criteria = before
    assert other.calls == 2 * len(pairs) and "kept" not in other.basis
    assert estimate(job.config, [row.pair for row in job.earlier.rows], None, job.earlier).calls == 0


def test_judge_criteria_and_method_are_the_earlier_runs_and_the_budget_is_a_share_of_the_new_pairs(chain):
    first, second = chain.first.view, chain.second.view
    assert second.config.judge == first.config.judge and second.config.seed == 3
    assert (first.human_budget, second.human_budget) == (30, 12)
    assert (second.config.parent.run_id, second.config.parent.pairs) == (first.run_id, OLD)


def test_what_people_said_before_stands_in_the_dataset_and_teaches(chain):
    before = {row["index"]: row["label"] for row in chain.first.rows if row["source"] == "people"}
    now = {row["index"]: row["label"] for row in chain.second.rows if row["source"] == "people"}
    assert len(before) == 30 and before.items() <= now.items()
    # Twelve answers alone would not be enough for the full model's first step, forty are.
    assert chain.second.view.last_round.trust >= chain.first.view.last_round.trust >= 1


def test_only_the_pilot_may_meet_a_pair_again_and_then_the_earlier_answer_is_taken(chain):
    again_ = chain.first.asked() & chain.second.asked()
    assert (
        again_ <= chain.second.asked(Stage.STAGE_PILOT_ANNOTATE)
        and len(chain.second.asked(Stage.STAGE_PILOT_ANNOTATE)) == 8
    )


def test_the_link_is_shown_wherever_a_run_is_shown(chain):
    first, second, settings = chain.first.view, chain.second.view, chain.second.settings
    assert run_line(second).count(f"goes on from {first.run_id[:8]}") == 1
    assert "goes on from" not in run_line(first)
    figures = chain.second.figures
    new = len(chain.first.asked() - chain.second.asked())
    assert (figures.parent.run_id, figures.parent.pairs, figures.parent.answers) == (first.run_id, OLD, new)
    assert (
        f"goes on from run {first.run_id[:8]} with 60 new pairs; {new} answers of people count from there"
        in summary(figures)
    )
    folded = run_log.as_json(run_log.fold(open_log(settings), second.run_id))
    assert folded["state"]["view"]["config"]["parent"]["run_id"] == first.run_id
    assert figures.rows == OLD + NEW and chain.first.figures.parent is None


def test_the_truth_of_the_earlier_pairs_is_remembered_for_the_report(chain):
    assert chain.second.figures.label_accuracy.rows == OLD + NEW


def test_the_same_command_again_means_the_same_run_and_nothing_new_is_refused(chain):
    settings = chain.second.settings
    assert linked(settings, "last", chain.folder / "more.jsonl").run_id == chain.second.view.run_id
    with pytest.raises(InvalidInput, match="none of its 150 pairs is new"):
        linked(settings, "last", chain.folder / "old.jsonl")
    with pytest.raises(InvalidInput, match="these pairs and these settings already"):
        linked(settings, chain.first.view.run_id, "")
    with pytest.raises(InvalidInput, match="these pairs and these settings already"):
        linked(settings, chain.second.view.run_id, "")


def test_a_third_run_takes_over_the_answers_of_both(chain):
    third = linked(chain.second.settings, "last", write(chain.folder / "third.jsonl", range(300, 310), 0.8))
    before = chain.second.view.config.parent.annotation_uris
    assert (
        list(third.config.parent.annotation_uris[: len(before)]) == list(before)
        and third.config.parent.pairs == OLD + NEW
    )
    said = annotations.taken_over(
        third.config, lambda uri: StageManifest.FromString(open_blobs(chain.first.settings).get(uri)), ()
    )
    assert set(said.pair.tolist()) == chain.first.asked() | chain.second.asked()
    hashes = {row["index"]: row["pair_sha256"] for row in chain.second.rows}
    with here(chain.second.settings) as records:
        again_ = continue_run.read(records, chain.second.settings.home, chain.second.view.run_id).answered
    assert {(hashes[index], 0) for index in said.pair.tolist()} == set(again_)


def test_who_asks_nobody_takes_no_answers_over(chain):
    alone = linked(chain.second.settings, chain.first.view.run_id, "", method="none")
    assert alone.config.parent.run_id == chain.first.view.run_id and not alone.config.parent.annotation_uris


class Listening(Endpoint):
    """Prefers the worse answer until it is told to be right."""

    def first_wins(self, a: str, b: str) -> bool:
        told = "Be right." in json.dumps(self.requests[-1])
        return super().first_wins(a, b) == told


def test_after_a_shut_gate_new_criteria_go_on_with_the_same_pairs_and_the_pilots_answers(tmp_path):
    settings = replace(from_environment({}, home=str(tmp_path / "home")), judge_concurrency=1)
    with endpoint(kind=Listening) as judge:
        flags = {"judge": f"{judge.url}#stub", "criteria": "Be nice.", "budget": "40%", "pilot": 16}
        shut = run(settings, prepare(str(write(tmp_path / "pairs.jsonl", range(60), 1.0)), resolve(flags), None, ""))
        assert (shut.view.status, shut.view.pause_reason) == (RUN_STATUS_PAUSED, PauseReason.PAUSE_REASON_MISALIGNED)
        assert "--from RUN --criteria" in shut.view.detail
        job = linked(settings, "last", "", criteria="Be right.")
        (tmp_path / "answers.jsonl").write_text(
            "".join(
                json.dumps({"pair_id": row.pair.pair_id, "choice": "first" if row.truth == FIRST else "second"}) + "\n"
                for index, row in enumerate(job.given.rows)
                if index not in shut.asked()
            )
        )
        # These people know nothing of the pilot's pairs: their answers can only come from the run before.
        open_ = run(
            settings,
            linked(settings, "last", "", criteria="Be right.", annotators=f"file:{tmp_path / 'answers.jsonl'}"),
        )
    assert open_.view.status == RUN_STATUS_FINISHED, open_.view.detail
    assert shut.asked() <= open_.asked() and open_.figures.unanswered == 0
    assert len(open_.rows) == 60 and open_.view.config.judge.criteria == "Be right."


@pytest.mark.slow
def test_a_linked_run_of_the_command_line_is_exported_and_its_report_can_be_made_again(tmp_path):
    lines = small_file(tmp_path, 120).read_text().splitlines()
    (tmp_path / "old.jsonl").write_text("\n".join(lines[:80]) + "\n")
    assert concord(tmp_path, "run", "old.jsonl", "--budget", "10%").returncode == 0
    done = concord(tmp_path, "run", "pairs.jsonl", "--from", "last", "--compare", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["pairs"], report["human_budget"], report["parent"]["pairs"]) == (120, 4, 80)
    assert report["methods"]["none"]["label_accuracy"] == report["label_accuracy"]["start"]
    assert "with its 80 pairs and 40 new ones; 80 of the file it has already" in done.stderr
    for words in (
        ("report", report["run_id"]),
        ("export", report["run_id"], "--format", "trl"),
        ("doctor", report["run_id"]),
    ):
        made = concord(tmp_path, *words)
        assert made.returncode == 0, made.stderr
    card_ = concord(tmp_path, "export", report["run_id"], "--format", "hf", "--out", "hub")
    assert card_.returncode == 0, card_.stderr
    assert (
        f"| goes on from run | `{report['parent']['run_id']}`: 80 of the pairs, "
        in (tmp_path / "hub" / "README.md").read_text()
    )
    unit = concord(tmp_path, "replay", report["run_id"], "--unit", "DATASET/0")
    assert unit.returncode == 0, unit.stdout + unit.stderr
