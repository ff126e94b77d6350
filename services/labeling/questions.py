"""The questions that a judge is asked, each with how its answer is kept and read. PURE."""

from collections.abc import Sequence

from concord.labeling import judge, rubric, teaching
from concord.labeling.answer_cache import Answer
from concord.labeling.asking import Question
from concord.labeling.reply import Reply
from concord.labeling.teaching import Example
from concord.labeling.token_odds import Odds, letter_odds, score_means
from concord.labeling.verdict import Verdict, read
from concord.v1 import pairs_pb2 as pb

# A judge that is asked the same again must be free to say something else.
_WARM = 0.7


def verdict(pair: pb.Pair, criteria: str, swapped: bool) -> Question[Verdict]:
    """Which of the two is better; `swapped`: the second response is shown as A."""
    return Question(
        pair.pair_id,
        judge.messages(pair, criteria, swapped),
        _verdict_of,
        _with_letters,
        "pair_without_verdict",
        swapped,
    )


def vote(pair: pb.Pair, criteria: str, number: int) -> Question[Verdict]:
    """The same again, warmer: vote 0, 1, …, every other one with the order swapped."""
    swapped = number % 2 == 1
    return Question(
        pair.pair_id,
        judge.messages(pair, criteria, swapped),
        _verdict_of,
        _with_letters,
        "vote_without_verdict",
        swapped,
        warmth=_WARM,
        seed_shift=number + 1,
    )


def taught(pair: pb.Pair, criteria: str, swapped: bool, examples: Sequence[Example]) -> Question[Verdict]:
    """The verdict with what people answered of other pairs before it."""
    return Question(
        pair.pair_id,
        teaching.messages(pair, criteria, swapped, examples),
        _verdict_of,
        _with_letters,
        "taught_without_verdict",
        swapped,
    )


def score(pair: pb.Pair, second: bool, criteria: str) -> Question[float]:
    """How good one of the responses is by itself, in [1, 10]."""
    answer = (pair.second if second else pair.first).text
    return Question(
        pair.pair_id,
        rubric.messages(pair.prompt, answer, criteria),
        lambda kept: rubric.read(kept["text"], kept["odds"]),
        _with_scores,
        "answer_without_score",
        second,
        form=rubric.SCORE_FORMAT,
    )


def _with_letters(reply: Reply) -> Answer:
    odds = letter_odds(reply.tokens, reply.text) if reply.tokens else ()
    return {"text": reply.text, "odds": [[o.offset, o.end, round(o.p_a, 9), round(o.p_b, 9)] for o in odds]}


def _with_scores(reply: Reply) -> Answer:
    means = score_means(reply.tokens, reply.text) if reply.tokens else ()
    return {"text": reply.text, "odds": [[start, end, round(mean, 6)] for start, end, mean in means]}


def _verdict_of(answer: Answer) -> tuple[Verdict | None, bool]:
    reading = read(answer["text"], [Odds(*row) for row in answer["odds"]])
    return reading.verdict, reading.contradicting
