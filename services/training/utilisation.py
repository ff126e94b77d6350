"""How much of its devices' arithmetic a training uses (MFU, model FLOP utilisation: Chowdhery et al. 2022, arXiv 2204.02311). Pure.

Work of a token: 2 FLOP a weight forward, 2 a weight for the gradient that passes through it, and 2 more a weight that is trained;
so 6 where all are, 4 and a little with LoRA. Attention's products, padding and what is computed twice (gradient checkpointing) do
not count.
"""

import re
from collections.abc import Mapping

# Dense bf16 FLOP/s of one device by words of its name, the first that fit. Source: NVIDIA's data sheets, halved where a sheet gives
# the figure with sparsity (B200, H100, H200, GH200, L4); the peak tables of several public trainers and comparisons of sellers say
# the same. The NVL cards of H100 and H200 have a lower clock than the SXM modules, and a lower peak.
PEAKS: Mapping[str, float] = {
    "B200": 2_250e12,
    "H200 NVL": 835e12,
    "H200": 989e12,
    "GH200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A10": 125e12,
}


def peak(device: str) -> float | None:
    """Dense bf16 FLOP/s of a device as CUDA calls it; None where it is not known."""
    return next((most for name, most in PEAKS.items() if re.search(rf"\b{name}\b", device)), None)


def token_flop(weights: int, trained: int) -> float:
    """FLOP of a token that is learned from; `weights`: those that it is multiplied with, `trained`: of them or beside them."""
    return 4.0 * weights + 2.0 * trained


def mfu(tokens_a_second: float, flop: float, peak: float, devices: int) -> float:
    """The share of the devices' peak that is used, 0 to 1; `flop` of a token, `peak` of one device, tokens of all together."""
    return tokens_a_second * flop / (peak * devices)
