"""What a caller of LabelPairs may ask for. Pure.

A run's configuration is checked where the run is made; here comes one that nobody has looked at.
"""

from math import isfinite

from concord.kit.errors import InvalidInput
from concord.preference.judges import JUDGE_KINDS, networked
from concord.preference.run_settings import check_text, check_value, got, longest, recorded_bounds
from concord.v1 import labeling_service_pb2 as pb
from concord.v1.config_pb2 import JudgeConfig

MOST_PAIRS = 256
MOST_NAME = 300
MOST_URL = 2_000
MOST_OWN_PROMPTS = 100


def check(request: pb.LabelPairsRequest) -> None:
    """Raises InvalidInput for a request that no judge could answer, naming the field."""
    if not 1 <= len(request.pairs) <= MOST_PAIRS:
        raise InvalidInput(f"{len(request.pairs)} pairs in one call; between 1 and {MOST_PAIRS} are taken")
    if request.seed >= 2**63:
        raise InvalidInput(f"seed must lie below 2^63, not at {request.seed}")
    for at, pair in enumerate(request.pairs):
        check_text(f"pairs[{at}].pair_id", pair.pair_id, MOST_NAME)
        if any(not isfinite(verdict.confidence) for verdict in pair.verdicts):
            raise InvalidInput(f"pairs[{at}].verdicts: a confidence is no number")
    _check_judge(request.judge)


def _check_judge(judge: JudgeConfig) -> None:
    if judge.kind not in JUDGE_KINDS:
        raise InvalidInput(f"judge.kind {judge.kind[:60]!r} is not one of {', '.join(JUDGE_KINDS)}")
    for field, bounds in recorded_bounds("judge").items():
        check_value(f"judge.{field}", got(judge, field), bounds)
    for field, most in {**longest("judge"), "name": MOST_NAME, "url": MOST_URL}.items():
        check_text(f"judge.{field}", getattr(judge, field), most)
    if len(judge.own_prompts) > MOST_OWN_PROMPTS:
        raise InvalidInput(f"judge.own_prompts: at most {MOST_OWN_PROMPTS} are taken, not {len(judge.own_prompts)}")
    for name in judge.own_prompts:
        check_text("judge.own_prompts", name, MOST_NAME)
    if networked(judge) and not judge.name:
        raise InvalidInput("judge.name is empty; it is the model's name at the endpoint")
