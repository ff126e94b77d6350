"""Concord from Python: one call, the same run as the command line's."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

import concord
from concord.client.intake import given_rows
from concord.kit.errors import InvalidInput
from tests import the_sample
from tests.test_asking import rows_of, write_blind
from tests.test_cli import concord as command
from tests.test_cli import small_file
from tests.test_imports import loaded_by

ASKED = {"judge": "sample", "budget": 0.2}


def home_of(folder: Path) -> str:
    return str(folder / "concord-data")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder, and a run that was made in it from Python."""
    folder = tmp_path_factory.mktemp("python")
    return folder, concord.run(small_file(folder, 60), home=home_of(folder), tell=None, **ASKED)


def test_the_command_line_goes_on_with_the_run_that_python_made(done):
    folder, run = done
    again = command(folder, "run", str(folder / "pairs.jsonl"), "--judge", "sample", "--budget", "20%", "--json")
    assert again.returncode == 0, again.stderr
    report = json.loads(again.stdout)
    assert (report["run_id"], report["dataset_sha256"]) == (run.run_id, run.dataset.sha256)
    assert len(command(folder, "runs").stdout.splitlines()) == 1


def test_rows_of_a_program_give_the_dataset_that_their_file_gives(done, tmp_path):
    _, run = done
    rows = [json.loads(line) for line in the_sample.jsonl().splitlines()[:60]]
    same = concord.run((row for row in rows), home=home_of(tmp_path), tell=None, **ASKED)
    assert same.dataset.sha256 == run.dataset.sha256
    assert concord.run(rows, home=home_of(tmp_path), tell=None, **ASKED).run_id == same.run_id


def test_what_came_out_can_be_iterated_exported_shown_and_told(done):
    _, run = done
    rows = run.dataset.to_list()
    assert len(rows) == len(run.dataset) == 60 and rows == list(run.dataset)
    assert {"prompt", "chosen", "rejected", "p_chosen"} <= set(rows[0])
    assert run.figures["human_labels"] == 12 and run.figures["dataset_sha256"] == run.dataset.sha256
    assert run.report.path.name == "report.html" and run.report._repr_html_().startswith("<iframe srcdoc=")
    exported = run.export("trl")
    assert len(exported.read_text().splitlines()) == sum(row["label"] != "tie" for row in rows)
    assert repr(run.replay()).startswith(f"run {run.run_id}") and "PILOT" in run.replay()
    assert run.run_id[:8] in repr(run)


def test_what_is_said_names_commands_and_not_the_program_that_called(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/ipykernel_launcher.py"])
    monkeypatch.setenv("PATH", "")
    lines: list[str] = []
    concord.run(small_file(tmp_path, 40), home=home_of(tmp_path), tell=lines.append, **ASKED)
    assert any(line.startswith("replay it with: concord replay ") for line in lines)


def test_a_library_that_is_not_there_is_named(done, tmp_path, monkeypatch):
    for name, call in (("datasets", "to_hf"), ("pandas", "to_pandas")):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(InvalidInput, match=f"{call} needs {name}, which is not installed here: pip install {name}"):
            getattr(done[1].dataset, call)()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    folder = tmp_path / "new" / "hub"
    with pytest.raises(InvalidInput, match=r"pip install 'concord-preference\[data\]'"):
        done[1].export("hf", folder)
    assert not folder.parent.exists(), "what failed leaves nothing behind"


def test_a_function_answers_and_is_not_asked_again_what_it_answered(tmp_path):
    asked: list[str] = []

    def mine(prompt: str, first: str, second: str) -> str:
        asked.append(prompt)
        return "first" if len(first) >= len(second) else "second"

    me = concord.Annotators("me", mine)
    path = write_blind(tmp_path)
    run = concord.run(path, annotators=me, home=home_of(tmp_path), tell=None, **ASKED)
    assert len(asked) == 12 and run.figures["human_labels"] == 12
    assert concord.run(path, annotators=me, home=home_of(tmp_path), tell=None, **ASKED).run_id == run.run_id
    assert len(asked) == 12
    other = concord.Annotators("you", lambda prompt, first, second: None)
    assert concord.run(path, annotators=other, home=home_of(tmp_path), tell=None, **ASKED).run_id != run.run_id


def test_a_run_that_waits_for_people_says_why_and_the_same_call_goes_on(tmp_path):
    path, answers, lines = write_blind(tmp_path), tmp_path / "answers.jsonl", list[str]()
    names = set()
    while True:
        try:
            run = concord.run(path, annotators=f"file:{answers}", home=home_of(tmp_path), tell=lines.append, **ASKED)
            break
        except concord.StandsStill as error:
            assert "waits for people" in str(error) and "the same command again" in str(error)
            names.add(error.run_id)
            (questions,) = Path(home_of(tmp_path)).glob("runs/*/questions.jsonl")
            asked = [json.loads(line)["pair_id"] for line in questions.read_text().splitlines()]
            with answers.open("a") as file:
                file.writelines(json.dumps({"pair_id": name, "choice": "tie"}) + "\n" for name in asked)
    assert names == {run.run_id} and any("no answers yet" in line for line in lines)


def test_a_shut_gate_is_told_with_how_to_go_on(tmp_path):
    wrong = [
        {**row, "human_majority": 1 - row["human_majority"]} for row in rows_of(200) if row["human_majority"] in (0, 1)
    ]
    asked = {"judge": "sample", "budget": "50%", "pilot": 40, "home": home_of(tmp_path), "tell": None}
    with pytest.raises(concord.StandsStill, match="resume=True"):
        concord.run(wrong, **asked)
    with pytest.raises(InvalidInput, match="--resume: these settings are another run than"):
        concord.run(wrong, resume=True, **asked | {"seed": 7})
    assert concord.run(wrong, resume=True, **asked).figures["pairs"] == len(wrong)


def test_any_table_is_read_by_its_columns_and_a_run_goes_on_from_another(tmp_path):
    table = [
        {"q": row["prompt"][-1]["content"], "good": row["responses"][0]["text"], "bad": row["responses"][1]["text"]}
        for row in rows_of(60)
    ]
    me = concord.Annotators("me", lambda prompt, first, second: "tie")
    asked = {"annotators": me, "home": home_of(tmp_path), "tell": None}
    asked["columns"] = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    first = concord.run(table[:40], judge="recorded:chosen", budget=8, pilot=0, **asked)
    more = concord.run(table, from_run="last", **asked)
    assert (len(first.dataset), len(more.dataset)) == (40, 60)
    assert more.figures["parent"]["run_id"] == first.run_id


MISTAKES = {
    "a file that is not there": ({"pairs": "nowhere.jsonl"}, "there is no such file"),
    "a mapping of splits": ({"pairs": {"train": [], "test": []}}, "choose one"),
    "no rows": ({"pairs": []}, "there are no rows"),
    "a row that is none": ({"pairs": [1]}, "row 1: a dict is expected"),
    "a value without a place": ({"pairs": [{"prompt": object()}]}, "row 1: a value of type object"),
    "no table at all": ({"pairs": 7}, "a path, dicts, a datasets.Dataset or a DataFrame"),
    "a share that is none": ({"pairs": "sample", "budget": 6.0}, "a share lies between 0 and 1"),
    "a budget that is none": ({"pairs": "sample", "budget": [1]}, "a number of votes"),
    "a setting that is none": (
        {"pairs": "sample", "temprature": 1},
        r"concord.run\(\): there is no setting 'temprature'",
    ),
    "people who are none": ({"pairs": "sample", "annotators": [print]}, "concord.Annotators"),
    "one function for three votes": (
        {"pairs": "sample", "quorum": 3, "annotators": concord.Annotators("me", print)},
        "quorum 3: 1 functions answer",
    ),
    "two of one name": (
        {"pairs": "sample", "annotators": [concord.Annotators("me", print), concord.Annotators("me", repr)]},
        "two of them go by one name",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_an_error_with_words_and_nothing_is_recorded(tmp_path, mistake):
    given, said = MISTAKES[mistake]
    with pytest.raises(InvalidInput, match=said):
        concord.run(**given, home=home_of(tmp_path), tell=None)
    assert not (tmp_path / "concord-data" / "log.sqlite").exists()


@pytest.mark.parametrize(
    ("name", "answer"), [("", print), ("a+b", print), ("x" * 101, print), ("me", "first"), (1, print)]
)
def test_annotators_without_a_name_or_a_function_are_refused(name, answer):
    with pytest.raises(InvalidInput, match="Annotators"):
        concord.Annotators(name, answer)


class Frame:
    """As much of a pandas DataFrame as is asked of one."""

    columns = ("prompt", "score")

    def to_dict(self, orient: str) -> list[dict]:
        assert orient == "records"
        return [{"prompt": "a", "score": 1.0}, {"prompt": "b", "score": math.nan}]


def test_a_table_becomes_a_file_that_is_named_after_what_it_holds(tmp_path):
    path = Path(given_rows.path_of(Frame(), tmp_path))
    assert path.read_text() == '{"prompt": "a", "score": 1}\n{"prompt": "b", "score": null}\n'
    assert given_rows.path_of([{"prompt": "a", "score": 1}, {"prompt": "b", "score": None}], tmp_path) == str(path)
    assert given_rows.path_of("sample", tmp_path) == "sample" and given_rows.path_of(path, tmp_path) == str(path)


def test_importing_concord_loads_nothing_of_it():
    loaded = loaded_by("import concord")
    assert not {name for name in loaded if name.startswith("concord.")} and not loaded & {"numpy", "grpc", "typer"}
    assert not loaded_by("import concord; concord.run") & {"typer", "concord.commands", "concord.cli", "textual"}


def test_a_script_needs_no_guard_around_its_call(tmp_path):
    """Child processes compute the features: they must not run the script again."""
    small_file(tmp_path, 60)
    (tmp_path / "script.py").write_text(
        "import os, concord\n"
        "os.environ['CONCORD_PROCESSES'] = '1'\n"
        "print('begins')\n"
        "run = concord.run('pairs.jsonl', judge='sample', budget=0.2, tell=None)\n"
        "print(len(run.dataset))\n"
    )
    said = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert said.stdout == "begins\n60\n", said.stderr


def test_the_notebook_of_the_examples_runs_from_its_first_cell_to_its_last(tmp_path, monkeypatch):
    """Its cells in one process; a kernel would add Jupyter, and would run the same lines."""
    cells = json.loads((Path(__file__).parent.parent / "examples" / "first_run.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONCORD_HOME", raising=False)
    names: dict[str, object] = {}
    for number, cell in enumerate(code):
        exec(compile(cell, f"cell {number}", "exec"), names)
    assert names["again"].run_id == names["run"].run_id and len(names["rows_out"]) == 300
