"""A run that begins with prompts: answers sampled, useless ones dropped and counted, pairs made and chosen, nothing paid twice."""

import asyncio
import itertools
import json
from collections import Counter

import pytest

import concord
from concord.client.intake import intake
from concord.client.run import estimate, options
from concord.client.run.job import prepare
from concord.kit.errors import Deferred, InvalidInput, StandsStill
from concord.kit.settings import from_environment, open_blobs
from concord.labeling import candidates
from concord.labeling.answer_cache import AnswerCache, MemoryAnswers
from concord.labeling.batch_notes import BatchNotes
from concord.labeling.batch_wire import BatchWire
from concord.labeling.batches import Batches
from concord.labeling.candidates import ALIKE, CUT, EMPTY, MOST_PAIRS, REFUSED, SAME, Account, Sampled, pairs_of
from concord.labeling.chat import ChatSettings
from concord.labeling.llm import LLMJudges
from concord.preference import generating
from concord.preference.pairs import pair_hash
from concord.runs import plan, work
from concord.runs.state import candidates as candidates_of
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import PauseReason, Stage
from concord.v1.pairs_pb2 import Message, Pair, PairShard, PairsManifest
from concord.v1.runs_service_pb2 import RunStatus
from tests.batch_endpoint import BatchEndpoint
from tests.endpoint import Endpoint, share
from tests.judged_run import endpoint
from tests.run_world import MADE_PAIRS, SHARD_PAIRS, FoldedRun, config, result
from tests.test_plan import names

PROMPTS = 24
MODEL = JudgeConfig(kind="llm", name="policy", url="http://models.example/v1", temperature=1, max_tokens=64)


class Models(Endpoint):
    """Of four answers of `policy` to a prompt the last says the first again; some are empty or cut."""

    def free(self, body):
        prompt, seed = body["messages"][-1]["content"], body["seed"]
        if body["model"] == "mute":
            return "", "stop"
        text, finish = super().free({**body, "seed": seed % 3})
        drawn = share("useless", body["model"], prompt, seed)
        if drawn < 0.1:
            return "", "stop"
        return (text[:40], "length") if drawn < 0.2 else (text, finish)


@pytest.fixture(scope="module")
def models():
    with endpoint(Models) as served:
        yield served


def prompts(count: int = PROMPTS) -> list[dict]:
    return [{"id": f"q{n}", "prompt": f"What of {n}?", "reference": f"kind {n % 3}"} for n in range(count)]


def people(prompt, first, second):
    return "first" if len(first) >= len(second) else "second"


def run(models, folder, rows=None, **more):
    asked = {
        "generate": [f"{models.url}#policy"],
        "judge": f"{models.url}#stub",
        "annotators": concord.Annotators("ann", people),
        "budget": 0.3,
        "pilot": 0,
        "components": 16,
        "shard_pairs": 8,
        "home": str(folder),
        "tell": None,
    }
    return concord.run(rows or prompts(), **{**asked, **more})


def shards(folder, done) -> list[Pair]:
    """The pairs that the run labelled, with their models."""
    blobs = open_blobs(from_environment({}, home=str(folder)))
    from concord.client.results.records import Here

    view = done.view if hasattr(done, "view") else Here(from_environment({}, home=str(folder))).view(done.run_id)
    manifest = PairsManifest.FromString(blobs.get(view.pairs_uri))
    return [pair for ref in manifest.shards for pair in PairShard.FromString(blobs.get(ref.uri)).pairs]


@pytest.fixture(scope="module")
def done(models, tmp_path_factory):
    return run(models, tmp_path_factory.mktemp("generate"))


# ── a whole run ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_prompts_become_a_dataset_of_at_most_one_pair_each(done, models):
    of = Counter(row["pair_id"].rpartition("/")[0] for row in done.dataset)
    assert set(of.values()) == {1} and 12 <= len(of) <= PROMPTS
    for row in done.dataset:
        assert row["chosen"] != row["rejected"] and row["chosen"].strip() and row["rejected"].strip()
        assert row["prompt"] == [{"role": "user", "content": f"What of {row['pair_id'].partition('/')[0][1:]}?"}]
        assert row["chosen_model"] == row["rejected_model"] == "policy"
    assert sum(row["source"] == "people" for row in done.dataset) == done.figures["human_labels"] > 0


def test_what_was_sampled_and_dropped_is_told_and_counted(done):
    told = done.figures["generated"]
    assert (told["prompts"], told["answers"]) == (PROMPTS, 4 * PROMPTS)
    assert told["answers"] == told["kept"] + sum(told["dropped"].values())
    assert {"policy: " + why for why in (SAME, EMPTY, CUT)} <= set(told["dropped"])
    assert "GENERATE" in done.replay() and "candidate pair" in done.replay()
    page = done.report.path.read_text()
    assert "96 to 24 prompts" in page and f"policy: {SAME}" in page


def test_calls_stand_in_the_ledger_and_the_same_call_pays_nothing_again(done, models, tmp_path):
    assert done.figures["usage"]["calls"] >= 4 * PROMPTS
    before, again = models.calls, run(models, done.report.path.parents[2])
    assert again.run_id == done.run_id and models.calls == before
    assert run(models, tmp_path, samples=4).dataset.sha256 == done.dataset.sha256


def test_each_sample_has_a_seed_of_its_own_and_the_temperature_that_was_asked_for(models, tmp_path):
    models.requests.clear()
    run(models, tmp_path, prompts(3), samples=3, sample_temperature=0.8, sample_tokens=77, seed=5, method="none")
    sampled = [asked for asked in models.requests if asked["model"] == "policy"]
    assert sorted({asked["seed"] for asked in sampled}) == [5, 6, 7] and len(sampled) == 9
    assert {(asked["temperature"], asked["max_tokens"]) for asked in sampled} == {(0.8, 77)}
    assert not any("response_format" in asked or "logprobs" in asked for asked in sampled)


def test_two_endpoints_make_pairs_of_one_model_against_the_other(models, tmp_path):
    one = f"{models.url}#policy,{models.url}#reference"
    done = run(models, tmp_path, generate=[one], samples=2, method="none")
    assert all({row["chosen_model"], row["rejected_model"]} == {"policy", "reference"} for row in done.dataset)
    assert len(done.dataset) > PROMPTS / 2


def test_pairs_a_prompt_and_their_strategy_can_be_chosen(models, tmp_path):
    done = run(models, tmp_path, select="easy", select_per_prompt=2, method="none")
    of = Counter(row["pair_id"].rpartition("/")[0] for row in done.dataset)
    assert max(of.values()) == 2


def test_a_file_of_answers_is_given_for_the_pairs_that_were_made(models, tmp_path):
    answers = tmp_path / "answers.jsonl"
    with pytest.raises(StandsStill, match="questions stand"):
        run(models, tmp_path / "home", annotators=f"file:{answers}")
    (asked,) = (tmp_path / "home").rglob("questions.jsonl")
    names = [json.loads(line)["pair_id"] for line in asked.read_text().splitlines()]
    assert names and all(name.startswith("q") and "/" in name for name in names)
    done = None
    for _ in range(12):
        known = [json.loads(line) for line in asked.read_text().splitlines()]
        with answers.open("a") as file:
            file.writelines(json.dumps({"pair_id": one["pair_id"], "choice": "first"}) + "\n" for one in known)
        try:
            done = run(models, tmp_path / "home", annotators=f"file:{answers}")
            break
        except StandsStill:
            continue
    assert done is not None and sum(row["source"] == "people" for row in done.dataset) > 0


def test_a_run_whose_models_say_nothing_stands_still_and_says_so(models, tmp_path):
    with pytest.raises(
        StandsStill, match=r"no prompt has two different answers, of 96 answers to 24 prompts: 96 empty"
    ):
        run(models, tmp_path, generate=[f"{models.url}#mute"])


def test_money_is_held_back_for_answers_and_the_run_stops_before_it_is_spent(models, tmp_path):
    with pytest.raises(StandsStill, match=r"the next 8 prompts will cost about \$"):
        run(models, tmp_path, prompt_price=100, completion_price=1000, dollars=0.5)


# ── what cannot be ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"generate": ["sample"]}, "the URL of an OpenAI-compatible endpoint"),
        ({"samples": 1}, "from 2 to 32"),
        ({"annotators": "recorded"}, "no row of the input says what people prefer"),
        ({"dollars": 3}, "a model's price is unknown"),
    ],
)
def test_what_cannot_be_sampled_is_refused_in_words(models, tmp_path, asked, says):
    with pytest.raises(InvalidInput, match=says):
        run(models, tmp_path, **asked)


def test_samples_of_nobody_are_refused():
    with pytest.raises(InvalidInput, match="nothing says who answers"):
        options.run_config(options.resolve({"samples": 3}), None)


def test_a_run_that_goes_on_from_another_samples_nothing():
    made = config(generators=[MODEL], select="easy")
    made.parent.run_id, made.parent.pairs = "r", 3
    with pytest.raises(InvalidInput, match="leave --generate or --from out"):
        generating.check(made)


# ── prompts in files ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("row", "asked"),
    [
        ({"prompt": "One?"}, ["One?"]),
        ({"instruction": "Add.", "input": "1 and 2"}, ["Add.\n\n1 and 2"]),
        ({"prompt": "One?", "chosen": "Yes", "rejected": "No"}, ["One?"]),
        ({"messages": [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Yes"}]}, ["One?"]),
        ({"system": "Be short.", "question": "One?"}, ["Be short.", "One?"]),
    ],
)
def test_rows_of_every_kind_give_their_prompts(tmp_path, row, asked):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (made,) = intake.read(path, prompts=True).rows
    assert [turn.content for turn in made.pair.prompt] == asked
    assert generating.is_prompt(made.pair) and made.truth is None


def test_columns_may_name_the_prompt_and_a_row_without_one_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"q": "One?", "gold": "1"}\n')
    (made,) = intake.read(path, prompts=True, columns="prompt=q,reference=gold").rows
    assert made.pair.prompt[0].content == "One?" and made.pair.reference == "1"
    with pytest.raises(InvalidInput, match="no `prompt` to be answered"):
        intake.read(path, prompts=True)


# ── what is dropped, and which pairs the others make ───────────────────────────────────────────────────────────────


def answers(*texts: str, model: int = 0) -> list[Sampled]:
    return [Sampled(model, f"m{model}", text) for text in texts]


def made_of(found: list[Sampled]) -> tuple[list[str], Account]:
    account = Account()
    return [pair.pair_id for pair in pairs_of(Pair(pair_id="q"), found, account)], account


LONG = " ".join(f"word{n}" for n in range(40))


def test_of_answers_that_say_the_same_the_first_is_kept():
    found, account = made_of(answers("It is so.", "it  is so .", "It is so.", "It is not so."))
    assert found == ["q/0-3"]
    assert account.dropped == {("m0", SAME): 1, ("m0", ALIKE): 1}
    assert (account.answers, account.kept, account.prompts, account.without_pair) == (4, 2, 1, 0)


def test_a_word_apart_is_nearly_the_same_and_a_number_apart_is_not():
    assert made_of(answers(f"{LONG} 12", f"{LONG} 12 indeed"))[0] == []
    assert made_of(answers(f"{LONG} 12", f"{LONG} 13"))[0] == ["q/0-1"]


def test_empty_cut_and_refused_answers_are_no_candidates_and_are_counted_by_model():
    useless = [Sampled(0, "m0", "half", CUT), Sampled(0, "m0", "", REFUSED), *answers(" \n")]
    found, account = made_of([*useless, *answers("Yes.")])
    assert found == [] and account.without_pair == 1
    assert account.dropped == {("m0", why): 1 for why in (CUT, REFUSED, EMPTY)}


def test_of_two_models_each_pair_has_an_answer_of_both_and_no_place_is_a_models_own():
    both = [*answers("a b c", "d e f"), *answers("g h i", "j k l", model=1)]
    firsts = Counter()
    for n in range(200):
        pairs = pairs_of(Pair(pair_id=f"q{n}"), both, Account())
        assert [pair.pair_id for pair in pairs] == [f"q{n}/{i}-{j}" for i, j in itertools.product((0, 1), (2, 3))]
        assert all({pair.first.model, pair.second.model} == {"m0", "m1"} for pair in pairs)
        firsts.update(pair.first.model for pair in pairs)
        assert all(both[pair.first_place - 1].text == pair.first.text for pair in pairs)
    assert 0.4 < firsts["m0"] / 800 < 0.6


def test_of_many_answers_a_bounded_number_of_pairs_is_made_and_always_the_same():
    many = answers(*(f"about {n} things and {n * n} more" for n in range(20)))
    found, _ = made_of(many)
    assert len(found) == MOST_PAIRS == len(set(found)) and found == made_of(many)[0]


# ── calls: once, in batches, after a kill ──────────────────────────────────────────────────────────────────────────


def asked_prompts(count: int) -> list[Pair]:
    return [Pair(pair_id=str(n), prompt=[Message(role="user", content=f"What of {n}?")]) for n in range(count)]


def test_after_a_kill_only_what_was_in_flight_is_sampled_again(tmp_path):
    async def story():
        async with Endpoint() as served:
            url, model = f"sqlite:///{tmp_path / 'answers.db'}", JudgeConfig(kind="llm", name="m", url=served.url)
            kept = AnswerCache(url)
            llm = LLMJudges(kept, {}, ChatSettings(concurrency=16))
            sampling = asyncio.create_task(llm.sampled(asked_prompts(100), model, 4, 1))
            while served.answered < 180:
                await asyncio.sleep(0)
            sampling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sampling
            await llm.close()
            await kept.close()

            kept = AnswerCache(url)
            llm = LLMJudges(kept, {}, ChatSettings(concurrency=16))
            said, used = await llm.sampled(asked_prompts(100), model, 4, 1)
            assert [len(mine) for mine in said] == [4] * 100 and all(one.text for mine in said for one in mine)
            assert served.paid_again <= 16 and used.cached_calls >= 180 - 16
            await llm.close()
            await kept.close()

    asyncio.run(story())


def test_an_empty_and_a_cut_answer_are_kept_too_and_not_paid_again():
    async def story():
        async with Models() as served:
            model, llm = JudgeConfig(kind="llm", name="policy", url=served.url), LLMJudges(MemoryAnswers(), {})
            first, paid = await llm.sampled(asked_prompts(30), model, 4, 1)
            again, free = await llm.sampled(asked_prompts(30), model, 4, 1)
            assert first == again and (paid.calls, free.calls, free.cached_calls) == (120, 0, 120)
            assert {one.why_not for mine in first for one in mine} == {"", CUT}
            await llm.close()

    asyncio.run(story())


def test_an_answer_that_the_endpoint_refuses_harms_that_prompt_alone():
    async def story():
        async with Endpoint(poison={"What of 3?": 400}) as served:
            model, llm = JudgeConfig(kind="llm", name="m", url=served.url), LLMJudges(MemoryAnswers(), {})
            said, _ = await llm.sampled(asked_prompts(6), model, 2, 1)
            assert [{one.why_not for one in mine} for mine in said] == [{REFUSED} if n == 3 else {""} for n in range(6)]
            await llm.close()

    asyncio.run(story())


def test_answers_are_sampled_in_batches_as_verdicts_are(tmp_path):
    async def story():
        async with BatchEndpoint() as served:
            url = f"sqlite:///{tmp_path / 'state.sqlite'}"
            model = JudgeConfig(kind="llm", name="m", url=served.url, batch=True, max_tokens=50)
            kept = AnswerCache(url)
            llm = LLMJudges(kept, {})
            batches = Batches(BatchNotes(url), lambda one: BatchWire(llm.endpoint(one)), 7.0)
            gather = lambda: batches.gather(llm.sampler(model, 3), "run", "unit", asked_prompts(5), 0)  # noqa: E731
            with pytest.raises(Deferred, match="works on batch"):
                await gather()
            assert served.calls == 3 and served.batches[0].lines == 3 * 4
            served.finish(served.batches[0])
            assert (await gather()).calls == 12
            said, used = await llm.sampled(asked_prompts(5), model, 3, 0)
            assert (used.calls, used.cached_calls) == (0, 15) and all(one.text for mine in said for one in mine)
            await batches.close()
            await llm.close()
            await kept.close()

    asyncio.run(story())


# ── the state machine and the money ────────────────────────────────────────────────────────────────────────────────


def generated(**more) -> FoldedRun:
    """A run of prompts at its GENERATE."""
    folded = FoldedRun(config(select="random", generators=[MODEL], human_budget=0, human_budget_share=0.5, **more))
    return folded


def test_answers_are_sampled_before_anything_else():
    steps = names(plan.stages(config(select="random", generators=[MODEL], pilot=3), 100, 20))
    assert steps[:6] == ["GENERATE", "FIT_FEATURES", "EMBED", "SELECT", "PILOT_LABEL", "PILOT_ANNOTATE"]


def test_the_candidates_of_all_shards_are_the_runs_pairs_once_the_stage_closes():
    folded = generated()
    asked = folded.go_to(Stage.STAGE_GENERATE)
    assert [item.generate_shard.shard_uri for item in asked] == [f"shard-{n}" for n in range(5)]
    folded.hear(*map(result, reversed(asked)))
    made = candidates_of(folded.state)
    asked = folded.turn()
    assert folded.view.pairs == 5 * MADE_PAIRS == made.pairs and folded.view.pairs_uri == made.pairs_uri
    assert [shard.first_index for shard in folded.state.shards] == [MADE_PAIRS * n for n in range(5)]
    assert PairsManifest.FromString(list(folded.blobs.values())[-1]).pairs == made.pairs, "the manifest is stored"
    assert folded.view.human_budget == made.pairs // 2
    folded.hear(*map(result, asked))
    assert folded.finish().dataset.dataset_sha256


def test_a_shard_of_prompts_without_a_pair_is_no_shard_and_a_run_without_any_stands_still():
    folded = generated()
    asked = folded.go_to(Stage.STAGE_GENERATE)
    said = [result(item) for item in asked]
    said[1].shard_generated.ClearField("shard")
    folded.hear(*said)
    folded.turn()
    assert folded.view.pairs == 4 * MADE_PAIRS and len(folded.state.shards) == 4

    empty = generated()
    said = [result(item) for item in empty.go_to(Stage.STAGE_GENERATE)]
    for event in said:
        event.shard_generated.ClearField("shard")
        event.shard_generated.dropped.add(model="m", why=EMPTY, answers=8)
    empty.hear(*said)
    empty.turn()
    assert empty.view.status == RunStatus.RUN_STATUS_PAUSED
    assert empty.view.pause_reason == PauseReason.PAUSE_REASON_FAILED_UNITS and "40 empty" in empty.view.detail


def test_what_answers_cost_says_nothing_of_what_a_verdict_costs():
    priced = {"prompt_dollars": 1.0, "completion_dollars": 1.0}
    judge = JudgeConfig(kind="llm", name="j", url="http://judge.example/v1", **priced)
    folded = FoldedRun(config(select="random", generators=[JudgeConfig(name="p", kind="llm", **priced)], judge=judge))
    asked = folded.go_to(Stage.STAGE_GENERATE)
    used = {"calls": 16, "prompt_tokens": 160, "completion_tokens": 16_000, "dollars": 0.01616}
    folded.hear(*(result(item, usage=used) for item in asked))
    folded.go_to(Stage.STAGE_LABEL)
    assert folded.view.generated.calls == 16 * len(asked) and generating.judging(folded.view).calls == 0
    assert work.expected(folded.state, 0) < 0.01


def test_answers_are_priced_by_what_the_first_ones_took():
    asked = config(generators=[JudgeConfig(name="p", completion_dollars=1.0, max_tokens=500)], samples=2)
    before = generating.expected(asked, 1000, 10)
    assert (before.calls, before.completion_tokens) == (20, 20 * generating.ASSUMED.tokens_an_answer)
    view = FoldedRun(asked).view
    view.generated.calls, view.generated.prompt_tokens, view.generated.completion_tokens = 10, 500, 1000
    after = generating.expected(asked, 1000, 10, generating.learned(asked, view.generated, 100))
    assert after.completion_tokens == pytest.approx(2000) and after.prompt_tokens == pytest.approx(1000)


def test_a_dry_run_prices_answers_and_verdicts(models, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in prompts(10)))
    said = {"generate": (f"{models.url}#policy",), "judge": f"{models.url}#stub", "annotators": "people"}
    job = prepare(str(path), options.resolve({**said, "prompt_price": 1.0, "completion_price": 2.0}), None, "")
    expected = estimate.estimate(job.config, [row.pair for row in job.given.rows])
    assert expected.sampled["calls"] == 40 and expected.calls == 40 + 2 * 10
    assert 0 < expected.sampled["dollars"] < expected.dollars and "a sampled answer" in expected.basis


def test_a_run_of_given_pairs_records_nothing_of_it():
    assert not config(samples=0, select_per_prompt=0).HasField("parent")
    made = options.run_config(options.resolve({}), None)
    assert not made.generators and not made.samples and not made.select


def test_candidate_pairs_have_the_prompts_reference_and_group():
    prompt = Pair(pair_id="q", group=7, reference="12", domain="sums")
    prompt.known.answers.append("12")
    (pair,) = pairs_of(prompt, answers("12", "13"), Account())
    assert (pair.group, pair.reference, pair.domain, list(pair.known.answers)) == (7, "12", "sums", ["12"])
    assert pair_hash(pair) and candidates.MOST_PAIRS == MOST_PAIRS and (pair.first_place, pair.second_place) != (0, 0)
    assert {pair.first_place, pair.second_place} == {1, 2} and SHARD_PAIRS
