"""`concord prompts`: topics become prompts that a model writes, none twice, which `concord run --generate` takes as they are."""

import json
import re
from typing import Any

import pytest

from concord.checks.model_list import listed
from concord.client.intake import intake
from concord.labeling import topics
from tests.endpoint import Endpoint
from tests.judged_run import endpoint
from tests.test_cli import concord


class Author(Endpoint):
    """Writes half of what is asked for, numbered over all its calls, and one that it wrote before; of tax law nothing."""

    def _completion(self, body: dict[str, Any], prompt: str, bad: bool) -> dict[str, Any]:
        count = int(re.search(r"Write (\d+) prompts", prompt)[1])
        topic = prompt.split("---\n")[1].strip()
        first = prompt.count("\n- ")
        texts = ["What is  THE first?"] + [f"What of {topic}, number {first + n}?" for n in range((count + 1) // 2)]
        text = "I would rather not." if topic == "tax law" else json.dumps(texts)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        return {"id": "c", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": {}}


@pytest.fixture(scope="module")
def author():
    with endpoint(Author) as served:
        yield served


def test_topics_become_prompts_that_a_run_can_sample_answers_to(author, tmp_path):
    (tmp_path / "topics.txt").write_text("gardens\ncooking for two\n\ngardens\n")
    words = ("prompts", "topics.txt", "--writer", f"{author.url}#m", "--count", "6", "--out", "made/prompts.jsonl")
    done = concord(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "made/prompts.jsonl").read_text().splitlines()]
    assert [row["domain"] for row in rows] == ["gardens"] * 6 + ["cooking for two"] * 6
    assert len({row["prompt"].lower() for row in rows}) == len(rows) == len({row["id"] for row in rows})
    given = intake.read(str(tmp_path / "made/prompts.jsonl"), None, prompts=True)
    assert [row.pair.prompt[-1].content for row in given.rows] == [row["prompt"] for row in rows]
    assert "on 2 topics" in done.stderr and "repeated or too long" in done.stderr


def test_a_topic_that_the_model_does_not_write_on_is_named(author, tmp_path):
    (tmp_path / "topics.txt").write_text("tax law\n")
    done = concord(tmp_path, "prompts", "topics.txt", "--writer", f"{author.url}#m", "--count", "3")
    assert done.returncode == 0 and done.stdout == ""
    assert "0 prompts on 1 topic" in done.stderr and "'tax law': 0 of 3" in done.stderr


def test_a_writer_that_is_no_endpoint_is_refused_in_words(tmp_path):
    (tmp_path / "topics.txt").write_text("gardens\n")
    done = concord(tmp_path, "prompts", "topics.txt", "--writer", "gardener")
    assert done.returncode == 2 and "the URL of an endpoint is expected" in done.stderr


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ('Sure:\n```json\n["One?", "Two?"]\n```', ["One?", "Two?"]),
        ("1. One?\n2) “Two?”\n- Three?", ["One?", "Two?", "Three?"]),
        ('["One?", 2, null]', ["One?"]),
        ("[" * 100_000, []),
        ("I would rather not.", []),
    ],
)
def test_a_list_is_read_in_the_forms_that_models_give_it(answer, texts):
    assert list(listed(answer)) == texts


def test_what_is_there_already_or_has_no_end_is_left_out():
    assert topics.read('["One, two!", "one two", "Three?", ""]', {"four"}) == (["One, two!", "Three?"], 2)
    assert topics.read(json.dumps(["word " * topics.LONGEST]), ()) == ([], 1)


def test_a_further_call_shows_what_is_written_and_wants_others():
    said = topics.messages("gardens", 50, [f"What of {n}?" for n in range(30)])[0]["content"]
    assert f"Write {topics.A_CALL} prompts" in said and said.count("\n- What of") == topics.SHOWN
    assert "What of 29?" in said and "What of 9?" not in said
