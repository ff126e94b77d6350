"""Rewards by a server that speaks as vLLM's pooling and classify endpoints do, or as Text Embeddings Inference does."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest

from concord.kit.blobs import FileBlobs
from concord.kit.errors import InvalidInput, Unavailable
from concord.reward import stored
from concord.scoring import bench
from concord.scoring.models import Models, Shown
from concord.scoring.remote import ENDPOINTS, Remote
from concord.v1.pairs_pb2 import Message, Pair, Response
from tests.test_cli import concord
from tests.threaded import served

ASKED = [{"role": "user", "content": "Why?"}]


def reward_of(text: str) -> float:
    """What the stand-in thinks of an answer: its length."""
    return len(text) / 10


def reply_to(path: str, body: dict) -> object:
    """As the real ones reply."""
    if path == "/predict":
        return [[{"score": reward_of(answer), "label": "LABEL_0"}] for _, answer in body["inputs"]]
    reward = reward_of(body["messages"][-1]["content"])
    said = {"data": [reward], "object": "pooling"} if path == "/pooling" else {"probs": [reward], "num_classes": 1}
    return {"object": "list", "data": [{"index": 0, **said}], "usage": {"prompt_tokens": 3}}


@contextmanager
def server(reply=reply_to, status: int = 200):
    """The stand-in's address, and the bodies that it was sent."""
    bodies: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            content = json.dumps(reply(self.path, bodies[-1])).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with served(Handler) as held:
        yield f"http://127.0.0.1:{held.server_port}", bodies


@pytest.mark.parametrize("path", ENDPOINTS)
def test_each_answer_has_the_reward_that_the_server_gives_it_and_is_sent_once(path):
    answers = ["no", "a longer one", "no", *(f"answer {n}" for n in range(60))]
    with server() as (address, bodies):
        found = Remote(f"{address}/{path}#skywork").rewards([ASKED] * len(answers), answers)
    assert found.tolist() == pytest.approx([reward_of(one) for one in answers])
    sent = [pair[1] for body in bodies for pair in body.get("inputs", ())] or [
        body["messages"][-1]["content"] for body in bodies
    ]
    assert sorted(sent) == sorted(set(answers))


def test_the_server_gets_the_conversation_the_models_name_and_is_asked_for_no_activation():
    with server() as (address, bodies):
        Remote(f"{address}/pooling#skywork").rewards([ASKED], [[{"role": "assistant", "content": "So."}]])
        Remote(f"{address}/classify").rewards([""], ["So."])
    assert bodies[0] == {
        "model": "skywork",
        "messages": [*ASKED, {"role": "assistant", "content": "So."}],
        "add_generation_prompt": False,
        "use_activation": False,
    }
    assert "model" not in bodies[1] and bodies[1]["messages"] == [{"role": "assistant", "content": "So."}]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ({"data": [{"index": 0, "data": [[0.1], [0.2]]}]}, "2 numbers of one answer"),
        ({"data": [{"index": 0, "data": ["x"]}]}, "'x' is no reward"),
        ({"data": []}, "1 answer sent, and 0 rewards came back"),
        ({"choices": []}, "does not say rewards"),
    ],
)
def test_what_is_no_reward_is_told_in_words(reply, words):
    with server(lambda path, body: reply) as (address, _), pytest.raises(InvalidInput, match=words):
        Remote(f"{address}/pooling").rewards([ASKED], ["So."])


def test_a_server_that_refuses_is_told_from_one_that_is_away():
    with server(status=404) as (address, _), pytest.raises(InvalidInput, match="refuses with 404"):
        Remote(f"{address}/pooling").rewards([ASKED], ["So."])
    with server(status=503) as (address, _), pytest.raises(Unavailable, match="fails with 503"):
        Remote(f"{address}/pooling").rewards([ASKED], ["So."])
    with pytest.raises(Unavailable, match="does not answer"):
        Remote(f"{address}/pooling").rewards([ASKED], ["So."])
    with pytest.raises(InvalidInput, match="/pooling, /classify, /predict"):
        Remote(f"{address}/v1/chat/completions")


def test_a_reward_model_that_is_served_elsewhere_scores_pairs_by_its_uri(tmp_path):
    blobs = FileBlobs(tmp_path / "blobs")
    pair = Pair(
        prompt=[Message(role="user", content="Why?")], first=Response(text="a long answer"), second=Response(text="no")
    )
    with server() as (address, _):
        score = Models(blobs, tmp_path / "home").opened(stored.put_remote(blobs, f"{address}/pooling"))
        margin = score(Shown(lambda: [pair, pair], lambda: (np.zeros(0), np.zeros(0))))
    assert margin.tolist() == pytest.approx([1.1, 1.1])


def test_the_command_takes_an_address_and_the_bench_measures_it(tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "Why?", "chosen": "a long answer", "rejected": "no"}) + "\n")
    with server() as (address, _):
        assert bench.main([f"{address}/classify", str(rows), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["all"]["right"] == 1
    assert bench.main([f"{address}/classify", str(rows)]) == 75
    assert concord(tmp_path, "model", "put", f"{address}/pooling").stdout.startswith("sha256:")
    refused = concord(tmp_path, "model", "put", f"{address}/v1")
    assert refused.returncode == 2 and "no endpoint that gives rewards" in refused.stderr
