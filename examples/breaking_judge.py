"""A judge that works, and from some call on answers rubbish: an OpenAI-compatible endpoint to try `concord replay` with.

    python examples/breaking_judge.py 1700

It knows the pairs of the bundled sample by heart and judges them as the sample's own judge does; no model runs. Of every
other prompt it thinks nothing. It needs no network and no key, and ends with Ctrl-C; started again without a number it is
mended.
"""

import argparse
import contextlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from concord.client.intake.intake import read_sample
from concord.labeling.sample_judge import judged
from concord.v1.pairs_pb2 import CHOICE_FIRST, Pair

RUBBISH = "As a language model I am delighted to help! Both answers have many strengths. Is there anything else?"
SHOWN = re.compile(r"<answer A \w+>\n(.*)\n</answer A \w+>\n\n<answer B \w+>\n(.*)\n</answer B \w+>", re.DOTALL)


class Judge(ThreadingHTTPServer):
    """Answers chat completions; `after`: so many sensible answers, then rubbish. 0: sensible ones for ever."""

    request_queue_size = 512
    daemon_threads = True

    def __init__(self, port: int, after: int) -> None:
        super().__init__(("127.0.0.1", port), Answering)
        self.after, self.answered, self.counting = after, 0, threading.Lock()
        self.known: dict[frozenset[str], Pair] = {
            frozenset((row.pair.first.text, row.pair.second.text)): row.pair for row in read_sample().rows
        }

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle of a question, as a run that stops does, is nothing to report."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def answer(self, prompt: str) -> str:
        """The text of the next answer."""
        with self.counting:
            self.answered += 1
            broken = 0 < self.after < self.answered
        shown = SHOWN.search(prompt)
        pair = self.known.get(frozenset(shown.groups())) if shown else None
        if broken or shown is None or pair is None:
            return RUBBISH
        said = judged(pair, 0)
        better = pair.first.text if said.choice == CHOICE_FIRST else pair.second.text
        verdict = {
            "reason": "It is better.",
            "winner": "A" if shown[1] == better else "B",
            "confidence": said.confidence,
        }
        return json.dumps(verdict)


class Answering(BaseHTTPRequestHandler):
    """POST /v1/chat/completions."""

    protocol_version = "HTTP/1.1"
    server: Judge

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = asked["messages"][0]["content"]
        text = self.server.answer(prompt)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4 + 1}
        self._send({"object": "chat.completion", "model": asked["model"], "choices": [choice], "usage": usage})

    def _send(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing of every single request."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8123, help="0: any free one")
    parser.add_argument(
        "after", type=int, nargs="?", default=0, help="so many sensible answers, then rubbish; 0: never"
    )
    given = parser.parse_args()
    judge = Judge(given.port, given.after)
    print(f"{judge.url}#sample", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        judge.serve_forever()


if __name__ == "__main__":
    main()
