"""What a training is told, and what of it is refused before torch is imported."""

import gzip
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.kit.errors import InvalidInput
from concord.reward.encoding import Asked, cut, encoded, middle_out
from concord.training import model_folder, policy, reward, spec
from concord.training.examples import Example, normalised, split, taken, targets
from concord.training.knobs import CHOICES, evaluate_every, steps_of
from concord.training.lessons import lessons, material
from concord.training.policy import Knobs as PolicyKnobs
from concord.training.progress import STOPPED, Pace, Progress, Stop
from tests.tiny_models import rows, written

MUST = {"model": "m", "data": "d", "out": "o"}


def read(tmp_path, text: str, *more: str):
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    return spec.read(str(path), more, reward.Knobs, reward.RANGES, CHOICES)


def knobs(**more) -> reward.Knobs:
    return reward.Knobs(**MUST, **more)


class Words:
    """A tokenizer of whitespace: one token a word, as far as `encoded` knows tokenizers."""

    eos_token, chat_template = "END", "a template"

    def __init__(self, takes_system: bool = True) -> None:
        self._numbers: dict[str, int] = {}
        self._takes_system = takes_system

    def __call__(self, texts, add_special_tokens=True):
        return {"input_ids": [[self._number(word) for word in text.split()] for text in texts]}

    def _number(self, word: str) -> int:
        return self._numbers.setdefault(word, len(self._numbers))

    def apply_chat_template(self, turns, tokenize, add_generation_prompt=False, tools=()):
        said = [turn for turn in turns if self._takes_system or turn["role"] != "system"]
        text = " ".join(f"<{turn['role']}> {turn['content']} </>" for turn in said)
        return f"{text} <assistant>" if add_generation_prompt else text

    def said(self, ids) -> str:
        names = list(self._numbers)
        return " ".join(names[number] for number in ids)


def test_a_spec_is_yaml_or_json_and_the_command_line_wins(tmp_path):
    text = "model: m\ndata: d\nout: o\nlearning_rate: 1e-3\nlora_rank: 8\n"
    assert read(tmp_path, text).learning_rate == 0.001
    assert read(tmp_path, json.dumps(MUST), "seed=3", "labels=hard") == knobs(seed=3, labels="hard")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: m\ndata: d\nout: o\nlr: 1", "there is no knob 'lr'"),
        ("model: m\ndata: d\nout: o\nlora_rnk: 1", "did you mean lora_rank?"),
        ("model: m\ndata: d\nout: o\nbatch: many", "batch: 'many' is not a whole number"),
        ("model: m\ndata: d\nout: o\nseed: true", "seed: True is not a whole number"),
        ("model: m\ndata: d\nout: o\nlearning_rate: .nan", "learning_rate: nan is not in 1e-09 to 1"),
        ("model: m\ndata: d\nout: o\nlabels: sure", "labels: 'sure' is not one of soft, weighted, hard"),
        ("model: m", "data, out must be given"),
        ("- model", "a mapping is expected"),
        ("model: [", "is no YAML"),
    ],
)
def test_a_knob_that_cannot_be_is_named_with_its_file(tmp_path, text, said):
    with pytest.raises(InvalidInput) as refused:
        read(tmp_path, text)
    assert said in str(refused.value) and "spec.yaml" in str(refused.value)


def test_every_range_and_choice_is_one_of_a_knob():
    for kind, ranges in ((reward.Knobs, reward.RANGES), (policy.Knobs, policy.RANGES)):
        assert set(ranges) <= set(kind.__dataclass_fields__)
        # What is not said is itself allowed.
        spec.checked(vars(kind(**MUST)), "defaults", kind, ranges, CHOICES)
    assert set(CHOICES) <= set(reward.Knobs.__dataclass_fields__)


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, env=os.environ)


def test_a_bad_spec_ends_with_2_and_says_what_to_do(tmp_path):
    path = written(tmp_path / "spec.yaml", [{**MUST, "data": str(tmp_path / "none.jsonl")}])
    done = command("concord.training.reward", str(path))
    assert done.returncode == 2 and "none.jsonl cannot be read" in done.stderr and not done.stdout
    assert command("concord.training.policy").returncode == 2


def test_several_devices_are_several_processes(tmp_path):
    data = written(tmp_path / "rows.jsonl", rows(4))
    path = written(tmp_path / "spec.yaml", [{**MUST, "data": str(data), "devices": 2}])
    done = command("concord.training.reward", str(path))
    assert done.returncode == 2 and "torchrun --nproc-per-node 2" in done.stderr


def test_ties_rows_without_weight_and_harmful_ones_are_counted_and_left_out():
    held = [*rows(2), {**rows(1)[0], "label": "tie"}, {**rows(1)[0], "weight": 0}, {**rows(1)[0], "harmful": True}]
    found = taken(enumerate(held, 1), "rows", 0.0, False)
    assert len(found.examples) == 2
    assert found.left_out == {"ties": 1, "without a weight": 1, "marked as harmful": 1}
    assert len(taken(enumerate(held, 1), "rows", 0.0, True).examples) == 3


def test_a_row_of_the_dataset_is_a_conversation_and_a_text_stays_a_text():
    row = {"prompt": [{"role": "user", "content": "q"}], "chosen": "a", "rejected": "b"}
    (example,) = taken([(1, row)], "rows", 0.0, False).examples
    assert example.chosen == [{"role": "assistant", "content": "a"}] and example.p_chosen == 1.0
    (example,) = taken([(1, {"prompt": [], "chosen": "a", "rejected": "b"})], "rows", 0.0, False).examples
    assert (example.prompt, example.chosen) == ("", "a")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"chosen": None}, "line 7: `chosen` is expected"),
        ({"p_chosen": "1"}, "p_chosen: '1' is not a number"),
        ({"p_chosen": 1.5}, "a probability and 0 or more are expected"),
    ],
)
def test_what_is_no_pair_is_named_by_its_line(more, said):
    with pytest.raises(InvalidInput, match=said):
        taken([(7, {**rows(1)[0], **more})], "rows", 0.0, False)


def test_people_count_as_often_as_is_said():
    held = [{**rows(1)[0], "source": "people", "weight": 4.0}, rows(1)[0]]
    for said, wanted in ((0.0, 4.0), (2.0, 2.0)):
        assert [one.weight for one in taken(enumerate(held, 1), "rows", said, False).examples] == [wanted, 1.0]


def test_weights_are_made_to_have_the_mean_one():
    example = Example("q", "a", "b", 1.0, 3.0)
    assert [one.weight for one in normalised([example, replace(example, weight=1.0)])] == [1.5, 0.5]


def test_labels_are_soft_weighted_or_hard():
    example = Example("q", "a", "b", 0.75, 1.0)
    assert [targets(example, labels) for labels in ("soft", "weighted", "hard")] == [
        (0.75, 1.0),
        (1.0, 0.5),
        (1.0, 1.0),
    ]


def test_a_prompt_is_held_out_whole_and_the_same_way_each_time():
    examples = [Example(f"q{number // 3}", "a", "b", 1.0, 1.0) for number in range(60)]
    learn, held = split(examples, 0.2, 100, 1)
    assert len(held) == 12 and not {one.prompt for one in learn} & {one.prompt for one in held}
    assert (learn, held) == split(examples, 0.2, 100, 1) != split(examples, 0.2, 100, 2)
    assert len(split(examples, 0.5, 6, 1)[1]) == 6 and not split(examples, 0.0, 6, 1)[1]
    # One prompt alone cannot be on both sides.
    assert not split(examples[:3], 0.5, 100, 1)[1]


def test_prompt_and_answers_are_tokens_of_which_the_beginning_is_shared():
    words = Words()
    chat = Asked([{"role": "user", "content": "q r"}], ([{"role": "assistant", "content": "a"}],))
    text = Asked("q r ", ("a", "b c"))
    of_chat, of_text = encoded(words, [chat, text])
    assert words.said(of_chat.prompt) == "<user> q r </> <assistant>"
    assert words.said(of_chat.answers[0]) == "a </>"
    assert words.said(of_text.prompt) == "q r" and [words.said(ids) for ids in of_text.answers] == ["aEND", "b cEND"]


def test_a_template_that_passes_a_system_message_over_has_it_said_by_the_user():
    turns = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "q"}]
    asked = [Asked(turns, ([{"role": "assistant", "content": "a"}],))]
    for takes, wanted in (
        (True, "<system> be brief </> <user> q </> <assistant>"),
        (False, "<user> be brief q </> <assistant>"),
    ):
        words = Words(takes)
        assert words.said(encoded(words, asked)[0].prompt) == wanted


def test_a_model_without_a_template_reads_a_transcript():
    words = Words()
    words.chat_template = ""
    (found,) = encoded(words, [Asked([{"role": "user", "content": "q"}], ([{"role": "assistant", "content": "a"}],))])
    assert words.said(found.prompt) == "User: q Assistant:" and words.said(found.answers[0]) == "aEND"


def test_what_is_too_long_is_missing_in_the_middle_and_the_prompt_gives_way_first():
    assert middle_out(list(range(10)), 5) == [0, 1, 2, 8, 9] and middle_out([1], 5) == [1]
    words = Words()
    (one,) = encoded(words, [Asked(" ".join(f"p{n}" for n in range(20)) + " ", ("a b c", "d"))])
    short = cut(one, 10)
    assert short.longest == 10 and short.answers == one.answers and len(short.prompt) == 7
    (one,) = encoded(words, [Asked("p q r s t ", (" ".join(f"a{n}" for n in range(50)), "d"))])
    assert cut(one, 12).longest == 12 and len(cut(one, 12).prompt) == 3


def test_no_pair_is_dropped_in_silence(tmp_path):
    data = written(tmp_path / "rows.jsonl", rows(40))
    long = knobs(max_length=16)
    held = material(replace(long, data=str(data)))
    cut_ones = lessons(held, long, Words())
    assert cut_ones.cut > 0 and len(cut_ones.learn) + len(cut_ones.held) == 40
    left = lessons(held, replace(long, too_long="leave_out"), Words())
    assert len(left.learn) + len(left.held) + left.left_out["above max_length (16)"] == 40 and left.cut == 0
    with pytest.raises(InvalidInput, match="raise max_length"):
        lessons(held, replace(long, max_length=8, too_long="leave_out"), Words())


def test_data_may_be_gzipped_and_a_torn_file_is_named(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    whole = gzip.compress(written(tmp_path / "rows.jsonl", rows(10)).read_bytes())
    path.write_bytes(whole)
    assert len(material(replace(knobs(validation=0.0), data=str(path))).learn) == 10
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match=r"rows\.jsonl\.gz cannot be read"):
        material(replace(knobs(), data=str(path)))
    (tmp_path / "rows.jsonl").write_text("{\n")
    with pytest.raises(InvalidInput, match="line 1 is no JSON"):
        material(replace(knobs(), data=str(tmp_path / "rows.jsonl")))


def test_the_certificate_is_repeated_and_a_file_without_one_refused(tmp_path):
    data, report = written(tmp_path / "rows.jsonl", rows(4)), tmp_path / "report.json"
    report.write_text('{"certificate": null}')
    assert material(replace(knobs(certificate=str(report)), data=str(data))).certificate == ""
    with pytest.raises(InvalidInput, match="holds none"):
        material(replace(knobs(certificate=str(data)), data=str(data)))


def test_steps_are_of_whole_batches_over_all_devices():
    assert steps_of(knobs(batch=8, micro_batch=4, epochs=1.0), 17) == 3
    assert steps_of(knobs(batch=8, micro_batch=4, epochs=1.0, devices=2), 17) == 3
    assert steps_of(knobs(max_steps=5), 17) == 5
    assert evaluate_every(knobs(evaluations=4), 10) == 3 and evaluate_every(knobs(evaluations=4), 2) == 1


def test_a_folder_of_another_training_is_refused_and_the_same_one_goes_on(tmp_path):
    out = tmp_path / "model"
    assert model_folder.begin(out, {"settings": {"seed": 1}, "data_sha256": "a"})
    assert model_folder.begin(out, {"settings": {"seed": 1}, "data_sha256": "a"})
    assert model_folder.begin(out, {"settings": {"seed": 2}, "data_sha256": "a"}), "nothing was trained yet"
    assert model_folder.begin(out, {"settings": {"seed": 1}, "data_sha256": "a"})
    (out / "checkpoints" / "checkpoint-3").mkdir(parents=True)
    with pytest.raises(InvalidInput, match="other data_sha256 and settings"):
        model_folder.begin(out, {"settings": {"seed": 2}, "data_sha256": "b"})
    with pytest.raises(InvalidInput, match="holds other files"):
        model_folder.begin(tmp_path, {"settings": {}})


def test_a_finished_folder_names_every_file_by_its_hash(tmp_path):
    out, what = tmp_path / "model", {"settings": {"seed": 1}}
    model_folder.begin(out, what)
    (out / "adapter_config.json").write_text('{"target_modules": ["b", "a"]}')
    (out / "checkpoints").mkdir()
    made = model_folder.finish(out, "policy", what, {"seed": 1}, "a card\n")
    assert [held["path"] for held in made["files"]] == ["README.md", "adapter_config.json"]
    assert made["files"][0]["sha256"] == model_folder.sha256_of(out / "README.md")
    assert json.loads((out / "adapter_config.json").read_text())["target_modules"] == ["a", "b"]
    assert not (out / "checkpoints").exists() and not (out / "training.json").exists()
    assert not model_folder.begin(out, what)


def test_a_torn_checkpoint_is_removed_and_the_newest_whole_one_found(tmp_path):
    for step, is_whole in ((9, True), (10, True), (20, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if is_whole:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    assert model_folder.newest_checkpoint(tmp_path).name == "checkpoint-10"
    assert not (tmp_path / "checkpoint-20").exists()


def test_a_card_says_what_it_was_made_from_and_breaks_no_table():
    said = model_folder.card("a | title", [("data", "a|b<c")], "use()", "Certified.")
    assert "# a  title" in said and "| data | abc |" in said and "Certified." in said and "use()" in said


def test_pace_tells_tokens_a_second_and_the_time_left():
    clock = iter([0.0, 2.0, 3.0])
    pace = Pace(10, lambda: next(clock))
    pace.begin(0)
    assert pace.look(2, 100) == {"tokens_a_second": 50.0, "seconds_left": 8.0}
    assert pace.look(3, 400) == {"tokens_a_second": 300.0, "seconds_left": 7.0}


def test_progress_is_a_line_of_json_in_both_places(tmp_path, capsys):
    Progress(tmp_path / "progress.jsonl", sys.stdout).say("step", step=1, loss=0.5)
    said = capsys.readouterr().out
    assert said == (tmp_path / "progress.jsonl").read_text() and json.loads(said)["event"] == "step"
    Progress(tmp_path / "none.jsonl", None).say("step")
    assert not (tmp_path / "none.jsonl").exists()


def test_who_asks_for_an_end_before_anything_is_worth_keeping_gets_it_at_once():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        stop = Stop().listen()
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(signal.SIGTERM)
        assert ended.value.code == STOPPED
        stop.at_once = False
        signal.raise_signal(signal.SIGTERM)
        assert stop.asked
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])


@given(st.lists(st.integers(0, 30), min_size=2, max_size=80), st.integers(0, 9), st.floats(0, 0.5), st.integers(1, 40))
def test_no_prompt_teaches_chooses_the_checkpoint_and_is_measured_on(tmp_path_factory, prompts, seed, share, asked):
    """Whatever the data: three sets that share no prompt, the same ones each time, and nothing is lost between them."""
    data = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    written(
        data, [{"prompt": f"Question {n}?", "chosen": f"yes {at}", "rejected": "no"} for at, n in enumerate(prompts)]
    )
    asks = PolicyKnobs("m", str(data), "out", validation=share, seed=seed, answers=asked)
    found, again = policy.material(asks), policy.material(asks)
    learn, held, test = ({one.prompt for one in side} for side in (found.learn, found.held, found.test))
    assert not learn & held and not learn & test and not held & test and learn
    assert learn | held | test == {f"Question {n}?" for n in prompts} and len(test) <= asked
    assert len(found.learn) + len(found.held) + len(found.test) == len(prompts)
    assert (again.learn, again.held, again.test) == (found.learn, found.held, found.test)
    assert not policy.material(replace(asks, answers=0)).test, (
        "where nothing is to be answered all of it teaches or chooses"
    )
