"""A **simulated** judge behind an OpenAI-compatible address of this machine, of the standard library alone: it goes by a taste.

For trials that need a judge that can be asked about answers that were not there when they began. Every verdict is a function of
the two answers, the same in both orders.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from concord.preference.seeded import uniform

_SHOWN = re.compile(r"<answer A \w+>\n(.*)\n</answer A \w+>\n\n<answer B \w+>\n(.*)\n</answer B \w+>", re.DOTALL)
# Says how good an answer is; of two the greater one is preferred.
Taste = Callable[[str], tuple]


@contextmanager
def judge(taste: Taste, errs: float) -> Iterator[str]:
    """Its address until the block ends; `errs`: on which share of the pairs it says the opposite, less sure of it."""

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            shown = _SHOWN.search(body["messages"][0]["content"])
            text = verdict(shown[1], shown[2], taste, errs) if shown else "I see no two answers."
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            said = {"id": "c", "object": "chat.completion", "model": body["model"], "choices": [choice]}
            reply = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:
            """A verdict is no event."""

    class Patient(ThreadingHTTPServer):
        """Its queue holds a burst: of the library's five connections a busy machine resets the next."""

        request_queue_size = 128

    server = Patient(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def verdict(a: str, b: str, taste: Taste, errs: float) -> str:
    """What it says of the two answers, as JSON."""
    wrong = uniform("judge", *sorted((a, b))) < errs
    winner = "A" if (taste(a) > taste(b)) ^ wrong else "B"
    return json.dumps({"reason": "A matter of taste.", "winner": winner, "confidence": 0.7 if wrong else 0.9})
